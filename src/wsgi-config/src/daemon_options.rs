//! The options of WSGIDaemonProcess, in one table that the parser and the documentation read.
//!
//! Runs in httpd's parent while the configuration is read. It must not look up accounts or touch
//! the file system: whether a user or a directory exists is the caller's to check.

use std::time::Duration;

use crate::alias::{option_of, words_of};
use crate::error::{OptionError, shown};
use crate::{flag, interpreter};

const DIRECTIVE: &str = "WSGIDaemonProcess";

/// One process group as its directive describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct DaemonOptions {
    /// The group's name.
    pub name: Vec<u8>,
    /// How many processes, if stated: stating it makes `wsgi.multiprocess` true, even for 1.
    pub processes: Option<u32>,
    /// Request threads per process.
    pub threads: u32,
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
    /// Options that stand without an effect, and what is done instead of each.
    pub without_effect: Vec<(&'static str, &'static str)>,
}

impl DaemonOptions {
    fn with_defaults(name: Vec<u8>) -> Self {
        DaemonOptions {
            name,
            processes: None,
            threads: 15,
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
        }
    }
}

/// How an option's value is read and where it goes.
enum Take {
    /// A whole number within bounds.
    Count(u32, u32, fn(&mut DaemonOptions, u32)),
    /// Octal digits of a file mode mask.
    Octal(fn(&mut DaemonOptions, u32)),
    /// Whole seconds.
    Seconds(fn(&mut DaemonOptions, Duration)),
    /// A positive number of seconds, kept as microseconds.
    Interval(fn(&mut DaemonOptions, u64)),
    /// Text that is not empty.
    Text(fn(&mut DaemonOptions, Vec<u8>)),
    /// An absolute path.
    Directory(fn(&mut DaemonOptions, Vec<u8>)),
    /// On or Off.
    Flag(fn(&mut DaemonOptions, bool)),
    /// Anything: mod_wsgi had the option once. How a log calls it, and what is done instead.
    Retired(&'static str, &'static str),
    /// An option of mod_wsgi that this module does not have so far.
    NotSupported,
}

/// One option: what it takes, its default and its meaning.
pub struct OptionRow {
    /// The name before `=`.
    pub name: &'static str,
    /// What the value must be, as errors say it.
    pub value: &'static str,
    /// The value when the option is absent, as a reader would write it; empty: none.
    pub default: &'static str,
    /// The option's meaning in one line.
    pub doc: &'static str,
    take: Take,
}

impl OptionRow {
    /// Whether the option works; one that does not is refused, never ignored.
    pub fn supported(&self) -> bool {
        !matches!(self.take, Take::NotSupported)
    }
}

const fn row(
    name: &'static str,
    value: &'static str,
    default: &'static str,
    doc: &'static str,
    take: Take,
) -> OptionRow {
    OptionRow {
        name,
        value,
        default,
        doc,
        take,
    }
}

const fn later(name: &'static str, doc: &'static str) -> OptionRow {
    row(name, "", "", doc, Take::NotSupported)
}

/// What an option of whole seconds takes.
const SECONDS: &str = "a whole number of seconds";

