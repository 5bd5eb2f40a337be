//! The text of the files of a server root, from options and what they mean on this machine.
//!
//! Pure but for one question, whether an alias is for a file. Whatever the user wrote reaches a file
//! through [`crate::quote`] only.

mod base;
mod content;
mod hosts;
mod logs;
mod modules;
mod processes;

use std::path::Path;

use crate::layout;
use crate::options::{ApplicationOptions, ApplicationType, ServerOptions};
use crate::quote::{QuoteError, dotted_name, python_text, quoted, quoted_path, shell_word};
use crate::server::Server;

/// Apache's configuration.
pub fn httpd_conf(options: &ServerOptions, server: &Server) -> Result<String, QuoteError> {
    let app = &options.app;
    let pid_file = server.root.join(layout::PID_FILE);
    let socket_prefix = server.root.join(layout::SOCKET_PREFIX);
    let files = &options.files;
    let limits = &options.pool;
    let name = options.listener.server_name.as_deref();
    let values = [
        ("ROOT", quoted_path(&server.root)?),
        (
            "PID_FILE",
            quoted_path(files.pid_file.as_ref().unwrap_or(&pid_file))?,
        ),
        (
            "SERVER_NAME",
            quoted(name.unwrap_or(options.listener.host_name()))?,
        ),
        ("LISTEN", base::listen(options)?),
        (
            "SERVER_BACKLOG",
            options.listener.server_backlog.to_string(),
        ),
        ("IDENTITY", base::identity(server)?),
        ("DEFINES", base::defines(options, server)?),
        ("LOAD_MODULES", modules::load(options, server)?),
        ("WSGI_MODULE", quoted_path(&server.wsgi_module)?),
        ("POOL", base::pool(options)),
        ("ERROR_LOG", logs::target(&server.error_log)?),
        ("ERROR_LOG_FORMAT", logs::error_log_format(&options.logs)?),
        ("LOG_LEVEL", logs::level(options.logs.log_level)),
        ("ACCESS_LOG", logs::access_log(&options.logs, server)?),
        ("TIMEOUT", options.daemon.socket_timeout().to_string()),
        ("KEEP_ALIVE", base::keep_alive(&options.listener)),
        ("LIMIT_REQUEST_BODY", limits.limit_request_body.to_string()),
        ("REQUEST_READ_TIMEOUT", base::request_read_timeout(limits)),
        ("PROTOCOLS", base::protocols(options)),
        ("MIME_TYPES", quoted_path(&server.mime_types)?),
        ("DOCUMENT_ROOT", content::document_root(options, server)?),
        ("DOCUMENTS", content::documents(options, server)?),
        ("REWRITING", content::rewriting(&options.content)?),
        ("URL_ALIASES", content::url_aliases(server)?),
        ("PROXIES", content::proxies(options)?),
        ("PAGES", content::pages(&options.content)?),
        (
            "SOCKET_PREFIX",
            quoted_path(files.socket_prefix.as_ref().unwrap_or(&socket_prefix))?,
        ),
        ("CHUNKED_REQUEST", flag(app.chunked_request)),
        ("RELOADING", flag(!app.disable_reloading)),
        ("MODULE_RELOADING", flag(app.reload_on_changes)),
        ("APPLICATION_SETTINGS", processes::settings(options)?),
        ("PROCESSES", processes::processes(options, server)?),
        ("SERVICES", processes::services(options, server)?),
        ("ACCESS", processes::access(options)?),
        ("WATCHING", processes::watching(&options.watching)?),
        ("INCLUDES", content::includes(&options.content)?),
        ("SCRIPT_ALIAS", processes::script_alias(options, server)?),
        ("HOSTS", hosts::hosts(options, server)?),
    ];
    let mut text = fill(include_str!("../templates/httpd.conf"), &values);
    // What was not asked for leaves empty lines.
    while text.contains("\n\n\n") {
        text = text.replace("\n\n\n", "\n\n");
    }
    Ok(text)
}

/// The script that controls the server.
pub fn apachectl(options: &ServerOptions, server: &Server) -> Result<String, QuoteError> {
    let config = server.root.join(layout::CONFIG);
    let shell = &options.files.shell_executable;
    // A shebang line has no quotes.
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._+-".contains(c);
    let shell = match shell.to_str() {
        Some(text) if text.chars().all(plain) => text.to_owned(),
        _ => {
            let text = shell.display().to_string();
            return Err(QuoteError::Unquotable { text });
        }
    };
    let startup_log = match &server.startup_log {
        Some(file) => format!("-E {}", shell_word(file)),
        None => String::new(),
    };
    let values = [
        ("SHELL", shell),
        ("HTTPD", shell_word(&server.httpd)),
        ("CONFIG", shell_word(&config)),
        ("ENVVARS", shell_word(&server.envvars)),
        ("STARTUP_LOG", startup_log),
    ];
    Ok(fill(include_str!("../templates/apachectl"), &values))
}

/// The script of an application that is not one itself, or `None` for one that is.
pub fn script(app: &ApplicationOptions) -> Result<Option<String>, QuoteError> {
    let text = match (app.application_type, app.name()) {
        (ApplicationType::Static, _) => return Ok(None),
        (_, None) => include_str!("../../../../httpd-conf/examples/hello.wsgi").to_owned(),
        (ApplicationType::Script, Some(_)) => return Ok(None),
        (ApplicationType::Module, Some(module)) => {
            let values = [
                ("MODULE", dotted_name(module)?),
                ("CALLABLE", dotted_name(&app.callable_object)?),
            ];
            fill(include_str!("../templates/module.wsgi"), &values)
        }
        (ApplicationType::Paste, Some(file)) => {
            let values = [("FILE", python_text(file)?)];
            fill(include_str!("../templates/paste.wsgi"), &values)
        }
    };
    Ok(Some(text))
}

/// The directives that load the module into another Apache.
pub fn module_config(module: &Path, python_home: Option<&Path>) -> Result<String, QuoteError> {
    let mut lines = format!("LoadModule wsgi_module {}\n", quoted_path(module)?);
    if let Some(home) = python_home {
        lines += &format!("WSGIPythonHome {}\n", quoted_path(home)?);
    }
    Ok(lines)
}

fn flag(on: bool) -> String {
    String::from(if on { "On" } else { "Off" })
}

/// Puts `values` in place of the `@NAME@`s of `template`, in one pass: a value is never searched.
/// Any other `@` is the template's own.
fn fill(template: &str, values: &[(&str, String)]) -> String {
    let mut filled = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('@') {
        filled += before;
        let value = after.split_once('@').and_then(|(name, behind)| {
            let (_, value) = values.iter().find(|(known, _)| *known == name)?;
            Some((value, behind))
        });
        rest = match value {
            Some((value, behind)) => {
                filled += value;
                behind
            }
            None => {
                filled.push('@');
                after
            }
        };
    }
    filled + rest
}
