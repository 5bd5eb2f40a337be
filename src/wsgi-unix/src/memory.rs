//! Files that live in memory and are handed on by descriptor.
//!
//! Any process, any thread. A file made here is close-on-exec until somebody passes it on.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::call::check;

/// A read-only file with these bytes, at offset 0, that nobody can change any more.
///
/// The offset is shared by every duplicate of the descriptor: make one file per reader. `name`
/// shows in `/proc/<pid>/fd` only.
pub fn sealed_blob(name: &CStr, bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(sealable(name)?);
    file.write_all(bytes)?;
    file.rewind()?;
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    let fd = OwnedFd::from(file);
    seal(&fd, seals)?;
    Ok(fd)
}

/// An empty file in memory, to be written and read again.
pub fn scratch(name: &CStr) -> io::Result<File> {
    sealable(name).map(File::from)
}

/// Puts another such file in the place of `file`, under the same number: processes that were forked
/// share the old one, and its offset.
pub fn renew_scratch(file: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    let new = sealable(name)?;
    // SAFETY: takes integers. The number belongs to the caller and stays open; what it stood for before
    // is no more to this process than to any that never had it.
    check(unsafe { libc::dup3(new.as_raw_fd(), file.as_raw_fd(), libc::O_CLOEXEC) })?;
    Ok(())
}

/// An empty file in memory that can be sealed (memfd_create(2)).
pub(crate) fn sealable(name: &CStr) -> io::Result<OwnedFd> {
    // SAFETY: `name` is a C string that outlives the call.
    let fd = check(unsafe {
        libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING)
    })?;
    // SAFETY: memfd_create has just made this descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Adds `F_SEAL_*` seals (fcntl(2), "File Sealing").
pub(crate) fn seal(fd: &OwnedFd, seals: libc::c_int) -> io::Result<()> {
    // SAFETY: F_ADD_SEALS takes an integer and touches no memory of ours.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seals) })?;
    Ok(())
}

/// The `F_SEAL_*` seals of a file in memory; an error for any other file.
pub(crate) fn seals(fd: BorrowedFd<'_>) -> io::Result<libc::c_int> {
    // SAFETY: F_GET_SEALS takes no argument and touches no memory of ours.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsFd;

    #[test]
    fn a_renewed_file_shares_nothing_with_the_old_one() {
        let mut file = scratch(c"test").unwrap();
        let mut old = file.try_clone().unwrap();
        renew_scratch(file.as_fd(), c"test").unwrap();
        file.write_all(b"new").unwrap();
        old.rewind().unwrap();
        let mut text = Vec::new();
        old.read_to_end(&mut text).unwrap();
        assert!(text.is_empty());
    }

    #[test]
    fn a_sealed_blob_reads_back_and_cannot_be_written() {
        let mut file = File::from(sealed_blob(c"test", b"configuration").unwrap());
        let mut text = Vec::new();
        file.read_to_end(&mut text).unwrap();
        assert_eq!(text, b"configuration");
        assert!(file.write_all(b"x").is_err());
        assert!(file.set_len(0).is_err());
    }
}
