//! The monitor process as its parent sees it: started, started again after its death, retired.
//!
//! Runs in the parent's main thread. httpd unloads this module at each restart while the monitor of
//! the old configuration still drains, so what must survive lies in the process pool as plain data
//! ([`Record`]) and no pointer into this library stays registered meanwhile.

use std::ffi::{c_int, c_void};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use thiserror::Error;
use wsgi_unix::spawn::Command;
use wsgi_unix::{memory, pipe};
use wsgi_wire::launch::{Message, MonitorConfig, RETIRE, VERSION_STATUS, monitor_fd};

use crate::ffi;
use crate::httpd::boundary::guard;
use crate::httpd::log::{self, Level};
use crate::httpd::other_child::{self, Reason};
use crate::httpd::pool::Pool;
use crate::httpd::server::{self, Server};

/// Why the monitor is not running.
#[derive(Debug, Error)]
pub enum MonitorError {
    /// A pipe or memory file could not be made.
    #[error("its descriptors cannot be made: {0}")]
    Descriptors(#[from] std::io::Error),
    /// It did not start.
    #[error("{error}: {}", error.source)]
    Start {
        /// The step and why.
        error: wsgi_unix::spawn::StartError,
    },
}

/// What survives restarts, in the process pool.
#[repr(C)]
struct Generations {
    count: u32,
    records: *mut Record,
}

/// A monitor that was started; a free record has no process. In the process pool.
#[repr(C)]
struct Record {
    pid: i32,
    generation: u32,
    next: *mut Record,
}

const KEY: &std::ffi::CStr = c"mod_wsgi_rs.generations";

fn generations(server: Server<'_>) -> &'static mut Generations {
    let pool = server.process_pool();
    let stored = pool.userdata(KEY).cast::<Generations>();
    // SAFETY: only the lines below store under this key, memory of the process pool; the parent's
    // main thread alone comes here and keeps no reference between calls.
    if let Some(generations) = unsafe { stored.as_mut() } {
        return generations;
    }
    let generations = pool.place_copy(Generations {
        count: 0,
        records: null_mut(),
    });
    pool.set_userdata(KEY, (&raw mut *generations).cast());
    generations
}

impl Generations {
    fn records(&self) -> impl Iterator<Item = *mut Record> + use<> {
        let first = (!self.records.is_null()).then_some(self.records);
        std::iter::successors(first, |record| {
            // SAFETY: records live in the process pool and are never freed.
            let next = unsafe { (**record).next };
            (!next.is_null()).then_some(next)
        })
    }
}

fn pid_of(record: *mut Record) -> i32 {
    // SAFETY: records live in the process pool and are never freed; one thread uses them.
    unsafe { (*record).pid }
}

/// Counts a new configuration, and watches again over the monitors of earlier ones.
pub fn begin_generation(server: Server<'static>) -> u32 {
    let generations = generations(server);
    generations.count += 1;
    for record in generations.records().filter(|record| pid_of(*record) != 0) {
        other_child::register(
            server.process_pool(),
            pid_of(record),
            on_monitor,
            record.cast(),
        );
    }
    generations.count
}

/// The descriptor numbers a group has in the monitor: the listener's, and the next for its hints.
pub fn first_group_descriptor(index: usize) -> u32 {
    monitor_fd::GROUPS as u32 + 2 * index as u32
}

/// The descriptor number of the first of the virtual hosts' logs, which follow those of so many
/// groups.
pub fn first_log_descriptor(groups: usize) -> u32 {
    first_group_descriptor(groups)
}

/// The running configuration's monitor.
struct Supervisor {
    server: Server<'static>,
    program: PathBuf,
    config: Vec<u8>,
    record: *mut Record,
    owner: u32,
    parent: Mutex<Option<ParentEnds>>,
    /// Held by the parent and every child of this generation, by nobody else: the monitor sees
    /// its end when all of them are gone.
    _children: OwnedFd,
}

/// What the parent alone holds.
struct ParentEnds {
    /// Group by group the listener and the hint page, then the logs of virtual hosts.
    groups: Vec<OwnedFd>,
    /// Where the monitor reads what children ask for.
    control: OwnedFd,
    lifeline: (OwnedFd, OwnedFd),
    children: OwnedFd,
    started: Instant,
    early_deaths: u32,
}

/// The running configuration's supervisor, in the configuration's pool.
static CURRENT: AtomicPtr<Supervisor> = AtomicPtr::new(null_mut());

fn current() -> Option<&'static Supervisor> {
    // SAFETY: `start` stores it and `on_retire` takes it away before the pool is cleared.
    unsafe { CURRENT.load(Ordering::Acquire).as_ref() }
}

/// Starts the monitor of a configuration whose pool is `pool`. `groups` are the descriptors that
/// the configuration names, in order; over `control` children ask for more groups.
pub fn start(
    pool: Pool<'static>,
    server: Server<'static>,
    program: PathBuf,
    config: &MonitorConfig,
    control: OwnedFd,
    groups: Vec<OwnedFd>,
) -> Result<(), MonitorError> {
    let (children_read, children_write) = pipe::pair()?;
    let parent = ParentEnds {
        groups,
        control,
        lifeline: pipe::pair()?,
        children: children_read,
        started: Instant::now(),
        early_deaths: 0,
    };
    let supervisor = pool.place(Supervisor {
        server,
        program,
        config: config.to_bytes(),
        record: free_record(server, config.generation),
        owner: std::process::id(),
        parent: Mutex::new(Some(parent)),
        _children: children_write,
    });
    CURRENT.store(supervisor, Ordering::Release);
    pool.on_clear((&raw mut *supervisor).cast(), on_retire);
    supervisor.spawn()
}

/// Closes what the parent alone may hold. To be called first thing in a child.
pub fn enter_child() {
    if let Some(supervisor) = current() {
        drop(supervisor.parent.lock().take());
    }
}

/// A record without a process, made or taken again.
fn free_record(server: Server<'static>, generation: u32) -> *mut Record {
    let generations = generations(server);
    if let Some(record) = generations.records().find(|record| pid_of(*record) == 0) {
        // SAFETY: as in `pid_of`.
        unsafe { (*record).generation = generation };
        return record;
    }
    let fresh = Record {
        pid: 0,
        generation,
        next: generations.records,
    };
    generations.records = server.process_pool().place_copy(fresh);
    generations.records
}

/// Variables of the server's own environment that daemons may know.
const PASSED_VARIABLES: &[&str] = &["LANG", "LANGUAGE", "TZ"];

/// A monitor that dies sooner than this after its start died early.
const EARLY: Duration = Duration::from_secs(5);

/// So many early deaths in a row end the attempts: something is broken that a start cannot mend.
const EARLY_DEATHS: u32 = 5;

impl Supervisor {
    fn spawn(&self) -> Result<(), MonitorError> {
        use std::os::unix::ffi::OsStrExt;
        let mut guard = self.parent.lock();
        let Some(parent) = guard.as_mut() else {
            return Ok(());
        };
        parent.started = Instant::now();
        let config = memory::sealed_blob(c"wsgi-monitor", &self.config)?;
        let mut command = Command::new(&self.program);
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str() else { continue };
            if PASSED_VARIABLES.contains(&name) || name.starts_with("LC_") {
                command.variable(name, value.as_bytes());
            }
        }
        command.session();
        // It holds descriptors of every group, and knows what its daemons are to have.
        command.open_files(u64::MAX);
        command.descriptor(config.as_fd(), monitor_fd::CONFIG);
        command.descriptor(parent.lifeline.0.as_fd(), monitor_fd::PARENT);
        command.descriptor(parent.children.as_fd(), monitor_fd::CHILDREN);
        command.descriptor(parent.control.as_fd(), monitor_fd::CONTROL);
        for (descriptor, number) in parent.groups.iter().zip(monitor_fd::GROUPS..) {
            command.descriptor(descriptor.as_fd(), number);
        }
        let pid = command
            .start()
            .map_err(|error| MonitorError::Start { error })?;
        // SAFETY: as in `pid_of`.
        unsafe { (*self.record).pid = pid };
        let pool = self.server.process_pool();
        other_child::register(pool, pid, on_monitor, self.record.cast());
        Ok(())
    }