/// Every option of the directive, in the order the documentation lists them.
#[rustfmt::skip]
pub const OPTIONS: &[OptionRow] = &[
    row("processes", "a number from 1", "1", "Processes of the group; stating it makes wsgi.multiprocess true",
        Take::Count(1, 65_533, |o, v| o.processes = Some(v))),
    row("threads", "a number from 1 to 65533", "15", "Requests a process runs at once",
        Take::Count(1, 65_533, |o, v| o.threads = v)),
    row("user", "an account name or #uid", "Apache's User", "The account the processes run as",
        Take::Text(|o, v| o.user = Some(v))),
    row("group", "a group name or #gid", "Apache's Group", "The primary group the processes run as",
        Take::Text(|o, v| o.group = Some(v))),
    row("umask", "an octal mask up to 0777", "", "The umask of the processes",
        Take::Octal(|o, v| o.umask = Some(v))),
    row("home", "an absolute path", "", "Working directory, also first on sys.path",
        Take::Directory(|o, v| o.home = Some(v))),
    row("python-home", "an absolute path", "", "Virtual environment or prefix whose bin/python runs the group",
        Take::Directory(|o, v| o.python_home = Some(v))),
    row("python-path", "directories separated by ':'", "", "Directories put first on sys.path, with their .pth files",
        Take::Text(|o, v| o.python_path = interpreter::parse_path(&v))),
    row("python-eggs", "an absolute path", "", "The value for PYTHON_EGG_CACHE",
        Take::Directory(|o, v| o.python_eggs = Some(v))),
    row("switch-interval", "a positive number of seconds", "0.005", "Seconds a thread may run Python while others wait",
        Take::Interval(|o, v| o.switch_interval = Some(v))),
    row("display-name", "a text or %{GROUP}", "", "Process title; %{GROUP} gives (wsgi:name)",
        Take::Text(|o, v| o.display_name = Some(title(&o.name, v)))),
    row("lang", "a locale name", "", "The value for LANG",
        Take::Text(|o, v| o.lang = Some(v))),
    row("locale", "a locale name", "", "The value for LC_ALL",
        Take::Text(|o, v| o.locale = Some(v))),
    row("listen-backlog", "a number from 1", "100", "Connections that may wait for a free thread",
        Take::Count(1, i32::MAX as u32, |o, v| o.listen_backlog = v)),
    row("startup-timeout", SECONDS, "0", "Time the first application may take to load; 0: any",
        Take::Seconds(|o, v| o.startup_timeout = v)),
    row("inactivity-timeout", SECONDS, "0", "Time without requests after which a process is replaced; 0: any",
        Take::Seconds(|o, v| o.inactivity_timeout = v)),
    row("shutdown-timeout", SECONDS, "5", "Time running requests have at shutdown; 0: any",
        Take::Seconds(|o, v| o.shutdown_timeout = v)),
    row("graceful-timeout", SECONDS, "15", "Time running requests have when a process is replaced",
        Take::Seconds(|o, v| o.graceful_timeout = v)),
    row("connect-timeout", SECONDS, "15", "Time a request may wait for a place in the queue",
        Take::Seconds(|o, v| o.connect_timeout = v)),
    row("socket-timeout", SECONDS, "Apache's Timeout", "Time Apache waits for bytes of a daemon; 0: Apache's Timeout",
        Take::Seconds(|o, v| o.socket_timeout = Some(v).filter(|time| !time.is_zero()))),
    row("newrelic-config-file", "", "", "Without effect: the script itself starts the agent",
        Take::Retired("WSGIDaemonProcess newrelic-config-file", "the script itself starts the agent")),
    row("newrelic-environment", "", "", "Without effect: the script itself starts the agent",
        Take::Retired("WSGIDaemonProcess newrelic-environment", "the script itself starts the agent")),
    later("supplementary-groups", "Further groups of the processes"),
    later("chroot", "Root directory of the processes"),
    later("stack-size", "Bytes of stack per thread"),
    later("maximum-requests", "Requests after which a process is replaced"),
    later("eviction-timeout", "Time running requests have after SIGUSR1"),
    later("deadlock-timeout", "Time the interpreter lock may stay taken"),
    later("request-timeout", "Time a request may run"),
    later("interrupt-timeout", "Time a request has after it was interrupted"),
    later("restart-interval", "Age at which a process is replaced"),
    later("cpu-time-limit", "CPU time after which a process is replaced"),
    later("cpu-priority", "Scheduling priority of the processes"),
    later("memory-limit", "Bytes of data a process may have"),
    later("virtual-memory-limit", "Bytes of address space a process may have"),
    later("response-socket-timeout", "Time a client may take to accept bytes"),
    later("queue-timeout", "Time a request may wait for a thread"),
    later("send-buffer-size", "Bytes of the socket's send buffer"),
    later("receive-buffer-size", "Bytes of the socket's receive buffer"),
    later("header-buffer-size", "Longest response header"),
    later("response-buffer-size", "Bytes of a response held back before a flush"),
    later("response-flush-delay", "Milliseconds to wait for more before a flush"),
    later("socket-user", "Owner of the group's socket"),
    later("script-user", "Owner that every script must have"),
    later("script-group", "Group that every script must have"),
    row("server-metrics", "On or Off", "Off", "Whether applications may ask for the server's scoreboard",
        Take::Flag(|o, v| o.server_metrics = v)),
];

