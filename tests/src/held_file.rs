//! A file whose opening takes as long as a test wants, as on a file system that does not answer.
//!
//! Held by the test's thread, which asks the kernel to be asked (fanotify(7)) and does not answer.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The file; whoever opens it waits until this is dropped.
#[derive(Debug)]
pub struct HeldFile {
    path: PathBuf,
    // Closed, it lets all go on.
    _listener: OwnedFd,
}

impl HeldFile {
    /// A file with this content; says so where none can be held.
    pub fn new(name: &str, content: &str) -> Option<HeldFile> {
        let name = format!("wsgi-held-{}-{name}", std::process::id());
        let path = Path::new("/tmp").join(name);
        fs::write(&path, content).expect("the directory is writable");
        match hold(&path) {
            Ok(listener) => Some(HeldFile {
                path,
                _listener: listener,
            }),
            Err(error) => {
                let _ = fs::remove_file(&path);
                eprintln!("SKIPPED: files cannot be held here: {error}");
                None
            }
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for HeldFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn hold(path: &Path) -> io::Result<OwnedFd> {
    let flags = libc::FAN_CLASS_CONTENT | libc::FAN_CLOEXEC;
    // SAFETY: fanotify_init(2) takes two numbers.
    let number = unsafe { libc::fanotify_init(flags, libc::O_RDONLY as libc::c_uint) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the system call has just made this descriptor and nobody else knows it.
    let listener = unsafe { OwnedFd::from_raw_fd(number) };
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path is a C string that outlives the call.
    let marked = unsafe {
        libc::fanotify_mark(
            listener.as_raw_fd(),
            libc::FAN_MARK_ADD,
            libc::FAN_OPEN_PERM,
            libc::AT_FDCWD,
            path.as_ptr(),
        )
    };
    match marked {
        0 => Ok(listener),
        _ => Err(io::Error::last_os_error()),
    }
}
