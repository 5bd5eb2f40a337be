//! A case that is a whole application: its source, a request, and what must come of it.
//!
//! Each source becomes a file `cases/<name>.wsgi` of the group's server, in the main interpreter
//! unless the group says otherwise.

use wsgi_tests::client::Response;
use wsgi_tests::{Builder, Mode, Request, Server};

use crate::case::{Group, differs};

/// What must come of the request.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// A whole response of this status and body.
    Answer(u16, String),
    /// A whole response of this status, whatever its body.
    Status(u16),
    /// 500, no detail for the client, and a traceback in the log with this text.
    Failure(&'static str),
    /// A response that is seen to be cut, and a traceback in the log with this text.
    Cut(&'static str, &'static str),
}

/// An application and its request.
#[derive(Debug, Clone)]
pub struct Script {
    name: &'static str,
    source: String,
    request: Request,
    outcome: Outcome,
    headers: Vec<(&'static str, Vec<&'static str>)>,
    logged: Vec<&'static str>,
    tolerated: Vec<&'static str>,
    theirs: Option<(Option<Mode>, Outcome, &'static str)>,
}

impl Script {
    /// An application of this source, asked with GET, which must answer 200 and `ok`.
    pub fn new(name: &'static str, source: &str) -> Script {
        Script {
            name,
            source: source.to_owned(),
            request: Request::get(&format!("/cases/{name}.wsgi")),
            outcome: Outcome::Answer(200, "ok".to_owned()),
            headers: Vec::new(),
            logged: Vec::new(),
            tolerated: Vec::new(),
            theirs: None,
        }
    }

    /// An application that returns this Python expression, after it has called start_response.
    pub fn returning(name: &'static str, expression: &str) -> Script {
        Script::new(
            name,
            &format!(
                "def application(environ, start_response):\n    start_response('200 OK', \
                 [('Content-Type', 'text/plain')])\n    return {expression}\n"
            ),
        )
    }

    /// An application that answers what this body of a function of `environ` returns, a str.
    pub fn telling(name: &'static str, body: &str) -> Script {
        let body = body.replace('\n', "\n    ");
        Script::new(
            name,
            &format!(
                "def tell(environ):\n    {body}\n\n\ndef application(environ, start_response):\n    \
                 text = tell(environ)\n    start_response('200 OK', \
                 [('Content-Type', 'text/plain')])\n    return [text.encode()]\n"
            ),
        )
    }

    /// Changes the source's text.
    pub fn with_source(mut self, change: impl FnOnce(&str) -> String) -> Script {
        self.source = change(&self.source);
        self
    }

    /// Adds to the URL of the GET request.
    pub fn at(mut self, rest: &str) -> Script {
        self.request = Request::get(&format!("/cases/{}.wsgi{rest}", self.name));
        self
    }

    /// Asks with POST.
    pub fn post(mut self, body: &[u8]) -> Script {
        self.request = Request::post(&format!("/cases/{}.wsgi", self.name), body);
        self
    }

    /// Asks with POST in chunks.
    pub fn post_chunked(mut self, body: &[u8]) -> Script {
        self.request = Request::post_chunked(&format!("/cases/{}.wsgi", self.name), body);
        self
    }

    /// Asks with another method.
    pub fn method(mut self, method: &str) -> Script {
        self.request = Request::new(method, &format!("/cases/{}.wsgi", self.name));
        self
    }

    /// Adds a header field to the request.
    pub fn with(mut self, name: &str, value: &str) -> Script {
        self.request = self.request.header(name, value);
        self
    }

    /// The body must be this.
    pub fn answers(mut self, body: &str) -> Script {
        self.outcome = Outcome::Answer(200, body.to_owned());
        self
    }

    /// What must come of it.
    pub fn comes_to(mut self, outcome: Outcome) -> Script {
        self.outcome = outcome;
        self
    }

    /// 500 and a traceback with this text.
    pub fn fails(mut self, text: &'static str) -> Script {
        self.outcome = Outcome::Failure(text);
        self
    }

