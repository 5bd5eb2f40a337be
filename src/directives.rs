//! The command table: one row for each directive of mod_wsgi, and nowhere else its name.
//!
//! Runs in the parent's main thread while the configuration is read (`.htaccess`: in a child's
//! request thread). A row says where the directive may stand, how its arguments are split and which
//! setter takes them; `httpd -L` prints the same rows.

mod commands;
mod functions;
mod interpreters;
mod mapping;
mod request;
mod telemetry;

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::null;

use thiserror::Error;
use wsgi_config::{OptionError, flag, interpreter, keyed};

use crate::config::{ConfigStr, Configuration, DirectoryConfig};
use crate::ffi;
use crate::httpd::boundary::guard;
use crate::httpd::pool::Pool;
use crate::httpd::server::Server;
use crate::httpd::{c_bytes, field};
use crate::keyed::Key;

pub use commands::COMMANDS;

/// Where a directive may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Context {
    /// The main server only.
    Global,
    /// The main server only, there also `<WSGIInterpreterOptions>`.
    Interpreter,
    /// The main server and virtual hosts.
    Server,
    /// Also `<Directory>`, `<Location>` and `<Files>`.
    Directory,
    /// Also `.htaccess` where AllowOverride has FileInfo.
    FileInfo,
    /// Also `.htaccess` where AllowOverride has AuthConfig.
    AuthConfig,
}

impl Context {
    const fn overrides(self) -> c_int {
        match self {
            Context::Global | Context::Interpreter | Context::Server => ffi::RSRC_CONF,
            Context::Directory => ffi::RSRC_CONF | ffi::ACCESS_CONF,
            Context::FileInfo => ffi::OR_FILEINFO,
            Context::AuthConfig => ffi::OR_AUTHCFG,
        }
    }
}

/// How httpd splits the arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arguments {
    /// One, unquoted by httpd, which also refuses none or two.
    One,
    /// Left as they were written, for a setter that knows options.
    Raw,
}

/// A directive.
struct Row {
    name: &'static CStr,
    context: Context,
    arguments: Arguments,
    setter: fn(&mut Place<'_>, &[u8]) -> Result<(), DirectiveError>,
}

/// Why a directive was refused: the sentence that stops httpd.
#[derive(Debug, Error)]
enum DirectiveError {
    #[error(transparent)]
    Arguments(#[from] OptionError),
    #[error("{directive}: the regular expression '{source_text}' could not be compiled")]
    Regex {
        directive: String,
        source_text: String,
    },
    #[error("{directive}: the argument must not be empty")]
    Empty { directive: String },
    #[error("{directive} must be one of: {choices}, not '{value}'")]
    Choice {
        directive: String,
        value: String,
        choices: String,
    },
    #[error("{directive}: option 'process-group' may not stand in a .htaccess file")]
    GroupInHtaccess { directive: String },
    #[error("{directive}: '{path}' is not an absolute path")]
    NotAbsolute { directive: String, path: String },
    #[error(
        "{directive}: the process group '{name}' is defined at {earlier} and, with other \
         options, at {place}; equal definitions are one group"
    )]
    DuplicateGroup {
        directive: String,
        name: String,
        earlier: String,
        place: String,
    },
    #[error("{directive}: '{path}' cannot be made a path below ServerRoot")]
    SocketPrefix { directive: String, path: String },
    #[error("{directive}: invalid value '{value}': {expected} is expected")]
    Value {
        directive: String,
        value: String,
        expected: &'static str,
    },
    #[error("{name} has no meaning inside <WSGIInterpreterOptions>")]
    NotInSection { name: String },
    #[error("<WSGIInterpreterOptions>: {0}")]
    InSection(String),
}

/// Where a directive stands.
struct Place<'d> {
    directive: &'static str,
    parameters: *mut ffi::cmd_parms,
    pool: Pool<'static>,
    server: Server<'static>,
    directory: &'d mut DirectoryConfig,
    in_htaccess: bool,
}

