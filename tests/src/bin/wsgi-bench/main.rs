//! Measures what a request costs in our module, in mod_wsgi and in its peers, side by side.
//!
//! Called by `ci/bench`, which installs and builds what is measured. Every round runs each variant
//! once, on a server of its own, so that whatever else the machine does falls on all of them. CPU
//! time is that of all of the server's processes, user and system; the client is not counted.
//! Bodies are verified before anything is timed.

mod table;
mod variant;
mod workload;
mod wrk;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use wsgi_tests::{Connection, process};

use table::{Cell, Sample};
use variant::{Kind, Peers, Running, VARIANTS};
use workload::{WORKLOADS, Workload};

const USAGE: &str = "usage: wsgi-bench <mod_wsgi.so> <Debian's mod_wsgi.so> <venv> [rounds=5] \
                     [seconds=3] [connections=1,32] [workloads=hello,...] [variants=text,...]";

/// What was asked for.
struct Plan {
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
    let [mod_wsgi, debian, venv, options @ ..] = arguments else {
        return None;
    };
    let mut plan = Plan {
        rounds: 5,
        seconds: 3,
        connections: vec![1, 32],
        workloads: Vec::new(),
        variants: Vec::new(),
    };
    for option in options {
        let (name, value) = option.split_once('=')?;
        let list = || value.split(',').map(str::to_owned).collect();
        match name {
            "rounds" => plan.rounds = value.parse().ok()?,
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
    fn workloads(&self) -> impl Iterator<Item = &'static Workload> {
        let wanted = |workload: &&Workload| {
            self.workloads.is_empty() || self.workloads.iter().any(|name| name == workload.name)
        };
        WORKLOADS.iter().filter(wanted)
    }

    fn variants(&self) -> impl Iterator<Item = (&'static str, Kind)> {
        let wanted = |(name, _): &(&'static str, Kind)| {
            self.variants.is_empty() || self.variants.iter().any(|part| name.contains(&**part))
        };
        VARIANTS.iter().copied().filter(wanted)
    }
}

fn run(peers: &Peers, plan: &Plan) -> Result<(), String> {
    table::print_head(plan.rounds, plan.seconds);
    for workload in plan.workloads() {
        let mut cells: Vec<Cell> = Vec::new();
        for (name, kind) in plan
            .variants()
            .filter(|(_, kind)| kind.answers(workload.name))
        {
            let cell = |connections: &u32| Cell::new(name, kind, *connections);
            cells.extend(plan.connections.iter().map(cell));
        }
        for round in 1..=plan.rounds {
            for (name, kind) in plan
                .variants()
                .filter(|(_, kind)| kind.answers(workload.name))
            {
                eprintln!(
                    "{}: round {round} of {}: {name}",
                    workload.name, plan.rounds
                );
                let running = Running::start(kind, workload.script, peers);
                verify(workload, &running).map_err(|why| format!("{name}: {why}"))?;
                for cell in cells.iter_mut().filter(|cell| cell.name == name) {
                    let sample = measure(workload, &running, cell.connections, plan.seconds);
                    cell.samples
                        .push(sample.map_err(|why| format!("{name}: {why}"))?);
                }
            }
        }
        table::print(workload.name, &cells);
    }
    Ok(())
}

/// Every process of the variant should have loaded the application before it is timed.
fn verify(workload: &Workload, running: &Running) -> Result<(), String> {
    let address = ([127, 0, 0, 1], running.port).into();
    for _ in 0..20 {
        let mut connection = Connection::open(address).map_err(|error| error.to_string())?;
        let request = workload.request().header("Connection", "close");
        let response = connection
            .roundtrip(&request)
            .map_err(|error| error.to_string())?;
        if let Some(complaint) = workload.complaint(&response) {
            return Err(complaint);
        }
    }
    wrk::run(workload, running.port, 32, 1).map(drop)
}

fn measure(
    workload: &Workload,
    running: &Running,
    connections: u32,
    seconds: u32,
) -> Result<Sample, String> {
    let before = cpu_ticks(running);
    let measured = wrk::run(workload, running.port, connections, seconds)?;
    let ticks = cpu_ticks(running).saturating_sub(before);
    let processes = running.processes();
    let memory = processes
        .iter()
        .map(|process| process.memory().proportional);
    Ok(Sample {
        cpu: ticks as f64 * 1e6 / process::ticks_per_second() as f64 / measured.requests,
        rate: measured.requests / measured.seconds,
        p50: measured.p50,
        p99: measured.p99,
        memory: memory.sum::<u64>() as f64 / 1024.0,
    })
}

fn cpu_ticks(running: &Running) -> u64 {
    let processes = running.processes();
    processes.iter().map(process::Process::cpu_ticks).sum()
}
