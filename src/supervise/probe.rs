//! Whether the interpreters that `python-home` names can run daemons, asked of themselves.
//!
//! Runs in the parent, under `configtest` only: a server must start although one of its groups
//! cannot, whose daemons then say why. Each interpreter is executed as the group's user, never as
//! root unless that is who asks, with nothing open but the pipe on which it tells its version; all
//! at once, and for some seconds at most.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use thiserror::Error;
use wsgi_config::python_home::{OLDEST, parse_version};
use wsgi_unix::spawn::{Command, Identity, Step};
use wsgi_unix::{accounts, pipe, process, socket};
use wsgi_wire::launch::template::has_key;
use wsgi_wire::launch::{DEFAULT_PYTHON, GroupSpec, HOME_INTERPRETERS, SEARCH_PATH};

use super::plan::Plan;

/// How long all interpreters together may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tells version and flags of the build. Every Python, however old, must understand it.
const QUESTION: &str =
    "import sys;sys.stdout.write('%d.%d %s!'%(sys.version_info[:2]+(getattr(sys,'abiflags',''),)))";

/// More than an answer has bytes.
const LONGEST_ANSWER: u64 = 64;

/// Why an interpreter cannot run a group.
#[derive(Debug, Error)]
pub enum Unfit {
    /// There is none.
    #[error("there is no {}", all(programs))]
    Missing {
        /// The paths where it could be.
        programs: Vec<PathBuf>,
    },
    /// The group's root directory lacks this module's files.
    #[error(
        "there is no {}: with chroot the gateway and the Python package beside it are needed there \
         too, copied or mounted",
        path.display()
    )]
    NoGateway {
        /// The path as Apache sees it.
        path: PathBuf,
    },
    /// It cannot be executed.
    #[error("{error}: {}", error.source)]
    Start {
        /// The step and why.
        error: wsgi_unix::spawn::StartError,
    },
    /// It is too old.
    #[error("{} is Python {}.{}, and {}.{} or later is needed", program.display(), version.0, version.1, OLDEST.0, OLDEST.1)]
    Old {
        /// The interpreter.
        program: PathBuf,
        /// Major and minor.
        version: (u32, u32),
    },
    /// It is a build for free threads.
    #[error("{} is a free-threaded build of Python {}.{}, which mod_wsgi_rs cannot use", program.display(), version.0, version.1)]
    FreeThreaded {
        /// The interpreter.
        program: PathBuf,
        /// Major and minor.
        version: (u32, u32),
    },
    /// It told no version.
    #[error("{} does not tell its version: is it a Python that works?", program.display())]
    Mute {
        /// The interpreter.
        program: PathBuf,
    },
    /// It did not end in time, or the question could not be asked: it may be fit all the same.
    #[error("{} could not be asked for its version: {source}", program.display())]
    Unknown {
        /// The interpreter.
        program: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

impl Unfit {
    /// Whether that is all that is known.
    pub fn is_doubt(&self) -> bool {
        matches!(self, Unfit::Unknown { .. })
    }
}

fn all(programs: &[PathBuf]) -> String {
    let shown: Vec<_> = programs
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    shown.join(" and no ")
}

/// What is asked only once however many groups share it: the interpreter's home and who runs it.
type Key = (Option<Vec<u8>>, Option<(u32, u32)>, Option<Vec<u8>>);

/// Asks the interpreters of all groups, and looks for the library `gateway` where a group has a root
/// directory of its own; answers the definitions of groups with what is wrong.
pub fn unfit(plan: &Plan, gateway: &Path) -> Vec<(String, Unfit)> {
    let mut asked: HashMap<Key, Result<Question, Unfit>> = HashMap::new();
    let mut first_groups = Vec::new();
    // Where a key says which interpreter, or who executes it, there is nobody to ask yet.
    let fixed = plan.templates.iter().filter(|template| {
        let spec = &template.group.spec;
        let mut paths = spec.python_home.iter().chain(&spec.process.chroot);
        template.spec.user.is_none() && !paths.any(|path| has_key(path))
    });
    let fixed = fixed.map(|template| &template.group);
    for group in plan.groups.iter().chain(fixed) {
        let spec = &group.spec;
        if spec.python_home.is_none() && spec.process.chroot.is_none() {
            continue;
        }
        let who = spec.identity.as_ref().map(|who| (who.uid, who.gid));
        let key = (spec.python_home.clone(), who, spec.process.chroot.clone());
        asked.entry(key.clone()).or_insert_with(|| {
            first_groups.push((group.options.definition(), key));
            ask_inside(spec, gateway)
        });
    }
    let deadline = Instant::now() + PATIENCE;
    let answer = |(name, key): (String, Key)| {
        let judged = match asked.remove(&key)? {
            Ok(question) => question.judge(deadline),
            Err(unfit) => Err(unfit),
        };
        judged.err().map(|unfit| (name, unfit))
    };
    first_groups.into_iter().filter_map(answer).collect()
}

/// An interpreter that was asked.
struct Question {
    program: PathBuf,
    pid: i32,
    answer: OwnedFd,
}

fn ask_inside(spec: &GroupSpec, gateway: &Path) -> Result<Question, Unfit> {
    if let Some(root) = &spec.process.chroot {
        let root = Path::new(OsStr::from_bytes(root));
        let inside = root.join(gateway.strip_prefix("/").unwrap_or(gateway));
        if !inside.exists() {
            return Err(Unfit::NoGateway { path: inside });
        }
    }
    let home = spec.python_home.as_deref();
    let home = home.map(|home| Path::new(OsStr::from_bytes(home)));
    match home {
        Some(home) => ask(spec, HOME_INTERPRETERS.map(|name| home.join(name)).into()),
        None => {
            let directories = SEARCH_PATH.split(':').map(Path::new);
            ask(
                spec,
                directories
                    .map(|directory| directory.join(DEFAULT_PYTHON))
                    .collect(),
            )
        }
    }
}

fn ask(spec: &GroupSpec, programs: Vec<PathBuf>) -> Result<Question, Unfit> {
    for program in programs.iter().cloned() {
        match ask_program(spec, program) {
            Err(Unfit::Start { error })
                if error.step == Step::Execute && error.source.kind() == ErrorKind::NotFound => {}
            result => return result,
        }
    }
    Err(Unfit::Missing { programs })
}

fn ask_program(spec: &GroupSpec, program: PathBuf) -> Result<Question, Unfit> {
    let unknown = |source| Unfit::Unknown {
        program: program.clone(),
        source,
    };
    let (answer, theirs) = pipe::pair().map_err(unknown)?;
    let nothing = File::options().read(true).write(true).open("/dev/null");
    let nothing = nothing.map_err(unknown)?;
    let identity = identity(spec).map_err(unknown)?;
    let mut command = Command::new(&program);
    command
        .argument("-E")
        .argument("-s")
        .argument("-S")
        .argument("-c")
        .argument(QUESTION)
        .descriptor(nothing.as_fd(), 0)
        .descriptor(theirs.as_fd(), 1)
        .descriptor(nothing.as_fd(), 2)
        .directory("/")
        .session()
        .parent_death_signal(libc::SIGKILL);
    if let Some(identity) = identity {
        command.identity(identity);
    }
    if let Some(root) = &spec.process.chroot {
        command.root(OsStr::from_bytes(root));
    }
    let pid = command.start().map_err(|error| Unfit::Start { error })?;
    Ok(Question {
        program,
        pid,
        answer,
    })
}

/// Whom the group's daemons will run as.
fn identity(spec: &GroupSpec) -> io::Result<Option<Identity>> {
    let Some(identity) = &spec.identity else {
        return Ok(None);
    };
    let groups = match &spec.process.supplementary_groups {
        Some(groups) => groups.0.clone(),
        None => accounts::supplementary_groups(&identity.name, identity.gid)?,
    };
    Ok(Some(Identity {
        uid: identity.uid,
        gid: identity.gid,
        groups,
    }))
}

impl Question {
    /// Takes the answer, and the process's end.
    fn judge(self, deadline: Instant) -> Result<(), Unfit> {
        let text = read_answer(self.answer, deadline);
        // A child of ours that nobody has reaped, and what it may have started: it has said what we
        // asked for, or will not. One that has ended already cannot be killed, which is as well.
        let _ = process::signal_group(self.pid, libc::SIGKILL);
        let ended = process::wait_for(self.pid);
        let program = self.program;
        let text = match text.and_then(|text| ended.map(|_| text)) {
            Ok(text) => text,
            Err(source) => return Err(Unfit::Unknown { program, source }),
        };
        let Some((version, flags)) = parse_version(&text) else {
            return Err(Unfit::Mute { program });
        };
        if version < OLDEST {
            return Err(Unfit::Old { program, version });
        }
        if flags.contains('t') {
            return Err(Unfit::FreeThreaded { program, version });
        }
        Ok(())
    }
}

/// Reads until the answer's end mark, the end of the pipe, or the deadline.
fn read_answer(pipe: OwnedFd, deadline: Instant) -> io::Result<String> {
    let mut file = File::from(pipe);
    let mut text = Vec::new();
    let mut byte = [0];
    while text.len() as u64 <= LONGEST_ANSWER && text.last() != Some(&b'!') {
        let left = deadline.saturating_duration_since(Instant::now());
        if !socket::wait_readable(file.as_fd(), Some(left))? {
            let late = "it did not answer within some seconds";
            return Err(io::Error::new(ErrorKind::TimedOut, late));
        }
        if file.read(&mut byte)? == 0 {
            break;
        }
        text.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}
