//! The environment of a daemon: nothing of httpd's but where it is and how it speaks, then what
//! the group's options `env-file` and `env` say.
//!
//! Runs in the process that is about to become a daemon, so that a file's new content counts for it and
//! a slow file system holds up nobody else. Variables hold secrets: no message quotes a value.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use thiserror::Error;
use wsgi_config::env_file::{self, EnvFileError, Variable};
use wsgi_unix::accounts::Account;
use wsgi_unix::rights;
use wsgi_unix::spawn::Identity;
use wsgi_wire::launch::{GroupSpec, SEARCH_PATH};

/// The longest env-file that is read, bytes: what all arguments and variables of a program may
/// have together is of that order.
const MAX_FILE: u64 = 1 << 20;

/// Why a daemon has no environment.
#[derive(Debug, Error)]
pub enum EnvironmentError {
    /// A file cannot be read.
    #[error("cannot read the env-file {path} for {reader}")]
    Read {
        path: String,
        reader: String,
        #[source]
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("the env-file {path} is refused")]
    Parse {
        path: String,
        #[source]
        source: EnvFileError,
    },
}

/// Variables by name; a later value takes an earlier one's place.
#[derive(Debug, Default)]
struct Environment(Vec<Variable>);

impl Environment {
    fn set(&mut self, name: &[u8], value: &[u8]) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value.to_vec(),
            None => self.0.push((name.to_vec(), value.to_vec())),
        }
    }
}

/// The variables of the group's next process. `own_account` is that of groups without an identity,
/// `locale` the server's.
pub fn of_group(
    spec: &GroupSpec,
    identity: Option<&Identity>,
    own_account: Option<&Account>,
    locale: &[Variable],
) -> Result<Vec<Variable>, EnvironmentError> {
    let mut environment = Environment::default();
    set_defaults(&mut environment, spec, own_account, locale);
    for path in &spec.process.environment_files.0 {
        for (name, value) in read_file(path, identity)? {
            environment.set(&name, &value);
        }
    }
    for variable in &spec.process.environment.0 {
        environment.set(&variable.name, &variable.value);
    }
    Ok(environment.0)
}

fn set_defaults(
    environment: &mut Environment,
    spec: &GroupSpec,
    own_account: Option<&Account>,
    locale: &[Variable],
) {
    environment.set(b"PATH", SEARCH_PATH.as_bytes());
    let account = match (&spec.identity, own_account) {
        (Some(identity), _) => Some((&identity.name, &identity.home)),
        (None, Some(own)) => Some((&own.name, &own.home)),
        (None, None) => None,
    };
    if let Some((name, home)) = account {
        environment.set(b"HOME", home);
        environment.set(b"USER", name);
        environment.set(b"LOGNAME", name);
    }
    for (name, value) in spec.python.variables() {
        environment.set(name.as_bytes(), value);
    }
    // LC_ALL and the LC_ variables outrank LANG, so an option replaces all of the server's.
    let replaced = spec.daemon.lang.is_some() || spec.daemon.locale.is_some();
    for (name, value) in locale {
        if !replaced || name == b"TZ" {
            environment.set(name, value);
        }
    }
    for (name, value) in [("LANG", &spec.daemon.lang), ("LC_ALL", &spec.daemon.locale)] {
        if let Some(value) = value {
            environment.set(name.as_bytes(), value);
        }
    }
}

fn read_file(path: &[u8], identity: Option<&Identity>) -> Result<Vec<Variable>, EnvironmentError> {
    let shown = || String::from_utf8_lossy(path).into_owned();
    let file = Path::new(OsStr::from_bytes(path));
    let content = rights::read_for(identity, file, MAX_FILE);
    let content = content.map_err(|source| EnvironmentError::Read {
        path: shown(),
        reader: identity.map_or("this user".into(), |who| format!("uid {}", who.uid)),
        source,
    })?;
    env_file::parse(&content).map_err(|source| EnvironmentError::Parse {
        path: shown(),
        source,
    })
}

/// LANG, TZ and the LC_ variables of this process, which httpd's parent passed on.
pub fn server_locale() -> Vec<Variable> {
    let wanted = |name: &[u8]| matches!(name, b"LANG" | b"TZ") || name.starts_with(b"LC_");
    std::env::vars_os()
        .map(|(name, value)| (name.into_vec(), value.into_vec()))
        .filter(|(name, _)| wanted(name))
        .collect()
}
