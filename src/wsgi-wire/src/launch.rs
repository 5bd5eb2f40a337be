//! What a new process is told over an inherited descriptor: the monitor by httpd's parent, a
//! daemon by the monitor, and the embedded gateway by the module (there by pointer).
//!
//! Records are trusted as far as their sender is (the parent outranks the monitor, the monitor the
//! daemon), but decoded with the same care as everything else. Nothing of this travels on a
//! command line, where every user of the machine could read it.

use std::time::Duration;

use crate::codec::{Reader, WireError};
use crate::frame::VERSION;
use crate::secret::Secret;
use crate::supervision::Inheritance;

/// Descriptors a monitor finds open: see `ARCHITECTURE.md`, "Life of the server".
pub mod monitor_fd {
    /// A [`super::MonitorConfig`], read to its end.
    pub const CONFIG: i32 = 3;
    /// Readable or at its end when the parent retires this monitor (one byte) or dies (no byte).
    pub const PARENT: i32 = 4;
    /// At its end when the last Apache child of this generation is gone.
    pub const CHILDREN: i32 = 5;
    /// A socket of packets over which children ask for groups ([`crate::control`]).
    pub const CONTROL: i32 = 6;
    /// The first of the groups' descriptors, which [`super::GroupSpec`] names.
    pub const GROUPS: i32 = 7;
}

/// Descriptors a daemon finds open.
pub mod daemon_fd {
    /// A [`super::DaemonConfig`], read to its end.
    pub const CONFIG: i32 = 3;
    /// The group's listening socket.
    pub const LISTENER: i32 = 4;
    /// The group's hint page.
    pub const HINTS: i32 = 5;
    /// A socket of packets to the monitor ([`crate::supervision`]); at its end when that is gone.
    pub const MONITOR: i32 = 6;
}

/// The byte the parent writes to retire a monitor: its generation was replaced or the server
/// stops, so it serves its children until they are gone and then ends its daemons.
pub const RETIRE: u8 = b'R';

/// The exit status of a daemon that ends to be replaced: its script changed or could not be loaded,
/// or somebody asked for it. Far from what applications end with by accident.
pub const REPLACED_STATUS: i32 = 87;

/// The exit status of a process that could not load what others of its group have loaded, before it
/// took requests.
pub const UNLOADABLE_STATUS: i32 = 88;

/// The exit status of a process that was told what to do in another version of the protocol: its
/// file was exchanged since whoever started it was started.
pub const VERSION_STATUS: i32 = 89;

/// Rows of a group's hint page: its processes, as many that finish while their successors serve
/// already, and a few for those of a small group.
pub const fn hint_rows(processes: u32) -> u32 {
    processes.saturating_mul(2).saturating_add(3)
}

/// PATH of every daemon, and where an interpreter given by name is looked for.
pub const SEARCH_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The interpreter of groups without `python-home`.
pub const DEFAULT_PYTHON: &str = "python3";

/// The names an interpreter has under `python-home`, the usual one first.
pub const HOME_INTERPRETERS: [&str; 2] = ["bin/python", "bin/python3"];

/// What the processes of a group whose root directory is `root` call this path; `None` for one that
/// does not lie below it.
pub fn path_inside<'p>(root: &[u8], path: &'p [u8]) -> Option<&'p [u8]> {
    path.strip_prefix(root)
        .filter(|inside| inside.starts_with(b"/"))
}

mod field;
pub(crate) use field::record;
pub use field::{Field, List};

mod interpreter;
pub mod template;

pub use template::{SocketOwner, TemplateSpec};

pub use interpreter::{InterpreterOptions, InterpreterRule, PythonFlags};

record! {
    /// A script that is loaded when its process starts.
    ImportScript {
        /// Its absolute path.
        script: Vec<u8>,
        /// The application group to load it into; empty for the main interpreter.
        application_group: Vec<u8>,
        /// The callable it must define, or `None` for WSGIImportScript, which asks for none.
        callable: Option<Vec<u8>>,
    }
}

record! {
    /// What applications can learn of Apache.
    ServerFacts {
        /// What it calls itself, with its modules.
        description: Vec<u8>,
        /// When it was built.
        build_date: Vec<u8>,
        /// The name of its multi-processing module.
        mpm_name: Vec<u8>,
        /// The process id of its parent.
        pid: u32,
        /// How many children it has at most.
        children: u32,
        /// How many requests each of them runs at once.
        threads: u32,
    }
}

