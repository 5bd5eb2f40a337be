//! Where Apache, its modules and our own module are on this machine.
//!
//! Runs once at the start of a command. It only looks: nothing found here is executed, except
//! `apxs`, which knows best for an Apache that was built by hand.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The file every Apache loads us from.
const MODULE: &str = "mod_wsgi_rs.so";

/// Where Apache's modules are, below the prefix that also holds our command.
const MODULE_DIRECTORIES: &[&str] = &[
    "lib/apache2/modules",
    "lib64/httpd/modules",
    "lib/httpd/modules",
    "lib64/apache2",
    "libexec/apache2",
    "modules",
];

/// Directories of server programs, which the PATH of an ordinary user may lack.
const PROGRAM_DIRECTORIES: &[&str] = &["/usr/sbin", "/usr/local/sbin", "/usr/local/apache2/bin"];

/// Something a server needs is not on this machine.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// No httpd program.
    #[error(
        "no Apache was found (apache2 or httpd); install it, or name it with --httpd-executable"
    )]
    Httpd,
    /// No directory with Apache's modules.
    #[error("the directory of Apache's modules was not found; name it with --modules-directory")]
    Modules,
    /// Our own module is not installed.
    #[error("{MODULE} was not found beside this command or in {}", .modules.display())]
    Module {
        /// The last directory that was searched.
        modules: PathBuf,
    },
}

/// The httpd program: `apache2` on Debian, `httpd` elsewhere.
pub fn httpd() -> Result<PathBuf, LocateError> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = env::split_paths(&path).collect();
    directories.extend(PROGRAM_DIRECTORIES.iter().map(PathBuf::from));
    directories
        .iter()
        .flat_map(|directory| [directory.join("apache2"), directory.join("httpd")])
        .find(|program| program.is_file())
        .ok_or(LocateError::Httpd)
}

/// The directory of Apache's own modules.
pub fn modules_directory() -> Result<PathBuf, LocateError> {
    ["/usr", "/usr/local", "/usr/local/apache2"]
        .iter()
        .flat_map(|prefix| below(Path::new(prefix)))
        .find(|directory| directory.join("mod_authz_core.so").is_file())
        .or_else(ask_apxs)
        .ok_or(LocateError::Modules)
}

/// Our module: beside this command's prefix, which may be a staged one, else among `modules`.
pub fn module(modules: &Path) -> Result<PathBuf, LocateError> {
    let command = env::current_exe().ok();
    let prefix = command
        .as_deref()
        .and_then(|command| command.parent()?.parent());
    prefix
        .into_iter()
        .flat_map(below)
        .chain([modules.to_owned()])
        .map(|directory| directory.join(MODULE))
        .find(|module| module.is_file())
        .ok_or_else(|| LocateError::Module {
            modules: modules.to_owned(),
        })
}

/// The program that rotates logs, which comes with `httpd`.
pub fn rotatelogs(httpd: &Path) -> Option<PathBuf> {
    let beside = httpd.parent().map(Path::to_owned);
    let path = env::var_os("PATH").unwrap_or_default();
    beside
        .into_iter()
        .chain(env::split_paths(&path).collect::<Vec<_>>())
        .chain([PathBuf::from("/usr/bin"), PathBuf::from("/usr/sbin")])
        .map(|directory| directory.join("rotatelogs"))
        .find(|program| program.is_file())
}

fn below(prefix: &Path) -> impl Iterator<Item = PathBuf> {
    MODULE_DIRECTORIES
        .iter()
        .map(|directory| prefix.join(directory))
}

fn ask_apxs() -> Option<PathBuf> {
    let apxs = env::var_os("APXS").unwrap_or_else(|| "apxs".into());
    let answer = Command::new(apxs)
        .args(["-q", "LIBEXECDIR"])
        .output()
        .ok()?;
    let directory = String::from_utf8(answer.stdout).ok()?;
    let directory = PathBuf::from(directory.trim());
    directory.is_dir().then_some(directory)
}
