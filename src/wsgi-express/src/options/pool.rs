//! Options about Apache's processes, accounts and limits.

use clap::{Args, ValueEnum};

use super::fraction;

/// Apache's ways to share work among processes and threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mpm {
    /// Threads, idle connections without one
    Event,
    /// Threads, one per connection
    Worker,
    /// Processes, one per connection
    Prefork,
}

impl Mpm {
    /// The name as Apache's modules use it.
    pub fn name(self) -> &'static str {
        match self {
            Mpm::Event => "event",
            Mpm::Worker => "worker",
            Mpm::Prefork => "prefork",
        }
    }
}

/// Options about Apache's processes and limits.
#[derive(Debug, Clone, Args)]
pub struct PoolOptions {
    /// Processes that run the application; stating it makes wsgi.multiprocess true
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub processes: Option<u32>,

    /// Requests each of them runs at once
    #[arg(long, value_name = "NUMBER", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub threads: u32,

    /// The account to run as when started by root [default: Apache's on this system]
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,

    /// The group to run as when started by root [default: the primary group of the account]
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,

    /// How Apache shares connections among processes and threads
    #[arg(
        long = "server-mpm",
        visible_alias = "mpm",
        value_enum,
        default_value = "event"
    )]
    pub mpm: Mpm,

    /// Connections Apache handles at once [default: 10 and half as many again as run at once]
    #[arg(long, value_name = "NUMBER", conflicts_with = "embedded_mode",
          value_parser = clap::value_parser!(u32).range(1..=20000))]
    pub max_clients: Option<u32>,

    /// The part of Apache's workers that is there from the start, from 0 to 1 [default: all]
    #[arg(long, value_name = "FRACTION", value_parser = fraction)]
    pub initial_workers: Option<f64>,

    /// The part of Apache's workers that is kept idle at least, from 0 to 1 [default: one worker]
    #[arg(long, value_name = "FRACTION", value_parser = fraction)]
    pub minimum_spare_workers: Option<f64>,

    /// The part of Apache's workers that may stay idle, from 0 to 1 [default: all]
    #[arg(long, value_name = "FRACTION", value_parser = fraction)]
    pub maximum_spare_workers: Option<f64>,

    /// Largest request body in bytes; 0: any
    #[arg(long, value_name = "BYTES", default_value_t = 10_485_760)]
    pub limit_request_body: u64,

    /// Seconds a client has for the request's headers; 0: any
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    pub header_timeout: u32,

    /// Seconds it has at most when it keeps sending; 0: any
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub header_max_timeout: u32,

    /// Bytes of headers that earn a second
    #[arg(long, value_name = "BYTES", default_value_t = 500,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub header_min_rate: u32,

    /// Seconds a client has for the request's body, from when Apache reads it: when the
    /// application does; 0: any
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub body_timeout: u32,

    /// Seconds it has at most when it keeps sending; 0: any
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub body_max_timeout: u32,

    /// Bytes of the body that earn a second
    #[arg(long, value_name = "BYTES", default_value_t = 500,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub body_min_rate: u32,
}
