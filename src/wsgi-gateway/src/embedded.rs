//! Embedded mode: the table by which the Apache module calls Python in its own process.
//!
//! Runs in an Apache child, on Apache's threads. Apache owns the signals and the process's life; the
//! gateway starts Python, serves and, at the end, lets applications clean up.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use pyo3::ffi;
use thiserror::Error;
use wsgi_abi::{ABI_VERSION, Bytes, GatewayTable, ProcessCalls, RequestCalls};
use wsgi_wire::Failure;
use wsgi_wire::WireError;
use wsgi_wire::head::RequestHead;
use wsgi_wire::launch::{EmbeddedConfig, Message};

use crate::exchange::{Exchange, Verdict};
use crate::host::{Host, StartError, chain};
use crate::log::ProcessLog;
use crate::log::level;
use crate::observe;
use crate::python::{self, InitializeError};

static TABLE: GatewayTable = GatewayTable {
    size: size_of::<GatewayTable>() as u32,
    version: ABI_VERSION,
    start,
    serve,
    stop,
};

static HOST: OnceLock<Arc<Host>> = OnceLock::new();

/// The table of this build; see `wsgi_abi::TABLE_SYMBOL`.
#[unsafe(no_mangle)]
pub extern "C" fn wsgi_gateway_table() -> *const GatewayTable {
    &raw const TABLE
}

