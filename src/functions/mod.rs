//! Python functions that decide in httpd's phases: who may come in, who somebody is, which groups
//! they are in, and which application answers.
//!
//! Runs in a child's request thread. The functions run where their directive says: in a daemon, or
//! in this process. Here, and only here, a failure of a function becomes one log line.
//!
//! * [`access`] is WSGIAccessScript, in httpd's access_checker phase.
//! * [`authentication`] is the provider `wsgi` of mod_auth_basic and mod_auth_digest.
//! * [`authorization`] is `Require wsgi-group`.
//! * [`choice`] is WSGIDispatchScript.
//! * [`providers`] is what other modules call.

pub mod access;
pub mod authentication;
pub mod authorization;
pub mod choice;
pub mod providers;

use std::borrow::Cow;

use thiserror::Error;
use wsgi_config::group::{expand_application_group, expand_process_group, is_computed};
use wsgi_wire::function::Answer;
use wsgi_wire::head::{Body, HeadBuilder};
use wsgi_wire::{Blame, Failure, WireError};

use crate::config::{DirectoryConfig, FunctionSite};
use crate::daemon::DaemonError;
use crate::embedded::EmbeddedError;
use crate::httpd::log::{self, Level};
use crate::httpd::request::Request;
use crate::keyed::KeyError;
use crate::selection::Names;
use crate::site::Site;

/// Why functions gave no answer, or none that means something.
#[derive(Debug, Error)]
pub enum FunctionError {
    /// The directive that names the script is not there.
    #[error("{0} names no script here")]
    NoScript(&'static str),
    /// The module was not set up.
    #[error("the module has no configuration")]
    NoSite,
    /// No such process group.
    #[error("{directive} {script}: no WSGIDaemonProcess defines the process group '{group}'")]
    UnknownGroup {
        /// The directive.
        directive: &'static str,
        /// Its script.
        script: String,
        /// The option process-group.
        group: String,
    },
    /// The process group belongs to another virtual host.
    #[error(
        "{directive} {script}: the process group '{group}' belongs to a virtual host of another \
         ServerName"
    )]
    ForeignGroup {
        /// The directive.
        directive: &'static str,
        /// Its script.
        script: String,
        /// The option process-group.
        group: String,
    },
    /// The process group of this request has no key.
    #[error("{directive} {script}: {source}")]
    Key {
        /// The directive.
        directive: &'static str,
        /// Its script.
        script: String,
        /// Why.
        source: KeyError,
    },
    /// The daemon failed.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// Embedded mode failed.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// The answers cannot be understood.
    #[error("the answer of {directive} {script} cannot be understood: {source}")]
    Answer {
        /// The directive.
        directive: &'static str,
        /// Its script.
        script: String,
        /// What is wrong.
        source: WireError,
    },
    /// The script lacks the function.
    #[error("{directive} {script} does not define '{function}'")]
    Missing {
        /// The directive.
        directive: &'static str,
        /// Its script.
        script: String,
        /// The function.
        function: &'static str,
    },
    /// The function returned something that means nothing.
    #[error("'{function}' of {directive} {script} returned {returned}; {expected} is expected")]
    Returned {
        /// The directive.
        directive: &'static str,
        /// Its script.
        script: String,
        /// The function.
        function: &'static str,
        /// What came.
        returned: String,
        /// What has a meaning.
        expected: &'static str,
    },
}

impl FunctionError {
    /// The HTTP status for a request that cannot be decided about.
    pub fn status(&self) -> u16 {
        match self {
            FunctionError::Daemon(DaemonError::Gateway(Failure::Interrupted)) => {
                Failure::Interrupted.status()
            }
            FunctionError::Daemon(DaemonError::Gateway(_)) => 500,
            FunctionError::Daemon(error) => error.status(),
            FunctionError::Key { source, .. } => source.status(),
            _ => 500,
        }
    }

    /// Whether the function was reached and did not decide: the script is to blame.
    pub fn is_scripts_fault(&self) -> bool {
        match self {
            FunctionError::Missing { .. } | FunctionError::Returned { .. } => true,
            FunctionError::Daemon(DaemonError::Gateway(failure))
            | FunctionError::Embedded(EmbeddedError::Gateway(failure)) => {
                // One that was cut short might have decided.
                failure.blame() == Blame::Application && *failure != Failure::Interrupted
            }
            _ => false,
        }
    }

    /// Logs the failure, unless the gateway has.
    pub fn tell(&self, request: Request<'_>) {
        match self {
            FunctionError::Daemon(DaemonError::Gateway(_))
            | FunctionError::Embedded(EmbeddedError::Gateway(_)) => {}
            FunctionError::Daemon(error) => error.tell(request),
            _ => log::request(request, Level::Error, self),
        }
    }
}

