//! A request's way through the handler: may it run, what does it run, who runs it, and what
//! becomes of a failure.
//!
//! Runs in a child's request thread. Here, and only here, a failure becomes one status and one log
//! line.

use std::cell::RefCell;

use thiserror::Error;
use wsgi_config::keyed;
use wsgi_wire::Blame;
use wsgi_wire::head::{EncodedHead, HeadBuilder};

use crate::body::{Declared, RequestBody};
use crate::config::{DirectoryConfig, MapHead};
use crate::daemon::DaemonError;
use crate::embedded::{Aside, EmbeddedError};
use crate::environ;
use crate::functions::{FunctionError, choice};
use crate::httpd::log::{self, Level};
use crate::httpd::request::{FileKind, PathInfo, Request};
use crate::httpd::status::Status;
use crate::keyed::KeyError;
use crate::mapping::{HANDLER, HANDLER_TYPE, alias_of};
use crate::proxy;
use crate::response::Rules;
use crate::selection::{Names, Selection, Target, select};
use crate::site::Site;

/// Why a request got no whole response from an application.
#[derive(Debug, Error)]
pub enum RequestError {
    /// The script was not reached by an alias, and ExecCGI is off.
    #[error("Options ExecCGI is off in this directory: {0}")]
    NotExecutable(String),
    /// The script does not exist.
    #[error("the WSGI script does not exist: {0}")]
    ScriptMissing(String),
    /// The path leads to a directory.
    #[error("the path leads to a directory instead of a WSGI script: {0}")]
    Directory(String),
    /// AcceptPathInfo is off and the path goes on after the script.
    #[error("AcceptPathInfo is off and the path goes on after the script: {0}")]
    PathInfo(String),
    /// A transfer coding we cannot decode (RFC 9112 §6.1).
    #[error("the transfer encoding '{0}' is not supported")]
    TransferEncoding(String),
    /// A chunked body where WSGIChunkedRequest is off.
    #[error("a chunked request body needs WSGIChunkedRequest On")]
    Chunked,
    /// Content-Length is not a number.
    #[error("the Content-Length '{0}' is not a number of bytes")]
    ContentLength(String),
    /// Content-Length is over LimitRequestBody.
    #[error("the request body of {length} bytes is over LimitRequestBody of {limit} bytes")]
    BodyTooLarge {
        /// What the client declared.
        length: u64,
        /// What is allowed.
        limit: u64,
    },
    /// No such process group.
    #[error("no WSGIDaemonProcess defines the process group '{0}'")]
    UnknownGroup(String),
    /// The process group belongs to another virtual host.
    #[error("the process group '{0}' belongs to a virtual host of another ServerName")]
    ForeignGroup(String),
    /// The process group of this request has no key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The process group is none of those that may be selected here.
    #[error("WSGIRestrictProcess does not allow the process group '{0}' here")]
    RestrictedGroup(String),
    /// Embedded mode is forbidden.
    #[error("WSGIRestrictEmbedded keeps this application out of Apache's own processes")]
    EmbeddedRestricted,
    /// The module was not set up.
    #[error("the module has no configuration")]
    NoSite,
    /// WSGIDispatchScript did not choose.
    #[error(transparent)]
    Choice(#[from] FunctionError),
    /// The daemon failed.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// Embedded mode failed.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
}

impl RequestError {
    fn status(&self) -> u16 {
        match self {
            RequestError::NotExecutable(_) | RequestError::Directory(_) => 403,
            RequestError::ScriptMissing(_) | RequestError::PathInfo(_) => 404,
            RequestError::TransferEncoding(_) => 501,
            RequestError::Chunked => 411,
            RequestError::ContentLength(_) => 400,
            RequestError::BodyTooLarge { .. } => 413,
            RequestError::UnknownGroup(_)
            | RequestError::ForeignGroup(_)
            | RequestError::RestrictedGroup(_)
            | RequestError::EmbeddedRestricted
            | RequestError::NoSite => 500,
            RequestError::Key(error) => error.status(),
            RequestError::Choice(error) => error.status(),
            RequestError::Daemon(error) => error.status(),
            RequestError::Embedded(error) => error.status(),
        }
    }

