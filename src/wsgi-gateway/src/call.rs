//! One request while Python works on it: what its response has come to, and its way to the client.
//!
//! Made on the request's thread; shared with the Python objects of the request, which may outlive it
//! and may be used by other threads of the application. Two locks: `exchange` is held while bytes
//! travel and is only waited for with the GIL released; `response` is held for moments, possibly
//! inside the former, and never while Python runs.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use wsgi_wire::Failure;

use crate::exchange::{AtOnce, Exchange};
use crate::observe::Observation;

/// What the application has said about its response so far.
#[derive(Debug, Default)]
pub struct Response {
    /// The encoded head of the latest `start_response`; kept for its memory once sent.
    pub head: Vec<u8>,
    /// `start_response` was called.
    pub begun: bool,
    /// The status code; 0 before `begun`.
    pub status: u16,
    /// The declared Content-Length, bytes.
    pub declared: Option<u64>,
    /// The head was given to the exchange and can no longer be replaced.
    pub head_sent: bool,
    /// Bytes of the body given to the exchange.
    pub sent: u64,
    /// Why nothing more can be sent.
    pub broken: Option<Failure>,
    /// Why the request body could not be read.
    pub body_failed: Option<Failure>,
}

impl Response {
    /// Whether the status says that there is no body (RFC 9110 §6.4.1).
    pub fn bodiless(&self) -> bool {
        matches!(self.status, 100..=199 | 204 | 304)
    }

    /// How many of `length` more bytes belong to the response: none beyond its declared length.
    fn clip(&self, length: u64) -> u64 {
        self.declared.map_or(length, |declared| {
            length.min(declared.saturating_sub(self.sent))
        })
    }
}

/// A request that Python works on.
pub struct Call {
    exchange: Mutex<Option<Arc<dyn Exchange>>>,
    ended: AtomicBool,
    /// See [`Response`].
    pub response: Mutex<Response>,
    /// See [`Observation`].
    pub observed: Observation,
}

impl Call {
    /// Begins a request; `head` is memory for the response's head.
    pub fn new(exchange: &Arc<dyn Exchange>, head: Vec<u8>) -> Arc<Call> {
        let response = Response {
            head,
            ..Response::default()
        };
        Arc::new(Call {
            exchange: Mutex::new(Some(Arc::clone(exchange))),
            ended: AtomicBool::new(false),
            response: Mutex::new(response),
            observed: Observation::default(),
        })
    }

    /// Cuts the way to the client; waits for a thread that is using it. Gives the head's memory back.
    /// Called with the GIL released, like all functions below.
    pub fn end(&self) -> Vec<u8> {
        self.ended.store(true, Ordering::Release);
        *self.exchange.lock() = None;
        std::mem::take(&mut self.response.lock().head)
    }

    /// Whether the request has ended. May be called with or without the GIL.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Reads from the request body; `None` when the request has ended.
    pub fn read_body(&self, buffer: &mut [u8]) -> Option<Result<usize, Failure>> {
        let exchange = self.exchange.lock();
        let result = exchange.as_ref()?.read_body(buffer);
        if let Err(failure) = result {
            self.response.lock().body_failed = Some(failure);
        }
        Some(result)
    }

    /// Sends an encoded 1xx head.
    pub fn send_interim(&self, head: &[u8]) -> Result<(), Failure> {
        self.transfer(|exchange, _| exchange.send_interim(head))
    }

    /// Sends the head if that is still to be done, then `data`, as far as it belongs to the response.
    pub fn send(&self, data: &[u8], flush: bool) -> Result<(), Failure> {
        self.measured_transfer(|exchange, response| {
            send_head(exchange, response)?;
            let length = {
                let mut response = response.lock();
                let length = response.clip(data.len() as u64);
                response.sent += length;
                length as usize
            };
            if length > 0 {
                exchange.send_data(&data[..length], flush)?;
            }
            Ok(length as u64)
        })
    }

