//! What a process is told about its interpreters: how Python is started, and which rules hold for
//! which application group.

use super::{Field, List, record};
use crate::codec::{Reader, WireError};

record! {
    /// How Python is started in a process: settings that can only be made before it runs.
    PythonFlags {
        /// WSGIPythonOptimize: 0, 1 or 2.
        optimize: u8,
        /// WSGIDontWriteBytecode.
        dont_write_bytecode: bool,
        /// WSGIPythonWarnings, each like the argument of Python's option `-W`.
        warnings: List<Vec<u8>>,
        /// WSGIPythonHashSeed: `random` or a number, or `None` for what Python does by itself.
        hash_seed: Option<Vec<u8>>,
        /// The value for PYTHON_EGG_CACHE.
        egg_cache: Option<Vec<u8>>,
    }
}

impl PythonFlags {
    /// What Python and its libraries look for in the environment only.
    pub fn variables(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let variables = [
            ("PYTHONHASHSEED", &self.hash_seed),
            ("PYTHON_EGG_CACHE", &self.egg_cache),
        ];
        variables
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

record! {
    /// Settings for the interpreters of one application group, or of all of them.
    InterpreterRule {
        /// The application group, empty for the main interpreter; `None` for all.
        application_group: Option<Vec<u8>>,
        /// Directories for `sys.path`.
        python_path: List<Vec<u8>>,
        /// `sys.setswitchinterval`, microseconds.
        switch_interval: Option<u64>,
        /// Whether sub-interpreters have a GIL of their own.
        own_gil: Option<bool>,
        /// Whether the GIL is left disabled where the Python can.
        free_threading: Option<bool>,
        /// Whether `sys.stdin` refuses to be used.
        restrict_stdin: Option<bool>,
        /// Whether `sys.stdout` refuses to be used.
        restrict_stdout: Option<bool>,
        /// Whether `signal.signal` is without effect.
        restrict_signal: Option<bool>,
    }
}

impl InterpreterRule {
    /// Lays `narrower` over this rule: what it says wins, and its directories come first.
    fn overlay(&mut self, narrower: &InterpreterRule) {
        let directories = narrower.python_path.0.iter().chain(&self.python_path.0);
        self.python_path = List(directories.cloned().collect());
        self.switch_interval = narrower.switch_interval.or(self.switch_interval);
        self.own_gil = narrower.own_gil.or(self.own_gil);
        self.free_threading = narrower.free_threading.or(self.free_threading);
        self.restrict_stdin = narrower.restrict_stdin.or(self.restrict_stdin);
        self.restrict_stdout = narrower.restrict_stdout.or(self.restrict_stdout);
        self.restrict_signal = narrower.restrict_signal.or(self.restrict_signal);
    }
}

record! {
    /// The interpreters of a process.
    InterpreterOptions {
        /// The rules, those that count more later.
        rules: List<InterpreterRule>,
        /// WSGIDestroyInterpreter Off: what applications registered for the end is not run.
        left_at_end: bool,
        /// How many application groups whose names were made from requests a process has at most
        /// (WSGIMaximumApplicationGroups); 0: any number.
        computed_groups: u32,
    }
}

impl InterpreterOptions {
    /// What holds for every interpreter of the process.
    pub fn of_process(&self) -> InterpreterRule {
        self.fold(|rule| rule.application_group.is_none())
    }

    /// What holds for an application group.
    pub fn of_application_group(&self, name: &[u8]) -> InterpreterRule {
        self.fold(|rule| {
            let wanted = rule.application_group.as_deref();
            wanted.is_none_or(|wanted| wanted == name)
        })
    }

    /// Whether some application may register handlers of signals, which Python allows on its main
    /// thread only.
    pub fn frees_signals(&self) -> bool {
        let mut rules = self.rules.0.iter();
        rules.any(|rule| rule.restrict_signal == Some(false))
    }

    fn fold(&self, selects: impl Fn(&InterpreterRule) -> bool) -> InterpreterRule {
        let mut whole = InterpreterRule::default();
        for rule in self.rules.0.iter().filter(|rule| selects(rule)) {
            whole.overlay(rule);
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(application_group: Option<&str>, directory: &str) -> InterpreterRule {
        InterpreterRule {
            application_group: application_group.map(|name| name.as_bytes().to_vec()),
            python_path: List(vec![directory.as_bytes().to_vec()]),
            ..InterpreterRule::default()
        }
    }

    fn options() -> InterpreterOptions {
        let rules = vec![
            InterpreterRule {
                own_gil: Some(true),
                restrict_signal: Some(false),
                ..rule(None, "/all")
            },
            InterpreterRule {
                own_gil: Some(false),
                ..rule(Some("a"), "/a")
            },
            InterpreterRule {
                switch_interval: Some(7),
                ..rule(Some(""), "/main")
            },
        ];
        InterpreterOptions {
            rules: List(rules),
            left_at_end: false,
            computed_groups: 0,
        }
    }

    #[test]
    fn each_setting_is_the_one_that_counts_most_among_the_rules_that_select_the_group() {
        let a = options().of_application_group(b"a");
        assert_eq!((a.own_gil, a.restrict_signal), (Some(false), Some(false)));
        assert_eq!(a.switch_interval, None);
        let b = options().of_application_group(b"b");
        assert_eq!((b.own_gil, b.restrict_signal), (Some(true), Some(false)));
        assert_eq!(options().of_application_group(b"").switch_interval, Some(7));
        assert_eq!(options().of_process().switch_interval, None);
    }

    #[test]
    fn directories_add_up_with_those_of_the_narrowest_rule_first() {
        let path = |rule: InterpreterRule| -> Vec<String> {
            let directories = rule.python_path.0.into_iter();
            directories
                .map(|name| String::from_utf8_lossy(&name).into_owned())
                .collect()
        };
        assert_eq!(path(options().of_application_group(b"a")), ["/a", "/all"]);
        assert_eq!(path(options().of_application_group(b"b")), ["/all"]);
    }
}
