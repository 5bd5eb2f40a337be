//! Measures the CPU time a request costs in Apache, in our module and in mod_wsgi, side by side.
//!
//! Called by `ci/bench`, which builds and installs what is measured. Every round runs each variant
//! once, on a server of its own, so that whatever else the machine does falls on all of them. CPU
//! time is that of all of the server's processes, user and system; the client is not counted.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use wsgi_tests::{Builder, Mode, Server, process};

const WARM_UP: u32 = 4000;
const CONNECTIONS: u32 = 32;
/// More threads than connections: event closes kept connections when its threads run out.
const SIZES: &str = "StartServers 2\nServerLimit 2\nThreadLimit 64\nThreadsPerChild 64\n\
                     MaxRequestWorkers 128\nMinSpareThreads 1\nMaxSpareThreads 128";
const DAEMONS: &str = "processes=2 threads=8";

/// What is measured.
struct Variant {
    name: &'static str,
    module: Option<PathBuf>,
    mode: Mode,
    /// The variant it is compared with, by place in the list.
    paired_with: Option<usize>,
    samples: Vec<Sample>,
}

/// One run of one variant.
struct Sample {
    /// CPU time of a request, microseconds.
    cpu: f64,
    /// Requests a second.
    rate: f64,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Some((mod_wsgi, rounds, requests)) = parse(&arguments) else {
        eprintln!("usage: wsgi-bench <mod_wsgi.so> [rounds] [requests]");
        return ExitCode::from(2);
    };
    let mut variants = variants(mod_wsgi);
    for round in 1..=rounds {
        for variant in &mut variants {
            eprintln!("round {round} of {rounds}: {}", variant.name);
            match measure(variant, requests) {
                Ok(sample) => variant.samples.push(sample),
                Err(why) => {
                    eprintln!("{}: {why}", variant.name);
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    print_table(&variants, requests);
    ExitCode::SUCCESS
}

fn parse(arguments: &[String]) -> Option<(PathBuf, usize, u32)> {
    let mod_wsgi = arguments
        .first()
        .map(PathBuf::from)
        .filter(|path| path.is_file())?;
    let rounds = arguments.get(1).map_or(Ok(5), |text| text.parse()).ok()?;
    let requests = arguments
        .get(2)
        .map_or(Ok(100_000), |text| text.parse())
        .ok()?;
    Some((mod_wsgi, rounds, requests))
}

fn variants(mod_wsgi: PathBuf) -> Vec<Variant> {
    let ours = wsgi_tests::apache::module();
    let row = |name, module: Option<&PathBuf>, mode, paired_with| Variant {
        name,
        module: module.cloned(),
        mode,
        paired_with,
        samples: Vec::new(),
    };
    vec![
        row("static file of 12 bytes", None, Mode::Embedded, None),
        row("mod_wsgi, embedded", Some(&mod_wsgi), Mode::Embedded, None),
        row(
            "mod_wsgi_rs, embedded",
            Some(&ours),
            Mode::Embedded,
            Some(1),
        ),
        row("mod_wsgi, daemon 2x8", Some(&mod_wsgi), Mode::Daemon, None),
        row(
            "mod_wsgi_rs, daemon 2x8",
            Some(&ours),
            Mode::Daemon,
            Some(3),
        ),
    ]
}

fn measure(variant: &Variant, requests: u32) -> Result<Sample, String> {
    let mut builder: Builder = Server::builder(variant.mode)
        .module_under_test(variant.module.clone())
        .sizes(SIZES)
        .daemon(DAEMONS)
        .directive("LogLevel notice")
        .file("htdocs/file", "Hello World!")
        .alone();
    if variant.module.is_some() {
        builder = builder
            .directive("WSGISocketPrefix @ROOT@/run/wsgi")
            .app("/app", "hello");
    }
    let server = builder.start();
    let path = if variant.module.is_some() {
        "app"
    } else {
        "file"
    };
    let url = format!("http://{}/{path}", server.address());
    load(&url, WARM_UP)?;
    let before = cpu_ticks(&server);
    let rate = load(&url, requests)?;
    let ticks = cpu_ticks(&server) - before;
    let cpu = ticks as f64 * 1e6 / process::ticks_per_second() as f64 / f64::from(requests);
    Ok(Sample { cpu, rate })
}

fn cpu_ticks(server: &Server) -> u64 {
    server
        .processes()
        .iter()
        .map(process::Process::cpu_ticks)
        .sum()
}

/// Sends the requests and gives their rate; every one must be answered with 200.
fn load(url: &str, requests: u32) -> Result<f64, String> {
    let output = Command::new("ab")
        .args([
            "-q",
            "-k",
            "-c",
            &CONNECTIONS.to_string(),
            "-n",
            &requests.to_string(),
            url,
        ])
        .output()
        .map_err(|error| format!("ab (Debian: apache2-utils): {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    match (
        value("Failed requests:"),
        value("Non-2xx responses:"),
        value("Requests per second:"),
    ) {
        (Some(0.0), None, Some(rate)) if output.status.success() => Ok(rate),
        _ => Err(format!("not every request was answered: {text}")),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}

/// The table; a ratio is the median of the rounds' ratios, since each round is a pair.
fn print_table(variants: &[Variant], requests: u32) {
    println!("hello, {CONNECTIONS} keep-alive connections, {requests} requests a round,");
    println!("event MPM with 2 children of 64 threads; CPU of all of the server's processes");
    println!("processor: {}", processor());
    println!();
    println!("| variant | CPU µs a request | lowest to highest | requests/s | to mod_wsgi |");
    println!("|---|---:|---:|---:|---:|");
    for variant in variants {
        let cpu: Vec<f64> = variant.samples.iter().map(|sample| sample.cpu).collect();
        let rate = median(variant.samples.iter().map(|sample| sample.rate).collect());
        let lowest = cpu.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = cpu.iter().copied().fold(0.0, f64::max);
        let ratio = variant.paired_with.map_or(String::new(), |other| {
            let pairs = variant.samples.iter().zip(&variants[other].samples);
            format!(
                "{:.2}×",
                median(pairs.map(|(a, b)| a.cpu / b.cpu).collect())
            )
        });
        println!(
            "| {} | {:.1} | {lowest:.1}–{highest:.1} | {rate:.0} | {ratio} |",
            variant.name,
            median(cpu),
        );
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
