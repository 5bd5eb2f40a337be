//! What stands for Apache's client: builds requests, and keeps what the gateway answers.

use std::ffi::{c_int, c_void};
use std::path::Path;

use wsgi_abi::{Bytes, RequestCalls};
use wsgi_wire::Failure;
use wsgi_wire::function::Answer;
use wsgi_wire::head::{Body, EncodedHead, HeadBuilder, Target, flag};
use wsgi_wire::response::ResponseHead;

use crate::process::Gateway;

/// A request to be asked.
pub struct Request {
    head: EncodedHead,
}

/// How a request is put together.
pub struct RequestBuilder {
    script: Vec<u8>,
    path: Vec<u8>,
    group: Vec<u8>,
    pulled: bool,
    function: Option<&'static str>,
    variables: Vec<(String, String)>,
}

impl Request {
    /// A GET for a path.
    #[expect(clippy::new_ret_no_self, reason = "reads as the request it becomes")]
    pub fn new(script: &Path, path: &str) -> RequestBuilder {
        RequestBuilder {
            script: script.as_os_str().as_encoded_bytes().to_vec(),
            path: path.as_bytes().to_vec(),
            group: Vec::new(),
            pulled: false,
            function: None,
            variables: Vec::new(),
        }
    }
}

impl RequestBuilder {
    /// For this application group.
    pub fn group(mut self, group: &str) -> Self {
        self.group = group.as_bytes().to_vec();
        self
    }

    /// Calls this function in an application's place.
    pub fn function(mut self, name: &'static str) -> Self {
        self.function = Some(name);
        self
    }

    /// With a body that has to be asked for.
    pub fn pulled(mut self) -> Self {
        self.pulled = true;
        self
    }

    /// With as many variables as a browser's request has.
    pub fn like_a_browsers(mut self) -> Self {
        for number in 0..40 {
            let value = format!("value of the variable number {number}");
            self.variables
                .push((format!("HTTP_VARIABLE_{number}"), value));
        }
        self
    }

    fn encode(&self) -> Request {
        let target = Target {
            flags: flag::RELOADING,
            request_start: 1,
            script: &self.script,
            application_group: &self.group,
            callable: b"application",
        };
        let mut builder = match self.function {
            None => HeadBuilder::start(Vec::new(), &target),
            Some(name) => HeadBuilder::start_functions(&target, &[name.as_bytes()], &[b"x"]),
        };
        for (key, value) in [
            ("REQUEST_METHOD", "GET"),
            ("SCRIPT_NAME", ""),
            ("QUERY_STRING", ""),
            ("SERVER_NAME", "localhost"),
            ("SERVER_PORT", "80"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
        ] {
            builder.latin1(key.as_bytes(), value.as_bytes());
        }
        builder.latin1(b"PATH_INFO", &self.path);
        builder.path(b"SCRIPT_FILENAME", &self.script);
        builder.latin1(b"mod_wsgi.process_group", b"");
        builder.latin1(b"mod_wsgi.application_group", &self.group);
        for (key, value) in &self.variables {
            builder.latin1(key.as_bytes(), value.as_bytes());
        }
        let body = if self.pulled {
            Body::Pulled(None)
        } else {
            Body::None
        };
        Request {
            head: builder.finish(body),
        }
    }
}

/// What came back.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What `serve` returned.
    pub code: u8,
    /// The status; 0 without a head.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The statuses of 1xx responses.
    pub interim: Vec<u16>,
    /// The body.
    pub body: Vec<u8>,
    /// What functions returned.
    pub answers: Vec<Answer>,
    /// The log lines.
    pub log: Vec<String>,
}

impl Outcome {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A client with a body to send.
#[derive(Default)]
pub struct Client {
    body: Vec<u8>,
    taken: usize,
    failure: Option<Failure>,
    inside: Option<(Gateway, RequestBuilder)>,
    outcome: Outcome,
}

impl Client {
    /// A client without a body.
    pub fn new() -> Self {
        Client::default()
    }

    /// A client that sends `body`, in pieces of at most 1,000 bytes.
    pub fn with_body(body: &[u8]) -> Self {
        Client {
            body: body.to_vec(),
            ..Client::default()
        }
    }

    /// A client whose body cannot be read.
    pub fn failing(failure: Failure) -> Self {
        Client {
            failure: Some(failure),
            ..Client::default()
        }
    }

    /// A client whose first data sets off another request on the same thread, as mod_include does.
    pub fn with_request_inside(gateway: &Gateway, request: RequestBuilder) -> Self {
        Client {
            inside: Some((*gateway, request)),
            ..Client::default()
        }
    }

    /// Asks once.
    pub fn ask(mut self, gateway: &Gateway, request: &RequestBuilder) -> Outcome {
        self.run(gateway, &request.encode());
        self.outcome
    }

