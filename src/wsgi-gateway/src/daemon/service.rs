//! What the threads of a daemon share: the Python host, the descriptors, the permits.
//!
//! Used by every thread, without the GIL. Threads wait on one epoll set for the listener and for
//! kept connections; whoever wakes does the work. A connection in the set is parked here and
//! belongs to nobody; the thread its event wakes takes it out.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use once_cell::sync::OnceCell;
use parking_lot::{Mutex, RwLock};
use thiserror::Error;
use wsgi_unix::epoll::{Epoll, Event, Interest, Wake};
use wsgi_unix::{clock, socket};
use wsgi_wire::launch::DaemonSettings;
use wsgi_wire::secret::Secret;

use super::activity::Activity;
use super::connection::{Connection, Introduction};
use super::frames::FrameExchange;
use super::permits::{Permit, Permits, Released};
use crate::host::Host;
use crate::log::ProcessLog;
use crate::policy::Replacement;
use crate::running::{HeadBytes, Running, Seen};

const LISTENER: u64 = u64::MAX;
const DISMISSAL: u64 = u64::MAX - 1;
const ONCE: Interest = Interest::READ.one_shot();

/// Why a connection could not be accepted, kept or waited for.
#[derive(Debug, Error)]
pub(super) enum ServiceError {
    /// The set of descriptors cannot be made.
    #[error("cannot wait for requests")]
    Wait(#[source] io::Error),
    /// The listener cannot be put into the set.
    #[error("cannot wait for connections")]
    Listen(#[source] io::Error),
    /// A connection cannot be put into the set.
    #[error("cannot keep a connection of an Apache child")]
    Park(#[source] io::Error),
    /// accept(2) failed.
    #[error("cannot accept a connection of an Apache child")]
    Accept(#[source] io::Error),
    /// The peer may not use this socket.
    #[error("refused a connection of process {pid} of uid {uid}")]
    Stranger {
        /// The peer's process.
        pid: i32,
        /// The peer's user.
        uid: u32,
    },
}

/// What a thread woke up for.
pub(super) enum Occasion {
    /// Somebody is in the listener's queue.
    Queue,
    /// This kept connection is readable.
    Readable(Connection),
    /// The thread has to end.
    Dismissed,
    /// Nothing: another thread was quicker.
    Nothing,
}

/// How the load of the scripts that a process starts with ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loading {
    /// The process takes requests.
    Ready,
    /// It cannot load what its predecessor has loaded.
    Failed,
}

/// Who may connect besides root and the daemon's own user, and how their requests are known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clients {
    /// Apache's uid.
    pub(super) client_uid: u32,
    /// The daemon's uid.
    pub(super) own_uid: u32,
    /// What Apache's processes know besides the group's own.
    pub(super) secret: Secret,
}

impl Clients {
    fn admit(&self, uid: u32) -> bool {
        uid == 0 || uid == self.client_uid || uid == self.own_uid
    }
}

/// See the module.
pub(super) struct Service {
    /// The Python side.
    pub(super) host: Arc<Host>,
    /// The process's log.
    pub(super) log: ProcessLog,
    /// Who may run.
    pub(super) permits: Permits,
    /// Who this process is.
    pub(super) introduction: Introduction,
    pub(super) clients: Clients,
    listener: OwnedFd,
    epoll: Epoll,
    /// Kept connections by descriptor number.
    parked: Mutex<Vec<Option<Connection>>>,
    exchanges: Mutex<Vec<Weak<FrameExchange>>>,
    dismissal: Wake,
    /// Wakes the main thread.
    main: Arc<Wake>,
    first_request: OnceCell<Instant>,
    replace: AtomicBool,
    loading: OnceCell<Loading>,
    /// Everything was tried to be loaded that others of the group have loaded.
    inherited: AtomicBool,
    /// There with `inactivity-timeout`, and in groups that were made on demand.
    activity: Option<Activity>,
    /// The row of the hint page shows it as well, for the monitor.
    shows_use: bool,
    /// There is a `request-timeout`.
    timed: bool,
    /// How long a request may have waited for a thread: `queue-timeout`.
    queue_timeout: Option<Duration>,
    buffers: Buffers,
}

/// The sizes of connections' buffers as their options say, bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Buffers {
    send: Option<usize>,
    receive: Option<usize>,
}

impl Service {
    /// A service whose listener is not armed yet: see [`Service::open`].
    pub(super) fn new(
        host: Arc<Host>,
        log: ProcessLog,
        permits: Permits,
        introduction: Introduction,
        clients: Clients,
        listener: OwnedFd,
        main: Arc<Wake>,
    ) -> Result<Service, ServiceError> {
        let epoll = Epoll::new().map_err(ServiceError::Wait)?;
        let dismissal = Wake::new().map_err(ServiceError::Wait)?;
        epoll
            .add(dismissal.as_fd(), DISMISSAL, Interest::READ)
            .map_err(ServiceError::Wait)?;
        Ok(Service {
            host,
            log,
            permits,
            introduction,
            clients,
            listener,
            epoll,
            parked: Mutex::new(Vec::new()),
            exchanges: Mutex::new(Vec::new()),
            dismissal,
            main,
            first_request: OnceCell::new(),
            replace: AtomicBool::new(false),
            loading: OnceCell::new(),
            inherited: AtomicBool::new(false),
            activity: None,
            shows_use: false,
            timed: false,
            queue_timeout: None,
            buffers: Buffers::default(),
        })
    }

