//! The modules of Apache that a server uses: those of its options and no others.

use crate::options::{AuthType, Mpm, ServerOptions};
use crate::quote::{QuoteError, quoted_path};
use crate::server::Server;

/// What every server has besides its MPM: what it uses itself, and what files of `--include-file`
/// expect as the original loads it.
const ALWAYS: &[&str] = &[
    "unixd",
    "log_config",
    "access_compat",
    "authn_core",
    "authz_core",
    "authz_host",
    "alias",
    "dir",
    "env",
    "filter",
    "headers",
    "mime",
    "reqtimeout",
    "rewrite",
    "setenvif",
];

/// Loads what is not built into Apache.
pub fn load(options: &ServerOptions, server: &Server) -> Result<String, QuoteError> {
    let mut text = String::new();
    let mpm = format!("mpm_{}", options.pool.mpm.name());
    for module in std::iter::once(mpm.as_str())
        .chain(ALWAYS.iter().copied())
        .chain(by_option(options))
    {
        let file = quoted_path(&server.modules.join(format!("mod_{module}.so")))?;
        text += &format!(
            "<IfModule !{module}_module>\n    LoadModule {module}_module {file}\n</IfModule>\n"
        );
    }
    Ok(text)
}

fn by_option(options: &ServerOptions) -> Vec<&'static str> {
    let (content, access) = (&options.content, &options.access);
    let cgi = match options.pool.mpm {
        Mpm::Prefork => "cgi",
        Mpm::Event | Mpm::Worker => "cgid",
    };
    let auth = match access.auth_type {
        AuthType::Basic => "auth_basic",
        AuthType::Digest => "auth_digest",
    };
    let users = access.auth_user_script.is_some();
    let proxy = &options.proxy;
    let proxying = !(proxy.proxy_mount_point.is_empty() && proxy.proxy_virtual_host.is_empty());
    let table = [
        (options.tls.https_port.is_some(), "socache_shmcb"),
        (options.tls.https_port.is_some(), "ssl"),
        (options.listener.http2, "http2"),
        (content.directory_listing, "autoindex"),
        (content.with_cgi, cgi),
        (content.compress_responses, "deflate"),
        (proxying, "proxy"),
        (proxying, "proxy_http"),
        (users, "authz_user"),
        (users, auth),
        (options.watching.server_status, "status"),
    ];
    let used = table.into_iter().filter(|(used, _)| *used);
    used.map(|(_, module)| module).collect()
}
