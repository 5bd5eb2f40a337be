//! Everything that crosses a process boundary of mod_wsgi_rs, as bytes.
//!
//! Pure data: runs in every one of our processes, on any thread, and does no input or output.
//! It knows neither Apache nor Python. The peer of a socket is not trusted: every decoder checks
//! a length before it believes it, answers an unknown tag with an error, and never panics.
//!
//! * [`frame`] is the header that every message starts with, and the limit of each tag.
//! * [`head`] is the request as both modes hand it to the gateway.
//! * [`secret`] is how a daemon knows that a head comes from Apache.
//! * [`function`] is a call of a script's functions in an application's place, and their answers.
//! * [`response`] is the status line and headers on the way back.
//! * [`to_daemon`] and [`to_child`] are the messages of the two directions of a group's socket.
//! * [`failure`] names the ways a request ends without a whole response.
//! * [`launch`] is what a parent process tells the monitor, and the monitor a daemon, at the start.
//! * [`supervision`] is what daemon and monitor tell each other afterwards.
//! * [`control`] is how Apache children ask the monitor for a process group that is made on demand.

#![forbid(unsafe_code)]

pub mod codec;
pub mod control;
pub mod failure;
pub mod frame;
pub mod function;
pub mod head;
pub mod launch;
pub mod response;
pub mod scoreboard;
pub mod secret;
pub mod supervision;
pub mod to_child;
pub mod to_daemon;

pub use codec::WireError;
pub use failure::{Blame, Failure};