    /// The same service, which treats connections and those who wait as these settings say.
    pub(super) fn with_connections_as(self, settings: &DaemonSettings) -> Service {
        let size = |bytes| usize::try_from(bytes).ok().filter(|bytes| *bytes > 0);
        Service {
            queue_timeout: Some(settings.queue_timeout).filter(|time| !time.is_zero()),
            buffers: Buffers {
                send: size(settings.send_buffer_size),
                receive: size(settings.receive_buffer_size),
            },
            ..self
        }
    }

    /// Whether the child is to be told at once that a thread has its request: it gives up otherwise.
    pub(super) fn tells_of_pickup(&self) -> bool {
        self.queue_timeout.is_some()
    }

    /// Whether a request that was ready at `queue_start`, microseconds since 1970, has waited for a
    /// thread for so long that its child gives up, or has.
    pub(super) fn comes_too_late(&self, queue_start: u64) -> bool {
        let Some(timeout) = self.queue_timeout else {
            return false;
        };
        let waited = clock::micros_since_epoch().saturating_sub(queue_start);
        Duration::from_micros(waited) >= timeout
    }

    /// The same service, which remembers when it was last in use.
    pub(super) fn watching_activity(self, shows_use: bool) -> Service {
        Service {
            activity: Some(Activity::new(Instant::now())),
            shows_use,
            ..self
        }
    }

    /// The same service, whose requests can be cut short while they wait for their clients.
    pub(super) fn timing_requests(self) -> Service {
        Service {
            timed: true,
            ..self
        }
    }

    /// Begins to serve.
    pub(super) fn open(&self) -> Result<(), ServiceError> {
        self.permits.open();
        if !self.permits.arm_listener() {
            return Ok(());
        }
        self.epoll
            .add(self.listener.as_fd(), LISTENER, ONCE)
            .map_err(ServiceError::Listen)
    }

    /// Waits for something to do. A failure is final for the calling thread.
    pub(super) fn wait(&self) -> Result<Occasion, ServiceError> {
        let mut room = [Event::EMPTY];
        let events = self
            .epoll
            .wait(&mut room, None)
            .map_err(ServiceError::Wait)?;
        Ok(match events.first().map(Event::token) {
            None => Occasion::Nothing,
            Some(LISTENER) => Occasion::Queue,
            Some(DISMISSAL) => Occasion::Dismissed,
            Some(number) => self.unpark(number),
        })
    }

