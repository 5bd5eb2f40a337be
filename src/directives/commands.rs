//! The rows of the command table as httpd wants them: a constant array of C structures.
//!
//! Made by the compiler; httpd reads it in the parent and, for `.htaccess` files, in children.

use std::ptr::{null, null_mut};

use super::{Arguments, DOCS, ROWS, Row, on_directive};
use crate::ffi;

/// httpd's view of the rows, with the empty row that ends it.
#[repr(transparent)]
pub struct Commands([ffi::command_rec; ROWS.len() + 1]);

// SAFETY: constant; the pointers in it are to constants, and httpd only reads it.
unsafe impl Sync for Commands {}

impl Commands {
    /// For the module record.
    pub const fn start(&self) -> *const ffi::command_rec {
        (&raw const self.0).cast()
    }
}

/// The command table.
pub static COMMANDS: Commands = Commands(commands());

const fn commands() -> [ffi::command_rec; ROWS.len() + 1] {
    let mut commands = [END; ROWS.len() + 1];
    let mut index = 0;
    while index < ROWS.len() {
        let row = &ROWS[index];
        let (func, args_how) = match row.arguments {
            Arguments::One => (
                ffi::cmd_func {
                    take1: Some(on_directive),
                },
                ffi::cmd_how_TAKE1,
            ),
            Arguments::Raw => (
                ffi::cmd_func {
                    raw_args: Some(on_directive),
                },
                ffi::cmd_how_RAW_ARGS,
            ),
        };
        commands[index] = ffi::command_rec {
            name: row.name.as_ptr(),
            func,
            cmd_data: (row as *const Row).cast_mut().cast(),
            req_override: row.context.overrides(),
            args_how,
            errmsg: DOCS[index].as_ptr(),
        };
        index += 1;
    }
    commands
}

const END: ffi::command_rec = ffi::command_rec {
    name: null(),
    func: ffi::cmd_func { no_args: None },
    cmd_data: null_mut(),
    req_override: 0,
    args_how: ffi::cmd_how_RAW_ARGS,
    errmsg: null(),
};
