//! The request as the gateway gets it: which application, what kind of body, and the environ.
//!
//! Built once per request by the module, in an Apache child's request thread; handed over by
//! pointer in embedded mode and as the payload of a `Request` frame to a daemon. The pairs are in
//! the order they must be put into the environ: a later pair replaces an earlier one.

use crate::codec::{Reader, WireError, Writer};
use crate::function::{Functions, encode_functions};
use crate::secret::{SECRET_BYTES, Secret};

/// Bits of [`RequestHead::flags`].
pub mod flag {
    /// The script is loaded again when its file changes (WSGIScriptReloading).
    pub const RELOADING: u16 = 1;
    /// `wsgi.url_scheme` is `https`.
    pub const HTTPS: u16 = 2;
    /// Functions of the script are called, and no application.
    pub const FUNCTIONS: u16 = 4;
    /// Changes of imported modules count as well (WSGIModuleReloading).
    pub const MODULES: u16 = 8;
    /// The request is no sign that its daemon is in use (WSGIIgnoreActivity).
    pub const IGNORE_ACTIVITY: u16 = 16;
    /// The name of the application group was made from the request.
    pub const COMPUTED_GROUP: u16 = 32;
    /// All flags this version knows.
    pub const KNOWN: u16 =
        RELOADING | HTTPS | FUNCTIONS | MODULES | IGNORE_ACTIVITY | COMPUTED_GROUP;
}

/// How the request body reaches the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// There is none.
    None,
    /// It is short and was there already: these are all its bytes.
    Inline(&'a [u8]),
    /// The application's reads ask for it; the length in bytes when the client declared one.
    Pulled(Option<u64>),
}

/// What a pair's value means to Python.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// A native string whose code points are these bytes (PEP 3333, "Unicode Issues").
    Latin1(&'a [u8]),
    /// A path, decoded as the file system's names are.
    Path(&'a [u8]),
    /// Python's None: a variable that is set without a value.
    None,
}

/// How often a child offered a request to daemons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attempts {
    /// Times it was offered, this one included.
    pub made: u16,
    /// Times a process that was about to be replaced turned it away.
    pub turned_away: u16,
}

/// A decoded request head that borrows the message's bytes.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a> {
    /// See [`flag`].
    pub flags: u16,
    /// When Apache began to read the request, microseconds since 1970.
    pub request_start: u64,
    /// When the child began to look for a daemon, microseconds since 1970; 0 when embedded.
    pub queue_start: u64,
    /// How the child got at this process; nothing when embedded.
    pub attempts: Attempts,
    /// The script's absolute path.
    pub script: &'a [u8],
    /// The application group's name; empty for the main interpreter.
    pub application_group: &'a [u8],
    /// The name of the callable object in the script; empty when functions are called.
    pub callable: &'a [u8],
    /// The functions to call instead of an application.
    pub functions: Option<Functions<'a>>,
    /// The request body.
    pub body: Body<'a>,
    pairs: u32,
    common: &'a [u8],
    own: &'a [u8],
}

