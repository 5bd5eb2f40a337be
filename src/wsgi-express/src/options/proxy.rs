//! Options about other servers that are reached through this one.

use clap::Args;

/// Options about other servers.
#[derive(Debug, Clone, Args)]
pub struct ProxyOptions {
    /// The server that answers below a URL; may be repeated
    #[arg(long, alias = "proxy-url-alias", num_args = 2, value_names = ["URL", "SERVER"])]
    pub proxy_mount_point: Vec<String>,

    /// The server that answers for a name; may be repeated
    #[arg(long, num_args = 2, value_names = ["NAME", "SERVER"])]
    pub proxy_virtual_host: Vec<String>,

    /// Seconds Apache waits for bytes of those servers [default: --socket-timeout]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub proxy_timeout: Option<u32>,
}
