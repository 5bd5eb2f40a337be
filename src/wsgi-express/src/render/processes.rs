//! The application: its processes, its URL, its settings, and the scripts that guard it.

use std::path::Path;

use crate::options::{ApplicationType, ServerOptions, WatchingOptions};
use crate::quote::{QuoteError, bare, quoted, quoted_path, search_path};
use crate::server::Server;

/// The process group as directives name it.
pub fn process_group(options: &ServerOptions) -> String {
    if options.app.embedded_mode {
        "%{GLOBAL}".to_owned()
    } else {
        options.process_group()
    }
}

/// What holds for all requests and interpreters.
pub fn settings(options: &ServerOptions) -> Result<String, QuoteError> {
    let (app, listener) = (&options.app, &options.listener);
    let mut text = format!("WSGIMapHEADToGET {}\n", app.map_head_to_get.name());
    if app.enable_sendfile {
        text += "EnableSendfile On\nWSGIEnableSendfile On\n";
    }
    if app.orphan_interpreter {
        text += "WSGIDestroyInterpreter Off\n";
    }
    if app.free_threading {
        text += "WSGIFreeThreading On\n";
    }
    for filter in &app.python_warnings {
        text += &format!("WSGIPythonWarnings {}\n", quoted(filter)?);
    }
    for pair in app.setenv.chunks_exact(2) {
        text += &format!("SetEnv {} {}\n", quoted(&pair[0])?, quoted(&pair[1])?);
    }
    for name in &app.passenv {
        text += &format!("PassEnv {}\n", quoted(name)?);
    }
    if !listener.trust_proxy_header.is_empty() {
        let headers = all_quoted(&listener.trust_proxy_header)?;
        text += &format!("WSGITrustedProxyHeaders {headers}\n");
    }
    if !listener.trust_proxy.is_empty() {
        let proxies = all_quoted(&listener.trust_proxy)?;
        text += &format!("WSGITrustedProxies {proxies}\n");
    }
    Ok(text)
}

fn all_quoted(words: &[String]) -> Result<String, QuoteError> {
    let words: Result<Vec<_>, _> = words.iter().map(|word| quoted(word)).collect();
    Ok(words?.join(" "))
}

/// The daemon processes, or what embedded mode has in their place.
pub fn processes(options: &ServerOptions, server: &Server) -> Result<String, QuoteError> {
    let app = &options.app;
    if app.application_type == ApplicationType::Static {
        return Ok("WSGIRestrictEmbedded On\n".to_owned());
    }
    if app.embedded_mode {
        return embedded(options, server);
    }
    let mut line = format!("WSGIDaemonProcess {}", quoted(&options.process_group())?);
    let mut add = |name: &str, value: String| line += &format!(" \\\n    {name}={value}");
    if let Some(processes) = options.pool.processes {
        add("processes", processes.to_string());
    }
    add("threads", options.pool.threads.to_string());
    for (name, value) in of_python(options, server)? {
        add(name, value);
    }
    if options.watching.server_metrics {
        add("server-metrics", "On".to_owned());
    }
    for (name, value) in options.daemon.values() {
        add(name, quoted(&value)?);
    }
    line += "\nWSGIRestrictEmbedded On\n";
    Ok(line)
}

/// What the application and services have alike: where they run, and on which Python.
fn of_python(
    options: &ServerOptions,
    server: &Server,
) -> Result<Vec<(&'static str, String)>, QuoteError> {
    let app = &options.app;
    let mut pairs = vec![("home", quoted_path(&server.working_directory)?)];
    if let Some(home) = &server.python_home {
        pairs.push(("python-home", quoted_path(home)?));
    }
    if !app.python_path.is_empty() {
        let path = search_path(app.python_path.iter().map(AsRef::as_ref))?;
        pairs.push(("python-path", path));
    }
    if let Some(locale) = &app.locale {
        pairs.push(("lang", quoted(locale)?));
        pairs.push(("locale", quoted(locale)?));
    }
    Ok(pairs)
}