impl<'a> RequestHead<'a> {
    /// Decodes a whole head and checks the framing of every pair.
    pub fn decode(payload: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(payload);
        let flags = reader.u16("flags")?;
        if flags & !flag::KNOWN != 0 {
            return Err(WireError::Value {
                field: "flags",
                value: u64::from(flags),
            });
        }
        let kind = reader.u8("body kind")?;
        let length = reader.u64("body length")?;
        let request_start = reader.u64("request start")?;
        let queue_start = reader.u64("queue start")?;
        let attempts = Attempts {
            made: reader.u16("attempts")?,
            turned_away: reader.u16("attempts turned away")?,
        };
        // Looked at before anything else of a head ([`secret_in`]).
        reader.take(SECRET_BYTES, "secret")?;
        let script = reader.short_bytes("script")?;
        let application_group = reader.short_bytes("application group")?;
        let callable = reader.short_bytes("callable")?;
        let functions = if flags & flag::FUNCTIONS == 0 {
            None
        } else {
            Some(Functions::decode(&mut reader)?)
        };
        let pairs = reader.u32("pair count")?;
        let common = reader.u32("length of the common environ")?;
        let environ = reader.bytes("environ")?;
        let (common, own) = environ
            .split_at_checked(common as usize)
            .ok_or(WireError::Short("environ"))?;
        check_pairs(common, own, pairs)?;
        let body = match kind {
            0 => Body::None,
            1 => Body::Inline(reader.take(reader.rest().len(), "inline body")?),
            2 => Body::Pulled(Some(length)),
            3 => Body::Pulled(None),
            other => {
                return Err(WireError::Value {
                    field: "body kind",
                    value: u64::from(other),
                });
            }
        };
        reader.finish()?;
        Ok(RequestHead {
            flags,
            request_start,
            queue_start,
            attempts,
            script,
            application_group,
            callable,
            functions,
            body,
            pairs,
            common,
            own,
        })
    }

    /// How many pairs [`RequestHead::environ`] gives.
    pub fn pair_count(&self) -> usize {
        self.pairs as usize
    }

    /// The pairs of the environ, in order.
    pub fn environ(&self) -> impl Iterator<Item = (&'a [u8], Value<'a>)> + use<'a> {
        self.common_environ().chain(self.own_environ())
    }

    /// The pairs that most requests for the script have in common; they come first.
    pub fn common_environ(&self) -> impl Iterator<Item = (&'a [u8], Value<'a>)> + use<'a> {
        pairs_in(self.common)
    }

    /// The pairs that follow.
    pub fn own_environ(&self) -> impl Iterator<Item = (&'a [u8], Value<'a>)> + use<'a> {
        pairs_in(self.own)
    }

    /// The common pairs as they are encoded: of equal bytes comes an equal environ.
    pub fn common(&self) -> &'a [u8] {
        self.common
    }
}

fn pairs_in<'a>(encoded: &'a [u8]) -> impl Iterator<Item = (&'a [u8], Value<'a>)> + use<'a> {
    let mut reader = Reader::new(encoded);
    std::iter::from_fn(move || next_pair(&mut reader).ok())
}

fn check_pairs(common: &[u8], own: &[u8], pairs: u32) -> Result<(), WireError> {
    let (mut common, mut own) = (Reader::new(common), Reader::new(own));
    for _ in 0..pairs {
        let part = if common.rest().is_empty() {
            &mut own
        } else {
            &mut common
        };
        next_pair(part)?;
    }
    common.finish()?;
    own.finish()
}

fn next_pair<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], Value<'a>), WireError> {
    let key = reader.short_bytes("key")?;
    let kind = reader.u8("value kind")?;
    let bytes = reader.bytes("value")?;
    let value = match kind {
        0 => Value::Latin1(bytes),
        1 => Value::Path(bytes),
        2 if bytes.is_empty() => Value::None,
        other => {
            return Err(WireError::Value {
                field: "value kind",
                value: u64::from(other),
            });
        }
    };
    Ok((key, value))
}

/// What [`HeadBuilder::start`] needs to know about a request.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// See [`flag`].
    pub flags: u16,
    /// See [`RequestHead::request_start`].
    pub request_start: u64,
    /// See [`RequestHead::script`]; at most 65,535 bytes.
    pub script: &'a [u8],
    /// See [`RequestHead::application_group`].
    pub application_group: &'a [u8],
    /// See [`RequestHead::callable`].
    pub callable: &'a [u8],
}

const BODY_KIND_AT: usize = 2;
const BODY_LENGTH_AT: usize = 3;
const QUEUE_START_AT: usize = 19;
const ATTEMPTS_AT: usize = 27;
const SECRET_AT: usize = 31;

/// The secret at its fixed place in a head's beginning; `None` where the beginning is too short.
pub fn secret_in(head: &[u8]) -> Option<Secret> {
    let bytes = head.get(SECRET_AT..)?.first_chunk::<SECRET_BYTES>()?;
    Some(Secret::new(*bytes))
}

