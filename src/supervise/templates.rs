//! From a WSGIDaemonTemplate to what the monitor and the children are told of it.
//!
//! Runs in the parent, also under `configtest`: it looks up accounts that no key names, and changes
//! nothing.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use wsgi_config::daemon_options::{DaemonOptions, TemplateLimits};
use wsgi_config::keyed;
use wsgi_unix::{accounts, socket};
use wsgi_wire::launch::template::has_key;
use wsgi_wire::launch::{GroupSpec, SocketOwner, TemplateSpec, monitor_fd};

use super::StartError;
use super::plan::{self, PlanError, PlannedTemplate, text};
use crate::config::{Configuration, DaemonGroup};
use crate::daemon::{Template, TemplateParts};
use crate::httpd::server::Server;
use crate::keyed::Key;

/// The longest time a child waits for the monitor, which answers at once but for its own waits: for
/// accounts that are looked up, and for programs that are executed.
const LONGEST_ANSWER: Duration = Duration::from_secs(15);

/// How long a child waits until it may ask, when many ask at once.
const CONTROL_PATIENCE: Duration = Duration::from_secs(5);

/// Plans a template.
pub fn planned(
    configuration: &Configuration,
    server: Server<'static>,
    definition: &DaemonGroup,
    limits: TemplateLimits,
) -> Result<PlannedTemplate, PlanError> {
    let options = &definition.options;
    let user = account_of_key(options, "user", options.user.as_deref())?;
    let group_name = account_of_key(options, "group", options.group.as_deref())?;
    check_unkeyed(options)?;
    let script_user = by_name_of_key(options, "script-user", options.script_user.as_deref())?;
    let script_group = by_name_of_key(options, "script-group", options.script_group.as_deref())?;
    let gid = match &options.group {
        Some(name) if group_name.is_none() => Some(plan::group_id(&options.definition(), name)?),
        _ => None,
    };
    let inactivity_timeout = options.inactivity_timeout;
    let group = plan::planned(configuration, server, &without_key(definition))?;
    let processes = group.spec.gateway.processes;
    let maximum = limits.maximum_processes;
    if maximum > 0 && maximum < processes {
        let template = options.definition();
        return Err(PlanError::NoProcesses { template, maximum });
    }
    let affordable = match maximum {
        0 => u32::MAX,
        maximum => maximum / processes,
    };
    let owner = super::socket_owner(&group);
    let spec = TemplateSpec {
        name: options.defined_name().to_vec(),
        user,
        group_name,
        gid,
        script_user,
        script_group,
        minimum_uid: limits.minimum_uid,
        maximum_groups: limits.maximum_groups.min(affordable),
        inactivity_timeout,
        backlog: options.listen_backlog,
        owner: owner.map(|(uid, gid)| SocketOwner { uid, gid }),
        ..TemplateSpec::default()
    };
    Ok(PlannedTemplate { group, spec })
}

/// The definition as that of a group whose account no key names: who runs it otherwise is looked up
/// now.
fn without_key(definition: &DaemonGroup) -> DaemonGroup {
    let mut options = definition.options.clone();
    for name in [
        &mut options.user,
        &mut options.group,
        &mut options.script_user,
        &mut options.script_group,
    ] {
        if name.as_deref().is_some_and(has_key) {
            *name = None;
        }
    }
    DaemonGroup {
        options,
        servers: definition.servers.clone(),
        written_at: definition.written_at.clone(),
        repeated_at: Vec::new(),
    }
}

/// The value of `user` or `group` if the key is part of it.
fn account_of_key(
    options: &DaemonOptions,
    option: &'static str,
    value: Option<&[u8]>,
) -> Result<Option<Vec<u8>>, PlanError> {
    let value = by_name_of_key(options, option, value)?;
    match value {
        Some(value) if !accounts::is_root() => Err(PlanError::NeedsRoot {
            group: options.definition(),
            option,
            value: text(&value),
        }),
        value => Ok(value),
    }
}

