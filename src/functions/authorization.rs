//! WSGIAuthGroupScript: `Require wsgi-group name ...` by `groups_for_user(environ, user)`.
//!
//! Runs in a child's request thread, called by mod_authz_core. A function that fails grants nothing.

use wsgi_wire::function::Answer;

use super::{FunctionError, Place, ask_one};
use crate::config::{DirectoryConfig, FunctionSite};
use crate::httpd::log::{self, Level};
use crate::httpd::provider::Authorization;
use crate::httpd::request::Request;

const FUNCTION: &str = "groups_for_user";

/// Whether the authenticated user is in one of the groups that are required.
pub fn check(request: Request<'_>, required: &[Vec<u8>]) -> Authorization {
    let Some(user) = request.user() else {
        return Authorization::NoUser;
    };
    match is_member(request, user, required) {
        Ok(true) => Authorization::Granted,
        Ok(false) => {
            let user = String::from_utf8_lossy(user);
            let line = format!("user '{user}' is in none of the groups of 'Require wsgi-group'");
            log::request(request, Level::Debug, line);
            Authorization::Denied
        }
        Err(error) => {
            error.log(request);
            if error.is_scripts_fault() || matches!(error, FunctionError::NoScript(_)) {
                Authorization::Denied
            } else {
                Authorization::Failed
            }
        }
    }
}

fn is_member(
    request: Request<'_>,
    user: &[u8],
    required: &[Vec<u8>],
) -> Result<bool, FunctionError> {
    let script: Option<&'static FunctionSite> =
        DirectoryConfig::of(request).auth_group_script.value();
    let script = script.ok_or(FunctionError::NoScript("WSGIAuthGroupScript"))?;
    let place = Place::of(request, script);
    let answer = ask_one(&place, FUNCTION, &[user])?;
    let unexpected = |answer: &Answer| {
        let expected = "an iterable of names, each a str or bytes,";
        place.unexpected(FUNCTION, answer, expected)
    };
    // A str is an iterable of characters, and nobody means these by it.
    let Answer::Items(groups) = &answer else {
        return Err(unexpected(&answer));
    };
    for group in groups {
        let member = match group {
            Answer::Bytes(name) => required.contains(name),
            Answer::Text(name) => required.iter().any(|wanted| is_same(wanted, name)),
            other => return Err(unexpected(other)),
        };
        if member {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a str is the name in the configuration, whose bytes may be meant as UTF-8 or Latin-1.
fn is_same(wanted: &[u8], name: &[u8]) -> bool {
    wanted == name || latin1(name).is_some_and(|name| wanted == name)
}

/// The Latin-1 form of a text in UTF-8, if it has one.
pub fn latin1(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).ok())
        .collect()
}
