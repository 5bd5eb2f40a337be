//! The paths of sockets that are made while the server runs.
//!
//! Used by the monitor, which makes and removes them, and by httpd's parent, which removes what a
//! monitor left behind that is gone. A path is never used twice: whoever has one in mind for a socket
//! that is gone must not reach another.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// What follows the prefix in names of these sockets.
const MARK: &[u8] = b".k";

/// What they end with.
const END: &[u8] = b".sock";

/// Path number `count` of a process that began at the time `stamp`.
pub fn path(prefix: &Path, stamp: u64, count: u64) -> PathBuf {
    let mut path = prefix.as_os_str().to_owned();
    path.push(OsStr::from_bytes(MARK));
    path.push(format!("{stamp:x}-{count}"));
    path.push(OsStr::from_bytes(END));
    path.into()
}

/// Removes all such sockets with this prefix. Others, and what is no socket, stay; so does what
/// cannot be removed, as it is in nobody's way.
pub fn remove_all(prefix: &Path) {
    let (Some(directory), Some(base)) = (prefix.parent(), prefix.file_name()) else {
        return;
    };
    let begin = [base.as_bytes(), MARK].concat();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let ours = name.as_bytes().starts_with(&begin) && name.as_bytes().ends_with(END);
        if ours && entry.file_type().is_ok_and(|kind| kind.is_socket()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket;

    #[test]
    fn the_sockets_of_a_prefix_are_removed_and_nothing_else() {
        let directory = std::env::temp_dir().join(format!("wsgi-names-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let prefix = directory.join("wsgi.1.1");
        let _ours = socket::listen(&path(&prefix, 0xabc, 1), 1, None).unwrap();
        let others = [
            "wsgi.1.1.1.sock",
            "wsgi.1.12.kabc-1.sock",
            "wsgi.1.1.kx.txt",
        ];
        let _sockets = others.map(|name| socket::listen(&directory.join(name), 1, None).unwrap());
        std::fs::write(directory.join("wsgi.1.1.kfile.sock"), "").unwrap();
        remove_all(&prefix);
        let entries = std::fs::read_dir(&directory).unwrap();
        let mut left: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(
            left,
            [
                "wsgi.1.1.1.sock",
                "wsgi.1.1.kfile.sock",
                "wsgi.1.1.kx.txt",
                "wsgi.1.12.kabc-1.sock"
            ]
        );
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
