//! The server's error log: its records, and which of them a test has announced.
//!
//! A record that is a warning or worse, or that is not in httpd's format at all, fails the test
//! that did not announce it.

use std::fs;
use std::path::PathBuf;

use crate::apache;

/// A log file that is read anew for every question.
#[derive(Debug)]
pub struct ErrorLog {
    path: PathBuf,
    announced: Vec<Announced>,
}

#[derive(Debug)]
struct Announced {
    text: String,
    required: bool,
}

/// Levels nobody has to act on.
const CALM: &[&str] = &["notice", "info", "debug"];

/// What httpd itself complains about: connections that are open when it is stopped (event MPM), and all
/// workers at work when it looks, which is what a test's load is for (event, prefork).
const NOT_OURS: &[&str] = &["AH03092", "AH03093", "AH00484", "AH00161"];

/// What opens or continues a traceback, each line of which is a record of its own.
const TRACEBACK: &[&str] = &[
    "Traceback (most recent call last)",
    "  File \"",
    "During handling of the above exception",
    "The above exception was the direct cause",
    "[Previous line repeated",
];

impl ErrorLog {
    /// The log at `path`, which need not exist yet.
    pub fn new(path: PathBuf) -> ErrorLog {
        ErrorLog {
            path,
            announced: Vec::new(),
        }
    }

    /// The file.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// All of it.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.path).unwrap_or_default()).into_owned()
    }

    /// The lines that contain `text`.
    pub fn lines_with(&self, text: &str) -> Vec<String> {
        let all = self.text();
        all.lines()
            .filter(|line| line.contains(text))
            .map(str::to_owned)
            .collect()
    }

    /// Lets records that contain `text` pass, and asks for at least one.
    pub fn announce(&mut self, text: &str, required: bool) {
        self.announced.push(Announced {
            text: text.to_owned(),
            required,
        });
    }

    /// Lets the lines of any traceback pass.
    pub fn announce_traceback(&mut self) {
        for part in TRACEBACK {
            self.announce(part, false);
        }
    }

    /// Why this log is not as the test announced it; empty when it is.
    pub fn complaints(&self) -> Vec<String> {
        let all = self.text();
        let mut complaints: Vec<String> = all
            .lines()
            .filter(|line| is_alarming(line) && (is_verdict(line) || !self.is_announced(line)))
            .map(|line| format!("not announced in the error log: {line}"))
            .collect();
        for announced in self.announced.iter().filter(|a| a.required) {
            if !all.contains(&announced.text) {
                complaints.push(format!("missing from the error log: {}", announced.text));
            }
        }
        complaints
    }

    fn is_announced(&self, line: &str) -> bool {
        let traceback = self.announced.iter().any(|a| a.text == TRACEBACK[0]);
        // The source lines of a traceback, and the carets under them, are told by their indent.
        let source = traceback && message(line).starts_with("    ");
        source || self.announced.iter().any(|a| line.contains(&a.text))
    }
}

/// Whether a line needs an announcement.
fn is_alarming(line: &str) -> bool {
    // The C module's embedded children may crash when they are stopped; ours may not.
    let crashed = line.contains("exit signal") && apache::compat().is_none();
    if crashed || line.contains("panicked at") {
        return true;
    }
    let level = line
        .split("] [")
        .nth(1)
        .and_then(|field| field.split_once(':'));
    match level {
        Some((_, level)) if line.starts_with('[') => {
            let calm = CALM.contains(&level) || level.starts_with("trace");
            !calm && !NOT_OURS.iter().any(|part| line.contains(part))
        }
        _ => !line.trim().is_empty(),
    }
}

/// Whether a line is of a traceback that begins or ends in `wsgiref.validate`, which no test expects.
fn is_verdict(line: &str) -> bool {
    line.contains("wsgiref/validate.py") && line.contains("in assert_")
}

/// The record after its bracketed fields.
fn message(line: &str) -> &str {
    let mut rest = line;
    while rest.starts_with('[') {
        match rest.split_once("] ") {
            Some((_, after)) => rest = after,
            None => break,
        }
    }
    rest
}
