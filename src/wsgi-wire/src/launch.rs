//! What a new process is told over an inherited descriptor: the monitor by httpd's parent, a
//! daemon by the monitor, and the embedded gateway by the module (there by pointer).
//!
//! Records are trusted as far as their sender is (the parent outranks the monitor, the monitor the
//! daemon), but decoded with the same care as everything else. Nothing of this travels on a
//! command line, where every user of the machine could read it.

use std::time::Duration;

use crate::codec::{Reader, WireError, Writer};
use crate::frame::VERSION;

/// Descriptors a monitor finds open: see `ARCHITECTURE.md`, "Life of the server".
pub mod monitor_fd {
    /// A [`super::MonitorConfig`], read to its end.
    pub const CONFIG: i32 = 3;
    /// Readable or at its end when the parent retires this monitor (one byte) or dies (no byte).
    pub const PARENT: i32 = 4;
    /// At its end when the last Apache child of this generation is gone.
    pub const CHILDREN: i32 = 5;
    /// The first of the groups' descriptors, which [`super::GroupSpec`] names.
    pub const GROUPS: i32 = 6;
}

/// Descriptors a daemon finds open.
pub mod daemon_fd {
    /// A [`super::DaemonConfig`], read to its end.
    pub const CONFIG: i32 = 3;
    /// The group's listening socket.
    pub const LISTENER: i32 = 4;
    /// The group's hint page.
    pub const HINTS: i32 = 5;
    /// At its end when the monitor is gone.
    pub const LIFELINE: i32 = 6;
}

/// The byte the parent writes to retire a monitor: its generation was replaced or the server
/// stops, so it serves its children until they are gone and then ends its daemons.
pub const RETIRE: u8 = b'R';

/// The exit status of a daemon that ends to be replaced: its script changed or could not be loaded,
/// or somebody asked for it. Far from what applications end with by accident.
pub const REPLACED_STATUS: i32 = 87;

/// A field that has one encoding.
pub trait Field: Sized {
    /// Appends the field.
    fn encode(&self, out: &mut Vec<u8>);
    /// Takes the field; `name` is named in errors.
    fn decode(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, WireError>;
}

impl Field for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(u8::from(*self));
    }

    fn decode(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, WireError> {
        match reader.u8(name)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(WireError::Value {
                field: name,
                value: u64::from(other),
            }),
        }
    }
}

impl Field for u8 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(*self);
    }

    fn decode(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, WireError> {
        reader.u8(name)
    }
}

impl Field for u64 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u64(*self);
    }

    fn decode(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, WireError> {
        reader.u64(name)
    }
}

impl Field for u32 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(*self);
    }

    fn decode(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, WireError> {
        reader.u32(name)
    }
}

/// Milliseconds on the wire.
impl Field for Duration {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u64(u64::try_from(self.as_millis()).unwrap_or(u64::MAX));
    }

    fn decode(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, WireError> {
        Ok(Duration::from_millis(reader.u64(name)?))
    }
}

impl Field for Vec<u8> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_bytes(self);
    }

    fn decode(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, WireError> {
        Ok(reader.bytes(name)?.to_vec())
    }
}

impl<T: Field> Field for Option<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.is_some().encode(out);
        if let Some(value) = self {
            value.encode(out);
        }
    }

    fn decode(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, WireError> {
        bool::decode(reader, name)?
            .then(|| T::decode(reader, name))
            .transpose()
    }
}

/// A sequence of any record but bytes, which have their own encoding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct List<T>(pub Vec<T>);

impl<T: Field> Field for List<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(self.0.len() as u32);
        for item in &self.0 {
            item.encode(out);
        }
    }

    fn decode(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, WireError> {
        let count = reader.u32(name)?;
        // Grown by decoding, never by the count: a count that lies ends as `Short`.
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(T::decode(reader, name)?);
        }
        Ok(List(items))
    }
}

macro_rules! record {
    ($(#[$outer:meta])* $name:ident { $($(#[$doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $name {
            $($(#[$doc])* pub $field: $type,)*
        }

        impl Field for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                $(self.$field.encode(out);)*
            }

            fn decode(reader: &mut Reader<'_>, _: &'static str) -> Result<Self, WireError> {
                Ok($name { $($field: Field::decode(reader, stringify!($field))?,)* })
            }
        }
    };
}

pub(crate) use record;

mod interpreter;

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
    }
}

record! {
    /// What a daemon is told when it starts.
    DaemonConfig {
        /// The part both modes share.
        gateway: GatewayConfig,
        /// This process's row in the hint page.
        slot: u32,
        /// The uid that may connect besides root: Apache's.
        client_uid: u32,
        /// The process title, e.g. `(wsgi:name)`.
        display_name: Option<Vec<u8>>,
        /// The value for LANG.
        lang: Option<Vec<u8>>,
        /// The value for LC_ALL, also given to `setlocale`.
        locale: Option<Vec<u8>>,
        /// The time the first application may take to load, from the first request; zero: any.
        startup_timeout: Duration,
        /// The time without requests after which a process that had one is replaced; zero: any.
        inactivity_timeout: Duration,
        /// The time running requests have at shutdown before the process ends anyway; zero: any.
        shutdown_timeout: Duration,
        /// The time running requests have when the process is replaced gracefully.
        graceful_timeout: Duration,
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
        /// The option `umask`.
        umask: Option<u32>,
        /// `python-home`, or `None` for the default interpreter.
        python_home: Option<Vec<u8>>,
        /// How the interpreter is started.
        python: PythonFlags,
        /// See [`DaemonConfig::display_name`].
        display_name: Option<Vec<u8>>,
        /// See [`DaemonConfig::lang`].
        lang: Option<Vec<u8>>,
        /// See [`DaemonConfig::locale`].
        locale: Option<Vec<u8>>,
        /// See [`DaemonConfig::startup_timeout`].
        startup_timeout: Duration,
        /// See [`DaemonConfig::inactivity_timeout`].
        inactivity_timeout: Duration,
        /// See [`DaemonConfig::shutdown_timeout`].
        shutdown_timeout: Duration,
        /// See [`DaemonConfig::graceful_timeout`].
        graceful_timeout: Duration,
        /// The socket's path, which the monitor removes when it ends.
        socket: Vec<u8>,
        /// The listening socket's descriptor number in the monitor.
        listener_fd: u32,
        /// The hint page's descriptor number in the monitor.
        hints_fd: u32,
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
            },
            server_metrics: true,
            telemetry: Some(Telemetry {
                socket: b"/run/telemetry.sock".to_vec(),
                interval: Duration::from_millis(500),
                slow: Duration::from_secs(2),
                user_agents: true,
            }),
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
                umask: Some(0o27),
                python_home: None,
                python: PythonFlags {
                    optimize: 2,
                    warnings: List(vec![b"error".to_vec()]),
                    hash_seed: Some(b"random".to_vec()),
                    ..PythonFlags::default()
                },
                display_name: Some(b"(wsgi:app)".to_vec()),
                lang: None,
                locale: None,
                startup_timeout: Duration::ZERO,
                inactivity_timeout: Duration::from_secs(60),
                shutdown_timeout: Duration::from_secs(5),
                graceful_timeout: Duration::from_secs(15),
                socket: b"/run/wsgi.sock".to_vec(),
                listener_fd: 6,
                hints_fd: 7,
            }]),
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
