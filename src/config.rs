//! What the directives say, where httpd keeps it: per directory, per server, and for the whole
//! configuration.
//!
//! Written while the configuration is read, in the parent's main thread; read-only afterwards
//! (`SAFETY.md`, "Configuration is read-only"). `.htaccess` files make per-directory records in
//! children, each for one request.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{c_char, c_void};
use std::time::Duration;

use wsgi_config::alias::{AliasOptions, ScriptAlias};
use wsgi_config::daemon_options::DaemonOptions;
use wsgi_config::function_script::{FunctionScript, HandlerScript};
use wsgi_config::interpreter::{Rule, Selector};
use wsgi_config::layer::Setting;
use wsgi_config::prefixes::Prefixes;
use wsgi_config::proxy::{ProxyHeader, Subnet};
use wsgi_config::telemetry::TelemetryService;
use wsgi_wire::launch::PythonFlags;
use wsgi_wire::launch::Telemetry;
use wsgi_wire::launch::template::KEY;

use crate::ffi;
use crate::httpd::boundary::guard;
use crate::httpd::pool::{Pool, PoolStr};
use crate::httpd::regex::Regex;
use crate::httpd::request::Request;
use crate::httpd::server::Server;
use crate::keyed::Key;

/// A string of the configuration's pool, which lives as long as the configuration.
pub type ConfigStr = PoolStr<'static>;

/// Whether an application sees HEAD as GET. httpd drops the body either way, but a filter such as
/// mod_deflate can only tell the length of a response it has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapHead {
    /// Off.
    Never,
    /// On.
    Always,
    /// Auto: if a filter handles the response's content.
    IfFiltered,
}

/// Declares the per-directory settings and their mechanical merge.
macro_rules! directory_config {
    ($($(#[$doc:meta])* $field:ident: $type:ty,)*) => {
        /// What holds in a directory, location or file, or by default in a server.
        ///
        /// Lives in the pool's own memory and is never dropped, so it holds nothing that owns.
        #[derive(Debug, Clone, Copy, Default)]
        pub struct DirectoryConfig {
            $($(#[$doc])* pub $field: Setting<$type>,)*
            /// WSGIHandlerScript: the latest of a name counts.
            pub handlers: &'static [&'static HandlerScript],
        }

        impl DirectoryConfig {
            /// This scope laid over the one around it.
            fn over(self, outer: Self, pool: Pool<'static>) -> Self {
                DirectoryConfig {
                    $($field: self.$field.over(outer.$field),)*
                    handlers: overlay(self.handlers, outer.handlers, pool),
                }
            }
        }
    };
}

directory_config! {
    /// WSGIProcessGroup; embedded mode by default.
    process_group: ConfigStr,
    /// WSGIApplicationGroup; `%{RESOURCE}` by default.
    application_group: ConfigStr,
    /// WSGICallableObject; `application` by default.
    callable_object: ConfigStr,
    /// WSGIScriptReloading; On by default.
    script_reloading: bool,
    /// WSGIModuleReloading; Off by default.
    module_reloading: bool,
    /// WSGIChunkedRequest; Off by default.
    chunked_request: bool,
    /// WSGIIgnoreActivity; Off by default.
    ignore_activity: bool,
    /// WSGIPassAuthorization; Off by default.
    pass_authorization: bool,
    /// WSGIErrorOverride; Off by default.
    error_override: bool,
    /// WSGIMapHEADToGET; Auto by default.
    map_head: MapHead,
    /// WSGIEnableSendfile; Off by default.
    enable_sendfile: bool,
    /// WSGIPassApacheRequest; Off by default.
    pass_apache_request: bool,
    /// WSGIRestrictProcess; every group by default. An empty name is embedded mode.
    restrict_process: &'static [ConfigStr],
    /// WSGITrustedProxyHeaders; none by default.
    proxy_headers: &'static [&'static ProxyHeader],
    /// WSGITrustedProxies; everybody by default.
    trusted_proxies: &'static [Subnet],
    /// WSGIAccessScript.
    access_script: &'static FunctionSite,
    /// WSGIAuthUserScript.
    auth_user_script: &'static FunctionSite,
    /// WSGIAuthGroupScript.
    auth_group_script: &'static FunctionSite,
    /// WSGIDispatchScript.
    dispatch_script: &'static FunctionSite,
}

/// Inner handlers come last, where they are looked for first.
fn overlay(
    inner: &'static [&'static HandlerScript],
    outer: &'static [&'static HandlerScript],
    pool: Pool<'static>,
) -> &'static [&'static HandlerScript] {
    match (inner, outer) {
        ([], handlers) | (handlers, []) => handlers,
        _ => pool.place([outer, inner].concat()),
    }
}

