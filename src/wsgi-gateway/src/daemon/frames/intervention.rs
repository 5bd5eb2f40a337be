//! What the main thread does to a request whose own thread is stuck.
//!
//! Never waits long: the request's thread may hold the exchange for as long as it likes, and its
//! child may not be reading. What cannot be done is left; the connection's end tells the child.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::MutexGuard;
use wsgi_unix::socket;
use wsgi_wire::Failure;
use wsgi_wire::to_child;

use super::{FrameExchange, Request};

/// How long the exchange, and room in its socket, are waited for.
const PATIENCE: Duration = Duration::from_millis(100);

impl FrameExchange {
    /// Ends the wait for its client that this request is in; whether it was in one.
    pub(in crate::daemon) fn cut_wait(&self, number: u64) -> bool {
        let waiting = self.waiting.lock();
        let Some(waiting) = waiting.as_ref().filter(|_| self.running.still_runs(number)) else {
            return false;
        };
        self.cut.store(true, Ordering::Relaxed);
        socket::shut(waiting.socket.as_fd(), waiting.side).is_ok()
    }

    /// Writes lines to the log of this request; whether that was possible.
    pub(in crate::daemon) fn tell(&self, number: u64, level: u8, text: &[u8]) -> bool {
        let request = self.grasp(number, PATIENCE);
        request.is_some_and(|request| self.log_in(request, level, text))
    }

    /// As [`FrameExchange::tell`], for a caller with the GIL: does not wait for the exchange.
    pub(in crate::daemon) fn tell_at_once(&self, number: u64, level: u8, text: &[u8]) -> bool {
        let request = self.grasp(number, Duration::ZERO);
        request.is_some_and(|request| self.log_in(request, level, text))
    }

    fn log_in(&self, mut request: MutexGuard<'_, Request>, level: u8, text: &[u8]) -> bool {
        if !request.started {
            request.early.push((level, text.to_vec()));
            return true;
        }
        to_child::append_log(&mut request.out, level, text);
        let told = self.flush(&mut request).is_ok();
        if let Some(connection) = &request.connection {
            // The request may go on, and then waits for its client as long as that takes.
            let _ = socket::set_send_timeout(connection.as_fd(), None);
        }
        told
    }

    /// Answers this request, which has taken too long, and cuts it off. Nobody waits for it any more.
    pub(in crate::daemon) fn give_up(&self, number: u64) {
        self.running.give_up();
        // Whoever holds the exchange while waiting for the client lets go of it.
        self.cut_wait(number);
        let Some(mut request) = self.grasp(number, PATIENCE) else {
            return;
        };
        if self.start(&mut request).is_ok() {
            to_child::append_failed(&mut request.out, Failure::Interrupted);
            // If it cannot be sent, the connection's end is the answer.
            let _ = self.flush(&mut request);
        }
        request.connection = None;
    }

    /// As [`FrameExchange::give_up`], but a request that has not started goes to another process.
    pub(in crate::daemon) fn hand_back(&self, number: u64) {
        let request = self.grasp(number, PATIENCE);
        if let Some(mut request) = request.filter(|request| !request.started) {
            self.running.give_up();
            self.refuse(&mut request);
            return;
        }
        self.give_up(number);
    }

    /// The state of this request, if it can be had now and has a connection that works.
    fn grasp(&self, number: u64, patience: Duration) -> Option<MutexGuard<'_, Request>> {
        let request = self.request.try_lock_for(patience)?;
        if !self.running.still_runs(number) || request.failed.is_some() {
            return None;
        }
        let socket = request.connection.as_ref()?.socket();
        socket::set_send_timeout(socket.as_fd(), Some(PATIENCE)).ok()?;
        Some(request)
    }
}