/// Scripts that run beside the application, each the program of a process without threads.
pub fn services(options: &ServerOptions, server: &Server) -> Result<String, QuoteError> {
    let mut text = String::new();
    for service in &server.services {
        let group = quoted(&format!("service:{}", service.name))?;
        text += &format!("WSGIDaemonProcess {group} threads=0 display-name=%{{GROUP}}");
        for (name, value) in of_python(options, server)? {
            text += &format!(" \\\n    {name}={value}");
        }
        for (name, value) in [("user", &service.user), ("group", &service.group)] {
            if let Some(value) = value {
                text += &format!(" \\\n    {name}={}", quoted(value)?);
            }
        }
        let script = quoted_path(&service.script)?;
        text += &format!(
            "\nWSGIImportScript {script} process-group={group} application-group=%{{GLOBAL}}\n"
        );
    }
    Ok(text)
}

fn embedded(options: &ServerOptions, server: &Server) -> Result<String, QuoteError> {
    let mut text = String::new();
    if let Some(home) = &server.python_home {
        text += &format!("WSGIPythonHome {}\n", quoted_path(home)?);
    }
    let directories = std::iter::once(&server.working_directory).chain(&options.app.python_path);
    let path = search_path(directories.map(AsRef::as_ref))?;
    text += &format!("WSGIPythonPath {path}\n");
    if options.watching.server_metrics {
        text += "WSGIServerMetrics On\n";
    }
    Ok(text)
}

/// The application's URL, and the permission to read its script.
pub fn script_alias(options: &ServerOptions, server: &Server) -> Result<String, QuoteError> {
    let app = &options.app;
    if app.application_type == ApplicationType::Static {
        return Ok(String::new());
    }
    let url = match app.mount_point.trim_end_matches('/') {
        "" => "/",
        url => url,
    };
    // A script that was written for the application calls it `application`.
    let callable = match app.application_type {
        ApplicationType::Script if app.name().is_some() => &app.callable_object,
        _ => "application",
    };
    let directory = server.script.parent().unwrap_or(Path::new("/"));
    let file = server.script.file_name().unwrap_or_default();
    Ok(format!(
        "WSGIScriptAlias {} {} \\\n    process-group={} application-group={} callable-object={}\n\
         <Directory {}>\n    <Files {}>\n        Require all granted\n    </Files>\n</Directory>\n",
        quoted(url)?,
        quoted_path(&server.script)?,
        quoted(&process_group(options))?,
        quoted(&app.application_group)?,
        quoted(callable)?,
        quoted_path(directory)?,
        quoted_path(Path::new(file))?,
    ))
}

/// The scripts that decide who may come in. They run where the application does.
pub fn access(options: &ServerOptions) -> Result<String, QuoteError> {
    let access = &options.access;
    let groups = format!(
        "process-group={} application-group={}",
        quoted(&process_group(options))?,
        quoted(&options.app.application_group)?
    );
    let mut lines = String::new();
    if let Some(script) = &access.host_access_script {
        lines += &format!("    WSGIAccessScript {} {groups}\n", quoted_path(script)?);
    }
    if let Some(script) = &access.auth_user_script {
        let kind = access.auth_type.name();
        let realm = quoted(&options.process_group())?;
        lines += &format!(
            "    AuthType {kind}\n    AuthName {realm}\n    Auth{kind}Provider wsgi\n    \
             WSGIAuthUserScript {} {groups}\n",
            quoted_path(script)?
        );
        lines += &match &access.auth_group_script {
            None => "    Require valid-user\n".to_owned(),
            Some(script) => format!(
                "    WSGIAuthGroupScript {} {groups}\n    Require wsgi-group {}\n",
                quoted_path(script)?,
                quoted(&access.auth_group)?
            ),
        };
    }
    if lines.is_empty() {
        return Ok(lines);
    }
    Ok(format!("<Location \"/\">\n{lines}</Location>\n"))
}

/// What can be observed from outside.
pub fn watching(options: &WatchingOptions) -> Result<String, QuoteError> {
    let mut text = String::new();
    if options.server_status {
        text += "<Location \"/server-status\">\n    SetHandler server-status\n    \
                 Require local\n</Location>\n";
    }
    if let Some(service) = &options.telemetry_service {
        text += &format!("WSGITelemetryService {}", quoted(service)?);
        if let Some(interval) = options.telemetry_interval {
            text += &format!(" interval={interval}");
        }
        text.push('\n');
    }
    if !options.telemetry_options.is_empty() {
        for word in &options.telemetry_options {
            bare(word)?;
        }
        let words = options.telemetry_options.join(" ");
        text += &format!("WSGITelemetryOptions {words}\n");
    }
    if let Some(seconds) = options.slow_requests {
        text += &format!("WSGISlowRequests {seconds}\n");
    }
    Ok(text)
}
