//! `wsgi.input`: the request body as a readable object (PEP 3333, "Input and Error Streams").
//!
//! Created on the request's thread; any thread of the application may read it, one at a time. Nothing
//! is read from the client before the application asks, and no more is kept than a line needs, so
//! a body of any size streams through constant memory.

use std::ffi::CStr;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use pyo3::ffi;
use wsgi_wire::Failure;
use wsgi_wire::head::Body;

use crate::call::Call;
use crate::python::{
    self, Arguments, Exception, Methods, NO_ARGUMENTS, Object, Owned, Python, Raised, Receiver,
    Slots, fence_function, fence_method, fence_next, keywords_method, new_instance, new_type,
    no_arguments_method,
};

/// How much is asked of the client at once when the application wants a line or everything, bytes.
const PIECE: usize = 64 << 10;

/// The largest result whose memory is taken before its bytes have come, bytes.
const TAKEN_AHEAD: u64 = 4 << 20;

/// Why a read gives nothing.
enum Refusal {
    Ended,
    Failed(Failure),
    FailedBefore,
}

/// What is left of the body.
struct Reader {
    call: Arc<Call>,
    /// Bytes that came and were not asked for yet, from `start` on.
    kept: Vec<u8>,
    start: usize,
    /// Bytes still to come, when the client declared how many.
    remaining: Option<u64>,
    at_end: bool,
    failed: bool,
}

impl Reader {
    fn kept(&self) -> &[u8] {
        &self.kept[self.start..]
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start == self.kept.len() {
            self.kept.clear();
            self.start = 0;
        }
    }

    /// Reads once into `buffer`, waiting for the client; 0 is the end.
    fn pull(&mut self, buffer: &mut [u8]) -> Result<usize, Refusal> {
        if self.at_end || buffer.is_empty() {
            return Ok(0);
        }
        if self.failed {
            return Err(Refusal::FailedBefore);
        }
        let count = match self.call.read_body(buffer) {
            None => return Err(Refusal::Ended),
            Some(Ok(count)) => count.min(buffer.len()),
            Some(Err(failure)) => {
                self.failed = true;
                return Err(Refusal::Failed(failure));
            }
        };
        self.remaining = self.remaining.map(|left| left.saturating_sub(count as u64));
        // At the declared end no further question is needed.
        self.at_end = count == 0 || self.remaining == Some(0);
        Ok(count)
    }

    /// Reads until `buffer` is full or the body ends.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Refusal> {
        let mut filled = self.kept().len().min(buffer.len());
        buffer[..filled].copy_from_slice(&self.kept()[..filled]);
        self.consume(filled);
        while filled < buffer.len() && !self.at_end {
            filled += self.pull(&mut buffer[filled..])?;
        }
        Ok(filled)
    }

    /// Reads the rest of the body, at most `limit` bytes; memory grows as bytes come.
    fn read_growing(&mut self, limit: u64) -> Result<Vec<u8>, Refusal> {
        let mut out = Vec::new();
        loop {
            let filled = out.len();
            let step = (filled.max(PIECE) as u64).min(limit - filled as u64) as usize;
            if step == 0 {
                return Ok(out);
            }
            out.resize(filled + step, 0);
            let count = self.fill(&mut out[filled..])?;
            if count < step {
                out.truncate(filled + count);
                return Ok(out);
            }
        }
    }

    /// Reads up to and including a line feed, at most `limit` bytes.
    fn read_line(&mut self, limit: usize) -> Result<Vec<u8>, Refusal> {
        let mut searched = 0;
        loop {
            let kept = self.kept();
            let window = kept.len().min(limit);
            let found = kept[searched.min(window)..window]
                .iter()
                .position(|byte| *byte == b'\n');
            let end = found.map(|at| searched + at + 1);
            if end.is_some() || window == limit || self.at_end {
                let line = kept[..end.unwrap_or(window)].to_vec();
                self.consume(line.len());
                return Ok(line);
            }
            searched = window;
            self.keep_more()?;
        }
    }

    fn keep_more(&mut self) -> Result<(), Refusal> {
        self.kept.drain(..self.start);
        self.start = 0;
        let mut kept = std::mem::take(&mut self.kept);
        let filled = kept.len();
        kept.resize(filled + PIECE, 0);
        let result = self.pull(&mut kept[filled..]);
        kept.truncate(filled + *result.as_ref().unwrap_or(&0));
        self.kept = kept;
        result.map(|_| ())
    }

    /// The most that a read can still give, if that is known.
    fn known_rest(&self) -> Option<u64> {
        let kept = self.kept().len() as u64;
        if self.at_end {
            Some(kept)
        } else {
            self.remaining.map(|left| left + kept)
        }
    }
}

