//! The setters of the directives that say which application answers, and in which process.
//!
//! Run in the parent's main thread while the configuration is read, and for `.htaccess` files in a
//! child's request thread.

use wsgi_config::daemon_options::{self, DaemonOptions};
use wsgi_config::{alias, import_script};

use super::{DirectiveError, Place};
use crate::config::{Alias, DaemonGroup, Import, ServerConfig};
use crate::httpd::regex::Regex;

pub(super) fn set_script_alias(
    place: &mut Place<'_>,
    arguments: &[u8],
) -> Result<(), DirectiveError> {
    let script = alias::parse(place.directive, arguments)?;
    add_alias(
        place,
        Alias {
            script,
            regex: None,
        },
    );
    Ok(())
}

pub(super) fn set_script_alias_match(
    place: &mut Place<'_>,
    arguments: &[u8],
) -> Result<(), DirectiveError> {
    let script = alias::parse(place.directive, arguments)?;
    let Some(regex) = Regex::compile(place.pool, &script.url) else {
        let source_text = String::from_utf8_lossy(&script.url).into_owned();
        return Err(DirectiveError::Regex {
            directive: place.directive(),
            source_text,
        });
    };
    add_alias(
        place,
        Alias {
            script,
            regex: Some(regex),
        },
    );
    Ok(())
}

/// Keeps the alias, what it says about groups, and its script for loading at start if both groups
/// are fixed.
fn add_alias(place: &mut Place<'_>, alias: Alias) {
    let alias: &'static Alias = place.pool.place(alias);
    let options = &alias.script.options;
    place.note_key(options.process_group.as_deref());
    place.edit(|configuration| {
        configuration.add_options(place.server, options);
        if let (true, Some(process_group), Some(application_group)) = (
            alias.script.preload(),
            &options.process_group,
            &options.application_group,
        ) {
            let callable = options.callable_object.as_deref();
            configuration.imports.push(Import {
                directive: place.directive,
                script: alias.script.target.clone(),
                process_group: process_group.clone(),
                application_group: application_group.clone(),
                callable: Some(callable.unwrap_or(b"application").to_vec()),
                server: place.server,
            });
        }
    });
    ServerConfig::add_alias(place.server, alias);
}

pub(super) fn set_daemon_process(
    place: &mut Place<'_>,
    arguments: &[u8],
) -> Result<(), DirectiveError> {
    define(place, daemon_options::parse(arguments)?)
}

pub(super) fn set_daemon_template(
    place: &mut Place<'_>,
    arguments: &[u8],
) -> Result<(), DirectiveError> {
    define(place, daemon_options::parse_template(arguments)?)
}

fn define(place: &mut Place<'_>, options: DaemonOptions) -> Result<(), DirectiveError> {
    let written_at = place.written_at();
    place.edit(|configuration| {
        let mut groups = configuration.groups.iter_mut();
        if let Some(earlier) =
            groups.find(|group| group.options.defined_name() == options.defined_name())
        {
            if earlier.options != options {
                return Err(DirectiveError::DuplicateGroup {
                    directive: place.directive(),
                    name: String::from_utf8_lossy(options.defined_name()).into_owned(),
                    earlier: earlier.written_at.clone(),
                    place: written_at,
                });
            }
            earlier.servers.push(place.server);
            earlier.repeated_at.push(written_at);
            return Ok(());
        }
        configuration
            .without_effect
            .extend(options.without_effect.iter().copied());
        configuration.groups.push(DaemonGroup {
            options,
            servers: vec![place.server],
            written_at,
            repeated_at: Vec::new(),
        });
        Ok(())
    })
}

pub(super) fn set_process_group(place: &mut Place<'_>, name: &[u8]) -> Result<(), DirectiveError> {
    place.directory.process_group.set(place.string(name)?);
    place.note_key(Some(name));
    place.edit(|configuration| {
        configuration
            .process_group_uses
            .push((place.server, name.to_vec()));
    });
    Ok(())
}

pub(super) fn set_application_group(
    place: &mut Place<'_>,
    name: &[u8],
) -> Result<(), DirectiveError> {
    place.directory.application_group.set(place.string(name)?);
    if name == b"%{GLOBAL}" || name.starts_with(b"%{ENV:") {
        place.edit(|configuration| configuration.main_interpreter_uses.push(place.server));
    }
    Ok(())
}

pub(super) fn set_callable_object(
    place: &mut Place<'_>,
    name: &[u8],
) -> Result<(), DirectiveError> {
    place.directory.callable_object.set(place.string(name)?);
    Ok(())
}

pub(super) fn set_import_script(
    place: &mut Place<'_>,
    arguments: &[u8],
) -> Result<(), DirectiveError> {
    let import = import_script::parse(arguments)?;
    place.absolute(&import.script)?;
    place.edit(|configuration| {
        if import.application_group.is_empty() {
            configuration
                .main_interpreter_groups
                .push(import.process_group.clone());
        }
        configuration.imports.push(Import {
            directive: place.directive,
            script: import.script,
            process_group: import.process_group,
            application_group: import.application_group,
            callable: None,
            server: place.server,
        });
    });
    Ok(())
}
