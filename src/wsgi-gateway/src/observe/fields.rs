//! What metrics are called, and how they follow from a sample: for applications and for telemetry.
//!
//! Pure functions but for the questions about memory and processor time. The names are mod_wsgi's
//! (Internal Metrics API); the numbers are those of its telemetry records.

use super::phase::{BUCKETS, Phase};
use super::sample::{self, Sample, Totals};
use super::worker::Window;
use crate::wsgi::now;
use wsgi_unix::usage::ProcessorTime;

/// The value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// There is none.
    None,
    /// A whole number.
    Count(u64),
    /// Seconds, or a ratio.
    Number(f64),
    /// One whole number per class or thread.
    Counts(Vec<u32>),
    /// One number per thread.
    Numbers(Vec<f64>),
    /// A text.
    Text(Vec<u8>),
    /// Yes or no.
    Truth(bool),
}

/// A field of a sample with its name and its number in telemetry records; 0: not there.
type Field = (&'static str, u16, Value);

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

/// What both readers get.
pub fn common(sample: &Sample) -> Vec<Field> {
    let sum = &sample.sum;
    let (resident, most_resident) = sample::memory();
    let processor = sample.processor;
    let per_slot =
        |value: fn(&Window) -> f64| Value::Numbers(sample.slots.iter().map(value).collect());
    let completed = sample.slots.iter().map(|slot| slot.completed as u32);
    vec![
        ("sample_period", 10, Value::Number(sample.seconds())),
        ("request_count", 20, Value::Count(sum.completed)),
        (
            "request_throughput",
            21,
            Value::Number(sum.completed as f64 / sample.seconds()),
        ),
        (
            "capacity_utilization",
            22,
            Value::Number(sample.utilization()),
        ),
        (
            "cpu_user_utilization",
            30,
            Value::Number(sample.share(processor.user)),
        ),
        (
            "cpu_system_utilization",
            31,
            Value::Number(sample.share(processor.system)),
        ),
        (
            "cpu_utilization",
            32,
            Value::Number(sample.share(processor.total())),
        ),
        ("memory_rss", 40, Value::Count(resident)),
        ("memory_max_rss", 41, Value::Count(most_resident)),
        (
            "request_threads_maximum",
            50,
            Value::Count(sample.slots.len() as u64),
        ),
        ("request_threads_started", 51, Value::Count(sample.threads)),
        ("request_threads_active", 52, Value::Count(sample.active)),
        ("input_bytes", 100, Value::Count(sum.input.0)),
        ("input_reads", 101, Value::Count(sum.input.1)),
        ("output_bytes", 102, Value::Count(sum.output.0)),
        ("output_writes", 103, Value::Count(sum.output.1)),
        (
            "request_threads_completed",
            110,
            Value::Counts(completed.collect()),
        ),
        (
            "request_threads_busy_time",
            111,
            per_slot(|slot| seconds(slot.busy)),
        ),
        (
            "request_threads_cpu_time",
            112,
            per_slot(|slot| seconds(slot.processor)),
        ),
        (
            "request_threads_current_elapsed",
            113,
            per_slot(|slot| seconds(slot.running)),
        ),
        (
            "request_threads_max_duration",
            114,
            per_slot(|slot| seconds(slot.longest)),
        ),
        ("status_1xx", 120, Value::Count(sum.statuses[0])),
        ("status_2xx", 121, Value::Count(sum.statuses[1])),
        ("status_3xx", 122, Value::Count(sum.statuses[2])),
        ("status_4xx", 123, Value::Count(sum.statuses[3])),
        ("status_5xx", 124, Value::Count(sum.statuses[4])),
    ]
}

/// What a phase took in one request of a sample, on average, seconds.
pub fn mean(sample: &Sample, phase: Phase) -> f64 {
    let total = sample.sum.spans[phase as usize].total;
    seconds(total) / sample.sum.completed.max(1) as f64
}

/// The histogram of a phase.
pub fn buckets(sample: &Sample, phase: Phase) -> [u32; BUCKETS] {
    sample.sum.spans[phase as usize].buckets
}

/// The shortest and the longest time that a phase took, microseconds.
pub fn extremes(sample: &Sample, phase: Phase) -> Option<(u64, u64)> {
    let span = &sample.sum.spans[phase as usize];
    (span.count > 0).then_some((span.least, span.most))
}

macro_rules! phase_names {
    ($($name:literal),*) => {
        /// The names of a phase's metrics: mean, shortest, longest, histogram.
        const PHASE_NAMES: [[&str; 4]; Phase::COUNT] = [
            $([$name, concat!($name, "_min_us"), concat!($name, "_max_us"), concat!($name, "_buckets")]),*
        ];
    };
}

phase_names!(
    "server_time",
    "queue_time",
    "daemon_time",
    "application_time",
    "request_time",
    "gil_wait_time",
    "input_read_time",
    "output_write_time"
);

/// `request_metrics()`.
pub fn of_requests(sample: &Sample) -> Vec<(&'static str, Value)> {
    let embedded = super::is_embedded();
    let mut fields = vec![
        ("pid", Value::Count(std::process::id().into())),
        ("start_time", Value::Number(seconds(sample.start))),
        ("stop_time", Value::Number(seconds(sample.stop))),
        ("gil_wait_count", Value::Count(sample.sum.waits)),
    ];
    for (name, _, value) in common(sample) {
        // These have a second name from earlier versions.
        let alias = match name {
            "cpu_user_utilization" => Some("cpu_user_time"),
            "cpu_system_utilization" => Some("cpu_system_time"),
            "cpu_utilization" => Some("cpu_time"),
            "request_threads_completed" => Some("request_threads_buckets"),
            _ => None,
        };
        fields.extend(alias.map(|alias| (alias, value.clone())));
        fields.push((name, value));
    }
    for (phase, [name, least, most, histogram]) in Phase::ALL.into_iter().zip(PHASE_NAMES) {
        let absent = embedded && phase.is_daemons();
        let time = Value::Number(mean(sample, phase));
        fields.push((name, if absent { Value::None } else { time }));
        let (shortest, longest) = match extremes(sample, phase) {
            Some((shortest, longest)) => (Value::Count(shortest), Value::Count(longest)),
            None => (Value::None, Value::None),
        };
        fields.push((least, shortest));
        fields.push((most, longest));
        fields.push((histogram, Value::Counts(buckets(sample, phase).into())));
    }
    fields
}

/// `process_metrics()`, but for its threads.
pub fn of_process(begun: u64, totals: &Totals) -> Vec<(&'static str, Value)> {
    let at = now();
    let processor = ProcessorTime::of_process();
    let (resident, most_resident) = sample::memory();
    vec![
        ("pid", Value::Count(std::process::id().into())),
        ("request_busy_time", Value::Number(seconds(totals.busy))),
        ("request_count", Value::Count(totals.requests)),
        ("memory_rss", Value::Count(resident)),
        ("memory_max_rss", Value::Count(most_resident)),
        ("cpu_user_time", Value::Number(processor.user.as_secs_f64())),
        (
            "cpu_system_time",
            Value::Number(processor.system.as_secs_f64()),
        ),
        ("cpu_time", Value::Number(processor.total().as_secs_f64())),
        ("restart_time", Value::Number(seconds(begun))),
        ("current_time", Value::Number(seconds(at))),
        (
            "running_time",
            Value::Count(at.saturating_sub(begun) / 1_000_000),
        ),
        ("request_threads", Value::Count(totals.threads.len() as u64)),
        ("active_requests", Value::Count(totals.active)),
    ]
}
