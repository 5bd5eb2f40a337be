//! A running httpd of a test: its requests, signals, log and processes.
//!
//! Owned by the test's thread. When it is dropped the server is stopped, and the test fails if the
//! server left processes, sockets, core files or unannounced warnings behind.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::Duration;

use crate::client::{Connection, Request, Response};
use crate::configuration::{Builder, Mode, Site};
use crate::error_log::ErrorLog;
use crate::process::{self, Process};
use crate::turn::Turn;
use crate::wait;

/// Longer than any shutdown-timeout a test sets.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// How long connections may take to end before a stop; some tests stop with open ones.
const SETTLE_LIMIT: Duration = Duration::from_millis(200);
/// How long old children may listen after a graceful restart. One of prefork that runs a request does so
/// until that is over, but takes no connection.
const HANDOVER_LIMIT: Duration = Duration::from_secs(2);
const STARTED: &str = "resuming normal operations";

/// A running server.
#[derive(Debug)]
pub struct Server {
    site: Site,
    httpd: Child,
    port: u16,
    log: ErrorLog,
    stopped: bool,
    // Given back last, when nothing of the server is left.
    _turn: Turn,
}

impl Server {
    /// A server to be; see [`Builder`].
    pub fn builder(mode: Mode) -> Builder {
        Builder::new(mode)
    }

    #[track_caller]
    pub(crate) fn start(site: Site, turn: Turn) -> Server {
        Server::start_and(site, turn, |_| ()).0
    }

