//! What a child answers while a request runs: each question has exactly one answer.
//!
//! On the thread that asks, without the GIL. What comes is checked before anything is made of it.

use wsgi_wire::frame::{HEADER_BYTES, Header};
use wsgi_wire::to_daemon::{self, ToDaemonTag};
use wsgi_wire::{Failure, WireError};

use crate::daemon::connection::{Connection, ConnectionError};

/// What a child says to a request for body bytes.
pub(super) enum Answer {
    /// So many bytes.
    Data(usize),
    /// The body has ended.
    End,
    /// It cannot be read.
    Failed(Failure),
}

/// The answer to a request for body bytes. It is the only message on its way, so the data is received
/// with its header, right to where it is wanted.
pub(super) fn receive_answer(
    connection: &Connection,
    buffer: &mut [u8],
) -> Result<Answer, ConnectionError> {
    let mut bytes = [0; HEADER_BYTES];
    connection.wait_readable()?;
    let received = connection.receive_into([&mut bytes, buffer])?;
    if received < HEADER_BYTES {
        connection.receive_exactly(&mut bytes[received..])?;
    }
    let header = Header::<ToDaemonTag>::decode(&bytes)?;
    let payload = match header.length as usize {
        length if length <= buffer.len() => &mut buffer[..length],
        _ => return Err(ConnectionError::Unexpected(header.tag)),
    };
    let here = received.saturating_sub(HEADER_BYTES);
    match payload.get_mut(here..) {
        Some(rest) => connection.receive_exactly(rest)?,
        None => return Err(WireError::Trailing(here - payload.len()).into()),
    }
    match header.tag {
        ToDaemonTag::BodyData if !payload.is_empty() => Ok(Answer::Data(payload.len())),
        ToDaemonTag::BodyEnd => Ok(Answer::End),
        ToDaemonTag::BodyFailed => Ok(Answer::Failed(to_daemon::decode_body_failed(payload)?)),
        ToDaemonTag::Request
        | ToDaemonTag::BodyData
        | ToDaemonTag::Variable
        | ToDaemonTag::Scoreboard => Err(ConnectionError::Unexpected(header.tag)),
    }
}

/// The answer to a question for a variable.
pub(super) fn receive_variable(
    connection: &Connection,
) -> Result<Option<Vec<u8>>, ConnectionError> {
    let mut header = [0; HEADER_BYTES];
    connection.receive_exactly(&mut header)?;
    let header = Header::<ToDaemonTag>::decode(&header)?;
    if header.tag != ToDaemonTag::Variable {
        return Err(ConnectionError::Unexpected(header.tag));
    }
    let mut payload = vec![0; header.length as usize];
    connection.receive_exactly(&mut payload)?;
    Ok(to_daemon::decode_variable(&payload)?.map(<[u8]>::to_vec))
}

/// The answer to a question for the scoreboard.
pub(super) fn receive_scoreboard(connection: &Connection) -> Result<Vec<u8>, ConnectionError> {
    let mut header = [0; HEADER_BYTES];
    connection.receive_exactly(&mut header)?;
    let header = Header::<ToDaemonTag>::decode(&header)?;
    if header.tag != ToDaemonTag::Scoreboard {
        return Err(ConnectionError::Unexpected(header.tag));
    }
    let mut encoded = vec![0; header.length as usize];
    connection.receive_exactly(&mut encoded)?;
    Ok(encoded)
}
