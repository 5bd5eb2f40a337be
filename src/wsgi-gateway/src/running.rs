//! A request while it runs, as others in its process see it: how long, where, and whether its
//! application can be interrupted.
//!
//! Written by the request's thread with a few atomic stores; read by the main thread of a daemon and
//! by the thread that takes the GIL for it. Embedded requests have none: their threads are Apache's.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use wsgi_wire::head::{RequestHead, Value};

use crate::interpreters::Interpreter;
use crate::python::{self, Python};

/// Characters of a request that log lines show.
const LONGEST_TITLE: usize = 300;

/// The bytes of a thread's request, from `head` on what `RequestHead::decode` takes. Locked for
/// reading while the request runs.
#[derive(Debug, Default)]
pub struct HeadBytes {
    /// The memory, used again for each request.
    pub bytes: Vec<u8>,
    /// Where the head begins and ends.
    pub head: std::ops::Range<usize>,
}

/// The request of one request thread, if one runs.
pub struct Running {
    /// What Python calls the thread (`threading.get_ident()`).
    thread: u64,
    epoch: Instant,
    count: AtomicU64,
    /// Which request runs, counted from 1; 0: none.
    number: AtomicU64,
    /// Microseconds from `epoch`.
    begun: AtomicU64,
    /// Where it runs or is going to; null before that is known.
    interpreter: AtomicPtr<Interpreter>,
    /// Where it is: one of the constants below. Past its beginning changed with the GIL held.
    stage: AtomicU8,
    /// The request that is to be interrupted; 0: none.
    due: AtomicU64,
    /// An exception was sent to its thread. Changed with the GIL held.
    interrupted: AtomicBool,
    /// Nobody waits for it any more.
    given_up: AtomicBool,
    head: Arc<RwLock<HeadBytes>>,
}

/// The application's code does not run yet: the request waits for an interpreter or an import.
const BEFORE: u8 = 0;
/// It runs.
const INSIDE: u8 = 1;
/// It does not run any more.
const AFTER: u8 = 2;

/// What became of the attempt to interrupt a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// An exception was sent to its thread.
    Sent,
    /// One is raised as soon as the application's code begins.
    Pending,
    /// The request runs in another interpreter than the one that is attached.
    Elsewhere,
    /// There is nothing to interrupt, or not again.
    Needless,
}

/// A request that was seen to run.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Which of its thread's it is.
    pub number: u64,
    /// When its thread took it.
    pub begun: Instant,
}

impl Running {
    /// Of the calling thread, whose requests' heads will be in `head`.
    pub fn of_this_thread(head: Arc<RwLock<HeadBytes>>) -> Running {
        Running {
            thread: python::thread_ident(),
            epoch: Instant::now(),
            count: AtomicU64::new(0),
            number: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            interpreter: AtomicPtr::new(ptr::null_mut()),
            stage: AtomicU8::new(BEFORE),
            due: AtomicU64::new(0),
            interrupted: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            head,
        }
    }

    /// A request begins on this thread.
    pub fn begin(&self) {
        let begun = self.epoch.elapsed().as_micros();
        self.begun
            .store(u64::try_from(begun).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.interpreter.store(ptr::null_mut(), Ordering::Relaxed);
        self.given_up.store(false, Ordering::Relaxed);
        self.stage.store(BEFORE, Ordering::Relaxed);
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        self.number.store(number, Ordering::Release);
    }

    /// The thread's request is over.
    pub fn end(&self) {
        self.number.store(0, Ordering::Release);
    }

    /// The request is going to run in this interpreter.
    pub fn goes_to(&self, interpreter: &'static Interpreter) {
        let interpreter = ptr::from_ref(interpreter).cast_mut();
        // Sequentially consistent, as are the uses of `due`: either whoever wants to interrupt the
        // request sees where it goes, or the request sees that it is to be interrupted.
        self.interpreter.store(interpreter, Ordering::SeqCst);
    }

    /// The application's code runs until the guard is dropped, and may be interrupted.
    pub fn enter<'r>(&'r self, python: Python<'r>) -> Inside<'r> {
        self.stage.store(INSIDE, Ordering::Relaxed);
        if self.due.load(Ordering::SeqCst) == self.number.load(Ordering::Relaxed)
            && let Some(interpreter) = self.interpreter()
        {
            self.send_timeout(python, interpreter);
        }
        Inside {
            running: self,
            python,
        }
    }

    /// The request that runs now.
    pub fn seen(&self) -> Option<Seen> {
        let number = self.number.load(Ordering::Acquire);
        if number == 0 {
            return None;
        }
        let begun = Duration::from_micros(self.begun.load(Ordering::Relaxed));
        // Read in between, so that it is this request's.
        (self.number.load(Ordering::Acquire) == number).then_some(Seen {
            number,
            begun: self.epoch.checked_add(begun)?,
        })
    }

    /// Whether that request still runs.
    pub fn still_runs(&self, number: u64) -> bool {
        self.number.load(Ordering::Acquire) == number
    }

    /// Where it runs, or waits to.
    pub fn interpreter(&self) -> Option<&'static Interpreter> {
        let interpreter = self.interpreter.load(Ordering::SeqCst);
        // SAFETY: null, or stored by `goes_to` from a reference that is valid for ever.
        unsafe { interpreter.as_ref() }
    }

