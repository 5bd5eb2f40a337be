//! The text of the files of a server root, from options and what they mean on this machine.
//!
//! Pure but for one question, whether an alias is for a file. Whatever the user wrote reaches a file
//! through [`crate::quote`] only.

use std::path::Path;

use crate::layout;
use crate::options::{ApplicationType, LogLevel, Mpm, ServerOptions};
use crate::quote::{QuoteError, dotted_name, quoted, quoted_path, search_path, shell_word};
use crate::server::{Log, Server};

/// The modules of Apache a server uses besides its MPM.
const MODULES: &[&str] = &[
    "unixd",
    "log_config",
    "authz_core",
    "authz_host",
    "alias",
    "env",
    "mime",
    "reqtimeout",
    "rewrite",
    "setenvif",
];

/// The most threads a child of Apache gets before another child is added.
const THREADS_PER_CHILD: u32 = 64;

/// Apache's configuration.
pub fn httpd_conf(options: &ServerOptions, server: &Server) -> Result<String, QuoteError> {
    let htdocs = server.root.join(layout::HTDOCS);
    let documents = server.document_root.as_deref().unwrap_or(&htdocs);
    let script_directory = server.script.parent().unwrap_or(Path::new("/"));
    let script_file = server.script.file_name().unwrap_or_default();
    let name = options.server_name.as_deref().unwrap_or(host(options));
    let flag = |on: bool| String::from(if on { "On" } else { "Off" });
    let values = [
        ("ROOT", quoted_path(&server.root)?),
        (
            "PID_FILE",
            quoted_path(&server.root.join(layout::PID_FILE))?,
        ),
        ("SERVER_NAME", quoted(name)?),
        ("LISTEN", listen(options)?),
        ("SERVER_BACKLOG", options.server_backlog.to_string()),
        ("IDENTITY", identity(server)?),
        ("LOAD_MODULES", load_modules(options.mpm, &server.modules)?),
        ("WSGI_MODULE", quoted_path(&server.wsgi_module)?),
        ("POOL", pool(options)),
        ("ERROR_LOG", log_target(&server.error_log)?),
        ("LOG_LEVEL", log_level(options.log_level).to_owned()),
        ("ACCESS_LOG", access_log(server)?),
        ("TIMEOUT", options.socket_timeout.max(1).to_string()),
        ("KEEP_ALIVE_TIMEOUT", options.keep_alive_timeout.to_string()),
        ("LIMIT_REQUEST_BODY", options.limit_request_body.to_string()),
        ("MIME_TYPES", quoted_path(&server.mime_types)?),
        ("DOCUMENT_ROOT", quoted_path(documents)?),
        ("STATIC_FILES", static_files(server)),
        ("URL_ALIASES", url_aliases(server)?),
        (
            "SOCKET_PREFIX",
            quoted_path(&server.root.join(layout::SOCKET_PREFIX))?,
        ),
        ("CHUNKED_REQUEST", flag(options.chunked_request)),
        ("RELOADING", flag(!options.disable_reloading)),
        ("MODULE_RELOADING", flag(options.reload_on_changes)),
        ("PROCESSES", processes(options, server)?),
        ("SCRIPT_ALIAS", script_alias(options, server)?),
        ("SCRIPT_DIRECTORY", quoted_path(script_directory)?),
        ("SCRIPT_FILE", quoted_path(Path::new(script_file))?),
        ("INCLUDES", includes(server)?),
    ];
    Ok(fill(include_str!("templates/httpd.conf"), &values))
}

/// The script that controls the server.
pub fn apachectl(server: &Server) -> String {
    let config = server.root.join(layout::CONFIG);
    let values = [
        ("HTTPD", shell_word(&server.httpd)),
        ("CONFIG", shell_word(&config)),
    ];
    fill(include_str!("templates/apachectl"), &values)
}

/// The script of an application that is not one itself, or `None` for one that is.
pub fn script(options: &ServerOptions) -> Result<Option<String>, QuoteError> {
    match &options.application {
        None => Ok(Some(
            include_str!("../../../httpd-conf/examples/hello.wsgi").to_owned(),
        )),
        Some(module) if options.application_type == ApplicationType::Module => {
            let values = [
                ("MODULE", dotted_name(module)?),
                ("CALLABLE", dotted_name(&options.callable_object)?),
            ];
            Ok(Some(fill(include_str!("templates/module.wsgi"), &values)))
        }
        Some(_) => Ok(None),
    }
}