impl Place<'_> {
    fn edit<T>(&self, change: impl FnOnce(&mut Configuration) -> T) -> T {
        change(&mut Configuration::of(self.pool).borrow_mut())
    }

    fn directive(&self) -> String {
        self.directive.to_string()
    }

    fn string(&self, value: &[u8]) -> Result<ConfigStr, DirectiveError> {
        self.not_empty(value)?;
        Ok(self.pool.string(value))
    }

    fn not_empty(&self, value: &[u8]) -> Result<(), DirectiveError> {
        let directive = self.directive();
        if value.is_empty() {
            Err(DirectiveError::Empty { directive })
        } else {
            Ok(())
        }
    }

    fn absolute(&self, path: &[u8]) -> Result<(), DirectiveError> {
        if path.starts_with(b"/") {
            return Ok(());
        }
        let path = String::from_utf8_lossy(path).into_owned();
        Err(DirectiveError::NotAbsolute {
            directive: self.directive(),
            path,
        })
    }

    fn invalid(&self, value: &[u8], expected: &'static str) -> DirectiveError {
        DirectiveError::Value {
            directive: self.directive(),
            value: String::from_utf8_lossy(value).into_owned(),
            expected,
        }
    }

    /// Where the directive was written: `file:line`.
    fn written_at(&self) -> String {
        let line = field!(self.parameters, directive);
        if line.is_null() {
            return "an unknown place".to_owned();
        }
        let file = field!(line, filename);
        // SAFETY: httpd keeps the name of the file it reads with each of its lines.
        let file = unsafe { c_bytes(file) }.unwrap_or_default();
        let number = field!(line, line_num);
        format!("{}:{number}", String::from_utf8_lossy(file))
    }

    /// Notes a process group's name whose key comes with requests. Whether it is right is said once
    /// it is known what is a template.
    fn note_key(&self, name: Option<&[u8]>) {
        let Some(name) = name.filter(|name| keyed::is_keyed(name)) else {
            return;
        };
        // SAFETY: the parameters of the line that is read; keys live as long as the configuration,
        // in whose pool httpd parses.
        let key = unsafe { Key::parse(self.parameters, self.pool, name) };
        self.edit(|configuration| configuration.keys.insert(name.to_vec(), key));
    }

    fn flag(&self, value: &[u8]) -> Result<bool, DirectiveError> {
        Ok(flag::parse(self.directive, value)?)
    }
}

macro_rules! directives {
    ($($name:literal $context:ident $arguments:ident $setter:path, $doc:literal;)*) => {
        const ROWS: &[Row] = &[$(Row {
            name: $name,
            context: Context::$context,
            arguments: Arguments::$arguments,
            setter: $setter,
        }),*];
        const DOCS: &[&CStr] = &[$($doc),*];
    };
}

