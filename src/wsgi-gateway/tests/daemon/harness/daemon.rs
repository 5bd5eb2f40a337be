//! A daemon under test, started as the monitor starts one.

use std::env;
use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command as Cargo;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use wsgi_unix::hints::{self, HintPage, Slot};
use wsgi_unix::process::{self, Ended};
use wsgi_unix::spawn::Command;
use wsgi_unix::{accounts, memory, packet, socket};
use wsgi_wire::launch::{
    DaemonConfig, DaemonSettings, GatewayConfig, ImportScript, List, Message, daemon_fd,
};
use wsgi_wire::secret::Secret;
use wsgi_wire::supervision::{Inheritance, Order};

use super::monitor::Monitor;
use super::{Child, PATIENCE, Python, wait_until};

/// How many processes a test may start on one socket.
const PROCESSES: u32 = 32;

/// What requests of tests are known by.
pub const SECRET: Secret = Secret::new(*b"0123456789abcdef");

const BOOTSTRAP: &str = "import importlib.util as u,sys;\
    s=u.spec_from_file_location('_wsgi_gateway',sys.argv[1]);\
    m=u.module_from_spec(s);s.loader.exec_module(m);m.run_daemon()";

/// The gateway, built once: Cargo does not build a library that no test can link. The variable
/// `WSGI_GATEWAY_LIBRARY` names another build to test, e.g. a release.
fn gateway() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        if let Some(library) = env::var_os("WSGI_GATEWAY_LIBRARY") {
            return PathBuf::from(library);
        }
        let status = Cargo::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "wsgi-gateway", "--lib"])
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the gateway builds");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .parent()
            .expect("a target directory");
        target.join("debug/lib_wsgi_gateway.so")
    })
}

/// What a daemon is started with.
#[derive(Clone)]
pub struct Setup {
    python: PathBuf,
    directory: PathBuf,
    config: DaemonConfig,
    answer: Option<Order>,
    version_gap: u8,
}

impl Setup {
    /// A daemon with two threads whose script has this text.
    pub fn new(python: &Python, script: &str) -> Setup {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("daemon-{}-{number}", std::process::id());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&directory).expect("a directory for the test");
        fs::write(directory.join("app.wsgi"), script).expect("the script is written");
        let gateway = GatewayConfig {
            process_group: b"tested".to_vec(),
            processes: 1,
            threads: 2,
            multiprocess: false,
            reserve_main: false,
            python_path: List(Vec::new()),
            home: None,
            imports: List(Vec::new()),
            apache_major: 2,
            apache_minor: 4,
            apache_patch: 71,
            log_level: 7,
            ..GatewayConfig::default()
        };
        let config = DaemonConfig {
            gateway,
            slot: 0,
            client_uid: accounts::own_uid(),
            inheritance: None,
            zygote: false,
            secret: SECRET,
            settings: DaemonSettings {
                shutdown_timeout: Duration::from_secs(5),
                graceful_timeout: Duration::from_secs(5),
                ..DaemonSettings::default()
            },
        };
        Setup {
            python: python.program.clone(),
            directory,
            config,
            answer: Some(Order::Retire),
            version_gap: 0,
        }
    }

    /// What the monitor answers to a daemon that wants a successor: as if that were ready already,
    /// unless a test says otherwise.
    pub fn answered(mut self, answer: Option<Order>) -> Setup {
        self.answer = answer;
        self
    }

    /// How many requests it runs at once.
    pub fn threads(mut self, threads: u32) -> Setup {
        self.config.gateway.threads = threads;
        self
    }

    /// The script is loaded when the process starts.
    pub fn imported(mut self) -> Setup {
        self.config.gateway.imports = List(vec![ImportScript {
            script: self.script().into_os_string().into_encoded_bytes(),
            application_group: Vec::new(),
            callable: Some(b"application".to_vec()),
        }]);
        self
    }

    /// Changes the rest of the configuration.
    pub fn with(mut self, change: impl FnOnce(&mut DaemonConfig)) -> Setup {
        change(&mut self.config);
        self
    }

    fn script(&self) -> PathBuf {
        self.directory.join("app.wsgi")
    }

    /// It is told what to do in another version of the protocol.
    pub fn of_another_version(mut self) -> Setup {
        self.version_gap = 1;
        self
    }

    /// Starts it.
    pub fn start(self) -> Daemon {
        let path = self.directory.join("socket");
        let listener = socket::listen(&path, 64, None).expect("a listener");
        let page = hints::create(PROCESSES).expect("a hint page");
        let (pid, monitor) = self.spawn(listener.as_fd(), page.as_fd());
        Daemon {
            pid,
            script: self.script(),
            socket: path,
            hints: HintPage::map_read_only(page.as_fd()).expect("the hint page maps"),
            page,
            listener,
            setup: self,
            monitor: Some(monitor),
            ended: None,
            is_last: true,
        }
    }

    /// The process, and the monitor's end of its channel.
    fn spawn(&self, listener: BorrowedFd<'_>, page: BorrowedFd<'_>) -> (i32, Monitor) {
        let mut config = self.config.to_bytes();
        config[0] += self.version_gap;
        let config = memory::sealed_blob(c"config", &config).expect("a blob");
        let (channel, monitor) = packet::pair().expect("a channel");
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.directory.join("log"));
        let log = log.expect("a log");
        let null = File::open("/dev/null").expect("/dev/null");
        let mut command = Command::new(&self.python);
        command
            .argument("-c")
            .argument(BOOTSTRAP)
            .argument(gateway().as_os_str().as_encoded_bytes())
            .argument(vec![b' '; 128])
            .variable("PATH", b"/usr/bin:/bin")
            .descriptor(null.as_fd(), 0)
            .descriptor(log.as_fd(), 1)
            .descriptor(log.as_fd(), 2)
            .descriptor(config.as_fd(), daemon_fd::CONFIG)
            .descriptor(listener, daemon_fd::LISTENER)
            .descriptor(page, daemon_fd::HINTS)
            .descriptor(channel.as_fd(), daemon_fd::MONITOR);
        let pid = command.start().expect("the daemon starts");
        (pid, Monitor::new(monitor, self.answer))
    }
}