    fn unpark(&self, number: u64) -> Occasion {
        let mut parked = self.parked.lock();
        let place = usize::try_from(number)
            .ok()
            .and_then(|number| parked.get_mut(number));
        match place.and_then(Option::take) {
            Some(connection) => Occasion::Readable(connection),
            None => Occasion::Nothing,
        }
    }

    /// Takes the next connection from the listener's queue; `None` when another process took it.
    pub(super) fn accept(&self) -> Result<Option<Connection>, ServiceError> {
        let accepted = socket::accept(self.listener.as_fd()).map_err(ServiceError::Accept)?;
        let Some(accepted) = accepted else {
            return Ok(None);
        };
        let peer = socket::peer(accepted.as_fd()).map_err(ServiceError::Accept)?;
        if !self.clients.admit(peer.uid) {
            return Err(ServiceError::Stranger {
                pid: peer.pid,
                uid: peer.uid,
            });
        }
        if let Some(bytes) = self.buffers.send {
            socket::set_send_buffer(accepted.as_fd(), bytes).map_err(ServiceError::Accept)?;
        }
        if let Some(bytes) = self.buffers.receive {
            socket::set_receive_buffer(accepted.as_fd(), bytes).map_err(ServiceError::Accept)?;
        }
        Ok(Some(Connection::new(accepted)))
    }

    /// Arms the listener if there is a permit for whoever comes.
    pub(super) fn listen_again(&self) {
        if self.permits.arm_listener() {
            self.arm_listener();
        }
    }

    fn arm_listener(&self) {
        if let Err(source) = self.epoll.modify(self.listener.as_fd(), LISTENER, ONCE) {
            self.complain(&ServiceError::Listen(source));
        }
    }

    /// Keeps a connection until it is readable; `known` tells whether it was kept before.
    pub(super) fn park(&self, connection: Connection, known: bool) {
        // Parked before it is armed: its event may wake a thread before epoll_ctl returns.
        let (number, socket) = (connection.number(), connection.socket());
        self.shelve(number, Some(connection));
        let (fd, token) = (socket.as_fd(), u64::from(number));
        let outcome = if known {
            self.epoll.modify(fd, token, ONCE)
        } else {
            self.epoll.add(fd, token, ONCE)
        };
        if let Err(source) = outcome {
            self.shelve(number, None);
            self.complain(&ServiceError::Park(source));
        }
    }

    fn shelve(&self, number: u32, connection: Option<Connection>) {
        let place = number as usize;
        let mut parked = self.parked.lock();
        if parked.len() <= place {
            parked.resize_with(place + 1, || None);
        }
        parked[place] = connection;
    }

    /// Gives a permit back and sees to what follows from it.
    pub(super) fn release(&self, permit: Permit<'_>) {
        let Released {
            arm_listener,
            drained,
            spent,
        } = permit.release();
        if arm_listener {
            self.arm_listener();
        }
        if drained || spent {
            self.main.wake();
        }
    }

    /// Notes that a request is about to run; the first one starts the clock of `startup-timeout`.
    pub(super) fn note_request(&self) {
        if self.first_request.get().is_none() && self.first_request.set(Instant::now()).is_ok() {
            self.main.wake();
        }
    }

    /// When the first request came.
    pub(super) fn first_request(&self) -> Option<Instant> {
        self.first_request.get().copied()
    }

    /// Notes that as many requests run as may, and that there could be more.
    pub(super) fn note_full(&self) {
        self.main.wake();
    }

    /// Whether somebody waits in the listener's queue.
    pub(super) fn somebody_waits(&self) -> bool {
        // A queue that cannot be looked at is as good as empty.
        socket::wait_readable(self.listener.as_fd(), Some(Duration::ZERO)).unwrap_or(false)
    }

    /// Notes that a request starts or ends; the first one starts the clock of `inactivity-timeout`.
    pub(super) fn note_activity(&self) {
        let Some(activity) = &self.activity else {
            return;
        };
        if self.shows_use {
            self.permits.show_use();
        }
        if activity.note(Instant::now()) {
            self.main.wake();
        }
    }

    /// When a request last started or ended.
    pub(super) fn last_activity(&self) -> Option<Instant> {
        self.activity.as_ref().and_then(Activity::last)
    }