record! {
    /// Reports to a service outside of the server: WSGITelemetryService.
    Telemetry {
        /// The path of the service's socket.
        socket: Vec<u8>,
        /// The time between reports.
        interval: Duration,
        /// When a request counts as slow: WSGISlowRequests; zero: never.
        slow: Duration,
        /// Reports of slow requests have the User-Agent.
        user_agents: bool,
    }
}

record! {
    /// Whose every script of a group must be: the options `script-user` and `script-group`.
    ScriptOwner {
        /// The id is a group's, not a user's.
        group: bool,
        /// Its id.
        id: u32,
    }
}

record! {
    /// What the gateway needs to know in either mode.
    GatewayConfig {
        /// The process group's name; empty when embedded.
        process_group: Vec<u8>,
        /// How many processes share the group's requests.
        processes: u32,
        /// How many requests a process runs at once.
        threads: u32,
        /// `wsgi.multiprocess`.
        multiprocess: bool,
        /// `wsgi.run_once`.
        run_once: bool,
        /// How many interpreters with a GIL of their own each application group has; 0 or 1: one,
        /// as the rules say.
        copies: u32,
        /// The main interpreter is asked for by name (`%{GLOBAL}`), so no other application group
        /// may be given it.
        reserve_main: bool,
        /// Directories for `sys.path`, in order, each through `site.addsitedir`.
        python_path: List<Vec<u8>>,
        /// The directory put first on `sys.path`: the option `home`.
        home: Option<Vec<u8>>,
        /// Scripts to load at start.
        imports: List<ImportScript>,
        /// What holds for which interpreter.
        interpreters: InterpreterOptions,
        /// Apache's version: major, minor, patch.
        apache_major: u32,
        /// See `apache_major`.
        apache_minor: u32,
        /// See `apache_major`.
        apache_patch: u32,
        /// The least severe level that is logged (Apache's numbers).
        log_level: u8,
        /// The server in front.
        server: ServerFacts,
        /// Applications may ask for the server's scoreboard.
        server_metrics: bool,
        /// Where the process reports to.
        telemetry: Option<Telemetry>,
        /// Whose every script must be; `None`: anybody's.
        script_owner: Option<ScriptOwner>,
        /// The processes' root directory as Apache sees it, without a slash at its end: requests name
        /// scripts by paths outside, imports by paths inside.
        root: Option<Vec<u8>>,
    }
}

record! {
    /// A value that each process draws for itself: from `least` to `least + jitter`.
    Drawn {
        /// The smallest value; zero: none.
        least: u32,
        /// How much may be added.
        jitter: u32,
    }
}

record! {
    /// What holds for each daemon of a group, as its options say.
    DaemonSettings {
        /// The process title, e.g. `(wsgi:name)`.
        display_name: Option<Vec<u8>>,
        /// The value for LANG.
        lang: Option<Vec<u8>>,
        /// The value for LC_ALL, also given to `setlocale`.
        locale: Option<Vec<u8>>,
        /// How many requests a process runs at once at least, if their number changes by need; 0: it
        /// does not.
        least_threads: u32,
        /// Bytes of stack of each request thread.
        stack_size: Option<u64>,
        /// The time the first application may take to load, from the first request; zero: any.
        startup_timeout: Duration,
        /// The time without requests after which a process that had one is replaced; zero: any.
        inactivity_timeout: Duration,
        /// The time running requests have at shutdown before the process ends anyway; zero: any.
        shutdown_timeout: Duration,
        /// The time running requests have when the process is replaced gracefully.
        graceful_timeout: Duration,
        /// The same after SIGUSR1; zero: `graceful_timeout`.
        eviction_timeout: Duration,
        /// The time the interpreter lock may stay taken; zero: any.
        deadlock_timeout: Duration,
        /// The time a request may run; zero: any.
        request_timeout: Duration,
        /// The time a request has after it was interrupted; zero: it is not interrupted.
        interrupt_timeout: Duration,
        /// The number of requests after which a process is replaced.
        maximum_requests: Drawn,
        /// The age, seconds, at which a process is replaced.
        restart_interval: Drawn,
        /// The proportional set size, bytes, at which a process is replaced; zero: any.
        recycle_memory: u64,
        /// How long a request may have waited for a thread; zero: any time.
        queue_timeout: Duration,
        /// Bytes of the send buffer of connections; zero: the system's choice.
        send_buffer_size: u64,
        /// Bytes of the receive buffer of connections; zero: the system's choice.
        receive_buffer_size: u64,
        /// The monitor ends the group when nobody needs it: the process shows it in its row of the
        /// hint page when it was last in use.
        shows_use: bool,
    }
}

