//! Whether a request costs more where more is configured, or more connections are idle.
//!
//! Every row is measured in the same rounds as the smallest one of its kind, of which it may cost a
//! tenth more.

use std::net::{Ipv4Addr, SocketAddr};

use wsgi_tests::{Builder, Connection, Mode, Request};

use crate::Plan;
use crate::comparison::{measure, verify};
use crate::table::{median, ratio_of};
use crate::targets::{Bound, Judged};
use crate::variant::{Kind, Peers, Running, daemon_options, hosting};
use crate::workload::{WORKLOADS, Workload};

const CONNECTIONS: u32 = 32;
const AT_MOST: f64 = 1.10;

/// What there is more and more of.
#[derive(Debug, Clone, Copy)]
enum Growing {
    /// WSGIScriptAlias, of which the last one is asked for.
    Aliases,
    /// Process groups, of which the last one answers.
    Groups,
    /// Keep-alive connections that have had their answer.
    Idle,
}

/// How many there are, and the path of the last one's application.
type Step = (usize, &'static str);

struct Series {
    title: &'static str,
    growing: Growing,
    mode: Mode,
    steps: [Step; 3],
}

const SERIES: &[Series] = &[
    Series {
        title: "aliases",
        growing: Growing::Aliases,
        mode: Mode::Embedded,
        steps: [(10, "a9/hello"), (100, "a99/hello"), (1000, "a999/hello")],
    },
    Series {
        title: "process groups",
        growing: Growing::Groups,
        mode: Mode::Daemon,
        steps: [(1, "hello"), (50, "hello"), (200, "hello")],
    },
    Series {
        title: "idle connections, embedded",
        growing: Growing::Idle,
        mode: Mode::Embedded,
        steps: IDLE,
    },
    Series {
        title: "idle connections, daemon",
        growing: Growing::Idle,
        mode: Mode::Daemon,
        steps: IDLE,
    },
];

const IDLE: [Step; 3] = [(100, "hello"), (1000, "hello"), (5000, "hello")];

/// Measures all, prints a table and what becomes of the targets.
pub fn run(peers: &Peers, plan: &Plan) -> Result<Vec<Judged>, String> {
    println!("\nCPU µs of a hello, {CONNECTIONS} connections:\n");
    println!("| | number | CPU µs | to the first |\n|---|---:|---:|---:|");
    let mut judged = Vec::new();
    for series in SERIES {
        let mut cpu: [Vec<f64>; 3] = Default::default();
        for round in 1..=plan.rounds {
            for ((count, path), measured) in series.steps.into_iter().zip(&mut cpu) {
                eprintln!(
                    "{}: round {round} of {}: {count}",
                    series.title, plan.rounds
                );
                measured.push(series.measure(count, path, peers, plan.seconds)?);
            }
        }
        let [first, ..] = &cpu;
        for ((count, _), measured) in series.steps.iter().zip(&cpu) {
            let ratio = ratio_of(measured, first);
            let micros = median(measured.clone());
            println!("| {} | {count} | {micros:.1} | {ratio:.2}× |", series.title);
            if count != &series.steps[0].0 {
                let least = series.steps[0].0;
                judged.push(Judged {
                    what: format!("CPU with {count} {} / with {least}", series.title),
                    bound: Bound::AtMost(AT_MOST),
                    measured: ratio,
                });
            }
        }
    }
    Ok(judged)
}

impl Series {
    /// CPU microseconds of a request.
    fn measure(
        &self,
        count: usize,
        path: &'static str,
        peers: &Peers,
        seconds: u32,
    ) -> Result<f64, String> {
        let workload = Workload {
            path,
            ..WORKLOADS[0]
        };
        let builder = hosting(Kind::Ours(self.mode), peers);
        let running = Running::of(self.growing.add(count, builder, peers));
        verify(&workload, &running)?;
        let _idle = match self.growing {
            Growing::Idle => idle_connections(count, running.port)?,
            _ => Vec::new(),
        };
        Ok(measure(&workload, &running, CONNECTIONS, seconds)?.cpu)
    }
}

impl Growing {
    fn add(self, count: usize, builder: Builder, peers: &Peers) -> Builder {
        let root = "WSGIScriptAlias / @APPS@/bench/app.wsgi";
        match self {
            Growing::Aliases => builder.directive(&lines(count, |number| {
                format!("WSGIScriptAlias /a{number} @APPS@/bench/app.wsgi")
            })),
            // The builder's own group is the first one.
            Growing::Groups => {
                let between = lines(count.saturating_sub(2), |number| {
                    format!("WSGIDaemonProcess between{number} threads=1")
                });
                let builder = builder.directive(root).directive(&between);
                if count == 1 {
                    return builder;
                }
                let options = daemon_options(peers);
                builder.directive(&format!(
                    "WSGIDaemonProcess last {options}\nWSGIProcessGroup last"
                ))
            }
            Growing::Idle => builder
                .directive(root)
                .directive("AsyncRequestWorkerFactor 100\nKeepAliveTimeout 300"),
        }
    }
}

fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    let lines: Vec<String> = (0..count).map(line).collect();
    lines.join("\n")
}

/// Connections that have each carried a request and wait for another.
fn idle_connections(count: usize, port: u16) -> Result<Vec<Connection>, String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let request = Request::get("/hello");
    let open = |_| {
        let mut connection = Connection::open(address)?;
        let response = connection.roundtrip(&request)?;
        let kept = response.header("Connection") != Some("close");
        kept.then_some(connection)
            .ok_or_else(|| std::io::Error::other("the server keeps no more connections"))
    };
    let opened: std::io::Result<_> = (0..count).map(open).collect();
    opened.map_err(|error| format!("{count} idle connections: {error}"))
}