    /// Logs it, unless whoever met the failure has.
    fn tell(&self, request: Request<'_>) {
        match self {
            RequestError::Choice(error) => error.tell(request),
            RequestError::Daemon(error) => error.tell(request),
            RequestError::Embedded(EmbeddedError::Gateway(failure)) => {
                if failure.blame() == Blame::Client {
                    log::request(request, Level::Debug, self);
                }
            }
            // Whoever can reach the server can cause these, and nobody can mend them.
            RequestError::TransferEncoding(_)
            | RequestError::ContentLength(_)
            | RequestError::BodyTooLarge { .. }
            | RequestError::Key(KeyError::Form { .. }) => {
                log::request(request, Level::Info, self);
            }
            _ => log::request(request, Level::Error, self),
        }
    }
}

/// Answers the request if it is for us.
pub fn handle(request: Request<'_>) -> Status {
    let Some(target) = target_of(request) else {
        return Status::DECLINED;
    };
    match answer(request, target) {
        Ok(status) => status,
        Err(error) => {
            error.tell(request);
            Status::http(error.status())
        }
    }
}

/// The script the request leads to, if it is one of ours.
fn target_of(request: Request<'_>) -> Option<Target> {
    let handler = request.handler().unwrap_or_default();
    if handler == HANDLER.to_bytes() || handler == HANDLER_TYPE {
        return Some(Target::File(alias_of(request)));
    }
    let config = DirectoryConfig::lent(request)?;
    config.handler_script(handler).map(Target::Handler)
}

fn answer(request: Request<'_>, target: Target) -> Result<Status, RequestError> {
    let config = DirectoryConfig::of(request);
    if let Target::File(alias) = target {
        check_script(request, alias.is_some())?;
    }
    let declared = declared_body(request, &config)?;
    let site = Site::current().ok_or(RequestError::NoSite)?;
    let mut selection = select(request, &config, target, site)?;
    let pass_authorization = target
        .options()
        .and_then(|options| options.pass_authorization)
        .unwrap_or(config.pass_authorization.or(false) || request.passes_authorization());
    let reloading = config.script_reloading.or(true);
    let options = environ::Options {
        reloading,
        module_reloading: config.module_reloading.or(false),
        ignore_activity: config.ignore_activity.or(false),
        pass_authorization,
        map_head: maps_head(request, &config),
        front: proxy::resolve(request, &config),
    };
    if let Some(script) = config.dispatch_script.value() {
        let names = Names {
            request,
            ignores_case: site.ignores_case,
        };
        choice::choose(names, script, &options, &mut selection)?;
    }
    check_group(&selection, &config)?;
    let buffer = HEAD_BUFFER.with_borrow_mut(std::mem::take);
    let head = environ::build(request, &selection, &options, buffer);
    let body = RequestBody::open(request, declared);
    dispatch(request, (site, &config), &selection, head, body)
}

thread_local! {
    /// The thread's buffer for request heads.
    static HEAD_BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Room that a thread keeps for heads; what a large request needed beyond is given back.
const KEPT_BYTES: usize = 64 << 10;

fn dispatch<'r>(
    request: Request<'r>,
    (site, config): (&'static Site, &DirectoryConfig),
    selection: &Selection<'_>,
    head: HeadBuilder,
    mut body: RequestBody<'r>,
) -> Result<Status, RequestError> {
    let name = || String::from_utf8_lossy(&selection.process_group).into_owned();
    let mut head: EncodedHead = head.finish(body.travels());
    let mut rules = Rules {
        sendfile: config.enable_sendfile.or(false),
        ..Rules::default()
    };
    let outcome = if selection.process_group.is_empty() {
        if site.restrict_embedded {
            return Err(RequestError::EmbeddedRestricted);
        }
        let mapped = selection.handler_script.is_empty();
        let aside = Aside {
            lends_request: config.pass_apache_request.or(false),
            script_modified: request.file_modified().filter(|_| mapped),
        };
        site.embedded
            .serve(request, &head, &mut body, rules, aside)
            .map_err(RequestError::from)
    } else {
        let group = site.destination(&selection.process_group)?;
        let group = group.ok_or_else(|| RequestError::UnknownGroup(name()))?;
        if !group.is_open_to(request.server()) {
            return Err(RequestError::ForeignGroup(name()));
        }
        head.set_queue_start(wsgi_unix::clock::micros_since_epoch());
        rules.redirects = true;
        rules.error_override = config.error_override.or(false);
        group
            .serve(request, &mut head, &mut body, rules)
            .map_err(RequestError::from)
    };
    let buffer = head.into_buffer();
    if buffer.capacity() <= KEPT_BYTES {
        HEAD_BUFFER.with_borrow_mut(|kept| *kept = buffer);
    }
    outcome
}

/// WSGIMapHEADToGET.
fn maps_head(request: Request<'_>, config: &DirectoryConfig) -> bool {
    match config.map_head.or(MapHead::IfFiltered) {
        MapHead::Never => false,
        MapHead::Always => true,
        MapHead::IfFiltered => request.has_content_filter(),
    }
}

/// WSGIRestrictProcess.
fn check_group(selection: &Selection<'_>, config: &DirectoryConfig) -> Result<(), RequestError> {
    let Some(allowed) = config.restrict_process.value() else {
        return Ok(());
    };
    let chosen = &*selection.process_group;
    // The name of a template stands for all of its groups.
    let template = keyed::split(chosen).map(|(template, _)| template);
    let allows = |name: &[u8]| name == chosen || template == Some(name);
    if allowed.iter().any(|name| allows(name.bytes())) {
        return Ok(());
    }
    let shown = if chosen.is_empty() {
        b"%{GLOBAL}"
    } else {
        chosen
    };
    Err(RequestError::RestrictedGroup(
        String::from_utf8_lossy(shown).into_owned(),
    ))
}

fn check_script(request: Request<'_>, by_alias: bool) -> Result<(), RequestError> {
    let script = || String::from_utf8_lossy(request.filename().unwrap_or_default()).into_owned();
    if !by_alias && !request.allows_scripts() {
        return Err(RequestError::NotExecutable(script()));
    }
    match request.file_kind() {
        FileKind::Missing => return Err(RequestError::ScriptMissing(script())),
        FileKind::Directory => return Err(RequestError::Directory(script())),
        FileKind::File => {}
    }
    let has_path_info = request.path_info().is_some_and(|path| !path.is_empty());
    if has_path_info && request.accepts_path_info() == PathInfo::Rejected {
        return Err(RequestError::PathInfo(script()));
    }
    Ok(())
}

/// What the client says about its body (RFC 9112 §6.3), if it may say so.
fn declared_body(request: Request<'_>, config: &DirectoryConfig) -> Result<Declared, RequestError> {
    let headers = request.headers_in();
    if let Some(coding) = headers.value(c"Transfer-Encoding") {
        if !coding.eq_ignore_ascii_case(b"chunked") {
            let coding = String::from_utf8_lossy(coding).into_owned();
            return Err(RequestError::TransferEncoding(coding));
        }
        if !config.chunked_request.or(false) {
            return Err(RequestError::Chunked);
        }
        if request.protocol() == Some(b"HTTP/1.0") {
            // Whoever speaks that version does not know of chunks, and may have passed on as the
            // next request what belongs to this one (RFC 9112 §6.1).
            request.announce_close();
        }
        return Ok(Declared::Unknown);
    }
    let Some(text) = headers.value(c"Content-Length") else {
        return Ok(Declared::Nothing);
    };
    let digits = std::str::from_utf8(text).ok();
    let digits = digits.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let Some(length) = digits.and_then(|text| text.parse::<u64>().ok()) else {
        return Err(RequestError::ContentLength(
            String::from_utf8_lossy(text).into_owned(),
        ));
    };
    if let Some(limit) = request.body_limit().filter(|limit| length > *limit) {
        // Read to its end, so that the client reads our answer instead of a reset connection.
        request.discard_body();
        return Err(RequestError::BodyTooLarge { length, limit });
    }
    Ok(if length == 0 {
        Declared::Nothing
    } else if request.has_input_content_filter() {
        // The length is that of what travels; mod_deflate may make more of it.
        Declared::Unknown
    } else {
        Declared::Length(length)
    })
}
