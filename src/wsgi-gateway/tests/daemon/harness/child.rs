//! An Apache child's end of a connection.

use std::io::{ErrorKind, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use wsgi_unix::clock;
use wsgi_unix::socket::{self, Wait};
use wsgi_wire::Failure;
use wsgi_wire::frame::{self, HEADER_BYTES, Header};
use wsgi_wire::function::Answer as Returned;
use wsgi_wire::head::{Body, HeadBuilder, Target, flag};
use wsgi_wire::response::ResponseHead;
use wsgi_wire::secret::Secret;
use wsgi_wire::to_child::{FileSegment, ToChild, ToChildTag};
use wsgi_wire::to_daemon::{self, ToDaemonTag};

use super::PATIENCE;
use super::daemon::SECRET;

/// A decoded response head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The reason phrase.
    pub reason: String,
    /// The headers in order.
    pub headers: Vec<(String, String)>,
}

/// A frame of the daemon, or the connection's end.
#[derive(Debug)]
pub enum Message {
    Welcome {
        pid: u32,
        slot: u32,
    },
    Busy,
    Retry,
    BodyWanted(u64),
    Interim(Response),
    Head(Response),
    Data(Vec<u8>),
    File(FileSegment, OwnedFd),
    End,
    Failed(Failure),
    Log(u8, String),
    Answers(Vec<Returned>),
    VariableWanted(Vec<u8>),
    /// The daemon closed the connection and had taken the request.
    Closed,
    /// The connection was reset: the request had not been taken.
    Reset,
}

/// A request to be sent.
pub struct Request<'a> {
    target: Option<PathBuf>,
    group: &'a str,
    callable: &'a str,
    flags: u16,
    functions: Option<&'a [&'a [u8]]>,
    method: &'a str,
    path: &'a str,
    pairs: Vec<(&'a [u8], &'a [u8])>,
    body: Body<'a>,
    secret: Secret,
}

impl<'a> Request<'a> {
    /// A GET of this path from the main interpreter.
    pub fn get(path: &'a str) -> Request<'a> {
        Request {
            target: None,
            group: "",
            callable: "application",
            flags: flag::RELOADING,
            functions: None,
            method: "GET",
            path,
            pairs: Vec::new(),
            body: Body::None,
            secret: SECRET,
        }
    }

    /// A POST with a body.
    pub fn post(path: &'a str, body: Body<'a>) -> Request<'a> {
        Request {
            method: "POST",
            body,
            ..Request::get(path)
        }
    }

    /// From somebody who does not know the group's secret.
    pub fn of_a_stranger(self) -> Self {
        Request {
            secret: Secret::default(),
            ..self
        }
    }

    /// With another method.
    pub fn method(self, method: &'a str) -> Self {
        Request { method, ..self }
    }

    /// For another script.
    pub fn script(self, script: PathBuf) -> Self {
        Request {
            target: Some(script),
            ..self
        }
    }

    /// In another application group.
    pub fn group(self, group: &'a str) -> Self {
        Request { group, ..self }
    }

    /// For another callable.
    pub fn callable(self, callable: &'a str) -> Self {
        Request { callable, ..self }
    }