/// Encodes a request head into one buffer, without moving what was written.
#[derive(Debug)]
pub struct HeadBuilder {
    out: Vec<u8>,
    counts_at: usize,
    /// Where the pairs begin.
    pairs_at: usize,
    pairs: u32,
}

impl HeadBuilder {
    /// Starts a head in `buffer`, whose old contents are dropped and whose room is kept.
    pub fn start(buffer: Vec<u8>, target: &Target<'_>) -> Self {
        HeadBuilder::start_with(buffer, target, target.flags & !flag::FUNCTIONS, |_| {})
    }

    /// Starts the head of a call of the functions `names`, each with the environ and `arguments`.
    pub fn start_functions(target: &Target<'_>, names: &[&[u8]], arguments: &[&[u8]]) -> Self {
        let flags = target.flags | flag::FUNCTIONS;
        HeadBuilder::start_with(Vec::new(), target, flags, |out| {
            encode_functions(out, names, arguments);
        })
    }

    fn start_with(
        mut buffer: Vec<u8>,
        target: &Target<'_>,
        flags: u16,
        entry: impl FnOnce(&mut Vec<u8>),
    ) -> Self {
        buffer.clear();
        buffer.put_u16(flags);
        buffer.put_u8(0);
        buffer.put_u64(0);
        buffer.put_u64(target.request_start);
        buffer.put_u64(0);
        buffer.put_u32(0);
        buffer.extend_from_slice(Secret::default().bytes());
        buffer.put_short_bytes(target.script);
        buffer.put_short_bytes(target.application_group);
        buffer.put_short_bytes(target.callable);
        entry(&mut buffer);
        let counts_at = buffer.len();
        buffer.put_u32(0);
        buffer.put_u32(0);
        buffer.put_u32(0);
        HeadBuilder {
            counts_at,
            pairs_at: buffer.len(),
            out: buffer,
            pairs: 0,
        }
    }

    /// What was added so far is what most requests for this script have in common. Without this call
    /// nothing is.
    pub fn end_common(&mut self) {
        self.set_count(1, self.out.len() - self.pairs_at);
    }

    /// Whether one of the common pairs has this key.
    pub fn holds_common(&self, key: &[u8]) -> bool {
        let at = self.counts_at + 4;
        let length = self.out[at..]
            .first_chunk()
            .map(|bytes| u32::from_le_bytes(*bytes));
        let common = &self.out[self.pairs_at..][..length.unwrap_or(0) as usize];
        pairs_in(common).any(|(other, _)| other == key)
    }

    fn set_count(&mut self, index: usize, count: usize) {
        let at = self.counts_at + 4 * index;
        self.out[at..at + 4].copy_from_slice(&(count as u32).to_le_bytes());
    }

    /// Adds a native string.
    pub fn latin1(&mut self, key: &[u8], value: &[u8]) {
        self.pair(key, 0, value);
    }

    /// Adds a path.
    pub fn path(&mut self, key: &[u8], value: &[u8]) {
        self.pair(key, 1, value);
    }

    /// Adds a variable without a value.
    pub fn none(&mut self, key: &[u8]) {
        self.pair(key, 2, &[]);
    }

    /// Adds a native string whose key is `prefix` and `name` as `change` leaves it, e.g. `HTTP_` and a
    /// header's name in capitals.
    pub fn latin1_with_key(
        &mut self,
        (prefix, name): (&[u8], &[u8]),
        change: impl FnOnce(&mut [u8]),
        value: &[u8],
    ) {
        let name = &name[..name.len().min(usize::from(u16::MAX) - prefix.len())];
        self.out.put_u16((prefix.len() + name.len()) as u16);
        self.out.extend_from_slice(prefix);
        let at = self.out.len();
        self.out.extend_from_slice(name);
        change(&mut self.out[at..]);
        self.out.put_u8(0);
        self.out.put_bytes(value);
        self.pairs += 1;
    }

