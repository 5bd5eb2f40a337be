//! The environ of a request (PEP 3333, "environ Variables").
//!
//! Built on the request's thread with the GIL held. This is where most of a small request's time
//! would go, so every interpreter keeps its keys as interned strings, and beside each key the value it
//! had last: of some forty variables few change from one request to the next.

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

/// The keys and latest values that an interpreter knows.
#[derive(Default)]
pub struct KnownKeys {
    // Only ever tried, never waited for: the holder may lose the GIL to a thread that wants it.
    keys: Mutex<HashMap<Box<[u8]>, Known, BuildHasherDefault<KeyHasher>>>,
}

impl KnownKeys {
    /// Puts the request's variables into `environ`.
    pub fn put(
        &self,
        python: Python<'_>,
        environ: &Owned<'_>,
        head: &RequestHead<'_>,
    ) -> Result<(), Raised> {
        let Some(mut keys) = self.keys.try_lock() else {
            for (key, value) in head.environ() {
                let key = Owned::latin1(python, key)?;
                environ.set_dict_item(&key, &*to_python(python, value)?)?;
            }
            return Ok(());
        };
        for (key, value) in head.environ() {
            if let Some(known) = keys.get_mut(key) {
                known.put(python, environ, value)?;
            } else if keys.len() < MOST_KEYS {
                let interned = Owned::interned(python, key)?.store();
                let mut known = Known {
                    key: interned,
                    keeps_value: !SECRET.contains(&key),
                    last: None,
                };
                known.put(python, environ, value)?;
                keys.insert(key.into(), known);
            } else {
                let key = Owned::latin1(python, key)?;
                environ.set_dict_item(&key, &*to_python(python, value)?)?;
            }
        }
        Ok(())
    }
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

/// Builds the environ of a request on a copy of `template`, which holds what never changes.
pub fn build<'p>(
    python: Python<'p>,
    (template, own, known): (&Object, &OwnKeys, &KnownKeys),
    head: &RequestHead<'_>,
    moments: &Moments,
    objects: &RequestObjects<'_, 'p>,
) -> Result<Owned<'p>, Raised> {
    let environ = Owned::dict_copy(python, template)?;
    known.put(python, &environ, head)?;
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
