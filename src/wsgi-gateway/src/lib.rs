//! The gateway: runs Python applications behind Apache.
//!
//! One stable-ABI library for every Python, used in two ways: imported by the exec'ed interpreter of
//! a daemon, and opened with `dlopen` by an Apache child in embedded mode. It links neither Python
//! nor Apache: Python's symbols come from the process that loads it, Apache is met only through
//! `wsgi-wire` and `wsgi-abi`. Nothing here may unwind into C, and of pyo3 only `ffi` is used.

mod application;
mod call;
mod choice;
mod copies;
mod daemon;
mod embedded;
mod enquiry;
mod exchange;
mod extension;
mod function;
mod host;
mod interpreters;
mod log;
mod objects;
mod observe;
mod policy;
mod program;
mod python;
mod running;
mod stacks;
mod watch;
mod wsgi;

pub use embedded::wsgi_gateway_table;
pub use extension::PyInit__wsgi_gateway;