record! {
    /// What a daemon is told when it starts.
    DaemonConfig {
        /// The part both modes share.
        gateway: GatewayConfig,
        /// This process's row in the hint page.
        slot: u32,
        /// The uid that may connect besides root: the owner of the group's socket.
        client_uid: u32,
        /// What requests for the group are known by.
        secret: Secret,
        /// What its group's options say.
        settings: DaemonSettings,
        /// It serves no requests: it is the zygote from which the group's processes are forked.
        zygote: bool,
        /// What it is to load besides the imports.
        inheritance: Option<Inheritance>,
    }
}

record! {
    /// A variable of a process's environment.
    Variable {
        /// Its name, without `=` and NUL.
        name: Vec<u8>,
        /// Its value, without NUL.
        value: Vec<u8>,
    }
}

record! {
    /// What the monitor does for each daemon before it executes Python.
    ProcessSettings {
        /// The option `umask`.
        umask: Option<u32>,
        /// Further groups by id; `None`: those of the account.
        supplementary_groups: Option<List<u32>>,
        /// The root directory.
        chroot: Option<Vec<u8>>,
        /// The scheduling priority, -20 to 20; `None`: the monitor's.
        cpu_priority: Option<i32>,
        /// RLIMIT_CPU, seconds; zero: none.
        cpu_time_limit: u32,
        /// RLIMIT_DATA, bytes; zero: none.
        memory_limit: u64,
        /// RLIMIT_AS, bytes; zero: none.
        virtual_memory_limit: u64,
        /// Variables of the environment, in order.
        environment: List<Variable>,
        /// Files of such variables, in order, absolute; `environment` outranks them.
        environment_files: List<Vec<u8>>,
    }
}

record! {
    /// Whom a group's daemons run as.
    Identity {
        /// Effective, real and saved user.
        uid: u32,
        /// Effective, real and saved group.
        gid: u32,
        /// The account's name, for supplementary groups, LOGNAME and messages.
        name: Vec<u8>,
        /// The account's home directory, for HOME.
        home: Vec<u8>,
    }
}

record! {
    /// A process group.
    GroupSpec {
        /// The part its daemons are told as well.
        gateway: GatewayConfig,
        /// Whom its daemons run as; `None` when httpd was started without root: as everybody else.
        identity: Option<Identity>,
        /// `python-home`, or `None` for the default interpreter.
        python_home: Option<Vec<u8>>,
        /// How the interpreter is started.
        python: PythonFlags,
        /// What happens before it is.
        process: ProcessSettings,
        /// What its daemons are told.
        daemon: DaemonSettings,
        /// They are forked from a zygote that has loaded the application.
        preload: bool,
        /// The option `socket-user`: the uid that owns the socket, if it is not Apache's.
        socket_uid: Option<u32>,
        /// The fewest processes, if their number has bounds; zero: always `gateway.processes`.
        least_processes: u32,
        /// What requests for the group are known by.
        secret: Secret,
        /// The socket's path, which the monitor removes when it ends.
        socket: Vec<u8>,
        /// The listening socket's descriptor number in the monitor.
        listener_fd: u32,
        /// The hint page's descriptor number in the monitor.
        hints_fd: u32,
        /// The descriptor number in the monitor of the group's own error log; `None`: the server's.
        error_log_fd: Option<u32>,
    }
}

record! {
    /// What a monitor is told when it starts.
    MonitorConfig {
        /// Counts the server's configurations, from 1.
        generation: u32,
        /// The least severe level that is logged (Apache's numbers).
        log_level: u8,
        /// The gateway library's absolute path.
        gateway: Vec<u8>,
        /// The interpreter of groups without `python-home`: a name for PATH or a path.
        default_python: Vec<u8>,
        /// The uid of Apache's children.
        client_uid: u32,
        /// The configuration's process groups.
        groups: List<GroupSpec>,
        /// What groups are made from on demand.
        templates: List<TemplateSpec>,
        /// What the paths of sockets of this generation begin with.
        socket_prefix: Vec<u8>,
        /// How many descriptors a daemon may have open (RLIMIT_NOFILE): what httpd was started with,
        /// while parent and monitor may have more.
        open_files: u64,
    }
}

record! {
    /// What the gateway is told when it starts inside an Apache child.
    EmbeddedConfig {
        /// The part both modes share.
        gateway: GatewayConfig,
        /// The interpreter's executable, which names its prefix and site-packages: `sys.executable`.
        program: Vec<u8>,
        /// How Python is started.
        python: PythonFlags,
    }
}

