//! WSGIDispatchScript: `process_group(environ)`, `application_group(environ)` and
//! `callable_object(environ)` choose which application answers a request, over whatever the
//! directives say.
//!
//! Runs in a child's request thread, before the application is selected. Each function may be
//! missing or return None, which leaves the choice as it is. A script that cannot be loaded fails the
//! request: to run it elsewhere than it was meant to is worse.

use wsgi_config::group::{
    expand_application_group, expand_callable, expand_process_group, is_computed,
};
use wsgi_wire::function::Answer;

use super::authorization::latin1;
use super::{FunctionError, Place};
use crate::config::FunctionSite;
use crate::environ;
use crate::selection::{Names, Selection};

const PROCESS_GROUP: &str = "process_group";
const APPLICATION_GROUP: &str = "application_group";
const CALLABLE_OBJECT: &str = "callable_object";

/// Lets the script change the selection.
pub fn choose(
    names: Names<'_>,
    script: &'static FunctionSite,
    options: &environ::Options<'_>,
    selection: &mut Selection<'_>,
) -> Result<(), FunctionError> {
    let request = names.request;
    let place = Place::of(request, script)?;
    let own = Selection {
        script: &script.script.path,
        handler_script: selection.handler_script,
        process_group: place.process_group.clone(),
        application_group: place.application_group.clone(),
        computed_group: is_computed(&script.script.application_group),
        callable: Default::default(),
    };
    let functions = [PROCESS_GROUP, APPLICATION_GROUP, CALLABLE_OBJECT];
    let head = environ::build_for_functions(request, &own, options, &functions.map(str::as_bytes));
    let answers = place.ask(head)?;
    for (function, answer) in functions.into_iter().zip(answers) {
        let Some(name) = name_of(&place, function, answer)? else {
            continue;
        };
        let expanded = match function {
            PROCESS_GROUP => expand_process_group(&name, &names),
            APPLICATION_GROUP => expand_application_group(&name, &names),
            _ => expand_callable(&name, &names),
        };
        let expanded = expanded.into_owned().into();
        match function {
            PROCESS_GROUP => selection.process_group = expanded,
            APPLICATION_GROUP => {
                selection.application_group = expanded;
                // Python has looked at the request.
                selection.computed_group = true;
            }
            _ => selection.callable = expanded,
        }
    }
    Ok(())
}

/// The name that a function chose, if it chose one.
fn name_of(
    place: &Place<'_>,
    function: &'static str,
    answer: Answer,
) -> Result<Option<Vec<u8>>, FunctionError> {
    let expected = "None or a name as a str of Latin-1";
    match answer {
        Answer::Missing | Answer::None => Ok(None),
        Answer::Bytes(name) => Ok(Some(name)),
        Answer::Text(ref text) => match latin1(text) {
            Some(name) => Ok(Some(name)),
            None => Err(place.unexpected(function, &answer, expected)),
        },
        other => Err(place.unexpected(function, &other, expected)),
    }
}
