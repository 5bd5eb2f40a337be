//! The setters of directives about Python and its interpreters, and the section that limits some of
//! them to chosen interpreters.
//!
//! Runs in the parent's main thread while the configuration is read. Starts no Python and looks at
//! no file: which Python a group has is known to its processes only.

use wsgi_config::interpreter::{self, Rule, Selector, Setting};

use super::{Context, DirectiveError, Place, ROWS};
use crate::ffi;
use crate::httpd::{c_bytes, field};

type Outcome = Result<(), DirectiveError>;

/// Keeps what a directive says, for the interpreters of its section or for all.
fn add_rule(place: &mut Place<'_>, setting: Setting) {
    place.edit(|configuration| {
        let selector = configuration.section.clone().unwrap_or_default();
        configuration
            .interpreter_rules
            .push(Rule { selector, setting });
    });
}

pub(super) fn set_python_path(place: &mut Place<'_>, list: &[u8]) -> Outcome {
    place.not_empty(list)?;
    let parts = interpreter::parse_path(list);
    if place.edit(|configuration| configuration.section.is_some()) {
        add_rule(place, Setting::PythonPath(parts));
    } else {
        // Outside of a section the directive is embedded mode's; groups have an option.
        place.edit(|configuration| configuration.python_path = parts);
    }
    Ok(())
}

pub(super) fn set_switch_interval(place: &mut Place<'_>, value: &[u8]) -> Outcome {
    let interval = interpreter::parse_interval(value);
    let interval = interval
        .ok_or_else(|| place.invalid(value, "a positive number of seconds, at most an hour's"))?;
    add_rule(place, Setting::SwitchInterval(interval));
    Ok(())
}

pub(super) fn set_own_gil(place: &mut Place<'_>, value: &[u8]) -> Outcome {
    let own = place.flag(value)?;
    add_rule(place, Setting::OwnGil(own));
    Ok(())
}

pub(super) fn set_free_threading(place: &mut Place<'_>, value: &[u8]) -> Outcome {
    let free = place.flag(value)?;
    add_rule(place, Setting::FreeThreading(free));
    Ok(())
}

pub(super) fn set_restrict_stdin(place: &mut Place<'_>, value: &[u8]) -> Outcome {
    let restricted = place.flag(value)?;
    add_rule(place, Setting::RestrictStdin(restricted));
    Ok(())
}

pub(super) fn set_restrict_stdout(place: &mut Place<'_>, value: &[u8]) -> Outcome {
    let restricted = place.flag(value)?;
    add_rule(place, Setting::RestrictStdout(restricted));
    Ok(())
}

pub(super) fn set_restrict_signal(place: &mut Place<'_>, value: &[u8]) -> Outcome {
    let restricted = place.flag(value)?;
    add_rule(place, Setting::RestrictSignal(restricted));
    Ok(())
}

pub(super) fn set_optimize(place: &mut Place<'_>, value: &[u8]) -> Outcome {
    let level = interpreter::parse_optimize(value);
    let level = level.ok_or_else(|| place.invalid(value, "0, 1 or 2"))?;
    place.edit(|configuration| configuration.python.optimize = level);
    Ok(())
}

pub(super) fn add_warning_filter(place: &mut Place<'_>, filter: &[u8]) -> Outcome {
    place.not_empty(filter)?;
    place.edit(|configuration| configuration.python.warnings.0.push(filter.to_vec()));
    Ok(())
}

pub(super) fn set_hash_seed(place: &mut Place<'_>, value: &[u8]) -> Outcome {
    let seed = interpreter::parse_hash_seed(value);
    let seed =
        seed.ok_or_else(|| place.invalid(value, "'random' or a number from 0 to 4294967295"))?;
    place.edit(|configuration| configuration.python.hash_seed = Some(seed));
    Ok(())
}

pub(super) fn set_egg_cache(place: &mut Place<'_>, path: &[u8]) -> Outcome {
    place.not_empty(path)?;
    let absolute = place.server.root_relative(place.pool, path);
    let absolute = absolute
        .ok_or_else(|| place.invalid(path, "a path"))?
        .to_vec();
    place.edit(|configuration| configuration.python.egg_cache = Some(absolute));
    Ok(())
}

pub(super) fn set_dont_write_bytecode(place: &mut Place<'_>, value: &[u8]) -> Outcome {
    let quiet = place.flag(value)?;
    place.edit(|configuration| configuration.python.dont_write_bytecode = quiet);
    Ok(())
}

pub(super) fn set_computed_groups(place: &mut Place<'_>, value: &[u8]) -> Outcome {
    let most = std::str::from_utf8(value).ok();
    let most = most.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let most = most
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| place.invalid(value, "a whole number"))?;
    place.edit(|configuration| configuration.computed_groups = Some(most));
    Ok(())
}

pub(super) fn set_destroy_interpreter(place: &mut Place<'_>, value: &[u8]) -> Outcome {
    let destroyed = place.flag(value)?;
    place.edit(|configuration| configuration.left_at_end = !destroyed);
    Ok(())
}

/// `<WSGIInterpreterOptions>`: httpd has read the section's lines, which now set what they set
/// for the selected interpreters.
pub(super) fn set_section(place: &mut Place<'_>, arguments: &[u8]) -> Outcome {
    let selector = interpreter::parse_section(arguments)?;
    let section = field!(place.parameters, directive);
    let first_child = field!(section, first_child);
    check_children(first_child)?;
    enter(place, Some(selector));
    let context = field!(place.parameters, context);
    // SAFETY: the lines of this section, with the parameters httpd passed for it. Setters of ours
    // that run inside get the per-directory record anew; this call does not touch it again.
    let complaint = unsafe { ffi::ap_walk_config(first_child, place.parameters, context.cast()) };
    enter(place, None);
    // SAFETY: null or a string of the configuration's pool.
    match unsafe { c_bytes(complaint) } {
        None => Ok(()),
        Some(sentence) => {
            let sentence = String::from_utf8_lossy(sentence).into_owned();
            Err(DirectiveError::InSection(sentence))
        }
    }
}

fn enter(place: &Place<'_>, section: Option<Selector>) {
    place.edit(|configuration| configuration.section = section);
}

/// A directive that has no meaning for one interpreter would act for all of them: refuse it.
fn check_children(first: *mut ffi::ap_directive_t) -> Outcome {
    let mut child = first;
    while !child.is_null() {
        let name = field!(child, directive);
        // SAFETY: a string that lives as long as the configuration.
        let name = unsafe { c_bytes(name) }.unwrap_or_default();
        let same = |known: &&super::Row| known.name.to_bytes().eq_ignore_ascii_case(name);
        let row = ROWS.iter().find(same);
        if row.is_none_or(|row| row.context != Context::Interpreter) {
            let name = String::from_utf8_lossy(name).into_owned();
            return Err(DirectiveError::NotInSection { name });
        }
        child = field!(child, next);
    }
    Ok(())
}
