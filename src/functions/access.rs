//! WSGIAccessScript: `allow_access(environ, host)` says whether a host may come in.
//!
//! Runs in httpd's access_checker phase, in a child's request thread, before authentication and
//! whatever handler answers. A function that fails lets nobody in.

use wsgi_wire::function::Answer;

use super::{FunctionError, Place, ask_one};
use crate::config::{DirectoryConfig, FunctionSite};
use crate::httpd::log::{self, Level};
use crate::httpd::request::Request;
use crate::httpd::status::Status;

const FUNCTION: &str = "allow_access";

/// What a function has decided.
enum Decision {
    Allowed,
    Denied,
    /// Others shall decide.
    Undecided,
}

/// Lets the script decide, where there is one.
pub fn check(request: Request<'_>) -> Status {
    let Some(script) = access_script_of(request) else {
        return Status::DECLINED;
    };
    match decide(request, script) {
        Ok(Decision::Allowed) => Status::OK,
        Ok(Decision::Undecided) => Status::DECLINED,
        Ok(Decision::Denied) => {
            let file = String::from_utf8_lossy(request.filename().unwrap_or_default());
            let line = format!("client denied by WSGIAccessScript: {file}");
            log::request(request, Level::Error, line);
            Status::http(403)
        }
        Err(error) => {
            error.tell(request);
            if error.is_scripts_fault() {
                Status::http(403)
            } else {
                Status::http(error.status())
            }
        }
    }
}

fn access_script_of(request: Request<'_>) -> Option<&'static FunctionSite> {
    DirectoryConfig::lent(request)?.access_script.value()
}

fn decide(request: Request<'_>, script: &'static FunctionSite) -> Result<Decision, FunctionError> {
    let place = Place::of(request, script)?;
    let host = request.remote_host().or(request.client_ip());
    match ask_one(&place, FUNCTION, &[host.unwrap_or_default()])? {
        Answer::Bool(true) => Ok(Decision::Allowed),
        Answer::Bool(false) => Ok(Decision::Denied),
        Answer::None => Ok(Decision::Undecided),
        other => Err(place.unexpected(FUNCTION, &other, "True, False or None")),
    }
}
