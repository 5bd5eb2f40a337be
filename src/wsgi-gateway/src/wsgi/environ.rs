//! The environ of a request (PEP 3333, "environ Variables").
//!
//! Built on the request's thread with the GIL held. This is where most of a small request's time
//! would go, so every interpreter keeps its keys as interned strings, and beside each key the value it
//! had last: of some forty variables few change from one request to the next. What requests for a
//! script have in common is kept as a dict, the mould, of which an environ is a copy.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use wsgi_wire::head::{RequestHead, Value, flag};

use crate::python::{Object, Owned, Python, Raised, Stored};

/// How many keys are kept: names of headers come from clients, who may invent them.
const MOST_KEYS: usize = 512;

/// Values longer than this are not kept, bytes.
const LONGEST_VALUE: usize = 256;

/// How many moulds are kept: one for each script, and where the client's `Host` is the server's name,
/// one for each name.
const MOST_MOULDS: usize = 16;

/// Of common pairs that take more than this no mould is kept, bytes.
const LONGEST_COMMON: usize = 8 << 10;

/// Keys whose values are not kept beyond their request, because they are secrets.
const SECRET: &[&[u8]] = &[
    b"HTTP_AUTHORIZATION",
    b"HTTP_COOKIE",
    b"HTTP_PROXY_AUTHORIZATION",
];

/// The keys that the gateway itself puts into an environ, besides those that never change.
macro_rules! own_keys {
    ($($(#[$doc:meta])* $field:ident = $name:literal;)*) => {
        /// The interned names of the gateway's own variables.
        pub struct OwnKeys {
            $($(#[$doc])* pub $field: Stored,)*
        }

        impl OwnKeys {
            /// Makes them for the attached interpreter.
            pub fn new(python: Python<'_>) -> Result<Self, Raised> {
                Ok(OwnKeys { $($field: Owned::interned(python, $name)?.store(),)* })
            }

            /// Those that [`build`] puts into every environ.
            fn always(&self) -> [&Stored; 8] {
                [
                    &self.input,
                    &self.url_scheme,
                    &self.early_hints,
                    &self.request_start,
                    &self.queue_start,
                    &self.daemon_start,
                    &self.application_start,
                    &self.thread_id,
                ]
            }
        }
    };
}

own_keys! {
    /// The request body.
    input = b"wsgi.input";
    /// `http` or `https`.
    url_scheme = b"wsgi.url_scheme";
    /// See `start_response.rs`.
    early_hints = b"wsgi.early_hints";
    /// When Apache began to read the request.
    request_start = b"mod_wsgi.request_start";
    /// When the child began to look for a daemon.
    queue_start = b"mod_wsgi.queue_start";
    /// When the daemon took the request.
    daemon_start = b"mod_wsgi.daemon_start";
    /// When the application was called.
    application_start = b"mod_wsgi.application_start";
    /// The number of the request's thread.
    thread_id = b"mod_wsgi.thread_id";
    /// httpd's own structure (WSGIPassApacheRequest).
    request_rec = b"apache.request_rec";
    /// The value `http`.
    http = b"http";
    /// The value `https`.
    https = b"https";
}

/// Mixes eight bytes at a time; the map is bounded, so clients gain nothing by collisions.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = (self.0.rotate_left(5) ^ u64::from_le_bytes(word))
                .wrapping_mul(0x517c_c1b7_2722_0a95);
        }
    }

    fn write_usize(&mut self, length: usize) {
        self.0 ^= length as u64;
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

struct Known {
    key: Stored,
    keeps_value: bool,
    last: Option<(Vec<u8>, Stored)>,
}

/// What the gateway puts into an environ by itself.
#[derive(Clone, Copy)]
pub struct Base<'o> {
    /// The variables that never change.
    pub template: &'o Object,
    /// See [`OwnKeys`].
    pub own: &'o OwnKeys,
}

/// The keys, latest values and moulds that an interpreter knows.
#[derive(Default)]
pub struct KnownKeys {
    // Only ever tried, never waited for: the holder may lose the GIL to a thread that wants it.
    known: Mutex<Memory>,
}

impl KnownKeys {
    /// Puts the request's variables into `environ`.
    pub fn put(
        &self,
        python: Python<'_>,
        environ: &Owned<'_>,
        head: &RequestHead<'_>,
    ) -> Result<(), Raised> {
        match self.known.try_lock() {
            Some(mut memory) => memory.put(python, environ, head.environ()),
            None => put_unknown(python, environ, head.environ()),
        }
    }

    /// A dict with what is in `base` and the request's variables.
    fn environ<'p>(
        &self,
        python: Python<'p>,
        base: Base<'_>,
        head: &RequestHead<'_>,
    ) -> Result<Owned<'p>, Raised> {
        if let Some(mut memory) = self.known.try_lock() {
            let environ = memory.common(python, base, head)?;
            memory.put(python, &environ, head.own_environ())?;
            return Ok(environ);
        }
        let environ = Owned::dict_copy(python, base.template)?;
        put_unknown(python, &environ, head.environ())?;
        Ok(environ)
    }
}

