//! The loop of a request thread.
//!
//! Each thread waits, takes a connection, runs one request to its end, parks the connection and
//! waits again. It holds the GIL only inside of `Host::serve`. A panic costs its request only.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::RwLock;
use wsgi_wire::frame::HEADER_BYTES;
use wsgi_wire::head::{RequestHead, flag};
use wsgi_wire::to_child;

use super::connection::{Arrival, Connection, ConnectionError};
use super::frames::FrameExchange;
use super::permits::Permit;
use super::service::{Occasion, Service, ServiceError};
use crate::exchange::{Exchange, Verdict};
use crate::running::HeadBytes;

/// A buffer that has grown beyond this is not kept for the next request, bytes.
const KEPT_BUFFER: usize = 128 << 10;

/// A request thread's own things, used again by each request.
pub(super) struct Worker<'s> {
    service: &'s Service,
    exchange: Arc<FrameExchange>,
    /// The request, which the main thread may look at while it runs.
    head: Arc<RwLock<HeadBytes>>,
    scratch: Vec<u8>,
}

impl<'s> Worker<'s> {
    /// A thread's worker.
    pub(super) fn new(service: &'s Service) -> Worker<'s> {
        let head = Arc::default();
        let exchange = service.exchange(&head);
        Worker {
            service,
            exchange,
            head,
            scratch: Vec::new(),
        }
    }

    /// Serves until the process dismisses its threads.
    pub(super) fn run(&mut self) -> Result<(), ServiceError> {
        loop {
            match self.service.wait()? {
                Occasion::Queue => self.serve_queue(),
                Occasion::Readable(connection) => self.serve_kept(connection),
                Occasion::Nothing => {}
                Occasion::Dismissed => return Ok(()),
            }
            if self.service.permits.may_leave() {
                return Ok(());
            }
        }
    }

    /// The permit comes first: whoever waits in the queue is to wait there, where any process of the
    /// group can take them.
    fn serve_queue(&mut self) {
        let Some(permit) = self.service.permits.acquire_for_listener() else {
            return;
        };
        let accepted = self.service.accept();
        self.service.listen_again();
        match accepted {
            Ok(Some(connection)) => match self.look(&connection) {
                Some(Arrival::Nothing) => {
                    self.service.release(permit);
                    self.service.park(connection, false);
                }
                Some(arrival) => self.serve(connection, arrival, permit, false),
                None => self.service.release(permit),
            },
            Ok(None) => self.service.release(permit),
            Err(error) => {
                self.service.release(permit);
                self.service.complain(&error);
            }
        }
    }

    fn serve_kept(&mut self, connection: Connection) {
        match self.look(&connection) {
            Some(Arrival::Nothing) => self.service.park(connection, true),
            Some(arrival) => match self.service.permits.acquire() {
                Some(permit) => self.serve(connection, arrival, permit, true),
                None => self.turn_away(connection, arrival, true),
            },
            None => {}
        }
    }

    /// What there is to read, or `None` when the connection is at its end.
    fn look(&mut self, connection: &Connection) -> Option<Arrival> {
        let mut head = self.head.write();
        if head.bytes.len() > KEPT_BUFFER {
            head.bytes = Vec::new();
        }
        let looked = connection.look(&mut head.bytes, &self.service.clients.secret);
        if let Ok(Arrival::Whole(length)) = looked {
            head.head = HEADER_BYTES..length;
        }
        drop(head);
        match looked {
            Ok(Arrival::Closed) => None,
            Ok(arrival) => Some(arrival),
            Err(error) => {
                self.report(&error);
                None
            }
        }
    }

    /// Answers a request that was not read: the child asks elsewhere or joins the queue. `known` tells
    /// whether the connection was kept before.
    fn turn_away(&mut self, mut connection: Connection, arrival: Arrival, known: bool) {
        let ends = self.service.permits.is_closed();
        let mut answer = Vec::new();
        connection.introduce(self.service.introduction, &mut answer);
        if ends {
            to_child::append_retry(&mut answer);
        } else {
            to_child::append_busy(&mut answer);
        }
        let mut sent = connection.send(&mut [std::io::IoSlice::new(&answer)]);
        match arrival {
            // Only then is the connection of use again. The answer went first: without it, a request
            // that is gone from the socket would count as started.
            Arrival::Whole(length) if !ends && sent.is_ok() => {
                sent = connection.discard(length, &mut self.scratch);
                if sent.is_ok() {
                    self.service.park(connection, known);
                }
            }
            _ => {}
        }
        if let Err(error) = sent {
            self.report(&error);
        }
    }

    fn serve(&mut self, connection: Connection, arrival: Arrival, permit: Permit<'_>, known: bool) {
        if permit.is_last() {
            self.service.note_full();
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            self.run_request(connection, arrival, &permit, known)
        }));
        self.service.release(permit);
        match outcome {
            Ok(Ok(Some(connection))) => self.service.park(connection, known),
            Ok(Ok(None)) => {}
            Ok(Err(error)) => self.report(&error),
            Err(_) => {
                // The panic hook has logged it. Nobody knows what was sent, so this exchange and
                // its connection are given up; an unread request goes to another process.
                self.exchange.abandon();
                self.exchange = self.service.exchange(&self.head);
            }
        }
    }

    fn run_request(
        &mut self,
        mut connection: Connection,
        arrival: Arrival,
        permit: &Permit<'_>,
        known: bool,
    ) -> Result<Option<Connection>, ConnectionError> {
        let (length, unread) = match arrival {
            Arrival::Whole(length) => (length, length),
            Arrival::Beginning(_) => {
                let mut head = self.head.write();
                let length = connection.take_all_but_last(&mut head.bytes)?;
                head.head = HEADER_BYTES..length;
                (length, 1)
            }
            Arrival::Nothing | Arrival::Closed => return Ok(Some(connection)),
        };
        self.service.note_request();
        if Arc::strong_count(&self.exchange) > 1 {
            // Something of the application still holds the last request's.
            self.exchange = self.service.exchange(&self.head);
        }
        let bytes = Arc::clone(&self.head);
        let bytes = bytes.read();
        let head = RequestHead::decode(&bytes.bytes[HEADER_BYTES..length])?;
        if self.service.comes_too_late(head.queue_start) {
            self.turn_away(connection, arrival, known);
            return Ok(None);
        }
        if self.service.tells_of_pickup() {
            connection.introduce_now(self.service.introduction)?;
        }
        let _in_use = InUse::noted(self.service, head.flags);
        self.exchange.begin(connection, unread, head.body);
        let exchange: Arc<dyn Exchange> = Arc::clone(&self.exchange) as Arc<dyn Exchange>;
        let verdict = self.service.host.serve(&head, &exchange);
        if verdict == Verdict::Replace {
            self.service.ask_for_replacement();
        }
        Ok(self.exchange.end(verdict, || permit.announce_release()))
    }

    fn report(&self, error: &ConnectionError) {
        if !error.is_peer_gone() {
            self.service.complain(error);
        }
    }
}

/// A request that keeps its process from being idle: noted at its start and, whatever becomes of it,
/// at its end. Its permit is given back later, so that no moment in between looks idle.
struct InUse<'s>(&'s Service);

impl<'s> InUse<'s> {
    /// `None` for a request that WSGIIgnoreActivity is about.
    fn noted(service: &'s Service, flags: u16) -> Option<InUse<'s>> {
        if flags & flag::IGNORE_ACTIVITY != 0 {
            return None;
        }
        service.note_activity();
        Some(InUse(service))
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.0.note_activity();
    }
}
