//! A server root that `wsgi-express` wrote, and the server that its apachectl starts.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use wsgi_tests::apache::apxs;
use wsgi_tests::client::Response;
use wsgi_tests::curl;
use wsgi_tests::{Connection, Request, process, server, turn, wait};

use super::certificate;

/// The command of the stage under test.
pub fn express() -> Command {
    let stage = env::var_os("WSGI_STAGE").expect("WSGI_STAGE is not set: run ci/test");
    let bin = PathBuf::from(apxs("bindir"));
    let program = PathBuf::from(stage)
        .join(bin.strip_prefix("/").expect("absolute"))
        .join("wsgi-express");
    let mut command = Command::new(program);
    command
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .current_dir("/")
        .stdin(Stdio::null());
    command
}

/// Where Apache's user may read, unlike the directory of the checkout.
fn scratch() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = PathBuf::from(format!("/tmp/wsgi-express-{}-{number}", std::process::id()));
    fs::create_dir(&path).expect("a directory of our own");
    path
}

/// A server root written by setup-server, and the server that apachectl starts on it.
pub struct Site {
    /// Where its files are.
    pub directory: PathBuf,
    /// The port of plain HTTP.
    pub port: u16,
    /// The port for TLS, if options say so.
    pub https_port: u16,
    _turn: turn::Turn,
}

impl Site {
    /// Files that options may name, and two free ports.
    pub fn new() -> Site {
        let turn = turn::Turn::shared();
        let port = server::free_port().expect("a free port");
        let other = || server::free_port().expect("a free port");
        let https_port = wait::until("a second port", || Some(other()).filter(|new| *new != port));
        let site = Site {
            directory: scratch(),
            port,
            https_port,
            _turn: turn,
        };
        site.file("app.wsgi", include_str!("../../apps/hello/app.wsgi"));
        site
    }

    /// Writes a file that options may name; gives its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        let directory = path.parent().expect("below the scratch directory");
        fs::create_dir_all(directory).expect("a directory");
        fs::write(&path, text).expect("a file");
        path.display().to_string()
    }

    /// The path of such a file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The server root.
    pub fn root(&self) -> PathBuf {
        self.path("root")
    }

    /// Writes the server root of the script `app.wsgi`, or says why not.
    pub fn set_up(&self, options: &[&str]) -> Output {
        let script = self.path("app.wsgi").display().to_string();
        self.set_up_for(&[&[script.as_str()], options].concat())
    }

    /// Writes the server root of whatever these arguments name, or says why not.
    pub fn set_up_for(&self, arguments: &[&str]) -> Output {
        let mut command = express();
        command.args(["setup-server", "--host", "127.0.0.1", "--port"]);
        command.arg(self.port.to_string());
        command.arg("--server-root").arg(self.root());
        command.args(arguments).output().expect("it is staged")
    }

    /// Runs apachectl, which must succeed.
    #[track_caller]
    pub fn control(&self, arguments: &[&str]) -> String {
        let output = Command::new(self.root().join("apachectl"))
            .args(arguments)
            .output()
            .expect("apachectl can be run");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success(),
            "{arguments:?}: {said}\n{}",
            self.log()
        );
        said
    }

    /// Writes the server root and starts the server.
    #[track_caller]
    pub fn start(&self, options: &[&str]) {
        self.run(&self.set_up(options));
    }

    /// Starts the server whose root was written.
    #[track_caller]
    pub fn run(&self, written: &Output) {
        let said = String::from_utf8_lossy(&written.stderr);
        assert!(written.status.success(), "{said}");
        self.control(&["start"]);
        let address = self.address();
        wait::until_true("it listens", || server::listens(address));
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Asks as a client that calls the server `host`.
    #[track_caller]
    pub fn ask(&self, host: &str, request: &Request) -> Response {
        let request = request
            .clone()
            .header("Connection", "close")
            .header("Host", host);
        Connection::open(self.address())
            .and_then(|mut connection| connection.roundtrip(&request))
            .expect("an answer")
    }

    /// Sends a GET request for localhost.
    #[track_caller]
    pub fn get(&self, target: &str) -> Response {
        self.ask("localhost", &Request::get(target))
    }

    /// The text of a GET request's answer, which must be 200.
    #[track_caller]
    pub fn text(&self, target: &str) -> String {
        let response = self.get(target);
        assert_eq!(
            response.status(),
            200,
            "{target}: {}\n{}",
            response.text(),
            self.log()
        );
        response.text()
    }

    /// Asks by TLS as a client that calls the server `host`.
    #[track_caller]
    pub fn secure(&self, host: &str, target: &str, arguments: &[&str]) -> curl::Answer {
        let url = format!("https://{host}:{}{target}", self.https_port);
        let resolve = format!("{host}:{}:127.0.0.1", self.https_port);
        let mut all = vec!["--resolve", &resolve];
        all.extend(arguments);
        curl::fetch(&url, &all)
    }

    /// The error log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.root().join("error_log")).unwrap_or_default()
    }

    /// Options for TLS with a certificate of our own.
    pub fn tls(&self) -> Vec<String> {
        let pem = certificate();
        let certificate = self.file("site.crt", &pem);
        let stem = certificate.strip_suffix(".crt").expect("that name");
        self.file("site.key", &pem);
        vec![
            format!("--https-port={}", self.https_port),
            format!("--ssl-certificate={stem}"),
        ]
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let control = self.root().join("apachectl");
        if control.exists() {
            // It may have been stopped by the test, or never started.
            let _ = Command::new(control).arg("stop").output();
            let root = self.root();
            let ended = wait::within(Duration::from_secs(30), || {
                process::of_server(0, &root).is_empty().then_some(())
            });
            if ended.is_none() && !std::thread::panicking() {
                panic!("processes are left of {}", root.display());
            }
        }
        // A directory that stays behind harms no other test.
        let _ = fs::remove_dir_all(&self.directory);
    }
}
