//! The Python stacks of a daemon's threads, for its log when something is stuck.
//!
//! Python's `faulthandler` writes them to a file in memory: when it is called with the GIL held, or
//! when the process sends itself a signal, which works when nobody can have the GIL. Only daemons
//! have this: an Apache process's signals are Apache's.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use wsgi_unix::{memory, signals};

use crate::interpreters::Interpreter;
use crate::objects::Objects;
use crate::python::{Owned, Python, Raised};

/// Interpreters whose stacks can be seen without the GIL: each takes a signal, and of those there
/// are few.
const MOST_SIGNALS: usize = 8;

/// The first signal of ours counts from SIGRTMIN: libraries that use such signals begin there.
const FIRST_SIGNAL: i32 = 12;

struct Stacks {
    file: Mutex<File>,
    /// How many interpreters have a signal.
    registered: AtomicUsize,
}

static STACKS: OnceLock<Stacks> = OnceLock::new();

/// One thread of one interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// What Python calls the thread.
    pub thread: u64,
    /// The calls, the latest first, as `faulthandler` describes them.
    pub calls: Vec<String>,
}

/// Makes stacks available in this process; before its interpreters are made, and once.
pub fn open() -> io::Result<()> {
    let file = Mutex::new(memory::scratch(c"stacks")?);
    let _ = STACKS.set(Stacks {
        file,
        registered: AtomicUsize::new(0),
    });
    Ok(())
}

/// Gives a forked process a file of its own, under the number that Python knows.
pub fn part() -> io::Result<()> {
    match STACKS.get() {
        Some(stacks) => memory::renew_scratch(stacks.file.lock().as_fd(), c"stacks"),
        None => Ok(()),
    }
}

/// Gives the attached interpreter a signal, in a process that has opened stacks and has one left.
pub fn register(python: Python<'_>, objects: &Objects) -> Result<(), Raised> {
    let Some(stacks) = STACKS.get() else {
        return Ok(());
    };
    let index = stacks.registered.load(Ordering::Relaxed);
    if index >= MOST_SIGNALS {
        return Ok(());
    }
    let signal = number(python, signal_of(index))?;
    let descriptor = number(python, stacks.file.lock().as_raw_fd())?;
    let watch = objects.watch_stacks.object(python);
    if watch.call2(python, &signal, &descriptor)?.is_true(python)? {
        stacks.registered.store(index + 1, Ordering::Relaxed);
    }
    Ok(())
}

fn signal_of(index: usize) -> i32 {
    signals::realtime(FIRST_SIGNAL + index as i32)
}

fn number(python: Python<'_>, number: i32) -> Result<Owned<'_>, Raised> {
    Owned::int(python, u64::try_from(number).unwrap_or(0))
}

/// The stacks of the attached interpreter's threads.
pub fn of_interpreter(python: Python<'_>, interpreter: &Interpreter) -> Vec<Stack> {
    let Some(stacks) = STACKS.get() else {
        return Vec::new();
    };
    let dump = interpreter.objects.dump_stacks.object(python);
    let mut file = stacks.file.lock();
    let dumped = number(python, file.as_raw_fd())
        .and_then(|descriptor| dump.call1(python, &descriptor).map(drop));
    if let Err(raised) = dumped {
        raised.discard(python, ());
    }
    taken(&mut file)
}

/// The stacks of all threads that can be seen without the GIL. Threads that run meanwhile may be
/// seen wrongly, and in the worst case end the process: for one that is stuck anyway.
pub fn without_gil() -> Vec<Stack> {
    let Some(stacks) = STACKS.get() else {
        return Vec::new();
    };
    let Some(mut file) = stacks.file.try_lock() else {
        return Vec::new();
    };
    for index in 0..stacks.registered.load(Ordering::Relaxed) {
        // Handled by the time this returns: it goes to the calling thread (raise(3)).
        signals::raise(signal_of(index));
    }
    taken(&mut file)
}

fn taken(file: &mut File) -> Vec<Stack> {
    let mut bytes = Vec::new();
    let read = file
        .rewind()
        .and_then(|()| file.read_to_end(&mut bytes))
        .and_then(|_| file.set_len(0))
        .and_then(|()| file.seek(SeekFrom::Start(0)));
    match read {
        Ok(_) => parse(&String::from_utf8_lossy(&bytes)),
        Err(_) => Vec::new(),
    }
}

/// Reads what `faulthandler` writes: `Thread 0x1f (most recent call first):`, `Current thread ...`,
/// and the calls, indented. Threads without calls are left out.
fn parse(text: &str) -> Vec<Stack> {
    let mut stacks: Vec<Stack> = Vec::new();
    for line in text.lines() {
        if let Some(call) = line.strip_prefix("  ") {
            if let Some(stack) = stacks.last_mut().filter(|_| !call.starts_with('<')) {
                stack.calls.push(call.to_owned());
            }
        } else if let Some(thread) = thread_of(line) {
            stacks.push(Stack {
                thread,
                calls: Vec::new(),
            });
        }
    }
    stacks.retain(|stack| !stack.calls.is_empty());
    stacks
}

fn thread_of(line: &str) -> Option<u64> {
    let rest = line
        .strip_prefix("Thread 0x")
        .or_else(|| line.strip_prefix("Current thread 0x"))?;
    let digits = rest.split(|c: char| !c.is_ascii_hexdigit()).next()?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_faulthandler_writes_is_read() {
        let text = "Thread 0x00007f01 [wsgi-request] (most recent call first):\n  \
                      File \"/a b.py\", line 3 in wait\n  \
                      File \"/app.wsgi\", line 9 in application\n\n\
                    Thread 0x00007f02 (most recent call first):\n  <no Python frame>\n\n\
                    Current thread 0x00007f03 (most recent call first):\n  \
                      File \"<string>\", line 1 in <module>\n";
        let calls = |calls: &[&str]| calls.iter().map(|call| call.to_string()).collect();
        let expected = [
            Stack {
                thread: 0x7f01,
                calls: calls(&[
                    "File \"/a b.py\", line 3 in wait",
                    "File \"/app.wsgi\", line 9 in application",
                ]),
            },
            Stack {
                thread: 0x7f03,
                calls: calls(&["File \"<string>\", line 1 in <module>"]),
            },
        ];
        assert_eq!(parse(text), expected);
    }
}