/// Reads `name [option=value ...]`; of an option that is repeated the last value counts.
pub fn parse(args: &[u8]) -> Result<DaemonOptions, OptionError> {
    let mut words = words_of(DIRECTIVE, args)?.into_iter();
    let name = words
        .next()
        .filter(|name| !name.is_empty())
        .ok_or_else(|| OptionError::Missing {
            directive: DIRECTIVE.to_owned(),
            argument: "the name of the process group",
        })?;
    let mut options = DaemonOptions::with_defaults(name);
    for word in words {
        let (name, value) = option_of(DIRECTIVE, &word)?;
        let row = OPTIONS
            .iter()
            .find(|row| row.name.as_bytes() == name)
            .ok_or_else(|| OptionError::Unknown {
                directive: DIRECTIVE.to_owned(),
                option: shown(name),
            })?;
        apply(row, value, &mut options)?;
    }
    Ok(options)
}

fn apply(row: &OptionRow, value: &[u8], options: &mut DaemonOptions) -> Result<(), OptionError> {
    let invalid = || OptionError::Value {
        directive: DIRECTIVE.to_owned(),
        option: row.name,
        value: shown(value),
        expected: row.value,
    };
    match row.take {
        Take::Count(least, most, set) => {
            let count = number(value, 10).filter(|count| (least..=most).contains(count));
            set(options, count.ok_or_else(invalid)?);
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
                flag::parse(DIRECTIVE, value).map_err(|_| invalid())?,
            );
        }
        Take::Retired(shown, instead) => options.without_effect.push((shown, instead)),
        Take::NotSupported => {
            return Err(OptionError::NotSupported {
                directive: DIRECTIVE.to_owned(),
                option: row.name,
            });
        }
    }
    Ok(())
}

/// A number of nothing but digits: `from_str_radix` alone would take a sign.
fn number(value: &[u8], radix: u32) -> Option<u32> {
    let text = std::str::from_utf8(value).ok()?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| u32::from_str_radix(text, radix).ok())
        .flatten()
}

