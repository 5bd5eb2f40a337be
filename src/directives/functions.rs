//! The setters of the directives that name a script with functions, and of WSGIHandlerScript.
//!
//! Run in the parent's main thread while the configuration is read, and for `.htaccess` files in a
//! child's request thread.

use wsgi_config::function_script;
use wsgi_config::layer::Setting;

use super::{DirectiveError, Place, without_effect};
use crate::config::{DirectoryConfig, FunctionSite};

type Slot = fn(&mut DirectoryConfig) -> &mut Setting<&'static FunctionSite>;

fn set_script(place: &mut Place<'_>, arguments: &[u8], slot: Slot) -> Result<(), DirectiveError> {
    let script = function_script::parse(place.directive, arguments)?;
    place.absolute(&script.path)?;
    if place.in_htaccess && !script.process_group.is_empty() {
        // Whoever may write such a file may not run code as the account of a process group.
        return Err(DirectiveError::GroupInHtaccess {
            directive: place.directive(),
        });
    }
    let site: &'static FunctionSite = place.pool.place(FunctionSite {
        directive: place.directive,
        script,
        server: place.server,
    });
    place.note_key(Some(&site.script.process_group));
    slot(place.directory).set(site);
    place.edit(|configuration| configuration.add_functions(site));
    Ok(())
}

pub(super) fn set_access_script(
    place: &mut Place<'_>,
    arguments: &[u8],
) -> Result<(), DirectiveError> {
    set_script(place, arguments, |directory| &mut directory.access_script)
}

pub(super) fn set_auth_user_script(
    place: &mut Place<'_>,
    arguments: &[u8],
) -> Result<(), DirectiveError> {
    set_script(place, arguments, |directory| {
        &mut directory.auth_user_script
    })
}

pub(super) fn set_auth_group_script(
    place: &mut Place<'_>,
    arguments: &[u8],
) -> Result<(), DirectiveError> {
    set_script(place, arguments, |directory| {
        &mut directory.auth_group_script
    })
}

pub(super) fn set_dispatch_script(
    place: &mut Place<'_>,
    arguments: &[u8],
) -> Result<(), DirectiveError> {
    set_script(place, arguments, |directory| &mut directory.dispatch_script)
}

pub(super) fn set_handler_script(
    place: &mut Place<'_>,
    arguments: &[u8],
) -> Result<(), DirectiveError> {
    let script = function_script::parse_handler(place.directive, arguments)?;
    place.absolute(&script.path)?;
    place.note_key(script.options.process_group.as_deref());
    place.edit(|configuration| configuration.add_options(place.server, &script.options));
    let script = place.pool.place(script);
    place.directory.add_handler(place.pool, script);
    Ok(())
}

pub(super) fn set_group_authoritative(
    place: &mut Place<'_>,
    value: &[u8],
) -> Result<(), DirectiveError> {
    place.flag(value)?;
    without_effect(place, "mod_authz_core combines the Require lines");
    Ok(())
}
