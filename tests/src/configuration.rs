//! What a test's server is made of: its MPM, modules, scripts and directives.
//!
//! Written by the test thread into a fresh server root. `@ROOT@`, `@APPS@`, `@STATE@` and `@PORT@`
//! in directives stand for the server's own directories and port.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::apache::{apache, compat, module};
use crate::client::{Connection, Request};
use crate::memory_group::MemoryGroup;
use crate::server::Server;
use crate::turn::Turn;
use crate::validation;
use crate::wait;

/// Where the application runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// In httpd's children.
    Embedded,
    /// In the process group `app`: one process of four threads.
    Daemon,
}

/// httpd's multi-processing modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mpm {
    /// mpm_event.
    Event,
    /// mpm_prefork.
    Prefork,
    /// mpm_worker.
    Worker,
}

impl Mpm {
    fn module(self) -> &'static str {
        match self {
            Mpm::Event => "mpm_event",
            Mpm::Prefork => "mpm_prefork",
            Mpm::Worker => "mpm_worker",
        }
    }

    fn sizes(self) -> &'static str {
        match self {
            // One child, so that a test knows which process answers; more for old generations.
            Mpm::Event | Mpm::Worker => {
                "StartServers 1\nServerLimit 16\nThreadLimit 64\nThreadsPerChild 16\n\
                 MaxRequestWorkers 16\nMinSpareThreads 1\nMaxSpareThreads 32\n"
            }
            Mpm::Prefork => {
                "StartServers 2\nServerLimit 8\nMaxRequestWorkers 8\nMinSpareServers 1\n\
                 MaxSpareServers 4\n"
            }
        }
    }
}

/// A server to be.
#[derive(Debug)]
pub struct Builder {
    mode: Mode,
    mpm: Mpm,
    sizes: Option<String>,
    modules: Vec<String>,
    module_under_test: Option<PathBuf>,
    daemon_options: String,
    directives: Vec<String>,
    files: Vec<(String, String)>,
    user: Option<String>,
    open_files: Option<u32>,
    memory_group: Option<File>,
    under: Vec<String>,
    alone: bool,
}

impl Builder {
    /// A server whose applications run in this mode.
    pub fn new(mode: Mode) -> Builder {
        Builder {
            mode,
            mpm: Mpm::Event,
            sizes: None,
            modules: ["authz_core", "alias", "env", "mime", "dir", "setenvif"]
                .map(str::to_owned)
                .to_vec(),
            module_under_test: Some(module()),
            daemon_options: "processes=1 threads=4".to_owned(),
            directives: Vec::new(),
            files: Vec::new(),
            user: None,
            open_files: None,
            memory_group: None,
            under: Vec::new(),
            alone: false,
        }
    }

    /// Uses another MPM than event.
    pub fn mpm(mut self, mpm: Mpm) -> Builder {
        self.mpm = mpm;
        self
    }

    /// Replaces the directives that size the MPM.
    pub fn sizes(mut self, directives: &str) -> Builder {
        self.sizes = Some(directives.to_owned());
        self
    }

    /// Loads more of httpd's modules, named as in their files: `ssl`, `http2`.
    pub fn modules(mut self, names: &[&str]) -> Builder {
        self.modules
            .extend(names.iter().map(|name| (*name).to_owned()));
        self
    }

    /// Loads another module as `wsgi_module`; none at all with `None`.
    pub fn module_under_test(mut self, path: Option<PathBuf>) -> Builder {
        self.module_under_test = path;
        self
    }

    /// The options of the process group `app` in place of the usual ones.
    pub fn daemon(mut self, options: &str) -> Builder {
        self.daemon_options = options.to_owned();
        self
    }

    /// Maps a URL to the script of `tests/apps/<name>`.
    pub fn app(self, url: &str, name: &str) -> Builder {
        self.directive(&format!("WSGIScriptAlias {url} @APPS@/{name}/app.wsgi"))
    }

    /// Adds lines to the main server's configuration.
    pub fn directive(mut self, text: &str) -> Builder {
        self.directives.push(text.to_owned());
        self
    }

    /// Writes a file under the server root, whose content may use the `@…@` words too; a program if it
    /// begins with `#!`.
    pub fn file(mut self, path: &str, content: &str) -> Builder {
        self.files.push((path.to_owned(), content.to_owned()));
        self
    }

