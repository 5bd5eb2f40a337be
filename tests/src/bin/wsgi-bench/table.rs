//! The tables: medians of the rounds, and ratios of what was measured in the same round.

use std::fs;

use wsgi_tests::Mode;

use crate::variant::Kind;

/// One run of one variant.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// CPU time of a request in all processes, microseconds.
    pub cpu: f64,
    /// Requests a second.
    pub rate: f64,
    /// The median latency, microseconds.
    pub p50: f64,
    /// The latency of the slowest hundredth, microseconds.
    pub p99: f64,
    /// Proportional set size of all processes, MiB.
    pub memory: f64,
}

/// The runs of one variant with so many connections.
#[derive(Debug)]
pub struct Cell {
    /// The variant's name.
    pub name: &'static str,
    /// The variant.
    pub kind: Kind,
    /// How many connections are kept alive.
    pub connections: u32,
    /// A sample a round.
    pub samples: Vec<Sample>,
}

impl Cell {
    /// A cell without samples.
    pub fn new(name: &'static str, kind: Kind, connections: u32) -> Cell {
        Cell {
            name,
            kind,
            connections,
            samples: Vec::new(),
        }
    }

    fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(of).collect())
    }
}

/// Says what the figures below are.
pub fn print_head(rounds: usize, seconds: u32) {
    println!(
        "Medians of {rounds} interleaved rounds of {seconds} s; event MPM with 2 children of 64 \
         threads, daemons 2 of 8 threads, Python 3.11; CPU of all of the server's processes; \
         {}.",
        processor()
    );
}

/// Prints a workload's table. The ratios are those of CPU time: to mod_wsgi 6.1.1 in the same mode, and to the static file.
pub fn print(workload: &str, cells: &[Cell]) {
    println!("\n{workload}:\n");
    println!(
        "| variant | connections | CPU µs | to mod_wsgi | to a file | requests/s | p50 µs | p99 µs \
         | PSS MiB |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    for cell in cells {
        println!(
            "| {} | {} | {:.1} | {} | {} | {:.0} | {:.0} | {:.0} | {:.1} |",
            cell.name,
            cell.connections,
            cell.median(|sample| sample.cpu),
            shown_ratio(cell, cells, peer_of(cell.kind)),
            shown_ratio(cell, cells, Some(Kind::Static)),
            cell.median(|sample| sample.rate),
            cell.median(|sample| sample.p50),
            cell.median(|sample| sample.p99),
            cell.median(|sample| sample.memory),
        );
    }
}

/// Whom a variant is compared with: mod_wsgi in the same mode, in a daemon for those that have one.
pub fn peer_of(kind: Kind) -> Option<Kind> {
    match kind {
        Kind::Static | Kind::Bound | Kind::Theirs(_) => None,
        Kind::Ours(mode) | Kind::Debians(mode) => Some(Kind::Theirs(mode)),
        _ => Some(Kind::Theirs(Mode::Daemon)),
    }
}

fn shown_ratio(cell: &Cell, cells: &[Cell], to: Option<Kind>) -> String {
    let other = cells
        .iter()
        .find(|other| Some(other.kind) == to && other.connections == cell.connections);
    match other {
        Some(other) if other.kind != cell.kind => {
            format!("{:.2}×", ratio(cell, other, |sample| sample.cpu))
        }
        _ => String::new(),
    }
}

/// The ratio of one variant's figure to another's.
pub fn ratio(of: &Cell, to: &Cell, figure: impl Fn(&Sample) -> f64) -> f64 {
    let figures = |cell: &Cell| cell.samples.iter().map(&figure).collect::<Vec<_>>();
    ratio_of(&figures(of), &figures(to))
}

/// The median of the rounds' ratios, since each round is a pair.
pub fn ratio_of(of: &[f64], to: &[f64]) -> f64 {
    let pairs = of.iter().zip(to);
    median(pairs.map(|(own, other)| own / other).collect())
}

/// The middle of the values, or the mean of the two in the middle; 0 without any.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        count if count % 2 == 0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = text
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    format!("{cores} × {}", name.unwrap_or("unknown").trim())
}
