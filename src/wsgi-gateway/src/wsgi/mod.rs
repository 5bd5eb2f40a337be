//! The WSGI adapter (PEP 3333): calls an application for one request and carries its response.
//!
//! Runs on the request's thread, in a daemon and in an Apache child alike. The GIL is held while
//! Python works and released while anything is waited for.

pub mod environ;
pub mod input;
mod response;
pub mod start_response;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use wsgi_wire::Failure;
use wsgi_wire::function::Functions;
use wsgi_wire::head::{RequestHead, flag};

use crate::application::{self, Module, Script};
use crate::call::Call;
use crate::exchange::{Exchange, Verdict};
use crate::function;
use crate::interpreters::Interpreter;
use crate::log::{self, level};
use crate::observe;
use crate::python::{Exception, Object, Owned, Python, Raised, new_function, new_instance};

pub use environ::thread_id;
use response::{Output, Stop, is_head};

/// Memory that a thread uses again for each of its requests.
#[derive(Default)]
struct Scratch {
    head: Vec<u8>,
    body: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// A request and where it goes.
pub struct Request<'r> {
    /// The interpreter of its application group.
    pub interpreter: &'r Interpreter,
    /// Its script.
    pub script: &'r Script,
    /// The script's module.
    pub module: &'r Module,
    /// Its head.
    pub head: &'r RequestHead<'r>,
    /// When the daemon got it, microseconds since 1970; 0 when embedded.
    pub daemon_start: u64,
}

/// Microseconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// A request on this thread, from before its script is loaded to its end: log lines of the thread
/// belong to it.
pub struct Session<'e> {
    call: Arc<Call>,
    exchange: &'e Arc<dyn Exchange>,
    body: Vec<u8>,
    log: Option<log::Before>,
}

impl<'e> Session<'e> {
    /// Begins a request. Called without the GIL, like all of this.
    pub fn begin(exchange: &'e Arc<dyn Exchange>) -> Self {
        let scratch = SCRATCH.with(|scratch| std::mem::take(&mut *scratch.borrow_mut()));
        let call = Call::new(exchange, scratch.head);
        let log = Some(log::begin_request(&call));
        Session {
            call,
            exchange,
            body: scratch.body,
            log,
        }
    }

    /// The request is going to run in this interpreter.
    pub fn goes_to(&self, interpreter: &'static Interpreter) {
        if let Some(running) = self.exchange.running() {
            running.goes_to(interpreter);
        }
    }

    /// See [`Exchange::script_modified`].
    pub fn script_modified(&self) -> Option<i64> {
        self.exchange.script_modified()
    }

    /// Calls functions in an application's place.
    pub fn ask(&self, request: &Request<'_>, functions: &Functions<'_>) -> Verdict {
        function::answer(request, functions, &self.call, self.exchange.as_ref())
    }

    /// Runs the application, to the end of its response.
    pub fn run(&mut self, request: &Request<'_>) -> Verdict {
        if observe::watched() != 0 {
            observe::begin(&self.call, request.head, request.daemon_start);
        }
        let result = {
            let attached = request.interpreter.attach_in_turn();
            let python = attached.python();
            let result = attend(python, request, &self.call, self.exchange, &mut self.body);
            if request.head.flags & flag::RELOADING != 0 && request.module.wants_new_stamp(python) {
                request.script.expire(request.module);
            }
            result
        };
        // A short body goes out here, when the thread has done with Python, so it need not come back.
        let outcome =
            result.and_then(|output| finish(&self.call, request.head, output, &self.body));
        if self.call.observed.is_used() {
            self.tell_of_end(request, outcome.err());
        }
        match outcome {
            Ok(()) => Verdict::Whole,
            Err(failure) => Verdict::Failed(failure),
        }
    }