    /// Starts httpd as an ordinary user instead of the one the suite runs as.
    pub fn as_user(mut self, name: &str) -> Builder {
        self.user = Some(name.to_owned());
        self
    }

    /// Starts httpd with this soft limit of descriptors.
    pub fn open_files(mut self, soft: u32) -> Builder {
        self.open_files = Some(soft);
        self
    }

    /// Starts httpd, and so everything that it starts, in this control group.
    pub fn memory_group(mut self, group: &MemoryGroup) -> Builder {
        self.memory_group = Some(group.door().expect("the group is ours"));
        self
    }

    /// Starts httpd as an argument of another command, whose words may use the `@…@` words too.
    pub fn under(mut self, command: &[String]) -> Builder {
        self.under = command.to_vec();
        self
    }

    /// Runs while no other test runs a server.
    pub fn alone(mut self) -> Builder {
        self.alone = true;
        self
    }

    /// Writes the server root and starts httpd; panics with its message when it does not start.
    #[track_caller]
    pub fn start(self) -> Server {
        let turn = self.turn();
        Server::start(self.write(), turn)
    }

    /// The same, and how long it took from the start of httpd to the whole answer to a first request;
    /// `None` when none came.
    #[track_caller]
    pub fn start_and_ask(self, request: &Request) -> (Server, Option<Duration>) {
        let turn = self.turn();
        let site = self.write();
        Server::start_and(site, turn, |address| {
            let begun = Instant::now();
            let answered = || {
                let response = Connection::open(address).ok()?.roundtrip(request).ok()?;
                (response.status() == 200 && response.whole).then(|| begun.elapsed())
            };
            while begun.elapsed() < wait::DEADLINE {
                if let Some(took) = answered() {
                    return Some(took);
                }
                // What listens is up soon; a look costs less than what is measured.
                thread::sleep(Duration::from_micros(200));
            }
            None
        })
    }

    fn turn(&self) -> Turn {
        if self.alone {
            Turn::alone()
        } else {
            Turn::shared()
        }
    }

    /// Lets httpd check the configuration only: whether it is right, and all that was said.
    pub fn configtest(self) -> (bool, String) {
        let _turn = Turn::shared();
        let site = self.write();
        let port = crate::server::free_port().expect("a free port");
        site.write_configuration(port)
            .expect("the server root is ours");
        let output = site
            .command()
            .arg("-t")
            .output()
            .expect("httpd is installed");
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    fn write(self) -> Site {
        let root = fresh_root().expect("the temporary directory is writable");
        let site = Site {
            configuration: self.configuration(),
            user: self.user.clone(),
            open_files: self.open_files,
            memory_group: self.memory_group,
            under: self.under.clone(),
            root,
        };
        site.populate(&self.files).expect("the server root is ours");
        site
    }

    fn configuration(&self) -> String {
        let modules = &apache().modules;
        let mut text = String::from(
            "ServerRoot \"@ROOT@\"\nDefaultRuntimeDir \"@ROOT@/run\"\nPidFile \"@ROOT@/httpd.pid\"\n\
             ErrorLog \"@ROOT@/error_log\"\n\
             CoreDumpDirectory \"@STATE@\"\nLogLevel info\nServerName localhost\n\
             Listen 127.0.0.1:@PORT@\nTimeout 20\nMaxKeepAliveRequests 0\n",
        );
        for name in std::iter::once(self.mpm.module()).chain(self.modules.iter().map(|s| &**s)) {
            let path = modules.join(format!("mod_{name}.so"));
            text.push_str(&format!("LoadModule {name}_module {}\n", path.display()));
        }
        if let Some(path) = &self.module_under_test {
            text.push_str(&format!("LoadModule wsgi_module {}\n", path.display()));
            if compat().as_ref() == Some(path) {
                // Debian's run directory is compiled into it, and an ordinary user's test has
                // no business there.
                text.push_str("WSGISocketPrefix \"@ROOT@/run/wsgi\"\n");
            }
        }
        if apache().as_root && self.user.is_none() {
            text.push_str("User www-data\nGroup www-data\n");
        }
        text.push_str(self.sizes.as_deref().unwrap_or(self.mpm.sizes()));
        text.push_str("\nTypesConfig /dev/null\nDocumentRoot \"@ROOT@/htdocs\"\n");
        text.push_str("SetEnv TEST_STATE \"@STATE@\"\n");
        if self.mode == Mode::Daemon {
            let options = &self.daemon_options;
            text.push_str(&format!(
                "WSGIDaemonProcess app {options}\nWSGIProcessGroup app\n"
            ));
        }
        for directive in &self.directives {
            text.push_str(directive);
            text.push('\n');
        }
        text
    }
}

/// A written server root.
#[derive(Debug)]
pub struct Site {
    /// The server root.
    pub root: PathBuf,
    configuration: String,
    user: Option<String>,
    open_files: Option<u32>,
    memory_group: Option<File>,
    under: Vec<String>,
}

impl Site {
    /// Writes httpd.conf for this port.
    pub fn write_configuration(&self, port: u16) -> io::Result<()> {
        let text = self
            .expand(&self.configuration)
            .replace("@PORT@", &port.to_string());
        fs::write(self.root.join("httpd.conf"), text)
    }

