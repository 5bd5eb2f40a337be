//! Measures what a request costs in our module, in mod_wsgi and in its peers, side by side.
//!
//! Called by `ci/bench`, which installs and builds what is measured. Every round runs each variant
//! once, on a server of its own, so that whatever else the machine does falls on all of them. CPU
//! time is that of all of the server's processes, user and system; the client is not counted.
//! Bodies are verified before anything is timed.
//!
//! * [`comparison`] runs every workload on every variant.
//! * [`scaling`] looks whether a request costs more where more is configured or connected.
//! * [`memory`] weighs processes against those that do nothing of ours.
//! * [`start`] times a server from its start to the first answer.
//! * [`targets`] says what all of that is to come to, and whether it does.

mod comparison;
mod memory;
mod scaling;
mod start;
mod table;
mod targets;
mod variant;
mod workload;
mod wrk;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use variant::Peers;

const USAGE: &str = "usage: wsgi-bench <mod_wsgi.so> <Debian's mod_wsgi.so> <venv> \
                     [workloads|memory|start|scaling ...] [rounds=5] [seconds=3] \
                     [connections=1,32] [workloads=hello,...] [variants=text,...]";

/// The parts, in the order in which they run.
const PARTS: &[&str] = &["workloads", "memory", "start", "scaling"];

/// What was asked for.
struct Plan {
    parts: Vec<String>,
    rounds: usize,
    seconds: u32,
    connections: Vec<u32>,
    workloads: Vec<String>,
    variants: Vec<String>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Some((peers, plan)) = parse(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let outcome = variant::build_bound().and_then(|bound| {
        let peers = Peers { bound, ..peers };
        run(&peers, &plan)
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[String]) -> Option<(Peers, Plan)> {
    let [mod_wsgi, debian, venv, words @ ..] = arguments else {
        return None;
    };
    let mut plan = Plan {
        parts: Vec::new(),
        rounds: 5,
        seconds: 3,
        connections: vec![1, 32],
        workloads: Vec::new(),
        variants: Vec::new(),
    };
    for word in words {
        if PARTS.contains(&&**word) {
            plan.parts.push(word.clone());
            continue;
        }
        let (name, value) = word.split_once('=')?;
        let list = || value.split(',').map(str::to_owned).collect();
        match name {
            "rounds" => plan.rounds = value.parse().ok().filter(|rounds| *rounds > 0)?,
            "seconds" => plan.seconds = value.parse().ok()?,
            "connections" => {
                plan.connections = value
                    .split(',')
                    .map(str::parse)
                    .collect::<Result<_, _>>()
                    .ok()?;
            }
            "workloads" => plan.workloads = list(),
            "variants" => plan.variants = list(),
            _ => return None,
        }
    }
    let peers = Peers {
        mod_wsgi: PathBuf::from(mod_wsgi),
        debian: PathBuf::from(debian),
        venv: PathBuf::from(venv),
        bound: PathBuf::new(),
    };
    Some((peers, plan))
}

impl Plan {
    /// Whether a part was asked for. Who names none wants all, but who chooses workloads or variants
    /// has chosen the comparison by that.
    fn wants(&self, part: &str) -> bool {
        if self.parts.is_empty() {
            let chosen = !self.workloads.is_empty() || !self.variants.is_empty();
            return !chosen || part == "workloads";
        }
        self.parts.iter().any(|wanted| wanted == part)
    }

    fn wants_workload(&self, name: &str) -> bool {
        self.workloads.is_empty() || self.workloads.iter().any(|wanted| wanted == name)
    }

    fn wants_variant(&self, name: &str) -> bool {
        self.variants.is_empty() || self.variants.iter().any(|part| name.contains(&**part))
    }
}

fn run(peers: &Peers, plan: &Plan) -> Result<(), String> {
    table::print_head(plan.rounds, plan.seconds);
    let mut judged = Vec::new();
    if plan.wants("workloads") {
        judged.extend(targets::judge(&comparison::run(peers, plan)?));
    }
    if plan.wants("memory") {
        judged.extend(memory::run(peers, plan)?);
    }
    if plan.wants("start") {
        judged.extend(start::run(peers, plan));
    }
    if plan.wants("scaling") {
        judged.extend(scaling::run(peers, plan)?);
    }
    targets::print(&judged);
    Ok(())
}
