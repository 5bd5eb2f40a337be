//! Where this module's file lies: the gateway and the monitor lie beside it, so that a directory
//! can be moved as a whole.

use std::ffi::{CStr, OsStr, c_void};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The directory of this shared library.
pub fn directory() -> Option<PathBuf> {
    let own = directory as *const c_void;
    let mut information = MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: `own` is an address in this library, and the result has room.
    let found = unsafe { libc::dladdr(own, information.as_mut_ptr()) };
    if found == 0 {
        return None;
    }
    // SAFETY: dladdr has filled it.
    let information = unsafe { information.assume_init() };
    if information.dli_fname.is_null() {
        return None;
    }
    // SAFETY: the loader's own string, which stays while the library is loaded.
    let name = unsafe { CStr::from_ptr(information.dli_fname) };
    let path = Path::new(OsStr::from_bytes(name.to_bytes()));
    let path = path.canonicalize().ok()?;
    path.parent().map(Path::to_path_buf)
}