    /// As [`Call::send`] with `flush`, but as far as it needs no wait. Called with the GIL held.
    pub fn send_at_once(&self, data: &[u8]) -> Result<AtOnce, Failure> {
        let lock = self.exchange.try_lock();
        let lock = lock.filter(|_| self.observed.meter().is_none());
        let Some(exchange) = lock.as_ref().and_then(|exchange| exchange.as_ref()) else {
            return Ok(AtOnce::Refused);
        };
        let (head, head_sent) = {
            let mut response = self.response.lock();
            let length = data.len() as u64;
            if response.broken.is_some() || response.clip(length) < length {
                return Ok(AtOnce::Refused);
            }
            (std::mem::take(&mut response.head), response.head_sent)
        };
        let result = exchange.send_at_once((!head_sent).then_some(&head), data);
        let mut response = self.response.lock();
        response.head = head;
        match result {
            Ok(AtOnce::Refused) => {}
            Ok(AtOnce::Sent | AtOnce::Begun) => {
                response.head_sent = true;
                response.sent += data.len() as u64;
            }
            Err(failure) => response.broken = Some(failure),
        }
        result
    }

    /// Sends what [`Call::send_at_once`] has begun.
    pub fn send_rest(&self) -> Result<(), Failure> {
        self.transfer(|exchange, _| exchange.send_data(&[], true))
    }

    /// Sends the head if that is still to be done.
    pub fn send_head(&self) -> Result<(), Failure> {
        self.transfer(send_head)
    }

    /// Sends the head and a part of a file, as far as it belongs to the response.
    pub fn send_file(&self, file: BorrowedFd<'_>, offset: u64, length: u64) -> Result<(), Failure> {
        self.measured_transfer(|exchange, response| {
            send_head(exchange, response)?;
            let length = {
                let mut response = response.lock();
                let length = response.clip(length);
                response.sent += length;
                length
            };
            if length > 0 {
                exchange.send_file(file, offset, length)?;
            }
            Ok(length)
        })
    }

    /// A variable of the client's TLS connection.
    pub fn variable(&self, name: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        match &*self.exchange.lock() {
            Some(exchange) => exchange.variable(name),
            None => Err(Failure::ClientGone),
        }
    }

    /// The server's encoded scoreboard; `None` when the request has ended or may not have it.
    pub fn scoreboard(&self) -> Option<Vec<u8>> {
        self.exchange.lock().as_ref()?.scoreboard()
    }

    /// Logs a line in the request's context; false when the request has ended.
    pub fn log(&self, level: u8, text: &[u8]) -> bool {
        match &*self.exchange.lock() {
            Some(exchange) => {
                exchange.log(level, text);
                true
            }
            None => false,
        }
    }

    /// A [`Call::transfer`] of a part of the body, whose length it gives.
    fn measured_transfer(
        &self,
        work: impl FnOnce(&dyn Exchange, &Mutex<Response>) -> Result<u64, Failure>,
    ) -> Result<(), Failure> {
        let Some(meter) = self.observed.meter() else {
            return self.transfer(work).map(drop);
        };
        let since = Instant::now();
        let length = self.transfer(work)?;
        if length > 0 {
            meter.output.add(since, length);
        }
        Ok(())
    }

    /// One use of the way to the client; remembers a failure, after which all others get the same.
    fn transfer<T>(
        &self,
        work: impl FnOnce(&dyn Exchange, &Mutex<Response>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let exchange = self.exchange.lock();
        if let Some(failure) = self.response.lock().broken {
            return Err(failure);
        }
        let Some(exchange) = exchange.as_ref() else {
            return Err(Failure::ClientGone);
        };
        let result = work(exchange.as_ref(), &self.response);
        if let Err(failure) = &result {
            self.response.lock().broken = Some(*failure);
        }
        result
    }
}

fn send_head(exchange: &dyn Exchange, response: &Mutex<Response>) -> Result<(), Failure> {
    let head = {
        let mut response = response.lock();
        if response.head_sent {
            return Ok(());
        }
        response.head_sent = true;
        std::mem::take(&mut response.head)
    };
    let result = exchange.send_head(&head);
    response.lock().head = head;
    result
}
