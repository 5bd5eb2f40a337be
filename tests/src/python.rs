//! The Pythons of the machine, in places that httpd's user can read, and venvs on them.
//!
//! Debian's python3 is there always. pyenv's versions usually lie in a private home directory, so
//! each is copied once to a cache under /var/tmp; venvs are cached there too. A lock file makes
//! parallel tests, and parallel test processes, build each of them once.

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A CPython that httpd's user can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    /// Major and minor version: `3.12`.
    pub version: String,
    /// The interpreter.
    pub program: PathBuf,
}

/// What a venv holds beside pip.
#[derive(Debug, Clone, Copy)]
pub struct Packages {
    /// Names the set in the cache.
    pub name: &'static str,
    /// Requirements as pip takes them.
    pub requirements: &'static [&'static str],
}

/// Nothing.
pub const NONE: Packages = Packages {
    name: "bare",
    requirements: &[],
};
/// Flask.
pub const FLASK: Packages = Packages {
    name: "flask",
    requirements: &["flask"],
};
/// Django 5.
pub const DJANGO: Packages = Packages {
    name: "django5",
    requirements: &["django>=5,<6"],
};
/// NumPy as new as the Python takes.
pub const NUMPY: Packages = Packages {
    name: "numpy",
    requirements: &["numpy"],
};

/// Debian's Python and the newest of each minor version pyenv has, 3.10 and up, without doubles.
pub fn pythons() -> &'static [Python] {
    static PYTHONS: OnceLock<Vec<Python>> = OnceLock::new();
    PYTHONS.get_or_init(|| {
        let mut found = vec![debian()];
        for source in pyenv_versions() {
            match copy_of(&source) {
                Ok(python) if found.iter().all(|p| p.version != python.version) => {
                    found.push(python);
                }
                Ok(_) => {}
                Err(error) => eprintln!("SKIPPED {}: {error}", source.display()),
            }
        }
        found
    })
}

/// A Python whose minor version fits; says so when none is here.
pub fn python_with(fits: impl Fn(u32) -> bool) -> Option<&'static Python> {
    let minor = |python: &Python| python.version.strip_prefix("3.")?.parse().ok();
    let mut pythons = pythons().iter();
    let found = pythons.find(|python| minor(python).is_some_and(&fits));
    if found.is_none() {
        eprintln!("SKIPPED: no such Python is here");
    }
    found
}

/// Debian's Python.
pub fn debian() -> Python {
    let program = PathBuf::from("/usr/bin/python3");
    let version = version_of(&program).expect("Debian's python3 is installed");
    Python { version, program }
}

/// A venv of this Python with these packages, from the cache or made now.
#[track_caller]
pub fn venv(python: &Python, packages: Packages) -> PathBuf {
    let name = format!("venv-{}-{}", python.version, packages.name);
    let made = cached(&name, |directory| {
        let mut create = Command::new(&python.program);
        run(create.args(["-m", "venv"]).arg(directory))?;
        if !packages.requirements.is_empty() {
            let mut install = Command::new(directory.join("bin/python"));
            install
                .args(["-m", "pip", "install", "--quiet"])
                .args(packages.requirements);
            run(&mut install)?;
        }
        Ok(())
    });
    made.unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What this interpreter prints for a piece of Python.
pub fn evaluate(program: &Path, code: &str) -> io::Result<String> {
    let output = Command::new(program).args(["-I", "-c", code]).output()?;
    if !output.status.success() {
        return Err(io::Error::other(
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn version_of(program: &Path) -> io::Result<String> {
    evaluate(program, "import sys; print('%d.%d' % sys.version_info[:2])")
}

/// pyenv's directories of CPython 3.10 and up, newest first.
fn pyenv_versions() -> Vec<PathBuf> {
    let home = env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
    let root = env::var_os("PYENV_ROOT").map_or_else(|| home.join(".pyenv"), PathBuf::from);
    let mut versions: Vec<(u32, u32, PathBuf)> = fs::read_dir(root.join("versions"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let mut parts = name.strip_prefix("3.")?.split('.').map(str::parse::<u32>);
            let (minor, patch) = (parts.next()?.ok()?, parts.next()?.ok()?);
            (minor >= 10).then(|| (minor, patch, entry.path()))
        })
        .collect();
    versions.sort();
    versions.reverse();
    versions.into_iter().map(|(_, _, path)| path).collect()
}

/// A copy that runs from the cache: without what was installed into it, and with a library path
/// relative to itself.
fn copy_of(source: &Path) -> io::Result<Python> {
    let name = source
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let minor: String = name.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    let home = cached(&format!("python-{name}"), |directory| {
        fs::create_dir(directory)?;
        let script = "tar -C \"$1\" --exclude=site-packages --exclude='./lib/python*/test' \
                      -cf - . | tar -C \"$2\" -xf -";
        run(Command::new("sh")
            .args(["-ec", script, "sh"])
            .arg(source)
            .arg(directory))?;
        fs::create_dir_all(directory.join(format!("lib/python{minor}/site-packages")))?;
        let program = directory.join(format!("bin/python{minor}"));
        run(Command::new("patchelf")
            .args(["--set-rpath", "$ORIGIN/../lib"])
            .arg(&program))
    })?;
    let program = home.join(format!("bin/python{minor}"));
    readable_by_apache(&program)?;
    Ok(Python {
        version: version_of(&program)?,
        program,
    })
}

/// Tries the interpreter as httpd's user, when we may.
fn readable_by_apache(program: &Path) -> io::Result<()> {
    if !crate::apache::apache().as_root {
        return Ok(());
    }
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=www-data",
        "--regid=www-data",
        "--clear-groups",
        "--",
    ]);
    run(command.arg(program).args(["-I", "-c", ""]))
}

/// A directory of the cache, made by `make` unless it is there.
fn cached(name: &str, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<PathBuf> {
    let cache = cache()?;
    let directory = cache.join(name);
    let lock = File::create(cache.join(format!("{name}.lock")))?;
    // SAFETY: flock(2) on a descriptor that `lock` keeps open; closing it gives the lock back.
    let locked = unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX) };
    if locked != 0 {
        return Err(io::Error::last_os_error());
    }
    let complete = cache.join(format!("{name}.complete"));
    if !complete.exists() {
        let _ = fs::remove_dir_all(&directory);
        make(&directory)?;
        File::create(complete)?;
    }
    Ok(directory)
}

fn cache() -> io::Result<PathBuf> {
    let user = fs::metadata("/proc/self").map(|m| std::os::unix::fs::MetadataExt::uid(&m))?;
    let cache = PathBuf::from(format!("/var/tmp/mod_wsgi_rs-tests-{user}"));
    fs::create_dir_all(&cache)?;
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o755))?;
    Ok(cache)
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.env_remove("PYTHONPATH").output()?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(io::Error::other(format!("{command:?}: {errors}")))
}
