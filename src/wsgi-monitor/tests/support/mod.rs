//! A real monitor in a place of its own, with a shell script in the place of Python.
//!
//! Runs in the test process. Everything a test waits for comes as a line of the error log, which
//! is a socket whose other end the test reads with a deadline: the monitor's lines, the scripts'
//! lines, and the end of the last process that holds it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use wsgi_unix::process::{self, Ended};
use wsgi_unix::socket::{self, Wait};
use wsgi_unix::spawn::Command;
use wsgi_unix::{accounts, hints, memory, pipe};
use wsgi_wire::launch::{
    DaemonSettings, GatewayConfig, GroupSpec, Identity, List, Message, MonitorConfig, RETIRE,
    monitor_fd,
};

/// How long anything that must happen may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// What a script does if it is to load what others have loaded, which is `abc`. `$1` is 0 if it has to
/// before it takes requests.
macro_rules! heir {
    ($does:expr) => {
        concat!(
            "set -- $(tail -c 17 <&3 | od -An -v -tx1 | tr -d ' \\n' | ",
            "sed -n 's/^0\\(.\\)01000000030000006162630000000000$/\\1/p'); ",
            "if [ -n \"$1\" ]; then ",
            $does,
            "; fi; "
        )
    };
}

/// What a script does if it is a successor.
macro_rules! successor {
    ($does:literal) => {
        heir!(concat!("echo successor $$; ", $does))
    };
}

/// Says that it takes requests and has loaded `abc`.
macro_rules! serves {
    () => {
        "printf '\\001\\001' >&6; printf '\\001\\005\\001\\000\\000\\000\\003\\000\\000\\000abc\\000\\000\\000\\000\\000' >&6; "
    };
}

/// Asks for a successor that loads `abc`, paused if the byte says so in octal.
macro_rules! asks {
    ($paused:literal) => {
        concat!(
            "echo started $$; ",
            serves!(),
            "printf '\\001\\002\\",
            $paused,
            "\\004\\000\\000\\000test' >&6; "
        )
    };
}

/// Tells what it is told, and goes on.
macro_rules! told {
    ($does:literal) => {
        concat!(
            "echo order $(dd bs=16 count=1 <&6 2>/dev/null | od -An -tx1) $$; ",
            $does
        )
    };
}