    /// What Python calls the thread.
    pub fn thread(&self) -> u64 {
        self.thread
    }

    /// Method and URI, for the log; nothing when the thread is about to take another request.
    pub fn title(&self) -> Option<String> {
        let head = self.head.try_read()?;
        let head = RequestHead::decode(head.bytes.get(head.head.clone())?).ok()?;
        let value = |name: &[u8]| {
            let found = head.environ().find(|(key, _)| *key == name);
            match found {
                Some((_, Value::Latin1(value))) => Some(String::from_utf8_lossy(value)),
                _ => None,
            }
        };
        let uri = value(b"REQUEST_URI").or_else(|| value(b"PATH_INFO"))?;
        // What follows may hold passwords, and is in the access log.
        let path = uri.split('?').next().unwrap_or_default();
        let title = format!("{} {path}", value(b"REQUEST_METHOD")?);
        let shown = title.chars().take(LONGEST_TITLE);
        Some(
            shown
                .map(|c| if c.is_control() { '?' } else { c })
                .collect(),
        )
    }

    /// Nobody waits for the request any more.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// Whether a request runs for which nobody waits.
    pub fn is_given_up(&self) -> bool {
        self.seen().is_some() && self.given_up.load(Ordering::Relaxed)
    }

    /// That request is to be interrupted: to be told before it is tried by [`Running::interrupt`].
    pub fn is_due(&self, number: u64) {
        self.due.store(number, Ordering::SeqCst);
    }

    /// Has `mod_wsgi.RequestTimeout` raised in the application's code of that request. Called attached
    /// to the request's interpreter.
    pub fn interrupt(
        &self,
        python: Python<'_>,
        interpreter: &'static Interpreter,
        number: u64,
    ) -> Interruption {
        let goes_to = self.interpreter();
        if !self.still_runs(number) {
            return Interruption::Needless;
        }
        if !goes_to.is_some_and(|found| ptr::eq(found, interpreter)) {
            return Interruption::Elsewhere;
        }
        // The GIL keeps the thread from entering or leaving the application's code meanwhile.
        match self.stage.load(Ordering::Relaxed) {
            BEFORE => Interruption::Pending,
            INSIDE if !self.interrupted.load(Ordering::Relaxed) => {
                match self.send_timeout(python, interpreter) {
                    true => Interruption::Sent,
                    false => Interruption::Needless,
                }
            }
            _ => Interruption::Needless,
        }
    }

    fn send_timeout(&self, python: Python<'_>, interpreter: &Interpreter) -> bool {
        let class = interpreter.objects.request_timeout.object(python);
        self.interrupted.store(true, Ordering::Relaxed);
        python::send_exception(python, self.thread, Some(class))
    }
}

/// The application's code runs.
pub struct Inside<'r> {
    running: &'r Running,
    python: Python<'r>,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.running.stage.store(AFTER, Ordering::Relaxed);
        if self.running.interrupted.swap(false, Ordering::Relaxed) {
            // What was not raised by now must not be in the thread's next request.
            python::send_exception(self.python, self.running.thread, None);
        }
    }
}
