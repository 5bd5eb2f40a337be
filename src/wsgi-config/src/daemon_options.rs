//! The options of WSGIDaemonProcess and WSGIDaemonTemplate, in one table that the parser and the
//! documentation read.
//!
//! Runs in httpd's parent while the configuration is read. It must not look up accounts or touch
//! the file system: whether a user or a directory exists is the caller's to check.

use std::time::Duration;

use crate::alias::{option_of, words_of};
use crate::error::{OptionError, shown};
use crate::{flag, interpreter};

mod table;
mod value;

use table::Take;
pub use table::{OPTIONS, OptionRow};
use value::{bytes, drawn, number, signed, span};
pub use value::{variable, variable_name};

const PROCESS: &str = "WSGIDaemonProcess";
const TEMPLATE: &str = "WSGIDaemonTemplate";

/// What a template adds to the options of the groups that are made from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TemplateLimits {
    /// Groups that exist at a time.
    pub maximum_groups: u32,
    /// Processes of all of them; zero: as many as the groups have.
    pub maximum_processes: u32,
    /// The lowest id of an account or a group of users that a key names.
    pub minimum_uid: u32,
}

impl Default for TemplateLimits {
    fn default() -> Self {
        TemplateLimits {
            maximum_groups: 100,
            maximum_processes: 0,
            minimum_uid: 1000,
        }
    }
}

/// A value that each process draws for itself, so that the processes of a group do not reach it
/// together: from `least` to `least + jitter`. Zero: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drawn {
    /// The smallest value, or zero.
    pub least: u32,
    /// How much may be added.
    pub jitter: u32,
}

/// One process group, or one template of groups, as its directive describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct DaemonOptions {
    /// The group's name; that of a template's groups, `name/%{key}`.
    pub name: Vec<u8>,
    /// There for a template.
    pub template: Option<TemplateLimits>,
    /// How many processes, if stated: stating it makes `wsgi.multiprocess` true, even for 1.
    /// With bounds this is the upper one.
    pub processes: Option<u32>,
    /// The lower bound of their number, if it has bounds.
    pub least_processes: Option<u32>,
    /// Request threads per process, with bounds the upper one; zero: a script is the program of each.
    pub threads: u32,
    /// The lower bound of their number, if it has bounds.
    pub least_threads: Option<u32>,
    /// Interpreters of each application group in a process, each with a GIL of its own.
    pub interpreters: u32,
    /// The account to run as: a name, or `#` and a number.
    pub user: Option<Vec<u8>>,
    /// The group to run as: a name, or `#` and a number.
    pub group: Option<Vec<u8>>,
    /// The process umask.
    pub umask: Option<u32>,
    /// The working directory, absolute, also put first on `sys.path`.
    pub home: Option<Vec<u8>>,
    /// The virtual environment or prefix whose `bin/python` runs the group.
    pub python_home: Option<Vec<u8>>,
    /// Directories for `sys.path`, in order.
    pub python_path: Vec<Vec<u8>>,
    /// The value for PYTHON_EGG_CACHE.
    pub python_eggs: Option<Vec<u8>>,
    /// The switch interval, microseconds.
    pub switch_interval: Option<u64>,
    /// The process title; `%{GROUP}` is resolved already.
    pub display_name: Option<Vec<u8>>,
    /// The value for LANG.
    pub lang: Option<Vec<u8>>,
    /// The value for LC_ALL.
    pub locale: Option<Vec<u8>>,
    /// The backlog of the group's listening socket, which is its queue.
    pub listen_backlog: u32,
    /// The time the first application may take to load; zero: any.
    pub startup_timeout: Duration,
    /// The time without requests after which a process is replaced; zero: any.
    pub inactivity_timeout: Duration,
    /// The time running requests have at shutdown; zero: any.
    pub shutdown_timeout: Duration,
    /// The time running requests have when the process is replaced.
    pub graceful_timeout: Duration,
    /// How long a request may wait for a place in the group's queue.
    pub connect_timeout: Duration,
    /// How long Apache waits for the daemon to send or take bytes; `None`: Apache's Timeout.
    pub socket_timeout: Option<Duration>,
    /// Applications may ask for the server's scoreboard.
    pub server_metrics: bool,
    /// Further groups of the processes, by name or `#gid`; `None`: those of the account.
    pub supplementary_groups: Option<Vec<Vec<u8>>>,
    /// The processes' root directory.
    pub chroot: Option<Vec<u8>>,
    /// Bytes of stack of each request thread.
    pub stack_size: Option<u64>,
    /// The number of requests after which a process is replaced.
    pub maximum_requests: Drawn,
    /// The age, seconds, at which a process is replaced.
    pub restart_interval: Drawn,
    /// The proportional set size, bytes, at which a process is replaced; zero: any.
    pub recycle_memory: u64,
    /// The time running requests have after SIGUSR1; zero: `graceful_timeout`.
    pub eviction_timeout: Duration,
    /// The time the interpreter lock may stay taken; zero: any.
    pub deadlock_timeout: Duration,
    /// The time a request may run; zero: any.
    pub request_timeout: Duration,
    /// The time a request has after it was interrupted; zero: it is not interrupted.
    pub interrupt_timeout: Duration,
    /// The CPU time, seconds, after which a process is replaced; zero: any.
    pub cpu_time_limit: u32,
    /// The processes' scheduling priority, -20 to 20.
    pub cpu_priority: Option<i32>,
    /// Bytes of data a process may have; zero: any.
    pub memory_limit: u64,
    /// Bytes of address space a process may have; zero: any.
    pub virtual_memory_limit: u64,
    /// How long the client may take to accept bytes; `None`: as `socket_timeout`.
    pub response_socket_timeout: Option<Duration>,
    /// How long a request may wait for a thread; zero: any.
    pub queue_timeout: Duration,
    /// Bytes of the group's sockets' send buffers; zero: the system's choice.
    pub send_buffer_size: u64,
    /// Bytes of the group's sockets' receive buffers; zero: the system's choice.
    pub receive_buffer_size: u64,
    /// Bytes of the longest response header; zero: any.
    pub header_buffer_size: u64,
    /// Bytes of a response after which Apache's filters are flushed.
    pub response_buffer_size: u64,
    /// How long after a flush further pieces of a response are waited for, to be sent together.
    pub response_flush_delay: Duration,
    /// The owner of the group's socket; `None`: Apache's user.
    pub socket_user: Option<Vec<u8>>,
    /// The user who must own every script.
    pub script_user: Option<Vec<u8>>,
    /// The group that must own every script.
    pub script_group: Option<Vec<u8>>,
    /// Variables of the processes' environment, in order.
    pub environment: Vec<(Vec<u8>, Vec<u8>)>,
    /// Files of such variables, in order; the option `env` outranks them.
    pub environment_files: Vec<Vec<u8>>,
    /// The processes are forked from one that has loaded the application.
    pub preload: bool,
    /// Options that stand without an effect, and what is done instead of each.
    pub without_effect: Vec<(&'static str, &'static str)>,
}

