//! Users and groups, asked of the system's name service.
//!
//! For httpd's parent while it reads the configuration and for the monitor before it forks: a
//! lookup may read files, open sockets and take locks, so never on a request thread and never
//! between fork and exec.

use std::ffi::{CStr, CString, c_char, c_int};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// The largest buffer a lookup is given, bytes: a group may list thousands of members.
const MAX_BUFFER: usize = 4 << 20;

/// The most supplementary groups we ask for: the kernel's own limit (`NGROUPS_MAX`).
const MAX_GROUPS: usize = 65_536;

/// A user account (passwd(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its login name.
    pub name: Vec<u8>,
    /// Its user id.
    pub uid: u32,
    /// Its primary group.
    pub gid: u32,
    /// Its home directory, which need not exist.
    pub home: Vec<u8>,
}

/// The account of this name, or `None`. A name with a NUL byte is nobody's.
pub fn by_name(name: &[u8]) -> io::Result<Option<Account>> {
    let Ok(name) = CString::new(name) else {
        return Ok(None);
    };
    account(|entry, buffer, found| {
        // SAFETY: the name is a C string, `entry` and `found` have room for one value each, and
        // pointer and length of the buffer belong together.
        unsafe {
            libc::getpwnam_r(
                name.as_ptr(),
                entry,
                buffer.as_mut_ptr(),
                buffer.len(),
                found,
            )
        }
    })
}

/// The first account with this user id, or `None`.
pub fn by_uid(uid: u32) -> io::Result<Option<Account>> {
    account(|entry, buffer, found| {
        // SAFETY: `entry` and `found` have room for one value each, and pointer and length of the
        // buffer belong together.
        unsafe { libc::getpwuid_r(uid, entry, buffer.as_mut_ptr(), buffer.len(), found) }
    })
}

/// The id of the group of this name, or `None`.
pub fn group_id(name: &[u8]) -> io::Result<Option<u32>> {
    let Ok(name) = CString::new(name) else {
        return Ok(None);
    };
    look_up(
        |entry: *mut libc::group, buffer, found| {
            // SAFETY: as in `by_name`.
            unsafe {
                libc::getgrnam_r(
                    name.as_ptr(),
                    entry,
                    buffer.as_mut_ptr(),
                    buffer.len(),
                    found,
                )
            }
        },
        |entry| entry.gr_gid,
    )
}

/// The groups an account belongs to, `gid` among them: what setgroups(2) is given.
///
/// Asked before the fork, since initgroups(3) may not run between fork and exec. A name with a
/// NUL byte is an error.
pub fn supplementary_groups(name: &[u8], gid: u32) -> io::Result<Vec<u32>> {
    let name = CString::new(name)?;
    let mut groups: Vec<libc::gid_t> = vec![0; 64];
    loop {
        let mut count = c_int::try_from(groups.len()).unwrap_or(c_int::MAX);
        // SAFETY: the name is a C string and `count` is the number of elements of `groups`.
        let result =
            unsafe { libc::getgrouplist(name.as_ptr(), gid, groups.as_mut_ptr(), &raw mut count) };
        let needed = usize::try_from(count).unwrap_or(0);
        if result >= 0 {
            groups.truncate(needed);
            return Ok(groups);
        }
        let grown = needed.max(groups.len() * 2);
        if grown > MAX_GROUPS {
            return Err(io::Error::from_raw_os_error(libc::E2BIG));
        }
        groups.resize(grown, 0);
    }
}

fn account(
    query: impl FnMut(*mut libc::passwd, &mut [c_char], *mut *mut libc::passwd) -> c_int,
) -> io::Result<Option<Account>> {
    look_up(query, |entry| Account {
        name: bytes_at(entry.pw_name),
        uid: entry.pw_uid,
        gid: entry.pw_gid,
        home: bytes_at(entry.pw_dir),
    })
}

/// Runs a lookup with a buffer that grows as needed; `read` copies what it wants while the
/// buffer still lives.
fn look_up<T, R>(
    mut query: impl FnMut(*mut T, &mut [c_char], *mut *mut T) -> c_int,
    read: impl FnOnce(&T) -> R,
) -> io::Result<Option<R>> {
    let mut buffer: Vec<c_char> = vec![0; 1024];
    let mut entry = MaybeUninit::<T>::uninit();
    loop {
        let mut found = ptr::null_mut();
        match query(entry.as_mut_ptr(), &mut buffer, &raw mut found) {
            0 if found.is_null() => return Ok(None),
            0 => {
                // SAFETY: the lookup succeeded, so `found` points at `entry`, filled, whose
                // strings lie in `buffer`.
                return Ok(Some(read(unsafe { &*found })));
            }
            libc::ERANGE if buffer.len() < MAX_BUFFER => buffer.resize(buffer.len() * 4, 0),
            libc::EINTR => {}
            // POSIX lets these stand for "no such entry" as well.
            libc::ENOENT | libc::ESRCH => return Ok(None),
            code => return Err(io::Error::from_raw_os_error(code)),
        }
    }
}

/// A copy of a field of a looked-up entry.
fn bytes_at(text: *const c_char) -> Vec<u8> {
    if text.is_null() {
        return Vec::new();
    }
    // SAFETY: not null, and every string of a passwd entry is NUL-terminated (getpwnam(3)).
    unsafe { CStr::from_ptr(text) }.to_bytes().to_vec()
}

/// The real user id of this process.
pub fn own_uid() -> u32 {
    // SAFETY: getuid has no preconditions and cannot fail.
    unsafe { libc::getuid() }
}

/// The real group id of this process.
pub fn own_gid() -> u32 {
    // SAFETY: getgid has no preconditions and cannot fail.
    unsafe { libc::getgid() }
}

/// Whether this process acts as root.
pub fn is_root() -> bool {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_found_by_name_and_by_uid() {
        let root = by_name(b"root").unwrap().unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert_eq!(by_uid(0).unwrap().unwrap().uid, 0);
        assert_eq!(group_id(b"root").unwrap(), Some(0));
    }

    #[test]
    fn nobody_has_a_name_that_does_not_exist() {
        assert_eq!(by_name(b"no such account").unwrap(), None);
        assert_eq!(by_name(b"ro\0ot").unwrap(), None);
        assert_eq!(by_uid(4_000_000_001).unwrap(), None);
        assert_eq!(group_id(b"no such group").unwrap(), None);
    }

    #[test]
    fn the_primary_group_is_among_the_groups() {
        assert!(supplementary_groups(b"root", 4242).unwrap().contains(&4242));
        assert!(supplementary_groups(b"a\0b", 0).is_err());
    }
}
