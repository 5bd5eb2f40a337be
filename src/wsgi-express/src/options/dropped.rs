//! Options that mod_wsgi-express had and this command has not, each with a sentence why.
//!
//! They are parsed, so that the sentence can be said, and hidden from the help.

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

/// What happens to an option that is not here.
#[derive(Clone, Copy)]
enum Fate {
    /// Nothing can be lost by going on without it.
    Warning,
    /// The server would not be what was asked for.
    Refusal,
}

/// One option: its name, how many values it took, what happens, and the sentence.
struct Row(&'static str, usize, Fate, &'static str);

const DEBUGGING: &str = "run the application under the tool with wsgiref.simple_server instead";
const COLLECTOR: &str = "name the socket with --telemetry-service and run mod_wsgi-telemetry";

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row("verbose-debugging", 0, Fate::Warning, "use --log-level debug"),
    Row("process-name", 1, Fate::Warning, "Apache keeps its own title; --display-name is that of the daemons"),
    Row("with-php5", 0, Fate::Refusal, "run PHP in a server of its own and name it with --proxy-mount-point"),
    Row("service-log-file", 2, Fate::Refusal, "services log to the error log; let the script open a file of its own"),
    Row("enable-telemetry", 0, Fate::Refusal, COLLECTOR),
    Row("telemetry-ui-port", 1, Fate::Refusal, COLLECTOR),
    Row("debug-mode", 0, Fate::Refusal, DEBUGGING),
    Row("enable-debugger", 0, Fate::Refusal, DEBUGGING),
    Row("debugger-startup", 0, Fate::Refusal, DEBUGGING),
    Row("enable-coverage", 0, Fate::Refusal, DEBUGGING),
    Row("coverage-directory", 1, Fate::Refusal, DEBUGGING),
    Row("enable-profiler", 0, Fate::Refusal, DEBUGGING),
    Row("profiler-directory", 1, Fate::Refusal, DEBUGGING),
    Row("enable-recorder", 0, Fate::Refusal, "log in the application what comes in and goes out"),
    Row("recorder-directory", 1, Fate::Refusal, "log in the application what comes in and goes out"),
    Row("enable-gdb", 0, Fate::Refusal, "attach gdb to the process with -p"),
    Row("gdb-executable", 1, Fate::Refusal, "attach gdb to the process with -p"),
    Row("enable-docs", 0, Fate::Refusal, "the documentation is in README.md"),
];

/// The warnings for options that were given and have no effect.
#[derive(Debug, Clone, Default)]
pub struct DroppedOptions {
    /// Whole sentences.
    pub warnings: Vec<String>,
}

impl Args for DroppedOptions {
    fn augment_args(command: Command) -> Command {
        command.args(ROWS.iter().map(|Row(name, values, ..)| {
            let arg = Arg::new(name).long(name).hide(true);
            match values {
                0 => arg.action(ArgAction::SetTrue),
                values => arg.num_args(*values).action(ArgAction::Append),
            }
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for DroppedOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut warnings = Vec::new();
        for Row(name, values, fate, instead) in ROWS {
            let given = match values {
                0 => matches.get_flag(name),
                _ => matches.contains_id(name),
            };
            match fate {
                _ if !given => {}
                Fate::Warning => warnings.push(format!("--{name} has no effect: {instead}")),
                Fate::Refusal => {
                    let sentence = format!("--{name} is not offered: {instead}\n");
                    return Err(Error::raw(ErrorKind::UnknownArgument, sentence));
                }
            }
        }
        Ok(DroppedOptions { warnings })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
