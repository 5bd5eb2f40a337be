//! The recorded bounds: `tests/instructions`, a line for each hot path, and for which versions of the
//! tools they hold.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::versions::Versions;

/// What a recorded bound allows above what was measured, in percent: more than the same code varies by.
/// None where a count says less about the code than about the machine: how often a child waits for the
/// next of many pieces, and a daemon for room, depends on the pace of both. On one processor, or a busy
/// one, that is up to 1.7 times as much.
fn headroom((mode, workload, part): &Key) -> Option<u64> {
    match (&**mode, &**workload, &**part) {
        ("daemon", "chunks", _) => None,
        // The same, with few pieces.
        ("daemon", "file" | "echo64", "module") => Some(20),
        _ => Some(4),
    }
}

const HEAD: &str = "\
# At most so many instructions a request, in user space: mode, workload, whose. Counted by callgrind on
# servers with one process and thread each (tests/src/bin/wsgi-instructions). A compiler, a Python or an
# httpd of another version makes other counts, so they bind only where the versions are these; elsewhere
# they are shown. Recorded with some headroom by `./ci/instructions record`: say in the commit why.
";

/// One count: mode, workload and part.
pub type Key = (String, String, String);

/// The file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    versions: Versions,
    allowed: BTreeMap<Key, u64>,
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions")
}

impl Bounds {
    /// Bounds for what was measured, where it can be bounded.
    pub fn of(versions: Versions, measured: &BTreeMap<Key, u64>) -> Bounds {
        let bound = |(key, count): (&Key, &u64)| {
            let percent = headroom(key)?;
            Some((key.clone(), count + count * percent / 100))
        };
        Bounds {
            versions,
            allowed: measured.iter().filter_map(bound).collect(),
        }
    }

    /// Reads the file.
    pub fn read() -> Result<Bounds, String> {
        let path = path();
        let text = fs::read_to_string(&path);
        let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
        parse(&text).ok_or_else(|| format!("{} cannot be understood", path.display()))
    }

    /// Writes the file.
    pub fn write(&self) -> Result<(), String> {
        fs::write(path(), self.text()).map_err(|error| error.to_string())
    }

    fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        for (tool, version) in &self.versions.0 {
            text.push_str(&format!("{tool}: {version}\n"));
        }
        for ((mode, workload, part), allowed) in &self.allowed {
            text.push_str(&format!("{mode} {workload} {part} {allowed}\n"));
        }
        text
    }

    /// Whether they were recorded with these versions.
    pub fn hold_for(&self, versions: &Versions) -> bool {
        self.versions == *versions
    }

    /// What may be executed; `None` for what is shown only. A count that the file has lost is allowed
    /// nothing.
    pub fn allowed(&self, key: &Key) -> Option<u64> {
        headroom(key)?;
        Some(self.allowed.get(key).copied().unwrap_or(0))
    }
}

fn parse(text: &str) -> Option<Bounds> {
    let mut bounds = Bounds::default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some((tool, version)) = line.split_once(": ") {
            bounds
                .versions
                .0
                .insert(tool.to_owned(), version.to_owned());
            continue;
        }
        let words: Vec<&str> = line.split(' ').collect();
        let [mode, workload, part, allowed] = words[..] else {
            return None;
        };
        let key = [mode, workload, part].map(str::to_owned).into();
        bounds.allowed.insert(key, allowed.parse().ok()?);
    }
    Some(bounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let key: Key = ["daemon", "hello", "module"].map(str::to_owned).into();
        let versions = Versions([("rustc".to_owned(), "1.88.0 (x y)".to_owned())].into());
        let bounds = Bounds::of(versions, &[(key.clone(), 1000)].into());
        assert_eq!(parse(&bounds.text()), Some(bounds));
        assert_eq!(parse("daemon hello 3"), None);
    }

    #[test]
    fn what_the_machine_decides_has_no_bound() {
        let key: Key = ["daemon", "chunks", "module"].map(str::to_owned).into();
        let bounds = Bounds::of(Versions::default(), &[(key.clone(), 1000)].into());
        assert_eq!(bounds, Bounds::default());
        assert_eq!(bounds.allowed(&key), None);
    }

    #[test]
    fn a_bound_that_is_lost_allows_nothing() {
        let key: Key = ["daemon", "hello", "module"].map(str::to_owned).into();
        assert_eq!(Bounds::default().allowed(&key), Some(0));
    }
}
