//! The server root: one directory that holds everything a server writes.
//!
//! Runs in the command, possibly as root and by default below /tmp, where anybody may prepare a
//! directory of that name. It must not follow a link there, nor write into what others can change.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use wsgi_unix::accounts;

/// Apache's configuration.
pub const CONFIG: &str = "httpd.conf";
/// The script that controls the server.
pub const APACHECTL: &str = "apachectl";
/// Apache's process id.
pub const PID_FILE: &str = "httpd.pid";
/// Shell code that sets up Apache's environment; written once, then the user's.
pub const ENVVARS: &str = "envvars";
/// The cache of TLS sessions.
pub const TLS_CACHE: &str = "ssl_scache";
/// The start of the names of the daemons' sockets.
pub const SOCKET_PREFIX: &str = "wsgi";
/// The directory for documents when none is named; it stays empty.
pub const HTDOCS: &str = "htdocs";
/// The script that loads an application which is not a script itself.
pub const SCRIPT: &str = "app.wsgi";

/// A server root could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The directory could not be made.
    #[error("the server root {} cannot be made", .path.display())]
    Create {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The path exists and is a link or no directory.
    #[error("the server root {} is not a directory of its own; remove it", .path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The directory belongs to another account.
    #[error("the server root {} belongs to the user with id {owner}; remove it", .path.display())]
    Owner {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// Other accounts could change what is written there.
    #[error("the server root {} can be written by other users; chmod it to 0755", .path.display())]
    Writable {
        /// The directory.
        path: PathBuf,
    },
    /// A file could not be written.
    #[error("{} cannot be written", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A server root that is known to be ours alone.
#[derive(Debug)]
pub struct ServerRoot {
    path: PathBuf,
}

impl ServerRoot {
    /// The directory used when none is named.
    pub fn default_path(host: &str, port: u16) -> PathBuf {
        let uid = accounts::own_uid();
        PathBuf::from(format!("/tmp/mod_wsgi_rs-{host}:{port}:{uid}"))
    }

    /// Makes `path`, or takes it over if it is a directory of ours that nobody else can change.
    pub fn prepare(path: &Path) -> Result<Self, LayoutError> {
        let path = path.to_owned();
        make_directory(&path)?;
        check_ours(&path)?;
        let root = ServerRoot { path };
        make_directory(&root.file(HTDOCS))?;
        Ok(root)
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of one of the root's files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file of the root, whole or not at all, with `mode`.
    pub fn write(&self, name: &str, mode: u32, text: &str) -> Result<(), LayoutError> {
        let path = self.file(name);
        let fresh = path.with_extension("new");
        let write = || {
            // Left by a command that was interrupted.
            match fs::remove_file(&fresh) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut options = OpenOptions::new();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(mode)
                .open(&fresh)?;
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            file.write_all(text.as_bytes())?;
            fs::rename(&fresh, &path)
        };
        write().map_err(|source| LayoutError::Write { path, source })
    }
}

impl ServerRoot {
    /// Writes a file that is the user's once it is there.
    pub fn write_once(&self, name: &str, mode: u32, text: &str) -> Result<(), LayoutError> {
        if self.file(name).is_file() {
            Ok(())
        } else {
            self.write(name, mode, text)
        }
    }
}

/// Makes a directory that everybody can enter, whatever the umask, unless the path exists.
fn make_directory(path: &Path) -> Result<(), LayoutError> {
    let made = DirBuilder::new()
        .mode(0o755)
        .create(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)));
    match made {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => Err(LayoutError::Create {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

fn check_ours(path: &Path) -> Result<(), LayoutError> {
    let path = path.to_owned();
    // Of the link itself, not of what it leads to.
    let found = match fs::symlink_metadata(&path) {
        Ok(found) => found,
        Err(source) => return Err(LayoutError::Create { path, source }),
    };
    if !found.is_dir() {
        Err(LayoutError::NotADirectory { path })
    } else if found.uid() != accounts::own_uid() {
        Err(LayoutError::Owner {
            path,
            owner: found.uid(),
        })
    } else if found.mode() & 0o022 != 0 {
        Err(LayoutError::Writable { path })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A directory of its own for one test, removed with it.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("wsgi-express-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).expect("scratch directory");
            Scratch(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            // A directory that stays behind harms no other test.
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_root_is_made_and_taken_over_by_the_next_command() {
        let scratch = Scratch::new();
        let path = scratch.0.join("root");
        for _ in 0..2 {
            let root = ServerRoot::prepare(&path).expect("prepared");
            root.write(CONFIG, 0o644, "x").expect("written");
        }
        assert_eq!(
            fs::read_to_string(path.join("httpd.conf")).expect("read"),
            "x"
        );
        assert!(path.join("htdocs").is_dir());
    }

    #[test]
    fn a_link_in_place_of_the_root_is_refused() {
        let scratch = Scratch::new();
        let path = scratch.0.join("root");
        symlink(&scratch.0, &path).expect("link");
        let refused = ServerRoot::prepare(&path).expect_err("refused");
        assert!(matches!(refused, LayoutError::NotADirectory { .. }));
    }

    #[test]
    fn a_root_that_others_can_write_is_refused() {
        let scratch = Scratch::new();
        let path = scratch.0.join("root");
        fs::create_dir(&path).expect("directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("mode");
        let refused = ServerRoot::prepare(&path).expect_err("refused");
        assert!(matches!(refused, LayoutError::Writable { .. }));
    }

    #[test]
    fn a_root_of_another_account_is_refused() {
        if !accounts::is_root() {
            return;
        }
        let scratch = Scratch::new();
        let path = scratch.0.join("root");
        fs::create_dir(&path).expect("directory");
        std::os::unix::fs::chown(&path, Some(12345), None).expect("owner");
        let refused = ServerRoot::prepare(&path).expect_err("refused");
        assert!(matches!(refused, LayoutError::Owner { owner: 12345, .. }));
    }
}
