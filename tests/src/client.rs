//! An HTTP/1.1 client that shows what is on the wire: interim responses, framing, and whether a
//! response is whole (RFC 9112 §6.3 and §8).

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::wait::DEADLINE;

/// A request to be sent.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    chunked: bool,
}

impl Request {
    /// A request without a body.
    pub fn new(method: &str, target: &str) -> Request {
        Request {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            chunked: false,
        }
    }

    /// A GET request.
    pub fn get(target: &str) -> Request {
        Request::new("GET", target)
    }

    /// A POST request whose body is sent with Content-Length.
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Request {
        let body = body.into();
        let length = body.len().to_string();
        Request {
            body,
            ..Request::new("POST", target).header("Content-Length", &length)
        }
    }

    /// A POST request whose body is sent as one chunk after another of at most 1000 bytes.
    pub fn post_chunked(target: &str, body: impl Into<Vec<u8>>) -> Request {
        Request {
            body: body.into(),
            chunked: true,
            ..Request::new("POST", target).header("Transfer-Encoding", "chunked")
        }
    }

    /// Adds a header field.
    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The request line and header section.
    pub fn head(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"))
        {
            head.push_str("Host: localhost\r\n");
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// The body in its framing.
    pub fn framed_body(&self) -> Vec<u8> {
        if !self.chunked {
            return self.body.clone();
        }
        let mut framed = Vec::new();
        for chunk in self.body.chunks(1000) {
            framed.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            framed.extend_from_slice(chunk);
            framed.extend_from_slice(b"\r\n");
        }
        framed.extend_from_slice(b"0\r\n\r\n");
        framed
    }
}

/// How a response's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none by rule: HEAD, 1xx, 204, 304.
    None,
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection, so a cut cannot be told from an end.
    Close,
}

/// A response's status and header section.
#[derive(Debug, Clone)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// The reason phrase.
    pub reason: String,
    /// The header fields in order, values as latin-1.
    pub headers: Vec<(String, String)>,
    /// The 1xx statuses that came before.
    pub interim: Vec<u16>,
    /// How the body ends.
    pub framing: Framing,
}

impl Head {
    /// The first value of a header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).into_iter().next()
    }

    /// Every value of a header field in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

/// A response with its body.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status and headers.
    pub head: Head,
    /// The body without framing, as far as it came.
    pub body: Vec<u8>,
    /// Whether the framing says that it all came.
    pub whole: bool,
}

impl Response {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The first value of a header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection to the server; requests on it follow one another.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    taken: usize,
    /// Bytes that ever came, so that a caller can tell "closed unused" from "lost".
    received: u64,
}

