//! The recorded bounds: `tests/instructions`, a line for each hot path, and for which versions of the
//! tools they hold.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::versions::Versions;

/// What a recorded bound allows above what was measured, in percent: more than the same code varies by.
fn headroom((mode, workload, part): &Key) -> u64 {
    match (&**mode, &**workload, &**part) {
        // How often a child waits for the next piece depends on the pace of both.
        ("daemon", "chunks" | "file" | "echo64", "module") => 20,
        _ => 4,
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
    /// Bounds for what was measured.
    pub fn of(versions: Versions, measured: &BTreeMap<Key, u64>) -> Bounds {
        Bounds {
            versions,
            allowed: measured
                .iter()
                .map(|(key, count)| (key.clone(), count + count * headroom(key) / 100))
                .collect(),
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

    /// What may be executed.
    pub fn allowed(&self, key: &Key) -> Option<u64> {
        self.allowed.get(key).copied()
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
}