directives! {
    c"WSGIScriptAlias" Server Raw mapping::set_script_alias,
        c"Maps a URL prefix to a WSGI script or a directory of scripts.";
    c"WSGIScriptAliasMatch" Server Raw mapping::set_script_alias_match,
        c"Maps URLs that match a regular expression to WSGI scripts.";
    c"WSGIDaemonProcess" Server Raw mapping::set_daemon_process,
        c"Defines a group of daemon processes and its options.";
    c"WSGIDaemonTemplate" Server Raw mapping::set_daemon_template,
        c"Defines what process groups are made from on demand.";
    c"WSGIProcessGroup" Directory One mapping::set_process_group,
        c"Selects the process group that runs the application.";
    c"WSGIApplicationGroup" Directory One mapping::set_application_group,
        c"Selects the interpreter that runs the application.";
    c"WSGICallableObject" FileInfo One mapping::set_callable_object,
        c"Names the callable object in the script.";
    c"WSGIImportScript" Server Raw mapping::set_import_script,
        c"Loads a script when the processes of a group start.";
    c"WSGIScriptReloading" FileInfo One set_script_reloading,
        c"Whether a script is loaded again when its file changes.";
    c"WSGIModuleReloading" FileInfo One set_module_reloading,
        c"Whether a changed module of the application counts like a changed script.";
    c"WSGIChunkedRequest" FileInfo One set_chunked_request,
        c"Whether requests with a chunked body reach the application.";
    c"WSGIPassAuthorization" FileInfo One set_pass_authorization,
        c"Whether the application gets the Authorization header.";
    c"WSGIPythonHome" Global One set_python_home,
        c"The virtual environment or prefix of the default Python.";
    c"WSGIPythonPath" Interpreter One interpreters::set_python_path,
        c"Directories added to sys.path in embedded mode.";
    c"WSGIPythonOptimize" Global One interpreters::set_optimize,
        c"How far Python leaves assertions (1) and docstrings (2) out.";
    c"WSGIPythonWarnings" Global One interpreters::add_warning_filter,
        c"A filter for Python's warnings, as after its option -W.";
    c"WSGIPythonHashSeed" Global One interpreters::set_hash_seed,
        c"The seed of Python's hashes: a number, or random.";
    c"WSGIPythonEggs" Global One interpreters::set_egg_cache,
        c"The directory embedded applications unpack eggs into.";
    c"WSGIDontWriteBytecode" Global One interpreters::set_dont_write_bytecode,
        c"Whether imports leave no .pyc files behind.";
    c"WSGISwitchInterval" Interpreter One interpreters::set_switch_interval,
        c"Seconds a thread may run Python while others wait.";
    c"WSGIPerInterpreterGIL" Interpreter One interpreters::set_own_gil,
        c"Whether sub-interpreters run at once, with a GIL each.";
    c"WSGIFreeThreading" Interpreter One interpreters::set_free_threading,
        c"Whether a free-threaded Python leaves its GIL disabled.";
    c"WSGIMaximumApplicationGroups" Global One interpreters::set_computed_groups,
        c"How many application groups named by requests a process has at most; 0: any number.";
    c"WSGIDestroyInterpreter" Global One interpreters::set_destroy_interpreter,
        c"Whether exit functions run when a process ends.";
    c"WSGIRestrictStdin" Interpreter One interpreters::set_restrict_stdin,
        c"Whether the use of sys.stdin is an error.";
    c"WSGIRestrictStdout" Interpreter One interpreters::set_restrict_stdout,
        c"Whether the use of sys.stdout is an error.";
    c"WSGIRestrictSignal" Interpreter One interpreters::set_restrict_signal,
        c"Whether applications are kept from handling signals.";
    c"<WSGIInterpreterOptions" Global Raw interpreters::set_section,
        c"Limits directives to the interpreters it selects.";
    c"WSGISocketPrefix" Global One set_socket_prefix,
        c"The path prefix of the daemon groups' sockets.";
    c"WSGIRestrictEmbedded" Global One set_restrict_embedded,
        c"Whether Python is kept out of Apache's own processes.";
    c"WSGIAcceptMutex" Global One set_accept_mutex,
        c"Without effect: daemons need no lock.";
    c"WSGICaseSensitivity" Global One request::set_case_sensitivity,
        c"Whether paths of scripts differ by the case of their letters.";
    c"WSGIEnableSendfile" FileInfo One request::set_enable_sendfile,
        c"Whether the kernel sends files that wsgi.file_wrapper gives.";
    c"WSGIErrorOverride" FileInfo One request::set_error_override,
        c"Whether Apache's ErrorDocument replaces the errors of applications in daemons.";
    c"WSGIMapHEADToGET" FileInfo One request::set_map_head,
        c"Whether applications see HEAD requests as GET: Off, On or Auto.";
    c"WSGIPassApacheRequest" Directory One request::set_pass_apache_request,
        c"Whether embedded applications get Apache's request as apache.request_rec.";
    c"WSGIRestrictProcess" Directory Raw request::set_restrict_process,
        c"The process groups that may be selected.";
    c"WSGITrustedProxies" FileInfo Raw request::set_trusted_proxies,
        c"The addresses and networks of front ends whose headers are believed.";
    c"WSGITrustedProxyHeaders" FileInfo Raw request::set_proxy_headers,
        c"The headers by which a front end tells about the client's request.";
    c"WSGIVerboseDebugging" Global Raw request::retire,
        c"Has no effect: LogLevel takes its place.";
    c"WSGILazyInitialization" Global Raw request::retire,
        c"Of earlier versions of mod_wsgi; has no effect.";
    c"WSGINewRelicConfigFile" Global Raw request::retire,
        c"Of earlier versions of mod_wsgi; has no effect.";
    c"WSGINewRelicEnvironment" Global Raw request::retire,
        c"Of earlier versions of mod_wsgi; has no effect.";
    c"WSGIOutputBuffering" FileInfo Raw request::retire,
        c"Of earlier versions of mod_wsgi; has no effect.";
    c"WSGIPy3kWarningFlag" Global Raw request::retire,
        c"Of earlier versions of mod_wsgi; has no effect.";
    c"WSGIPythonExecutable" Global Raw request::retire,
        c"Of earlier versions of mod_wsgi; has no effect.";
    c"WSGIReloadMechanism" FileInfo Raw request::retire,
        c"Of earlier versions of mod_wsgi; has no effect.";
    c"WSGIUserAuthoritative" AuthConfig Raw request::retire,
        c"Of earlier versions of mod_wsgi; has no effect.";
    c"WSGIAccessScript" AuthConfig Raw functions::set_access_script,
        c"A script whose allow_access() says which hosts may come in.";
    c"WSGIAuthGroupScript" AuthConfig Raw functions::set_auth_group_script,
        c"A script whose groups_for_user() decides for Require wsgi-group.";
    c"WSGIAuthUserScript" AuthConfig Raw functions::set_auth_user_script,
        c"A script that authenticates users for the provider wsgi.";
    c"WSGIDispatchScript" Directory Raw functions::set_dispatch_script,
        c"A script whose functions choose the application of a request.";
    c"WSGIGroupAuthoritative" AuthConfig One functions::set_group_authoritative,
        c"Without effect: Require lines are combined by mod_authz_core.";
    c"WSGIHandlerScript" Directory Raw functions::set_handler_script,
        c"Names a handler, for SetHandler, that a script's handle_request() is.";
    c"WSGIIgnoreActivity" FileInfo One request::set_ignore_activity,
        c"Whether requests leave inactivity-timeout of their daemon running.";
    c"WSGIServerMetrics" Global One telemetry::set_server_metrics,
        c"Whether embedded applications may ask for the server's scoreboard.";
    c"WSGISlowRequests" Global One telemetry::set_slow_requests,
        c"Seconds after which a running request is reported as slow.";
    c"WSGISocketRotation" Global One set_socket_rotation,
        c"Without effect: old children keep the sockets they know.";
    c"WSGITelemetryOptions" Global Raw telemetry::set_options,
        c"What reports of slow requests include.";
    c"WSGITelemetryService" Global Raw telemetry::set_service,
        c"The socket that every process reports its metrics to.";
}