    /// httpd with this root and configuration, in a clean environment.
    pub fn command(&self) -> Command {
        let program = &apache().program;
        let mut words: Vec<String> = Vec::new();
        if let Some(name) = &self.user {
            let identity = ["--reuid", name, "--regid", name, "--init-groups", "--"];
            words.push("setpriv".to_owned());
            words.extend(identity.map(str::to_owned));
        }
        words.extend(self.under.iter().map(|word| self.expand(word)));
        words.push(program.display().to_string());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        if let Some(soft) = self.open_files {
            lower_open_files(&mut command, soft);
        }
        if let Some(group) = &self.memory_group {
            let group = group.try_clone().expect("a descriptor");
            // SAFETY: one system call on a descriptor that the closure owns (signal-safety(7)).
            unsafe { command.pre_exec(move || (&group).write_all(b"0")) };
        }
        command.env_clear().env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/bin",
        );
        command.env("LANG", "C.UTF-8").current_dir("/");
        command
            .arg("-d")
            .arg(&self.root)
            .arg("-f")
            .arg(self.root.join("httpd.conf"));
        command
    }

    fn populate(&self, files: &[(String, String)]) -> io::Result<()> {
        for directory in ["run", "htdocs", "apps", "state"] {
            fs::create_dir(self.root.join(directory))?;
        }
        // Applications of any user leave their marks there.
        set_mode(&self.root.join("state"), 0o777)?;
        copy_tree(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("apps"),
            &self.root.join("apps"),
        )?;
        for (path, content) in files {
            let path = self.root.join(path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(&path, self.expand(content))?;
            if content.starts_with("#!") {
                set_mode(&path, 0o755)?;
            }
        }
        match &self.user {
            Some(name) => give(&self.root, name),
            None => Ok(()),
        }
    }

    fn expand(&self, text: &str) -> String {
        let root = self.root.display().to_string();
        text.replace("@ROOT@", &root)
            .replace("@APPS@", &format!("{root}/apps"))
            .replace("@STATE@", &format!("{root}/state"))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("WSGI_KEEP").is_some() {
            eprintln!("kept: {}", self.root.display());
            return;
        }
        // What a failed test's process still writes into may stay behind.
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// Gives a command this soft limit of descriptors when it runs.
fn lower_open_files(command: &mut Command, soft: u32) {
    let lower = move || {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: room for one `struct rlimit`.
        unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
        limit.rlim_cur = soft.into();
        // SAFETY: one `struct rlimit`, which the call only reads.
        match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: two system calls on memory of the closure's own (signal-safety(7)).
    unsafe { command.pre_exec(lower) };
}

/// A new directory that httpd's user can pass through.
fn fresh_root() -> io::Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("wsgi-test-{}-{number}", std::process::id());
        // Not TMPDIR, which may be private to us, and short, since socket paths have to be.
        let root = Path::new("/tmp").join(name);
        match fs::create_dir(&root) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            other => other?,
        }
        set_mode(&root, 0o755)?;
        return Ok(root);
    }
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn give(path: &Path, user: &str) -> io::Result<()> {
    let status = Command::new("chown")
        .args(["-R", user])
        .arg(path)
        .status()?;
    status
        .success()
        .then_some(())
        .ok_or(io::ErrorKind::PermissionDenied.into())
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            if validation::wanted() {
                validation::wrap(&target)?;
            }
        }
    }
    Ok(())
}
