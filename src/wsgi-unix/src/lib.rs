//! The system calls of mod_wsgi_rs: the only place outside httpd's and Python's interfaces where
//! `unsafe` meets the C library.
//!
//! Linked into every one of our processes and used on any thread, except where a module says
//! otherwise. It knows neither Apache nor Python nor the messages that cross its sockets, takes
//! no decision and writes no log line of its own accord.
//!
//! * [`socket`], [`packet`], [`attached`], [`pipe`] and [`epoll`] move bytes and descriptors and wait for them; [`file`]
//!   tells which files may be sent so.
//! * [`socket_names`] are the paths of sockets that are made while the server runs.
//! * [`hints`] and [`memory`] are memory shared by descriptor, [`waiting`] memory shared by forks; [`inherited`] takes over what a
//!   parent process left open.
//! * [`spawn`], [`mod@fork`], [`process`] and [`signals`] start, watch and end processes; [`open_files`]
//!   bounds what they hold.
//! * [`accounts`], [`clock`] and [`log`] answer who, when, and write down what; [`rights`] reads
//!   files for somebody.

pub mod accounts;
pub mod attached;
pub mod clock;
pub mod epoll;
pub mod file;
pub mod fork;
pub mod hints;
pub mod inherited;
pub mod log;
pub mod memory;
pub mod open_files;
pub mod packet;
pub mod pipe;
pub mod process;
pub mod random;
pub mod rights;
pub mod signals;
pub mod socket;
pub mod socket_names;
pub mod spawn;
pub mod usage;
pub mod waiting;

mod call;