/// Takes a directive whose purpose is met without it; the configuration is told so once.
fn without_effect(place: &mut Place<'_>, reason: &'static str) {
    place.edit(|configuration| configuration.without_effect.insert(place.directive, reason));
}

/// The methods httpd's own Mutex directive may know.
const MUTEXES: &[&str] = &[
    "default", "none", "flock", "fcntl", "sem", "sysvsem", "posixsem", "pthread",
];

fn set_accept_mutex(place: &mut Place<'_>, method: &[u8]) -> Result<(), DirectiveError> {
    if !MUTEXES
        .iter()
        .any(|known| method.eq_ignore_ascii_case(known.as_bytes()))
    {
        let value = String::from_utf8_lossy(method).into_owned();
        let choices = MUTEXES.join(" | ");
        return Err(DirectiveError::Choice {
            directive: place.directive(),
            value,
            choices,
        });
    }
    without_effect(place, "daemons need no lock to share their group's socket");
    Ok(())
}

fn set_socket_rotation(place: &mut Place<'_>, value: &[u8]) -> Result<(), DirectiveError> {
    place.flag(value)?;
    without_effect(
        place,
        "children of the old configuration keep the sockets they know",
    );
    Ok(())
}

fn set_script_reloading(place: &mut Place<'_>, value: &[u8]) -> Result<(), DirectiveError> {
    place.directory.script_reloading.set(place.flag(value)?);
    Ok(())
}

fn set_module_reloading(place: &mut Place<'_>, value: &[u8]) -> Result<(), DirectiveError> {
    place.directory.module_reloading.set(place.flag(value)?);
    Ok(())
}

