//! Takes over what httpd's parent left: the configuration on descriptor 3, the two lifelines, and
//! each group's listener and hint page.
//!
//! Runs once, first of all, on the only thread. It starts nothing: whatever is wrong is told in
//! one sentence and the monitor ends.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd, RawFd};

use thiserror::Error;
use wsgi_unix::hints::HintPage;
use wsgi_unix::{accounts, inherited, socket};
use wsgi_wire::WireError;
use wsgi_wire::launch::{GroupSpec, Message, MonitorConfig, monitor_fd};

/// The longest configuration that is read, bytes: far above any real one.
const MAX_CONFIG: u64 = 64 << 20;

/// Why a monitor cannot begin.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A descriptor the parent must leave open is not there.
    #[error("started without its {what} on descriptor {number}; httpd starts it, not a person")]
    Descriptor {
        what: &'static str,
        number: RawFd,
        #[source]
        source: io::Error,
    },
    /// The configuration cannot be read.
    #[error("cannot read the configuration")]
    Read(#[source] io::Error),
    /// The configuration is no message of this version.
    #[error("cannot understand the configuration; are two versions installed side by side?")]
    Message(#[source] WireError),
    /// A path must be absolute, since it is used from another directory.
    #[error("process group {group:?}: the {what} {path:?} is not an absolute path")]
    RelativePath {
        group: String,
        what: &'static str,
        path: String,
    },
    /// A group asks for no processes.
    #[error("process group {0:?}: the number of processes cannot be 0")]
    Zero(String),
    /// The monitor is root, and a group would run as root.
    #[error("process group {0:?} would run as root; give it an account with the option user")]
    Root(String),
    /// The monitor is not root, and a group asks for an account.
    #[error("process group {0:?} asks for another account, and httpd was not started as root")]
    NotRoot(String),
    /// The descriptor named as a group's listener is no listening socket.
    #[error("process group {group:?}: descriptor {number} is no listening socket")]
    Listener {
        group: String,
        number: u32,
        #[source]
        source: Option<io::Error>,
    },
    /// The descriptor named as a group's error log is not there.
    #[error("process group {group:?}: its error log cannot be taken over")]
    Log {
        group: String,
        #[source]
        source: io::Error,
    },
    /// The descriptor named as a group's hint page is none, or has too few slots.
    #[error("process group {group:?}: descriptor {number} is no hint page of {slots} slots")]
    Hints {
        group: String,
        number: u32,
        slots: u32,
        #[source]
        source: Option<io::Error>,
    },
}

/// Everything a monitor starts with.
pub struct Launched {
    /// What to run.
    pub config: MonitorConfig,
    /// Tells of retirement or of the parent's death.
    pub parent: File,
    /// At its end when the last Apache child is gone.
    pub children: OwnedFd,
    /// Where children ask for groups.
    pub control: OwnedFd,
    /// The descriptors of each group, in the configuration's order.
    pub descriptors: Vec<GroupDescriptors>,
    /// The error log of each template's groups, likewise; `None`: the server's.
    pub template_logs: Vec<Option<OwnedFd>>,
}

/// The descriptors that all daemons of a group share.
pub struct GroupDescriptors {
    /// The listening socket, whose queue is the group's.
    pub listener: OwnedFd,
    /// The page on which daemons show how busy they are.
    pub hints: OwnedFd,
    /// The group's own error log; `None`: the server's.
    pub error_log: Option<OwnedFd>,
    /// The same page, to clear the row of a process that has ended; read only to see whether a group
    /// that was made on demand is in use.
    pub page: HintPage,
}

/// Takes over and checks everything.
pub fn take() -> Result<Launched, ConfigError> {
    let source = take_descriptor("configuration", monitor_fd::CONFIG)?;
    let parent = take_descriptor("parent's lifeline", monitor_fd::PARENT)?;
    let children = take_descriptor("children's lifeline", monitor_fd::CHILDREN)?;
    let control = take_descriptor("socket for its children", monitor_fd::CONTROL)?;
    let mut bytes = Vec::new();
    let mut limited = File::from(source).take(MAX_CONFIG);
    limited.read_to_end(&mut bytes).map_err(ConfigError::Read)?;
    let config = MonitorConfig::from_bytes(&bytes).map_err(ConfigError::Message)?;
    let root = accounts::is_root();
    let groups = &config.groups.0;
    let of_templates = config.templates.0.iter().map(|template| &template.group);
    for group in groups.iter().chain(of_templates) {
        check_group(group, root)?;
    }
    let descriptors = groups.iter().map(take_group).collect::<Result<_, _>>()?;
    let of_templates = config.templates.0.iter().map(|template| &template.group);
    let template_logs = of_templates.map(take_log).collect::<Result<_, _>>()?;
    Ok(Launched {
        config,
        parent: File::from(parent),
        children,
        control,
        descriptors,
        template_logs,
    })
}

/// A group's name, for messages.
pub fn name_of(group: &GroupSpec) -> String {
    String::from_utf8_lossy(&group.gateway.process_group).into_owned()
}

fn take_descriptor(what: &'static str, number: RawFd) -> Result<OwnedFd, ConfigError> {
    inherited::take(number).map_err(|source| ConfigError::Descriptor {
        what,
        number,
        source,
    })
}

/// The rules that need no descriptor.
fn check_group(spec: &GroupSpec, root: bool) -> Result<(), ConfigError> {
    let group = name_of(spec);
    let paths = [
        ("python-home", spec.python_home.as_ref()),
        ("home", spec.gateway.home.as_ref()),
        ("chroot", spec.process.chroot.as_ref()),
        ("socket", Some(&spec.socket)),
    ];
    for (what, path) in paths {
        if let Some(path) = path.filter(|path| !path.starts_with(b"/")) {
            let path = String::from_utf8_lossy(path).into_owned();
            return Err(ConfigError::RelativePath { group, what, path });
        }
    }
    if spec.gateway.processes == 0 {
        return Err(ConfigError::Zero(group));
    }
    match &spec.identity {
        Some(_) if !root => Err(ConfigError::NotRoot(group)),
        Some(identity) if identity.uid == 0 => Err(ConfigError::Root(group)),
        None if root => Err(ConfigError::Root(group)),
        _ => Ok(()),
    }
}

fn take_group(spec: &GroupSpec) -> Result<GroupDescriptors, ConfigError> {
    let listener_error = |source| ConfigError::Listener {
        group: name_of(spec),
        number: spec.listener_fd,
        source,
    };
    let slots = spec.gateway.processes;
    let hints_error = |source| ConfigError::Hints {
        group: name_of(spec),
        number: spec.hints_fd,
        slots,
        source,
    };
    let error_log = take_log(spec)?;
    let listener = take_number(spec.listener_fd).map_err(|error| listener_error(Some(error)))?;
    let hints = take_number(spec.hints_fd).map_err(|error| hints_error(Some(error)))?;
    match socket::is_listener(listener.as_fd()) {
        Ok(true) => {}
        other => return Err(listener_error(other.err())),
    }
    match HintPage::map(hints.as_fd()) {
        Ok(page) if page.slots() >= slots => Ok(GroupDescriptors {
            listener,
            hints,
            error_log,
            page,
        }),
        other => Err(hints_error(other.err())),
    }
}

fn take_log(spec: &GroupSpec) -> Result<Option<OwnedFd>, ConfigError> {
    let error_log = spec.error_log_fd.map(take_number).transpose();
    error_log.map_err(|source| ConfigError::Log {
        group: name_of(spec),
        source,
    })
}

fn take_number(number: u32) -> io::Result<OwnedFd> {
    let number = RawFd::try_from(number).map_err(|_| io::ErrorKind::InvalidInput)?;
    if number < monitor_fd::GROUPS {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    inherited::take(number)
}
