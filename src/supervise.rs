//! The parent's side of the daemons: it makes their sockets, starts the monitor and follows
//! restarts.
//!
//! Runs in the parent's main thread, after the configuration was read; [`enter_child`] alone runs
//! in children. No thread is started in the parent, and nothing of a virtual environment is opened.
//!
//! * [`plan`] turns the configuration into process groups and refuses what cannot work.
//! * [`templates`] does the same for what groups are made from on demand.
//! * [`probe`] asks the interpreters under `configtest` whether they can run daemons.
//! * [`settings`] says what a group's options mean for its processes.
//! * [`monitor`] starts a monitor, starts it again when it dies and retires it with its generation.
//! * [`interpreters`] says what holds for which interpreter.
//! * [`descriptors`] makes room for what many groups have open.
//! * [`installation`] finds the files that lie beside this module.

mod descriptors;
mod installation;
mod interpreters;
mod monitor;
pub mod plan;
mod probe;
mod settings;
mod templates;

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use thiserror::Error;
use wsgi_unix::hints::HintPage;
use wsgi_unix::random;
use wsgi_unix::{accounts, hints, socket};
use wsgi_wire::launch::{DEFAULT_PYTHON, GatewayConfig, GroupSpec, List, MonitorConfig, hint_rows};
use wsgi_wire::secret::Secret;

use crate::config::Configuration;
use crate::daemon::{Group, GroupParts};
use crate::embedded::Embedded;
use crate::httpd::login_cache;
use crate::httpd::pool::Pool;
use crate::httpd::server::{self, Server};
use crate::site::Site;
use plan::PlanError;

pub use monitor::enter_child;

/// The gateway library's file.
const GATEWAY: &str = "_wsgi_gateway.abi3.so";

