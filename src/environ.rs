//! From a request of httpd to the request head of the gateway: the CGI variables (RFC 3875 §4.1),
//! the request's headers, and what this module adds.
//!
//! Runs in a child's request thread. One ordered list serves both modes; a later pair replaces an
//! earlier one, so what other modules set comes early. Before it comes only what most requests for a
//! script have in common, of which the gateway keeps what it made of it.

use wsgi_config::cgi;
use wsgi_config::proxy::Resolved;
use wsgi_wire::head::{HeadBuilder, Target, flag};

use crate::httpd::request::Request;
use crate::httpd::server;
use crate::proxy;
use crate::selection::{Selection, script_and_path};

/// What the environ depends on besides the request.
#[derive(Debug)]
pub struct Options<'r> {
    /// WSGIScriptReloading.
    pub reloading: bool,
    /// WSGIModuleReloading.
    pub module_reloading: bool,
    /// WSGIIgnoreActivity.
    pub ignore_activity: bool,
    /// WSGIPassAuthorization, or CGIPassAuth.
    pub pass_authorization: bool,
    /// The application sees HEAD as GET.
    pub map_head: bool,
    /// What the front end says, where WSGITrustedProxyHeaders declares headers.
    pub front: Option<Resolved<'r>>,
}

/// Encodes everything of the head but the body, into `buffer`.
pub fn build(
    request: Request<'_>,
    selection: &Selection<'_>,
    options: &Options<'_>,
    buffer: Vec<u8>,
) -> HeadBuilder {
    let target = target(request, selection, options);
    let mut head = HeadBuilder::start(buffer, &target);
    add_all(&mut head, request, selection, options);
    head
}

/// The same environ for the functions `names` of the script that `selection` names.
pub fn build_for_functions(
    request: Request<'_>,
    selection: &Selection<'_>,
    options: &Options<'_>,
    names: &[&[u8]],
) -> HeadBuilder {
    let target = target(request, selection, options);
    let mut head = HeadBuilder::start_functions(&target, names, &[]);
    add_all(&mut head, request, selection, options);
    head
}

fn target<'s>(
    request: Request<'_>,
    selection: &'s Selection<'_>,
    options: &Options<'_>,
) -> Target<'s> {
    let front = options.front.as_ref();
    let https = front
        .and_then(|front| front.https)
        .unwrap_or_else(|| request.subprocess_env().value(c"HTTPS").is_some_and(is_on));
    let flags = [
        (options.reloading, flag::RELOADING),
        (options.module_reloading, flag::MODULES),
        (https, flag::HTTPS),
        (options.ignore_activity, flag::IGNORE_ACTIVITY),
        (selection.computed_group, flag::COMPUTED_GROUP),
    ];
    Target {
        flags: combined(&flags),
        request_start: request.start(),
        script: selection.script,
        application_group: &selection.application_group,
        callable: &selection.callable,
    }
}

/// The flags that are set.
fn combined(flags: &[(bool, u16)]) -> u16 {
    let set = flags.iter().filter(|(set, _)| *set);
    set.fold(0, |flags, (_, flag)| flags | flag)
}

fn add_all(
    head: &mut HeadBuilder,
    request: Request<'_>,
    selection: &Selection<'_>,
    options: &Options<'_>,
) {
    add_server(head, request);
    add_script(head, request, selection);
    head.end_common();
    add_variables_of_modules(head, request);
    add_client(head, request);
    add_request(head, request, options.map_head);
    add_headers(head, request, options);
    add_own(head, request);
    if let Some(front) = &options.front {
        proxy::add(head, front);
    }
}

/// The functions that decide about a request before it is anybody's.
#[derive(Debug, Clone, Copy)]
pub struct Decision<'d> {
    /// Their script's path.
    pub script: &'d [u8],
    /// Where they run.
    pub process_group: &'d [u8],
    /// The interpreter they run in.
    pub application_group: &'d [u8],
    /// The client has a say in that name.
    pub computed_group: bool,
    /// WSGIScriptReloading.
    pub reloading: bool,
    /// WSGIIgnoreActivity.
    pub ignore_activity: bool,
}