    fn pair(&mut self, key: &[u8], kind: u8, value: &[u8]) {
        self.out.put_short_bytes(key);
        self.out.put_u8(kind);
        self.out.put_bytes(value);
        self.pairs += 1;
    }

    /// Ends the environ and adds the body: the whole head, encoded.
    pub fn finish(mut self, body: Body<'_>) -> EncodedHead {
        self.set_count(0, self.pairs as usize);
        self.set_count(2, self.out.len() - self.pairs_at);
        let (kind, length) = match body {
            Body::None => (0, 0),
            Body::Inline(bytes) => {
                self.out.extend_from_slice(bytes);
                (1, bytes.len() as u64)
            }
            Body::Pulled(Some(length)) => (2, length),
            Body::Pulled(None) => (3, 0),
        };
        self.out[BODY_KIND_AT] = kind;
        self.out[BODY_LENGTH_AT..BODY_LENGTH_AT + 8].copy_from_slice(&length.to_le_bytes());
        EncodedHead(self.out)
    }
}

/// A head as bytes.
pub struct EncodedHead(Vec<u8>);

/// The secret is among the bytes, so they are not shown.
impl std::fmt::Debug for EncodedHead {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "EncodedHead of {} bytes", self.0.len())
    }
}

impl EncodedHead {
    /// The encoded bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Stamps the moment the child began to look for a daemon, microseconds since 1970.
    pub fn set_queue_start(&mut self, micros: u64) {
        self.0[QUEUE_START_AT..QUEUE_START_AT + 8].copy_from_slice(&micros.to_le_bytes());
    }

    /// Stamps how often the request was offered to daemons, before each offer.
    pub fn set_attempts(&mut self, attempts: Attempts) {
        let place = &mut self.0[ATTEMPTS_AT..ATTEMPTS_AT + 4];
        place[..2].copy_from_slice(&attempts.made.to_le_bytes());
        place[2..].copy_from_slice(&attempts.turned_away.to_le_bytes());
    }

    /// Stamps the secret of the process group it is for.
    pub fn set_secret(&mut self, secret: &Secret) {
        self.0[SECRET_AT..SECRET_AT + SECRET_BYTES].copy_from_slice(secret.bytes());
    }

    /// Gives the buffer back for the next request.
    pub fn into_buffer(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target<'static> {
        Target {
            flags: flag::HTTPS,
            request_start: 5,
            script: b"/srv/app.wsgi",
            application_group: b"",
            callable: b"application",
        }
    }

    #[test]
    fn a_head_decodes_to_what_was_built() {
        let mut builder = HeadBuilder::start(Vec::new(), &target());
        builder.latin1(b"REQUEST_METHOD", b"GET");
        assert!(!builder.holds_common(b"REQUEST_METHOD"));
        builder.end_common();
        assert!(builder.holds_common(b"REQUEST_METHOD"));
        builder.path(b"SCRIPT_FILENAME", b"/srv/\xe4");
        builder.none(b"EMPTY");
        builder.latin1_with_key((b"HTTP_", b"host"), <[u8]>::make_ascii_uppercase, b"x");
        let mut encoded = builder.finish(Body::Inline(b"body"));
        encoded.set_queue_start(9);
        let attempts = Attempts {
            made: 3,
            turned_away: 2,
        };
        encoded.set_attempts(attempts);
        let head = RequestHead::decode(encoded.as_bytes()).unwrap();
        assert_eq!(head.attempts, attempts);
        assert_eq!(
            (head.flags, head.request_start, head.queue_start),
            (flag::HTTPS, 5, 9)
        );
        assert_eq!(
            (head.script, head.callable),
            (&b"/srv/app.wsgi"[..], &b"application"[..])
        );
        assert_eq!(head.body, Body::Inline(b"body"));
        let pairs: Vec<_> = head.environ().collect();
        assert_eq!(pairs.len(), head.pair_count());
        assert_eq!(pairs[0], (&b"REQUEST_METHOD"[..], Value::Latin1(b"GET")));
        assert_eq!(
            (head.common_environ().count(), head.own_environ().count()),
            (1, 3)
        );
        assert_eq!(
            pairs[1],
            (&b"SCRIPT_FILENAME"[..], Value::Path(b"/srv/\xe4"))
        );
        assert_eq!(pairs[2], (&b"EMPTY"[..], Value::None));
        assert_eq!(pairs[3], (&b"HTTP_HOST"[..], Value::Latin1(b"x")));
    }

