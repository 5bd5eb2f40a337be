//! Applications behind `wsgiref.validate`, which asserts that both sides keep to PEP 3333.
//!
//! With `WSGI_VALIDATE` in the environment, the copies of `tests/apps` that a server gets are wrapped.
//! Runs in the test process, before httpd starts.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;

/// What is added to a script.
const WRAPPER: &str = "


from wsgiref.validate import validator as _validator  # noqa: E402

if \"application\" in globals():
    application = _validator(application)
";

/// Applications that break a rule of PEP 3333 on purpose or are there to show what a middleware
/// hides, and why.
const EXEMPT: &[(&str, &str)] = &[
    ("bodies", "returns what is no body"),
    ("broken_import", "has no headers once it is mended"),
    (
        "environ",
        "shows the types of wsgi.input and wsgi.errors, which are replaced",
    ),
    ("file_sent", "returns wsgi.file_wrapper, which is hidden"),
    (
        "flask_site",
        "its framework reads all input by read() without a size",
    ),
    ("input", "calls read() without a size"),
    ("location", "answers without a Content-Type"),
    ("logs", "shows the type of wsgi.errors, which is replaced"),
    ("no_start", "never calls start_response"),
    (
        "said",
        "answers the status and headers of its query, right or wrong",
    ),
    ("start_response_twice", "calls start_response twice"),
    (
        "start_response_wrong",
        "calls start_response in every wrong way",
    ),
    ("status", "answers a body and its type with 204 and 304"),
];

/// Whether this run wraps applications.
pub fn wanted() -> bool {
    env::var_os("WSGI_VALIDATE").is_some()
}

/// Wraps a copied script of an application that is not exempt.
pub fn wrap(script: &Path) -> io::Result<()> {
    let application = script.parent().and_then(Path::file_name);
    let exempt = |name: &OsStr| EXEMPT.iter().any(|(exempt, _)| name == *exempt);
    let is_script = script.extension() == Some(OsStr::new("wsgi"));
    if !is_script || application.is_none_or(exempt) {
        return Ok(());
    }
    let source = fs::read_to_string(script)?;
    fs::write(script, source + WRAPPER)
}
