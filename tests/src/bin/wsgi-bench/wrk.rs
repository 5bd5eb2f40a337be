//! The load: one run of wrk, with everything it measured.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::workload::Workload;

/// What wrk measured.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// Requests that were answered.
    pub requests: f64,
    /// Seconds it took.
    pub seconds: f64,
    /// Half of the answers were there after so many microseconds.
    pub p50: f64,
    /// All but one in a hundred were.
    pub p99: f64,
}

/// Runs the workload for so many seconds; an answer that fails is an error.
pub fn run(
    workload: &Workload,
    port: u16,
    connections: u32,
    seconds: u32,
) -> Result<Measured, String> {
    let script = script(workload)?;
    let output = Command::new("wrk")
        .args(["-t", "1", "-c", &connections.to_string()])
        .args(["-d", &format!("{seconds}s"), "--timeout", "20s", "-s"])
        .arg(&script)
        .arg(format!("http://127.0.0.1:{port}/{}", workload.path))
        .output()
        .map_err(|error| format!("wrk (Debian: wrk): {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("figures"));
    let figures: Vec<f64> = line
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    match figures[..] {
        [requests, micros, p50, p99, 0.0] if requests > 0.0 => Ok(Measured {
            requests,
            seconds: micros / 1e6,
            p50,
            p99,
        }),
        _ => Err(format!(
            "{}: not every request was answered: {text}",
            workload.name
        )),
    }
}

fn script(workload: &Workload) -> Result<PathBuf, String> {
    let name = format!("wsgi-bench-{}-{}.lua", std::process::id(), workload.name);
    let path = std::env::temp_dir().join(name);
    fs::write(&path, workload.script()).map_err(|error| error.to_string())?;
    Ok(path)
}
