//! Calls functions of a script for a decision of httpd: access, authentication, authorization, and
//! which application answers.
//!
//! Runs on the request's thread, in a daemon and in an Apache child alike, in the place of the WSGI
//! adapter. It knows no function by name: what an answer means is the module's to say.

use std::sync::Arc;

use wsgi_wire::Failure;
use wsgi_wire::frame::MAX_DATA;
use wsgi_wire::function::{Answer, Functions};

use crate::application;
use crate::call::Call;
use crate::enquiry;
use crate::exchange::{Exchange, Verdict};
use crate::log::{self, level};
use crate::python::{Object, Owned, Python, Raised};
use crate::wsgi::Request;

/// Why there is no answer.
enum Stop {
    /// An exception, still to be logged.
    Raised(Raised),
    /// The way to the module is broken.
    Broken(Failure),
}

impl From<Raised> for Stop {
    fn from(raised: Raised) -> Self {
        Stop::Raised(raised)
    }
}

/// Calls the functions one after another and sends what they returned. An exception ends it, and is
/// logged. Called without the GIL.
pub fn answer(
    request: &Request<'_>,
    functions: &Functions<'_>,
    call: &Arc<Call>,
    exchange: &dyn Exchange,
) -> Verdict {
    let attached = request.interpreter.attach_in_turn();
    let python = attached.python();
    let called = call_all(python, request, functions, (call, exchange));
    let answers = match called {
        Ok(answers) => answers,
        Err(Stop::Broken(failure)) => return Verdict::Failed(failure),
        Err(Stop::Raised(raised)) => {
            let error = raised.take(python);
            if application::is_interruption(python, request.interpreter, &error) {
                return Verdict::Failed(Failure::Interrupted);
            }
            application::log_application_error(python, request.interpreter, request.script, &error);
            return Verdict::Failed(Failure::Application);
        }
    };
    drop(attached);
    send(request, exchange, &answers)
}

fn send(request: &Request<'_>, exchange: &dyn Exchange, answers: &[Answer]) -> Verdict {
    let mut encoded = Vec::new();
    answers
        .iter()
        .for_each(|answer| answer.encode(&mut encoded));
    if encoded.len() > MAX_DATA as usize {
        let line = format!(
            "the functions of WSGI script '{}' returned {} bytes, more than the {MAX_DATA} that \
             fit",
            request.script.shown(),
            encoded.len(),
        );
        log::message(level::ERROR, line.as_bytes());
        return Verdict::Failed(Failure::Application);
    }
    match exchange.answer(&encoded) {
        Ok(()) => Verdict::Whole,
        Err(failure) => Verdict::Failed(failure),
    }
}

fn call_all(
    python: Python<'_>,
    request: &Request<'_>,
    functions: &Functions<'_>,
    (call, exchange): (&Arc<Call>, &dyn Exchange),
) -> Result<Vec<Answer>, Stop> {
    let mut arguments = vec![environ(python, request, call)?];
    for argument in functions.arguments() {
        arguments.push(Owned::latin1(python, argument)?);
    }
    exchange.started().map_err(Stop::Broken)?;
    // Until the last one has returned they may be interrupted.
    let _inside = exchange.running().map(|running| running.enter(python));
    let mut answers = Vec::new();
    for name in functions.names() {
        answers.push(match request.module.callable(python, name)? {
            Some(function) => {
                let arguments = arguments
                    .iter()
                    .map(|argument| (**argument).to_owned(python));
                let returned = function.call(python, arguments.collect())?;
                answer_of(python, &returned)?
            }
            None => Answer::Missing,
        });
    }
    Ok(answers)
}

/// The environ: what the module says of the request, where messages go, and how to ask for more. It
/// has no body.
fn environ<'p>(
    python: Python<'p>,
    request: &Request<'_>,
    call: &Arc<Call>,
) -> Result<Owned<'p>, Raised> {
    let template = request.interpreter.objects.function_template.object(python);
    let environ = Owned::dict_copy(python, template)?;
    let known_keys = &request.interpreter.known_keys;
    known_keys.put(python, &environ, request.head)?;
    enquiry::add(python, request, call, &environ)?;
    Ok(environ)
}

/// A returned value; one that is neither plain nor iterable is told by its type's name.
fn answer_of(python: Python<'_>, value: &Object) -> Result<Answer, Raised> {
    if let Some(plain) = plain(python, value)? {
        return Ok(plain);
    }
    let iterator = match value.iterate(python) {
        Ok(iterator) => iterator,
        Err(raised) => return Ok(raised.discard(python, other(python, value))),
    };
    let mut items = Vec::new();
    let mut bytes = 0;
    // What is too much for an answer is not collected; the sender complains.
    while bytes <= MAX_DATA as usize
        && let Some(item) = iterator.next_item(python)?
    {
        let item = match plain(python, &item)? {
            Some(plain) => plain,
            None => other(python, &item),
        };
        bytes += match &item {
            Answer::Text(text) | Answer::Bytes(text) | Answer::Other(text) => 5 + text.len(),
            _ => 1,
        };
        items.push(item);
    }
    Ok(Answer::Items(items))
}

fn plain(python: Python<'_>, value: &Object) -> Result<Option<Answer>, Raised> {
    if value.is_none() {
        return Ok(Some(Answer::None));
    }
    if let Some(truth) = value.as_bool() {
        return Ok(Some(Answer::Bool(truth)));
    }
    if let Some(bytes) = value.as_bytes() {
        return Ok(Some(Answer::Bytes(bytes.to_vec())));
    }
    if value.is_str() {
        return value.utf8(python).map(|text| Some(Answer::Text(text)));
    }
    Ok(None)
}

fn other(python: Python<'_>, value: &Object) -> Answer {
    Answer::Other(value.type_name(python).into_bytes())
}
