//! Apache's scoreboard, as applications may see it.
//!
//! Taken in an Apache child when an application asks; by pointer to the embedded gateway, in a
//! frame to a daemon. Times are microseconds since 1970.

use crate::codec::{Reader, WireError};
use crate::launch::{Field, List, Message, record};

record! {
    /// The server and its processes.
    Scoreboard {
        /// The most children there may ever be.
        server_limit: u32,
        /// The most threads a child may ever have.
        thread_limit: u32,
        /// Counts graceful restarts.
        running_generation: u32,
        /// When the server was started, or last restarted.
        restart_time: u64,
        /// When this was taken.
        current_time: u64,
        /// Every place for a child.
        processes: List<ProcessScore>,
    }
}

record! {
    /// A place for a child.
    ProcessScore {
        /// Its number, from 0.
        number: u32,
        /// The child, or the last one that was there.
        pid: u32,
        /// The child's generation.
        generation: u32,
        /// It finishes what it has, and takes nothing new.
        quiescing: bool,
        /// Every place for a thread.
        workers: List<WorkerScore>,
    }
}

record! {
    /// A place for a thread.
    WorkerScore {
        /// Its number in the whole server.
        number: u32,
        /// The generation of its process.
        generation: u32,
        /// What it does, as mod_status shows it: one of `._SRWKLDCGI`.
        status: u8,
        /// Requests it has served.
        access_count: u64,
        /// Bytes it has sent.
        bytes_served: u64,
        /// When its request began.
        start_time: u64,
        /// When its request ended.
        stop_time: u64,
        /// When it was last of use.
        last_used: u64,
        /// The client's address.
        client: Vec<u8>,
        /// The beginning of the request line.
        request: Vec<u8>,
        /// The virtual host.
        vhost: Vec<u8>,
    }
}

impl Message for Scoreboard {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scoreboard_decodes_to_what_was_encoded() {
        let worker = WorkerScore {
            status: b'W',
            bytes_served: 1 << 40,
            client: b"::1".to_vec(),
            ..WorkerScore::default()
        };
        let process = ProcessScore {
            pid: 7,
            workers: List(vec![worker]),
            ..ProcessScore::default()
        };
        let scoreboard = Scoreboard {
            server_limit: 1,
            processes: List(vec![process]),
            ..Scoreboard::default()
        };
        assert_eq!(
            Scoreboard::from_bytes(&scoreboard.to_bytes()),
            Ok(scoreboard)
        );
    }
}
