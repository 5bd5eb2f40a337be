//! The table by which the Apache module calls the gateway inside one process.
//!
//! Embedded mode only: an Apache child opens the gateway with `dlopen`, fetches [`TABLE_SYMBOL`] and
//! checks [`GatewayTable::version`]. Every function may be called from any thread. Nothing here
//! knows Apache or Python; requests and responses are the messages of `wsgi-wire`, by pointer.
//!
//! Ownership: every pointer is lent for the duration of the call and belongs to the caller.
//! No function unwinds: each side catches its own panics.

use std::ffi::{c_int, c_void};

/// Raised with every change of a struct or function below.
pub const ABI_VERSION: u32 = 5;

/// The function that gives the table: `extern "C" fn() -> *const GatewayTable`, never null, valid
/// until the process ends.
pub const TABLE_SYMBOL: &std::ffi::CStr = c"wsgi_gateway_table";

/// The type of the function named by [`TABLE_SYMBOL`].
pub type TableFunction = unsafe extern "C" fn() -> *const GatewayTable;

/// Bytes lent for a call; `data` may be dangling when `length` is 0.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Bytes {
    /// The first byte.
    pub data: *const u8,
    /// How many bytes.
    pub length: usize,
}

impl Bytes {
    /// Lends `bytes`.
    pub fn lend(bytes: &[u8]) -> Self {
        Bytes {
            data: bytes.as_ptr(),
            length: bytes.len(),
        }
    }

    /// The lent bytes.
    ///
    /// # Safety
    /// The lender's call must still run: `data` is valid for `length` bytes and `'a` ends before
    /// that call returns.
    pub unsafe fn as_slice<'a>(self) -> &'a [u8] {
        if self.length == 0 {
            return &[];
        }
        // SAFETY: the caller vouches for `length` readable bytes that live for 'a.
        unsafe { std::slice::from_raw_parts(self.data, self.length) }
    }
}

/// Writes a line to the server's error log: `level` is Apache's, the text has no line end.
pub type LogFunction = unsafe extern "C" fn(context: *mut c_void, level: u8, text: Bytes);

/// What the gateway offers.
#[repr(C)]
#[derive(Debug)]
pub struct GatewayTable {
    /// `size_of::<GatewayTable>()` of the gateway's build.
    pub size: u32,
    /// [`ABI_VERSION`] of the gateway's build.
    pub version: u32,
    /// Starts Python: `config` is an encoded `EmbeddedConfig`. To be called once per process, after
    /// libpython was opened with RTLD_GLOBAL. Loads the configured imports. Returns 0, or -1 after
    /// logging why.
    pub start: unsafe extern "C" fn(config: Bytes, process: *const ProcessCalls) -> c_int,
    /// Runs one request to its end on the calling thread: `head` is an encoded `RequestHead`.
    /// Returns 0 when the response is whole, else the code of a `Failure`, already logged.
    pub serve: unsafe extern "C" fn(head: Bytes, calls: *const RequestCalls) -> u8,
    /// Ends Python: waits for no request. The gateway stays mapped.
    pub stop: unsafe extern "C" fn(),
}

/// Takes bytes that are lent for the call; `sink` is what the caller of the giving function passed.
pub type TakeBytes = unsafe extern "C" fn(sink: *mut c_void, bytes: Bytes);

/// What the gateway may call at any time until the process ends.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct ProcessCalls {
    /// Passed to every call.
    pub context: *mut c_void,
    /// Logs outside a request.
    pub log: LogFunction,
    /// Gives the server's encoded `Scoreboard` to `take`, once; not at all if there is none.
    pub scoreboard: unsafe extern "C" fn(context: *mut c_void, sink: *mut c_void, take: TakeBytes),
}

/// What the gateway may call while `serve` runs, one call at a time; also from a thread of the
/// application, because the thread of `serve` touches the request by nothing else meanwhile.
///
/// The sending functions return 0, or the code of a `Failure` after which nothing may be sent.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RequestCalls {
    /// Passed to every call.
    pub context: *mut c_void,
    /// httpd's `request_rec` where the application is to get it (WSGIPassApacheRequest), else null.
    /// The gateway passes it on and never looks into it.
    pub request_rec: *mut c_void,
    /// When the script was modified, microseconds since 1970, as httpd saw it in this request; 0 where
    /// it has not looked.
    pub script_modified: i64,
    /// Reads at most `capacity` bytes of the body into `buffer`; waits until there is at least one.
    /// Returns the count, 0 at the body's end, or minus the code of a `Failure`.
    pub read_body:
        unsafe extern "C" fn(context: *mut c_void, buffer: *mut u8, capacity: usize) -> isize,
    /// Sends an encoded 1xx `ResponseHead`.
    pub send_interim: unsafe extern "C" fn(context: *mut c_void, head: Bytes) -> u8,
    /// Gives the response's encoded `ResponseHead`; called once, before any data.
    pub send_head: unsafe extern "C" fn(context: *mut c_void, head: Bytes) -> u8,
    /// Sends a piece of the response body; with `flush` not 0 the client gets it without delay.
    pub send_data: unsafe extern "C" fn(context: *mut c_void, data: Bytes, flush: c_int) -> u8,
    /// Sends a part of the file `fd` (lent: the module duplicates what it keeps).
    pub send_file:
        unsafe extern "C" fn(context: *mut c_void, fd: c_int, offset: u64, length: u64) -> u8,
    /// Gives what the functions returned that the head asked for, as encoded `Answer`s; takes the
    /// place of a response, and is called once.
    pub answer: unsafe extern "C" fn(context: *mut c_void, answers: Bytes) -> u8,
    /// The variable `name` of the TLS connection; `data` is null if there is none, else lent until
    /// `serve` returns.
    pub variable: unsafe extern "C" fn(context: *mut c_void, name: Bytes) -> Bytes,
    /// Logs with the request's context.
    pub log: LogFunction,
}