    /// Asks the main thread to have this process replaced. No further request starts until it has
    /// an answer: they wait for the successor, which has the new code.
    pub(super) fn ask_for_replacement(&self) {
        self.permits.close();
        if !self.replace.swap(true, Ordering::Relaxed) {
            self.main.wake();
        }
    }

    /// Whether somebody asked for a replacement since this was last called.
    pub(super) fn take_replacement(&self) -> bool {
        self.replace.swap(false, Ordering::Relaxed)
    }

    /// Whether code has changed and no request waits for the new; the next answer is about later
    /// changes.
    pub(super) fn take_noticed_change(&self) -> bool {
        let replacement = self.host.replacement();
        replacement.is_some_and(Replacement::take_noticed)
    }

    /// Stops taking requests until [`Service::resume`]: they are for a successor.
    pub(super) fn pause(&self) {
        self.keep_code(false);
        self.permits.close();
    }

    /// Takes requests again, which get the code there is.
    pub(super) fn resume(&self) {
        self.keep_code(true);
        self.permits.reopen();
        self.listen_again();
    }

    fn keep_code(&self, keeping: bool) {
        if let Some(replacement) = self.host.replacement() {
            replacement.keep(keeping);
        }
    }

    /// How the load of the scripts ended, once it has.
    pub(super) fn loading(&self) -> Option<Loading> {
        self.loading.get().copied()
    }

    /// Tells the main thread how the load of the scripts ended.
    pub(super) fn has_loaded(&self, loading: Loading) {
        // Scripts are loaded once.
        let _ = self.loading.set(loading);
        self.main.wake();
    }

    /// Notes that there is nothing left to be loaded that others of the group have loaded.
    pub(super) fn has_inherited(&self) {
        self.inherited.store(true, Ordering::Release);
        self.main.wake();
    }

    /// Whether that is so.
    pub(super) fn inherited(&self) -> bool {
        self.inherited.load(Ordering::Acquire)
    }

    /// A new exchange for the calling request thread, whose requests' heads are in `head`.
    pub(super) fn exchange(&self, head: &Arc<RwLock<HeadBytes>>) -> Arc<FrameExchange> {
        let exchange = Arc::new(FrameExchange::new(
            self.introduction,
            Arc::clone(&self.log),
            Running::of_this_thread(Arc::clone(head)),
            self.timed,
        ));
        let mut exchanges = self.exchanges.lock();
        exchanges.retain(|exchange| exchange.strong_count() > 0);
        exchanges.push(Arc::downgrade(&exchange));
        exchange
    }

    /// The requests that run, and since when.
    pub(super) fn running(&self) -> Vec<(Arc<FrameExchange>, Seen)> {
        let exchanges = self.exchanges.lock();
        let exchanges = exchanges.iter().filter_map(Weak::upgrade);
        exchanges
            .filter_map(|exchange| {
                let seen = exchange.seen().seen()?;
                Some((exchange, seen))
            })
            .collect()
    }

    /// How many requests run that are waited for.
    pub(super) fn unfinished(&self) -> u32 {
        let active = self.permits.active();
        let running = self.running();
        let given_up = running
            .iter()
            .filter(|(exchange, _)| exchange.seen().is_given_up())
            .count();
        active.saturating_sub(u32::try_from(given_up).unwrap_or(u32::MAX))
    }

    /// Writes down what requests logged that never started; for the end of a process that does not
    /// wait for them.
    pub(super) fn rescue_early_logs(&self) {
        for exchange in self.exchanges.lock().iter().filter_map(Weak::upgrade) {
            exchange.rescue_early_log();
        }
    }

    /// Ends the request threads that are idle.
    pub(super) fn dismiss_threads(&self) {
        self.dismissal.wake();
    }

    /// Logs an error with its causes.
    pub(super) fn complain(&self, error: &dyn std::error::Error) {
        let line = super::log::with_causes(error);
        (self.log)(super::log::WARNING, line.as_bytes());
    }
}