    /// Starts httpd and calls `meanwhile` with its address at once, before it listens.
    #[track_caller]
    pub(crate) fn start_and<T>(
        site: Site,
        turn: Turn,
        meanwhile: impl Fn(SocketAddr) -> T,
    ) -> (Server, T) {
        for _ in 0..5 {
            let port = free_port().expect("a free port");
            site.write_configuration(port)
                .expect("the server root is ours");
            let said = File::create(site.root.join("startup")).expect("the server root is ours");
            let errors = said.try_clone().expect("a descriptor");
            let mut httpd = site
                .command()
                .arg("-DFOREGROUND")
                .stdin(std::process::Stdio::null())
                .stdout(said)
                .stderr(errors)
                // httpd signals its whole process group when it stops: not ours.
                .process_group(0)
                .spawn()
                .expect("httpd is installed");
            let done = meanwhile(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
            let log = ErrorLog::new(site.root.join("error_log"));
            if wait_for_start(&mut httpd, &log) {
                let server = Server {
                    site,
                    httpd,
                    port,
                    log,
                    stopped: false,
                    _turn: turn,
                };
                return (server, done);
            }
            let said = fs::read_to_string(site.root.join("startup")).unwrap_or_default();
            // Somebody else took the port between our asking for it and httpd's.
            if !said.contains("Address already in use") {
                panic!("httpd did not start: {said}\n{}", log.text());
            }
        }
        panic!("no port stayed free");
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// The server root.
    pub fn root(&self) -> &Path {
        &self.site.root
    }

    /// A path among the server's own copies of `tests/apps`.
    pub fn app(&self, path: &str) -> PathBuf {
        self.root().join("apps").join(path)
    }

    /// A path in the directory where applications leave and find marks.
    pub fn state(&self, name: &str) -> PathBuf {
        self.root().join("state").join(name)
    }

    /// Opens a connection.
    #[track_caller]
    pub fn connect(&self) -> Connection {
        Connection::open(self.address()).expect("the server listens")
    }

    /// Sends a request on a connection of its own; the server must answer.
    #[track_caller]
    pub fn send(&self, request: &Request) -> Response {
        let request = request.clone().header("Connection", "close");
        self.connect().roundtrip(&request).expect("an answer")
    }

    /// Sends a GET request on a connection of its own.
    #[track_caller]
    pub fn get(&self, target: &str) -> Response {
        self.send(&Request::get(target))
    }

    /// The text of a GET request's answer, which must be 200 and whole.
    #[track_caller]
    pub fn text(&self, target: &str) -> String {
        let response = self.get(target);
        assert_eq!(response.status(), 200, "{target}: {}", response.text());
        assert!(response.whole, "{target}: cut short");
        response.text()
    }

    /// The error log.
    pub fn log(&self) -> &ErrorLog {
        &self.log
    }

    /// Waits until a line of the error log contains `text`, and gives that line.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) -> String {
        wait::until(
            &format!("{text:?} in the log:\n{}", self.log.text()),
            || self.log.lines_with(text).into_iter().next(),
        )
    }

    /// Announces that a warning or error with this text must be in the log at the end.
    pub fn expect_log(&mut self, text: &str) {
        self.log.announce(text, true);
    }

    /// Announces that a warning or error with this text may be in the log.
    pub fn allow_log(&mut self, text: &str) {
        self.log.announce(text, false);
    }

    /// Announces a Python traceback that ends with this text, for a script of ours.
    pub fn expect_traceback(&mut self, text: &str) {
        self.log.announce(text, true);
        self.log.announce_traceback();
        let apps = self.app("").display().to_string();
        self.log.announce(&apps, false);
    }

    /// All processes of this server that live now, httpd's parent first.
    pub fn processes(&self) -> Vec<Process> {
        process::of_server(self.httpd.id(), self.root())
    }

    /// The daemons: Python interpreters in our mode of working, forks of httpd in the C module's.
    pub fn daemons(&self) -> Vec<Process> {
        self.processes()
            .into_iter()
            .filter(Process::is_python)
            .collect()
    }

    /// httpd's children: forks of its parent.
    pub fn children(&self) -> Vec<Process> {
        let all = self.processes();
        let parent = self.httpd.id();
        let program = all.first().map(|p| p.executable.clone());
        all.into_iter()
            .filter(|p| p.parent == parent && Some(&p.executable) == program.as_ref())
            .collect()
    }

    /// httpd's parent process.
    pub fn pid(&self) -> u32 {
        self.httpd.id()
    }

    /// Restarts gracefully and waits until the new generation is up and takes all connections: the old
    /// children are told by a message each, and take some until they have read it.
    #[track_caller]
    pub fn graceful(&self) {
        let old = self.children();
        self.restart(libc::SIGUSR1);
        let listeners = listeners(self.port);
        let listens = |child: &Process| {
            let sockets = child.sockets();
            sockets.iter().any(|socket| listeners.contains(socket))
        };
        wait::within(HANDOVER_LIMIT, || (!old.iter().any(listens)).then_some(()));
    }

    /// Restarts at once and waits until the new generation is up.
    #[track_caller]
    pub fn hard_restart(&self) {
        self.settle();
        self.restart(libc::SIGHUP);
    }

    #[track_caller]
    fn restart(&self, signal: i32) {
        let before = self.log.lines_with(STARTED).len();
        process::send(self.httpd.id(), signal);
        wait::until_true("the next generation", || {
            self.log.lines_with(STARTED).len() > before
        });
    }

    /// Changes the configuration file for the next restart.
    pub fn edit_configuration(&self, from: &str, to: &str) {
        edit(&self.root().join("httpd.conf"), from, to);
    }

    /// Replaces text in one of the server's copies of `tests/apps`, with a newer mtime.
    pub fn edit_app(&self, path: &str, from: &str, to: &str) {
        edit(&self.app(path), from, to);
    }

    /// Stops the server and gives httpd's exit status; panics when it does not end.
    pub fn stop(&mut self) -> ExitStatus {
        self.end(libc::SIGTERM)
    }

    /// Stops the server once running requests are done.
    pub fn graceful_stop(&mut self) -> ExitStatus {
        self.end(libc::SIGWINCH)
    }

    fn end(&mut self, signal: i32) -> ExitStatus {
        self.stopped = true;
        self.settle();
        process::send(self.httpd.id(), signal);
        let status = wait::within(STOP_LIMIT, || self.httpd.try_wait().ok().flatten());
        status.unwrap_or_else(|| {
            self.kill_all();
            panic!("httpd did not stop within {STOP_LIMIT:?}")
        })
    }

    /// An event child that is told to stop while a worker closes a connection may close that socket
    /// again, after it was freed (close_worker_sockets in event.c), as a bare httpd does that serves
    /// files: not our crash to find, so connections that are about to end may do so first.
    fn settle(&self) {
        wait::within(SETTLE_LIMIT, || (connections(self.port) == 0).then_some(()));
    }

    fn kill_all(&mut self) {
        for process in self.processes() {
            process.signal(libc::SIGKILL);
        }
        let _ = self.httpd.wait();
    }

    /// Why this server, once stopped, is not gone without a trace.
    fn traces(&mut self) -> Vec<String> {
        let root = self.root().to_owned();
        let gone = || process::of_server(0, &root).is_empty().then_some(());
        let mut traces = Vec::new();
        if wait::within(STOP_LIMIT, gone).is_none() {
            for process in process::of_server(0, &root) {
                let title = String::from_utf8_lossy(&process.command_line).replace('\0', " ");
                traces.push(format!("left over: process {} {title}", process.pid));
                process.signal(libc::SIGKILL);
            }
        }
        for path in files_under(&root) {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let socket = fs::symlink_metadata(&path).is_ok_and(|m| m.file_type().is_socket());
            if socket || name == "core" || name.starts_with("core.") {
                traces.push(format!("left over: {}", path.display()));
            }
        }
        traces.extend(self.log.complaints());
        traces
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.kill_all();
            eprintln!("--- error log ---\n{}", tail(&self.log.text()));
            return;
        }
        if !self.stopped {
            self.stop();
        }
        let traces = self.traces();
        if !traces.is_empty() {
            eprintln!("--- error log ---\n{}", tail(&self.log.text()));
            panic!("{}", traces.join("\n"));
        }
    }
}