fn put_unknown<'h>(
    python: Python<'_>,
    environ: &Owned<'_>,
    pairs: impl Iterator<Item = (&'h [u8], Value<'h>)>,
) -> Result<(), Raised> {
    for (key, value) in pairs {
        let key = Owned::latin1(python, key)?;
        environ.set_dict_item(&key, &*to_python(python, value)?)?;
    }
    Ok(())
}

/// What an interpreter remembers of earlier requests.
#[derive(Default)]
struct Memory {
    keys: HashMap<Box<[u8]>, Known, BuildHasherDefault<KeyHasher>>,
    moulds: Vec<Mould>,
    /// The mould that is replaced next when there are enough.
    oldest: usize,
}

/// What common pairs came to.
struct Mould {
    /// As the head has them.
    common: Box<[u8]>,
    dict: Stored,
}

impl Memory {
    /// A dict with what is in `base` and the head's common pairs.
    fn common<'p>(
        &mut self,
        python: Python<'p>,
        base: Base<'_>,
        head: &RequestHead<'_>,
    ) -> Result<Owned<'p>, Raised> {
        let common = head.common();
        if let Some(mould) = self.moulds.iter().find(|mould| *mould.common == *common) {
            return Owned::dict_copy(python, mould.dict.object(python));
        }
        let dict = Owned::dict_copy(python, base.template)?;
        self.put(python, &dict, head.common_environ())?;
        if common.is_empty() || common.len() > LONGEST_COMMON {
            return Ok(dict);
        }
        let none = Owned::none(python);
        for key in base.own.always() {
            dict.set_dict_item(key.object(python), &none)?;
        }
        make_room(python, &dict)?;
        let environ = Owned::dict_copy(python, &dict)?;
        let mould = Mould {
            common: common.into(),
            dict: dict.store(),
        };
        if self.moulds.len() < MOST_MOULDS {
            self.moulds.push(mould);
        } else {
            let old = std::mem::replace(&mut self.moulds[self.oldest], mould);
            self.oldest = (self.oldest + 1) % MOST_MOULDS;
            drop(old.dict.release(python));
        }
        Ok(environ)
    }

    fn put<'h>(
        &mut self,
        python: Python<'_>,
        environ: &Owned<'_>,
        pairs: impl Iterator<Item = (&'h [u8], Value<'h>)>,
    ) -> Result<(), Raised> {
        for (key, value) in pairs {
            if let Some(known) = self.keys.get_mut(key) {
                known.put(python, environ, value)?;
            } else if self.keys.len() < MOST_KEYS {
                let interned = Owned::interned(python, key)?.store();
                let mut known = Known {
                    key: interned,
                    keeps_value: !SECRET.contains(&key),
                    last: None,
                };
                known.put(python, environ, value)?;
                self.keys.insert(key.into(), known);
            } else {
                let key = Owned::latin1(python, key)?;
                environ.set_dict_item(&key, &*to_python(python, value)?)?;
            }
        }
        Ok(())
    }
}

