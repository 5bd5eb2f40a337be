//! The setters of the directives about a request's way: its front end, its method, its answer.
//!
//! Runs in the parent's main thread while the configuration is read, and in a child's request thread
//! for `.htaccess` files. Lists live in the pool of what is read; a list that is continued in its scope
//! is made anew.

use wsgi_config::group::translate_global;
use wsgi_config::{OptionError, proxy, words};

use super::{DirectiveError, Place, without_effect};
use crate::config::MapHead;

/// Declares setters of switches of the directory's record.
macro_rules! switches {
    ($($setter:ident = $field:ident;)*) => {
        $(pub(super) fn $setter(place: &mut Place<'_>, value: &[u8]) -> Result<(), DirectiveError> {
            place.directory.$field.set(place.flag(value)?);
            Ok(())
        })*
    };
}

switches! {
    set_enable_sendfile = enable_sendfile;
    set_error_override = error_override;
    set_ignore_activity = ignore_activity;
    set_pass_apache_request = pass_apache_request;
}

pub(super) fn set_map_head(place: &mut Place<'_>, value: &[u8]) -> Result<(), DirectiveError> {
    let choices: [(&[u8], MapHead); 3] = [
        (b"Off", MapHead::Never),
        (b"On", MapHead::Always),
        (b"Auto", MapHead::IfFiltered),
    ];
    let chosen = choices
        .iter()
        .find(|(word, _)| value.eq_ignore_ascii_case(word));
    let (_, choice) = chosen.ok_or_else(|| OptionError::Argument {
        directive: place.directive(),
        value: String::from_utf8_lossy(value).into_owned(),
        expected: "one of: Off | On | Auto",
    })?;
    place.directory.map_head.set(*choice);
    Ok(())
}

pub(super) fn set_proxy_headers(place: &mut Place<'_>, args: &[u8]) -> Result<(), DirectiveError> {
    let (headers, unknown) = proxy::parse_headers(place.directive, args)?;
    place.edit(|configuration| configuration.unknown_headers.extend(unknown));
    let list = continued(place.directory.proxy_headers.value(), headers);
    place.directory.proxy_headers.set(place.pool.place(list));
    Ok(())
}

pub(super) fn set_trusted_proxies(
    place: &mut Place<'_>,
    args: &[u8],
) -> Result<(), DirectiveError> {
    let proxies = proxy::parse_proxies(place.directive, args)?;
    let list = continued(place.directory.trusted_proxies.value(), proxies);
    place.directory.trusted_proxies.set(place.pool.place(list));
    Ok(())
}

pub(super) fn set_restrict_process(
    place: &mut Place<'_>,
    args: &[u8],
) -> Result<(), DirectiveError> {
    let names = words::split(args).map_err(|source| OptionError::Words {
        directive: place.directive(),
        source,
    })?;
    if names.is_empty() {
        return Err(DirectiveError::Empty {
            directive: place.directive(),
        });
    }
    let name = |name: &Vec<u8>| place.pool.string(&translate_global(name));
    let names = names.iter().map(name).collect();
    let list = continued(place.directory.restrict_process.value(), names);
    place.directory.restrict_process.set(place.pool.place(list));
    Ok(())
}

/// What a scope said before, and what it says now.
fn continued<T: Copy>(before: Option<&[T]>, now: Vec<T>) -> Vec<T> {
    [before.unwrap_or_default(), &now].concat()
}

pub(super) fn set_case_sensitivity(
    place: &mut Place<'_>,
    value: &[u8],
) -> Result<(), DirectiveError> {
    let sensitive = place.flag(value)?;
    place.edit(|configuration| configuration.ignores_case = !sensitive);
    Ok(())
}

/// Directives that mod_wsgi had, or has without an effect, and what an administrator does instead.
const RETIRED: &[(&str, &str)] = &[
    (
        "WSGILazyInitialization",
        "Python is always started when it is first needed",
    ),
    (
        "WSGINewRelicConfigFile",
        "the script itself starts the agent",
    ),
    (
        "WSGINewRelicEnvironment",
        "the script itself starts the agent",
    ),
    (
        "WSGIOutputBuffering",
        "what an application sends reaches its client without delay",
    ),
    (
        "WSGIPy3kWarningFlag",
        "WSGIPythonWarnings selects the warnings of Python 3",
    ),
    ("WSGIPythonExecutable", "WSGIPythonHome names the Python"),
    (
        "WSGIReloadMechanism",
        "daemons are replaced when their script changes",
    ),
    (
        "WSGIUserAuthoritative",
        "the order of the names in AuthBasicProvider decides",
    ),
    (
        "WSGIVerboseDebugging",
        "LogLevel wsgi:debug shows the details",
    ),
];

/// Takes a directive that has no effect any more, with whatever arguments it has.
pub(super) fn retire(place: &mut Place<'_>, _: &[u8]) -> Result<(), DirectiveError> {
    let found = RETIRED.iter().find(|(name, _)| *name == place.directive);
    without_effect(
        place,
        found.map_or("it can be removed", |(_, instead)| instead),
    );
    Ok(())
}
