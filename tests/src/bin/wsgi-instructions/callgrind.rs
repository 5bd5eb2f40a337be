//! callgrind: how processes are put under it, and what they write about each request.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::ops::{AddAssign, Range};
use std::path::Path;

use wsgi_tests::Mode;

/// Instructions by the object that they belong to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// mod_wsgi_rs.so.
    pub module: u64,
    /// The gateway.
    pub gateway: u64,
    /// The interpreter, a program or a library.
    pub python: u64,
    /// All of the processes' user space.
    pub everything: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.module += other.module;
        self.gateway += other.gateway;
        self.python += other.python;
        self.everything += other.everything;
    }
}

/// Called once in each request in whichever process the library is in, never inlined: httpd calls the one
/// and Python the other.
const IN_MODULE: &str = "*::lifecycle::on_translate_name";
const IN_GATEWAY: &str = "*::start_response::start_response";

/// What a program of this mode's server is put behind: httpd, and a daemon's Python. Each process that
/// serves requests writes a file into the server's state directory when it meets one: about all that
/// it has executed since it met the last one.
pub fn command(mode: Mode) -> Vec<String> {
    let mut words = vec![
        "/usr/bin/valgrind".to_owned(),
        "--tool=callgrind".to_owned(),
        "--dump-line=no".to_owned(),
        "--log-file=/dev/null".to_owned(),
        "--callgrind-out-file=@STATE@/callgrind.%p".to_owned(),
        format!("--dump-before={IN_MODULE}"),
    ];
    if mode == Mode::Daemon {
        words.push(format!("--dump-before={IN_GATEWAY}"));
    }
    words
}

/// The counts of one process, request by request.
pub type Requests = Vec<Counts>;

/// What all processes have written that have met so many requests. The first count of a process is that
/// of everything before its first request.
pub fn read(directory: &Path, requests: usize) -> Result<Vec<Requests>, String> {
    let mut processes: BTreeMap<u32, BTreeMap<usize, Counts>> = BTreeMap::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // callgrind.<pid>.<number>; what a process writes at its end has no number.
        let mut words = name.split('.').skip(1).map(str::parse::<u32>);
        let (Some(Ok(pid)), Some(Ok(number))) = (words.next(), words.next()) else {
            continue;
        };
        let text = fs::read_to_string(entry.path()).map_err(|error| error.to_string())?;
        let counts = processes.entry(pid).or_default();
        counts.insert(number as usize, by_object(&text));
    }
    let whole = processes
        .into_values()
        .map(|counts| counts.into_values().collect::<Requests>())
        .filter(|counts| counts.len() == requests);
    Ok(whole.collect())
}

/// What one of these requests costs in all processes together when nothing comes between: the lower
/// quarter's bound, since one that finds nothing to read yet has to wait, which costs more.
pub fn undisturbed(processes: &[Requests], requests: Range<usize>) -> Counts {
    let mut sum = Counts::default();
    for counts in processes {
        let counts = &counts[requests.clone()];
        let quarter = |part: fn(&Counts) -> u64| {
            let mut values: Vec<u64> = counts.iter().map(part).collect();
            values.sort_unstable();
            values[values.len() / 4]
        };
        sum += Counts {
            module: quarter(|counts| counts.module),
            gateway: quarter(|counts| counts.gateway),
            python: quarter(|counts| counts.python),
            everything: quarter(|counts| counts.everything),
        };
    }
    sum
}

/// Sums the costs of a dump (valgrind's manual, "Callgrind Format Specification"): lines of costs belong
/// to the last object named, but the one after `calls=` repeats what stands in the called function.
fn by_object(text: &str) -> Counts {
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut counts = Counts::default();
    let mut object = "";
    let mut repeated = false;
    for line in text.lines() {
        if let Some((key, value)) = line.split_once('=') {
            if key == "ob" || key == "cob" {
                // `(3) /path` defines the number, `(3)` uses it.
                let (number, name) = value.split_once(' ').unwrap_or((value, ""));
                if !name.is_empty() {
                    names.insert(number, name);
                }
                if key == "ob" {
                    object = names.get(number).copied().unwrap_or_default();
                }
            }
            repeated = key == "calls";
            continue;
        }
        let begins =
            line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first));
        if !begins {
            continue;
        }
        if std::mem::take(&mut repeated) {
            continue;
        }
        let cost = line.split_ascii_whitespace().nth(1);
        let cost: u64 = cost.and_then(|cost| cost.parse().ok()).unwrap_or(0);
        counts.everything += cost;
        if let Some(part) = counts.part_of(object) {
            *part += cost;
        }
    }
    counts
}

impl Counts {
    fn part_of(&mut self, object: &str) -> Option<&mut u64> {
        let (_, file) = object.rsplit_once('/')?;
        if file == "mod_wsgi_rs.so" {
            Some(&mut self.module)
        } else if file.starts_with("_wsgi_gateway") {
            Some(&mut self.gateway)
        } else if file.starts_with("libpython") || file.starts_with("python") {
            Some(&mut self.python)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, by_object};

    #[test]
    fn costs_belong_to_the_object_named_before_them() {
        let dump = "events: Ir\n\nob=(1) /x/mod_wsgi_rs.so\nfn=(1) one\n0 10\ncob=(2) /y/_wsgi_gateway.abi3.so\n\
                    cfn=(2) two\ncalls=3 0\n0 500\n0 5\n\nob=(2)\nfn=(2)\n0 70\n\nob=(3) /usr/bin/python3.11\n\
                    fn=(3) three\n0 200\n\nob=(4) /lib/libc.so.6\nfn=(4) four\n0 1000\n\ntotals: 1285\n";
        let counts = Counts {
            module: 15,
            gateway: 70,
            python: 200,
            everything: 1285,
        };
        assert_eq!(by_object(dump), counts);
    }
}
