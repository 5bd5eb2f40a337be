//! From the configuration to process groups: who they run as, what they load, and whether that
//! can work at all.
//!
//! Runs in the parent, also under `configtest`: it looks up accounts, has interpreters tell their
//! version, and changes nothing.

use std::time::Duration;

use thiserror::Error;
use wsgi_config::daemon_options::{DaemonOptions, Drawn};
use wsgi_config::keyed;
use wsgi_unix::accounts::{self, Account};
use wsgi_wire::launch::{
    self, GatewayConfig, GroupSpec, Identity, ImportScript, List, ScriptOwner, TemplateSpec,
};

use super::probe::{self, Unfit};
use super::{GATEWAY, installation, interpreters, settings, templates};
use crate::config::{Configuration, DaemonGroup, Import};
use crate::httpd::log::{self, Level};
use crate::httpd::pool::Pool;
use crate::httpd::server::{self, Server};

/// Why a configuration cannot work.
#[derive(Debug, Error)]
pub enum PlanError {
    /// No such account.
    #[error("{group}: there is no user '{user}'")]
    NoUser {
        /// The group.
        group: String,
        /// The option's value.
        user: String,
    },
    /// No such group of users.
    #[error("{group}: there is no group '{name}'")]
    NoGroup {
        /// The process group.
        group: String,
        /// The option's value.
        name: String,
    },
    /// Daemons never run as root.
    #[error("{group}: user '{user}' is root, which no application may run as")]
    Root {
        /// The group.
        group: String,
        /// The option's value.
        user: String,
    },
    /// Another user needs root.
    #[error("{group}: {option}={value} takes root, and httpd is not started as root")]
    NeedsRoot {
        /// The group.
        group: String,
        /// The option.
        option: &'static str,
        /// The option's value.
        value: String,
    },
    /// `python-home` names no Python that can run daemons.
    #[error("{group}: {unfit}")]
    PythonHome {
        /// The group.
        group: String,
        /// What is wrong.
        unfit: Unfit,
    },
    /// The accounts cannot be read.
    #[error("{group}: the accounts cannot be read: {source}")]
    Accounts {
        /// The group.
        group: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// An account that a key names is known by name only.
    #[error("{template}: {option}={value} must name an account as %{{key}}, not by number")]
    KeyedNumber {
        /// The template.
        template: String,
        /// `user` or `group`.
        option: &'static str,
        /// The option's value.
        value: String,
    },
    /// A key cannot choose what is looked up before there is one.
    #[error("{template}: {option}={value} cannot depend on %{{key}}")]
    NotKeyed {
        /// The template.
        template: String,
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
    },
    /// Not even one group may be made.
    #[error("{template}: maximum-processes={maximum} is less than the processes of one group")]
    NoProcesses {
        /// The template.
        template: String,
        /// The option's value.
        maximum: u32,
    },
    /// Its groups are made by requests, which they could not answer.
    #[error("{template}: threads=0 is for programs, which no request makes")]
    NoRequests {
        /// The template.
        template: String,
    },
    /// What gives a key cannot be parsed.
    #[error("the process group '{name}': {said}")]
    Key {
        /// The name as written.
        name: String,
        /// httpd's sentence.
        said: String,
    },
    /// A template has no processes before there is a key.
    #[error(
        "{directive} {script}: '{group}' is one of the groups of a template; its name alone loads \
         the script in each of them when it is made"
    )]
    ImportKey {
        /// The directive.
        directive: &'static str,
        /// The script.
        script: String,
        /// The process group.
        group: String,
    },
    /// An import's process group is not defined.
    #[error("{directive} {script}: no WSGIDaemonProcess defines the process group '{group}'")]
    ImportGroup {
        /// The directive.
        directive: &'static str,
        /// The script.
        script: String,
        /// The process group.
        group: String,
    },
    /// The process group of a script with functions is not defined.
    #[error("{directive} {script}: no WSGIDaemonProcess defines the process group '{group}'")]
    FunctionGroup {
        /// The directive.
        directive: &'static str,
        /// The script.
        script: String,
        /// The process group.
        group: String,
    },
    /// An import's process group belongs to another virtual host.
    #[error(
        "{directive} {script}: the process group '{group}' belongs to a virtual host of another \
         ServerName"
    )]
    ImportForeign {
        /// The directive.
        directive: &'static str,
        /// The script.
        script: String,
        /// The process group.
        group: String,
    },
    /// A group without request threads has no program, or several.
    #[error(
        "WSGIDaemonProcess {group}: threads=0 runs the one script that a WSGIImportScript names for \
         the group, and {count} are named"
    )]
    Programs {
        /// The process group.
        group: String,
        /// How many are named.
        count: usize,
    },
    /// A group without request threads is to answer.
    #[error("{directive} {script}: the process group '{group}' has threads=0 and answers nothing")]
    NoThreads {
        /// The directive.
        directive: &'static str,
        /// The script.
        script: String,
        /// The process group.
        group: String,
    },
    /// An option that a group without request threads cannot follow.
    #[error("WSGIDaemonProcess {group}: recycle-memory needs threads")]
    ProgramOption {
        /// The process group.
        group: String,
    },
    /// An import lies outside the root directory of its process group.
    #[error("{group}: chroot={root} has no script {script}, which is to be imported")]
    ImportOutside {
        /// The process group.
        group: String,
        /// The script.
        script: String,
        /// The root directory.
        root: String,
    },
    /// An import wants embedded mode, which is forbidden.
    #[error("{directive} {script}: WSGIRestrictEmbedded keeps scripts out of Apache's processes")]
    ImportEmbedded {
        /// The directive.
        directive: &'static str,
        /// The script.
        script: String,
    },
}

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
    check_imports(configuration)?;
    check_functions(configuration)?;
    check_programs(configuration)?;
    check_keys(configuration)?;
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