/// A daemon that runs; killed when dropped.
pub struct Daemon {
    /// Its process id.
    pub pid: i32,
    /// Its script.
    pub script: PathBuf,
    socket: PathBuf,
    hints: HintPage,
    page: OwnedFd,
    listener: OwnedFd,
    setup: Setup,
    monitor: Option<Monitor>,
    ended: Option<Ended>,
    is_last: bool,
}

impl Daemon {
    /// A daemon with two threads whose script has this text.
    pub fn start(python: &Python, script: &str) -> Daemon {
        Setup::new(python, script).start()
    }

    /// Starts the process that is to follow this one, on the same socket.
    pub fn successor(&mut self) -> Daemon {
        self.successor_with(None)
    }

    /// The same with what others have loaded.
    pub fn successor_with(&mut self, inheritance: Option<Inheritance>) -> Daemon {
        let mut setup = self.setup.clone();
        setup.config.slot += 1;
        setup.config.inheritance = inheritance;
        let (pid, monitor) = setup.spawn(self.listener.as_fd(), self.page.as_fd());
        self.is_last = false;
        Daemon {
            pid,
            script: self.script.clone(),
            socket: self.socket.clone(),
            hints: HintPage::map_read_only(self.page.as_fd()).expect("the hint page maps"),
            page: self.page.try_clone().expect("a descriptor"),
            listener: self.listener.try_clone().expect("a descriptor"),
            setup,
            monitor: Some(monitor),
            ended: None,
            is_last: true,
        }
    }

    /// A new connection.
    pub fn connect(&self) -> Child {
        self.connector()()
    }

    /// Makes connections to this process and its successors, on any thread.
    pub fn connector(&self) -> impl Fn() -> Child + Sync + use<> {
        let (path, script) = (self.socket.clone(), self.script.clone());
        move || {
            let socket = socket::connect(&path, PATIENCE).expect("the listener takes us");
            Child::new(socket, &script)
        }
    }

    /// Requests it says it runs.
    pub fn active(&self) -> u32 {
        self.row().active.load(Ordering::Relaxed)
    }

    /// Requests it says it can run: 0 unless it serves.
    pub fn threads(&self) -> u32 {
        self.row().threads.load(Ordering::Relaxed)
    }

    /// Requests it says it has ended.
    pub fn served(&self) -> u64 {
        self.row().served.load(Ordering::Relaxed)
    }

    fn row(&self) -> &Slot {
        self.hints.slot(self.setup.config.slot).expect("a row")
    }

    /// What it wrote to the error log so far.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.setup.directory.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A file beside the script.
    pub fn file(&self, name: &str) -> PathBuf {
        self.setup.directory.join(name)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        process::signal(self.pid, signal).expect("the daemon is there");
    }

    /// The monitor, which must be there.
    pub fn monitor(&self) -> &Monitor {
        self.monitor.as_ref().expect("the monitor is there")
    }

    /// The monitor dies.
    pub fn lose_monitor(&mut self) {
        self.monitor = None;
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> Ended {
        let pid = self.pid;
        let mut ended = self.ended;
        wait_until("the daemon ends", || {
            ended = ended.or_else(|| process::reap_one(pid).expect("our child"));
            ended.is_some()
        });
        self.ended = ended;
        ended.expect("it has ended")
    }

    /// Whether it runs now.
    pub fn is_running(&mut self) -> bool {
        self.ended = self
            .ended
            .or_else(|| process::reap_one(self.pid).expect("our child"));
        self.ended.is_none()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _ = process::signal(self.pid, libc::SIGKILL);
            let _ = process::wait_for(self.pid);
        }
        if std::thread::panicking() {
            eprintln!("the daemon's log:\n{}", self.log());
        }
        if self.is_last {
            let _ = fs::remove_dir_all(&self.setup.directory);
        }
    }
}
