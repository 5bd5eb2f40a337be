//! The versions of what the counts depend on.

use std::collections::BTreeMap;
use std::fmt;
use std::process::Command;

use wsgi_tests::apache::apache;

/// Tools and their versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versions(pub BTreeMap<String, String>);

impl Versions {
    /// Those of this machine.
    pub fn of_this_machine() -> Versions {
        let httpd = apache().program.display().to_string();
        let questions = [
            ("compiler", "rustc", "--version"),
            ("python", "/usr/bin/python3", "--version"),
            ("httpd", &*httpd, "-v"),
        ];
        let answer = |(tool, program, option): (&str, &str, &str)| {
            let output = Command::new(program).arg(option).output().ok();
            let said = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
            let line = said.unwrap_or_default();
            let line = line.lines().next().unwrap_or("unknown").trim();
            (tool.to_owned(), line.to_owned())
        };
        Versions(questions.into_iter().map(answer).collect())
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let versions: Vec<&str> = self.0.values().map(|version| &**version).collect();
        formatter.write_str(&versions.join(", "))
    }
}
