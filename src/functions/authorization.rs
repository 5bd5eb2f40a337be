//! WSGIAuthGroupScript: `Require wsgi-group name ...` by `groups_for_user(environ, user)`.
//!
//! Runs in a child's request thread, called by mod_authz_core. A function that fails grants nothing.

use std::borrow::Cow;
use std::ffi::CStr;

use thiserror::Error;
use wsgi_config::words::{self, WordsError};
use wsgi_wire::function::Answer;

use super::{FunctionError, Place, ask_one};
use crate::config::{DirectoryConfig, FunctionSite};
use crate::ffi;
use crate::httpd::expression::Expression;
use crate::httpd::log::{self, Level};
use crate::httpd::provider::Authorization;
use crate::httpd::request::Request;

const FUNCTION: &str = "groups_for_user";

/// What a line `Require wsgi-group` asks for.
#[derive(Debug)]
pub enum Required {
    /// One of these groups.
    Groups(Vec<Vec<u8>>),
    /// One of the groups that the expression names for a request.
    Computed(Expression),
}

/// Why a line `Require wsgi-group` names no groups.
#[derive(Debug, Error)]
pub enum RequireError {
    /// The words.
    #[error(transparent)]
    Words(#[from] WordsError),
    /// The expression; httpd says why.
    #[error("the expression '{text}' cannot be parsed: {said}")]
    Expression {
        /// The line.
        text: String,
        /// httpd's sentence.
        said: String,
    },
    /// The expression, for one request.
    #[error("the expression cannot be evaluated: {0}")]
    Evaluation(String),
}

impl Required {
    /// Parses the line. Like those of httpd's own providers it may hold expressions, `%{...}`.
    ///
    /// # Safety
    /// As for [`Expression::parse`].
    pub unsafe fn parse(
        parameters: *const ffi::cmd_parms,
        line: &CStr,
    ) -> Result<Required, RequireError> {
        let text = line.to_bytes();
        if !text.windows(2).any(|pair| pair == b"%{") {
            return Ok(Required::Groups(words::split(text)?));
        }
        // SAFETY: the caller vouches for it.
        let parsed = unsafe { Expression::parse(parameters, line) };
        parsed
            .map(Required::Computed)
            .map_err(|said| RequireError::Expression {
                text: line.to_string_lossy().into_owned(),
                said,
            })
    }

    /// The groups for this request.
    fn groups(&self, request: Request<'_>) -> Result<Cow<'_, [Vec<u8>]>, RequireError> {
        match self {
            Required::Groups(groups) => Ok(groups.into()),
            Required::Computed(expression) => {
                let text = expression.text(request).map_err(RequireError::Evaluation)?;
                Ok(words::split(text)?.into())
            }
        }
    }
}

/// Whether the authenticated user is in one of the groups that are required.
pub fn check(request: Request<'_>, required: Option<&Required>) -> Authorization {
    let Some(user) = request.user() else {
        return Authorization::NoUser;
    };
    let required = match required
        .map(|required| required.groups(request))
        .transpose()
    {
        Ok(required) => required.unwrap_or_default(),
        Err(error) => {
            let line = format!("Require wsgi-group: {error}");
            log::request(request, Level::Error, line);
            return Authorization::Failed;
        }
    };
    match is_member(request, user, &required) {
        Ok(true) => Authorization::Granted,
        Ok(false) => {
            let user = String::from_utf8_lossy(user);
            let line = format!("user '{user}' is in none of the groups of 'Require wsgi-group'");
            log::request(request, Level::Debug, line);
            Authorization::Denied
        }
        Err(error) => {
            error.tell(request);
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
    let place = Place::of(request, script)?;
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