impl DirectoryConfig {
    /// Gives a name for SetHandler to a script.
    pub fn add_handler(&mut self, pool: Pool<'static>, script: &'static HandlerScript) {
        self.handlers = overlay(pool.place(vec![script]), self.handlers, pool);
    }

    /// The script that answers for the handler `name`.
    pub fn handler_script(&self, name: &[u8]) -> Option<&'static HandlerScript> {
        let mut latest_first = self.handlers.iter().rev();
        latest_first.find(|script| script.handler == name).copied()
    }

    /// What holds for this request.
    pub fn of(request: Request<'_>) -> DirectoryConfig {
        DirectoryConfig::lent(request).copied().unwrap_or_default()
    }

    /// The same without a copy, for a look at one setting of requests that are not ours.
    pub fn lent(request: Request<'_>) -> Option<&DirectoryConfig> {
        let record = request.directory_config().cast::<DirectoryConfig>();
        // SAFETY: httpd keeps what `on_create_directory` or `on_merge_directory` made, or null.
        unsafe { record.as_ref() }
    }
}

/// A script with functions and the directive that names it.
#[derive(Debug)]
pub struct FunctionSite {
    /// The directive.
    pub directive: &'static str,
    /// Its arguments.
    pub script: FunctionScript,
    /// The server it was written in.
    pub server: Server<'static>,
}

/// WSGIScriptAlias or WSGIScriptAliasMatch.
#[derive(Debug)]
pub struct Alias {
    /// The directive's arguments.
    pub script: ScriptAlias,
    /// The compiled expression, for WSGIScriptAliasMatch.
    pub regex: Option<Regex>,
}

/// What a server says for itself.
#[derive(Debug, Default)]
pub struct ServerConfig {
    /// Its own aliases in the order they are tried. Each lives in the configuration's pool.
    aliases: Vec<&'static Alias>,
    /// Where prefixes lead among them.
    prefixes: Prefixes,
    /// Those of WSGIScriptAliasMatch, which can only be tried, in their order.
    expressions: Vec<usize>,
    /// The main server, for a virtual host: what it says is tried after the host's own.
    main: Option<&'static ServerConfig>,
}

