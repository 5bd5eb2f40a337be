//! From the configuration to process groups: who they run as, what they load, and whether that
//! can work at all.
//!
//! Runs in the parent, also under `configtest`: it looks up accounts, has interpreters tell their
//! version, and changes nothing.

use std::time::Duration;

use wsgi_config::daemon_options::{DaemonOptions, Drawn};
use wsgi_wire::launch::{self, GatewayConfig, GroupSpec, ImportScript, List, TemplateSpec};
use wsgi_wire::secret::Secret;

use super::probe;
use super::{GATEWAY, installation, interpreters, settings, templates};
use crate::config::{Configuration, DaemonGroup};
use crate::httpd::log::{self, Level};
use crate::httpd::pool::Pool;
use crate::httpd::server::{self, Server};

mod accounts;
mod checks;
mod error;

pub(super) use accounts::group_id;
pub use error::PlanError;

/// The process groups of a configuration.
#[derive(Debug)]
pub struct Plan {
    /// In the order of the configuration.
    pub groups: Vec<PlannedGroup>,
    /// What groups are made from on demand, likewise.
    pub templates: Vec<PlannedTemplate>,
    /// WSGISocketPrefix.
    pub socket_prefix: Option<Vec<u8>>,
}

/// A process group that can be started; its descriptors and socket are not made yet.
#[derive(Debug)]
pub struct PlannedGroup {
    /// Its options.
    pub options: DaemonOptions,
    /// The servers it was defined in, the first one first.
    pub servers: Vec<Server<'static>>,
    /// Apache's Timeout where it was defined first.
    pub timeout: Duration,
    /// What the monitor will be told.
    pub spec: GroupSpec,
}

/// A template; where its groups' sockets will be is not known yet.
#[derive(Debug)]
pub struct PlannedTemplate {
    /// A group of it.
    pub group: PlannedGroup,
    /// What the monitor will be told, but for the group.
    pub spec: TemplateSpec,
}

impl PlannedGroup {
    /// Its name for messages.
    pub fn display_name(&self) -> String {
        text(&self.options.name)
    }
}

/// Refuses a configuration that cannot work.
pub fn check(pool: Pool<'static>) -> Result<(), PlanError> {
    let Some(server) = Server::main() else {
        return Ok(());
    };
    let plan = resolve(&Configuration::of(pool).borrow(), server)?;
    if server::is_configtest() {
        let directory = installation::directory().unwrap_or_default();
        for (group, unfit) in probe::unfit(&plan, &directory.join(GATEWAY)) {
            if !unfit.is_doubt() {
                return Err(PlanError::PythonHome { group, unfit });
            }
            let line = format!("{group}: {unfit}");
            log::server(server, Level::Warning, line);
        }
    }
    Ok(())
}

/// Puts the process groups together.
pub fn resolve(configuration: &Configuration, server: Server<'static>) -> Result<Plan, PlanError> {
    checks::check_imports(configuration)?;
    checks::check_functions(configuration)?;
    checks::check_programs(configuration)?;
    checks::check_keys(configuration)?;
    let (mut groups, mut templates) = (Vec::new(), Vec::new());
    for group in &configuration.groups {
        match &group.options.template {
            None => groups.push(planned(configuration, server, group)?),
            Some(limits) => {
                templates.push(templates::planned(configuration, server, group, *limits)?)
            }
        }
    }
    Ok(Plan {
        groups,
        templates,
        socket_prefix: configuration.socket_prefix.clone(),
    })
}

/// The scripts to be loaded when a process of the group starts, each once however many virtual hosts
/// ask for it; an empty name is embedded mode.
pub fn imports_of(configuration: &Configuration, process_group: &[u8]) -> Vec<ImportScript> {
    let mut scripts = Vec::new();
    let imports = configuration.imports.iter();
    for import in imports.filter(|import| import.process_group == process_group) {
        let script = ImportScript {
            script: import.script.clone(),
            application_group: import.application_group.clone(),
            callable: import.callable.clone(),
        };
        if !scripts.contains(&script) {
            scripts.push(script);
        }
    }
    scripts
}