fn check_imports(configuration: &Configuration) -> Result<(), PlanError> {
    for import in &configuration.imports {
        let directive = import.directive;
        let script = text(&import.script);
        if import.process_group.is_empty() {
            if configuration.restrict_embedded {
                return Err(PlanError::ImportEmbedded { directive, script });
            }
            continue;
        }
        let group = text(&import.process_group);
        let mut groups = configuration.groups.iter();
        let defined = groups.find(|group| group.options.defined_name() == import.process_group);
        if defined.is_none() && template_of(configuration, &import.process_group).is_some() {
            // A script that an alias names is loaded with the first request.
            match import.callable {
                Some(_) => continue,
                None => {
                    return Err(PlanError::ImportKey {
                        directive,
                        script,
                        group,
                    });
                }
            }
        }
        let Some(defined) = defined else {
            return Err(PlanError::ImportGroup {
                directive,
                script,
                group,
            });
        };
        if !defined.is_open_to(import.server) {
            return Err(PlanError::ImportForeign {
                directive,
                script,
                group,
            });
        }
    }
    Ok(())
}

/// Refuses functions of groups that nobody defines; whether a virtual host may use a group is seen
/// when its request comes.
fn check_functions(configuration: &Configuration) -> Result<(), PlanError> {
    for (directive, script, group) in &configuration.function_groups {
        let mut groups = configuration.groups.iter();
        let fixed = !group.starts_with(b"%");
        let defined = groups.any(|defined| defined.options.name == *group)
            || template_of(configuration, group).is_some();
        if fixed && !defined {
            return Err(PlanError::FunctionGroup {
                directive,
                script: text(script),
                group: text(group),
            });
        }
    }
    Ok(())
}

