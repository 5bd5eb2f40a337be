//! What is compared: our module and its peers, each with a way to start it.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use wsgi_tests::apache::module;
use wsgi_tests::process::{self, Process};
use wsgi_tests::server::{free_port, listens};
use wsgi_tests::{Builder, Mode, Server, wait};

use crate::workload::Script;

/// More threads than connections: event closes kept connections when its threads run out.
const SIZES: &str = "StartServers 2\nServerLimit 2\nThreadLimit 64\nThreadsPerChild 64\n\
                     MaxRequestWorkers 128\nMinSpareThreads 1\nMaxSpareThreads 128";

/// As the configuration says that httpd and every distribution ship.
const NO_HTACCESS: &str = "<Directory />\nAllowOverride None\n</Directory>";

/// What the variants need that is not ours.
#[derive(Debug)]
pub struct Peers {
    /// mod_wsgi of PyPI.
    pub mod_wsgi: PathBuf,
    /// mod_wsgi of Debian.
    pub debian: PathBuf,
    /// A virtual environment with the frameworks and the other servers.
    pub venv: PathBuf,
    /// The bound's module.
    pub bound: PathBuf,
}

/// How a variant runs applications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file that httpd serves by itself.
    Static,
    /// A C module that answers hello.
    Bound,
    /// Our module.
    Ours(Mode),
    /// mod_wsgi of PyPI.
    Theirs(Mode),
    /// mod_wsgi of Debian.
    Debians(Mode),
    /// gunicorn without Apache.
    Gunicorn,
    /// Granian without Apache.
    Granian,
    /// gunicorn behind mod_proxy_http.
    ProxiedGunicorn,
    /// uWSGI behind mod_proxy_uwsgi.
    ProxiedUwsgi,
}

/// The variants by name, in the order of the tables.
pub const VARIANTS: &[(&str, Kind)] = &[
    ("static file", Kind::Static),
    ("C module", Kind::Bound),
    ("mod_wsgi_rs embedded", Kind::Ours(Mode::Embedded)),
    ("mod_wsgi 6.1.1 embedded", Kind::Theirs(Mode::Embedded)),
    ("mod_wsgi 4.9.4 embedded", Kind::Debians(Mode::Embedded)),
    ("mod_wsgi_rs daemon", Kind::Ours(Mode::Daemon)),
    ("mod_wsgi 6.1.1 daemon", Kind::Theirs(Mode::Daemon)),
    ("mod_wsgi 4.9.4 daemon", Kind::Debians(Mode::Daemon)),
    ("gunicorn", Kind::Gunicorn),
    ("Granian", Kind::Granian),
    ("mod_proxy_http to gunicorn", Kind::ProxiedGunicorn),
    ("mod_proxy_uwsgi to uWSGI", Kind::ProxiedUwsgi),
];

impl Kind {
    /// Whether it can do this workload: the bounds know few.
    pub fn answers(self, workload: &str) -> bool {
        match self {
            Kind::Static => matches!(workload, "hello" | "headers" | "whole" | "file"),
            Kind::Bound => matches!(workload, "hello" | "headers"),
            _ => true,
        }
    }
}

/// A running variant.
#[derive(Debug)]
pub struct Running {
    server: Option<Server>,
    peer: Option<Child>,
    /// Where it is asked.
    pub port: u16,
}

impl Running {
    /// Starts a variant with this script and waits until it listens.
    pub fn start(kind: Kind, script: Script, peers: &Peers) -> Running {
        let (peer, behind) = match kind {
            Kind::Gunicorn | Kind::ProxiedGunicorn => {
                let port = free_port().expect("a port");
                (Some(gunicorn(peers, script, port)), port)
            }
            Kind::Granian => {
                let port = free_port().expect("a port");
                (Some(granian(peers, script, port)), port)
            }
            Kind::ProxiedUwsgi => {
                let port = free_port().expect("a port");
                (Some(uwsgi(peers, script, port)), port)
            }
            _ => (None, 0),
        };
        if peer.is_some() {
            let address = ([127, 0, 0, 1], behind).into();
            wait::until_true("the peer listens", || listens(address));
        }
        let mut running = match configured(kind, script, peers, behind) {
            Some(builder) => Running::of(builder),
            None => Running {
                server: None,
                peer: None,
                port: behind,
            },
        };
        running.peer = peer;
        running
    }

    /// Starts a server of its own kind.
    pub fn of(builder: Builder) -> Running {
        let mut server = builder.start();
        // The load ends in the middle of responses, of which some variants complain.
        server.allow_log("");
        Running {
            port: server.address().port(),
            server: Some(server),
            peer: None,
        }
    }

    /// Its httpd, if it has one.
    pub fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    /// Every process of it.
    pub fn processes(&self) -> Vec<Process> {
        let mut all = Vec::new();
        if let Some(server) = &self.server {
            all.extend(server.processes());
        }
        if let Some(peer) = &self.peer {
            all.extend(process::of_server(peer.id(), Path::new("/nowhere")));
        }
        all
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(peer) = &mut self.peer {
            for process in process::of_server(peer.id(), Path::new("/nowhere")) {
                process.signal(libc::SIGKILL);
            }
            let _ = peer.wait();
        }
    }
}