    /// Tells those who observe the request that it is over.
    fn tell_of_end(&self, request: &Request<'_>, failure: Option<Failure>) {
        let status = {
            let response = self.call.response.lock();
            match failure {
                Some(failure) if !response.head_sent => failure.status(),
                _ => response.status,
            }
        };
        let summary = observe::end(&self.call, request.head, request.daemon_start, status);
        if !self.call.observed.has_record() {
            return;
        }
        let attached = request.interpreter.attach();
        let python = attached.python();
        let told = observe::tell_of_end(python, &self.call.observed, summary.as_ref());
        if let Err(raised) = told {
            let error = raised.take(python);
            application::log_application_error(python, request.interpreter, request.script, &error);
        }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if let Some(before) = self.log.take() {
            log::end_request(before);
        }
        let mut scratch = Scratch {
            head: self.call.end(),
            body: std::mem::take(&mut self.body),
        };
        scratch.head.clear();
        scratch.body.clear();
        SCRATCH.with(|kept| *kept.borrow_mut() = scratch);
    }
}

/// The part of a request that needs the GIL. Every exception is logged here.
fn attend(
    python: Python<'_>,
    request: &Request<'_>,
    call: &Arc<Call>,
    exchange: &Arc<dyn Exchange>,
    body: &mut Vec<u8>,
) -> Result<Output, Failure> {
    let application = match request.module.callable(python, request.head.callable) {
        Ok(Some(application)) => application,
        Ok(None) => {
            let callable = request.head.callable;
            python.detached(|| application::log_callable_missing(request.script, callable));
            return Err(Failure::CallableMissing);
        }
        Err(raised) => return Err(failed(python, request, call, raised)),
    };
    let (environ, start_response) = match arguments(python, request, (call, exchange)) {
        Ok(arguments) => arguments,
        Err(raised) => return Err(failed(python, request, call, raised)),
    };
    let _loan = call.observed.environ.put(&environ);
    exchange.started()?;
    // From here on, and no longer than the application's code runs, it may be interrupted.
    let inside = exchange.running().map(|running| running.enter(python));
    let application = if observe::watched() & observe::RECORDS == 0 {
        Ok(application)
    } else {
        observe::request_started(
            python,
            request.interpreter,
            &environ,
            &application,
            request.head.attempts,
        )
    };
    let result =
        application.and_then(|application| application.call2(python, &environ, &start_response));
    let result = match result {
        Ok(result) => result,
        Err(raised) => {
            drop(inside);
            return Err(failed(python, request, call, raised));
        }
    };
    let sent = response::send(
        python,
        request.interpreter,
        (call, request.head),
        &result,
        body,
    );
    let output = match sent {
        Ok(output) => {
            close(python, request, &result);
            drop(inside);
            Ok(output)
        }
        Err(stop) => {
            drop(inside);
            let failure = match stop {
                Stop::Raised(raised) => failed(python, request, call, raised),
                Stop::Broken(failure) => ended_early(python, failure),
            };
            close(python, request, &result);
            Err(failure)
        }
    };
    if let Some(meter) = call.observed.meter() {
        meter.application_finishes(now());
    }
    output
}

/// Builds the environ and `start_response`.
fn arguments<'p>(
    python: Python<'p>,
    request: &Request<'_>,
    (call, exchange): (&Arc<Call>, &Arc<dyn Exchange>),
) -> Result<(Owned<'p>, Owned<'p>), Raised> {
    let objects = &request.interpreter.objects;
    let input = input::make(
        python,
        objects.input.object(python),
        call,
        &request.head.body,
    )?;
    let responder = start_response::Responder(Arc::clone(call));
    let responder = new_instance(python, objects.responder.object(python), responder)?;
    let bound = |definition| new_function(python, definition, Some(&responder));
    let start_response = bound(&start_response::START_RESPONSE.0[0])?;
    let early_hints = bound(&start_response::EARLY_HINTS.0[0])?;
    let moments = environ::Moments {
        daemon_start: request.daemon_start,
        application_start: now(),
    };
    if let Some(meter) = call.observed.meter() {
        meter.application_starts(moments.application_start);
    }
    let environ = environ::build(
        python,
        (
            environ::Base {
                template: objects.template.object(python),
                own: &objects.own_keys,
            },
            &request.interpreter.known_keys,
        ),
        request.head,
        &moments,
        &environ::RequestObjects {
            input: &input,
            early_hints: &early_hints,
            request_rec: exchange
                .request_rec()
                .map(|pointer| Owned::capsule(python, pointer))
                .transpose()?,
        },
    )?;
    if let Some(rebase) = &objects.rebase {
        rebase.object(python).call1(python, &environ)?;
    }
    Ok((environ, start_response))
}

