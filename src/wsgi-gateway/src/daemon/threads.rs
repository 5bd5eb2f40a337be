//! The threads of a daemon besides the main one: request threads, and one that loads scripts.
//!
//! They are started by the main thread. Each lets go of what Python keeps for it when it ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;

use wsgi_unix::epoll::Wake;
use wsgi_unix::log::{self, Level};
use wsgi_unix::{process, signals};
use wsgi_wire::supervision::Inheritance;

use super::deputy::{self, Deputy};
use super::service::{Loading, Service};
use super::worker::Worker;

/// The stack of a thread that runs Python unless the option `stack-size` stands: what the main thread of a program has on Linux, which is
/// what Python's recursion limit is made for.
const STACK_BYTES: usize = 8 << 20;

/// The threads that have not ended yet.
pub(super) struct Crew {
    present: Arc<AtomicU32>,
    main: Arc<Wake>,
    stack_bytes: usize,
}

impl Crew {
    /// No threads; `main` is woken whenever one ends, and each will have this much stack.
    pub(super) fn new(main: Arc<Wake>, stack_bytes: Option<u64>) -> Crew {
        let stated = stack_bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        Crew {
            stack_bytes: stated.unwrap_or(STACK_BYTES),
            present: Arc::new(AtomicU32::new(0)),
            main,
        }
    }

    /// Whether threads are left.
    pub(super) fn is_present(&self) -> bool {
        self.present.load(Ordering::Acquire) > 0
    }

    /// Starts the request threads: one more than requests may run.
    pub(super) fn start(&self, service: &Arc<Service>, requests: u32) -> io::Result<()> {
        (0..=requests).try_for_each(|_| self.start_one(service))
    }

    /// Starts a request thread.
    pub(super) fn start_one(&self, service: &Arc<Service>) -> io::Result<()> {
        self.spawn("wsgi-request", service, |service| {
            if let Err(error) = Worker::new(service).run() {
                service.complain(&error);
                process::exit_now(1);
            }
        })
    }

    /// Starts the thread of [`load_scripts`]: requests wait in the queue until the imports are
    /// there, and signals do not wait for either.
    pub(super) fn start_loading(
        &self,
        service: &Arc<Service>,
        inheritance: Option<Inheritance>,
    ) -> io::Result<()> {
        self.spawn("wsgi-imports", service, |service| {
            load_scripts(service, inheritance);
        })
    }

    /// Starts the thread that tells applications of the signals it is sent.
    pub(super) fn start_signals(&self, service: &Arc<Service>) -> io::Result<Sender<i32>> {
        let (sender, signals) = mpsc::channel();
        self.spawn("wsgi-signals", service, move |service| {
            for signal in signals {
                let name = signals::name(signal).unwrap_or("signal");
                service.host.signalled(name, signal);
            }
        })?;
        Ok(sender)
    }

    /// Starts the thread that takes the GIL for the main thread.
    pub(super) fn start_deputy(&self, service: &Arc<Service>) -> io::Result<Deputy> {
        let (sender, orders) = mpsc::channel();
        let wait = Arc::default();
        let deputy = Deputy::new(sender, Arc::clone(&wait));
        self.spawn("wsgi-deputy", service, move |service| {
            deputy::serve(service, &orders, &wait);
        })?;
        Ok(deputy)
    }

    fn spawn(
        &self,
        name: &str,
        service: &Arc<Service>,
        body: impl FnOnce(&Service) + Send + 'static,
    ) -> io::Result<()> {
        let service = Arc::clone(service);
        let leave = Leave {
            present: Arc::clone(&self.present),
            main: Arc::clone(&self.main),
        };
        self.present.fetch_add(1, Ordering::AcqRel);
        let builder = thread::Builder::new()
            .name(name.to_owned())
            .stack_size(self.stack_bytes);
        builder.spawn(move || {
            let _leave = leave;
            body(&service);
            service.host.thread_ended();
        })?;
        Ok(())
    }
}

/// Loads the configured imports and what other processes of the group have loaded, and then opens the
/// service: a process that cannot do as well as those does not try to. Where requests wait for this
/// process alone it opens before, and whoever asks for a script waits for that one only.
pub(super) fn load_scripts(service: &Service, inheritance: Option<Inheritance>) {
    let host = &service.host;
    host.load_imports();
    let Inheritance { at_once, loaded } = inheritance.unwrap_or_default();
    let mut scripts = loaded.scripts.0.iter();
    if !at_once && !scripts.all(|script| host.load_after_others(script)) {
        return service.has_loaded(Loading::Failed);
    }
    if let Err(error) = service.open() {
        service.complain(&error);
        process::exit_now(1);
    }
    log::line(Level::Info, format_args!("ready for requests"));
    service.has_loaded(Loading::Ready);
    for script in scripts {
        // A failure is in the log; requests for the script find it as they would without this.
        host.load_after_others(script);
    }
    service.has_inherited();
}

/// Signs its thread off, even if it panics or never started.
struct Leave {
    present: Arc<AtomicU32>,
    main: Arc<Wake>,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.present.fetch_sub(1, Ordering::AcqRel);
        self.main.wake();
    }
}