/// Lets copies of a dict have room for half as many items again before they have to grow: CPython
/// copies a dict with the size it has come to, if not too much of that is unused.
fn make_room(python: Python<'_>, dict: &Owned<'_>) -> Result<(), Raised> {
    let items = (0..dict.dict_length() as u64 / 2)
        .map(|number| Owned::int(python, number))
        .collect::<Result<Vec<_>, _>>()?;
    for item in &items {
        dict.set_dict_item(item, item)?;
    }
    items
        .iter()
        .try_for_each(|item| dict.delete_dict_item(item))
}

impl Known {
    fn put(
        &mut self,
        python: Python<'_>,
        environ: &Owned<'_>,
        value: Value<'_>,
    ) -> Result<(), Raised> {
        let bytes = match value {
            // A key is always one kind of value, so the bytes alone decide.
            Value::Latin1(bytes) | Value::Path(bytes)
                if self.keeps_value && bytes.len() <= LONGEST_VALUE =>
            {
                bytes
            }
            _ => {
                return environ.set_dict_item(self.key.object(python), &*to_python(python, value)?);
            }
        };
        if let Some((last, object)) = &self.last
            && last == bytes
        {
            return environ.set_dict_item(self.key.object(python), object.object(python));
        }
        let object = to_python(python, value)?;
        environ.set_dict_item(self.key.object(python), &object)?;
        match &mut self.last {
            Some((last, kept)) => {
                last.clear();
                last.extend_from_slice(bytes);
                drop(std::mem::replace(kept, object.store()).release(python));
            }
            none => *none = Some((bytes.to_vec(), object.store())),
        }
        Ok(())
    }
}

fn to_python<'p>(python: Python<'p>, value: Value<'_>) -> Result<Owned<'p>, Raised> {
    match value {
        Value::Latin1(bytes) => Owned::latin1(python, bytes),
        Value::Path(bytes) => match Owned::path(python, bytes) {
            Ok(path) => Ok(path),
            Err(raised) => raised.discard(python, Owned::latin1(python, bytes)),
        },
        Value::None => Ok(Owned::none(python)),
    }
}

/// When things happened, microseconds since 1970.
pub struct Moments {
    /// The gateway got the request; 0 when embedded.
    pub daemon_start: u64,
    /// The application is called.
    pub application_start: u64,
}

/// The objects of one request.
pub struct RequestObjects<'o, 'p> {
    /// `wsgi.input`.
    pub input: &'o Owned<'p>,
    /// `wsgi.early_hints`.
    pub early_hints: &'o Owned<'p>,
    /// `apache.request_rec`.
    pub request_rec: Option<Owned<'p>>,
}

static THREADS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Threads are counted in the order of their first request, from 1.
    static THREAD_ID: u64 = THREADS.fetch_add(1, Ordering::Relaxed) + 1;
}

/// The number of the calling thread.
pub fn thread_id() -> u64 {
    THREAD_ID.with(|id| *id)
}

/// Builds the environ of a request.
pub fn build<'p>(
    python: Python<'p>,
    (base, known): (Base<'_>, &KnownKeys),
    head: &RequestHead<'_>,
    moments: &Moments,
    objects: &RequestObjects<'_, 'p>,
) -> Result<Owned<'p>, Raised> {
    let environ = known.environ(python, base, head)?;
    let own = base.own;
    let scheme = if head.flags & flag::HTTPS != 0 {
        &own.https
    } else {
        &own.http
    };
    environ.set_dict_item(own.url_scheme.object(python), scheme.object(python))?;
    environ.set_dict_item(own.input.object(python), objects.input)?;
    environ.set_dict_item(own.early_hints.object(python), objects.early_hints)?;
    if let Some(request_rec) = &objects.request_rec {
        environ.set_dict_item(own.request_rec.object(python), request_rec)?;
    }
    for (key, micros) in [
        (&own.request_start, head.request_start),
        (&own.queue_start, head.queue_start),
        (&own.daemon_start, moments.daemon_start),
        (&own.application_start, moments.application_start),
    ] {
        let seconds = Owned::float(python, micros as f64 / 1e6)?;
        environ.set_dict_item(key.object(python), &seconds)?;
    }
    let thread = Owned::int(python, thread_id())?;
    environ.set_dict_item(own.thread_id.object(python), &thread)?;
    Ok(environ)
}
