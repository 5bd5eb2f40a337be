//! What is asked of each variant, and how an answer is known to be right.

use wsgi_tests::{Request, Response};

/// Which script answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// `bench/app.wsgi`.
    Plain,
    /// `bench/flask_hello.wsgi`.
    Flask,
    /// `bench/django_hello.wsgi`.
    Django,
}

impl Script {
    /// The script's file below the applications.
    pub fn file(self) -> &'static str {
        match self {
            Script::Plain => "bench/app.wsgi",
            Script::Flask => "bench/flask_hello.wsgi",
            Script::Django => "bench/django_hello.wsgi",
        }
    }
}

/// One kind of request.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// The name in tables and on the command line; below `/`, also its URL.
    pub name: &'static str,
    /// Who answers.
    pub script: Script,
    /// The last part of the path.
    pub path: &'static str,
    /// Bytes of the request's body.
    pub sent: usize,
    /// Further header fields of the request.
    pub headers: usize,
    /// Bytes of the response's body; 0: not fixed.
    pub received: usize,
}

const fn get(name: &'static str, path: &'static str, received: usize) -> Workload {
    Workload {
        name,
        script: Script::Plain,
        path,
        sent: 0,
        headers: 0,
        received,
    }
}

/// All of them, in the order of the tables.
pub const WORKLOADS: &[Workload] = &[
    get("hello", "hello", 12),
    get("json", "json", 0),
    get("bytes10k", "bytes10k", 0),
    Workload {
        headers: 40,
        ..get("headers", "hello", 12)
    },
    get("whole", "whole", 1 << 20),
    get("chunks", "chunks", 1 << 20),
    get("file", "file", 1 << 20),
    Workload {
        sent: 64 << 10,
        ..get("echo64", "echo", 64 << 10)
    },
    Workload {
        sent: 1 << 20,
        ..get("echo1m", "echo", 1 << 20)
    },
    Workload {
        script: Script::Flask,
        ..get("flask", "flask", 12)
    },
    Workload {
        script: Script::Django,
        ..get("django", "django", 12)
    },
];

impl Workload {
    /// The request's own header fields.
    pub fn fields(&self) -> impl Iterator<Item = (String, String)> {
        (0..self.headers).map(|number| {
            let name = format!("X-Header-{number}");
            (name, format!("value number {number} of a header"))
        })
    }

    /// The request as the verifying client sends it.
    pub fn request(&self) -> Request {
        let target = format!("/{}", self.path);
        let request = match self.sent {
            0 => Request::get(&target),
            bytes => Request::post(&target, vec![b'e'; bytes]),
        };
        self.fields().fold(request, |request, (name, value)| {
            request.header(&name, &value)
        })
    }

    /// Why this is not the right answer.
    pub fn complaint(&self, response: &Response) -> Option<String> {
        let length = response.body.len();
        if response.status() != 200 || !response.whole {
            return Some(format!("{}: status {}", self.name, response.status()));
        }
        let right = match self.received {
            0 => length > 8000 && response.body.starts_with(b"[{"),
            12 => response.body == b"Hello World!",
            bytes => length == bytes,
        };
        (!right).then(|| format!("{}: {length} bytes of another body", self.name))
    }

    /// The script for wrk that sends this request and prints what it measured on one line.
    pub fn script(&self) -> String {
        let mut lua = String::new();
        for (name, value) in self.fields() {
            lua.push_str(&format!("wrk.headers[\"{name}\"] = \"{value}\"\n"));
        }
        if self.sent > 0 {
            lua.push_str(&format!(
                "wrk.method = \"POST\"\nwrk.body = string.rep(\"e\", {})\n",
                self.sent
            ));
        }
        lua.push_str(
            "function done(summary, latency, requests)\n\
             local e = summary.errors\n\
             print(\"figures\", summary.requests, summary.duration, latency:percentile(50),\n\
             latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout)\nend\n",
        );
        lua
    }
}
