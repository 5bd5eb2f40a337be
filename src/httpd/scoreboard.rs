//! httpd's scoreboard: what every thread of every child is doing.
//!
//! Children's request threads. It is shared memory that others write meanwhile: everything is copied
//! before it is looked at.

use std::ffi::c_char;
use std::mem::MaybeUninit;

use wsgi_unix::clock;
use wsgi_wire::launch::List;
use wsgi_wire::scoreboard::{ProcessScore, Scoreboard, WorkerScore};

use crate::ffi;

/// What mod_status shows for each state, in the order of `scoreboard.h`.
const STATES: &[u8; 11] = b".S_RWKLDCGI";

/// The scoreboard as it is now; `None` if this httpd keeps none.
pub fn read() -> Option<Scoreboard> {
    // SAFETY: gives null or the head of the scoreboard, which stays mapped.
    let global = unsafe { ffi::ap_get_scoreboard_global() };
    if global.is_null() {
        return None;
    }
    // SAFETY: not null, and plain numbers whatever is written meanwhile.
    let global = unsafe { global.read_volatile() };
    let processes =
        (0..global.server_limit).filter_map(|number| process(number, global.thread_limit));
    Some(Scoreboard {
        server_limit: unsigned(global.server_limit),
        thread_limit: unsigned(global.thread_limit),
        running_generation: unsigned(global.running_generation),
        restart_time: time(global.restart_time),
        current_time: clock::micros_since_epoch(),
        processes: List(processes.collect()),
    })
}

fn process(number: i32, threads: i32) -> Option<ProcessScore> {
    // SAFETY: the number is below the server's limit.
    let process = unsafe { ffi::ap_get_scoreboard_process(number) };
    if process.is_null() {
        return None;
    }
    // SAFETY: not null, and plain numbers whatever is written meanwhile.
    let process = unsafe { process.read_volatile() };
    let workers = (0..threads).map(|thread| worker(number, thread));
    Some(ProcessScore {
        number: unsigned(number),
        pid: unsigned(process.pid),
        generation: unsigned(process.generation),
        quiescing: process.quiescing != 0,
        workers: List(workers.collect()),
    })
}

fn worker(process: i32, thread: i32) -> WorkerScore {
    let mut copy = MaybeUninit::<ffi::worker_score>::zeroed();
    // SAFETY: the copy is writable and both numbers are below the server's limits.
    unsafe { ffi::ap_copy_scoreboard_worker(copy.as_mut_ptr(), process, thread) };
    // SAFETY: zeroed before, and all of it is numbers and bytes.
    let worker = unsafe { copy.assume_init() };
    WorkerScore {
        number: unsigned(worker.thread_num),
        generation: unsigned(worker.generation),
        status: STATES
            .get(usize::from(worker.status))
            .copied()
            .unwrap_or(b'?'),
        access_count: worker.access_count,
        bytes_served: u64::try_from(worker.bytes_served).unwrap_or(0),
        start_time: time(worker.start_time),
        stop_time: time(worker.stop_time),
        last_used: time(worker.last_used),
        client: text(&worker.client64),
        request: text(&worker.request),
        vhost: text(&worker.vhost),
    }
}

fn unsigned(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

fn time(micros: ffi::apr_time_t) -> u64 {
    u64::try_from(micros).unwrap_or(0)
}

/// The bytes before the first NUL.
fn text(field: &[c_char]) -> Vec<u8> {
    let bytes = field.iter().map(|byte| *byte as u8);
    bytes.take_while(|byte| *byte != 0).collect()
}