/// Scripts: each tells `started <pid>` on standard output, which is the error log.
pub mod script {
    /// Serves until it is told to end, or the monitor is gone.
    pub const SERVES: &str = "echo started $$; exec cat <&6";
    /// Fails at once.
    pub const FAILS: &str = "echo started $$; exit 3";
    /// Ends as a daemon does whose script has changed: orderly, and not at once.
    pub const ASKS_TO_BE_REPLACED: &str = "echo started $$; sleep 1.1; exit 0";
    /// Does not end when asked to, and neither does what it started.
    pub const STUBBORN: &str =
        "trap '' TERM; (trap '' TERM; exec sleep 1000) & echo started $$; sleep 1000; sleep 1000";
    /// Asks for a successor, tells `order` with what it is told, and ends. A successor of its kind
    /// tells `successor`, says that it is ready and serves.
    pub const IS_FOLLOWED: &str = concat!(
        successor!("printf '\\001\\001' >&6; exec cat <&6 >/dev/null"),
        asks!("000"),
        told!("exit 87")
    );
    /// The same, but it does not end.
    pub const STAYS: &str = concat!(
        successor!("printf '\\001\\001' >&6; exec cat <&6 >/dev/null"),
        asks!("000"),
        told!("sleep 1000; sleep 1000")
    );
    /// The same, but it dies before its successor is ready, which that is once `go` is there.
    pub const DIES_EARLY: &str = concat!(
        successor!(
            "while ! [ -e ${0%/*}/go ]; do sleep 0.05; done; printf '\\001\\001' >&6; exec cat <&6 >/dev/null"
        ),
        asks!("000"),
        "sleep 0.5; exit 5"
    );
    /// Asks while it takes no requests; its successors cannot load what it has loaded.
    pub const CANNOT_BE_FOLLOWED: &str = concat!(
        successor!("exit 88"),
        asks!("001"),
        told!("exec cat <&6 >/dev/null")
    );
    /// Its successors are never ready.
    pub const IS_WAITED_FOR: &str = concat!(
        successor!("exec cat <&6 >/dev/null"),
        asks!("001"),
        told!("exec cat <&6 >/dev/null")
    );
    /// Has loaded something and dies. Who comes after it tells what it is given, and does the same.
    pub const LEAVES: &str = concat!(
        heir!("echo heir $1 $$"),
        "echo started $$; ",
        serves!(),
        "exit 3"
    );
    /// The same, but who is to load something dies of it.
    pub const LEAVES_POISON: &str = concat!(
        heir!("echo heir $1 $$; exit 4"),
        "echo started $$; ",
        serves!(),
        "exit 3"
    );
    /// Of two, one serves and the other dies once `go` is there. Who is to load something cannot.
    pub const LEAVES_ONE: &str = concat!(
        heir!("echo heir $1 $$; exit 88"),
        "echo started $$; ",
        serves!(),
        "if mkdir ${0%/*}/serves; then exec cat <&6 >/dev/null; fi; ",
        "while ! [ -e ${0%/*}/go ]; do sleep 0.05; done; exit 3"
    );
    /// The same, but who is to load something does not come to an end.
    pub const LEAVES_A_SLOW_ONE: &str = concat!(
        heir!("echo heir $1 $$; exec sleep 1000"),
        "echo started $$; ",
        serves!(),
        "if mkdir ${0%/*}/serves; then exec cat <&6 >/dev/null; fi; ",
        "while ! [ -e ${0%/*}/go ]; do sleep 0.05; done; exit 3"
    );
    /// Says what means nothing.
    pub const BABBLES: &str = "echo started $$; echo nonsense >&6; exec sleep 1000";
    /// Tells what it was given.
    pub const TELLS: &str = r#"
        echo arguments $# "$1" "$3"
        echo room ${#4}
        echo config $(od -An -v -tx1 <&3 | tr -d ' \n')
        ls /proc/$$/fd
        echo $(grep -E '^Uid' /proc/$$/status)
        echo $(grep -E '^Gid' /proc/$$/status)
        echo $(grep -E '^Groups' /proc/$$/status)
        echo directory $(pwd)
        echo umask $(umask)
        env | sed 's/^/env /'
        setpriv --reuid 0 true 2>/dev/null && echo root again
        echo started $$
        exec cat <&6"#;
}

/// A configuration with one group, in a directory of its own.
pub struct Setup {
    directory: PathBuf,
    pub config: MonitorConfig,
}

impl Setup {
    /// A group `app` of `processes` processes that run `script` in the place of Python.
    pub fn new(processes: u32, script: &str) -> Setup {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("wsgi-monitor-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let bin = directory.join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        for reachable in [&directory, &bin] {
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(reachable, mode).unwrap();
        }
        let config = MonitorConfig {
            generation: 1,
            log_level: 7,
            gateway: b"/lib/gateway.so".to_vec(),
            default_python: b"python3".to_vec(),
            client_uid: accounts::own_uid(),
            groups: List(vec![group(&directory, processes)]),
            templates: List(Vec::new()),
            socket_prefix: bytes_of(&directory.join("made")),
            open_files: 1024,
        };
        let setup = Setup { directory, config };
        setup.write_program("bin/python", script);
        setup
    }