/// httpd's configuration, if the variant has one.
pub fn configured(kind: Kind, script: Script, peers: &Peers, behind: u16) -> Option<Builder> {
    Some(match kind {
        Kind::Gunicorn | Kind::Granian => return None,
        Kind::Ours(_) | Kind::Theirs(_) | Kind::Debians(_) => {
            let file = script.file();
            hosting(kind, peers).directive(&format!("WSGIScriptAlias / @APPS@/{file}"))
        }
        Kind::Static => plain(None, Mode::Embedded).directive("Alias /file @ROOT@/htdocs/mib"),
        Kind::Bound => plain(None, Mode::Embedded).directive(&format!(
            "LoadModule bound_module {}\nSetHandler bound",
            peers.bound.display()
        )),
        Kind::ProxiedGunicorn => plain(None, Mode::Embedded)
            .modules(&["proxy", "proxy_http"])
            .directive(&format!(
                "ProxyPass / http://127.0.0.1:{behind}/ keepalive=On\nSetEnv proxy-nokeepalive 0"
            )),
        Kind::ProxiedUwsgi => plain(None, Mode::Embedded)
            .modules(&["proxy", "proxy_uwsgi"])
            .directive(&format!("ProxyPass / uwsgi://127.0.0.1:{behind}/")),
    })
}

/// The same of a variant that hosts applications, which are still to be mapped.
pub fn hosting(kind: Kind, peers: &Peers) -> Builder {
    let (module, mode) = match kind {
        Kind::Theirs(mode) => (peers.mod_wsgi.clone(), mode),
        Kind::Debians(mode) => (peers.debian.clone(), mode),
        Kind::Ours(mode) => (module(), mode),
        _ => (module(), Mode::Embedded),
    };
    let home = peers.venv.display();
    let builder = plain(Some(module), mode).directive(
        "WSGISocketPrefix @ROOT@/run/wsgi\nWSGIEnableSendfile On\nEnableSendfile On\n\
         WSGIApplicationGroup %{GLOBAL}",
    );
    match mode {
        Mode::Daemon => builder.daemon(&daemon_options(peers)),
        Mode::Embedded => builder.directive(&format!("WSGIPythonHome {home}")),
    }
}

/// The options of every process group that is measured.
pub fn daemon_options(peers: &Peers) -> String {
    format!("processes=2 threads=8 python-home={}", peers.venv.display())
}

fn plain(module: Option<PathBuf>, mode: Mode) -> Builder {
    Server::builder(mode)
        .module_under_test(module)
        .sizes(SIZES)
        .directive("LogLevel notice")
        .directive(NO_HTACCESS)
        .file("htdocs/hello", "Hello World!")
        .file("htdocs/mib", &"m".repeat(1 << 20))
        .file("htdocs/whole", &"m".repeat(1 << 20))
        .alone()
}

/// The script as a module that other servers import, with the file that it serves.
fn importable(script: Script) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("wsgi-bench-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("the temporary directory is writable");
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("apps")
        .join(script.file());
    fs::copy(source, directory.join("bench_app.py")).expect("the application is there");
    fs::write(directory.join("mib"), "m".repeat(1 << 20)).expect("just made");
    directory
}

fn start(mut command: Command, directory: &Path) -> Child {
    command
        .current_dir(directory)
        .env("BENCH_FILE", directory.join("mib"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn gunicorn(peers: &Peers, script: Script, port: u16) -> Child {
    let mut command = Command::new(peers.venv.join("bin/gunicorn"));
    command
        .args([
            "--workers",
            "2",
            "--threads",
            "8",
            "--worker-class",
            "gthread",
        ])
        .args(["--keep-alive", "60", "--bind"])
        .arg(format!("127.0.0.1:{port}"))
        .arg("bench_app:application");
    start(command, &importable(script))
}

fn granian(peers: &Peers, script: Script, port: u16) -> Child {
    let mut command = Command::new(peers.venv.join("bin/granian"));
    command
        .args([
            "--interface",
            "wsgi",
            "--workers",
            "2",
            "--blocking-threads",
            "8",
        ])
        .args(["--no-ws", "--host", "127.0.0.1", "--port"])
        .arg(port.to_string())
        .arg("bench_app:application");
    start(command, &importable(script))
}

fn uwsgi(peers: &Peers, script: Script, port: u16) -> Child {
    let mut command = Command::new("uwsgi");
    command
        .args([
            "--plugin",
            "python3",
            "--master",
            "--processes",
            "2",
            "--threads",
            "8",
        ])
        .args([
            "--disable-logging",
            "--module",
            "bench_app",
            "--need-app",
            "--home",
        ])
        .arg(&peers.venv)
        .arg("--uwsgi-socket")
        .arg(format!("127.0.0.1:{port}"))
        .args(["--buffer-size", "32768", "--listen", "100"]);
    start(command, &importable(script))
}

/// Builds the bound's module into a directory of its own.
pub fn build_bound() -> Result<PathBuf, String> {
    let directory = std::env::temp_dir().join(format!("wsgi-bound-{}", std::process::id()));
    fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
    let source = directory.join("mod_bound.c");
    fs::write(&source, include_str!("mod_bound.c")).map_err(|error| error.to_string())?;
    let output = Command::new("apxs")
        .arg("-c")
        .arg(&source)
        .current_dir(&directory)
        .output()
        .map_err(|error| format!("apxs: {error}"))?;
    let module = directory.join(".libs/mod_bound.so");
    if !output.status.success() || !module.is_file() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(module)
}
