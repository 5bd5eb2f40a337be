//! Whether the kernel has killed a process of ours because memory was short.
//!
//! Runs in the monitor. Its daemons are in its own control group, which counts the processes that
//! any out-of-memory killer took from it; a count that has grown when a process was killed tells
//! why. Without control groups nothing is known, and nothing is said.

use std::fs;
use std::path::{Path, PathBuf};

/// The count of the monitor's control group, and what it was when it was last looked at.
#[derive(Debug)]
pub struct MemoryKills {
    file: Option<PathBuf>,
    seen: u64,
}

impl MemoryKills {
    /// Finds the count of this process's control group.
    pub fn new() -> MemoryKills {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        MemoryKills::counted_in(counter(&groups, Path::new("/sys/fs/cgroup")))
    }

    fn counted_in(file: Option<PathBuf>) -> MemoryKills {
        let seen = file.as_deref().and_then(count).unwrap_or_default();
        MemoryKills { file, seen }
    }

    /// Whether the count has grown since it was last asked for.
    pub fn have_grown(&mut self) -> bool {
        let Some(now) = self.file.as_deref().and_then(count) else {
            return false;
        };
        std::mem::replace(&mut self.seen, now) < now
    }
}

/// The file with the count: `memory.events` of version 2, `memory.oom_control` of version 1
/// (cgroups(7)). In a container its own group may be the root of what it sees.
fn counter(groups: &str, root: &Path) -> Option<PathBuf> {
    let candidates = groups.lines().flat_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let controllers = fields.next().unwrap_or_default();
        let path = fields.next().unwrap_or_default().trim_start_matches('/');
        let (root, name) = match controllers {
            "" => (root.to_owned(), "memory.events"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.oom_control")
            }
            _ => return Vec::new(),
        };
        vec![root.join(path).join(name), root.join(name)]
    });
    candidates.into_iter().find(|file| count(file).is_some())
}

fn count(file: &Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let value = |line: &str| line.strip_prefix("oom_kill ")?.trim().parse().ok();
    text.lines().find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> PathBuf {
        let name = format!("wsgi-memory-kills-{}-{name}", std::process::id());
        let root = std::env::temp_dir().join(name);
        fs::create_dir_all(&root).unwrap();
        root
    }

    #[test]
    fn a_count_that_grows_is_told_once() {
        let root = place("grows");
        let file = root.join("memory.events");
        fs::write(&file, "low 0\noom 3\noom_kill 2\n").unwrap();
        let mut kills = MemoryKills::counted_in(Some(file.clone()));
        assert!(!kills.have_grown());
        fs::write(&file, "low 0\noom 4\noom_kill 3\n").unwrap();
        assert!(kills.have_grown());
        assert!(!kills.have_grown());
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn the_count_is_found_in_both_versions_of_control_groups_and_in_containers() {
        let root = place("found");
        let own = root.join("system.slice/apache2.service");
        fs::create_dir_all(&own).unwrap();
        assert_eq!(counter("0::/system.slice/apache2.service\n", &root), None);
        fs::write(root.join("memory.events"), "oom_kill 0\n").unwrap();
        let found = counter("0::/not/seen/from/here\n", &root);
        assert_eq!(found, Some(root.join("memory.events")));
        fs::write(own.join("memory.events"), "oom_kill 0\n").unwrap();
        let found = counter("0::/system.slice/apache2.service\n", &root);
        assert_eq!(found, Some(own.join("memory.events")));
        let old = root.join("memory/apache");
        fs::create_dir_all(&old).unwrap();
        fs::write(old.join("memory.oom_control"), "under_oom 0\noom_kill 1\n").unwrap();
        let found = counter("9:cpu:/x\n4:hugetlb,memory:/apache\n", &root);
        assert_eq!(found, Some(old.join("memory.oom_control")));
        fs::remove_dir_all(root).unwrap();
    }
}
