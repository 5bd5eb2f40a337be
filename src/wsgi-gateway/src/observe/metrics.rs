//! The functions of `mod_wsgi` that give metrics to applications.
//!
//! Called by applications, attached to their interpreter; anything that waits is done without the
//! GIL. Where telemetry is configured it owns the numbers, and these functions give None.

use super::fields::{self, Value};
use super::sample::{self, Sample};
use super::scoreboard;
use super::{METRICS, PROCESS, watch, watched};
use crate::python::{Arguments, Methods, Owned, Python, Raised, keywords_method, python_function};

/// The functions that the Python half gets.
pub static FUNCTIONS: Methods<4> = Methods([
    keywords_method(
        c"server_metrics",
        server_metrics,
        c"What every thread of Apache does, or None where that is not allowed.",
    ),
    keywords_method(
        c"start_recording_metrics",
        start_recording_metrics,
        c"Has the requests of this process counted and timed from now on.",
    ),
    keywords_method(
        c"request_metrics",
        request_metrics,
        c"What the process did since the last call, or None without recording.",
    ),
    keywords_method(
        c"process_metrics",
        process_metrics,
        c"What the process has done since it began, or None without recording.",
    ),
]);

python_function!(server_metrics, scoreboard::server_metrics);
python_function!(start_recording_metrics, started);
python_function!(request_metrics, of_requests);
python_function!(process_metrics, of_process);

/// Whether the application may have the numbers.
fn recording() -> bool {
    let reported = PROCESS
        .get()
        .is_some_and(|process| process.config.telemetry.is_some());
    watched() & METRICS != 0 && !reported
}

fn started<'p>(python: Python<'p>, arguments: Arguments<'p>) -> Result<Owned<'p>, Raised> {
    let [] = arguments.bind("start_recording_metrics", [])?;
    watch(METRICS);
    Ok(Owned::none(python))
}

fn of_requests<'p>(python: Python<'p>, arguments: Arguments<'p>) -> Result<Owned<'p>, Raised> {
    let [] = arguments.bind("request_metrics", [])?;
    let sample = python.detached(|| recording().then(Sample::take).flatten());
    match sample {
        Some(sample) => dict(python, fields::of_requests(&sample)),
        None => Ok(Owned::none(python)),
    }
}

fn of_process<'p>(python: Python<'p>, arguments: Arguments<'p>) -> Result<Owned<'p>, Raised> {
    let [] = arguments.bind("process_metrics", [])?;
    let Some(process) = PROCESS.get().filter(|_| recording()) else {
        return Ok(Owned::none(python));
    };
    let (totals, fields) = python.detached(|| {
        let totals = sample::totals();
        let fields = fields::of_process(process.begun(), &totals);
        (totals, fields)
    });
    let metrics = dict(python, fields)?;
    let threads = Owned::list(python)?;
    for (thread, requests) in totals.threads {
        let counts = [
            ("thread_id", Value::Count(thread)),
            ("request_count", Value::Count(requests)),
        ];
        threads.append(&*dict(python, counts.into())?)?;
    }
    metrics.set_dict_item(&*Owned::interned(python, b"threads")?, &threads)?;
    Ok(metrics)
}

/// A dict of these fields.
pub fn dict<'p>(
    python: Python<'p>,
    fields: Vec<(&'static str, Value)>,
) -> Result<Owned<'p>, Raised> {
    let dict = Owned::dict(python)?;
    for (name, value) in fields {
        let value = object(python, value)?;
        dict.set_dict_item(&*Owned::interned(python, name.as_bytes())?, &value)?;
    }
    Ok(dict)
}

fn object<'p>(python: Python<'p>, value: Value) -> Result<Owned<'p>, Raised> {
    match value {
        Value::None => Ok(Owned::none(python)),
        Value::Count(count) => Owned::int(python, count),
        Value::Number(number) => Owned::float(python, number),
        Value::Text(text) => Owned::latin1(python, &text),
        Value::Truth(truth) => Owned::bool(python, truth),
        Value::Counts(counts) => {
            let list = Owned::list(python)?;
            for count in counts {
                list.append(&*Owned::int(python, count.into())?)?;
            }
            Ok(list)
        }
        Value::Numbers(numbers) => {
            let list = Owned::list(python)?;
            for number in numbers {
                list.append(&*Owned::float(python, number)?)?;
            }
            Ok(list)
        }
    }
}
