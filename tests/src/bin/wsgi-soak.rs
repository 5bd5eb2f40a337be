//! Runs the soak for as long as asked and tells what it saw; see [`wsgi_tests::soak`].
//!
//! Called by `ci/soak`, which builds and installs what is tested. Prints a line a cycle and the
//! verdict; fails if anything was lost or grew.

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use wsgi_tests::soak;

/// One of each disturbance a minute.
const CYCLE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let minutes = env::args().nth(1).map_or(Ok(30), |text| text.parse());
    let Ok(minutes) = minutes else {
        eprintln!("usage: wsgi-soak [minutes]");
        return ExitCode::from(2);
    };
    let total = Duration::from_secs(60 * minutes);
    let verdict = soak::run(total, CYCLE, |line| println!("{line}"));
    println!(
        "{} requests were answered, {} were lost with a process that was killed",
        verdict.succeeded, verdict.killed
    );
    for complaint in &verdict.complaints {
        println!("{complaint}");
    }
    println!("complaints: {}", verdict.complaints.len());
    if verdict.complaints.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
