//! The Pythons of this machine that the gateway supports.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// A CPython, 3.10 or newer.
#[derive(Debug, Clone)]
pub struct Python {
    /// Major and minor version.
    pub version: (u32, u32),
    /// The interpreter.
    pub program: PathBuf,
}

/// Runs a test on every Python found: Debian's, and pyenv's.
pub fn each_python(test: impl Fn(&Python)) {
    for python in pythons() {
        eprintln!("on {}", python.program.display());
        test(python);
    }
}

/// One Python, for what does not depend on its version.
pub fn newest_python() -> &'static Python {
    let newest = pythons().iter().max_by_key(|python| python.version);
    newest.expect("there is a python3")
}

fn pythons() -> &'static [Python] {
    static FOUND: OnceLock<Vec<Python>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut programs = vec![PathBuf::from("/usr/bin/python3")];
        let root = env::var_os("PYENV_ROOT").map_or_else(
            || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".pyenv"),
            PathBuf::from,
        );
        let versions = fs::read_dir(root.join("versions")).into_iter().flatten();
        programs.extend(
            versions
                .flatten()
                .map(|entry| entry.path().join("bin/python3")),
        );
        let mut found: Vec<Python> = programs.into_iter().filter_map(probe).collect();
        found.sort_by_key(|python| python.version);
        assert!(!found.is_empty(), "no supported Python found");
        found
    })
}

fn probe(program: PathBuf) -> Option<Python> {
    let code = "import sys; print(*sys.version_info[:2])";
    let output = Command::new(&program)
        .args(["-I", "-c", code])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().split_once(' ')?;
    let version = (major.parse().ok()?, minor.parse().ok()?);
    (version >= (3, 10)).then_some(Python { version, program })
}