impl ServerConfig {
    /// What this server says.
    pub fn of(server: Server<'_>) -> Option<&'static ServerConfig> {
        let record = server.module_config().cast::<ServerConfig>();
        // SAFETY: httpd keeps what `on_create_server` or `on_merge_server` made, or null; it
        // lives as long as the configuration, whose hooks and requests are our only callers.
        unsafe { record.as_ref() }
    }

    /// Adds an alias while the configuration is read.
    pub fn add_alias(server: Server<'_>, alias: &'static Alias) {
        let record = server.module_config().cast::<ServerConfig>();
        // SAFETY: as in `of`; the configuration is read by one thread, which holds no other
        // reference to the record.
        if let Some(config) = unsafe { record.as_mut() } {
            let rank = config.aliases.len();
            match alias.regex {
                Some(_) => config.expressions.push(rank),
                None => config.prefixes.add(&alias.script.url, rank),
            }
            config.aliases.push(alias);
        }
    }

    /// What `target` gives for the first alias that takes `uri`, which begins with a slash. `target`
    /// is asked only about the one whose prefix matches and about expressions, which it may refuse.
    pub fn first_match<T>(
        &self,
        uri: &[u8],
        target: impl Fn(&'static Alias) -> Option<T>,
    ) -> Option<T> {
        let prefix = self.prefixes.first_match(uri);
        let expressions = self.expressions.iter().copied();
        let mut candidates = expressions
            .take_while(|&rank| prefix.is_none_or(|prefix| rank < prefix))
            .chain(prefix);
        candidates
            .find_map(|rank| target(self.aliases[rank]))
            .or_else(|| self.main?.first_match(uri, target))
    }
}

/// A process group, or a template of groups, and where it was written. Virtual hosts that were copied from one another, as
/// certbot does, define the same group several times.
#[derive(Debug)]
pub struct DaemonGroup {
    /// Its options.
    pub options: DaemonOptions,
    /// The servers it was written in, the first one first: a virtual host's group is for hosts of
    /// that name alone.
    pub servers: Vec<Server<'static>>,
    /// Where it was written first: `file:line`.
    pub written_at: String,
    /// Where the same was written again.
    pub repeated_at: Vec<String>,
}

impl DaemonGroup {
    /// Whether requests of this server may use it.
    pub fn is_open_to(&self, server: Server<'_>) -> bool {
        server.may_use_what_is_of(&self.servers)
    }
}

/// A script that is loaded when its process starts.
#[derive(Debug)]
pub struct Import {
    /// The directive that asks for it.
    pub directive: &'static str,
    /// The script's path.
    pub script: Vec<u8>,
    /// The process group; empty for embedded mode.
    pub process_group: Vec<u8>,
    /// The application group; empty for the main interpreter.
    pub application_group: Vec<u8>,
    /// The callable it must define, when it is an application.
    pub callable: Option<Vec<u8>>,
    /// The server the directive was written in.
    pub server: Server<'static>,
}

/// What the directives say about reports to a telemetry service.
#[derive(Debug, Default)]
pub struct TelemetrySettings {
    /// WSGITelemetryService.
    pub service: Option<TelemetryService>,
    /// WSGITelemetryOptions: CaptureUserAgent.
    pub user_agents: bool,
    /// WSGISlowRequests; zero: none are reported.
    pub slow: Duration,
}

impl TelemetrySettings {
    /// What processes are told, if there is a service at all.
    pub fn record(&self) -> Option<Telemetry> {
        let service = self.service.as_ref()?;
        Some(Telemetry {
            socket: service.socket.clone(),
            interval: service.interval,
            slow: self.slow,
            user_agents: self.user_agents,
        })
    }
}

/// What holds for the whole configuration: collected from every server while it is read.
#[derive(Debug, Default)]
pub struct Configuration {
    /// WSGIPythonHome.
    pub python_home: Option<Vec<u8>>,
    /// WSGIPythonPath.
    pub python_path: Vec<Vec<u8>>,
    /// How Python is started: WSGIPythonOptimize and its like.
    pub python: PythonFlags,
    /// The directives about interpreters, in their order.
    pub interpreter_rules: Vec<Rule>,
    /// The `<WSGIInterpreterOptions>` whose lines are being read.
    pub section: Option<Selector>,
    /// WSGIDestroyInterpreter Off.
    pub left_at_end: bool,
    /// WSGIMaximumApplicationGroups.
    pub computed_groups: Option<u32>,
    /// WSGISocketPrefix, relative to ServerRoot.
    pub socket_prefix: Option<Vec<u8>>,
    /// WSGIRestrictEmbedded.
    pub restrict_embedded: bool,
    /// WSGICaseSensitivity Off.
    pub ignores_case: bool,
    /// Words of WSGITrustedProxyHeaders that name no header it knows.
    pub unknown_headers: BTreeSet<String>,
    /// WSGIServerMetrics.
    pub server_metrics: bool,
    /// WSGITelemetryService, WSGITelemetryOptions and WSGISlowRequests.
    pub telemetry: TelemetrySettings,
    /// Every WSGIDaemonProcess and WSGIDaemonTemplate.
    pub groups: Vec<DaemonGroup>,
    /// Names of process groups whose keys come with requests, as they were written, and what gives
    /// the key or why it cannot be understood.
    pub keys: BTreeMap<Vec<u8>, Result<Key, String>>,
    /// Every WSGIImportScript, and every alias whose groups are fixed.
    pub imports: Vec<Import>,
    /// Scripts with functions that run in a named process group: directive, script and group.
    pub function_groups: Vec<(&'static str, Vec<u8>, Vec<u8>)>,
    /// Directives that are accepted and have no effect, each with the reason.
    pub without_effect: BTreeMap<&'static str, &'static str>,
    /// Servers in which a process group is selected, and its name as written.
    pub process_group_uses: Vec<(Server<'static>, Vec<u8>)>,
    /// Servers in which the main interpreter is asked for by WSGIApplicationGroup.
    pub main_interpreter_uses: Vec<Server<'static>>,
    /// Process groups whose main interpreter an alias or import asks for.
    pub main_interpreter_groups: Vec<Vec<u8>>,
}

const CONFIGURATION_KEY: &std::ffi::CStr = c"mod_wsgi_rs.configuration";

impl Configuration {
    /// The configuration that is being read, or was read, into `pool` (httpd's `pconf`).
    pub fn of(pool: Pool<'static>) -> &'static RefCell<Configuration> {
        let stored = pool
            .userdata(CONFIGURATION_KEY)
            .cast::<RefCell<Configuration>>();
        // SAFETY: only the line below stores under this key: a value the same pool owns.
        if let Some(configuration) = unsafe { stored.as_ref() } {
            return configuration;
        }
        let configuration = pool.place(RefCell::new(Configuration::default()));
        pool.set_userdata(CONFIGURATION_KEY, (&raw mut *configuration).cast());
        configuration
    }

    /// Notes what the options of an alias or handler say about groups.
    pub fn add_options(&mut self, server: Server<'static>, options: &AliasOptions) {
        let main = options.application_group.as_deref() == Some(b"");
        if let Some(process_group) = &options.process_group {
            self.process_group_uses
                .push((server, process_group.clone()));
            if main {
                self.main_interpreter_groups.push(process_group.clone());
            }
        } else if main {
            self.main_interpreter_uses.push(server);
        }
    }

    /// Notes where a script's functions run. They take the main interpreter by default, which an
    /// application may share; only who asks for it by its name keeps others out of it.
    pub fn add_functions(&mut self, site: &FunctionSite) {
        let group = &site.script.process_group;
        if site.script.names_main {
            self.main_interpreter_groups.push(group.clone());
        }
        if !group.is_empty() {
            self.process_group_uses.push((site.server, group.clone()));
            let script = site.script.path.clone();
            self.function_groups
                .push((site.directive, script, group.clone()));
        }
    }

    /// Whether the group's main interpreter is asked for by its own name, `%{GLOBAL}`, so that no
    /// other application group may be put there; an empty name is embedded mode.
    pub fn reserves_main(&self, process_group: &[u8]) -> bool {
        // A template is written with different keys; its imports name it alone.
        let template = process_group.strip_suffix(KEY);
        let same = |name: &[u8]| match template {
            Some(template) => name.starts_with(template) || name == &template[..template.len() - 1],
            None => name == process_group,
        };
        let named = self.main_interpreter_groups.iter().any(|name| same(name));
        let uses = &self.main_interpreter_uses;
        let everywhere =
            |server: &Server<'static>| !server.is_virtual() || process_group.is_empty();
        // The name first: few servers use a group, however many ask for the main interpreter.
        let used_where_asked = |(user, name): &(Server<'static>, Vec<u8>)| {
            (same(name) || name.starts_with(b"%")) && uses.contains(user)
        };
        named || uses.iter().any(everywhere) || self.process_group_uses.iter().any(used_where_asked)
    }
}

/// Makes an empty per-directory record.
///
/// # Safety
/// Called by httpd with a pool of the configuration or of a request.
pub unsafe extern "C" fn on_create_directory(
    pool: *mut ffi::apr_pool_t,
    _: *mut c_char,
) -> *mut c_void {
    guard(std::ptr::null_mut(), || {
        // SAFETY: httpd lends a pool that it clears only after the record's last use.
        let pool = unsafe { Pool::from_raw(pool) };
        (&raw mut *pool.place_copy(DirectoryConfig::default())).cast()
    })
}

/// Lays one per-directory record over another.
///
/// # Safety
/// Called by httpd with a pool and two records that this module made.
pub unsafe extern "C" fn on_merge_directory(
    pool: *mut ffi::apr_pool_t,
    outer: *mut c_void,
    inner: *mut c_void,
) -> *mut c_void {
    guard(inner, || {
        // SAFETY: as in `on_create_directory`.
        let pool = unsafe { Pool::from_raw(pool) };
        // SAFETY: a record made by this module; read-only by now.
        let outer = unsafe { *outer.cast::<DirectoryConfig>() };
        // SAFETY: as above.
        let inner = unsafe { *inner.cast::<DirectoryConfig>() };
        (&raw mut *pool.place_copy(inner.over(outer, pool))).cast()
    })
}

/// Makes an empty per-server record.
///
/// # Safety
/// Called by httpd with the configuration's pool.
pub unsafe extern "C" fn on_create_server(
    pool: *mut ffi::apr_pool_t,
    _: *mut ffi::server_rec,
) -> *mut c_void {
    guard(std::ptr::null_mut(), || {
        // SAFETY: the configuration's pool outlives the record's last use.
        let pool = unsafe { Pool::from_raw(pool) };
        (&raw mut *pool.place(ServerConfig::default())).cast()
    })
}

/// Lets a virtual host's record lead to the main server's, which is searched after it.
///
/// # Safety
/// Called by httpd with the configuration's pool and two records that this module made, once for each
/// virtual host that has one of its own.
pub unsafe extern "C" fn on_merge_server(
    _: *mut ffi::apr_pool_t,
    main: *mut c_void,
    host: *mut c_void,
) -> *mut c_void {
    guard(host, || {
        // SAFETY: a record made by this module, complete by now; it lives as long as the host's.
        let main = unsafe { &*main.cast::<ServerConfig>() };
        // SAFETY: another record made by this module; the configuration is read by one thread, which
        // holds no other reference to it.
        let record = unsafe { &mut *host.cast::<ServerConfig>() };
        record.main = Some(main);
        host
    })
}