    /// Asks once more and forgets the answer.
    pub fn ask_again(&mut self, gateway: &Gateway, request: &RequestBuilder) {
        self.run(gateway, &request.encode());
        assert_eq!((self.outcome.code, self.outcome.status), (0, 200));
        self.outcome = Outcome::default();
    }

    fn run(&mut self, gateway: &Gateway, request: &Request) {
        let calls = RequestCalls {
            request_rec: std::ptr::null_mut(),
            script_modified: 0,
            context: (&raw mut *self).cast(),
            read_body,
            send_interim,
            send_head,
            send_data,
            send_file,
            answer,
            variable,
            log,
        };
        let code = gateway.serve(request.head.as_bytes(), &calls);
        self.outcome.code = code;
    }
}

/// The client behind a call's context.
///
/// # Safety
/// The context is the client that `serve` was called for, and the call is the only one.
unsafe fn client<'c>(context: *mut c_void) -> &'c mut Client {
    // SAFETY: the caller vouches for it.
    unsafe { &mut *context.cast::<Client>() }
}

unsafe extern "C" fn read_body(context: *mut c_void, buffer: *mut u8, capacity: usize) -> isize {
    // SAFETY: called by the gateway during serve.
    let client = unsafe { client(context) };
    if let Some(failure) = client.failure {
        return -(failure as isize);
    }
    let rest = &client.body[client.taken..];
    let count = rest.len().min(capacity).min(1000);
    // SAFETY: the gateway lends `capacity` writable bytes.
    unsafe { std::ptr::copy_nonoverlapping(rest.as_ptr(), buffer, count) };
    client.taken += count;
    count as isize
}

unsafe extern "C" fn send_interim(context: *mut c_void, head: Bytes) -> u8 {
    // SAFETY: called by the gateway during serve.
    let client = unsafe { client(context) };
    // SAFETY: lent for this call.
    let head = ResponseHead::decode(unsafe { head.as_slice() }).expect("a response head");
    client.outcome.interim.push(head.status);
    0
}

unsafe extern "C" fn send_head(context: *mut c_void, head: Bytes) -> u8 {
    // SAFETY: called by the gateway during serve.
    let client = unsafe { client(context) };
    // SAFETY: lent for this call.
    let head = ResponseHead::decode(unsafe { head.as_slice() }).expect("a response head");
    client.outcome.status = head.status;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    client.outcome.headers = head
        .headers()
        .map(|(name, value)| (text(name), text(value)))
        .collect();
    0
}

unsafe extern "C" fn send_data(context: *mut c_void, data: Bytes, _: c_int) -> u8 {
    // SAFETY: called by the gateway during serve.
    let client = unsafe { client(context) };
    if let Some((gateway, request)) = client.inside.take() {
        let inside = Client::new().ask(&gateway, &request);
        assert_eq!(inside.code, 0, "{:?}", inside.log);
        client.outcome.body.extend(inside.body);
    }
    // SAFETY: lent for this call.
    client
        .outcome
        .body
        .extend_from_slice(unsafe { data.as_slice() });
    0
}

unsafe extern "C" fn send_file(context: *mut c_void, fd: c_int, offset: u64, length: u64) -> u8 {
    // SAFETY: called by the gateway during serve.
    let client = unsafe { client(context) };
    let mut bytes = vec![0; length as usize];
    // SAFETY: the descriptor is lent, and there is room for the length.
    let read = unsafe {
        libc::pread(
            fd,
            bytes.as_mut_ptr().cast(),
            bytes.len(),
            offset as libc::off_t,
        )
    };
    assert_eq!(read as u64, length);
    client.outcome.body.extend_from_slice(&bytes);
    0
}

unsafe extern "C" fn answer(context: *mut c_void, answers: Bytes) -> u8 {
    // SAFETY: called by the gateway during serve.
    let client = unsafe { client(context) };
    // SAFETY: lent for this call.
    let answers = Answer::decode_all(unsafe { answers.as_slice() });
    client.outcome.answers = answers.expect("answers");
    0
}

unsafe extern "C" fn variable(_: *mut c_void, name: Bytes) -> Bytes {
    // SAFETY: lent for this call.
    match unsafe { name.as_slice() } {
        b"SSL_PROTOCOL" => Bytes::lend(b"TLSv1.3"),
        _ => Bytes {
            data: std::ptr::null(),
            length: 0,
        },
    }
}

unsafe extern "C" fn log(context: *mut c_void, _: u8, text: Bytes) {
    // SAFETY: called by the gateway during serve.
    let client = unsafe { client(context) };
    // SAFETY: lent for this call.
    let text = String::from_utf8_lossy(unsafe { text.as_slice() }).into_owned();
    client.outcome.log.push(text);
}
