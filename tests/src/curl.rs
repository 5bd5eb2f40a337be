//! Requests by the `curl` program: HTTP/2 and TLS, which the suite's own client does not speak.

use std::process::Command;

/// What curl received.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// The protocol version as curl names it: `1.1` or `2`.
    pub version: String,
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// Fetches `url` with more arguments of curl; panics when curl fails.
#[track_caller]
pub fn fetch(url: &str, arguments: &[&str]) -> Answer {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--insecure", "--max-time", "20"])
        .args(["--write-out", "\n%{http_version} %{http_code}"])
        .args(arguments)
        .arg(url)
        .output()
        .expect("curl is installed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "curl {url}: {errors}");
    let end = output
        .stdout
        .iter()
        .rposition(|byte| *byte == b'\n')
        .expect("the write-out");
    let trailer = String::from_utf8_lossy(&output.stdout[end + 1..]).into_owned();
    let (version, status) = trailer.split_once(' ').expect("two words");
    Answer {
        version: version.to_owned(),
        status: status.parse().expect("a status"),
        body: output.stdout[..end].to_vec(),
    }
}