/// What an access or authentication function learns of a request: what the client sent, but for its
/// credentials, and none of the variables that other modules may set later.
pub fn build_for_decision(
    request: Request<'_>,
    decision: &Decision<'_>,
    function: &[u8],
    arguments: &[&[u8]],
) -> HeadBuilder {
    let options = Options {
        reloading: decision.reloading,
        module_reloading: false,
        ignore_activity: decision.ignore_activity,
        pass_authorization: false,
        map_head: false,
        front: None,
    };
    let flags = [
        (options.reloading, flag::RELOADING),
        (options.ignore_activity, flag::IGNORE_ACTIVITY),
        (request.is_tls(), flag::HTTPS),
        (decision.computed_group, flag::COMPUTED_GROUP),
    ];
    let target = Target {
        flags: combined(&flags),
        request_start: request.start(),
        script: decision.script,
        application_group: decision.application_group,
        callable: b"",
    };
    let mut head = HeadBuilder::start_functions(&target, &[function], arguments);
    add_server(&mut head, request);
    head.latin1(b"SERVER_SIGNATURE", request.server_signature());
    add_peer(&mut head, request);
    if let Some(host) = request.remote_host() {
        head.latin1(b"REMOTE_HOST", host);
    }
    add_request(&mut head, request, false);
    add_headers(&mut head, request, &options);
    let (script_name, path_info) = script_and_path(request);
    head.latin1(b"SCRIPT_NAME", &script_name);
    head.latin1(b"PATH_INFO", &path_info);
    head.latin1(b"mod_wsgi.process_group", decision.process_group);
    head.latin1(b"mod_wsgi.application_group", decision.application_group);
    head
}

fn is_on(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"on") || value == b"1"
}

/// What the gateway knows once for all requests, which therefore comes before any request's head.
const FIXED: &[&[u8]] = &[
    b"wsgi.version",
    b"wsgi.multithread",
    b"wsgi.multiprocess",
    b"wsgi.run_once",
    b"wsgi.input_terminated",
    b"wsgi.errors",
    b"wsgi.file_wrapper",
    b"apache.version",
    b"mod_wsgi.version",
];

/// SetEnv, PassEnv, mod_ssl and others. HTTPS has become the scheme, and PATH is the server's.
fn add_variables_of_modules(head: &mut HeadBuilder, request: Request<'_>) {
    for (key, value) in request.subprocess_env().entries() {
        match value {
            _ if key == b"HTTPS" || key == b"PATH" || head.holds_common(key) => {}
            // Variables in capitals, which are nearly all, need one comparison here.
            _ if key.first().is_some_and(u8::is_ascii_lowercase) && FIXED.contains(&key) => {}
            Some(value) => head.latin1(key, value),
            None => head.none(key),
        }
    }
}

fn add_server(head: &mut HeadBuilder, request: Request<'_>) {
    head.latin1(b"SERVER_SOFTWARE", request.server_software());
    head.latin1(b"SERVER_NAME", request.escaped_server_name());
    head.latin1(b"SERVER_ADDR", request.local_ip());
    head.latin1(
        b"SERVER_PORT",
        Decimal::new(request.server_port().into()).bytes(),
    );
    head.latin1(b"SERVER_ADMIN", request.server().admin());
    head.path(b"DOCUMENT_ROOT", request.document_root());
    head.latin1(b"CONTEXT_PREFIX", request.context_prefix());
    head.latin1(b"CONTEXT_DOCUMENT_ROOT", request.context_document_root());
}

fn add_peer(head: &mut HeadBuilder, request: Request<'_>) {
    head.latin1(b"REMOTE_ADDR", request.client_ip().unwrap_or_default());
    head.latin1(
        b"REMOTE_PORT",
        Decimal::new(request.client_port().into()).bytes(),
    );
}

fn add_client(head: &mut HeadBuilder, request: Request<'_>) {
    add_peer(head, request);
    if let Some(user) = request.user() {
        head.latin1(b"REMOTE_USER", user);
    } else {
        let earlier = std::iter::successors(request.previous(), |request| request.previous());
        if let Some(user) = earlier.filter_map(|request| request.user()).next() {
            head.latin1(b"REDIRECT_REMOTE_USER", user);
        }
    }
    if let Some(auth_type) = request.auth_type() {
        head.latin1(b"AUTH_TYPE", auth_type);
    }
}

