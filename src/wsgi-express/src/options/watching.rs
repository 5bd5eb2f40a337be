//! Options about what can be observed of a running server.

use clap::Args;

/// Options about observation.
#[derive(Debug, Clone, Args)]
pub struct WatchingOptions {
    /// Applications may ask for the server's scoreboard
    #[arg(long)]
    pub server_metrics: bool,

    /// Show Apache's scoreboard at /server-status to clients of this machine
    #[arg(long)]
    pub server_status: bool,

    /// The socket of a service that takes telemetry, as unix:/path
    #[arg(long, value_name = "SOCKET")]
    pub telemetry_service: Option<String>,

    /// Seconds between two samples
    #[arg(long, value_name = "SECONDS", requires = "telemetry_service")]
    pub telemetry_interval: Option<f64>,

    /// What samples may contain, as WSGITelemetryOptions; may be repeated
    #[arg(
        long,
        value_name = "WORD",
        allow_hyphen_values = true,
        requires = "telemetry_service"
    )]
    pub telemetry_options: Vec<String>,

    /// Seconds after which a request is reported as slow
    #[arg(long, value_name = "SECONDS", requires = "telemetry_service")]
    pub slow_requests: Option<f64>,
}
