//! The options of WSGIDaemonProcess and WSGIDaemonTemplate, each with what it takes, its default and its meaning.
//!
//! Read by the parser, by the checks of the documentation and by tests. Holds no code but the way
//! of each value into its field.

use std::time::Duration;

use super::{DaemonOptions, Drawn, TemplateLimits, title};
use crate::interpreter;

/// How an option's value is read and where it goes.
pub(super) enum Take {
    /// A whole number within bounds.
    Count(u32, u32, fn(&mut DaemonOptions, u32)),
    /// A whole number within bounds, of templates only.
    Limit(u32, u32, fn(&mut TemplateLimits, u32)),
    /// A whole number within bounds, or two of them as `least-most`.
    Span(u32, u32, fn(&mut DaemonOptions, u32, u32)),
    /// A count, perhaps with `+jitter`: what each process may add to it.
    Drawn(fn(&mut DaemonOptions, Drawn)),
    /// A whole number within bounds that may be negative.
    Signed(i32, i32, fn(&mut DaemonOptions, i32)),
    /// A number of bytes, perhaps with the suffix K, M or G; 0, or at least this many.
    Bytes(u64, fn(&mut DaemonOptions, u64)),
    /// Whole milliseconds.
    Milliseconds(fn(&mut DaemonOptions, Duration)),
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
    /// This word, or Off.
    Word(&'static str, fn(&mut DaemonOptions, bool)),
    /// Anything: mod_wsgi had the option once. How a log calls it, and what is done instead.
    Retired(&'static str, &'static str),
    /// `NAME=VALUE`, a variable of the environment; may be repeated.
    Variable(fn(&mut DaemonOptions, Vec<u8>, Vec<u8>)),
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
    pub(super) take: Take,
}

impl OptionRow {
    /// Whether the option is one of a template or one of any group, as the case may be.
    pub(super) fn is_of(&self, options: &DaemonOptions) -> bool {
        options.template.is_some() || !self.is_of_templates()
    }

