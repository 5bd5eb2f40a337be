//! The compat ring: one table of cases that mod_wsgi and we answer alike, in both modes.
//!
//! `WSGI_COMPAT=/path/to/mod_wsgi.so` runs the same cases against the C module. Where the two differ
//! on purpose, the case says what mod_wsgi does and which is right. Takes part of the names as its
//! argument, as libtest does; the cases of a group share a server, so this target has a runner of
//! its own.

mod case;
mod runner;
mod script;

mod callables;
mod daemon_options;
mod environ;
mod environ_rows;
mod file_wrapper;
mod headers;
mod input;
mod iterables;
mod loading;
mod logging;
mod mapping;
mod recipes;
mod start_response;
mod unusual;
mod urls;
mod virtual_hosts;

fn main() {
    let groups = vec![
        callables::group(),
        daemon_options::group(),
        environ::group(),
        file_wrapper::group(),
        headers::group(),
        input::group(),
        iterables::group(),
        loading::group(),
        logging::group(),
        mapping::group(),
        recipes::group(),
        start_response::group(),
        unusual::group(),
        urls::group(),
        virtual_hosts::group(),
    ];
    runner::run(groups);
}
