//! The calls by which the gateway reads a request's body and answers it, in the same process.
//!
//! Runs on the request's thread, inside the gateway's `serve`. Each C function is one call to the
//! panic boundary and casts its context back to the conversation.

use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;

use wsgi_abi::{Bytes, ProcessCalls, RequestCalls, TakeBytes};
use wsgi_wire::Failure;
use wsgi_wire::launch::Message;
use wsgi_wire::response::ResponseHead;

use super::{Aside, EmbeddedError};
use crate::body::RequestBody;
use crate::httpd::boundary::guard;
use crate::httpd::log;
use crate::httpd::request::Request;
use crate::httpd::scoreboard;
use crate::httpd::server::Server;
use crate::httpd::status::Status;
use crate::response::{Response, Rules};

/// One request between httpd and the gateway.
#[derive(Debug)]
pub struct Conversation<'c, 'r> {
    request: Request<'r>,
    body: &'c mut RequestBody<'r>,
    response: Response<'r>,
    aside: Aside,
    answers: Option<Vec<u8>>,
    life: PhantomData<&'c ()>,
}

impl<'c, 'r> Conversation<'c, 'r> {
    /// A conversation in which nothing was said yet.
    pub fn new(
        request: Request<'r>,
        body: &'c mut RequestBody<'r>,
        rules: Rules,
        aside: Aside,
    ) -> Self {
        let response = Response::new(request, rules);
        Conversation {
            request,
            body,
            response,
            aside,
            answers: None,
            life: PhantomData,
        }
    }

    /// Lends the calls to `run`.
    pub fn with_calls(&mut self, run: impl FnOnce(*const RequestCalls) -> u8) -> u8 {
        let request = self.request.as_ptr().cast();
        let lent = if self.aside.lends_request {
            request
        } else {
            std::ptr::null_mut()
        };
        let calls = RequestCalls {
            context: (&raw mut *self).cast(),
            request_rec: lent,
            script_modified: self.aside.script_modified.unwrap_or(0),
            read_body: on_read_body,
            send_interim: on_send_interim,
            send_head: on_send_head,
            send_data: on_send_data,
            send_file: on_send_file,
            answer: on_answer,
            variable: on_variable,
            log: on_log,
        };
        run(&calls)
    }

    /// What `serve` answered becomes httpd's status.
    pub fn finish(mut self, code: u8) -> Result<Status, EmbeddedError> {
        if code == 0 {
            return Ok(self.response.finish());
        }
        let failure = Failure::try_from(code).unwrap_or(Failure::Internal);
        let status = self.response.fail(Some(failure), failure.status());
        if status == Status::OK {
            Ok(status)
        } else {
            Err(EmbeddedError::Gateway(failure))
        }
    }

    /// The answers of functions, when that was asked for, or why there are none.
    pub fn into_answers(self, code: u8) -> Result<Vec<u8>, EmbeddedError> {
        let failure = match (code, self.answers) {
            (0, Some(answers)) => return Ok(answers),
            (0, None) => Failure::Internal,
            (code, _) => Failure::try_from(code).unwrap_or(Failure::Internal),
        };
        Err(EmbeddedError::Gateway(failure))
    }

    fn head(&mut self, encoded: &[u8]) -> Result<(), Failure> {
        let head = ResponseHead::decode(encoded).map_err(|_| Failure::Internal)?;
        self.response.head(&head);
        Ok(())
    }

    fn interim(&mut self, encoded: &[u8]) -> Result<(), Failure> {
        let head = ResponseHead::decode(encoded).map_err(|_| Failure::Internal)?;
        self.response.interim(&head);
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let mut filled = 0;
        for piece in self.body.read(buffer.len() as u64)? {
            let room = &mut buffer[filled..];
            let count = piece.len().min(room.len());
            room[..count].copy_from_slice(&piece[..count]);
            filled += count;
        }
        Ok(filled)
    }

    fn file(&mut self, fd: BorrowedFd<'_>, offset: u64, length: u64) -> Result<(), Failure> {
        let file = fd.try_clone_to_owned().map_err(|_| Failure::Internal)?;
        self.response.file(file, offset, length)
    }
}

/// Runs `act` on the conversation behind `context`.
fn converse<T>(context: *mut c_void, act: impl FnOnce(&mut Conversation<'_, '_>) -> T) -> T {
    // SAFETY: `with_calls` set the context to a conversation that is mutably borrowed while the
    // gateway's `serve` runs; the gateway makes one call at a time (wsgi-abi).
    act(unsafe { &mut *context.cast::<Conversation<'_, '_>>() })
}

