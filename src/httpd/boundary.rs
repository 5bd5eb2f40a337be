//! The one panic boundary: every function that httpd calls is one call to [`guard`].
//!
//! Runs in whatever process and thread httpd calls us. A panic must not reach C: it would end the
//! process, and with it every request of the child.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `body`; after a panic, whose message the panic hook has written to the error log, answers
/// `on_panic`.
pub fn guard<T>(on_panic: T, body: impl FnOnce() -> T) -> T {
    // Whatever a panic leaves half done belongs to one request or to a configuration that is then
    // refused, so nobody sees it again.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(on_panic)
}
