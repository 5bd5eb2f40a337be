//! Embedded mode: Python in Apache's own processes, behind the gateway's table.
//!
//! Runs in children only; a child loads Python when its first embedded request comes, or at its
//! start if scripts are to be loaded then. The parent never opens libpython, the gateway or a
//! virtual environment.

mod calls;
mod library;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use once_cell::sync::OnceCell;
use thiserror::Error;
use wsgi_abi::{Bytes, GatewayTable};
use wsgi_wire::Failure;
use wsgi_wire::head::EncodedHead;
use wsgi_wire::launch::{EmbeddedConfig, GatewayConfig, Message, PythonFlags};

use crate::body::{Declared, RequestBody};
use crate::httpd::request::Request;
use crate::httpd::server::Server;
use crate::httpd::status::Status;
use crate::response::Rules;
use calls::Conversation;
use library::LoadError;

/// What a child needs to start Python.
#[derive(Debug)]
pub struct Embedded {
    gateway: PathBuf,
    python_home: Option<Vec<u8>>,
    python: PythonFlags,
    config: GatewayConfig,
    table: OnceCell<Result<&'static GatewayTable, Failed>>,
}

/// Python could not be started in this child; the reason was logged when it was tried.
#[derive(Debug, Clone, Copy)]
struct Failed;

/// What the gateway is told besides the head, being in the same process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Aside {
    /// The application gets `apache.request_rec` (WSGIPassApacheRequest).
    pub lends_request: bool,
    /// When the script was modified, microseconds since 1970, if httpd has looked.
    pub script_modified: Option<i64>,
}

/// Why embedded mode did not answer.
#[derive(Debug, Error)]
pub enum EmbeddedError {
    /// Python cannot be loaded into this process.
    #[error("Python cannot be started in Apache's own process: {0}")]
    Load(#[from] LoadError),
    /// It could not be started earlier.
    #[error("Python could not be started in this process; an earlier line says why")]
    NotStarted,
    /// The gateway failed the request and has said why.
    #[error("the application failed: {0:?}")]
    Gateway(Failure),
}

impl EmbeddedError {
    /// The HTTP status for the client.
    pub fn status(&self) -> u16 {
        match self {
            EmbeddedError::Gateway(failure) => failure.status(),
            _ => 500,
        }
    }
}

impl Embedded {
    /// What children will need, put together in the parent.
    pub fn new(
        gateway: PathBuf,
        python_home: Option<Vec<u8>>,
        python: PythonFlags,
        config: GatewayConfig,
    ) -> Self {
        Embedded {
            gateway,
            python_home,
            python,
            config,
            table: OnceCell::new(),
        }
    }

    /// Sets the variables that Python will look for.
    ///
    /// # Safety
    /// The process has one thread, for the environment has no lock.
    pub unsafe fn set_environment(&self) {
        for (name, value) in self.python.variables() {
            // SAFETY: the caller vouches for the only thread.
            unsafe { std::env::set_var(name, OsStr::from_bytes(value)) }
        }
    }

    /// Starts Python at once if scripts are to be loaded with the child.
    pub fn preload(&self, server: Server<'_>) -> Result<(), EmbeddedError> {
        if self.config.imports.0.is_empty() {
            return Ok(());
        }
        self.table(server).map(drop)
    }

    /// Runs a request on this thread.
    pub fn serve<'r>(
        &self,
        request: Request<'r>,
        head: &EncodedHead,
        body: &mut RequestBody<'r>,
        rules: Rules,
        aside: Aside,
    ) -> Result<Status, EmbeddedError> {
        let server = Server::main().unwrap_or(request.server());
        let table = self.table(server)?;
        let mut conversation = Conversation::new(request, body, rules, aside);
        let head = Bytes::lend(head.as_bytes());
        let code = conversation.with_calls(|calls| {
            // SAFETY: the table is the gateway's and `start` succeeded; head and calls live until
            // the call returns.
            unsafe { (table.serve)(head, calls) }
        });
        conversation.finish(code)
    }

    /// Ends Python if this child has started it: applications clean up.
    pub fn stop(&self) {
        if let Some(Ok(table)) = self.table.get() {
            // SAFETY: the table is the gateway's, and nothing of it is called afterwards.
            unsafe { (table.stop)() };
        }
    }

    /// Calls functions on this thread: gives their encoded answers.
    pub fn ask(&self, request: Request<'_>, head: &EncodedHead) -> Result<Vec<u8>, EmbeddedError> {
        let mut body = RequestBody::open(request, Declared::Nothing);
        let server = Server::main().unwrap_or(request.server());
        let table = self.table(server)?;
        let mut conversation =
            Conversation::new(request, &mut body, Rules::default(), Aside::default());
        let head = Bytes::lend(head.as_bytes());
        let code = conversation.with_calls(|calls| {
            // SAFETY: as in `serve`.
            unsafe { (table.serve)(head, calls) }
        });
        conversation.into_answers(code)
    }

    /// The gateway's table; the first caller of a child starts Python, the others wait.
    fn table(&self, server: Server<'_>) -> Result<&'static GatewayTable, EmbeddedError> {
        let mut reason = None;
        let table = self.table.get_or_init(|| {
            self.start(server).map_err(|error| {
                reason = Some(error);
                Failed
            })
        });
        match (table, reason) {
            (Ok(table), _) => Ok(table),
            (Err(Failed), Some(error)) => Err(error),
            (Err(Failed), None) => Err(EmbeddedError::NotStarted),
        }
    }

    fn start(&self, server: Server<'_>) -> Result<&'static GatewayTable, EmbeddedError> {
        let program = library::find_program(self.python_home.as_deref())?;
        library::open_python(&program)?;
        let table = library::open_gateway(&self.gateway)?;
        let config = EmbeddedConfig {
            gateway: self.config.clone(),
            program: OsString::from(program).into_vec(),
            python: self.python.clone(),
        };
        let config = config.to_bytes();
        let calls = calls::process_calls(server);
        // SAFETY: the table is the gateway's; both arguments live until the call returns, and the
        // gateway copies the calls. `OnceCell` makes this the only call in the process.
        let outcome = unsafe { (table.start)(Bytes::lend(&config), &calls) };
        if outcome == 0 {
            Ok(table)
        } else {
            Err(EmbeddedError::NotStarted)
        }
    }
}