/// A group without request threads runs one script and answers nothing.
fn check_programs(configuration: &Configuration) -> Result<(), PlanError> {
    let groups = configuration.groups.iter();
    for options in groups.map(|group| &group.options) {
        if options.threads > 0 {
            continue;
        }
        if options.template.is_some() {
            let template = options.definition();
            return Err(PlanError::NoRequests { template });
        }
        let group = text(&options.name);
        let no_threads = |directive, script: &[u8]| PlanError::NoThreads {
            directive,
            script: text(script),
            group: group.clone(),
        };
        let mut aliases = configuration.imports.iter();
        let answers =
            |import: &&Import| import.process_group == options.name && import.callable.is_some();
        if let Some(alias) = aliases.find(answers) {
            return Err(no_threads(alias.directive, &alias.script));
        }
        let mut functions = configuration.function_groups.iter();
        if let Some((directive, script, _)) = functions.find(|(_, _, name)| *name == options.name) {
            return Err(no_threads(directive, script));
        }
        let count = imports_of(configuration, &options.name).len();
        if count != 1 {
            return Err(PlanError::Programs { group, count });
        }
        if options.recycle_memory > 0 {
            return Err(PlanError::ProgramOption { group });
        }
    }
    Ok(())
}

/// The template that a name of the form `template/key` names.
fn template_of<'c>(configuration: &'c Configuration, name: &[u8]) -> Option<&'c DaemonGroup> {
    let (template, _) = keyed::split(name)?;
    let mut groups = configuration.groups.iter();
    groups
        .find(|group| group.options.template.is_some() && group.options.defined_name() == template)
}

/// Refuses names of groups of a template whose key cannot be understood.
fn check_keys(configuration: &Configuration) -> Result<(), PlanError> {
    for (name, key) in &configuration.keys {
        if let Err(said) = key
            && template_of(configuration, name).is_some()
        {
            return Err(PlanError::Key {
                name: text(name),
                said: said.clone(),
            });
        }
    }
    Ok(())
}