/// The directives that load the module into another Apache.
pub fn module_config(module: &Path, python_home: Option<&Path>) -> Result<String, QuoteError> {
    let mut lines = format!("LoadModule wsgi_module {}\n", quoted_path(module)?);
    if let Some(home) = python_home {
        lines += &format!("WSGIPythonHome {}\n", quoted_path(home)?);
    }
    Ok(lines)
}

/// The host as it appears in names: the address, or `localhost` for all of them.
pub fn host(options: &ServerOptions) -> &str {
    options.host.as_deref().unwrap_or("localhost")
}

/// Puts `values` in place of the `@NAME@`s of `template`, in one pass: a value is never searched.
fn fill(template: &str, values: &[(&str, String)]) -> String {
    let mut filled = String::with_capacity(template.len() * 2);
    for (index, piece) in template.split('@').enumerate() {
        let value = values.iter().find(|(name, _)| *name == piece);
        match value {
            Some((_, value)) if index % 2 == 1 => filled += value,
            _ => filled += piece,
        }
    }
    filled
}

fn listen(options: &ServerOptions) -> Result<String, QuoteError> {
    let port = options.port;
    match options.host.as_deref() {
        None => Ok(port.to_string()),
        Some(host) if host.contains(':') => quoted(&format!("[{host}]:{port}")),
        Some(host) => quoted(&format!("{host}:{port}")),
    }
}

fn identity(server: &Server) -> Result<String, QuoteError> {
    match &server.identity {
        None => Ok(String::new()),
        Some(identity) => {
            let (user, group) = (quoted(&identity.user)?, quoted(&identity.group)?);
            Ok(format!("User {user}\nGroup {group}\n"))
        }
    }
}

fn load_modules(mpm: Mpm, directory: &Path) -> Result<String, QuoteError> {
    let mut text = String::new();
    let mpm = format!("mpm_{}", mpm.name());
    for module in std::iter::once(mpm.as_str()).chain(MODULES.iter().copied()) {
        let file = quoted_path(&directory.join(format!("mod_{module}.so")))?;
        text += &format!(
            "<IfModule !{module}_module>\n    LoadModule {module}_module {file}\n</IfModule>\n"
        );
    }
    Ok(text)
}

/// How many children and threads Apache has. In embedded mode they are the application's; else
/// there are more than the daemons', so that a request waits in their queue and not for Apache.
fn pool(options: &ServerOptions) -> String {
    let processes = options.processes.unwrap_or(1);
    let at_once = processes.saturating_mul(options.threads);
    let (children, threads) = if options.embedded_mode {
        (processes, options.threads)
    } else {
        let usual = 10 + (at_once.saturating_mul(3).div_ceil(2)).clamp(10, 19_990);
        let clients = options.max_clients.unwrap_or(usual);
        let children = clients.div_ceil(THREADS_PER_CHILD);
        (children, clients.div_ceil(children))
    };
    let workers = children.saturating_mul(threads);
    if options.mpm == Mpm::Prefork {
        let start = workers.min(5);
        return format!(
            "ServerLimit {workers}\nStartServers {start}\nMinSpareServers 1\n\
             MaxSpareServers {workers}\nMaxRequestWorkers {workers}\nMaxConnectionsPerChild 0"
        );
    }
    // Twice the children, so that those of the last configuration can end their connections.
    let limit = children.saturating_mul(2);
    let most = workers.saturating_add(threads);
    format!(
        "ServerLimit {limit}\nStartServers {children}\nThreadLimit {threads}\n\
         ThreadsPerChild {threads}\nMinSpareThreads 1\nMaxSpareThreads {most}\n\
         MaxRequestWorkers {workers}\nMaxConnectionsPerChild 0"
    )
}

fn log_target(log: &Log) -> Result<String, QuoteError> {
    match log {
        Log::File(path) => quoted_path(path),
        Log::Piped => Ok("\"|$/bin/cat 1>&2\"".to_owned()),
    }
}

fn log_level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Notice => "notice",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace1 => "trace1",
    }
}

fn access_log(server: &Server) -> Result<String, QuoteError> {
    let Some(log) = &server.access_log else {
        return Ok(String::new());
    };
    let format = r#""%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\"""#;
    Ok(format!("CustomLog {} {format}", log_target(log)?))
}