    /// Whether WSGIDaemonTemplate alone has the option.
    pub fn is_of_templates(&self) -> bool {
        matches!(self.take, Take::Limit(..))
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

/// What an option of whole seconds takes.
const SECONDS: &str = "a whole number of seconds";

/// What an option takes that is drawn by each process.
const DRAWN: &str = "a whole number, or two as number+jitter,";

/// The smallest stack a thread can run Python on.
const LEAST_STACK: u64 = 256 << 10;

/// What an option of bytes takes.
const BYTES: &str = "a number of bytes, perhaps with the suffix K, M or G,";

/// Every option of the directive, in the order the documentation lists them.
#[rustfmt::skip]
pub const OPTIONS: &[OptionRow] = &[
    row("processes", "a number from 1, or two as least-most,", "1", "Processes of the group; stating it makes wsgi.multiprocess true",
        Take::Span(1, 65_533, |o, least, most| {
            (o.least_processes, o.processes) = ((least < most).then_some(least), Some(most));
        })),
    row("threads", "a number up to 65533, or two as least-most,", "15", "Requests a process runs at once; 0: a WSGIImportScript is its program",
        Take::Span(0, 65_533, |o, least, most| {
            (o.least_threads, o.threads) = ((least < most).then_some(least), most);
        })),
    row("interpreters", "a number from 1 to 64", "1", "Copies of each application in a process, each with a GIL of its own (Python 3.13)",
        Take::Count(1, 64, |o, v| o.interpreters = v)),
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
    row("supplementary-groups", "names or #gids separated by ','", "those of the account", "Further groups of the processes",
        Take::Text(|o, v| o.supplementary_groups = Some(v.split(|byte| *byte == b',').map(<[u8]>::to_vec).collect()))),
    row("chroot", "an absolute path", "", "Root directory of the processes",
        Take::Directory(|o, v| o.chroot = Some(v))),
    row("stack-size", "a number of bytes from 256K", "the system's", "Stack of each request thread",
        Take::Bytes(LEAST_STACK, |o, v| o.stack_size = Some(v).filter(|size| *size > 0))),
    row("maximum-requests", DRAWN, "0", "Requests after which a process is replaced; 0: any",
        Take::Drawn(|o, v| o.maximum_requests = v)),
    row("restart-interval", DRAWN, "0", "Seconds after which a process is replaced; 0: any",
        Take::Drawn(|o, v| o.restart_interval = v)),
    row("recycle-memory", BYTES, "0", "Memory (PSS) at which a process is replaced; 0: any",
        Take::Bytes(1, |o, v| o.recycle_memory = v)),
    row("eviction-timeout", SECONDS, "graceful-timeout", "Time running requests have after SIGUSR1",
        Take::Seconds(|o, v| o.eviction_timeout = v)),
    row("deadlock-timeout", SECONDS, "300", "Time Python's lock may stay taken before the process is replaced; 0: any",
        Take::Seconds(|o, v| o.deadlock_timeout = v)),
    row("request-timeout", SECONDS, "0", "Time a request may run before its process is replaced; 0: any",
        Take::Seconds(|o, v| o.request_timeout = v)),
    row("interrupt-timeout", SECONDS, "0", "Time a request has to end once request-timeout has interrupted it; 0: it is not interrupted",
        Take::Seconds(|o, v| o.interrupt_timeout = v)),
    row("cpu-time-limit", SECONDS, "0", "CPU time after which a process is replaced; 0: any",
        Take::Count(0, u32::MAX, |o, v| o.cpu_time_limit = v)),
    row("cpu-priority", "a number from -20 to 20", "", "Scheduling priority of the processes",
        Take::Signed(-20, 20, |o, v| o.cpu_priority = Some(v))),
    row("memory-limit", BYTES, "0", "Data a process may have; 0: any",
        Take::Bytes(1, |o, v| o.memory_limit = v)),
    row("virtual-memory-limit", BYTES, "0", "Address space a process may have; 0: any",
        Take::Bytes(1, |o, v| o.virtual_memory_limit = v)),
    row("response-socket-timeout", SECONDS, "socket-timeout", "Time a client may take to accept bytes; 0: socket-timeout",
        Take::Seconds(|o, v| o.response_socket_timeout = Some(v).filter(|time| !time.is_zero()))),
    row("queue-timeout", SECONDS, "0", "Time a request may wait for a thread; 0: any",
        Take::Seconds(|o, v| o.queue_timeout = v)),
    row("send-buffer-size", "0 or at least 512 bytes", "the system's", "Send buffer of the group's sockets",
        Take::Bytes(512, |o, v| o.send_buffer_size = v)),
    row("receive-buffer-size", "0 or at least 512 bytes", "the system's", "Receive buffer of the group's sockets",
        Take::Bytes(512, |o, v| o.receive_buffer_size = v)),
    row("header-buffer-size", "0 or at least 8192 bytes", "0", "Longest response header; 0: any",
        Take::Bytes(8192, |o, v| o.header_buffer_size = v)),
    row("response-buffer-size", "0 or at least 65536 bytes", "8M", "Bytes of a response after which Apache's filters pass on what they hold",
        Take::Bytes(65_536, |o, v| o.response_buffer_size = if v == 0 { 8 << 20 } else { v })),
    row("response-flush-delay", "a whole number of milliseconds", "5", "Time after a flush in which further pieces travel together",
        Take::Milliseconds(|o, v| o.response_flush_delay = v)),
    row("socket-user", "an account name or #uid", "Apache's User", "Owner of the group's socket",
        Take::Text(|o, v| o.socket_user = Some(v))),
    row("script-user", "an account name or #uid", "", "User who must own every script",
        Take::Text(|o, v| o.script_user = Some(v))),
    row("script-group", "a group name or #gid", "", "Group that must own every script",
        Take::Text(|o, v| o.script_group = Some(v))),
    row("env", "NAME=VALUE", "", "A variable of os.environ; may be repeated",
        Take::Variable(|o, name, value| o.environment.push((name, value)))),
    row("env-file", "an absolute path", "", "A file of lines NAME=VALUE for os.environ; may be repeated",
        Take::Directory(|o, v| o.environment_files.push(v))),
    row("maximum-groups", "a number from 1 to 10000", "100", "Groups of a template at a time",
        Take::Limit(1, 10_000, |o, v| o.maximum_groups = v)),
    row("maximum-processes", "a number", "0", "Processes of all groups of a template; 0: any",
        Take::Limit(0, u32::MAX, |o, v| o.maximum_processes = v)),
    row("minimum-uid", "a number from 1", "1000", "Lowest id of an account or group that a key names",
        Take::Limit(1, u32::MAX, |o, v| o.minimum_uid = v)),
    row("preload", "fork or Off", "Off", "Whether the processes are forked from one that has loaded the application",
        Take::Word("fork", |o, v| o.preload = v)),
    row("server-metrics", "On or Off", "Off", "Whether applications may ask for the server's scoreboard",
        Take::Flag(|o, v| o.server_metrics = v)),
];
