//! Counts what a request costs in instructions and compares with what is recorded: a guard of the hot
//! paths that a busy machine does not disturb.
//!
//! Called by `ci/instructions`, in `ci/test`. A real httpd, or with it a daemon, runs under
//! callgrind with one process and one thread each. One connection sends requests, and what
//! one costs that nothing disturbs is compared. Only our own objects' and Python's instructions are
//! bounded, since those of the C library depend on the processor.

mod bounds;
mod callgrind;
mod versions;

use std::collections::BTreeMap;
use std::env;
use std::process::ExitCode;

use wsgi_tests::{Mode, Mpm, Request, Server};

use bounds::{Bounds, Key};
use callgrind::Counts;
use versions::Versions;

/// Requests of a kind until nothing is done for the first time any more.
const WARM_UP: usize = 10;
/// Requests of a kind that are counted.
const COUNTED: usize = 20;

/// Other aliases that are tried first: a search through all of them would show.
const ALIASES: usize = 1000;

const SIZES: &str = "StartServers 1\nServerLimit 1\nMaxRequestWorkers 1\nMinSpareServers 1\n\
                     MaxSpareServers 1\n";

const MODES: [(&str, Mode); 2] = [("embedded", Mode::Embedded), ("daemon", Mode::Daemon)];

/// The hot paths: what is sent.
fn workloads() -> Vec<(&'static str, Request)> {
    let headers = (0..40).fold(Request::get("/hello"), |request, number| {
        let value = format!("value number {number} of a header");
        request.header(&format!("X-Header-{number}"), &value)
    });
    vec![
        ("hello", Request::get("/hello")),
        ("aliases", Request::get(&format!("/a{}/hello", ALIASES - 1))),
        ("headers", headers),
        ("chunks", Request::get("/chunks")),
        ("file", Request::get("/file")),
        ("echo64", Request::post("/echo", vec![b'e'; 64 << 10])),
    ]
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let record = match words.iter().map(|word| &**word).collect::<Vec<_>>()[..] {
        [] => false,
        ["record"] => true,
        _ => {
            eprintln!("usage: wsgi-instructions [record]");
            return ExitCode::from(2);
        }
    };
    let versions = Versions::of_this_machine();
    let outcome = measure().and_then(|measured| match record {
        true => Bounds::of(versions, &measured).write().map(|()| true),
        false => Ok(judge(&Bounds::read()?, &versions, &measured)),
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// Instructions a request, of every mode, workload and part.
fn measure() -> Result<BTreeMap<Key, u64>, String> {
    let mut measured = BTreeMap::new();
    println!("instructions a request:\n");
    println!("| | module | gateway | Python | everything |\n|---|---:|---:|---:|---:|");
    for (mode_name, mode) in MODES {
        let server = start(mode);
        let mut connection = server.connect();
        for (_, request) in workloads() {
            for _ in 0..WARM_UP + COUNTED {
                let response = connection.roundtrip(&request);
                let response = response.map_err(|error| error.to_string())?;
                if response.status() != 200 || !response.whole {
                    let (status, log) = (response.status(), server.log().text());
                    return Err(format!(
                        "{mode_name}: an answer with status {status}\n{log}"
                    ));
                }
            }
        }
        let requests = workloads().len() * (WARM_UP + COUNTED);
        let processes = callgrind::read(&server.state(""), requests)?;
        if processes.len() != if mode == Mode::Daemon { 2 } else { 1 } {
            return Err(format!(
                "{mode_name}: callgrind has not written about every request"
            ));
        }
        for (index, (workload, _)) in workloads().into_iter().enumerate() {
            let end = (index + 1) * (WARM_UP + COUNTED);
            let counts = callgrind::undisturbed(&processes, end - COUNTED..end);
            let Counts {
                module,
                gateway,
                python,
                everything,
            } = counts;
            println!("| {mode_name} {workload} | {module} | {gateway} | {python} | {everything} |");
            for (part, count) in [("module", module), ("gateway", gateway), ("python", python)] {
                let key = [mode_name, workload, part].map(str::to_owned).into();
                measured.insert(key, count);
            }
        }
    }
    Ok(measured)
}

fn start(mode: Mode) -> Server {
    let alias = |number| format!("WSGIScriptAlias /a{number} @APPS@/bench/app.wsgi");
    let aliases: Vec<String> = (0..ALIASES).map(alias).collect();
    let behind = callgrind::command(mode);
    // The monitor, which starts it, does not run under callgrind.
    let quoted: Vec<String> = behind.iter().map(|word| format!("'{word}'")).collect();
    let python = format!(
        "#!/bin/sh\nexec {} /usr/bin/python3 \"$@\"\n",
        quoted.join(" ")
    );
    let mut server = Server::builder(mode)
        .mpm(Mpm::Prefork)
        .sizes(SIZES)
        .under(&behind)
        .daemon("processes=1 threads=1 python-home=@ROOT@/home")
        .file("home/bin/python", &python)
        .directive("WSGIPythonHashSeed 0\nWSGIApplicationGroup %{GLOBAL}\nKeepAliveTimeout 300")
        .file("htdocs/mib", &"m".repeat(1 << 20))
        .directive(&aliases.join("\n"))
        .app("/", "bench")
        .start();
    // Whoever runs under callgrind is slow to end.
    server.allow_log("");
    server
}

/// Says of every count that is over its bound what may be done about it.
fn judge(bounds: &Bounds, versions: &Versions, measured: &BTreeMap<Key, u64>) -> bool {
    if !bounds.hold_for(versions) {
        println!(
            "\nnot compared: tests/instructions was recorded with other versions than {versions}"
        );
        return true;
    }
    let mut good = true;
    for (key, count) in measured {
        let (mode, workload, part) = key;
        let Some(allowed) = bounds.allowed(key).filter(|allowed| count > allowed) else {
            continue;
        };
        good = false;
        eprintln!(
            "{mode} {workload}: {part} executes {count} instructions a request, {allowed} are allowed; \
             if it has to be so, record it by `./ci/instructions record` and say why in the commit"
        );
    }
    good
}