/// The value inside an `Input` object.
pub struct Input {
    call: Arc<Call>,
    reader: Mutex<Reader>,
}

fn raise(python: Python<'_>, refusal: &Refusal) -> Raised {
    let reason = match refusal {
        Refusal::Ended => {
            let message = "wsgi.input cannot be used after its request has ended";
            return Exception::Runtime.raise(python, message);
        }
        Refusal::Failed(Failure::Interrupted) => return interrupted(python),
        Refusal::FailedBefore => "the input is already in an error state",
        Refusal::Failed(Failure::ClientGone) => "Connection was terminated",
        Refusal::Failed(Failure::BodyTimedOut) => "the client was too slow",
        Refusal::Failed(Failure::BodyTooLarge) => "the body is larger than LimitRequestBody allows",
        Refusal::Failed(Failure::BodyMalformed) => "the body is malformed",
        Refusal::Failed(_) => "the body cannot be read",
    };
    Exception::Os.raise(
        python,
        &format!("mod_wsgi request data read error: {reason}"),
    )
}

/// The request has taken too long, and this read was cut short for it.
fn interrupted(python: Python<'_>) -> Raised {
    // The same exception may be on its way to this thread already.
    python::send_exception(python, python::thread_ident(), None);
    let message = c"the request has waited for its client until request-timeout";
    python::raise_named(python, (c"mod_wsgi", c"RequestTimeout"), message)
}

impl Input {
    /// Runs `work` on the reader; waits for another thread's read with the GIL released.
    fn with<R: Send>(
        &self,
        python: Python<'_>,
        work: impl FnOnce(&mut Reader) -> Result<R, Refusal> + Send,
    ) -> Result<R, Raised> {
        let result = python.detached(|| work(&mut self.reader.lock()));
        result.map_err(|refusal| raise(python, &refusal))
    }

    /// A use by the application, measured if somebody wants that.
    fn counted<'p>(
        &self,
        read: impl FnOnce(&Self) -> Result<Owned<'p>, Raised>,
        length: impl FnOnce(&Owned<'p>) -> usize,
    ) -> Result<Owned<'p>, Raised> {
        let Some(meter) = self.call.observed.meter() else {
            return read(self);
        };
        let since = Instant::now();
        let data = read(self)?;
        meter.input.add(since, length(&data) as u64);
        Ok(data)
    }

    fn read<'p>(&self, python: Python<'p>, limit: Option<u64>) -> Result<Owned<'p>, Raised> {
        let wanted = {
            // What is there already is given without letting go of the GIL.
            let Some(mut reader) = self.reader.try_lock() else {
                return self.read_waiting(python, limit.unwrap_or(u64::MAX));
            };
            let rest = reader.known_rest();
            let wanted = limit.unwrap_or(u64::MAX).min(rest.unwrap_or(u64::MAX));
            if wanted <= reader.kept().len() as u64 {
                let result = Owned::bytes(python, &reader.kept()[..wanted as usize])?;
                reader.consume(wanted as usize);
                return Ok(result);
            }
            wanted
        };
        if wanted <= TAKEN_AHEAD {
            let filled = Owned::bytes_filled(python, wanted as usize, |memory| {
                self.reader.lock().fill(memory)
            })?;
            return filled.map_err(|refusal| raise(python, &refusal));
        }
        self.read_waiting(python, wanted)
    }

    fn read_waiting<'p>(&self, python: Python<'p>, limit: u64) -> Result<Owned<'p>, Raised> {
        let bytes = self.with(python, |reader| reader.read_growing(limit))?;
        Owned::bytes(python, &bytes)
    }

    fn read_line<'p>(&self, python: Python<'p>, limit: Option<u64>) -> Result<Owned<'p>, Raised> {
        let limit = limit.map_or(usize::MAX, |limit| {
            usize::try_from(limit).unwrap_or(usize::MAX)
        });
        let line = self.with(python, |reader| reader.read_line(limit))?;
        Owned::bytes(python, &line)
    }

    fn read_lines<'p>(&self, python: Python<'p>, hint: Option<u64>) -> Result<Owned<'p>, Raised> {
        let lines = Owned::list(python)?;
        let mut total = 0;
        loop {
            let line = self.read_line(python, None)?;
            let length = line.as_bytes().map_or(0, <[u8]>::len) as u64;
            if length == 0 {
                return Ok(lines);
            }
            lines.append(&line)?;
            total += length;
            // As io.IOBase does: a hint of 0 or less means no hint.
            if hint.is_some_and(|hint| hint > 0 && total >= hint) {
                return Ok(lines);
            }
        }
    }
}

