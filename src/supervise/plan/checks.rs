//! What directives say about process groups, against the groups that are defined.
//!
//! Runs in the parent, also under `configtest`; it reads the configuration and changes nothing.

use wsgi_config::keyed;

use super::{PlanError, imports_of, text};
use crate::config::{Configuration, DaemonGroup, Import};

pub(super) fn check_imports(configuration: &Configuration) -> Result<(), PlanError> {
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
pub(super) fn check_functions(configuration: &Configuration) -> Result<(), PlanError> {
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
pub(super) fn check_programs(configuration: &Configuration) -> Result<(), PlanError> {
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
pub(super) fn template_of<'c>(
    configuration: &'c Configuration,
    name: &[u8],
) -> Option<&'c DaemonGroup> {
    let (template, _) = keyed::split(name)?;
    let mut groups = configuration.groups.iter();
    groups
        .find(|group| group.options.template.is_some() && group.options.defined_name() == template)
}

/// Refuses names of groups of a template whose key cannot be understood.
pub(super) fn check_keys(configuration: &Configuration) -> Result<(), PlanError> {
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