/// Logs an exception and tells how the request ends. When the application merely passed on that
/// its client failed, that is the failure, and nobody's fault here.
fn failed(python: Python<'_>, request: &Request<'_>, call: &Call, raised: Raised) -> Failure {
    let error = raised.take(python);
    if call.observed.is_used() {
        if let Some(meter) = call.observed.meter() {
            meter.application_finishes(now());
        }
        if let Err(raised) = observe::exception(python, &call.observed, &error) {
            raised.discard(python, ());
        }
    }
    let (broken, body_failed, head_sent) = {
        let response = call.response.lock();
        (response.broken, response.body_failed, response.head_sent)
    };
    if error.is_of(Exception::Os) {
        if let Some(failure) = broken {
            return ended_early(python, failure);
        }
        if let Some(failure) = body_failed {
            let path = request.script.shown();
            let why = why_unread(failure);
            let line = format!("WSGI script '{path}' ended, as {why}");
            python.detached(|| log::message(level::INFO, line.as_bytes()));
            return failure;
        }
    }
    let interrupted = application::is_interruption(python, request.interpreter, &error);
    if !interrupted {
        application::log_application_error(python, request.interpreter, request.script, &error);
    }
    if head_sent {
        Failure::Incomplete
    } else if interrupted {
        Failure::Interrupted
    } else {
        Failure::Application
    }
}

/// Why a request body could not be read to its end.
fn why_unread(failure: Failure) -> &'static str {
    match failure {
        Failure::ClientGone => "the client closed the connection before it had sent its request",
        Failure::BodyTimedOut => "the client sent its request too slowly",
        Failure::BodyTooLarge => "the request body is larger than LimitRequestBody allows",
        Failure::BodyMalformed => "the framing of the request body is malformed",
        _ => "the request body could not be read",
    }
}

fn ended_early(python: Python<'_>, failure: Failure) -> Failure {
    if log::wanted(level::DEBUG) {
        let line = format!("the exchange with the client ended early: {failure:?}");
        python.detached(|| log::message(level::DEBUG, line.as_bytes()));
    }
    failure
}

/// Calls the `close` of what the application returned, once, whatever came before; its exceptions
/// are logged and change nothing (PEP 3333, "Specification Details").
fn close(python: Python<'_>, request: &Request<'_>, result: &Object) {
    if result.is_exact_list() || result.is_exact_tuple() {
        return;
    }
    let name = request.interpreter.objects.close.object(python);
    let closed = match result.optional_attribute(python, name) {
        Ok(Some(close)) => close.call0(python).map(drop),
        Ok(None) => Ok(()),
        Err(raised) => Err(raised),
    };
    if let Err(raised) = closed {
        let error = raised.take(python);
        application::log_application_error(python, request.interpreter, request.script, &error);
    }
}

/// Sends what was held back and judges whether the response is whole. Called without the GIL.
fn finish(call: &Call, head: &RequestHead<'_>, output: Output, body: &[u8]) -> Result<(), Failure> {
    match output {
        Output::Held => call.send(body, false)?,
        Output::Sent => call.send_head()?,
    }
    let response = call.response.lock();
    let (sent, bodiless) = (response.sent, response.bodiless());
    let Some(declared) = response
        .declared
        .filter(|declared| *declared > sent && !bodiless)
    else {
        return Ok(());
    };
    drop(response);
    if is_head(head) {
        return Ok(());
    }
    let line = format!("the response has {sent} of the {declared} bytes of its Content-Length");
    log::message(level::WARNING, line.as_bytes());
    Err(Failure::Incomplete)
}