    #[test]
    fn common_pairs_that_end_within_a_pair_are_refused() {
        let mut builder = HeadBuilder::start(Vec::new(), &target());
        builder.latin1(b"A", b"1");
        builder.end_common();
        builder.latin1(b"B", b"2");
        let counts_at = builder.counts_at;
        let good = builder.finish(Body::None);
        let mut bytes = good.as_bytes().to_vec();
        assert!(RequestHead::decode(&bytes).is_ok());
        for wrong in [1_u32, 8, 10, u32::MAX] {
            bytes[counts_at + 4..counts_at + 8].copy_from_slice(&wrong.to_le_bytes());
            assert!(RequestHead::decode(&bytes).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_secret_is_found_where_it_is_put() {
        let secret = Secret::new(*b"0123456789abcdef");
        let mut encoded = HeadBuilder::start(Vec::new(), &target()).finish(Body::None);
        encoded.set_secret(&secret);
        let beginning = &encoded.as_bytes()[..SECRET_AT + SECRET_BYTES];
        assert_eq!(secret_in(beginning), Some(secret));
        assert_eq!(secret_in(&beginning[..SECRET_AT + SECRET_BYTES - 1]), None);
        let head = RequestHead::decode(encoded.as_bytes()).unwrap();
        assert_eq!(head.script, b"/srv/app.wsgi");
        let next = HeadBuilder::start(encoded.into_buffer(), &target()).finish(Body::None);
        assert_eq!(secret_in(next.as_bytes()), Some(Secret::default()));
    }

    #[test]
    fn a_pulled_body_keeps_whether_its_length_is_known() {
        for body in [Body::None, Body::Pulled(Some(1 << 33)), Body::Pulled(None)] {
            let encoded = HeadBuilder::start(Vec::new(), &target()).finish(body);
            assert_eq!(RequestHead::decode(encoded.as_bytes()).unwrap().body, body);
        }
    }

    #[test]
    fn a_head_may_ask_for_functions_instead_of_an_application() {
        let names: [&[u8]; 2] = [b"process_group", b"application_group"];
        let mut builder = HeadBuilder::start_functions(&target(), &names, &[b"", b"user"]);
        builder.latin1(b"K", b"v");
        let encoded = builder.finish(Body::None);
        let head = RequestHead::decode(encoded.as_bytes()).unwrap();
        let functions = head.functions.expect("asked for");
        assert_eq!(functions.names().collect::<Vec<_>>(), names);
        assert_eq!(
            functions.arguments().collect::<Vec<_>>(),
            [&b""[..], &b"user"[..]]
        );
        assert_eq!(head.environ().count(), 1);
        let application = HeadBuilder::start(Vec::new(), &target()).finish(Body::None);
        let head = RequestHead::decode(application.as_bytes()).unwrap();
        assert!(head.functions.is_none());
    }

    #[test]
    fn a_head_cut_anywhere_is_refused() {
        let application = HeadBuilder::start(Vec::new(), &target());
        let functions = HeadBuilder::start_functions(&target(), &[b"f"], &[b"x"]);
        for mut builder in [application, functions] {
            builder.latin1(b"K", b"v");
            let encoded = builder.finish(Body::None);
            for length in 0..encoded.as_bytes().len() {
                assert!(
                    RequestHead::decode(&encoded.as_bytes()[..length]).is_err(),
                    "{length}"
                );
            }
        }
    }
}
