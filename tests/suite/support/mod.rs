//! What the cases share: the two modes, and readers of what the fixture applications answer.

pub mod express;

use std::collections::BTreeMap;
use std::process::Command;

use wsgi_tests::{Builder, Mode, Response, Server};

/// Declares tests that run once per mode: `embedded` and `daemon` in a module of the case's name.
macro_rules! in_both_modes {
    ($($(#[$attribute:meta])* fn $name:ident($mode:ident) $body:block)*) => {
        $(
            $(#[$attribute])*
            mod $name {
                #[allow(unused_imports)]
                use super::*;

                fn case($mode: wsgi_tests::Mode) $body

                #[test]
                fn embedded() {
                    case(wsgi_tests::Mode::Embedded);
                }

                #[test]
                fn daemon() {
                    case(wsgi_tests::Mode::Daemon);
                }
            }
        )*
    };
}

/// A server with one of `tests/apps` at `/`.
pub fn serving(mode: Mode, app: &str) -> Builder {
    Server::builder(mode).app("/", app)
}

/// The lines of `tests/apps/environ`: key to its type's name and its value's repr.
pub fn environ_of(text: &str) -> BTreeMap<String, (String, String)> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, '\t');
            let (key, kind, value) = (fields.next()?, fields.next()?, fields.next()?);
            Some((key.to_owned(), (kind.to_owned(), value.to_owned())))
        })
        .collect()
}

/// The lines of `tests/apps/process`: name to repr.
pub fn facts_of(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Checks a response whose application failed after it had sent these bytes: either they came and
/// the response is seen to be cut, or httpd still held them and answers with an error instead.
#[track_caller]
pub fn is_not_taken_for_whole(response: &Response, sent: &str) {
    if response.status() < 500 {
        assert!(!response.whole, "taken for whole: {response:?}");
        assert_eq!(response.text(), sent);
    }
    assert!(!response.text().contains("Error:"), "{}", response.text());
}

/// A key and a self-signed certificate in one file.
pub fn certificate() -> String {
    let output = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args([
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-keyout",
            "-",
            "-out",
            "-",
        ])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .output()
        .expect("openssl is installed");
    String::from_utf8(output.stdout).expect("PEM is ASCII")
}