/// Where functions run in a request.
#[derive(Debug)]
pub struct Place<'r> {
    site: &'static FunctionSite,
    process_group: Cow<'static, [u8]>,
    application_group: Cow<'static, [u8]>,
    request: Request<'r>,
}

impl<'r> Place<'r> {
    /// Expands the names of the script's groups.
    pub fn of(request: Request<'r>, site: &'static FunctionSite) -> Result<Self, FunctionError> {
        let names = Names {
            request,
            ignores_case: false,
        };
        // Only what every request has can be named: a function may decide before others have set
        // variables, and the script name of what is asked for is not the function's.
        let fixed = |name: &'static [u8]| {
            let token = matches!(name, b"%{SERVER}" | b"%{HOST}" | b"%{GLOBAL}");
            token.then_some(name)
        };
        let script = &site.script;
        let process_group = &script.process_group[..];
        let application_group = &script.application_group[..];
        let process_group = match (fixed(process_group), Site::current()) {
            (Some(name), _) => expand_process_group(name, &names),
            (None, Some(known)) => known
                .with_key(process_group, request)
                .map_err(|source| in_key(site, source))?,
            (None, None) => Cow::Borrowed(process_group),
        };
        Ok(Place {
            site,
            process_group,
            application_group: fixed(application_group)
                .map_or(Cow::Borrowed(application_group), |name| {
                    expand_application_group(name, &names)
                }),
            request,
        })
    }

    fn script(&self) -> String {
        String::from_utf8_lossy(&self.site.script.path).into_owned()
    }

    /// Sends a head to where the functions are and waits for their answers.
    fn ask(&self, head: HeadBuilder) -> Result<Vec<Answer>, FunctionError> {
        let site = Site::current().ok_or(FunctionError::NoSite)?;
        let mut head = head.finish(Body::None);
        let directive = self.site.directive;
        let answers = if self.process_group.is_empty() {
            site.embedded.ask(self.request, &head)?
        } else {
            let group = String::from_utf8_lossy(&self.process_group).into_owned();
            let script = self.script();
            let found = site.destination(&self.process_group);
            let Some(found) = found.map_err(|source| in_key(self.site, source))? else {
                return Err(FunctionError::UnknownGroup {
                    directive,
                    script,
                    group,
                });
            };
            if !found.is_open_to(self.request.server()) {
                return Err(FunctionError::ForeignGroup {
                    directive,
                    script,
                    group,
                });
            }
            head.set_queue_start(wsgi_unix::clock::micros_since_epoch());
            found.ask(self.request, &mut head)?
        };
        Answer::decode_all(&answers).map_err(|source| FunctionError::Answer {
            directive,
            script: self.script(),
            source,
        })
    }

    /// The error for an answer that means nothing.
    fn unexpected(
        &self,
        function: &'static str,
        answer: &Answer,
        expected: &'static str,
    ) -> FunctionError {
        let (directive, script) = (self.site.directive, self.script());
        let returned = match answer {
            Answer::Missing => {
                return FunctionError::Missing {
                    directive,
                    script,
                    function,
                };
            }
            Answer::None => "None".into(),
            Answer::Bool(true) => "True".into(),
            Answer::Bool(false) => "False".into(),
            Answer::Text(text) if text.is_empty() => "an empty str".into(),
            Answer::Text(_) => "a str".into(),
            Answer::Bytes(_) => "bytes".into(),
            Answer::Items(_) => "an iterable".into(),
            Answer::Other(kind) => {
                format!("an object of type '{}'", String::from_utf8_lossy(kind))
            }
        };
        FunctionError::Returned {
            directive,
            script,
            function,
            returned,
            expected,
        }
    }
}

fn in_key(site: &FunctionSite, source: KeyError) -> FunctionError {
    FunctionError::Key {
        directive: site.directive,
        script: String::from_utf8_lossy(&site.script.path).into_owned(),
        source,
    }
}

/// Calls the function `name` of an access or authentication script with the environ of such
/// functions and `arguments`.
fn ask_one<'r>(
    place: &Place<'r>,
    name: &'static str,
    arguments: &[&[u8]],
) -> Result<Answer, FunctionError> {
    let config = DirectoryConfig::of(place.request);
    let head = crate::environ::build_for_decision(
        place.request,
        &crate::environ::Decision {
            script: &place.site.script.path,
            process_group: &place.process_group,
            application_group: &place.application_group,
            computed_group: is_computed(&place.site.script.application_group),
            reloading: config.script_reloading.or(true),
            ignore_activity: config.ignore_activity.or(false),
        },
        name.as_bytes(),
        arguments,
    );
    let answer = place.ask(head)?.pop();
    Ok(answer.unwrap_or(Answer::Missing))
}
