//! A request: what hooks read of it and what a handler writes to it.
//!
//! One thread at a time uses a request: the one whose hook or handler runs.

use std::ffi::{CStr, c_int, c_void};
use std::marker::PhantomData;

use crate::ffi;
use crate::httpd::pool::{Pool, PoolStr};
use crate::httpd::server::Server;
use crate::httpd::table::Table;
use crate::httpd::{c_bytes, field, set_field};

/// A request that lives for `'r`.
#[derive(Debug, Clone, Copy)]
pub struct Request<'r> {
    raw: *mut ffi::request_rec,
    life: PhantomData<&'r ()>,
}

/// What `r->filename` was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Nothing is there.
    Missing,
    /// A directory.
    Directory,
    /// Anything else.
    File,
}

/// The value of AcceptPathInfo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathInfo {
    /// On, or left to the handler.
    Accepted,
    /// Off.
    Rejected,
}

/// Declares accessors that copy a string field of the request.
macro_rules! strings {
    ($($(#[$doc:meta])* $method:ident = $($field:ident).+;)*) => {
        $(
            $(#[$doc])*
            pub fn $method(self) -> Option<&'r [u8]> {
                let value = field!(self.raw, $($field).+);
                // SAFETY: httpd's request strings are terminated and live in its pool.
                unsafe { c_bytes(value) }
            }
        )*
    };
}

/// Declares accessors of a request's tables.
macro_rules! tables {
    ($($(#[$doc:meta])* $method:ident;)*) => {
        $(
            $(#[$doc])*
            pub fn $method(self) -> Table<'r> {
                let table = field!(self.raw, $method);
                // SAFETY: the table lives as long as the request.
                unsafe { Table::from_raw(table) }
            }
        )*
    };
}

impl<'r> Request<'r> {
    /// # Safety
    /// `raw` is the request whose hook runs on this thread, and `'r` ends before that hook returns.
    pub unsafe fn from_raw(raw: *mut ffi::request_rec) -> Self {
        Request {
            raw,
            life: PhantomData,
        }
    }

    /// For C.
    pub fn as_ptr(self) -> *mut ffi::request_rec {
        self.raw
    }

    /// The request's pool.
    pub fn pool(self) -> Pool<'r> {
        let pool = field!(self.raw, pool);
        // SAFETY: the request's pool lives as long as the request and belongs to its thread.
        unsafe { Pool::from_raw(pool) }
    }

    /// The server that answers.
    pub fn server(self) -> Server<'r> {
        let server = field!(self.raw, server);
        // SAFETY: a configuration outlives its requests.
        unsafe { Server::from_raw(server) }
    }

    /// The request this one was redirected from.
    pub fn previous(self) -> Option<Request<'r>> {
        let previous = field!(self.raw, prev);
        // SAFETY: the earlier request shares this one's life.
        (!previous.is_null()).then(|| unsafe { Request::from_raw(previous) })
    }

    /// Whether it was redirected from a request that failed, so that it answers as an ErrorDocument.
    pub fn is_error_page(self) -> bool {
        self.previous()
            .is_some_and(|failed| field!(failed.raw, status) >= 400)
    }

    strings! {
        /// The request line as the client sent it.
        request_line = the_request;
        /// The method.
        method = method;
        /// The protocol, e.g. `HTTP/1.1`.
        protocol = protocol;
        /// The decoded path.
        uri = uri;
        /// The path and query as sent.
        unparsed_uri = unparsed_uri;
        /// What follows the script in the path.
        path_info = path_info;
        /// The query string.
        query = args;
        /// The file the path maps to.
        filename = filename;
        /// The name of the handler that shall answer.
        handler = handler;
        /// The authenticated user.
        user = user;
        /// The authentication scheme that was used.
        auth_type = ap_auth_type;
        /// The host the client asked for.
        host = hostname;
        /// The client's address.
        client_ip = useragent_ip;
    }

    tables! {
        /// The request's headers.
        headers_in;
        /// The response's headers.
        headers_out;
        /// Response headers that are sent with errors too.
        err_headers_out;
        /// Variables for the application: SetEnv, mod_ssl and others.
        subprocess_env;
        /// Notes between modules.
        notes;
    }

    /// When httpd began to read the request, microseconds since 1970.
    pub fn start(self) -> u64 {
        u64::try_from(field!(self.raw, request_time)).unwrap_or(0)
    }

    /// Whether the file that the path maps to is there, and what it is.
    pub fn file_kind(self) -> FileKind {
        match field!(self.raw, finfo.filetype) {
            ffi::apr_filetype_e_APR_NOFILE => FileKind::Missing,
            ffi::apr_filetype_e_APR_DIR => FileKind::Directory,
            _ => FileKind::File,
        }
    }

    /// When the file that the path maps to was modified, microseconds since 1970, if httpd has looked.
    pub fn file_modified(self) -> Option<i64> {
        let known = field!(self.raw, finfo.valid) & ffi::APR_FINFO_MTIME != 0;
        (known && self.file_kind() == FileKind::File).then(|| field!(self.raw, finfo.mtime))
    }

    /// AcceptPathInfo for this request.
    pub fn accepts_path_info(self) -> PathInfo {
        match field!(self.raw, used_path_info) {
            ffi::AP_REQ_REJECT_PATH_INFO => PathInfo::Rejected,
            _ => PathInfo::Accepted,
        }
    }

    /// Whether `Options ExecCGI` holds for the file.
    pub fn allows_scripts(self) -> bool {
        // SAFETY: the request is alive; the call only reads its configuration.
        let options = unsafe { ffi::ap_allow_options(self.raw) };
        options as c_int & ffi::OPT_EXECCGI != 0
    }

    /// LimitRequestBody in bytes, or `None` for no limit.
    pub fn body_limit(self) -> Option<u64> {
        // SAFETY: the request is alive.
        let limit = unsafe { ffi::ap_get_limit_req_body(self.raw) };
        u64::try_from(limit).ok().filter(|limit| *limit > 0)
    }

    /// Whether a filter handles the response's content, e.g. mod_deflate, not only its protocol.
    pub fn has_content_filter(self) -> bool {
        handles_content(field!(self.raw, output_filters))
    }

    /// Whether a filter changes the request's body, so that its declared length may be another.
    pub fn has_input_content_filter(self) -> bool {
        handles_content(field!(self.raw, input_filters))
    }

    /// Whether the client waits for `100 Continue` before it sends its body.
    pub fn expects_continue(self) -> bool {
        field!(self.raw, expecting_100) != 0
    }

    /// The client gets no `100 Continue` any more: the final status is on its way. It may send its
    /// body or not (RFC 9110 §10.1.1), so what follows on the connection cannot be understood.
    pub fn drop_expectation(self) {
        if self.expects_continue() {
            set_field!(self.raw, expecting_100 = 0);
            self.announce_close();
        }
    }

    /// Whether the client asks for a part of the response (RFC 9110 §14.2).
    pub fn asks_for_range(self) -> bool {
        let asked = self.headers_in();
        asked.value(c"Range").is_some() || asked.value(c"Request-Range").is_some()
    }

    /// Leaves ranges to the application: httpd would cut the bodies that reach it in one piece, and no
    /// others.
    pub fn leave_ranges(self) {
        let filters = field!(self.raw, output_filters);
        // SAFETY: the request's own filters, before anything is passed to them.
        unsafe { ffi::ap_remove_output_filter_byhandle(filters, c"BYTERANGE".as_ptr()) };
    }

    /// The response's headers will say that the connection ends with it. To be called before they
    /// are sent; unlike `keepalive`, this leaves a response without a length chunked (httpd,
    /// ap_set_keepalive), so that the client can tell whether it is whole.
    pub fn announce_close(self) {
        let (name, value) = (c"Connection", c"close");
        self.headers_out()
            .set(PoolStr::constant(name), PoolStr::constant(value));
    }

    /// Reads the body to its end and drops it.
    pub fn discard_body(self) {
        // SAFETY: the request is alive and its body belongs to the handler, which we are.
        unsafe { ffi::ap_discard_request_body(self.raw) };
    }

    /// Maps the path to `filename`, to be answered by the handler `handler`.
    pub fn set_target(self, filename: PoolStr<'r>, handler: &'static CStr) {
        set_field!(self.raw, filename = filename.as_ptr().cast_mut());
        set_field!(self.raw, handler = handler.as_ptr());
    }

    /// Splits the target into the script `filename` and the path behind it, if that is a file: httpd,
    /// which looked it up by its whole name otherwise, in vain, then has no need to look at each
    /// directory on the way to it, unless symbolic links are restricted (ap_directory_walk).
    pub fn split_target(self, filename: PoolStr<'r>, path_info: PoolStr<'r>) {
        let wanted = ffi::APR_FINFO_MIN as ffi::apr_int32_t;
        let pool = self.pool().as_ptr();
        // SAFETY: the request is alive, so the place for what is found is too.
        let found = unsafe { &raw mut (*self.raw).finfo };
        // SAFETY: a terminated name, and a place that the request's pool outlives.
        let status = unsafe { ffi::apr_stat(found, filename.as_ptr(), wanted, pool) };
        if status == 0 && field!(found, filetype) == ffi::apr_filetype_e_APR_REG {
            set_field!(self.raw, filename = filename.as_ptr().cast_mut());
            set_field!(self.raw, path_info = path_info.as_ptr().cast_mut());
        } else {
            set_field!(found, filetype = ffi::apr_filetype_e_APR_NOFILE);
        }
    }

    /// Replaces the name of the authenticated user.
    pub fn set_user(self, name: PoolStr<'r>) {
        set_field!(self.raw, user = name.as_ptr().cast_mut());
    }

    /// Sets the response's status and status line; the line lives in the request's pool.
    pub fn set_status(self, status: u16, line: Option<PoolStr<'r>>) {
        set_field!(self.raw, status = c_int::from(status));
        let line = line.map_or(std::ptr::null(), PoolStr::as_ptr);
        set_field!(self.raw, status_line = line);
    }

    /// Sets Content-Type, by which filters such as mod_deflate choose.
    pub fn set_content_type(self, value: PoolStr<'r>) {
        // SAFETY: the value lives as long as the request.
        unsafe { ffi::ap_set_content_type(self.raw, value.as_ptr()) }
    }

    /// Sets Content-Length.
    pub fn set_content_length(self, bytes: u64) {
        let bytes = ffi::apr_off_t::try_from(bytes).unwrap_or(ffi::apr_off_t::MAX);
        // SAFETY: the request is alive.
        unsafe { ffi::ap_set_content_length(self.raw, bytes) }
    }

    /// Sends the status and headers as an interim (1xx) response.
    pub fn send_interim(self) {
        // SAFETY: the request is alive; the call ignores what is not 1xx.
        unsafe { ffi::ap_send_interim_response(self.raw, 1) }
    }

    /// Lets another request, a GET for `location`, answer in this one's place.
    pub fn redirect_internally(self, location: PoolStr<'r>) {
        set_field!(self.raw, method = c"GET".as_ptr());
        set_field!(self.raw, method_number = ffi::M_GET);
        // The body belongs to the first request (RFC 3875 §6.2.2). Its end has to be found before its
        // length is forgotten, or the rest of it would be taken for the client's next request.
        self.discard_body();
        self.headers_in().remove(c"Content-Length");
        self.headers_in().remove(c"Transfer-Encoding");
        // The application's Content-Type holds for a file whose name tells none.
        // SAFETY: request and location are alive.
        unsafe { ffi::ap_internal_redirect_handler(location.as_ptr(), self.raw) }
    }

    /// The response, whose headers were sent, cannot become whole: the connection is closed after
    /// it, and caches must not keep it.
    pub fn close_connection(self) {
        let connection = field!(self.raw, connection);
        set_field!(
            connection,
            keepalive = ffi::ap_conn_keepalive_e_AP_CONN_CLOSE
        );
        set_field!(self.raw, no_cache = 1);
    }

    /// Whether the client's connection is known to be broken.
    pub fn is_aborted(self) -> bool {
        field!(field!(self.raw, connection), aborted) != 0
    }

    /// This module's configuration for the request's directory.
    pub fn directory_config(self) -> *mut c_void {
        crate::module_config(field!(self.raw, per_dir_config))
    }

    /// This module's own value for the request, or null.
    pub fn own_value(self) -> *mut c_void {
        crate::module_config(field!(self.raw, request_config))
    }

    /// Sets this module's own value for the request.
    pub fn set_own_value(self, value: *mut c_void) {
        crate::set_module_config(field!(self.raw, request_config), value);
    }

    /// The core's per-directory configuration.
    pub(super) fn core_config(self) -> *mut ffi::core_dir_config {
        let vector = field!(self.raw, per_dir_config);
        let core = &raw const ffi::core_module;
        // SAFETY: the vector is the request's; the core always has a configuration in it.
        unsafe { ffi::ap_get_module_config(vector, core) }.cast()
    }
}

/// What the CGI variables need of a request: each is one call of httpd.
impl<'r> Request<'r> {
    /// Whether `CGIVar REQUEST_URI current-uri` holds.
    pub fn wants_current_uri(self) -> bool {
        let rules = field!(self.core_config(), cgi_var_rules);
        if rules.is_null() {
            return false;
        }
        let key = c"REQUEST_URI";
        let length = key.count_bytes() as isize;
        // SAFETY: the table is the configuration's; a missing key gives null.
        let rule = unsafe { ffi::apr_hash_get(rules, key.as_ptr().cast(), length) };
        // SAFETY: the core stores terminated strings in this table.
        let rule = unsafe { c_bytes(rule.cast()) };
        rule == Some(b"current-uri")
    }

    /// Whether `CGIPassAuth On` holds.
    pub fn passes_authorization(self) -> bool {
        let core = self.core_config();
        // SAFETY: the core's configuration outlives the request; the accessor copies a bit-field.
        unsafe { (*core).cgi_pass_auth() == ffi::AP_CGI_PASS_AUTH_ON as u32 }
    }

    /// The scheme: `http` or `https`.
    pub fn scheme(self) -> &'r [u8] {
        // SAFETY: the request is alive.
        let scheme = unsafe { ffi::ap_run_http_scheme(self.raw) };
        // SAFETY: a constant of some module.
        unsafe { c_bytes(scheme) }.unwrap_or(b"http")
    }

    /// The port the server answers on for this request (UseCanonicalPhysicalPort applies).
    pub fn server_port(self) -> u16 {
        // SAFETY: the request is alive.
        unsafe { ffi::ap_get_server_port(self.raw) }
    }

    /// The server's name fit for a URL, HTML-escaped as CGI scripts get it from httpd.
    pub fn escaped_server_name(self) -> &'r [u8] {
        // SAFETY: the request is alive; the name lives in its pool.
        let name = unsafe { ffi::ap_get_server_name_for_url(self.raw) };
        // SAFETY: pool and name are alive.
        let escaped = unsafe { ffi::ap_escape_html2(self.pool().as_ptr(), name, 0) };
        // SAFETY: a terminated string of the request's pool.
        unsafe { c_bytes(escaped) }.unwrap_or_default()
    }

    /// What ServerTokens lets httpd say about itself.
    pub fn server_software(self) -> &'r [u8] {
        // SAFETY: takes nothing; the banner was made when the configuration was read.
        let banner = unsafe { ffi::ap_get_server_banner() };
        // SAFETY: a string of the configuration.
        unsafe { c_bytes(banner) }.unwrap_or_default()
    }

    /// DocumentRoot, or what stands for it in this context.
    pub fn document_root(self) -> &'r [u8] {
        // SAFETY: the request is alive.
        let root = unsafe { ffi::ap_document_root(self.raw) };
        // SAFETY: a string of the configuration or the request.
        unsafe { c_bytes(root) }.unwrap_or_default()
    }

    /// The part of the path that an alias replaced.
    pub fn context_prefix(self) -> &'r [u8] {
        // SAFETY: the request is alive.
        let prefix = unsafe { ffi::ap_context_prefix(self.raw) };
        // SAFETY: a string of the configuration or the request.
        unsafe { c_bytes(prefix) }.unwrap_or_default()
    }

    /// The directory that an alias put in its place.
    pub fn context_document_root(self) -> &'r [u8] {
        // SAFETY: the request is alive.
        let root = unsafe { ffi::ap_context_document_root(self.raw) };
        // SAFETY: a string of the configuration or the request.
        unsafe { c_bytes(root) }.unwrap_or_default()
    }

    /// The address the client connected to.
    pub fn local_ip(self) -> &'r [u8] {
        let connection = field!(self.raw, connection);
        let value = field!(connection, local_ip);
        // SAFETY: a string of the connection's pool.
        unsafe { c_bytes(value) }.unwrap_or_default()
    }

    /// The port the client connected to.
    pub fn local_port(self) -> u16 {
        let connection = field!(self.raw, connection);
        field!(field!(connection, local_addr), port)
    }

    /// The address as Listen names it; empty for every address.
    pub fn listener_host(self) -> &'r [u8] {
        let connection = field!(self.raw, connection);
        let name = field!(field!(connection, local_addr), hostname);
        // SAFETY: a string of the listener's or the connection's pool, or null.
        unsafe { c_bytes(name) }.unwrap_or_default()
    }

    /// The client's host name, where HostnameLookups finds one.
    pub fn remote_host(self) -> Option<&'r [u8]> {
        let null = std::ptr::null_mut();
        // SAFETY: the request is alive; the last argument may be null.
        let name = unsafe { ffi::ap_get_useragent_host(self.raw, ffi::REMOTE_HOST, null) };
        // SAFETY: a string of the connection's or the request's pool, or null.
        unsafe { c_bytes(name) }
    }

    /// Whether the client's connection is encrypted.
    pub fn is_tls(self) -> bool {
        let connection = field!(self.raw, connection);
        // SAFETY: the connection is alive.
        unsafe { ffi::wsgi_connection_is_tls(connection) != 0 }
    }

    /// What mod_ssl knows by this name (its "Environment Variables", which `SSLOptions +StdEnvVars`
    /// sets later); `None` without mod_ssl.
    pub fn tls_variable(self, name: &[u8]) -> Option<&'r [u8]> {
        let name = self.pool().string(name);
        // SAFETY: the request is alive; mod_ssl only reads the name.
        let value = unsafe { ffi::wsgi_tls_variable(self.raw, name.as_ptr()) };
        // SAFETY: a string of the request's pool, or null.
        unsafe { c_bytes(value) }
    }

    /// What ServerSignature puts at the end of pages.
    pub fn server_signature(self) -> &'r [u8] {
        // SAFETY: the request is alive.
        let signature = unsafe { ffi::ap_psignature(c"".as_ptr(), self.raw) };
        // SAFETY: a string of the request's pool.
        unsafe { c_bytes(signature) }.unwrap_or_default()
    }

    /// The client's port.
    pub fn client_port(self) -> u16 {
        field!(field!(self.raw, useragent_addr), port)
    }

    /// The id that the error log gives this request; made now if nothing was logged for it yet.
    pub fn log_id(self) -> &'r [u8] {
        if field!(self.raw, log_id).is_null() {
            let connection = field!(self.raw, connection);
            let target = self.raw.cast_const();
            let mut id = std::ptr::null();
            // SAFETY: request and connection are alive; the id is a string of the request's pool.
            unsafe { ffi::ap_run_generate_log_id(connection, target, &mut id) };
            set_field!(self.raw, log_id = id);
        }
        let value = field!(self.raw, log_id);
        // SAFETY: a string of the request's pool, or still null.
        unsafe { c_bytes(value) }.unwrap_or_default()
    }

    /// The id by which the client may name the request to an administrator: mod_unique_id's, which any
    /// log can show, or else the error log's. It can be put into a page as it is.
    pub fn public_id(self) -> &'r [u8] {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"@-_+/=".contains(byte);
        let unique = self.subprocess_env().value(c"UNIQUE_ID");
        unique
            .filter(|id| id.iter().all(plain))
            .unwrap_or_else(|| self.log_id())
    }

    /// The id that the error log gives the connection.
    pub fn connection_log_id(self) -> &'r [u8] {
        let connection = field!(self.raw, connection);
        if field!(connection, log_id).is_null() {
            let null = std::ptr::null();
            let mut id = std::ptr::null();
            // SAFETY: the connection is alive; the id is a string of its pool.
            unsafe { ffi::ap_run_generate_log_id(connection, null, &mut id) };
            set_field!(connection, log_id = id);
        }
        let value = field!(connection, log_id);
        // SAFETY: a string of the connection's pool, or still null.
        unsafe { c_bytes(value) }.unwrap_or_default()
    }
}

/// Whether the first filter of a chain, in which filters are in the order of their kinds, handles
/// content.
fn handles_content(filter: *const ffi::ap_filter_t) -> bool {
    if filter.is_null() {
        return false;
    }
    let record = field!(filter, frec);
    field!(record, ftype) < ffi::ap_filter_type_AP_FTYPE_PROTOCOL
}
