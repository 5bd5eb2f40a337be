//! The process's own log: lines in Apache's format on the inherited error log.
//!
//! Used from every thread of a daemon, with or without the GIL. Never waits for Python.

use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;

use wsgi_unix::log::{self, Level};

use crate::log::ProcessLog;

/// Apache's number of the level `warn` (`http_log.h`).
pub(super) const WARNING: u8 = Level::Warn as u8;

/// The process's log with lines up to Apache's level `threshold`, for panics as well.
pub(super) fn open(threshold: u8) -> ProcessLog {
    log::set_threshold(Level::from_number(threshold));
    std::panic::set_hook(Box::new(|panic| {
        log::line(
            Level::Crit,
            format_args!("internal error, please report it: {panic}"),
        );
    }));
    Arc::new(|level, text| log::lines(Level::from_number(level), text))
}

/// An error and its causes in one line.
pub(super) fn with_causes(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        // Writing to a String does not fail.
        let _ = write!(line, ": {source}");
        cause = source.source();
    }
    line
}
