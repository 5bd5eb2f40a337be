//! What the front end of a request says about it: WSGITrustedProxies and WSGITrustedProxyHeaders.
//!
//! Runs in a child's request thread, for requests whose scope declares headers only. What is believed
//! is decided in `wsgi_config::proxy`; here its pairs follow those of the request, which they replace.

use std::net::IpAddr;

use wsgi_config::proxy::{self, Declared, Resolved};
use wsgi_wire::head::HeadBuilder;

use crate::config::DirectoryConfig;
use crate::httpd::request::Request;

/// What is believed of this request's front end; `None` where nothing is declared.
pub fn resolve<'r>(request: Request<'r>, config: &DirectoryConfig) -> Option<Resolved<'r>> {
    let declared = Declared {
        headers: config.proxy_headers.value()?,
        proxies: config.trusted_proxies.value(),
    };
    let peer = std::str::from_utf8(request.client_ip().unwrap_or_default());
    let peer: Option<IpAddr> = peer.ok().and_then(|peer| peer.parse().ok());
    Some(proxy::resolve(declared, peer, |name| {
        let mut headers = request.headers_in().entries();
        let found = headers.find(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()));
        found.and_then(|(_, value)| value)
    }))
}

/// Adds the variables that the front end tells, after those they replace.
pub fn add(head: &mut HeadBuilder, resolved: &Resolved<'_>) {
    let told = [
        (&b"REMOTE_ADDR"[..], resolved.client),
        (b"HTTP_X_FORWARDED_FOR", resolved.chain.as_deref()),
        (b"HTTP_HOST", resolved.host),
        (b"SERVER_NAME", resolved.server),
        (b"SERVER_PORT", resolved.port),
        (b"SCRIPT_NAME", resolved.script_name),
        (b"mod_wsgi.mount_point", resolved.script_name),
    ];
    for (key, value) in told {
        if let Some(value) = value {
            head.latin1(key, value);
        }
    }
}
