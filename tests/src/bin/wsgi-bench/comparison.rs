//! Every workload on every variant, in rounds.

use wsgi_tests::{Connection, process};

use crate::Plan;
use crate::table::{self, Cell, Sample};
use crate::variant::{Peers, Running, VARIANTS};
use crate::workload::{WORKLOADS, Workload};
use crate::wrk;

/// What was measured of one workload.
#[derive(Debug)]
pub struct Measured {
    /// The workload's name.
    pub workload: &'static str,
    /// Every variant with every number of connections.
    pub cells: Vec<Cell>,
}

/// Runs what the plan asks for and prints a table after each workload.
pub fn run(peers: &Peers, plan: &Plan) -> Result<Vec<Measured>, String> {
    let mut all = Vec::new();
    for workload in WORKLOADS
        .iter()
        .filter(|workload| plan.wants_workload(workload.name))
    {
        let variants: Vec<_> = VARIANTS
            .iter()
            .copied()
            .filter(|(name, kind)| plan.wants_variant(name) && kind.answers(workload.name))
            .collect();
        let mut cells: Vec<Cell> = Vec::new();
        for &(name, kind) in &variants {
            let cell = |connections: &u32| Cell::new(name, kind, *connections);
            cells.extend(plan.connections.iter().map(cell));
        }
        for round in 1..=plan.rounds {
            for &(name, kind) in &variants {
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
        let workload = workload.name;
        all.push(Measured { workload, cells });
    }
    Ok(all)
}

/// Checks the answers, and lets every process load the application before it is timed.
pub fn verify(workload: &Workload, running: &Running) -> Result<(), String> {
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

/// One timed run.
pub fn measure(
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
