//! WSGIAuthUserScript: the authentication provider `wsgi`, for mod_auth_basic by
//! `check_password(environ, user, password)`, for mod_auth_digest by
//! `get_realm_hash(environ, user, realm)`.
//!
//! Runs in a child's request thread, called by those modules. A function that fails is no reason to
//! ask the next provider: the request gets an error.

use wsgi_wire::function::Answer;

use super::{FunctionError, Place, ask_one};
use crate::config::{DirectoryConfig, FunctionSite};
use crate::httpd::login_cache;
use crate::httpd::provider::{PasswordVerdict, RealmHash};
use crate::httpd::request::Request;
use crate::site::Site;

const CHECK_PASSWORD: &str = "check_password";
const GET_REALM_HASH: &str = "get_realm_hash";

/// Whether this is the user's password (RFC 7617).
pub fn check_password(request: Request<'_>, user: &[u8], password: &[u8]) -> PasswordVerdict {
    verify(request, user, password).unwrap_or_else(|error| {
        error.tell(request);
        PasswordVerdict::Failed
    })
}

/// The hash of user, realm and password (RFC 7616 §3.4.2, MD5).
pub fn realm_hash<'r>(request: Request<'r>, user: &[u8], realm: &[u8]) -> RealmHash<'r> {
    find_hash(request, user, realm).unwrap_or_else(|error| {
        error.tell(request);
        RealmHash::Failed
    })
}

fn script_of(request: Request<'_>) -> Result<&'static FunctionSite, FunctionError> {
    let script = DirectoryConfig::of(request).auth_user_script.value();
    script.ok_or(FunctionError::NoScript("WSGIAuthUserScript"))
}

fn verify(
    request: Request<'_>,
    user: &[u8],
    password: &[u8],
) -> Result<PasswordVerdict, FunctionError> {
    let place = Place::of(request, script_of(request)?)?;
    match ask_one(&place, CHECK_PASSWORD, &[user, password])? {
        Answer::Bool(true) => {
            if offers_logins() {
                login_cache::offer_password(request, user, password);
            }
            Ok(PasswordVerdict::Right)
        }
        Answer::Bool(false) => Ok(PasswordVerdict::Wrong),
        Answer::None => Ok(PasswordVerdict::UnknownUser),
        // Not for the cache, which would take the user by the name that was replaced.
        Answer::Text(name) if is_name(&name) => {
            request.set_user(request.pool().string(&name));
            Ok(PasswordVerdict::Right)
        }
        other => {
            let expected = "True, False, None or the user's name as a str";
            Err(place.unexpected(CHECK_PASSWORD, &other, expected))
        }
    }
}

/// Whether mod_authn_socache may want to keep what was found out.
fn offers_logins() -> bool {
    Site::current().is_some_and(|site| site.offers_logins)
}

/// A name that httpd would see the whole of.
fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && !name.contains(&0)
}

fn find_hash<'r>(
    request: Request<'r>,
    user: &[u8],
    realm: &[u8],
) -> Result<RealmHash<'r>, FunctionError> {
    let place = Place::of(request, script_of(request)?)?;
    match ask_one(&place, GET_REALM_HASH, &[user, realm])? {
        Answer::None => Ok(RealmHash::UnknownUser),
        Answer::Text(hash) | Answer::Bytes(hash) => {
            let hash = request.pool().string(&hash);
            if offers_logins() {
                login_cache::offer_realm_hash(request, user, realm, hash);
            }
            Ok(RealmHash::Known(hash))
        }
        other => {
            let expected = "None or the hash as a str";
            Err(place.unexpected(GET_REALM_HASH, &other, expected))
        }
    }
}