/// Why embedded mode did not start.
#[derive(Debug, Error)]
enum EmbedError {
    #[error("the module and the gateway belong to different installations")]
    Config(#[source] WireError),
    #[error("cannot start Python in this process")]
    Python(#[source] InitializeError),
    #[error("cannot start embedded mode")]
    Host(#[source] StartError),
    #[error("embedded mode was started before")]
    Again,
}

unsafe extern "C" fn start(config: Bytes, process: *const ProcessCalls) -> c_int {
    // SAFETY: the module passes what the table asks for.
    boundary(-1, || unsafe { started(config, process) })
}

unsafe extern "C" fn serve(head: Bytes, calls: *const RequestCalls) -> u8 {
    // SAFETY: the module passes what the table asks for.
    boundary(Failure::Internal as u8, || unsafe { served(head, calls) })
}

unsafe extern "C" fn stop() {
    boundary((), stopped);
}

/// The boundary of the table's functions: a panic becomes `failed` and never reaches Apache.
fn boundary<R>(failed: R, body: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(failed)
}

/// The module's log, for any thread.
struct ModuleLog(ProcessCalls);

// SAFETY: the module's contract is that the log may be called at any time from any thread.
unsafe impl Send for ModuleLog {}
// SAFETY: as for Send.
unsafe impl Sync for ModuleLog {}

impl ModuleLog {
    fn write(&self, level: u8, text: &[u8]) {
        // SAFETY: the function and its context live until the process ends; the text is lent.
        unsafe { (self.0.log)(self.0.context, level, Bytes::lend(text)) }
    }
}

/// The body of `GatewayTable::start`.
///
/// # Safety
/// As the table says: lent bytes, and calls that live until the process ends.
unsafe fn started(config: Bytes, process: *const ProcessCalls) -> c_int {
    // SAFETY: the module passes a valid pointer.
    let calls = unsafe { *process };
    let log = ModuleLog(calls);
    // SAFETY: lent for this call.
    let config = unsafe { config.as_slice() };
    let source = ModuleLog(calls);
    observe::set_scoreboard_source(Box::new(move || source.scoreboard()));
    let log: ProcessLog = Arc::new(move |level, text| log.write(level, text));
    match begin(config, Arc::clone(&log)) {
        Ok(()) => 0,
        Err(error) => {
            log(level::ERROR, chain(&error).as_bytes());
            -1
        }
    }
}

unsafe extern "C" fn take_scoreboard(sink: *mut c_void, bytes: Bytes) {
    boundary((), || {
        // SAFETY: the sink is `scoreboard`'s, which waits for this call.
        let taken = unsafe { &mut *sink.cast::<Option<Vec<u8>>>() };
        // SAFETY: lent for this call.
        *taken = Some(unsafe { bytes.as_slice() }.to_vec());
    });
}

impl ModuleLog {
    /// The server's encoded scoreboard.
    fn scoreboard(&self) -> Option<Vec<u8>> {
        let mut taken = None::<Vec<u8>>;
        let sink: *mut c_void = (&raw mut taken).cast();
        // SAFETY: the function and its context live until the process ends; the sink outlives the
        // call and is of the type that `take_scoreboard` expects.
        unsafe { (self.0.scoreboard)(self.0.context, sink, take_scoreboard) };
        taken
    }
}

fn begin(config: &[u8], log: ProcessLog) -> Result<(), EmbedError> {
    if HOST.get().is_some() {
        return Err(EmbedError::Again);
    }
    let config = EmbeddedConfig::from_bytes(config).map_err(EmbedError::Config)?;
    python::initialize(&config.program, &config.python).map_err(EmbedError::Python)?;
    let host = Host::adopt(config.gateway, log);
    // SAFETY: initialising left this thread attached; its state is kept by the host.
    unsafe { ffi::PyEval_SaveThread() };
    let host = HOST.get_or_init({
        let host = host.map_err(EmbedError::Host)?;
        || host
    });
    host.begin();
    host.load_imports();
    Ok(())
}

/// Where httpd ends a child by a signal that interrupts a request (prefork), Python cannot be entered
/// on the same thread.
fn stopped() {
    if let Some(host) = HOST.get().filter(|_| SERVING.get() == 0) {
        host.shutdown("");
    }
}

thread_local! {
    /// How many requests this thread is inside of.
    static SERVING: Cell<u32> = const { Cell::new(0) };
}

/// The body of `GatewayTable::serve`.
///
/// # Safety
/// As the table says: bytes and calls that are valid until this returns.
unsafe fn served(head: Bytes, calls: *const RequestCalls) -> u8 {
    // SAFETY: the module passes a valid pointer.
    let calls = unsafe { *calls };
    // SAFETY: lent until serve returns.
    let head = unsafe { head.as_slice() };
    let embedded = Arc::new(EmbeddedExchange {
        calls: Mutex::new(Some(calls)),
    });
    let exchange: Arc<dyn Exchange> = Arc::clone(&embedded) as Arc<dyn Exchange>;
    SERVING.set(SERVING.get() + 1);
    let verdict = catch_unwind(AssertUnwindSafe(|| dispatch(head, &exchange)));
    SERVING.set(SERVING.get() - 1);
    // The calls are valid no longer than this function; a thread of the application may be left.
    *embedded.calls.lock() = None;
    match verdict {
        Ok(Verdict::Whole) => 0,
        Ok(Verdict::Failed(failure)) => failure as u8,
        // Only daemons are replaced.
        Ok(Verdict::Replace) | Err(_) => Failure::Internal as u8,
    }
}

fn dispatch(head: &[u8], exchange: &Arc<dyn Exchange>) -> Verdict {
    let Some(host) = HOST.get() else {
        exchange.log(level::ERROR, b"embedded mode was not started");
        return Verdict::Failed(Failure::Internal);
    };
    match RequestHead::decode(head) {
        Ok(head) => host.serve(&head, exchange),
        Err(error) => {
            let line = format!("the request's head cannot be understood: {error}");
            exchange.log(level::ERROR, line.as_bytes());
            Verdict::Failed(Failure::Internal)
        }
    }
}

/// A request's way to its client through the module's functions, which are for one thread at a time.
struct EmbeddedExchange {
    calls: Mutex<Option<RequestCalls>>,
}

// SAFETY: the pointers inside are only followed under the lock and while `serve` runs: see `with`.
unsafe impl Send for EmbeddedExchange {}
// SAFETY: as for Send.
unsafe impl Sync for EmbeddedExchange {}

impl EmbeddedExchange {
    /// Runs `work` with the module's functions, alone and during the request. A thread of the
    /// application may do so for the request's own, which asks httpd for nothing outside of here.
    fn with<R>(&self, work: impl FnOnce(&RequestCalls) -> R) -> Option<R> {
        self.calls.lock().as_ref().map(work)
    }

    fn send(&self, work: impl FnOnce(&RequestCalls, *mut c_void) -> u8) -> Result<(), Failure> {
        match self.with(|calls| work(calls, calls.context)) {
            Some(0) => Ok(()),
            Some(code) => Err(Failure::try_from(code).unwrap_or(Failure::Internal)),
            None => Err(Failure::Internal),
        }
    }
}

impl Exchange for EmbeddedExchange {
    fn request_rec(&self) -> Option<NonNull<c_void>> {
        NonNull::new(self.with(|calls| calls.request_rec)?)
    }

    fn script_modified(&self) -> Option<i64> {
        let modified = self.with(|calls| calls.script_modified)?;
        (modified != 0).then_some(modified)
    }

    fn started(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn read_body(&self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let read = self.with(|calls| {
            // SAFETY: under the lock, during serve; the buffer is writable as said.
            unsafe { (calls.read_body)(calls.context, buffer.as_mut_ptr(), buffer.len()) }
        });
        match read {
            Some(count) if count >= 0 => Ok((count as usize).min(buffer.len())),
            Some(code) => {
                let code = u8::try_from(-code).unwrap_or(Failure::Internal as u8);
                Err(Failure::try_from(code).unwrap_or(Failure::Internal))
            }
            None => Err(Failure::Internal),
        }
    }

    fn send_interim(&self, head: &[u8]) -> Result<(), Failure> {
        self.send(|calls, context| {
            // SAFETY: under the lock, during serve; the bytes are lent.
            unsafe { (calls.send_interim)(context, Bytes::lend(head)) }
        })
    }

    fn send_head(&self, head: &[u8]) -> Result<(), Failure> {
        self.send(|calls, context| {
            // SAFETY: under the lock, during serve; the bytes are lent.
            unsafe { (calls.send_head)(context, Bytes::lend(head)) }
        })
    }

    fn send_data(&self, data: &[u8], flush: bool) -> Result<(), Failure> {
        self.send(|calls, context| {
            // SAFETY: under the lock, during serve; the bytes are lent.
            unsafe { (calls.send_data)(context, Bytes::lend(data), c_int::from(flush)) }
        })
    }

    fn send_file(&self, file: BorrowedFd<'_>, offset: u64, length: u64) -> Result<(), Failure> {
        self.send(|calls, context| {
            // SAFETY: under the lock, during serve; the descriptor is lent.
            unsafe { (calls.send_file)(context, file.as_raw_fd(), offset, length) }
        })
    }

    fn variable(&self, name: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let value = self.with(|calls| {
            // SAFETY: on the request's thread, during serve; the name is lent.
            let value = unsafe { (calls.variable)(calls.context, Bytes::lend(name)) };
            // SAFETY: lent until serve returns, and copied at once.
            (!value.data.is_null()).then(|| unsafe { value.as_slice() }.to_vec())
        });
        value.ok_or(Failure::Internal)
    }

    fn answer(&self, answers: &[u8]) -> Result<(), Failure> {
        self.send(|calls, context| {
            // SAFETY: on the request's thread, during serve; the bytes are lent.
            unsafe { (calls.answer)(context, Bytes::lend(answers)) }
        })
    }

    fn log(&self, level: u8, text: &[u8]) {
        self.with(|calls| {
            // SAFETY: under the lock, during serve; the text is lent.
            unsafe { (calls.log)(calls.context, level, Bytes::lend(text)) }
        });
    }
}
