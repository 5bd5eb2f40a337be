//! What the figures are to come to: one table of targets, and which of them are met.

use wsgi_tests::Mode;

use crate::comparison::Measured;
use crate::table::{self, Cell, Sample};
use crate::variant::Kind;

/// A bound of a figure.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    /// Not more.
    AtMost(f64),
    /// Not less.
    AtLeast(f64),
}

use Bound::{AtLeast, AtMost};

/// A target with what was measured.
#[derive(Debug)]
pub struct Judged {
    /// What is compared with what.
    pub what: String,
    /// The bound.
    pub bound: Bound,
    /// The figure.
    pub measured: f64,
}

impl Judged {
    fn is_met(&self) -> bool {
        match self.bound {
            AtMost(bound) => self.measured <= bound,
            AtLeast(bound) => self.measured >= bound,
        }
    }
}

/// Which figure of a sample.
#[derive(Debug, Clone, Copy)]
enum Figure {
    Cpu,
    Rate,
}

/// A ratio of two variants with 32 connections.
struct Target {
    workload: &'static str,
    figure: Figure,
    of: Kind,
    to: Kind,
    bound: Bound,
}

const EMBEDDED: Mode = Mode::Embedded;
const DAEMON: Mode = Mode::Daemon;

const fn cpu(workload: &'static str, mode: Mode, to: Kind, at_most: f64) -> Target {
    Target {
        workload,
        figure: Figure::Cpu,
        of: Kind::Ours(mode),
        to,
        bound: AtMost(at_most),
    }
}

const fn rate(workload: &'static str, to: Kind, at_least: f64) -> Target {
    Target {
        workload,
        figure: Figure::Rate,
        of: Kind::Ours(DAEMON),
        to,
        bound: AtLeast(at_least),
    }
}

const TARGETS: &[Target] = &[
    cpu("hello", EMBEDDED, Kind::Theirs(EMBEDDED), 0.72),
    cpu("hello", EMBEDDED, Kind::Bound, 1.25),
    cpu("json", EMBEDDED, Kind::Theirs(EMBEDDED), 0.90),
    cpu("headers", EMBEDDED, Kind::Theirs(EMBEDDED), 0.90),
    cpu("whole", EMBEDDED, Kind::Theirs(EMBEDDED), 0.90),
    cpu("chunks", EMBEDDED, Kind::Theirs(EMBEDDED), 0.90),
    cpu("file", EMBEDDED, Kind::Theirs(EMBEDDED), 0.90),
    cpu("echo64", EMBEDDED, Kind::Theirs(EMBEDDED), 0.90),
    cpu("echo1m", EMBEDDED, Kind::Theirs(EMBEDDED), 0.90),
    cpu("flask", EMBEDDED, Kind::Theirs(EMBEDDED), 0.90),
    cpu("django", EMBEDDED, Kind::Theirs(EMBEDDED), 0.90),
    cpu("hello", DAEMON, Kind::Theirs(DAEMON), 0.45),
    cpu("hello", DAEMON, Kind::Static, 1.65),
    cpu("json", DAEMON, Kind::Theirs(DAEMON), 0.50),
    cpu("headers", DAEMON, Kind::Theirs(DAEMON), 0.55),
    cpu("whole", DAEMON, Kind::Theirs(DAEMON), 0.70),
    cpu("chunks", DAEMON, Kind::Theirs(DAEMON), 0.70),
    cpu("file", DAEMON, Kind::Static, 1.30),
    cpu("echo64", DAEMON, Kind::Theirs(DAEMON), 0.60),
    cpu("echo1m", DAEMON, Kind::Theirs(DAEMON), 0.55),
    cpu("flask", DAEMON, Kind::Theirs(DAEMON), 0.72),
    cpu("django", DAEMON, Kind::Theirs(DAEMON), 0.72),
    rate("hello", Kind::Theirs(DAEMON), 1.8),
    rate("hello", Kind::ProxiedGunicorn, 2.0),
];

/// What was measured of every target whose workload and variants were run, and of every latency.
pub fn judge(measured: &[Measured]) -> Vec<Judged> {
    let ratios = TARGETS.iter().filter_map(|target| {
        let run = measured
            .iter()
            .find(|run| run.workload == target.workload)?;
        target.judge(&run.cells)
    });
    ratios
        .chain(measured.iter().flat_map(slowest_hundredths))
        .collect()
}

impl Target {
    fn judge(&self, cells: &[Cell]) -> Option<Judged> {
        let find = |kind| {
            cells
                .iter()
                .find(|cell| cell.kind == kind && cell.connections == 32)
        };
        let (of, to) = (find(self.of)?, find(self.to)?);
        let (name, figure): (_, fn(&Sample) -> f64) = match self.figure {
            Figure::Cpu => ("CPU", |sample| sample.cpu),
            Figure::Rate => ("requests/s", |sample| sample.rate),
        };
        Some(Judged {
            what: format!("{}, {name}: {} / {}", self.workload, of.name, to.name),
            bound: self.bound,
            measured: table::ratio(of, to, figure),
        })
    }
}

/// The latency of the slowest hundredth is nowhere to be above mod_wsgi's in the same mode.
fn slowest_hundredths(run: &Measured) -> Vec<Judged> {
    let ours = run
        .cells
        .iter()
        .filter(|cell| matches!(cell.kind, Kind::Ours(_)));
    let judged = ours.filter_map(|of| {
        let to = run.cells.iter().find(|to| {
            table::peer_of(of.kind) == Some(to.kind) && of.connections == to.connections
        })?;
        Some(Judged {
            what: format!(
                "{}, p99, {} connections: {} / {}",
                run.workload, of.connections, of.name, to.name
            ),
            bound: AtMost(1.0),
            measured: table::ratio(of, to, |sample| sample.p99),
        })
    });
    judged.collect()
}

/// Prints every target with what was measured.
pub fn print(judged: &[Judged]) {
    if judged.is_empty() {
        return;
    }
    let met = judged.iter().filter(|target| target.is_met()).count();
    println!("\nTargets ({met} of {} met):\n", judged.len());
    println!("| | target | measured | |\n|---|---:|---:|---|");
    for target in judged {
        let bound = match target.bound {
            AtMost(bound) => format!("≤ {bound:.2}"),
            AtLeast(bound) => format!("≥ {bound:.2}"),
        };
        let verdict = if target.is_met() { "met" } else { "**missed**" };
        println!(
            "| {} | {bound} | {:.2} | {verdict} |",
            target.what, target.measured
        );
    }
}