impl DaemonOptions {
    /// The name as its directive has it.
    pub fn defined_name(&self) -> &[u8] {
        match self.template {
            Some(_) => self.name.strip_suffix(b"/%{key}").unwrap_or(&self.name),
            None => &self.name,
        }
    }

    /// Directive and name, for messages about the definition.
    pub fn definition(&self) -> String {
        let directive = match self.template {
            Some(_) => TEMPLATE,
            None => PROCESS,
        };
        format!("{directive} {}", shown(self.defined_name()))
    }

    fn with_defaults(name: Vec<u8>) -> Self {
        DaemonOptions {
            name,
            template: None,
            processes: None,
            least_processes: None,
            threads: 15,
            least_threads: None,
            interpreters: 1,
            user: None,
            group: None,
            umask: None,
            home: None,
            python_home: None,
            python_path: Vec::new(),
            python_eggs: None,
            switch_interval: None,
            display_name: None,
            lang: None,
            locale: None,
            listen_backlog: 100,
            startup_timeout: Duration::ZERO,
            inactivity_timeout: Duration::ZERO,
            shutdown_timeout: Duration::from_secs(5),
            graceful_timeout: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(15),
            without_effect: Vec::new(),
            socket_timeout: None,
            server_metrics: false,
            supplementary_groups: None,
            chroot: None,
            stack_size: None,
            maximum_requests: Drawn::default(),
            restart_interval: Drawn::default(),
            recycle_memory: 0,
            eviction_timeout: Duration::ZERO,
            deadlock_timeout: Duration::from_secs(300),
            request_timeout: Duration::ZERO,
            interrupt_timeout: Duration::ZERO,
            cpu_time_limit: 0,
            cpu_priority: None,
            memory_limit: 0,
            virtual_memory_limit: 0,
            response_socket_timeout: None,
            queue_timeout: Duration::ZERO,
            send_buffer_size: 0,
            receive_buffer_size: 0,
            header_buffer_size: 0,
            response_buffer_size: 8 << 20,
            response_flush_delay: Duration::from_millis(5),
            socket_user: None,
            script_user: None,
            script_group: None,
            environment: Vec::new(),
            environment_files: Vec::new(),
            preload: false,
        }
    }
}

/// Reads `name [option=value ...]`; of an option that is repeated the last value counts.
pub fn parse(args: &[u8]) -> Result<DaemonOptions, OptionError> {
    let mut words = words_of(PROCESS, args)?.into_iter();
    let name = words.next().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| OptionError::Missing {
        directive: PROCESS.to_owned(),
        argument: "the name of the process group",
    })?;
    take_options(PROCESS, words, DaemonOptions::with_defaults(name))
}

