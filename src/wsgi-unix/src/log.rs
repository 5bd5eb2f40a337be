//! Lines for the error log from processes that have no httpd: the monitor and the daemons.
//!
//! Any thread. A line goes to standard error, which is the server's main error log, with one
//! write(2), so lines of several processes never mix. Not for use between fork and exec.

use std::fmt::Arguments;
use std::fs::File;
use std::io::Write;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::{clock, process};

/// The longest text of one line, bytes; what is over is cut. Apache cuts at 8192 as well.
const MAX_TEXT: usize = 8192;

/// How many lines are written at once at most: a bound on the memory that one text takes.
const LINES_AT_ONCE: usize = 1000;

macro_rules! levels {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $word:literal;)*) => {
        /// How severe a line is: the numbers and names of httpd's `http_log.h`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Level {
            $($(#[$doc])* $name = $number,)*
        }

        impl Level {
            /// Every level, the most severe first.
            pub const ALL: &'static [Level] = &[$(Level::$name),*];

            /// The name LogLevel uses.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Level::$name => $word,)*
                }
            }
        }
    };
}

levels! {
    /// The system is unusable.
    Emerg = 0, "emerg";
    /// Action must be taken at once.
    Alert = 1, "alert";
    /// Critical conditions.
    Crit = 2, "crit";
    /// Something failed.
    Error = 3, "error";
    /// Something may fail.
    Warn = 4, "warn";
    /// Normal but significant.
    Notice = 5, "notice";
    /// Informational.
    Info = 6, "info";
    /// For whoever debugs us.
    Debug = 7, "debug";
    /// The first of eight levels of detail.
    Trace1 = 8, "trace1";
    /// See [`Level::Trace1`].
    Trace2 = 9, "trace2";
    /// See [`Level::Trace1`].
    Trace3 = 10, "trace3";
    /// See [`Level::Trace1`].
    Trace4 = 11, "trace4";
    /// See [`Level::Trace1`].
    Trace5 = 12, "trace5";
    /// See [`Level::Trace1`].
    Trace6 = 13, "trace6";
    /// See [`Level::Trace1`].
    Trace7 = 14, "trace7";
    /// See [`Level::Trace1`].
    Trace8 = 15, "trace8";
}

impl Level {
    /// The level with httpd's number; a number above the last is the last.
    pub fn from_number(number: u8) -> Level {
        let last = Level::ALL.len() - 1;
        Level::ALL[usize::from(number).min(last)]
    }
}

/// The least severe level that is written; httpd's default until told otherwise.
static THRESHOLD: AtomicU8 = AtomicU8::new(Level::Warn as u8);

/// Sets the least severe level that is written.
pub fn set_threshold(level: Level) {
    THRESHOLD.store(level as u8, Ordering::Relaxed);
}

/// Whether a line of this level is written: ask before making an expensive text.
pub fn enabled(level: Level) -> bool {
    level as u8 <= THRESHOLD.load(Ordering::Relaxed)
}

/// Writes one line if its level is enabled: `log::line(Level::Info, format_args!(…))`.
pub fn line(level: Level, text: Arguments<'_>) {
    if enabled(level) {
        write(level, &[text.to_string().as_bytes()]);
    }
}

/// As [`line`], into another log than the server's.
pub fn line_to(log: BorrowedFd<'_>, level: Level, text: &str) {
    if enabled(level) {
        let text = format_all(level, &[text.as_bytes()]);
        // The caller's descriptor stays its own; what cannot be written has nowhere to go.
        if let Ok(log) = log.try_clone_to_owned() {
            let _ = File::from(log).write_all(&text);
        }
    }
}

/// As [`line`], for text in no particular encoding: each of its lines becomes one, and no other
/// process's or thread's comes between them.
pub fn lines(level: Level, text: &[u8]) {
    if enabled(level) {
        text.split(|byte| *byte == b'\n')
            .collect::<Vec<_>>()
            .chunks(LINES_AT_ONCE)
            .for_each(|lines| write(level, lines));
    }
}

/// A log that cannot be written has nowhere to say so: the result is dropped.
fn write(level: Level, lines: &[&[u8]]) {
    let _ = std::io::stderr().write_all(&format_all(level, lines));
}

fn format_all(level: Level, lines: &[&[u8]]) -> Vec<u8> {
    let (pid, tid) = (process::own_pid(), process::own_tid());
    let stamp = clock::log_stamp();
    let format = |line: &&[u8]| format_line(&stamp, level, pid, tid, line);
    lines.iter().flat_map(format).collect()
}

fn format_line(stamp: &str, level: Level, pid: i32, tid: i32, text: &[u8]) -> Vec<u8> {
    let mut line = format!("[{stamp}] [wsgi:{}] [pid {pid}:tid {tid}] ", level.name()).into_bytes();
    for &byte in &text[..text.len().min(MAX_TEXT)] {
        match byte {
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            // A terminal that shows the log must not obey it.
            0..=8 | 11..=31 | 127 => line.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
            _ => line.push(byte),
        }
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_looks_like_one_of_apaches() {
        let line = format_line(
            "Sat Nov 21 07:30:57.123456 2026",
            Level::Info,
            12,
            34,
            b"ready",
        );
        let expected = "[Sat Nov 21 07:30:57.123456 2026] [wsgi:info] [pid 12:tid 34] ready\n";
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }

    #[test]
    fn text_cannot_forge_a_second_line() {
        let line = format_line("s", Level::Error, 1, 1, b"a\nb\x1b[0m");
        assert!(line.ends_with(b"a\\nb\\x1b[0m\n"));
    }

    #[test]
    fn numbers_are_apaches() {
        assert_eq!(Level::from_number(6), Level::Info);
        assert_eq!(Level::from_number(200), Level::Trace8);
        for (number, level) in Level::ALL.iter().enumerate() {
            assert_eq!(*level as usize, number);
        }
    }
}