/// The value of an option that names an account or group, if the key is part of it.
fn by_name_of_key(
    options: &DaemonOptions,
    option: &'static str,
    value: Option<&[u8]>,
) -> Result<Option<Vec<u8>>, PlanError> {
    let Some(value) = value.filter(|value| has_key(value)) else {
        return Ok(None);
    };
    if value.starts_with(b"#") {
        return Err(PlanError::KeyedNumber {
            template: options.definition(),
            option,
            value: text(value),
        });
    }
    Ok(Some(value.to_vec()))
}

/// Refuses the key where names are looked up while the configuration is read.
fn check_unkeyed(options: &DaemonOptions) -> Result<(), PlanError> {
    let supplementary = options.supplementary_groups.iter().flatten();
    let supplementary = supplementary.map(|name| ("supplementary-groups", name));
    let socket = options.socket_user.iter();
    let socket = socket.map(|name| ("socket-user", name));
    for (option, value) in supplementary.chain(socket) {
        if has_key(value) {
            return Err(PlanError::NotKeyed {
                template: options.definition(),
                option,
                value: text(value),
            });
        }
    }
    Ok(())
}

/// The way from children to the monitor: its end, and theirs.
pub fn control() -> io::Result<(OwnedFd, Arc<OwnedFd>)> {
    let (monitors_end, childrens_end) = socket::message_pair()?;
    socket::set_send_timeout(childrens_end.as_fd(), Some(CONTROL_PATIENCE))?;
    Ok((monitors_end, Arc::new(childrens_end)))
}

/// The templates as the monitor is told of them, and the logs of their virtual hosts.
pub fn for_monitor(
    templates: &[PlannedTemplate],
    prefix: &OsStr,
) -> Result<(Vec<TemplateSpec>, Vec<Option<OwnedFd>>), StartError> {
    let spec = |template: &PlannedTemplate| TemplateSpec {
        group: GroupSpec {
            // The monitor gives each group a path that begins so.
            socket: prefix.as_bytes().to_vec(),
            ..template.group.spec.clone()
        },
        ..template.spec.clone()
    };
    let specs = templates.iter().map(spec).collect();
    let log = |template: &PlannedTemplate| super::own_log(&template.group);
    let logs = templates.iter().map(log).collect::<Result<_, _>>()?;
    Ok((specs, logs))
}

/// Hands the logs over, behind the descriptors of the groups.
pub fn add_logs(
    specs: &mut [TemplateSpec],
    logs: Vec<Option<OwnedFd>>,
    descriptors: &mut Vec<OwnedFd>,
) {
    for (spec, log) in specs.iter_mut().zip(logs) {
        if let Some(log) = log {
            spec.group.error_log_fd = Some(monitor_fd::GROUPS as u32 + descriptors.len() as u32);
            descriptors.push(log);
        }
    }
}

/// The templates as children see them, in the order of the configuration.
pub fn for_children(templates: Vec<PlannedTemplate>, control: &Arc<OwnedFd>) -> Vec<Template> {
    let template = |(index, planned): (u32, PlannedTemplate)| {
        let PlannedTemplate { group, spec } = planned;
        Template::new(TemplateParts {
            name: spec.name,
            index,
            servers: group.servers.clone(),
            maximum_groups: spec.maximum_groups,
            patience: plan::or_a_day(group.options.connect_timeout).min(LONGEST_ANSWER),
            make: Box::new(move |name, socket, secret, page| {
                super::group_parts(&group, name, socket, secret, page)
            }),
            control: Arc::clone(control),
        })
    };
    (0u32..).zip(templates).map(template).collect()
}

/// What gives keys in names of the groups of these templates; other names with a slash are names.
pub fn take_keys(
    configuration: &mut Configuration,
    templates: &[TemplateSpec],
) -> BTreeMap<Vec<u8>, Key> {
    let of_template = |name: &[u8]| {
        let template = keyed::split(name).map(|(template, _)| template);
        templates
            .iter()
            .any(|known| Some(&known.name[..]) == template)
    };
    let keys = std::mem::take(&mut configuration.keys).into_iter();
    keys.filter(|(name, _)| of_template(name))
        .filter_map(|(name, key)| Some((name, key.ok()?)))
        .collect()
}