/// A loopback port that was free a moment ago.
pub fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// How many of a server's connections are still held by a process.
fn connections(port: u16) -> usize {
    let held = |(listens, inode): &(bool, String)| !listens && inode != "0";
    sockets_at(port)
        .iter()
        .filter(|socket| held(socket))
        .count()
}

/// The inodes of the sockets that listen there.
fn listeners(port: u16) -> Vec<String> {
    let sockets = sockets_at(port).into_iter();
    sockets
        .filter_map(|(listens, inode)| listens.then_some(inode))
        .collect()
}

/// The sockets of a local port as /proc/net/tcp tells: whether it listens, and its inode, which is 0 when
/// nobody holds it any more.
fn sockets_at(port: u16) -> Vec<(bool, String)> {
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let local = format!(":{port:04X}");
    let socket = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        match fields[..] {
            [_, address, _, state, _, _, _, _, _, inode, ..] if address.ends_with(&local) => {
                Some((state == "0A", inode.to_owned()))
            }
            _ => None,
        }
    };
    table.lines().filter_map(socket).collect()
}

/// Whether anybody listens there.
pub fn listens(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

/// Replaces text in a file and makes its mtime differ, however coarse the file system's clock.
#[track_caller]
fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).expect("the file is ours");
    assert!(text.contains(from), "{} has no {from:?}", path.display());
    let before = fs::metadata(path)
        .and_then(|m| m.modified())
        .expect("a time");
    let new = path.with_extension("new");
    fs::write(&new, text.replace(from, to)).expect("the directory is ours");
    let file = File::options()
        .write(true)
        .open(&new)
        .expect("just written");
    file.set_modified(before + Duration::from_secs(2))
        .expect("the file is ours");
    fs::rename(&new, path).expect("the directory is ours");
}

fn wait_for_start(httpd: &mut Child, log: &ErrorLog) -> bool {
    wait::until("httpd starts or fails", || {
        if log.text().contains(STARTED) {
            return Some(true);
        }
        matches!(httpd.try_wait(), Ok(Some(_))).then_some(false)
    })
}

fn files_under(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files.extend(files_under(&path));
        } else {
            files.push(path);
        }
    }
    files
}

fn tail(text: &str) -> &str {
    let start = text.len().saturating_sub(6000);
    let start = (start..text.len())
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    &text[start..]
}
