//! What our processes weigh beside those that hold nothing of ours: an Apache child that only talks to
//! daemons beside a bare one, and a daemon beside a Python that has loaded what WSGI is.
//!
//! The proportional set size divides a page among all processes that map it, so both sides always run
//! in the same number, and one after the other. Each has answered the same load before it is weighed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use wsgi_tests::Mode;
use wsgi_tests::process::Process;

use crate::Plan;
use crate::comparison::verify;
use crate::table::median;
use crate::targets::{Bound, Judged};
use crate::variant::{Kind, Peers, Running};
use crate::workload::{Script, WORKLOADS};

/// As many as there are daemons.
const PYTHONS: usize = 2;

/// Weighs all, prints a table and what becomes of the targets.
pub fn run(peers: &Peers, plan: &Plan) -> Result<Vec<Judged>, String> {
    let (mut bare, mut child) = (Vec::new(), Vec::new());
    let (mut python, mut daemon) = (Vec::new(), Vec::new());
    for round in 1..=plan.rounds {
        eprintln!("memory: round {round} of {}", plan.rounds);
        bare.push(weigh(Kind::Static, peers)?.0);
        let (ours, daemons) = weigh(Kind::Ours(Mode::Daemon), peers)?;
        child.push(ours);
        daemon.push(daemons);
        python.push(weigh_pythons(&peers.venv)?);
    }
    let [bare, child, python, daemon] = [bare, child, python, daemon].map(median);
    println!("\nPSS of one process, MiB, after the same load:\n");
    println!("| process | PSS | ours beside it | difference |\n|---|---:|---:|---:|");
    let (over_bare, over_python) = (child - bare, daemon - python);
    println!("| Apache child without a WSGI module | {bare:.2} | {child:.2} | {over_bare:.2} |");
    println!("| `python -c \"import wsgiref\"` | {python:.2} | {daemon:.2} | {over_python:.2} |");
    Ok(vec![
        Judged {
            what: "PSS of an Apache child over a bare one, MiB".to_owned(),
            bound: Bound::AtMost(1.5),
            measured: over_bare,
        },
        Judged {
            what: "PSS of a daemon over a Python with wsgiref, MiB".to_owned(),
            bound: Bound::AtMost(6.0),
            measured: over_python,
        },
    ])
}

/// The mean of the variant's Apache children, and that of its daemons.
fn weigh(kind: Kind, peers: &Peers) -> Result<(f64, f64), String> {
    let hello = &WORKLOADS[0];
    let running = Running::start(kind, Script::Plain, peers);
    verify(hello, &running)?;
    let children = running.server().map(|server| server.children());
    let daemons = running.server().map(|server| server.daemons());
    Ok((mean(children), mean(daemons)))
}

fn mean(processes: Option<Vec<Process>>) -> f64 {
    let processes = processes.unwrap_or_default();
    let kib = processes
        .iter()
        .map(|process| process.memory().proportional);
    kib.sum::<u64>() as f64 / 1024.0 / processes.len().max(1) as f64
}

/// The mean of so many Pythons of the same environment that have loaded wsgiref.
fn weigh_pythons(venv: &Path) -> Result<f64, String> {
    let code = "import wsgiref, sys; print('ready', flush=True); sys.stdin.read()";
    let start = || {
        Command::new(venv.join("bin/python"))
            .args(["-c", code])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", venv.display()))
    };
    let mut pythons: Vec<Child> = (0..PYTHONS).map(|_| start()).collect::<Result<_, _>>()?;
    for python in &mut pythons {
        let said = python.stdout.take().expect("piped above");
        let mut line = String::new();
        BufReader::new(said)
            .read_line(&mut line)
            .map_err(|error| error.to_string())?;
    }
    let found = pythons.iter().filter_map(|python| Process::of(python.id()));
    let weight = mean(Some(found.collect()));
    for mut python in pythons {
        // Its input ends, and so does it.
        drop(python.stdin.take());
        python.wait().map_err(|error| error.to_string())?;
    }
    Ok(weight)
}
