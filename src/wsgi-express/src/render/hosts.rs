//! Name-based hosts and TLS.
//!
//! The main server has the application and all its settings; hosts inherit them and add only what
//! a name or a port has of its own.

use super::content::{proxied, rewrites};
use crate::layout;
use crate::options::{ServerOptions, TlsOptions};
use crate::quote::{QuoteError, bare, quoted, quoted_path};
use crate::server::Server;

/// A name that no client asks for: `.invalid` is reserved (RFC 6761).
const NOBODY: &str = "unnamed.invalid";

/// One address with a port.
#[derive(Clone, Copy)]
struct Port {
    number: u16,
    tls: bool,
}

/// All hosts: none for a server without name, TLS and proxies.
pub fn hosts(options: &ServerOptions, server: &Server) -> Result<String, QuoteError> {
    let mut text = String::new();
    let port = |number, tls| Port { number, tls };
    if options.plain_http() {
        let named = options.listener.server_name.is_some();
        if named || options.tls.https_only || !options.proxy.proxy_virtual_host.is_empty() {
            text += &of_port(port(options.listener.port, false), options, server)?;
        }
    }
    if let Some(number) = options.tls.https_port {
        let cache = quoted(&format!(
            "shmcb:{}(512000)",
            server.root.join(layout::TLS_CACHE).display()
        ))?;
        text += &format!("SSLSessionCache {cache}\n");
        text += &of_port(port(number, true), options, server)?;
    }
    Ok(text)
}

/// The hosts of one port. The first is the one for every name that no other host has.
fn of_port(port: Port, options: &ServerOptions, server: &Server) -> Result<String, QuoteError> {
    let tls = if port.tls {
        tls(&options.tls, server)?
    } else {
        String::new()
    };
    let listener = &options.listener;
    let mut text = String::new();
    let mut host = |lines: &str| {
        text += &format!(
            "<VirtualHost *:{}>\n{lines}{tls}</VirtualHost>\n",
            port.number
        );
    };
    let own = own_lines(port, options)?;
    match listener.server_name.as_deref() {
        None => host(&own),
        Some(name) => {
            host(&format!(
                "ServerName {NOBODY}\n<Location \"/\">\n    Require all denied\n</Location>\n"
            ));
            if let Some(short) = name.strip_prefix("www.") {
                let url = url(port, name);
                host(&format!(
                    "ServerName {}\n{}",
                    quoted(short)?,
                    redirect(&url)?
                ));
            }
            let mut names = format!("ServerName {}\n", quoted(name)?);
            for alias in &listener.server_alias {
                names += &format!("ServerAlias {}\n", quoted(alias)?);
            }
            if listener.allow_localhost {
                names += "ServerAlias localhost 127.0.0.1 [::1]\n";
            }
            host(&(names + &own));
        }
    }
    for pair in options.proxy.proxy_virtual_host.chunks_exact(2) {
        let (name, target) = (quoted(&pair[0])?, proxied("/", &pair[1])?);
        host(&format!("ServerName {name}\nRewriteEngine Off\n{target}"));
    }
    Ok(text)
}

/// What the host of the application has of its own.
fn own_lines(port: Port, options: &ServerOptions) -> Result<String, QuoteError> {
    match options.tls.https_port {
        Some(number) if options.tls.https_only && !port.tls => {
            // The name the client asked for, which Apache has checked, when we have none.
            let name = options.listener.server_name.as_deref();
            let secure = Port { number, tls: true };
            redirect(&url(secure, name.unwrap_or("%{SERVER_NAME}")))
        }
        // A host without a word of its own about rewriting has no rules, not even inherited ones.
        _ if rewrites(&options.content) => Ok("RewriteEngine On\n".to_owned()),
        _ => Ok(String::new()),
    }
}

fn url(port: Port, name: &str) -> String {
    let (scheme, usual) = if port.tls {
        ("https", 443)
    } else {
        ("http", 80)
    };
    if port.number == usual {
        format!("{scheme}://{name}")
    } else {
        format!("{scheme}://{name}:{}", port.number)
    }
}

/// Sends every client to the same path below `url`, before any other rule.
fn redirect(url: &str) -> Result<String, QuoteError> {
    let url = bare(url)?;
    Ok(format!(
        "RewriteEngine On\nRewriteOptions IgnoreInherit\n\
         RewriteRule ^ {url}%{{REQUEST_URI}} [R=301,L]\n"
    ))
}

fn tls(options: &TlsOptions, server: &Server) -> Result<String, QuoteError> {
    let mut text = "SSLEngine On\n".to_owned();
    if let Some(certificate) = &server.certificate {
        text += &format!(
            "SSLCertificateFile {}\nSSLCertificateKeyFile {}\n",
            quoted_path(&certificate.file)?,
            quoted_path(&certificate.key)?
        );
    }
    if let Some(chain) = &options.ssl_certificate_chain_file {
        text += &format!("SSLCertificateChainFile {}\n", quoted_path(chain)?);
    }
    if let Some(authorities) = &options.ssl_ca_certificate_file {
        text += &format!("SSLCACertificateFile {}\n", quoted_path(authorities)?);
        if options.ssl_verify_client.is_empty() {
            text += "SSLVerifyClient require\n";
        }
        for url in &options.ssl_verify_client {
            let url = quoted(url)?;
            text += &format!("<Location {url}>\n    SSLVerifyClient require\n</Location>\n");
        }
    }
    if options.ssl_environment {
        text += "SSLOptions +StdEnvVars\n";
    }
    if let Some(policy) = &options.hsts_policy {
        // mod_headers would read a percent sign as a format.
        let policy = quoted(&policy.replace('%', "%%"))?;
        text += &format!("Header always set Strict-Transport-Security {policy}\n");
    }
    Ok(text)
}