    /// Calls functions with one argument in an application's place.
    pub fn functions(self, names: &'a [&'a [u8]]) -> Self {
        Request {
            functions: Some(names),
            ..self
        }
    }

    /// With other flags.
    pub fn flags(self, flags: u16) -> Self {
        Request { flags, ..self }
    }

    /// With another variable.
    pub fn with(mut self, key: &'a [u8], value: &'a [u8]) -> Self {
        self.pairs.push((key, value));
        self
    }

    fn encode(&self, script: &Path) -> Vec<u8> {
        let script = self.target.as_deref().unwrap_or(script);
        let target = Target {
            flags: self.flags,
            request_start: clock::micros_since_epoch(),
            script: script.as_os_str().as_encoded_bytes(),
            application_group: self.group.as_bytes(),
            callable: self.callable.as_bytes(),
        };
        let mut builder = match self.functions {
            None => HeadBuilder::start(Vec::new(), &target),
            Some(names) => HeadBuilder::start_functions(&target, names, &[b"argument"]),
        };
        for (key, value) in [
            ("REQUEST_METHOD", self.method),
            ("SCRIPT_NAME", ""),
            ("PATH_INFO", self.path),
            ("QUERY_STRING", ""),
            ("SERVER_NAME", "localhost"),
            ("SERVER_PORT", "80"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("mod_wsgi.process_group", "tested"),
            ("mod_wsgi.application_group", self.group),
        ] {
            builder.latin1(key.as_bytes(), value.as_bytes());
        }
        builder.path(b"SCRIPT_FILENAME", target.script);
        if let Body::Inline(bytes) = self.body {
            builder.latin1(b"CONTENT_LENGTH", bytes.len().to_string().as_bytes());
        }
        if let Body::Pulled(Some(length)) = self.body {
            builder.latin1(b"CONTENT_LENGTH", length.to_string().as_bytes());
        }
        for (key, value) in &self.pairs {
            builder.latin1(key, value);
        }
        let mut head = builder.finish(self.body);
        head.set_queue_start(clock::micros_since_epoch());
        head.set_secret(&self.secret);
        let mut out = Vec::new();
        frame::append_bytes(&mut out, ToDaemonTag::Request, head.as_bytes());
        out
    }
}

/// All that came back for a request.
#[derive(Debug, Default)]
pub struct Answer {
    /// The response's head, if one came.
    pub head: Option<Response>,
    /// Status codes of the 1xx responses.
    pub interim: Vec<u16>,
    /// The response body.
    pub body: Vec<u8>,
    /// How many frames the body came in.
    pub pieces: usize,
    /// The files that were passed.
    pub files: Vec<(FileSegment, OwnedFd)>,
    /// What functions returned.
    pub answers: Vec<Returned>,
    /// The lines to log: level, text.
    pub log: Vec<(u8, String)>,
    /// How it ended: an `End`, `Failed`, `Retry`, `Busy`, or the connection's end.
    pub end: Option<Message>,
}

impl Answer {
    /// The status, or 0 without a head.
    pub fn status(&self) -> u16 {
        self.head.as_ref().map_or(0, |head| head.status)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = &self.head.as_ref()?.headers;
        headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }

    /// The logged text in one piece.
    pub fn logged(&self) -> String {
        self.log
            .iter()
            .map(|(_, line)| format!("{line}\n"))
            .collect()
    }

    /// Whether the response is whole.
    pub fn is_whole(&self) -> bool {
        matches!(self.end, Some(Message::End))
    }

    /// The failure it ended with.
    pub fn failure(&self) -> Option<Failure> {
        match self.end {
            Some(Message::Failed(failure)) => Some(failure),
            _ => None,
        }
    }
}

/// A connection to a daemon.
pub struct Child {
    socket: OwnedFd,
    script: PathBuf,
}

impl Child {
    pub(super) fn new(socket: OwnedFd, script: &Path) -> Child {
        socket::set_receive_timeout(socket.as_fd(), Some(PATIENCE)).expect("a time-out");
        Child {
            socket,
            script: script.to_owned(),
        }
    }

    /// Sends a request; `false` when the daemon is gone and cannot have started it.
    pub fn send(&self, request: &Request<'_>) -> bool {
        self.send_bytes(&request.encode(&self.script))
    }