    /// Writes an executable shell script below the group's `python-home`.
    pub fn write_program(&self, name: &str, script: &str) {
        let path = self.directory.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A path below the group's `python-home`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The one group.
    pub fn group(&mut self) -> &mut GroupSpec {
        &mut self.config.groups.0[0]
    }

    /// Starts a monitor with the configuration.
    pub fn start(self) -> Monitor {
        let bytes = self.config.to_bytes();
        self.start_with(&bytes)
    }

    /// Starts a monitor with these bytes in the place of a configuration.
    pub fn start_with(self, config: &[u8]) -> Monitor {
        let config = memory::sealed_blob(c"config", config).unwrap();
        let (parent_end, parent) = pipe::pair().unwrap();
        let (children_end, children) = pipe::pair().unwrap();
        let listener = socket::listen(&self.path("socket"), 16, None).unwrap();
        let hints = hints::create(8).unwrap();
        let (log, log_end) = socket::pair().unwrap();
        socket::set_receive_timeout(log.as_fd(), Some(DEADLINE)).unwrap();
        let (control_end, control) = socket::message_pair().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_wsgi-monitor"));
        command
            .variable("LANG", b"C.UTF-8")
            .variable("TZ", b"UTC")
            .variable("SECRET", b"of httpd")
            .descriptor(log_end.as_fd(), 2)
            .descriptor(config.as_fd(), monitor_fd::CONFIG)
            .descriptor(parent_end.as_fd(), monitor_fd::PARENT)
            .descriptor(children_end.as_fd(), monitor_fd::CHILDREN)
            .descriptor(control_end.as_fd(), monitor_fd::CONTROL)
            .descriptor(listener.as_fd(), monitor_fd::GROUPS)
            .descriptor(hints.as_fd(), monitor_fd::GROUPS + 1);
        let pid = command.start().unwrap();
        Monitor {
            setup: self,
            pid,
            ended: None,
            log,
            unread: Vec::new(),
            seen: String::new(),
            parent: Some(parent),
            children: Some(children),
            control,
        }
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A path as the wire has it.
pub fn bytes_of(path: &Path) -> Vec<u8> {
    path.to_str().unwrap().as_bytes().to_vec()
}

fn group(directory: &Path, processes: u32) -> GroupSpec {
    let bytes = bytes_of;
    GroupSpec {
        gateway: GatewayConfig {
            process_group: b"app".to_vec(),
            processes,
            threads: 2,
            multiprocess: processes > 1,
            reserve_main: false,
            python_path: List(Vec::new()),
            home: None,
            imports: List(Vec::new()),
            apache_major: 2,
            apache_minor: 4,
            apache_patch: 0,
            log_level: 6,
            ..GatewayConfig::default()
        },
        identity: accounts::is_root().then(nobody),
        python_home: Some(bytes(directory)),
        daemon: DaemonSettings {
            shutdown_timeout: Duration::from_secs(5),
            graceful_timeout: Duration::from_secs(5),
            ..DaemonSettings::default()
        },
        socket: bytes(&directory.join("socket")),
        listener_fd: monitor_fd::GROUPS as u32,
        hints_fd: monitor_fd::GROUPS as u32 + 1,
        ..GroupSpec::default()
    }
}

/// The account every system has for such a purpose.
pub fn nobody() -> Identity {
    let account = accounts::by_name(b"nobody").unwrap().unwrap();
    Identity {
        uid: account.uid,
        gid: account.gid,
        name: account.name,
        home: account.home,
    }
}

/// A running monitor. On drop it is killed, and its daemons end with it.
pub struct Monitor {
    pub setup: Setup,
    pub pid: i32,
    ended: Option<Ended>,
    log: OwnedFd,
    unread: Vec<u8>,
    seen: String,
    parent: Option<OwnedFd>,
    children: Option<OwnedFd>,
    /// Where an Apache child asks for groups.
    pub control: OwnedFd,
}

impl Monitor {
    /// The next line of the error log that holds `text`.
    pub fn line_with(&mut self, text: &str) -> String {
        while let Some(line) = self.next_line() {
            if line.contains(text) {
                return line;
            }
        }
        panic!("the log ended without {text:?}:\n{}", self.seen);
    }

    /// The process id of the next daemon that starts.
    pub fn started(&mut self) -> i32 {
        loop {
            let line = self.line_with("started ");
            if let Some(pid) = line.strip_prefix("started ") {
                return pid.parse().unwrap();
            }
        }
    }

    /// Waits until the monitor and everything that holds its error log is gone; answers how the
    /// monitor ended and all lines of the log.
    pub fn end(&mut self) -> (Ended, String) {
        while self.next_line().is_some() {}
        let ended = process::wait_for(self.pid).unwrap();
        self.ended = Some(ended);
        (ended, self.seen.clone())
    }

    /// Says what httpd's parent says when the generation is over.
    pub fn retire(&mut self) {
        let parent = self.parent.take().unwrap();
        std::io::Write::write_all(&mut std::fs::File::from(parent), &[RETIRE]).unwrap();
    }

    /// Does what the death of httpd's parent does.
    pub fn lose_parent(&mut self) {
        self.parent = None;
    }

    /// Does what the end of the last Apache child does.
    pub fn lose_children(&mut self) {
        self.children = None;
    }

    /// A line, or `None` when nobody is left who could write one.
    fn next_line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
                let rest = self.unread.split_off(end + 1);
                let line = std::mem::replace(&mut self.unread, rest);
                let line = String::from_utf8_lossy(&line[..end]).into_owned();
                self.seen.push_str(&line);
                self.seen.push('\n');
                return Some(line);
            }
            let mut buffer = [0u8; 4096];
            let received = receive(self.log.as_fd(), &mut buffer);
            match received {
                0 => return None,
                length => self.unread.extend_from_slice(&buffer[..length]),
            }
        }
    }
}

fn receive(log: BorrowedFd<'_>, buffer: &mut [u8]) -> usize {
    socket::receive(log, buffer, Wait::Yes).expect("nothing was logged within the deadline")
}

impl Drop for Monitor {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _ = process::signal(self.pid, libc::SIGKILL);
            let _ = process::wait_for(self.pid);
        }
    }
}
