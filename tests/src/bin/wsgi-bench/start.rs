//! From the start of a server to its first answer, ours beside mod_wsgi.

use std::time::Duration;

use wsgi_tests::{Mode, Request};

use crate::Plan;
use crate::table::{median, ratio_of};
use crate::targets::{Bound, Judged};
use crate::variant::{Kind, Peers, configured};
use crate::workload::Script;

/// Starts are short and differ, so a round is this many of each.
const STARTS: usize = 5;

const MODES: [(&str, Mode); 2] = [("embedded", Mode::Embedded), ("daemon", Mode::Daemon)];

/// Starts every variant in turn, prints a table and what becomes of the targets.
pub fn run(peers: &Peers, plan: &Plan) -> Vec<Judged> {
    println!("\nFrom the start to the first answer, milliseconds:\n");
    println!("| | mod_wsgi_rs | mod_wsgi 6.1.1 | ratio |\n|---|---:|---:|---:|");
    let judge = |(name, mode)| {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 1..=plan.rounds * STARTS {
            eprintln!("start: {name}: {round} of {}", plan.rounds * STARTS);
            ours.push(start(Kind::Ours(mode), peers));
            theirs.push(start(Kind::Theirs(mode), peers));
        }
        let measured = ratio_of(&ours, &theirs);
        println!(
            "| {name} | {:.1} | {:.1} | {measured:.2}× |",
            median(ours),
            median(theirs)
        );
        Judged {
            what: format!("first answer after the start, {name}: mod_wsgi_rs / mod_wsgi 6.1.1"),
            bound: Bound::AtMost(1.0),
            measured,
        }
    };
    MODES.into_iter().map(judge).collect()
}

/// Milliseconds of one start.
fn start(kind: Kind, peers: &Peers) -> f64 {
    let builder = configured(kind, Script::Plain, peers, 0).expect("it has a server");
    let (mut server, took) = builder.start_and_ask(&Request::get("/hello"));
    server.allow_log("");
    took.unwrap_or(Duration::MAX).as_secs_f64() * 1e3
}