fn title(group: &[u8], value: Vec<u8>) -> Vec<u8> {
    if value == b"%{GROUP}" {
        [b"(wsgi:", group, b")"].concat()
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(args: &str) -> DaemonOptions {
        parse(args.as_bytes()).expect("accepted")
    }

    fn refused(args: &str) -> String {
        parse(args.as_bytes()).expect_err("refused").to_string()
    }

    #[test]
    fn a_name_alone_gives_the_defaults() {
        let group = options("app");
        assert_eq!(group, DaemonOptions::with_defaults(b"app".to_vec()));
        assert_eq!((group.processes, group.threads), (None, 15));
        assert_eq!(group.listen_backlog, 100);
        assert_eq!(group.shutdown_timeout, Duration::from_secs(5));
        assert_eq!(group.connect_timeout, Duration::from_secs(15));
    }

    #[test]
    fn every_supported_option_reaches_its_field() {
        let group = options(
            r#"app processes=2 threads=8 user=www group=#33 umask=0027 home=/srv/app
               python-home=/srv/venv python-path="/a b:/c::" python-eggs=/srv/eggs
               switch-interval=0.01 display-name=%{GROUP}
               lang=en_US.UTF-8 locale='C.UTF-8' listen-backlog=7 startup-timeout=1 inactivity-timeout=6
               shutdown-timeout=2 graceful-timeout=3 connect-timeout=4 socket-timeout=5"#,
        );
        assert_eq!((group.processes, group.threads), (Some(2), 8));
        assert_eq!(group.user.as_deref(), Some(&b"www"[..]));
        assert_eq!(group.group.as_deref(), Some(&b"#33"[..]));
        assert_eq!(group.umask, Some(0o27));
        assert_eq!(group.home.as_deref(), Some(&b"/srv/app"[..]));
        assert_eq!(group.python_home.as_deref(), Some(&b"/srv/venv"[..]));
        assert_eq!(group.python_path, [b"/a b".to_vec(), b"/c".to_vec()]);
        assert_eq!(group.python_eggs.as_deref(), Some(&b"/srv/eggs"[..]));
        assert_eq!(group.switch_interval, Some(10_000));
        assert_eq!(group.display_name.as_deref(), Some(&b"(wsgi:app)"[..]));
        assert_eq!(group.lang.as_deref(), Some(&b"en_US.UTF-8"[..]));
        assert_eq!(group.locale.as_deref(), Some(&b"C.UTF-8"[..]));
        assert_eq!(group.listen_backlog, 7);
        let seconds = [
            group.startup_timeout,
            group.shutdown_timeout,
            group.graceful_timeout,
            group.connect_timeout,
        ];
        assert_eq!(seconds.map(|time| time.as_secs()), [1, 2, 3, 4]);
        assert_eq!(group.socket_timeout, Some(Duration::from_secs(5)));
        assert_eq!(group.inactivity_timeout, Duration::from_secs(6));
    }

    #[test]
    fn a_socket_timeout_of_zero_is_apaches_timeout() {
        assert_eq!(options("app socket-timeout=0").socket_timeout, None);
    }

    #[test]
    fn the_last_value_of_a_repeated_option_counts() {
        assert_eq!(options("app threads=2 threads=3").threads, 3);
    }

    #[test]
    fn a_value_that_does_not_fit_is_named_with_its_option() {
        assert_eq!(
            refused("app threads=none"),
            "WSGIDaemonProcess: invalid value 'none' for option 'threads': \
             a number from 1 to 65533 is expected"
        );
        for args in [
            "app threads=0",
            "app threads=65534",
            "app threads=+3",
            "app threads=",
            "app processes=0",
            "app processes=-1",
            "app umask=8",
            "app umask=1000",
            "app user=",
            "app home=srv",
            "app python-home=venv",
            "app python-eggs=eggs",
            "app switch-interval=0",
            "app startup-timeout=1.5",
            "app inactivity-timeout=1.5",
            "app listen-backlog=0",
            "app display-name=",
            "app shutdown-timeout=99999999999",
        ] {
            assert!(refused(args).contains("invalid value"), "{args}");
        }
    }

    #[test]
    fn options_that_do_not_work_yet_are_refused_and_unknown_ones_named() {
        assert_eq!(
            refused("app maximum-requests=5"),
            "WSGIDaemonProcess: option 'maximum-requests' is not yet supported"
        );
        assert_eq!(
            refused("app thread=5"),
            "WSGIDaemonProcess: unknown option 'thread'"
        );
        assert_eq!(
            refused("app fast"),
            "WSGIDaemonProcess: 'fast' is not an option of the form name=value"
        );
        assert_eq!(
            refused(" "),
            "WSGIDaemonProcess: the name of the process group is required"
        );
        assert_eq!(
            refused("app home='/a"),
            "WSGIDaemonProcess: the arguments cannot be split into words"
        );
    }

    #[test]
    fn the_table_names_each_option_once() {
        let mut names: Vec<_> = OPTIONS.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), OPTIONS.len());
        let retired = |row: &&OptionRow| matches!(row.take, Take::Retired(..));
        assert_eq!(OPTIONS.iter().filter(retired).count(), 2);
        assert_eq!(names.len(), 44 + 2);
        assert_eq!(OPTIONS.iter().filter(|row| row.supported()).count(), 21 + 2);
        for row in OPTIONS {
            assert!(!row.doc.is_empty(), "{}", row.name);
        }
    }
}
