//! What a hook answers to httpd.

use std::ffi::c_int;

use crate::ffi;

/// A hook's answer: `OK`, `DECLINED`, `DONE` or an HTTP status (`httpd.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(c_int);

impl Status {
    /// The hook did its work.
    pub const OK: Status = Status(ffi::OK);
    /// The hook has nothing to do with this request.
    pub const DECLINED: Status = Status(ffi::DECLINED);
    /// 500, also the answer after a panic.
    pub const INTERNAL_SERVER_ERROR: Status = Status(500);

    /// The HTTP status `code`: httpd answers with its own page or ErrorDocument.
    pub const fn http(code: u16) -> Status {
        Status(code as c_int)
    }

    /// As httpd wants it.
    pub const fn code(self) -> c_int {
        self.0
    }
}