/// Why the server cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration cannot work.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A socket cannot be made.
    #[error(
        "the socket {} of process group '{group}' cannot be made ({source}); \
         WSGISocketPrefix names another place",
        path.display()
    )]
    Socket {
        /// The group.
        group: String,
        /// The socket's path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No directory for sockets.
    #[error("there is no directory for the sockets; WSGISocketPrefix names one")]
    NoPrefix,
    /// The system refused something.
    #[error("{what} for process group '{group}' cannot be made: {source}")]
    System {
        /// What was to be made.
        what: &'static str,
        /// The group.
        group: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The way by which children ask the monitor for groups.
    #[error("the socket to the monitor of the daemons cannot be made: {0}")]
    Control(#[source] std::io::Error),
    /// The number of descriptors cannot be found out or changed.
    #[error("the limit of descriptors (RLIMIT_NOFILE) cannot be set: {0}")]
    OpenFiles(#[source] std::io::Error),
    /// The files of this installation cannot be found.
    #[error("the directory of this module cannot be found")]
    NoInstallation,
    /// The monitor did not start.
    #[error("the monitor of the daemons cannot be started")]
    Monitor(#[source] monitor::MonitorError),
}

/// Sets the running configuration up: sockets before daemons, then the monitor.
pub fn start(pool: Pool<'static>, server: Server<'static>) -> Result<(), StartError> {
    let configuration = Configuration::of(pool);
    let plan = plan::resolve(&configuration.borrow(), server)?;
    let directory = installation::directory().ok_or(StartError::NoInstallation)?;
    let open_files = descriptors::make_room(server, &plan).map_err(StartError::OpenFiles)?;
    let generation = monitor::begin_generation(server);
    let prefix = socket_prefix(pool, server, plan.socket_prefix, generation)?;
    let groups = make_groups(plan.groups, &prefix)?;
    let (monitors_end, childrens_end) = templates::control().map_err(StartError::Control)?;
    let (mut template_specs, logs) = templates::for_monitor(&plan.templates, &prefix)?;
    let embedded = make_embedded(&configuration.borrow(), server, &directory);
    let keys = templates::take_keys(&mut configuration.borrow_mut(), &template_specs);
    let site = Site {
        groups: for_children(&groups)?,
        templates: templates::for_children(plan.templates, &childrens_end),
        keys,
        embedded,
        restrict_embedded: configuration.borrow().restrict_embedded,
        ignores_case: configuration.borrow().ignores_case,
        offers_logins: login_cache::is_wanted_for(b"wsgi"),
    };
    site.install(pool);
    server::add_product(pool, concat!("mod_wsgi_rs/", env!("CARGO_PKG_VERSION")));
    if groups.is_empty() && template_specs.is_empty() {
        return Ok(());
    }
    let (specs, mut descriptors) = hand_over(groups)?;
    templates::add_logs(&mut template_specs, logs, &mut descriptors);
    let config = MonitorConfig {
        generation,
        log_level: server.log_level(),
        gateway: path_bytes(directory.join(GATEWAY)),
        default_python: DEFAULT_PYTHON.as_bytes().to_vec(),
        client_uid: client_identity().0,
        groups: List(specs),
        templates: List(template_specs),
        socket_prefix: prefix.into_vec(),
        open_files,
    };
    let program = directory.join("wsgi-monitor");
    monitor::start(pool, server, program, &config, monitors_end, descriptors)
        .map_err(StartError::Monitor)
}

/// What the monitor is told of the groups, and the descriptors that it is given in their order.
fn hand_over(groups: Vec<Made>) -> Result<(Vec<GroupSpec>, Vec<OwnedFd>), StartError> {
    let mut numbers = monitor::first_log_descriptor(groups.len())..;
    let (mut specs, mut descriptors, mut logs) = (Vec::new(), Vec::new(), Vec::new());
    for mut group in groups {
        if let Some(log) = own_log(&group.planned)? {
            group.planned.spec.error_log_fd = numbers.next();
            logs.push(log);
        }
        specs.push(group.planned.spec);
        descriptors.push(group.listener);
        descriptors.push(group.hints);
    }
    descriptors.append(&mut logs);
    Ok((specs, descriptors))
}

/// The log of the virtual host in which the group was defined first, if it has its own.
fn own_log(planned: &plan::PlannedGroup) -> Result<Option<OwnedFd>, StartError> {
    let Some(server) = planned.servers.first() else {
        return Ok(None);
    };
    server.own_error_log().map_err(|source| StartError::System {
        what: "a descriptor of the virtual host's log",
        group: planned.display_name(),
        source,
    })
}

/// Whom Apache's children run as.
fn client_identity() -> (u32, u32) {
    if accounts::is_root() {
        server::child_identity()
    } else {
        (accounts::own_uid(), u32::MAX)
    }
}

/// A group with what the parent made for it.
struct Made {
    planned: plan::PlannedGroup,
    listener: OwnedFd,
    hints: OwnedFd,
    socket: PathBuf,
}

/// The groups as children look them up: in the order of their names.
fn for_children(groups: &[Made]) -> Result<Vec<Group>, StartError> {
    let made: Result<Vec<_>, _> = groups.iter().map(Made::for_children).collect();
    let mut groups = made?;
    groups.sort_unstable_by(|one, other| one.name().cmp(other.name()));
    Ok(groups)
}

impl Made {
    fn for_children(&self) -> Result<Group, StartError> {
        let options = &self.planned.options;
        let page =
            HintPage::map_read_only(self.hints.as_fd()).map_err(|source| StartError::System {
                what: "the mapping of the hint page",
                group: self.planned.display_name(),
                source,
            })?;
        let (name, socket) = (options.name.clone(), self.socket.clone());
        let secret = self.planned.spec.secret;
        let parts = group_parts(&self.planned, name, socket, secret, page);
        Group::new(parts).map_err(|source| StartError::System {
            what: "the count of waiting requests",
            group: self.planned.display_name(),
            source,
        })
    }
}

/// A group as children see it. Also runs in children, for groups that are made on demand.
fn group_parts(
    planned: &plan::PlannedGroup,
    name: Vec<u8>,
    socket: PathBuf,
    secret: Secret,
    page: HintPage,
) -> GroupParts {
    let options = &planned.options;
    GroupParts {
        name,
        servers: planned.servers.clone(),
        socket,
        secret,
        processes: planned.spec.gateway.processes,
        threads: options.threads,
        server_metrics: options.server_metrics,
        connect_timeout: plan::or_a_day(options.connect_timeout),
        socket_timeout: options
            .socket_timeout
            .unwrap_or_else(|| plan::or_a_day(planned.timeout)),
        queue_timeout: options.queue_timeout,
        relay: settings::of_relay(options),
        page,
    }
}

/// What the paths of this generation's sockets begin with.
fn socket_prefix(
    pool: Pool<'static>,
    server: Server<'static>,
    configured: Option<Vec<u8>>,
    generation: u32,
) -> Result<OsString, StartError> {
    let prefix = match configured {
        Some(prefix) => prefix,
        None => server
            .runtime_relative(pool, b"wsgi")
            .ok_or(StartError::NoPrefix)?
            .to_vec(),
    };
    let mut prefix = OsString::from_vec(prefix);
    prefix.push(format!(".{}.{generation}", std::process::id()));
    Ok(prefix)
}

fn make_groups(groups: Vec<plan::PlannedGroup>, prefix: &OsStr) -> Result<Vec<Made>, StartError> {
    let make = |(index, mut planned): (usize, plan::PlannedGroup)| {
        let mut name = prefix.to_owned();
        name.push(format!(".{}.sock", index + 1));
        let path = PathBuf::from(name);
        let (listener, hints) = make_descriptors(&planned, &path)?;
        planned.spec.socket = path_bytes(path.clone());
        let secret = random::secret().map_err(|source| StartError::System {
            what: "the secret",
            group: planned.display_name(),
            source,
        })?;
        planned.spec.secret = Secret::new(secret);
        let first = monitor::first_group_descriptor(index);
        planned.spec.listener_fd = first;
        planned.spec.hints_fd = first + 1;
        Ok(Made {
            planned,
            listener,
            hints,
            socket: path,
        })
    };
    groups.into_iter().enumerate().map(make).collect()
}

/// The owner of a group's socket: Apache's user, unless the option says otherwise.
fn socket_owner(planned: &plan::PlannedGroup) -> Option<(u32, u32)> {
    accounts::is_root().then(|| {
        let (uid, gid) = server::child_identity();
        (planned.spec.socket_uid.unwrap_or(uid), gid)
    })
}

fn make_descriptors(
    planned: &plan::PlannedGroup,
    path: &Path,
) -> Result<(OwnedFd, OwnedFd), StartError> {
    let owner = socket_owner(planned);
    // Left by a server that was killed and had our process id: nobody else uses this name.
    let _ = std::fs::remove_file(path);
    let listener =
        socket::listen(path, planned.options.listen_backlog, owner).map_err(|source| {
            StartError::Socket {
                group: planned.display_name(),
                path: path.into(),
                source,
            }
        })?;
    let hints = hints::create(hint_rows(planned.spec.gateway.processes)).map_err(|source| {
        StartError::System {
            what: "the hint page",
            group: planned.display_name(),
            source,
        }
    })?;
    Ok((listener, hints))
}

fn make_embedded(
    configuration: &Configuration,
    server: Server<'static>,
    directory: &Path,
) -> Embedded {
    let (processes, threads) = server::children();
    let (apache_major, apache_minor, apache_patch) = server::version();
    let config = GatewayConfig {
        process_group: Vec::new(),
        processes,
        threads,
        multiprocess: processes > 1,
        run_once: false,
        copies: 1,
        reserve_main: configuration.reserves_main(b""),
        python_path: List(configuration.python_path.clone()),
        home: None,
        imports: List(plan::imports_of(configuration, b"")),
        interpreters: interpreters::of_embedded(configuration),
        apache_major,
        apache_minor,
        apache_patch,
        log_level: server.log_level(),
        server: server::facts(),
        server_metrics: configuration.server_metrics,
        telemetry: configuration.telemetry.record(),
        script_owner: None,
        root: None,
    };
    let gateway = directory.join(GATEWAY);
    let python_home = configuration.python_home.clone();
    Embedded::new(gateway, python_home, configuration.python.clone(), config)
}

fn path_bytes(path: PathBuf) -> Vec<u8> {
    OsString::from(path).into_vec()
}