    /// Sends bytes as they are; `false` when the daemon is gone.
    pub fn send_bytes(&self, bytes: &[u8]) -> bool {
        match socket::send_all(self.socket.as_fd(), &mut [IoSlice::new(bytes)]) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::BrokenPipe => false,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("cannot send: {error}"),
        }
    }

    /// Answers `BodyWanted` with a piece of the body, or with its end when there is none.
    pub fn send_body(&self, piece: &[u8]) {
        let mut out = Vec::new();
        match piece.is_empty() {
            true => to_daemon::append_body_end(&mut out),
            false => to_daemon::append_body_data(&mut out, piece),
        }
        self.send_bytes(&out);
    }

    /// Answers `BodyWanted` with a failure.
    pub fn fail_body(&self, failure: Failure) {
        let mut out = Vec::new();
        to_daemon::append_body_failed(&mut out, failure);
        self.send_bytes(&out);
    }

    /// The next message.
    pub fn receive(&self) -> Message {
        let mut bytes = [0; HEADER_BYTES];
        let mut passed = None;
        let mut filled = 0;
        while filled < HEADER_BYTES {
            let room = &mut bytes[filled..];
            match socket::receive_with_descriptor(self.socket.as_fd(), room, Wait::Yes) {
                Ok((0, _)) => return Message::Closed,
                Ok((count, descriptor)) => {
                    filled += count;
                    passed = passed.or(descriptor);
                }
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Message::Reset,
                Err(error) => panic!("no answer: {error}"),
            }
        }
        let header = Header::<ToChildTag>::decode(&bytes).expect("a header");
        let mut payload = vec![0; header.length as usize];
        let mut filled = 0;
        while filled < payload.len() {
            let count = socket::receive(self.socket.as_fd(), &mut payload[filled..], Wait::Yes);
            match count.expect("the payload") {
                0 => panic!("the connection ended inside a message"),
                count => filled += count,
            }
        }
        owned(
            ToChild::decode(header.tag, &payload).expect("a message"),
            passed,
        )
    }

    /// Collects everything up to the answer's end; the body is what `BodyWanted` gets.
    pub fn collect(&self, mut body: &[u8]) -> Answer {
        let mut answer = Answer::default();
        loop {
            match self.receive() {
                Message::Welcome { .. } => {}
                Message::BodyWanted(max) => {
                    let (piece, rest) = body.split_at(body.len().min(max as usize));
                    body = rest;
                    self.send_body(piece);
                }
                Message::VariableWanted(name) => {
                    let value = (name == b"SSL_PROTOCOL").then_some(&b"TLSv1.3"[..]);
                    let mut out = Vec::new();
                    to_daemon::append_variable(&mut out, value);
                    self.send_bytes(&out);
                }
                Message::Interim(response) => answer.interim.push(response.status),
                Message::Head(response) => answer.head = Some(response),
                Message::Data(data) => {
                    answer.body.extend_from_slice(&data);
                    answer.pieces += 1;
                }
                Message::File(segment, file) => answer.files.push((segment, file)),
                Message::Log(level, text) => answer.log.push((level, text)),
                Message::Answers(answers) => answer.answers = answers,
                end => {
                    answer.end = Some(end);
                    return answer;
                }
            }
        }
    }

    /// Sends a request without a body to be pulled and collects its answer.
    pub fn ask(&self, request: &Request<'_>) -> Answer {
        if self.send(request) {
            return self.collect(&[]);
        }
        Answer {
            end: Some(Message::Reset),
            ..Answer::default()
        }
    }
}

fn response(head: ResponseHead<'_>) -> Response {
    let text = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|&byte| char::from(byte))
            .collect::<String>()
    };
    Response {
        status: head.status,
        reason: text(head.reason),
        headers: head
            .headers()
            .map(|(name, value)| (text(name), text(value)))
            .collect(),
    }
}

fn owned(message: ToChild<'_>, passed: Option<OwnedFd>) -> Message {
    match message {
        ToChild::Welcome { pid, slot } => Message::Welcome { pid, slot },
        ToChild::Busy => Message::Busy,
        ToChild::Retry => Message::Retry,
        ToChild::BodyWanted { max } => Message::BodyWanted(max),
        ToChild::Interim(head) => Message::Interim(response(head)),
        ToChild::Head(head) => Message::Head(response(head)),
        ToChild::Data(data) => Message::Data(data.to_vec()),
        ToChild::File(segment) => Message::File(segment, passed.expect("a descriptor")),
        ToChild::End => Message::End,
        ToChild::Failed(failure) => Message::Failed(failure),
        ToChild::Log { level, text } => {
            Message::Log(level, String::from_utf8_lossy(text).into_owned())
        }
        ToChild::VariableWanted(name) => Message::VariableWanted(name.to_vec()),
        ToChild::ScoreboardWanted => panic!("no script here asks for the scoreboard"),
        ToChild::Answer(answers) => {
            Message::Answers(Returned::decode_all(answers).expect("answers"))
        }
    }
}
