//! A memory control group for the processes of one server, in either version of control groups.
//!
//! Made by the test's thread and removed when it is dropped, which is to be after the server.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use crate::wait;

/// Longer than the kernel needs to bury what a server has left.
const EMPTY_LIMIT: Duration = Duration::from_secs(20);

/// A control group with a bound of memory.
#[derive(Debug)]
pub struct MemoryGroup {
    directory: PathBuf,
}

impl MemoryGroup {
    /// A group whose processes may have `bytes` together; says so where none can be made.
    pub fn new(bytes: u64) -> Option<MemoryGroup> {
        let name = format!("wsgi-test-{}", process::id());
        // Version 1, in which every controller has a tree, and version 2.
        let places = [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ];
        for (root, limit) in places {
            let directory = Path::new(root).join(&name);
            if fs::create_dir(&directory).is_err() {
                continue;
            }
            let group = MemoryGroup { directory };
            if group.set(limit, bytes).is_ok() {
                // What would be swapped out is to be missed; version 1 has no such file.
                let _ = group.set("memory.swap.max", 0);
                return Some(group);
            }
        }
        eprintln!("SKIPPED: no memory control group can be made here");
        None
    }

    /// What a process writes `0` to that joins the group.
    pub(crate) fn door(&self) -> io::Result<File> {
        self.file("cgroup.procs")
    }

    fn set(&self, name: &str, value: u64) -> io::Result<()> {
        self.file(name)?.write_all(value.to_string().as_bytes())
    }

    /// One that the kernel has made: elsewhere there would be others to make.
    fn file(&self, name: &str) -> io::Result<File> {
        File::options().write(true).open(self.directory.join(name))
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // It can go once its last process is reaped.
        wait::within(EMPTY_LIMIT, || fs::remove_dir(&self.directory).ok());
    }
}
