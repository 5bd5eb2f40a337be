//! The harness of the suite and of the benchmark: private httpd servers, a client that sees every
//! byte, and checks that a server leaves nothing behind.
//!
//! Runs in the test process. Nothing here sleeps for a result: whatever is waited for is a
//! condition with a deadline ([`wait::until`]).

pub mod apache;
pub mod client;
pub mod configuration;
pub mod curl;
pub mod error_log;
pub mod held_file;
pub mod load;
pub mod memory_group;
pub mod process;
pub mod python;
pub mod server;
pub mod soak;
pub mod turn;
pub mod validation;
pub mod wait;

pub use client::{Connection, Request, Response};
pub use configuration::{Builder, Mode, Mpm};
pub use server::Server;
