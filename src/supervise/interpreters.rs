//! From the interpreter directives to what the processes of a group are told.
//!
//! Runs in the parent. Which rule an application group gets is decided in its process.

use wsgi_config::daemon_options::DaemonOptions;
use wsgi_config::interpreter::{self, Rule, Selector, Setting};
use wsgi_wire::launch::{InterpreterOptions, InterpreterRule, List, PythonFlags};

use crate::config::Configuration;

/// How many application groups clients can make in a process unless the configuration says so:
/// more than people have, less than what fills a machine's memory.
const COMPUTED_GROUPS: u32 = 64;

/// What holds for the interpreters of embedded mode.
pub fn of_embedded(configuration: &Configuration) -> InterpreterOptions {
    options(configuration, &configuration.interpreter_rules, b"")
}

/// What holds for the interpreters of a process group. Its option `switch-interval` counts like a
/// section for the group that stands before all others.
pub fn of_group(configuration: &Configuration, group: &DaemonOptions) -> InterpreterOptions {
    let option = group.switch_interval.map(|interval| Rule {
        selector: Selector::of_process_group(group.defined_name()),
        setting: Setting::SwitchInterval(interval),
    });
    // A program may handle signals unless a section for its application group says otherwise.
    let program = (group.threads == 0).then(|| Rule {
        selector: Selector::of_process_group(&group.name),
        setting: Setting::RestrictSignal(false),
    });
    let rules = option
        .into_iter()
        .chain(program)
        .chain(configuration.interpreter_rules.iter().cloned());
    options(
        configuration,
        &rules.collect::<Vec<_>>(),
        group.defined_name(),
    )
}

/// How the Python of a process group is started; the egg cache of the directive is embedded mode's.
pub fn flags_of_group(configuration: &Configuration, group: &DaemonOptions) -> PythonFlags {
    PythonFlags {
        egg_cache: group.python_eggs.clone(),
        ..configuration.python.clone()
    }
}

fn options(
    configuration: &Configuration,
    rules: &[Rule],
    process_group: &[u8],
) -> InterpreterOptions {
    let rules = interpreter::rules_of(rules, process_group);
    InterpreterOptions {
        rules: List(rules.into_iter().map(record).collect()),
        left_at_end: configuration.left_at_end,
        computed_groups: configuration.computed_groups.unwrap_or(COMPUTED_GROUPS),
    }
}

fn record(rule: &Rule) -> InterpreterRule {
    let mut record = InterpreterRule {
        application_group: rule.selector.application_group.clone(),
        ..InterpreterRule::default()
    };
    match &rule.setting {
        Setting::PythonPath(directories) => record.python_path = List(directories.clone()),
        Setting::SwitchInterval(interval) => record.switch_interval = Some(*interval),
        Setting::OwnGil(own) => record.own_gil = Some(*own),
        Setting::FreeThreading(free) => record.free_threading = Some(*free),
        Setting::RestrictStdin(restricted) => record.restrict_stdin = Some(*restricted),
        Setting::RestrictStdout(restricted) => record.restrict_stdout = Some(*restricted),
        Setting::RestrictSignal(restricted) => record.restrict_signal = Some(*restricted),
    }
    record
}