fn add_request(head: &mut HeadBuilder, request: Request<'_>, map_head: bool) {
    let method = match request.method().unwrap_or_default() {
        b"HEAD" if map_head => b"GET",
        method => method,
    };
    head.latin1(b"REQUEST_METHOD", method);
    head.latin1(b"REQUEST_SCHEME", request.scheme());
    head.latin1(b"REQUEST_URI", request_uri(request));
    head.latin1(b"QUERY_STRING", request.query().unwrap_or_default());
    head.latin1(b"SERVER_PROTOCOL", request.protocol().unwrap_or_default());
    head.path(b"SCRIPT_FILENAME", request.filename().unwrap_or_default());
    if let Some(previous) = request.previous() {
        head.latin1(b"REDIRECT_URL", previous.uri().unwrap_or_default());
        if let Some(query) = previous.query() {
            head.latin1(b"REDIRECT_QUERY_STRING", query);
        }
    }
}

/// The target as the client wrote it, unless `CGIVar REQUEST_URI current-uri` asks for the path.
fn request_uri<'r>(request: Request<'r>) -> &'r [u8] {
    if request.wants_current_uri() {
        return request.uri().unwrap_or_default();
    }
    let line = request.request_line().unwrap_or_default();
    let mut words = line
        .split(|byte| byte.is_ascii_whitespace())
        .filter(|word| !word.is_empty());
    words.nth(1).or(request.unparsed_uri()).unwrap_or_default()
}

/// The request's headers. Names with anything but letters, digits and `-` are dropped, so that
/// `X_Forwarded_For` cannot pass for `X-Forwarded-For`, and so is `Proxy` (CVE-2016-5387).
fn add_headers(head: &mut HeadBuilder, request: Request<'_>, options: &Options<'_>) {
    for (name, value) in request.headers_in().entries() {
        if options
            .front
            .as_ref()
            .is_some_and(|front| front.hides(name))
        {
            continue;
        }
        let value = value.unwrap_or_default();
        if name.eq_ignore_ascii_case(b"Content-Type") {
            head.latin1(b"CONTENT_TYPE", value);
        } else if name.eq_ignore_ascii_case(b"Content-Length") {
            head.latin1(b"CONTENT_LENGTH", value);
        } else if is_withheld(name, request, options) {
            continue;
        } else if cgi::has_variable(name) {
            head.latin1_with_key((cgi::PREFIX, name), cgi::to_variable, value);
        }
    }
}

/// Credentials are httpd's to check unless the configuration passes them on; those for a proxy are
/// passed on by CGIPassAuth alone.
fn is_withheld(name: &[u8], request: Request<'_>, options: &Options<'_>) -> bool {
    if name.eq_ignore_ascii_case(b"Authorization") {
        !options.pass_authorization
    } else {
        name.eq_ignore_ascii_case(b"Proxy-Authorization") && !request.passes_authorization()
    }
}

/// What follows from the script and the way to it.
fn add_script(head: &mut HeadBuilder, request: Request<'_>, selection: &Selection<'_>) {
    let (script_name, _) = script_and_path(request);
    head.latin1(b"SCRIPT_NAME", &script_name);
    head.latin1(b"mod_wsgi.script_name", &script_name);
    head.latin1(b"mod_wsgi.process_group", &selection.process_group);
    head.latin1(b"mod_wsgi.application_group", &selection.application_group);
    head.latin1(b"mod_wsgi.callable_object", &selection.callable);
    head.latin1(
        b"mod_wsgi.request_handler",
        request.handler().unwrap_or_default(),
    );
    head.latin1(b"mod_wsgi.handler_script", selection.handler_script);
    head.latin1(b"mod_wsgi.listener_host", request.listener_host());
    head.latin1(
        b"mod_wsgi.listener_port",
        Decimal::new(request.local_port().into()).bytes(),
    );
    head.latin1(
        b"mod_wsgi.server_pid",
        Decimal::new(server::child_pid().into()).bytes(),
    );
}

fn add_own(head: &mut HeadBuilder, request: Request<'_>) {
    let (_, path_info) = script_and_path(request);
    head.latin1(b"PATH_INFO", &path_info);
    head.latin1(b"mod_wsgi.path_info", &path_info);
    head.latin1(b"mod_wsgi.request_id", request.log_id());
    head.latin1(b"mod_wsgi.connection_id", request.connection_log_id());
}

/// A number's decimal digits without an allocation.
struct Decimal {
    digits: [u8; 20],
    start: usize,
}

impl Decimal {
    fn new(mut value: u64) -> Self {
        let mut decimal = Decimal {
            digits: [b'0'; 20],
            start: 20,
        };
        loop {
            decimal.start -= 1;
            decimal.digits[decimal.start] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                return decimal;
            }
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}