impl Connection {
    /// Connects; every read and write has the suite's deadline.
    pub fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            buffer: Vec::new(),
            taken: 0,
            received: 0,
        })
    }

    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Says that nothing more will be sent.
    pub fn finish_writing(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Bytes that ever came on this connection.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Sends a request and reads its response.
    pub fn roundtrip(&mut self, request: &Request) -> io::Result<Response> {
        let mut bytes = request.head();
        bytes.extend_from_slice(&request.framed_body());
        // A server may answer and close before it has read a body it refuses: the answer counts.
        let sent = self.write(&bytes);
        match self.response(request.method == "HEAD") {
            Err(_) if sent.is_err() => Err(sent.expect_err("just seen")),
            answer => answer,
        }
    }

    /// Reads a response with its whole body.
    pub fn response(&mut self, to_head: bool) -> io::Result<Response> {
        let head = self.head(to_head)?;
        let mut body = Vec::new();
        let whole = self.body(&head, |bytes| body.extend_from_slice(bytes))?;
        Ok(Response { head, body, whole })
    }

    /// Reads as far as the header section's end, past interim responses.
    pub fn head(&mut self, to_head: bool) -> io::Result<Head> {
        let mut interim = Vec::new();
        loop {
            let mut head = self.one_head(to_head)?;
            if head.status >= 200 {
                head.interim = interim;
                return Ok(head);
            }
            interim.push(head.status);
        }
    }

    /// Reads one status line and header section, interim or not.
    pub fn one_head(&mut self, to_head: bool) -> io::Result<Head> {
        let status_line = self.line()?.ok_or(ErrorKind::UnexpectedEof)?;
        let mut words = status_line.splitn(3, ' ');
        let version = words.next().unwrap_or("");
        let status = words.next().and_then(|word| word.parse().ok());
        let Some(status) = status.filter(|_| version.starts_with("HTTP/1.")) else {
            return Err(invalid(&format!("status line {status_line:?}")));
        };
        let reason = words.next().unwrap_or("").to_owned();
        let mut headers = Vec::new();
        loop {
            let line = self.line()?.ok_or(ErrorKind::UnexpectedEof)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| invalid(&line))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut head = Head {
            status,
            reason,
            headers,
            interim: Vec::new(),
            framing: Framing::Close,
        };
        head.framing = framing(&head, to_head);
        Ok(head)
    }

    /// Hands the body to `sink` piece by piece as it comes; tells whether it was whole.
    pub fn body(&mut self, head: &Head, mut sink: impl FnMut(&[u8])) -> io::Result<bool> {
        match head.framing {
            Framing::None => Ok(true),
            Framing::Length(length) => Ok(self.pass(length, &mut sink)? == length),
            Framing::Close => {
                self.pass(u64::MAX, &mut sink)?;
                Ok(true)
            }
            Framing::Chunked => self.chunks(&mut sink),
        }
    }

    /// Reads one chunk of a chunked body: empty for the last one, `None` when the body was cut.
    pub fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(size) = self.line()? else {
            return Ok(None);
        };
        let digits = size.split(';').next().unwrap_or("").trim();
        let size = u64::from_str_radix(digits, 16).map_err(|_| invalid(&size))?;
        let mut chunk = Vec::new();
        let passed = self.pass(size, &mut |bytes| chunk.extend_from_slice(bytes))?;
        if passed < size || self.line()?.is_none() {
            return Ok(None);
        }
        Ok(Some(chunk))
    }

    fn chunks(&mut self, sink: &mut impl FnMut(&[u8])) -> io::Result<bool> {
        loop {
            match self.chunk()? {
                None => return Ok(false),
                Some(chunk) if chunk.is_empty() => return Ok(true),
                Some(chunk) => sink(&chunk),
            }
        }
    }

    /// Passes on at most `limit` bytes; fewer when the connection ended.
    fn pass(&mut self, limit: u64, sink: &mut impl FnMut(&[u8])) -> io::Result<u64> {
        let mut passed = 0;
        while passed < limit {
            if self.taken == self.buffer.len() && self.fill()? == 0 {
                break;
            }
            let held = &self.buffer[self.taken..];
            let wanted = usize::try_from(limit - passed).unwrap_or(usize::MAX);
            let piece = &held[..held.len().min(wanted)];
            sink(piece);
            passed += piece.len() as u64;
            self.taken += piece.len();
        }
        Ok(passed)
    }

    /// A line without its end; `None` when the connection ended before it did.
    fn line(&mut self) -> io::Result<Option<String>> {
        loop {
            let held = &self.buffer[self.taken..];
            if let Some(end) = held.iter().position(|byte| *byte == b'\n') {
                let line = held[..end].strip_suffix(b"\r").unwrap_or(&held[..end]);
                // Latin-1, in which every header value is text.
                let line = line.iter().copied().map(char::from).collect();
                self.taken += end + 1;
                return Ok(Some(line));
            }
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let start = self.buffer.len();
        self.buffer.resize(start + 65536, 0);
        let count = match self.stream.read(&mut self.buffer[start..]) {
            // A reset ends the connection as far as a response's wholeness goes.
            Err(error) if error.kind() == ErrorKind::ConnectionReset && self.received > 0 => Ok(0),
            other => other,
        };
        self.buffer.truncate(start + *count.as_ref().unwrap_or(&0));
        self.received += *count.as_ref().unwrap_or(&0) as u64;
        count
    }
}

/// RFC 9112 §6.3.
fn framing(head: &Head, to_head: bool) -> Framing {
    if to_head || head.status < 200 || head.status == 204 || head.status == 304 {
        return Framing::None;
    }
    if head
        .header("Transfer-Encoding")
        .is_some_and(|value| value.contains("chunked"))
    {
        return Framing::Chunked;
    }
    match head.header("Content-Length").map(str::parse) {
        Some(Ok(length)) => Framing::Length(length),
        _ => Framing::Close,
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("not HTTP/1.1: {what}"))
}
