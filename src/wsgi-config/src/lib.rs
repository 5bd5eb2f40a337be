//! The rules of the directives, without Apache: how arguments are split, which options exist, how
//! URLs match aliases, how group names expand, how a header becomes a CGI variable.
//!
//! Everything here is a pure function of bytes, but for `python_home`, which looks at files. It runs in httpd's parent while the configuration
//! is read and in every Apache child on the request path, on any thread. It must not allocate for
//! fixed names, look up accounts or call Apache.
#![forbid(unsafe_code)]

pub mod alias;
pub mod cgi;
pub mod daemon_options;
pub mod env_file;
mod error;
pub mod flag;
pub mod function_script;
pub mod group;
pub mod import_script;
pub mod interpreter;
pub mod keyed;
pub mod layer;
pub mod prefixes;
pub mod proxy;
pub mod python_home;
pub mod script_name;
pub mod telemetry;
pub mod words;

pub use error::OptionError;