/// The size argument of the reading methods: None and negative numbers mean no limit.
fn limit(python: Python<'_>, argument: Option<&Object>) -> Result<Option<u64>, Raised> {
    let Some(argument) = argument.filter(|argument| !argument.is_none()) else {
        return Ok(None);
    };
    Ok(u64::try_from(argument.as_i64(python)?).ok())
}

type Reading<'p> = fn(&Input, Python<'p>, Option<u64>) -> Result<Owned<'p>, Raised>;

/// The reading methods have the same argument.
fn method<'p>(
    name: &'static str,
    read: Reading<'p>,
) -> impl FnOnce(Python<'p>, Receiver<'p, Input>, Arguments<'p>) -> Result<Owned<'p>, Raised> {
    move |python, receiver, arguments| {
        let [size] = arguments.bind(name, ["size"])?;
        if receiver.value.call.has_ended() {
            return Err(raise(python, &Refusal::Ended));
        }
        receiver.value.counted(
            |input| read(input, python, limit(python, size)?),
            |data| match data.as_bytes() {
                Some(bytes) => bytes.len(),
                None => data.bytes_of_items(python).iter().map(Vec::len).sum(),
            },
        )
    }
}

macro_rules! reading_method {
    ($function:ident, $read:path) => {
        unsafe extern "C" fn $function(
            instance: *mut ffi::PyObject,
            values: *const *mut ffi::PyObject,
            count: ffi::Py_ssize_t,
            names: *mut ffi::PyObject,
        ) -> *mut ffi::PyObject {
            let arguments = (values, count, names);
            // SAFETY: Python runs this function on an Input object with these arguments.
            unsafe { fence_method(instance, arguments, method(stringify!($function), $read)) }
        }
    };
}

reading_method!(read, Input::read);
reading_method!(readline, Input::read_line);
reading_method!(readlines, Input::read_lines);

unsafe extern "C" fn close(_: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: Python called us, without arguments.
    unsafe { fence_function(NO_ARGUMENTS, |python, _| Ok(Owned::none(python))) }
}

unsafe extern "C" fn iter(instance: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: Python runs this slot on an Input object.
    unsafe { fence_method::<Input>(instance, NO_ARGUMENTS, itself) }
}

fn itself<'p>(
    python: Python<'p>,
    receiver: Receiver<'p, Input>,
    _: Arguments<'p>,
) -> Result<Owned<'p>, Raised> {
    Ok(receiver.object.to_owned(python))
}

unsafe extern "C" fn next(instance: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: Python runs this slot on an Input object.
    unsafe { fence_next(instance, next_line) }
}

/// The next line; nothing at the body's end.
fn next_line<'p>(python: Python<'p>, input: &Input) -> Result<Option<Owned<'p>>, Raised> {
    if input.call.has_ended() {
        return Err(raise(python, &Refusal::Ended));
    }
    let length = |line: &Owned<'_>| line.as_bytes().map_or(0, <[u8]>::len);
    let line = input.counted(|input| input.read_line(python, None), length)?;
    let at_end = length(&line) == 0;
    Ok((!at_end).then_some(line))
}

const READ: &CStr = c"Reads at most size bytes of the body, all of it without a size.";
const READLINE: &CStr = c"Reads a line, at most size bytes of it.";
const READLINES: &CStr = c"Reads lines until the body ends or they hold size bytes.";
const CLOSE: &CStr = c"Does nothing: the server closes the body.";

static METHODS: Methods<5> = Methods([
    keywords_method(c"read", read, READ),
    keywords_method(c"readline", readline, READLINE),
    keywords_method(c"readlines", readlines, READLINES),
    no_arguments_method(c"close", close, CLOSE),
    ffi::PyMethodDef::zeroed(),
]);

/// Makes the type `mod_wsgi.Input` for the attached interpreter.
pub fn make_type(python: Python<'_>) -> Result<Owned<'_>, Raised> {
    let parts = Slots {
        methods: Some(METHODS.0.as_ptr()),
        iter: Some(iter),
        next: Some(next),
    };
    new_type::<Input>(python, c"mod_wsgi.Input", c"The body of a request.", parts)
}

/// Makes the `wsgi.input` of a request.
pub fn make<'p>(
    python: Python<'p>,
    class: &Object,
    call: &Arc<Call>,
    body: &Body<'_>,
) -> Result<Owned<'p>, Raised> {
    let (kept, remaining, at_end) = match body {
        Body::None => (Vec::new(), None, true),
        Body::Inline(bytes) => (bytes.to_vec(), None, true),
        Body::Pulled(length) => (Vec::new(), *length, *length == Some(0)),
    };
    let reader = Reader {
        call: Arc::clone(call),
        kept,
        start: 0,
        remaining,
        at_end,
        failed: false,
    };
    let input = Input {
        call: Arc::clone(call),
        reader: Mutex::new(reader),
    };
    new_instance(python, class, input)
}