    /// Starts a monitor in the place of one that died: the sockets are still there, so nothing is
    /// lost but what its daemons were doing.
    fn replace(&self, pid: i32, status: c_int) {
        let early_deaths = {
            let mut guard = self.parent.lock();
            let Some(parent) = guard.as_mut() else { return };
            let early = parent.started.elapsed() < EARLY;
            parent.early_deaths = if early { parent.early_deaths + 1 } else { 0 };
            parent.early_deaths
        };
        let line = format!("the monitor of the daemons (pid {pid}) died with status {status}");
        if status == VERSION_STATUS {
            let line = "the installed monitor of the daemons is of another version than this \
                        module, so there are no daemons until httpd is restarted (gracefully will do)";
            log::server(self.server, Level::Critical, line.to_owned());
            return;
        }
        if early_deaths > EARLY_DEATHS {
            let line = format!("{line}, as it did {EARLY_DEATHS} times; it is left alone");
            log::server(self.server, Level::Critical, line);
            return;
        }
        log::server(
            self.server,
            Level::Error,
            format!("{line}; it is started again"),
        );
        if let Err(error) = self.spawn() {
            log::server(
                self.server,
                Level::Critical,
                format!("no monitor could start: {error}"),
            );
        }
    }
}

/// httpd's call about a monitor of ours.
unsafe extern "C" fn on_monitor(reason: c_int, data: *mut c_void, status: c_int) {
    guard((), || {
        if !matches!(Reason::from(reason), Reason::Death | Reason::Lost) {
            return;
        }
        let record = data.cast::<Record>();
        // SAFETY: this call is about a registration, which is still there.
        unsafe { other_child::unregister(data) };
        let pid = pid_of(record);
        // SAFETY: as in `pid_of`.
        unsafe { (*record).pid = 0 };
        if let Some(supervisor) = current()
            && supervisor.record == record
            && !server::is_stopping()
        {
            supervisor.replace(pid, status);
        }
    })
}