/// The scripts to be loaded when a process of the group starts, each once however many virtual hosts
/// ask for it; an empty name is embedded mode.
pub fn imports_of(configuration: &Configuration, process_group: &[u8]) -> Vec<ImportScript> {
    let mut scripts = Vec::new();
    for import in &configuration.imports {
        let script = ImportScript {
            script: import.script.clone(),
            application_group: import.application_group.clone(),
            callable: import.callable.clone(),
        };
        if import.process_group == process_group && !scripts.contains(&script) {
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
        script_owner: script_owner(options)?,
        root: root(options)?,
    };
    let python_home = options
        .python_home
        .clone()
        .or_else(|| configuration.python_home.clone());
    let spec = GroupSpec {
        gateway,
        identity: identity(options)?,
        python_home,
        python: interpreters::flags_of_group(configuration, options),
        process: settings::of_process(options, supplementary_groups(options)?),
        daemon: settings::of_daemon(options),
        preload: options.preload,
        socket_uid: socket_uid(options)?,
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

/// Whom the group runs as; `None` without root, where there is no choice.
fn identity(options: &DaemonOptions) -> Result<Option<Identity>, PlanError> {
    let group = || options.definition();
    let user = options
        .user
        .as_deref()
        .map(|user| account(&group(), user))
        .transpose()?;
    let gid = options
        .group
        .as_deref()
        .map(|name| group_id(&group(), name))
        .transpose()?;
    if !accounts::is_root() {
        if user.is_some_and(|account| account.uid != accounts::own_uid()) {
            let value = options.user.as_deref().map(text).unwrap_or_default();
            return Err(PlanError::NeedsRoot {
                group: group(),
                option: "user",
                value,
            });
        }
        if gid.is_some_and(|gid| gid != accounts::own_gid()) {
            let value = options.group.as_deref().map(text).unwrap_or_default();
            return Err(PlanError::NeedsRoot {
                group: group(),
                option: "group",
                value,
            });
        }
        return Ok(None);
    }
    let (apache_uid, apache_gid) = server::child_identity();
    let account = match user {
        Some(account) => account,
        None => Account {
            gid: apache_gid,
            ..by_uid(&group(), apache_uid)?
        },
    };
    if account.uid == 0 {
        let user = options.user.as_deref().map_or_else(|| "#0".into(), text);
        return Err(PlanError::Root {
            group: group(),
            user,
        });
    }
    let gid = gid.unwrap_or(account.gid);
    Ok(Some(Identity {
        uid: account.uid,
        gid,
        name: account.name,
        home: account.home,
    }))
}

/// The option `chroot`.
fn root(options: &DaemonOptions) -> Result<Option<Vec<u8>>, PlanError> {
    let root = settings::root_of(options);
    match &root {
        Some(path) if !accounts::is_root() => Err(PlanError::NeedsRoot {
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

/// Whose every script of the group must be.
fn script_owner(options: &DaemonOptions) -> Result<Option<ScriptOwner>, PlanError> {
    let group = options.definition();
    let owner = match (&options.script_user, &options.script_group) {
        (Some(user), _) => ScriptOwner {
            group: false,
            id: account(&group, user)?.uid,
        },
        (None, Some(name)) => ScriptOwner {
            group: true,
            id: group_id(&group, name)?,
        },
        (None, None) => return Ok(None),
    };
    Ok(Some(owner))
}

/// The owner of the group's socket, if the option `socket-user` stands.
fn socket_uid(options: &DaemonOptions) -> Result<Option<u32>, PlanError> {
    let Some(user) = &options.socket_user else {
        return Ok(None);
    };
    let group = options.definition();
    let uid = account(&group, user)?.uid;
    if !accounts::is_root() && uid != accounts::own_uid() {
        return Err(PlanError::NeedsRoot {
            group,
            option: "socket-user",
            value: text(user),
        });
    }
    Ok(Some(uid))
}

/// The ids of the option `supplementary-groups`, if it stands.
fn supplementary_groups(options: &DaemonOptions) -> Result<Option<Vec<u32>>, PlanError> {
    let Some(names) = &options.supplementary_groups else {
        return Ok(None);
    };
    let group = options.definition();
    if !accounts::is_root() {
        return Err(PlanError::NeedsRoot {
            group,
            option: "supplementary-groups",
            value: text(&names.join(&b',')),
        });
    }
    let ids = names.iter().map(|name| group_id(&group, name));
    ids.collect::<Result<_, _>>().map(Some)
}

/// An account by its name or `#uid`.
fn account(group: &str, user: &[u8]) -> Result<Account, PlanError> {
    if let Some(uid) = number(user) {
        return by_uid(group, uid);
    }
    let found = accounts::by_name(user).map_err(|source| PlanError::Accounts {
        group: group.into(),
        source,
    })?;
    found.ok_or_else(|| PlanError::NoUser {
        group: group.into(),
        user: text(user),
    })
}

/// An account by its uid; one without an entry has no name and no home.
fn by_uid(group: &str, uid: u32) -> Result<Account, PlanError> {
    let found = accounts::by_uid(uid).map_err(|source| PlanError::Accounts {
        group: group.into(),
        source,
    })?;
    let nameless = || Account {
        name: Vec::new(),
        uid,
        gid: uid,
        home: b"/".to_vec(),
    };
    Ok(found.unwrap_or_else(nameless))
}

/// A group of users by its name or `#gid`.
pub(super) fn group_id(group: &str, name: &[u8]) -> Result<u32, PlanError> {
    if let Some(gid) = number(name) {
        return Ok(gid);
    }
    let found = accounts::group_id(name).map_err(|source| PlanError::Accounts {
        group: group.into(),
        source,
    })?;
    found.ok_or_else(|| PlanError::NoGroup {
        group: group.into(),
        name: text(name),
    })
}

/// `#id` as httpd writes numeric accounts.
fn number(name: &[u8]) -> Option<u32> {
    std::str::from_utf8(name.strip_prefix(b"#")?)
        .ok()?
        .parse()
        .ok()
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
