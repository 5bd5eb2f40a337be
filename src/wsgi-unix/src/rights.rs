//! Reading a file that an administrator named, without lending root's eyes to anybody else.
//!
//! For a process that the monitor starts apart, which is root and has one thread. A path that leads
//! through a directory which somebody else can change is read with the rights of the account it is
//! read for; root's rights count only where root alone decides what the path means.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};

use crate::accounts;
use crate::call::{check, uninterrupted};
use crate::process;
use crate::spawn::Identity;

/// The bits that let somebody but the owner change a directory.
const OTHERS_WRITE: u32 = 0o022;

/// The content of the regular file at an absolute path, read for `reader`.
///
/// A file of more than `most` bytes is [`ErrorKind::FileTooLarge`]; one that is not regular is
/// [`ErrorKind::InvalidInput`], and is not waited for.
pub fn read_for(reader: Option<&Identity>, path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = match reader {
        Some(reader) if accounts::is_root() => match open_if_roots(path)? {
            Some(file) => file,
            None => as_somebody(reader, || open_file(libc::AT_FDCWD, &c_path(path)?))?,
        },
        _ => open_file(libc::AT_FDCWD, &c_path(path)?)?,
    };
    if !file.metadata()?.is_file() {
        let text = "it is no regular file";
        return Err(io::Error::new(ErrorKind::InvalidInput, text));
    }
    let mut content = Vec::new();
    file.take(most + 1).read_to_end(&mut content)?;
    if content.len() as u64 > most {
        let text = format!("it has more than {most} bytes");
        return Err(io::Error::new(ErrorKind::FileTooLarge, text));
    }
    Ok(content)
}

/// The file, if every directory on the way is root's alone and none is a link; else `None`.
fn open_if_roots(path: &Path) -> io::Result<Option<File>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => names.push(CString::new(name.as_bytes())?),
            _ => return Ok(None),
        }
    }
    let Some(last) = names.pop() else {
        return Ok(None);
    };
    let directory = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let mut here = open(libc::AT_FDCWD, c"/", directory)?;
    for name in &names {
        match open(here.as_raw_fd(), name, directory) {
            Ok(next) => here = next,
            Err(error) if is_link_or_no_directory(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
        let status = File::from(here.try_clone()?).metadata()?;
        if status.uid() != 0 || status.mode() & OTHERS_WRITE != 0 {
            return Ok(None);
        }
    }
    match open_file(here.as_raw_fd(), &last) {
        Err(error) if is_link_or_no_directory(&error) => Ok(None),
        result => result.map(Some),
    }
}

fn is_link_or_no_directory(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ELOOP | libc::ENOTDIR))
}

/// Opens for reading and waits for nobody, as an open of a FIFO would. Relative to a directory the
/// last name must not be a link.
fn open_file(directory: RawFd, path: &CStr) -> io::Result<File> {
    let mut flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    if directory != libc::AT_FDCWD {
        flags |= libc::O_NOFOLLOW;
    }
    open(directory, path, flags).map(File::from)
}

fn open(directory: RawFd, path: &CStr, flags: libc::c_int) -> io::Result<OwnedFd> {
    let fd = uninterrupted(|| {
        // SAFETY: the path is a C string that outlives the call; no mode is needed to open what
        // is there.
        check(unsafe { libc::openat(directory, path.as_ptr(), flags) })
    })?;
    // SAFETY: openat has just made this descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

/// Does something with the file system's view of this thread being somebody else's.
///
/// Signals and everything else still see root. A thread that could not come back must not go on.
fn as_somebody<T>(who: &Identity, body: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let own_groups = own_groups()?;
    set_groups(&who.groups)?;
    let changed = set_file_identity(who.uid, who.gid);
    let result = changed.and_then(|()| body());
    let back = set_file_identity(0, accounts::own_gid()).and_then(|()| set_groups(&own_groups));
    if back.is_err() {
        process::exit_now(1);
    }
    result
}

/// setfsuid(2) and setfsgid(2), which answer the former id only: asked again, they tell.
fn set_file_identity(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: takes an integer and touches no memory of ours.
    unsafe { libc::setfsgid(gid) };
    // SAFETY: as above; an id that is none changes nothing.
    let group = unsafe { libc::setfsgid(u32::MAX) };
    // SAFETY: as above.
    unsafe { libc::setfsuid(uid) };
    // SAFETY: as above.
    let user = unsafe { libc::setfsuid(u32::MAX) };
    match (user.cast_unsigned(), group.cast_unsigned()) == (uid, gid) {
        true => Ok(()),
        false => Err(io::Error::from_raw_os_error(libc::EPERM)),
    }
}

fn own_groups() -> io::Result<Vec<u32>> {
    // SAFETY: a length of 0 asks for the number of groups only.
    let count = check(unsafe { libc::getgroups(0, std::ptr::null_mut()) })?;
    let mut groups = vec![0; usize::try_from(count).unwrap_or(0)];
    // SAFETY: room for `count` groups.
    let count = check(unsafe { libc::getgroups(count, groups.as_mut_ptr()) })?;
    groups.truncate(usize::try_from(count).unwrap_or(0));
    Ok(groups)
}

/// setgroups(2) of this thread: the C library's wrapper would change all of them.
fn set_groups(groups: &[u32]) -> io::Result<()> {
    // SAFETY: length and pointer are of one array, which the call only reads.
    match unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    const NOBODY: u32 = 65_534;

    fn nobody() -> Identity {
        Identity {
            uid: NOBODY,
            gid: NOBODY,
            groups: vec![NOBODY],
        }
    }

    fn directory(base: &str, name: &str) -> PathBuf {
        let path = Path::new(base).join(format!("wsgi-rights-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    }

    fn secret(directory: &Path) -> PathBuf {
        let path = directory.join("secret");
        std::fs::write(&path, "A=1").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        path
    }

    #[test]
    fn roots_rights_count_only_where_root_alone_decides() {
        if !accounts::is_root() {
            return;
        }
        let (roots, others) = (directory("/run", "root"), directory("/tmp", "others"));
        let path = secret(&roots);
        assert_eq!(read_for(Some(&nobody()), &path, 100).unwrap(), b"A=1");
        let link = others.join("link");
        std::os::unix::fs::symlink(&roots, &link).unwrap();
        let last = others.join("last");
        std::os::unix::fs::symlink(&path, &last).unwrap();
        for path in [link.join("secret"), last, secret(&others)] {
            let refused = read_for(Some(&nobody()), &path, 100).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "{path:?}");
            // And this thread is root again.
            assert!(std::fs::read(&path).is_ok());
        }
        std::fs::remove_dir_all(roots).unwrap();
        std::fs::remove_dir_all(others).unwrap();
    }

    #[test]
    fn long_and_odd_files_are_refused_at_once() {
        let place = directory("/tmp", "odd");
        let path = secret(&place);
        let long = read_for(None, &path, 2).unwrap_err();
        assert_eq!(long.kind(), ErrorKind::FileTooLarge);
        assert!(read_for(None, &path, 3).is_ok());
        let fifo = place.join("fifo");
        let name = c_path(&fifo).unwrap();
        // SAFETY: a C string that outlives the call.
        check(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }).unwrap();
        for path in [&fifo, &place] {
            let odd = read_for(None, path, 100).unwrap_err();
            assert_eq!(odd.kind(), ErrorKind::InvalidInput, "{path:?}");
        }
        std::fs::remove_dir_all(place).unwrap();
    }
}
