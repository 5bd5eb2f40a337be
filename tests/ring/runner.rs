//! Runs groups of cases, a server per group and mode, and reports each case by name.
//!
//! Two threads take groups from one list. Prints what libtest prints, so that the same scripts read
//! it: a line per case, the failures, and `test result: …`.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Instant;

use wsgi_tests::{Mode, Server};

use crate::case::{Group, take_difference};

const THREADS: usize = 3;

thread_local! {
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What became of the cases so far.
#[derive(Default)]
struct Report {
    passed: usize,
    differing: usize,
    filtered: usize,
    failures: Vec<(String, String)>,
}

/// Which cases are asked for on the command line.
struct Wanted {
    filters: Vec<String>,
}

impl Wanted {
    fn takes(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(filter))
    }
}

/// Runs what the command line asks for and ends the process.
pub fn run(groups: Vec<Group>) {
    let options = ["--list", "--quiet", "-q", "--nocapture"];
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted = Wanted {
        filters: arguments
            .iter()
            .filter(|argument| !options.contains(&argument.as_str()))
            .cloned()
            .collect(),
    };
    let jobs: Vec<(&Group, Mode)> = groups
        .iter()
        .flat_map(|group| group.modes.iter().map(move |mode| (group, *mode)))
        .collect();
    if arguments.iter().any(|argument| argument == "--list") {
        for (group, mode) in jobs {
            for case in &group.cases {
                println!("{}: test", name_of(group, &case.name, mode));
            }
        }
        return;
    }
    std::panic::set_hook(Box::new(|information| {
        PANIC.with(|panic| *panic.borrow_mut() = information.to_string());
    }));
    let start = Instant::now();
    let report = Mutex::new(Report::default());
    let jobs = Mutex::new(jobs.into_iter());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some((group, mode)) = next(&jobs) {
                    run_group(group, mode, &wanted, &report);
                }
            });
        }
    });
    let report = report.into_inner().unwrap_or_default();
    finish(&report, start);
}

fn next<T>(jobs: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    jobs.lock().ok()?.next()
}

fn name_of(group: &Group, case: &str, mode: Mode) -> String {
    let mode = match mode {
        Mode::Embedded => "embedded",
        Mode::Daemon => "daemon",
    };
    format!("{}::{case}::{mode}", group.name)
}

fn run_group(group: &Group, mode: Mode, wanted: &Wanted, report: &Mutex<Report>) {
    let named = |case: &str| name_of(group, case, mode);
    let (chosen, others): (Vec<_>, Vec<_>) = group
        .cases
        .iter()
        .partition(|case| wanted.takes(&named(&case.name)));
    if let Ok(mut report) = report.lock() {
        report.filtered += others.len();
    }
    if chosen.is_empty() {
        return;
    }
    let mut server = None;
    let start = || server = Some((group.server)(mode).start());
    if let Err(failure) = attempt(start) {
        note(report, &named("the_server_starts"), Err(failure));
        return;
    }
    let Some(mut server) = server else { return };
    for case in chosen {
        let logged = server.log().text().len();
        let outcome = attempt(|| (case.check)(&mut server, mode));
        let outcome = outcome.map_err(|failure| with_log(failure, &server, logged));
        note(report, &named(&case.name), outcome);
    }
    let end = attempt(|| drop(server));
    note(report, &named("nothing_is_left_behind"), end);
}

/// The panic's message, if there is one.
fn attempt(work: impl FnOnce()) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|_| PANIC.with(|panic| std::mem::take(&mut *panic.borrow_mut())))
}

fn with_log(failure: String, server: &Server, logged: usize) -> String {
    let log = server.log().text();
    let since = log.get(logged..).unwrap_or_default();
    format!("{failure}\n--- logged meanwhile ---\n{since}")
}

fn note(report: &Mutex<Report>, name: &str, outcome: Result<(), String>) {
    let difference = take_difference();
    let Ok(mut report) = report.lock() else {
        return;
    };
    match outcome {
        Ok(()) => {
            report.passed += 1;
            match difference {
                Some(why) => {
                    report.differing += 1;
                    println!("test {name} ... ok (mod_wsgi differs: {why})");
                }
                None => println!("test {name} ... ok"),
            }
        }
        Err(failure) => {
            println!("test {name} ... FAILED");
            report.failures.push((name.to_owned(), failure));
        }
    }
}

fn finish(report: &Report, start: Instant) {
    for (name, failure) in &report.failures {
        println!("\n---- {name} ----\n{failure}");
    }
    if !report.failures.is_empty() {
        println!("\nfailures:");
        for (name, _) in &report.failures {
            println!("    {name}");
        }
    }
    if report.differing > 0 {
        println!("\n{} cases differ on purpose", report.differing);
    }
    let failed = report.failures.len();
    println!(
        "\ntest result: {}. {} passed; {failed} failed; 0 ignored; 0 measured; {} filtered out; \
         finished in {:.2}s\n",
        if failed == 0 { "ok" } else { "FAILED" },
        report.passed,
        report.filtered,
        start.elapsed().as_secs_f64()
    );
    if failed > 0 {
        std::process::exit(101);
    }
}
