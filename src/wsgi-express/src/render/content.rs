//! Files, pages, rules and other servers.

use std::path::Path;

use super::flag;
use crate::layout;
use crate::options::{ContentOptions, ServerOptions};
use crate::quote::{QuoteError, bare, quoted, quoted_path};
use crate::server::Server;

/// What is compressed on request.
const COMPRESSED: &str = "text/plain text/html text/xml text/css text/javascript \
    application/javascript application/json application/xhtml+xml application/xml image/svg+xml";

/// The document root between quotes; when none is named, an empty directory.
pub fn document_root(options: &ServerOptions, server: &Server) -> Result<String, QuoteError> {
    let htdocs = server.root.join(layout::HTDOCS);
    quoted_path(options.content.document_root.as_ref().unwrap_or(&htdocs))
}

/// What holds for files of the document root.
pub fn documents(options: &ServerOptions, server: &Server) -> Result<String, QuoteError> {
    let content = &options.content;
    let mut words = "FollowSymLinks".to_owned();
    if content.directory_listing {
        words += " Indexes";
    }
    if content.with_cgi {
        words += " ExecCGI";
    }
    let mut text = format!("    Options {words}\n");
    if let Some(index) = &content.directory_index {
        text += &format!("    DirectoryIndex {}\n", quoted(index)?);
    }
    if content.with_cgi {
        text += "    AddHandler cgi-script .cgi\n";
    }
    for (index, (extension, script)) in server.handlers.iter().enumerate() {
        let name = format!("wsgi-handler-{}", index + 1);
        let group = quoted(&super::processes::process_group(options))?;
        text += &format!(
            "    WSGIHandlerScript {name} {} \\\n        process-group={group} application-group={}\n    \
             AddHandler {name} {}\n",
            quoted_path(script)?,
            quoted(&options.app.application_group)?,
            quoted(extension)?,
        );
    }
    for word in &content.allow_override {
        bare(word)?;
    }
    if !content.allow_override.is_empty() {
        text += &format!("    AllowOverride {}\n", content.allow_override.join(" "));
    }
    text += "    Require all granted";
    Ok(text)
}

/// Serves the files of a named document root before the application is asked, after the user's
/// own rules. Name-based hosts have the rules as well.
pub fn rewriting(content: &ContentOptions) -> Result<String, QuoteError> {
    let mut text = String::new();
    if let Some(rules) = &content.rewrite_rules {
        text += &format!("Include {}\n", quoted_path(rules)?);
    }
    if content.document_root.is_some() {
        let mut found = vec!["RewriteCond %{DOCUMENT_ROOT}%{REQUEST_URI} -f".to_owned()];
        if let Some(index) = &content.directory_index {
            let index = bare(index)?;
            found.push(format!(
                "RewriteCond %{{DOCUMENT_ROOT}}%{{REQUEST_URI}}/{index} -f"
            ));
        }
        if content.directory_listing {
            found.push("RewriteCond %{DOCUMENT_ROOT}%{REQUEST_URI} -d".to_owned());
        }
        text += &found.join(" [OR]\n");
        text += "\nRewriteRule ^(/.*)$ %{DOCUMENT_ROOT}$1 [L]\n";
    }
    if !rewrites(content) {
        return Ok(text);
    }
    Ok(format!(
        "RewriteEngine On\nRewriteOptions InheritDown\n{text}"
    ))
}

/// Whether there are rules.
pub fn rewrites(content: &ContentOptions) -> bool {
    content.rewrite_rules.is_some() || content.document_root.is_some()
}

/// Directories and files below URLs.
pub fn url_aliases(server: &Server) -> Result<String, QuoteError> {
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

/// Other servers below URLs.
pub fn proxies(options: &ServerOptions) -> Result<String, QuoteError> {
    let proxy = &options.proxy;
    if proxy.proxy_mount_point.is_empty() && proxy.proxy_virtual_host.is_empty() {
        return Ok(String::new());
    }
    let waits = options.daemon.socket_timeout();
    let mut text = format!("ProxyTimeout {}\n", proxy.proxy_timeout.unwrap_or(waits));
    for pair in proxy.proxy_mount_point.chunks_exact(2) {
        text += &proxied(&pair[0], &pair[1])?;
    }
    Ok(text)
}

/// The directives that pass what is below `url` to `server`.
pub fn proxied(url: &str, server: &str) -> Result<String, QuoteError> {
    // Both end in a slash or neither does: Apache puts the rest of the URL right behind.
    let server = server.trim_end_matches('/');
    let (url, server) = match url.trim_end_matches('/') {
        "" => (quoted("/")?, quoted(&format!("{server}/"))?),
        url => (quoted(url)?, quoted(server)?),
    };
    Ok(format!(
        "ProxyPass {url} {server}\nProxyPassReverse {url} {server}\n"
    ))
}

/// Pages for errors, and what is done to all responses.
pub fn pages(content: &ContentOptions) -> Result<String, QuoteError> {
    let mut text = String::new();
    for pair in content.error_document.chunks_exact(2) {
        text += &format!("ErrorDocument {} {}\n", bare(&pair[0])?, quoted(&pair[1])?);
    }
    if content.error_override {
        text += &format!("WSGIErrorOverride {}\n", flag(true));
    }
    for url in &content.ignore_activity {
        let url = quoted(url)?;
        text += &format!("<Location {url}>\n    WSGIIgnoreActivity On\n</Location>\n");
    }
    if content.compress_responses {
        text += &format!("AddOutputFilterByType DEFLATE {COMPRESSED}\n");
    }
    Ok(text)
}

/// Files with further directives.
pub fn includes(content: &ContentOptions) -> Result<String, QuoteError> {
    let mut text = String::new();
    for file in &content.include_file {
        text += &format!("Include {}\n", quoted_path(file)?);
    }
    Ok(text)
}
