//! Options about addresses, names and TLS.

use std::path::PathBuf;

use clap::Args;

use super::absolute;

/// Options about addresses and names.
#[derive(Debug, Clone, Args)]
pub struct ListenerOptions {
    /// The address to listen on [default: all]
    #[arg(long, value_name = "ADDRESS")]
    pub host: Option<String>,

    /// The port to listen on
    #[arg(long, default_value_t = 8000, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,

    /// Speak HTTP/2 too
    #[arg(long)]
    pub http2: bool,

    /// The name of the server; requests for any other name are refused. A name that starts with
    /// www. is also reached without it, by a redirect [default: any name is served]
    #[arg(long, value_name = "NAME")]
    pub server_name: Option<String>,

    /// Another name of the server; may be repeated, may have wildcards
    #[arg(long, value_name = "NAME", requires = "server_name")]
    pub server_alias: Vec<String>,

    /// Serve requests for localhost too when the server has a name
    #[arg(long)]
    pub allow_localhost: bool,

    /// Seconds a connection is kept for another request; 0: it is not
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    pub keep_alive_timeout: u32,

    /// Connections that may wait for Apache
    #[arg(long, value_name = "NUMBER", default_value_t = 500,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub server_backlog: u32,

    /// A header, such as X-Forwarded-For, that is believed; may be repeated
    #[arg(long, value_name = "HEADER")]
    pub trust_proxy_header: Vec<String>,

    /// The address or subnet of a proxy whose headers are believed; may be repeated
    #[arg(long, value_name = "ADDRESS", requires = "trust_proxy_header")]
    pub trust_proxy: Vec<String>,
}

impl ListenerOptions {
    /// The host as it appears in names: the address, or `localhost` for all of them.
    pub fn host_name(&self) -> &str {
        self.host.as_deref().unwrap_or("localhost")
    }
}

/// Options about TLS.
#[derive(Debug, Clone, Args)]
pub struct TlsOptions {
    /// The port for TLS; that of --port leaves plain HTTP out
    #[arg(long, alias = "ssl-port", value_parser = clap::value_parser!(u16).range(1..))]
    pub https_port: Option<u16>,

    /// The certificate and its key, as FILE.crt and FILE.key
    #[arg(
        long,
        value_name = "FILE",
        value_parser = absolute,
        requires = "https_port",
        conflicts_with_all = ["ssl_certificate_file", "ssl_certificate_key_file"]
    )]
    pub ssl_certificate: Option<PathBuf>,

    /// The certificate
    #[arg(long, value_name = "FILE", value_parser = absolute,
          requires_all = ["https_port", "ssl_certificate_key_file"])]
    pub ssl_certificate_file: Option<PathBuf>,

    /// The certificate's key
    #[arg(long, value_name = "FILE", value_parser = absolute,
          requires_all = ["https_port", "ssl_certificate_file"])]
    pub ssl_certificate_key_file: Option<PathBuf>,

    /// Certificates between ours and the root
    #[arg(long, value_name = "FILE", value_parser = absolute, requires = "https_port")]
    pub ssl_certificate_chain_file: Option<PathBuf>,

    /// The authorities whose clients' certificates are accepted; every client needs one
    #[arg(long, value_name = "FILE", value_parser = absolute, requires = "https_port")]
    pub ssl_ca_certificate_file: Option<PathBuf>,

    /// A URL below which, and then only there, clients need a certificate; may be repeated
    #[arg(long, value_name = "URL", requires = "ssl_ca_certificate_file")]
    pub ssl_verify_client: Vec<String>,

    /// Give the application the variables of the TLS connection
    #[arg(long)]
    pub ssl_environment: bool,

    /// Redirect plain HTTP to TLS
    #[arg(long, requires = "https_port")]
    pub https_only: bool,

    /// The value of the header Strict-Transport-Security
    #[arg(long, value_name = "POLICY", requires = "https_port")]
    pub hsts_policy: Option<String>,
}
