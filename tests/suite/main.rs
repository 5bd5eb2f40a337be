//! The suite: each test runs a real httpd with a root, a port and a configuration of its own.
//!
//! `ci/test` builds and stages the module and runs it. `WSGI_COMPAT=/path/to/mod_wsgi.so` runs the
//! same cases against the C module, which is how we know that they describe mod_wsgi and not us.

#[macro_use]
mod support;

mod body;
mod changed_venvs;
mod chroot;
mod cloned_groups;
mod configurations;
mod connections;
mod conversation;
mod copies;
mod daemon;
mod deaths;
mod delivery;
mod directives;
mod early_hints;
mod elastic;
mod environ;
mod errors;
mod events;
mod examples;
mod express;
mod faults;
mod frameworks;
mod front_end;
mod functions;
mod generations;
mod handlers;
mod hello;
mod hostile_daemon;
mod identity;
mod inactivity;
mod inheriting;
mod interpreters;
mod isolation;
mod keyed_accounts;
mod limits;
mod malformed;
mod many_groups;
mod mapping;
mod memory;
mod metrics;
mod odd_configurations;
mod on_demand;
mod owners;
mod preload;
mod protocols;
mod pythons;
mod queueing;
mod recipes;
mod recycling;
mod redirection;
mod regression;
mod relaying;
mod reloading;
mod request_directives;
mod response;
mod restart;
mod service_groups;
mod slow_files;
mod soak;
mod streaming;
mod threads;
mod timeouts;
mod uploads;
mod users;
mod wsgi_protocol;