fn set_chunked_request(place: &mut Place<'_>, value: &[u8]) -> Result<(), DirectiveError> {
    place.directory.chunked_request.set(place.flag(value)?);
    Ok(())
}

fn set_pass_authorization(place: &mut Place<'_>, value: &[u8]) -> Result<(), DirectiveError> {
    place.directory.pass_authorization.set(place.flag(value)?);
    Ok(())
}

fn set_python_home(place: &mut Place<'_>, path: &[u8]) -> Result<(), DirectiveError> {
    place.absolute(path)?;
    let home = interpreter::parse_home(path)
        .ok_or_else(|| place.invalid(path, "a directory, or prefix:exec_prefix"))?;
    place.edit(|configuration| configuration.python_home = Some(home.to_vec()));
    Ok(())
}

fn set_socket_prefix(place: &mut Place<'_>, path: &[u8]) -> Result<(), DirectiveError> {
    place.not_empty(path)?;
    let Some(prefix) = place.server.root_relative(place.pool, path) else {
        let path = String::from_utf8_lossy(path).into_owned();
        return Err(DirectiveError::SocketPrefix {
            directive: place.directive(),
            path,
        });
    };
    place.edit(|configuration| configuration.socket_prefix = Some(prefix.to_vec()));
    Ok(())
}

fn set_restrict_embedded(place: &mut Place<'_>, value: &[u8]) -> Result<(), DirectiveError> {
    let restricted = place.flag(value)?;
    place.edit(|configuration| configuration.restrict_embedded = restricted);
    Ok(())
}

/// The one function httpd calls for every directive; answers null or the sentence that stops it.
unsafe extern "C" fn on_directive(
    parameters: *mut ffi::cmd_parms,
    directory: *mut c_void,
    arguments: *const c_char,
) -> *const c_char {
    guard(
        c"mod_wsgi_rs failed to read this directive".as_ptr(),
        || {
            // SAFETY: httpd passes the arguments as a terminated string.
            let arguments = unsafe { c_bytes(arguments) }.unwrap_or_default();
            let information = field!(parameters, info);
            // SAFETY: `cmd_data` of the row, set in `commands`, points to a constant.
            let row = unsafe { &*information.cast::<Row>() };
            set(row, parameters, directory, arguments)
        },
    )
}

fn set(
    row: &'static Row,
    parameters: *mut ffi::cmd_parms,
    directory: *mut c_void,
    arguments: &[u8],
) -> *const c_char {
    if matches!(row.context, Context::Global | Context::Interpreter) {
        // SAFETY: the parameters are httpd's, for this call.
        let complaint =
            unsafe { ffi::ap_check_cmd_context(parameters, ffi::NOT_IN_VIRTUALHOST as u32 as _) };
        if !complaint.is_null() {
            return complaint;
        }
    }
    let value = field!(parameters, pool);
    // SAFETY: the pool of the configuration (or of an .htaccess file's request) that is read.
    let pool = unsafe { Pool::from_raw(value) };
    let value = field!(parameters, server);
    // SAFETY: the server whose configuration is read.
    let server = unsafe { Server::from_raw(value) };
    // SAFETY: the parameters are httpd's, for this call.
    let complaint =
        unsafe { ffi::ap_check_cmd_context(parameters, ffi::NOT_IN_HTACCESS as u32 as _) };
    let in_htaccess = !complaint.is_null();
    let mut unused = DirectoryConfig::default();
    // SAFETY: httpd passes this module's record for the scope, which nobody else refers to now.
    let directory = unsafe { directory.cast::<DirectoryConfig>().as_mut() };
    let directory = directory.unwrap_or(&mut unused);
    let directive = row
        .name
        .to_str()
        .unwrap_or_default()
        .trim_start_matches('<');
    let mut place = Place {
        directive,
        parameters,
        pool,
        server,
        directory,
        in_htaccess,
    };
    match (row.setter)(&mut place, arguments) {
        Ok(()) => null(),
        Err(error) => pool.string(sentence(&error).as_bytes()).as_ptr(),
    }
}

/// The error with its causes, as one sentence.
fn sentence(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
