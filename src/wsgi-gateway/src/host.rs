//! The Python side of a process: its interpreters, its applications and the way to call them.
//!
//! One [`Host`] per process, in a daemon and in an Apache child alike; called from any thread. It
//! does no input or output of its own but the log's: requests reach their client by [`Exchange`].

use std::sync::Arc;

use thiserror::Error;
use wsgi_wire::head::RequestHead;
use wsgi_wire::launch::GatewayConfig;

use crate::exchange::{Exchange, Verdict};

/// Writes a line, without its end, to the server's error log outside of a request: level, text.
/// Called with or without the GIL, so it must not wait for Python.
pub type ProcessLog = Arc<dyn Fn(u8, &[u8]) + Send + Sync>;

/// Why Python could not be made ready for applications.
#[derive(Debug, Error)]
pub enum StartError {
    /// The main interpreter refused its set-up.
    #[error("cannot prepare the main interpreter: {0}")]
    Interpreter(String),
}

/// The Python side of a process; lives until the process ends.
pub struct Host {
    log: ProcessLog,
    config: GatewayConfig,
}

impl Host {
    /// Makes the current interpreter the main interpreter of a new host.
    ///
    /// The calling thread is Python's main thread and holds the GIL; it still does afterwards.
    /// `config.imports` are not loaded yet: see [`Host::load_imports`].
    pub fn adopt(config: GatewayConfig, log: ProcessLog) -> Result<Arc<Host>, StartError> {
        Ok(Arc::new(Host { log, config }))
    }

    /// Loads the configured imports in order; a failure is logged and tolerated. Called without the
    /// GIL.
    pub fn load_imports(&self) {}

    /// Runs one request to its end. Called without the GIL, from any thread.
    pub fn serve(&self, head: &RequestHead<'_>, exchange: &Arc<dyn Exchange>) -> Verdict {
        let _ = (head, exchange, &self.log, &self.config);
        Verdict::Replace
    }

    /// Runs what the applications registered for the process's end, in every interpreter. Called
    /// without the GIL, when no request runs any more or none is waited for; may take as long as the
    /// applications' functions do, so the caller sets a deadline.
    pub fn shutdown(&self) {}

    /// Frees what Python keeps for the calling thread, which is about to end. Called without the GIL.
    pub fn thread_ended(&self) {}

    /// Whether any application was loaded in this process.
    pub fn loaded_any(&self) -> bool {
        false
    }
}
