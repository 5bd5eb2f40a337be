//! Where the machine keeps httpd, its modules, and the module under test.
//!
//! Asks `apxs`, once per test process.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What `apxs` says about the installed httpd.
#[derive(Debug)]
pub struct Apache {
    /// The server program.
    pub program: PathBuf,
    /// The directory of the loadable modules.
    pub modules: PathBuf,
    /// Whether the tests run as root, so that httpd changes its identity.
    pub as_root: bool,
}

/// The installed httpd.
pub fn apache() -> &'static Apache {
    static APACHE: OnceLock<Apache> = OnceLock::new();
    APACHE.get_or_init(|| Apache {
        program: PathBuf::from(apxs("SBINDIR")).join(apxs("PROGNAME")),
        modules: PathBuf::from(apxs("LIBEXECDIR")),
        as_root: is_root(),
    })
}

/// The module under test: `WSGI_COMPAT` names the C module, `WSGI_STAGE` the directory into which
/// `apxs/install --destdir` put ours.
pub fn module() -> PathBuf {
    if let Some(path) = compat() {
        return path;
    }
    let Some(stage) = env::var_os("WSGI_STAGE") else {
        panic!("WSGI_STAGE is not set: run ci/test, which builds and stages the module first");
    };
    let modules = apache().modules.strip_prefix("/").expect("absolute");
    let module = Path::new(&stage).join(modules).join("mod_wsgi_rs.so");
    assert!(
        module.is_file(),
        "{} is missing: run ci/test",
        module.display()
    );
    // Compared with paths that processes report, which have no symbolic links in them.
    module.canonicalize().expect("is there")
}

/// The C module's path when the suite runs against it.
pub fn compat() -> Option<PathBuf> {
    env::var_os("WSGI_COMPAT").map(PathBuf::from)
}

/// Tells that a test is about our own additions: it is passed over when the C module runs.
pub fn only_ours(why: &str) -> bool {
    let skip = compat().is_some();
    if skip {
        eprintln!("SKIPPED against the C module: {why}");
    }
    skip
}

/// What `apxs -q` says about a variable.
pub fn apxs(variable: &str) -> String {
    let program = env::var_os("APXS").unwrap_or_else(|| "apxs".into());
    let output = Command::new(&program)
        .args(["-q", variable])
        .output()
        .unwrap_or_else(|error| panic!("{program:?} (Debian: apache2-dev): {error}"));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn is_root() -> bool {
    // SAFETY: geteuid(2) has no arguments and cannot fail.
    unsafe { libc::geteuid() == 0 }
}