fn code(outcome: Result<(), Failure>) -> u8 {
    outcome.err().map_or(0, |failure| failure as u8)
}

const PANICKED: u8 = Failure::Internal as u8;

unsafe extern "C" fn on_read_body(context: *mut c_void, buffer: *mut u8, capacity: usize) -> isize {
    guard(-(PANICKED as isize), || {
        // SAFETY: the gateway lends `capacity` writable bytes (wsgi-abi).
        let buffer = unsafe { std::slice::from_raw_parts_mut(buffer, capacity) };
        match converse(context, |conversation| conversation.read(buffer)) {
            Ok(count) => count as isize,
            Err(failure) => -(failure as u8 as isize),
        }
    })
}

unsafe extern "C" fn on_send_interim(context: *mut c_void, head: Bytes) -> u8 {
    guard(PANICKED, || {
        // SAFETY: lent for this call (wsgi-abi).
        let head = unsafe { head.as_slice() };
        code(converse(context, |conversation| conversation.interim(head)))
    })
}

unsafe extern "C" fn on_send_head(context: *mut c_void, head: Bytes) -> u8 {
    guard(PANICKED, || {
        // SAFETY: lent for this call (wsgi-abi).
        let head = unsafe { head.as_slice() };
        code(converse(context, |conversation| conversation.head(head)))
    })
}

unsafe extern "C" fn on_send_data(context: *mut c_void, data: Bytes, flush: c_int) -> u8 {
    guard(PANICKED, || {
        // SAFETY: lent for this call (wsgi-abi).
        let data = unsafe { data.as_slice() };
        code(converse(context, |conversation| {
            conversation
                .response
                .data(std::iter::once(data), flush != 0)
        }))
    })
}

unsafe extern "C" fn on_send_file(context: *mut c_void, fd: c_int, offset: u64, length: u64) -> u8 {
    guard(PANICKED, || {
        // SAFETY: an open descriptor, lent for this call (wsgi-abi).
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        code(converse(context, |conversation| {
            conversation.file(fd, offset, length)
        }))
    })
}

unsafe extern "C" fn on_variable(context: *mut c_void, name: Bytes) -> Bytes {
    let none = Bytes {
        data: std::ptr::null(),
        length: 0,
    };
    guard(none, || {
        // SAFETY: lent for this call (wsgi-abi).
        let name = unsafe { name.as_slice() };
        let value = converse(context, |conversation| {
            conversation.request.tls_variable(name).map(Bytes::lend)
        });
        value.unwrap_or(none)
    })
}

unsafe extern "C" fn on_answer(context: *mut c_void, answers: Bytes) -> u8 {
    guard(PANICKED, || {
        // SAFETY: lent for this call (wsgi-abi).
        let answers = unsafe { answers.as_slice() }.to_vec();
        converse(context, |conversation| conversation.answers = Some(answers));
        0
    })
}

unsafe extern "C" fn on_log(context: *mut c_void, level: u8, text: Bytes) {
    guard((), || {
        // SAFETY: lent for this call (wsgi-abi).
        let text = unsafe { text.as_slice() }.to_vec();
        converse(context, |conversation| {
            log::request_line(conversation.request, level, text)
        });
    })
}

/// The calls the gateway may make outside requests; they log in the main server's context.
pub fn process_calls(server: Server<'_>) -> ProcessCalls {
    ProcessCalls {
        context: server.as_ptr().cast(),
        log: on_process_log,
        scoreboard: on_scoreboard,
    }
}

unsafe extern "C" fn on_scoreboard(_: *mut c_void, sink: *mut c_void, take: TakeBytes) {
    guard((), || {
        if let Some(scoreboard) = scoreboard::read() {
            let bytes = scoreboard.to_bytes();
            // SAFETY: the gateway's function, with the sink it came with; the bytes are lent.
            unsafe { take(sink, Bytes::lend(&bytes)) }
        }
    });
}

unsafe extern "C" fn on_process_log(context: *mut c_void, level: u8, text: Bytes) {
    guard((), || {
        // SAFETY: lent for this call (wsgi-abi).
        let text = unsafe { text.as_slice() }.to_vec();
        // SAFETY: `process_calls` set the context to a server of the configuration, which a child
        // keeps until it ends.
        let server = unsafe { Server::from_raw(context.cast()) };
        log::server_line(server, level, text);
    })
}