/// Reads the same of WSGIDaemonTemplate, whose texts may hold `%{key}`.
pub fn parse_template(args: &[u8]) -> Result<DaemonOptions, OptionError> {
    let mut words = words_of(TEMPLATE, args)?.into_iter();
    let name = words.next().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| OptionError::Missing {
        directive: TEMPLATE.to_owned(),
        argument: "the name of the template",
    })?;
    if name.iter().any(|byte| matches!(byte, b'/' | b'%')) {
        return Err(OptionError::Argument {
            directive: TEMPLATE.to_owned(),
            value: shown(&name),
            expected: "a name without '/' and '%'",
        });
    }
    let mut options = DaemonOptions::with_defaults([&name[..], b"/%{key}"].concat());
    options.template = Some(TemplateLimits::default());
    take_options(TEMPLATE, words, options)
}

fn take_options(
    directive: &str,
    words: impl Iterator<Item = Vec<u8>>,
    mut options: DaemonOptions,
) -> Result<DaemonOptions, OptionError> {
    for word in words {
        let (name, value) = option_of(directive, &word)?;
        let has_it = |row: &&OptionRow| row.name.as_bytes() == name && row.is_of(&options);
        let row = OPTIONS.iter().find(has_it);
        let row = row.ok_or_else(|| OptionError::Unknown {
            directive: directive.to_owned(),
            option: shown(name),
        })?;
        apply(directive, row, value, &mut options)?;
    }
    if options.script_user.is_some() && options.script_group.is_some() {
        return Err(OptionError::Exclusive {
            directive: directive.to_owned(),
            one: "script-user",
            other: "script-group",
        });
    }
    if options.preload && options.template.is_some() {
        return Err(OptionError::Argument {
            directive: directive.to_owned(),
            value: "preload=fork".to_owned(),
            expected: "for groups that are made on demand, which load nothing before a request",
        });
    }
    if options.preload && options.threads == 0 {
        // A program runs once in each process.
        return Err(OptionError::Exclusive {
            directive: directive.to_owned(),
            one: "preload=fork",
            other: "threads=0",
        });
    }
    Ok(options)
}

fn apply(
    directive: &str,
    row: &OptionRow,
    value: &[u8],
    options: &mut DaemonOptions,
) -> Result<(), OptionError> {
    let invalid = || OptionError::Value {
        directive: directive.to_owned(),
        option: row.name,
        value: shown(value),
        expected: row.value,
    };
    match row.take {
        Take::Count(least, most, set) => {
            let count = number(value, 10).filter(|count| (least..=most).contains(count));
            set(options, count.ok_or_else(invalid)?);
        }
        Take::Limit(least, most, set) => {
            let count = number(value, 10).filter(|count| (least..=most).contains(count));
            let limits = options.template.get_or_insert_default();
            set(limits, count.ok_or_else(invalid)?);
        }
        Take::Span(least, most, set) => {
            let fits = |(lower, upper): &(u32, u32)| *lower >= least && *upper <= most;
            let span = span(value).filter(fits);
            let (lower, upper) = span.ok_or_else(invalid)?;
            set(options, lower, upper);
        }
        Take::Octal(set) => {
            let mask = number(value, 8).filter(|mask| *mask <= 0o777);
            set(options, mask.ok_or_else(invalid)?);
        }
        Take::Seconds(set) => {
            let seconds = number(value, 10).ok_or_else(invalid)?;
            set(options, Duration::from_secs(u64::from(seconds)));
        }
        Take::Interval(set) => {
            set(
                options,
                interpreter::parse_interval(value).ok_or_else(invalid)?,
            );
        }
        Take::Text(_) if value.is_empty() => return Err(invalid()),
        Take::Text(set) => set(options, value.to_vec()),
        Take::Directory(_) if !value.starts_with(b"/") => return Err(invalid()),
        Take::Directory(set) => set(options, value.to_vec()),
        Take::Flag(set) => {
            set(
                options,
                flag::parse(directive, value).map_err(|_| invalid())?,
            );
        }
        Take::Word(word, set) => {
            let chosen = value == word.as_bytes();
            let off = || flag::parse(directive, value).is_ok_and(|on| !on);
            if !chosen && !off() {
                return Err(invalid());
            }
            set(options, chosen);
        }
        Take::Retired(shown, instead) => options.without_effect.push((shown, instead)),
        Take::Drawn(set) => set(options, drawn(value).ok_or_else(invalid)?),
        Take::Signed(least, most, set) => {
            let number = signed(value).filter(|number| (least..=most).contains(number));
            set(options, number.ok_or_else(invalid)?);
        }
        Take::Bytes(least, set) => {
            let size = bytes(value).filter(|size| *size == 0 || *size >= least);
            set(options, size.ok_or_else(invalid)?);
        }
        Take::Milliseconds(set) => {
            let milliseconds = number(value, 10).ok_or_else(invalid)?;
            set(options, Duration::from_millis(u64::from(milliseconds)));
        }
        Take::Variable(set) => {
            let (name, value) = variable(value).ok_or_else(invalid)?;
            set(options, name.to_vec(), value.to_vec());
        }
    }
    Ok(())
}

fn title(group: &[u8], value: Vec<u8>) -> Vec<u8> {
    if value == b"%{GROUP}" {
        [b"(wsgi:", group, b")"].concat()
    } else {
        value
    }
}

#[cfg(test)]
mod tests;