/// Retires the monitor: its configuration's pool is cleared, at a restart or at the end. Children
/// that clear the pool at their exit are none of its business.
unsafe extern "C" fn on_retire(data: *mut c_void) -> ffi::apr_status_t {
    guard(0, || {
        // SAFETY: `start` registered this with a supervisor that the pool still owns.
        let supervisor = unsafe { &*data.cast::<Supervisor>() };
        CURRENT.store(null_mut(), Ordering::Release);
        if supervisor.owner != std::process::id() {
            return 0;
        }
        let generations = generations(supervisor.server);
        for record in generations.records().filter(|record| pid_of(*record) != 0) {
            // SAFETY: a record with a process is registered, here or by `begin_generation`.
            unsafe { other_child::unregister(record.cast()) };
        }
        if let Some(parent) = supervisor.parent.lock().take() {
            if pid_of(supervisor.record) == 0 {
                remove_sockets(&supervisor.config);
            }
            let mut lifeline = File::from(parent.lifeline.1);
            // A monitor that is gone needs no word, and the end of the pipe tells as much.
            let _ = lifeline.write_all(&[RETIRE]);
        }
        0
    })
}

/// Removes what the monitor would have removed if it were still there.
fn remove_sockets(config: &[u8]) {
    use std::os::unix::ffi::OsStrExt;
    let Ok(config) = MonitorConfig::from_bytes(config) else {
        return;
    };
    for group in config.groups.0 {
        // Another process may have been quicker, which is as well.
        let _ = std::fs::remove_file(std::ffi::OsStr::from_bytes(&group.socket));
    }
    let prefix = std::path::Path::new(std::ffi::OsStr::from_bytes(&config.socket_prefix));
    wsgi_unix::socket_names::remove_all(prefix);
}
