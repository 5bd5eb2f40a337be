//! `mod_wsgi.server_metrics()`: the scoreboard of the Apache in front, as Python objects.
//!
//! Called by applications, attached to their interpreter. An Apache child has the scoreboard itself; a
//! daemon asks the child whose request it runs, so there it is for the request's thread only.

use std::sync::OnceLock;

use wsgi_wire::launch::Message;
use wsgi_wire::scoreboard::{ProcessScore, Scoreboard, WorkerScore};

use super::PROCESS;
use super::fields::Value;
use super::metrics::dict;
use crate::log;
use crate::python::{Arguments, Owned, Python, Raised};

/// Gives the encoded scoreboard of the server that this process belongs to.
pub type Source = Box<dyn Fn() -> Option<Vec<u8>> + Send + Sync>;

static SOURCE: OnceLock<Source> = OnceLock::new();

/// Sets where an Apache child has its scoreboard from. Only the first call counts.
pub fn set_scoreboard_source(source: Source) {
    let _ = SOURCE.set(source);
}

/// The body of `server_metrics()`.
pub fn server_metrics<'p>(
    python: Python<'p>,
    arguments: Arguments<'p>,
) -> Result<Owned<'p>, Raised> {
    let [] = arguments.bind("server_metrics", [])?;
    let allowed = PROCESS
        .get()
        .is_some_and(|process| process.config.server_metrics);
    let scoreboard = if allowed { python.detached(ask) } else { None };
    match scoreboard {
        Some(scoreboard) => to_python(python, &scoreboard),
        None => Ok(Owned::none(python)),
    }
}

fn ask() -> Option<Scoreboard> {
    let encoded = match SOURCE.get() {
        Some(source) => source(),
        None => log::current_request().and_then(|call| call.scoreboard()),
    };
    Scoreboard::from_bytes(&encoded?).ok()
}

fn seconds(micros: u64) -> Value {
    Value::Number(micros as f64 / 1e6)
}

fn to_python<'p>(python: Python<'p>, scoreboard: &Scoreboard) -> Result<Owned<'p>, Raised> {
    let running = scoreboard
        .current_time
        .saturating_sub(scoreboard.restart_time);
    let metrics = dict(
        python,
        vec![
            ("server_limit", Value::Count(scoreboard.server_limit.into())),
            ("thread_limit", Value::Count(scoreboard.thread_limit.into())),
            (
                "running_generation",
                Value::Count(scoreboard.running_generation.into()),
            ),
            ("restart_time", seconds(scoreboard.restart_time)),
            ("current_time", seconds(scoreboard.current_time)),
            ("running_time", Value::Count(running / 1_000_000)),
        ],
    )?;
    let processes = Owned::list(python)?;
    for process in &scoreboard.processes.0 {
        processes.append(&*process_to_python(python, process)?)?;
    }
    metrics.set_dict_item(&*Owned::interned(python, b"processes")?, &processes)?;
    Ok(metrics)
}

fn process_to_python<'p>(python: Python<'p>, process: &ProcessScore) -> Result<Owned<'p>, Raised> {
    let metrics = dict(
        python,
        vec![
            ("process_num", Value::Count(process.number.into())),
            ("pid", Value::Count(process.pid.into())),
            ("generation", Value::Count(process.generation.into())),
            ("quiescing", Value::Truth(process.quiescing)),
        ],
    )?;
    let workers = Owned::list(python)?;
    for worker in &process.workers.0 {
        workers.append(&*dict(python, worker_fields(worker))?)?;
    }
    metrics.set_dict_item(&*Owned::interned(python, b"workers")?, &workers)?;
    Ok(metrics)
}

fn worker_fields(worker: &WorkerScore) -> Vec<(&'static str, Value)> {
    vec![
        ("thread_num", Value::Count(worker.number.into())),
        ("generation", Value::Count(worker.generation.into())),
        ("status", Value::Text(vec![worker.status])),
        ("access_count", Value::Count(worker.access_count)),
        ("bytes_served", Value::Count(worker.bytes_served)),
        ("start_time", seconds(worker.start_time)),
        ("stop_time", seconds(worker.stop_time)),
        ("last_used", seconds(worker.last_used)),
        ("client", Value::Text(worker.client.clone())),
        ("request", Value::Text(worker.request.clone())),
        ("vhost", Value::Text(worker.vhost.clone())),
    ]
}