/// Serves the files of a named document root before the application is asked.
fn static_files(server: &Server) -> String {
    if server.document_root.is_none() {
        return String::new();
    }
    "RewriteEngine On\n\
     RewriteCond %{DOCUMENT_ROOT}%{REQUEST_URI} -f\n\
     RewriteRule ^(/.*)$ %{DOCUMENT_ROOT}$1 [L]\n"
        .to_owned()
}

fn url_aliases(server: &Server) -> Result<String, QuoteError> {
    let mut text = String::new();
    for (url, path) in &server.url_aliases {
        let (url, target) = (quoted(url)?, quoted_path(path)?);
        // A single file is opened by itself, not its whole directory.
        let directory = if path.is_file() {
            path.parent()
        } else {
            Some(path.as_path())
        };
        let directory = quoted_path(directory.unwrap_or(path))?;
        let access = match path.file_name().filter(|_| path.is_file()) {
            Some(name) => {
                let name = quoted_path(Path::new(name))?;
                format!("<Files {name}>\n        Require all granted\n    </Files>")
            }
            None => "Require all granted".to_owned(),
        };
        text +=
            &format!("Alias {url} {target}\n<Directory {directory}>\n    {access}\n</Directory>\n");
    }
    Ok(text)
}

fn process_group(options: &ServerOptions) -> String {
    let usual = || format!("{}:{}", host(options), options.port);
    options.process_group.clone().unwrap_or_else(usual)
}

fn processes(options: &ServerOptions, server: &Server) -> Result<String, QuoteError> {
    if options.embedded_mode {
        return embedded(server);
    }
    let mut line = format!("WSGIDaemonProcess {}", quoted(&process_group(options))?);
    let mut add = |name: &str, value: String| line += &format!(" \\\n    {name}={value}");
    if let Some(processes) = options.processes {
        add("processes", processes.to_string());
    }
    add("threads", options.threads.to_string());
    add("display-name", "%{GROUP}".to_owned());
    add("home", quoted_path(&server.working_directory)?);
    if let Some(home) = &server.python_home {
        add("python-home", quoted_path(home)?);
    }
    if !server.python_path.is_empty() {
        let path = search_path(server.python_path.iter().map(AsRef::as_ref))?;
        add("python-path", path);
    }
    if let Some(locale) = &options.locale {
        add("lang", quoted(locale)?);
        add("locale", quoted(locale)?);
    }
    add("listen-backlog", options.daemon_backlog.to_string());
    add("startup-timeout", options.startup_timeout.to_string());
    add("shutdown-timeout", options.shutdown_timeout.to_string());
    add("graceful-timeout", options.graceful_timeout.to_string());
    add("connect-timeout", options.connect_timeout.to_string());
    add("socket-timeout", options.socket_timeout.to_string());
    line += "\nWSGIRestrictEmbedded On\n";
    Ok(line)
}

fn embedded(server: &Server) -> Result<String, QuoteError> {
    let mut text = String::new();
    if let Some(home) = &server.python_home {
        text += &format!("WSGIPythonHome {}\n", quoted_path(home)?);
    }
    let directories = std::iter::once(&server.working_directory).chain(&server.python_path);
    let path = search_path(directories.map(AsRef::as_ref))?;
    text += &format!("WSGIPythonPath {path}\n");
    Ok(text)
}

fn script_alias(options: &ServerOptions, server: &Server) -> Result<String, QuoteError> {
    let url = match options.mount_point.trim_end_matches('/') {
        "" => "/",
        url => url,
    };
    let process_group = if options.embedded_mode {
        "%{GLOBAL}".to_owned()
    } else {
        process_group(options)
    };
    // The script of a module always calls it `application`.
    let callable = match options.application_type {
        ApplicationType::Script if options.application.is_some() => &options.callable_object,
        _ => "application",
    };
    Ok(format!(
        "WSGIScriptAlias {} {} \\\n    process-group={} application-group={} callable-object={}",
        quoted(url)?,
        quoted_path(&server.script)?,
        quoted(&process_group)?,
        quoted(&options.application_group)?,
        quoted(callable)?,
    ))
}

fn includes(server: &Server) -> Result<String, QuoteError> {
    let mut text = String::new();
    for file in &server.includes {
        text += &format!("Include {}\n", quoted_path(file)?);
    }
    Ok(text)
}
