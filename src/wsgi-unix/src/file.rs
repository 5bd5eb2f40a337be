//! Which files may be sent by descriptor.
//!
//! Asked in a daemon before it passes a descriptor on, and in an Apache child before it believes
//! one. Any thread; waits for nothing but the file system's answer about itself.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::call::check;

/// The length in bytes of a file that can be sent by descriptor: a regular one whose reads no
/// other process can hold up. `None` for everything else; a file system in user space answers
/// when its process likes, and a thread of Apache must not wait for that.
pub fn sendable_length(fd: BorrowedFd<'_>) -> io::Result<Option<u64>> {
    let mut system = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the descriptor is open while it is borrowed, and the result has room.
    check(unsafe { libc::fstatfs(fd.as_raw_fd(), system.as_mut_ptr()) })?;
    // SAFETY: fstatfs has filled it.
    let system = unsafe { system.assume_init() };
    let metadata = File::from(fd.try_clone_to_owned()?).metadata()?;
    let sendable = metadata.is_file() && system.f_type != libc::FUSE_SUPER_MAGIC;
    Ok(sendable.then_some(metadata.len()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_regular_file_has_a_length_and_nothing_else_has() {
        let path = std::env::temp_dir().join(format!("wsgi-unix-{}", std::process::id()));
        let mut file = File::create(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        file.write_all(b"12345").unwrap();
        assert_eq!(sendable_length(file.as_fd()).unwrap(), Some(5));
        let (reader, _writer) = crate::pipe::pair().unwrap();
        assert_eq!(sendable_length(reader.as_fd()).unwrap(), None);
        let null = File::open("/dev/null").unwrap();
        assert_eq!(sendable_length(null.as_fd()).unwrap(), None);
    }
}
