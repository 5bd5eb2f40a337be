//! Options about scripts that run beside the application, each as the program of its own process.

use clap::Args;

/// Options about services.
#[derive(Debug, Clone, Args)]
pub struct ServiceOptions {
    /// A script that runs in a process of its own, which is started again when it ends; may be
    /// repeated
    #[arg(long, num_args = 2, value_names = ["NAME", "SCRIPT"])]
    pub service_script: Vec<String>,

    /// The account a service runs as when started by root [default: that of --user]
    #[arg(long, num_args = 2, value_names = ["NAME", "USER"], requires = "service_script")]
    pub service_user: Vec<String>,

    /// The group a service runs as when started by root [default: that of --group]
    #[arg(long, num_args = 2, value_names = ["NAME", "GROUP"], requires = "service_script")]
    pub service_group: Vec<String>,
}
