//! Reads a daemon's messages from a connection through one buffer per thread.
//!
//! A child's request threads only. Nothing is believed before its header was checked, and nothing
//! is allocated beyond what the header's limit allows.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};

use wsgi_unix::socket::{self, Wait};
use wsgi_wire::WireError;
use wsgi_wire::frame::{HEADER_BYTES, Header};
use wsgi_wire::to_child::{ToChild, ToChildTag};

use super::connection::Connection;

/// Bytes that a thread reads at once to begin with: a short response needs no more, and a child has
/// dozens of threads.
const FIRST_BYTES: usize = 4 << 10;

/// Bytes read at once by a thread that has found its buffer full.
const MOST_BYTES: usize = 64 << 10;

thread_local! {
    /// The thread's buffer, lent to one [`Frames`] at a time.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Why no message came.
#[derive(Debug)]
pub enum FrameError {
    /// The daemon closed the connection.
    End,
    /// Reading failed; a time-out is `WouldBlock`.
    Socket(io::Error),
    /// What came is no message.
    Protocol(WireError),
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        FrameError::Socket(error)
    }
}

impl From<WireError> for FrameError {
    fn from(error: WireError) -> Self {
        FrameError::Protocol(error)
    }
}

impl FrameError {
    /// Whether the daemon was silent for as long as it may be.
    pub fn is_timeout(&self) -> bool {
        matches!(self, FrameError::Socket(error) if error.kind() == ErrorKind::TimedOut)
    }
}

/// One step of a conversation.
#[derive(Debug)]
pub enum Step<'a> {
    /// A whole message, and the descriptor if it is a file.
    Message(ToChild<'a>, Option<OwnedFd>),
    /// Data, as it came.
    Data(Pieces<'a>),
    /// Nothing is there now; only when asked not to wait.
    Nothing,
}

/// Parts of `Data` messages that follow each other.
#[derive(Debug, Clone, Copy)]
pub struct Pieces<'a> {
    buffer: &'a [u8],
    places: &'a [Range<usize>],
}

impl<'a> Pieces<'a> {
    /// The bytes of each part.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.places
            .iter()
            .map(move |place| &self.buffer[place.clone()])
    }
}

/// The messages of one request's exchange.
#[derive(Debug)]
pub struct Frames {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    data_left: usize,
    /// Where the data of the last step lies.
    pieces: Vec<Range<usize>>,
    descriptors: VecDeque<OwnedFd>,
}

impl Frames {
    /// Takes the thread's buffer.
    pub fn new() -> Self {
        let mut buffer = BUFFER.with_borrow_mut(std::mem::take);
        if buffer.is_empty() {
            buffer = vec![0; FIRST_BYTES];
        }
        Frames {
            buffer,
            start: 0,
            end: 0,
            data_left: 0,
            pieces: Vec::new(),
            descriptors: VecDeque::new(),
        }
    }

    /// The next message or piece of data.
    pub fn next(&mut self, connection: &Connection, wait: Wait) -> Result<Step<'_>, FrameError> {
        if self.data_left > 0 {
            if self.start == self.end && !self.fill(connection, wait)? {
                return Ok(Step::Nothing);
            }
            return Ok(Step::Data(self.take_data()));
        }
        while self.end - self.start < HEADER_BYTES {
            if !self.fill(connection, wait)? {
                return Ok(Step::Nothing);
            }
        }
        let header = Header::<ToChildTag>::decode(self.peek_header())?;
        let length = header.length as usize;
        if header.tag == ToChildTag::Data {
            self.start += HEADER_BYTES;
            self.data_left = length;
            return Ok(Step::Data(self.take_data()));
        }
        while self.end - self.start < HEADER_BYTES + length {
            // The rest of a message that has begun is on its way: waiting for it is in order.
            self.make_room(HEADER_BYTES + length);
            self.fill(connection, Wait::Yes)?;
        }
        let from = self.start + HEADER_BYTES;
        self.start = from + length;
        let message = ToChild::decode(header.tag, &self.buffer[from..from + length])?;
        let descriptor = match header.tag {
            ToChildTag::File => self.descriptors.pop_front(),
            _ => None,
        };
        Ok(Step::Message(message, descriptor))
    }

    /// Whether everything read was used.
    pub fn is_drained(&self) -> bool {
        self.start == self.end && self.data_left == 0 && self.descriptors.is_empty()
    }

    /// Whole messages are taken before more is read, so at most a message that has begun and the
    /// one behind it can wait with a descriptor. Whoever sends more wants to use up this process's.
    fn check_descriptors(&self) -> Result<(), WireError> {
        match self.descriptors.len() {
            0..=2 => Ok(()),
            more => Err(WireError::Value {
                field: "number of descriptors",
                value: more as u64,
            }),
        }
    }

    fn peek_header(&self) -> &[u8; HEADER_BYTES] {
        self.buffer[self.start..self.end]
            .first_chunk()
            .expect("the caller has seen that a whole header is in the buffer")
    }

    /// All of the data that has come, also of further messages right behind: it passes httpd's
    /// filters together.
    fn take_data(&mut self) -> Pieces<'_> {
        self.pieces.clear();
        loop {
            let count = self.data_left.min(self.end - self.start);
            if count > 0 {
                self.pieces.push(self.start..self.start + count);
                self.start += count;
                self.data_left -= count;
            }
            match self.data_behind() {
                Some(length) if self.data_left == 0 => {
                    self.start += HEADER_BYTES;
                    self.data_left = length;
                }
                _ => break,
            }
        }
        Pieces {
            buffer: &self.buffer,
            places: &self.pieces,
        }
    }

    /// The length of the `Data` message whose header comes next, if that is what has come.
    fn data_behind(&self) -> Option<usize> {
        let header = self.buffer[self.start..self.end].first_chunk()?;
        let header = Header::<ToChildTag>::decode(header).ok()?;
        (header.tag == ToChildTag::Data).then_some(header.length as usize)
    }

    fn make_room(&mut self, bytes: usize) {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() < bytes {
            self.buffer.resize(bytes, 0);
        }
    }

    /// Reads once; `false` if nothing is there and we may not wait. Who may waits by poll: in a receive
    /// the thread would also be woken when the daemon takes the request's head.
    fn fill(&mut self, connection: &Connection, wait: Wait) -> Result<bool, FrameError> {
        if self.start == self.end {
            let was_full = self.end == self.buffer.len();
            self.start = 0;
            self.end = 0;
            if was_full && self.buffer.len() < MOST_BYTES {
                self.buffer = vec![0; MOST_BYTES];
            }
        } else if self.end == self.buffer.len() {
            self.make_room(self.buffer.len());
        }
        if wait == Wait::Yes && !socket::wait_readable(connection.as_fd(), connection.silence)? {
            return Err(FrameError::Socket(ErrorKind::TimedOut.into()));
        }
        let room = &mut self.buffer[self.end..];
        match socket::receive_with_descriptor(connection.as_fd(), room, Wait::No) {
            Ok((0, _)) => Err(FrameError::End),
            Ok((count, descriptor)) => {
                self.end += count;
                self.descriptors.extend(descriptor);
                self.check_descriptors()?;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(FrameError::Socket(error)),
        }
    }
}

impl Drop for Frames {
    /// Gives the buffer back, unless a large head made it grow beyond what data needs.
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        if buffer.len() <= MOST_BYTES {
            BUFFER.with_borrow_mut(|kept| *kept = buffer);
        }
    }
}