    /// These are all values of a header field of the response.
    pub fn header(mut self, name: &'static str, values: &[&'static str]) -> Script {
        self.headers.push((name, values.to_vec()));
        self
    }

    /// A line of the log must contain this.
    pub fn logs(mut self, text: &'static str) -> Script {
        self.logged.push(text);
        self
    }

    /// Warnings and errors with this text may be in the log.
    pub fn may_log(mut self, text: &'static str) -> Script {
        self.tolerated.push(text);
        self
    }

    /// mod_wsgi comes to something else, and `why` says which is right.
    pub fn theirs(mut self, outcome: Outcome, why: &'static str) -> Script {
        self.theirs = Some((None, outcome, why));
        self
    }

    /// mod_wsgi comes to something else in this mode only.
    pub fn theirs_in(mut self, mode: Mode, outcome: Outcome, why: &'static str) -> Script {
        self.theirs = Some((Some(mode), outcome, why));
        self
    }

    fn check(&self, server: &mut Server, mode: Mode) {
        let mut outcome = &self.outcome;
        let mut alike = true;
        if let Some((only, theirs, why)) = &self.theirs
            && only.is_none_or(|only| only == mode)
            && differs(why)
        {
            outcome = theirs;
            alike = false;
        }
        if let Outcome::Failure(text) | Outcome::Cut(_, text) = outcome {
            server.expect_traceback(text);
            server.allow_log(&format!("cases/{}.wsgi", self.name));
            server.allow_log("/cases/");
        }
        for text in self.logged.iter().chain(&self.tolerated) {
            server.allow_log(text);
        }
        let response = server.send(&self.request);
        came_to(&response, outcome);
        if alike {
            for (name, values) in &self.headers {
                assert_eq!(response.head.all(name), *values, "{name}");
            }
        }
        for text in &self.logged {
            server.wait_for_log(text);
        }
    }
}

/// Whether a page shows the client what only the log should; every page of httpd has "Error".
fn tells(page: &str, detail: &str) -> bool {
    detail != "Error" && page.contains(detail)
}

#[track_caller]
fn came_to(response: &Response, outcome: &Outcome) {
    let text = response.text();
    match outcome {
        Outcome::Answer(status, body) => {
            assert_eq!((response.status(), text.as_str()), (*status, body.as_str()));
            assert!(response.whole, "cut short");
        }
        Outcome::Status(status) => assert_eq!(response.status(), *status, "{text}"),
        Outcome::Failure(detail) => {
            assert_eq!(response.status(), 500, "{text}");
            assert!(
                !text.contains("Traceback") && !tells(&text, detail),
                "{text}"
            );
        }
        Outcome::Cut(sent, detail) => {
            assert!(!response.whole, "taken for whole: {response:?}");
            assert_eq!(text, *sent);
            assert!(!tells(&text, detail), "{text}");
        }
    }
}

/// A server with the scripts' files, which run in the main interpreter.
pub fn serving_scripts(mode: Mode, scripts: &[Script]) -> Builder {
    let mut builder = Server::builder(mode)
        .directive("WSGIScriptAlias /cases/ @ROOT@/cases/")
        .directive("<Location /cases/>\nWSGIApplicationGroup %{GLOBAL}\n</Location>");
    for script in scripts {
        let path = format!("cases/{}.wsgi", script.name);
        builder = builder.file(&path, &script.source);
    }
    builder
}

/// A group of such cases and nothing else.
pub fn group_of(name: &'static str, scripts: Vec<Script>) -> Group {
    let files = scripts.clone();
    add_scripts(
        Group::new(name, move |mode| serving_scripts(mode, &files)),
        scripts,
    )
}

/// Adds the scripts' cases to a group whose server has their files.
pub fn add_scripts(mut group: Group, scripts: Vec<Script>) -> Group {
    for script in scripts {
        group = group.case(script.name, move |server, mode| script.check(server, mode));
    }
    group
}