/// A record that is sent on its own, after the protocol's version.
pub trait Message: Field {
    /// The record as bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        self.encode(&mut out);
        out
    }

    /// Decodes a whole message.
    fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8("version")?;
        if version != VERSION {
            return Err(WireError::Version {
                found: version,
                expected: VERSION,
            });
        }
        let message = Self::decode(&mut reader, "message")?;
        reader.finish()?;
        Ok(message)
    }
}

impl Message for MonitorConfig {}
impl Message for DaemonConfig {}
impl Message for EmbeddedConfig {}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway() -> GatewayConfig {
        GatewayConfig {
            process_group: b"app".to_vec(),
            processes: 2,
            threads: 8,
            multiprocess: true,
            run_once: false,
            copies: 2,
            reserve_main: false,
            python_path: List(vec![b"/srv/lib".to_vec()]),
            home: Some(b"/srv".to_vec()),
            imports: List(vec![ImportScript {
                script: b"/srv/app.wsgi".to_vec(),
                application_group: Vec::new(),
                callable: None,
            }]),
            interpreters: InterpreterOptions {
                rules: List(vec![InterpreterRule {
                    application_group: Some(b"shop".to_vec()),
                    switch_interval: Some(100),
                    own_gil: Some(true),
                    ..InterpreterRule::default()
                }]),
                left_at_end: true,
                computed_groups: 64,
            },
            apache_major: 2,
            apache_minor: 4,
            apache_patch: 71,
            log_level: 6,
            server: ServerFacts {
                description: b"Apache/2.4.71 (Unix)".to_vec(),
                build_date: b"2026-01-01T00:00:00".to_vec(),
                mpm_name: b"event".to_vec(),
                pid: 4711,
                children: 16,
                threads: 25,
            },
            server_metrics: true,
            telemetry: Some(Telemetry {
                socket: b"/run/telemetry.sock".to_vec(),
                interval: Duration::from_millis(500),
                slow: Duration::from_secs(2),
                user_agents: true,
            }),
            script_owner: Some(ScriptOwner {
                group: true,
                id: 50,
            }),
            root: Some(b"/srv/jail".to_vec()),
        }
    }

    #[test]
    fn a_monitor_config_decodes_to_what_was_encoded() {
        let config = MonitorConfig {
            generation: 3,
            log_level: 6,
            gateway: b"/usr/lib/g.so".to_vec(),
            default_python: b"python3".to_vec(),
            client_uid: 33,
            groups: List(vec![GroupSpec {
                gateway: gateway(),
                identity: None,
                python_home: None,
                python: PythonFlags {
                    optimize: 2,
                    warnings: List(vec![b"error".to_vec()]),
                    hash_seed: Some(b"random".to_vec()),
                    ..PythonFlags::default()
                },
                process: ProcessSettings {
                    umask: Some(0o27),
                    supplementary_groups: Some(List(vec![4, 27])),
                    cpu_priority: Some(-5),
                    environment: List(vec![Variable {
                        name: b"DEBUG".to_vec(),
                        value: b"1".to_vec(),
                    }]),
                    ..ProcessSettings::default()
                },
                daemon: DaemonSettings {
                    display_name: Some(b"(wsgi:app)".to_vec()),
                    inactivity_timeout: Duration::from_secs(60),
                    maximum_requests: Drawn {
                        least: 1000,
                        jitter: 100,
                    },
                    ..DaemonSettings::default()
                },
                socket_uid: Some(1000),
                preload: true,
                secret: Secret::new([5; 16]),
                socket: b"/run/wsgi.sock".to_vec(),
                listener_fd: 6,
                hints_fd: 7,
                least_processes: 1,
                error_log_fd: Some(8),
            }]),
            templates: List(vec![TemplateSpec {
                user: Some(b"%{key}".to_vec()),
                owner: Some(SocketOwner { uid: 33, gid: 33 }),
                maximum_groups: 10,
                ..TemplateSpec::default()
            }]),
            socket_prefix: b"/run/wsgi.1.1".to_vec(),
            open_files: 1024,
        };
        assert_eq!(MonitorConfig::from_bytes(&config.to_bytes()), Ok(config));
    }

    #[test]
    fn a_message_cut_anywhere_is_refused() {
        let config = EmbeddedConfig {
            gateway: gateway(),
            program: b"/usr/bin/python3".to_vec(),
            python: PythonFlags::default(),
        };
        let bytes = config.to_bytes();
        for length in 0..bytes.len() {
            assert!(
                EmbeddedConfig::from_bytes(&bytes[..length]).is_err(),
                "{length}"
            );
        }
    }
}
