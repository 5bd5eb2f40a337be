//! Where the gateway meets `events.py`: the functions that file calls, and the calls into it.
//!
//! Attached to the interpreter of the request. An exception of the Python half itself is a fault of
//! ours and becomes the request's; those of subscribers never come here.

use super::{Meter, Observation, Summary, watch};
use wsgi_wire::head::Attempts;

use crate::interpreters::Interpreter;
use crate::log;
use crate::python::{
    self, Arguments, Methods, Object, Owned, Python, Raised, keywords_method, python_function,
};

/// The functions that `events.py` gets.
pub static FUNCTIONS: Methods<3> = Methods([
    keywords_method(
        c"watch",
        watch_function,
        c"Tells what is wanted from now on.",
    ),
    keywords_method(
        c"current_request",
        current_request,
        c"The environ and the record of this thread's request, or None.",
    ),
    keywords_method(
        c"keep_record",
        keep_record,
        c"Gives this thread's request its record.",
    ),
]);

python_function!(watch_function, watched);
python_function!(current_request, found);
python_function!(keep_record, kept);

fn watched<'p>(python: Python<'p>, arguments: Arguments<'p>) -> Result<Owned<'p>, Raised> {
    let [what] = arguments.bind("watch", ["what"])?;
    let what = what.and_then(|what| what.as_u64(python));
    watch(what.and_then(|what| u8::try_from(what).ok()).unwrap_or(0));
    Ok(Owned::none(python))
}

fn found<'p>(python: Python<'p>, arguments: Arguments<'p>) -> Result<Owned<'p>, Raised> {
    let [] = arguments.bind("current_request", [])?;
    let Some(call) = log::current_request() else {
        return Ok(Owned::none(python));
    };
    let Some(environ) = call.observed.environ.object(python) else {
        return Ok(Owned::none(python));
    };
    let record = call.observed.record(python);
    let record = record.unwrap_or_else(|| Owned::none(python));
    Owned::tuple(python, vec![environ, record])
}

fn kept<'p>(python: Python<'p>, arguments: Arguments<'p>) -> Result<Owned<'p>, Raised> {
    let [record] = arguments.bind("keep_record", ["record"])?;
    if let (Some(record), Some(call)) = (record, log::current_request()) {
        call.observed.keep_record(python, record);
    }
    Ok(Owned::none(python))
}

/// Makes the request's record and tells of its start; gives what is to be called.
pub fn request_started<'p>(
    python: Python<'p>,
    interpreter: &Interpreter,
    environ: &Object,
    application: &Object,
    attempts: Attempts,
) -> Result<Owned<'p>, Raised> {
    let arguments = vec![
        environ.to_owned(python),
        application.to_owned(python),
        Owned::int(python, attempts.made.into())?,
        Owned::int(python, attempts.turned_away.into())?,
    ];
    let started = interpreter.objects.request_started.object(python);
    started.call(python, arguments)
}

/// Tells that the application has called `start_response`.
pub fn response_started(
    python: Python<'_>,
    observed: &Observation,
    [status, headers]: [&Object; 2],
    exc_info: Option<&Object>,
) -> Result<(), Raised> {
    let Some(record) = observed.record(python) else {
        return Ok(());
    };
    let exc_info = exc_info.map_or_else(|| Owned::none(python), |info| info.to_owned(python));
    let arguments = vec![status.to_owned(python), headers.to_owned(python), exc_info];
    let method = record.attribute(python, c"response_started")?;
    method.call(python, arguments).map(drop)
}

/// Tells of an exception that the application did not catch.
pub fn exception(
    python: Python<'_>,
    observed: &Observation,
    error: &python::Error<'_>,
) -> Result<(), Raised> {
    let Some(record) = observed.record(python) else {
        return Ok(());
    };
    let parts: [&Object; 3] = [&error.class, &error.value, &error.trace];
    let arguments = parts.map(|part| part.to_owned(python)).into();
    let method = record.attribute(python, c"exception")?;
    method.call(python, arguments).map(drop)
}

/// Tells that the request is over, and lets go of its record.
pub fn tell_of_end(
    python: Python<'_>,
    observed: &Observation,
    summary: Option<&Summary>,
) -> Result<(), Raised> {
    let Some(record) = observed.take_record(python) else {
        return Ok(());
    };
    let values = match (observed.meter(), summary) {
        (Some(meter), Some(summary)) => finished_values(python, meter, summary)?,
        _ => Vec::new(),
    };
    let method = record.attribute(python, c"finished")?;
    method.call(python, values).map(drop)
}

/// In the order of `FINISHED_FIELDS` in `events.py`.
fn finished_values<'p>(
    python: Python<'p>,
    meter: &Meter,
    summary: &Summary,
) -> Result<Vec<Owned<'p>>, Raised> {
    let (start, finish) = meter.application();
    let (processor, waits) = (summary.processor, summary.waits);
    let int = |value| Owned::int(python, value);
    let float = |value| Owned::float(python, value);
    Ok(vec![
        float(finish as f64 / 1e6)?,
        float(finish.saturating_sub(start) as f64 / 1e6)?,
        int(summary.status.into())?,
        int(meter.input.count())?,
        int(meter.input.bytes())?,
        float(meter.input.time().as_secs_f64())?,
        int(meter.output.count())?,
        int(meter.output.bytes())?,
        float(meter.output.time().as_secs_f64())?,
        float(processor.user.as_secs_f64())?,
        float(processor.system.as_secs_f64())?,
        float(processor.total().as_secs_f64())?,
        float(waits.total.as_secs_f64())?,
        int(waits.count)?,
    ])
}