pub(super) fn planned(
    configuration: &Configuration,
    server: Server<'static>,
    group: &DaemonGroup,
) -> Result<PlannedGroup, PlanError> {
    let options = &group.options;
    let (apache_major, apache_minor, apache_patch) = server::version();
    let runs_program = options.threads == 0;
    let gateway = GatewayConfig {
        process_group: options.name.clone(),
        processes: options.processes.unwrap_or(1).max(1),
        threads: options.threads,
        // Copies of an application share no objects, as processes do not.
        multiprocess: options.processes.is_some() || options.interpreters > 1,
        run_once: options.threads == 1
            && options.maximum_requests
                == Drawn {
                    least: 1,
                    jitter: 0,
                },
        copies: if runs_program {
            1
        } else {
            options.interpreters
        },
        // A program has the main interpreter, the only one in which Python handles signals.
        reserve_main: !runs_program && configuration.reserves_main(&options.name),
        python_path: List(options.python_path.clone()),
        home: options.home.clone(),
        imports: List(imports_inside(configuration, options)?),
        interpreters: interpreters::of_group(configuration, options),
        apache_major,
        apache_minor,
        apache_patch,
        log_level: server.log_level(),
        server: server::facts(),
        server_metrics: options.server_metrics,
        telemetry: match runs_program {
            true => None,
            false => configuration.telemetry.record(),
        },
        script_owner: accounts::script_owner(options)?,
        root: root(options)?,
    };
    let python_home = options
        .python_home
        .clone()
        .or_else(|| configuration.python_home.clone());
    let spec = GroupSpec {
        gateway,
        identity: accounts::identity(options)?,
        python_home,
        python: interpreters::flags_of_group(configuration, options),
        process: settings::of_process(options, accounts::supplementary_groups(options)?),
        daemon: settings::of_daemon(options),
        preload: options.preload,
        socket_uid: accounts::socket_uid(options)?,
        // Drawn when the group is made.
        secret: Secret::default(),
        socket: Vec::new(),
        listener_fd: 0,
        hints_fd: 0,
        error_log_fd: None,
        least_processes: options.least_processes.unwrap_or(0),
    };
    Ok(PlannedGroup {
        options: options.clone(),
        timeout: group.servers.first().unwrap_or(&server).timeout(),
        servers: group.servers.clone(),
        spec,
    })
}

/// The option `chroot`.
fn root(options: &DaemonOptions) -> Result<Option<Vec<u8>>, PlanError> {
    let root = settings::root_of(options);
    match &root {
        Some(path) if !wsgi_unix::accounts::is_root() => Err(PlanError::NeedsRoot {
            group: options.definition(),
            option: "chroot",
            value: text(path),
        }),
        _ => Ok(root),
    }
}

/// The scripts to be loaded at start, by the paths they have below the group's root directory.
fn imports_inside(
    configuration: &Configuration,
    options: &DaemonOptions,
) -> Result<Vec<ImportScript>, PlanError> {
    let mut imports = imports_of(configuration, options.defined_name());
    let Some(root) = settings::root_of(options) else {
        return Ok(imports);
    };
    for import in &mut imports {
        let inside = launch::path_inside(&root, &import.script);
        let inside = inside.ok_or_else(|| PlanError::ImportOutside {
            group: options.definition(),
            script: text(&import.script),
            root: text(&root),
        })?;
        import.script = inside.to_vec();
    }
    Ok(imports)
}

/// A time-out of which zero means none; a day is as good as none and keeps deadlines simple.
pub fn or_a_day(timeout: Duration) -> Duration {
    if timeout.is_zero() {
        Duration::from_secs(24 * 60 * 60)
    } else {
        timeout
    }
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
