//! The options of WSGIDaemonProcess as options of the command.
//!
//! The table is that of the directive: a new row there is an option here, checked by the
//! directive's own rules, with its meaning as help. This file says only what differs.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};
use wsgi_config::daemon_options::{self, OPTIONS, OptionRow};

/// Options that this command has in a form of its own, or decides by itself.
const OWN: &[&str] = &[
    "processes",
    "threads",
    "user",
    "group",
    "home",
    "python-home",
    "python-path",
    "locale",
    "server-metrics",
    "newrelic-config-file",
    "newrelic-environment",
];

/// Options that the original calls otherwise: the directive's name and the command's.
const RENAMED: &[(&str, &str)] = &[("listen-backlog", "daemon-backlog")];

/// Options whose value here, when they are absent, is not the directive's.
const DEFAULTS: &[(&str, &str)] = &[
    ("display-name", "%{GROUP}"),
    ("startup-timeout", "15"),
    ("deadlock-timeout", "60"),
    ("request-timeout", "60"),
    ("queue-timeout", "45"),
    ("socket-timeout", "60"),
];

/// Options that may be repeated.
const REPEATED: &[&str] = &["env", "env-file"];

/// The option whose value is also Apache's Timeout.
const SOCKET_TIMEOUT: &str = "socket-timeout";

/// What was given for the daemon processes.
#[derive(Debug, Clone, Default)]
pub struct DaemonOptions {
    given: Vec<(&'static str, String)>,
}

impl DaemonOptions {
    /// What the directive gets: name and value, given or by default. An option that the module
    /// does not offer has no default.
    pub fn values(&self) -> Vec<(&'static str, String)> {
        let default = |row: &OptionRow| {
            let value = value_of(DEFAULTS, row.name)?;
            Some((row.name, value.to_owned()))
        };
        let mut values = Vec::new();
        for row in rows() {
            let before = values.len();
            values.extend(
                self.given
                    .iter()
                    .filter(|(name, _)| *name == row.name)
                    .cloned(),
            );
            if values.len() == before {
                values.extend(default(row));
            }
        }
        values
    }

    /// Seconds for Apache's Timeout; never 0, which would end every connection.
    pub fn socket_timeout(&self) -> u32 {
        let values = self.values();
        let value = values.iter().find(|(name, _)| *name == SOCKET_TIMEOUT);
        value
            .and_then(|(_, value)| value.parse().ok())
            .unwrap_or(60)
            .max(1)
    }
}

fn rows() -> impl Iterator<Item = &'static OptionRow> {
    OPTIONS.iter().filter(|row| !OWN.contains(&row.name))
}

fn value_of(pairs: &'static [(&str, &str)], name: &str) -> Option<&'static str> {
    let pair = pairs.iter().find(|(key, _)| *key == name)?;
    Some(pair.1)
}

fn long(row: &OptionRow) -> &'static str {
    value_of(RENAMED, row.name).unwrap_or(row.name)
}

/// Asks the directive's own parser.
fn check(row: &'static OptionRow, value: &str) -> Result<String, String> {
    if value.contains('"') {
        return Err("it must not have a '\"'".to_owned());
    }
    let argument = format!("group \"{}={value}\"", row.name);
    match daemon_options::parse(argument.as_bytes()) {
        Ok(_) => Ok(value.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

impl Args for DaemonOptions {
    fn augment_args(command: Command) -> Command {
        command.args(rows().map(|row| {
            let default = match value_of(DEFAULTS, row.name).unwrap_or(row.default) {
                "" => String::new(),
                default => format!(" [default: {default}]"),
            };
            let action = if REPEATED.contains(&row.name) {
                ArgAction::Append
            } else {
                ArgAction::Set
            };
            Arg::new(row.name)
                .long(long(row))
                .help(format!("{}{default}", row.doc))
                .value_name("VALUE")
                .allow_hyphen_values(true)
                .action(action)
                .conflicts_with("embedded_mode")
                .value_parser(move |value: &str| check(row, value))
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for DaemonOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut given = Vec::new();
        for row in rows() {
            if matches.value_source(row.name) == Some(ValueSource::CommandLine) {
                let values = matches.get_many::<String>(row.name).into_iter().flatten();
                given.extend(values.map(|value| (row.name, value.clone())));
            }
        }
        Ok(DaemonOptions { given })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
