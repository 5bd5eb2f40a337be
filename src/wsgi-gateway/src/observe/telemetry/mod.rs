//! Reports of what the process does to a service outside of the server (WSGITelemetryService).
//!
//! One thread per process samples all others at intervals; it never calls Python. Nobody waits for
//! the service: a datagram that it does not take is lost.

mod collector;
mod record;

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wsgi_wire::launch::{GatewayConfig, Telemetry};

pub use self::collector::FUNCTIONS;
use self::record::{Kind, LONGEST, Record};
use super::fields::{self, Value};
use super::phase::Phase;
use super::sample::{self, Sample};
use super::slow::{Figures, SlowRequest, TEXTS};
use super::{METRICS, PROCESS, watch, worker};
use crate::log::{self, level};
use crate::objects::MOD_WSGI_VERSION;
use crate::python::Description;
use crate::wsgi::now;

struct Reporter {
    socket: UnixDatagram,
    service: PathBuf,
    sequence: AtomicU32,
    identity: Vec<(u16, Vec<u8>)>,
    parent: u32,
    switch_interval: f64,
    telemetry: Telemetry,
}

static REPORTER: OnceLock<Reporter> = OnceLock::new();

/// Begins to report, if the configuration asks for it. Only the first call counts.
pub fn begin(config: &GatewayConfig, interpreter: impl FnOnce() -> Description) {
    let Some(telemetry) = &config.telemetry else {
        return;
    };
    let reporter = match Reporter::new(config, telemetry, interpreter()) {
        Ok(reporter) => reporter,
        Err(error) => {
            let line = format!("cannot report to the telemetry service: {error}");
            return log::to_process(level::WARNING, line.as_bytes());
        }
    };
    if REPORTER.set(reporter).is_err() {
        return;
    }
    watch(METRICS);
    let Some(reporter) = REPORTER.get() else {
        return;
    };
    reporter.started();
    let thread = thread::Builder::new().name("wsgi-telemetry".to_owned());
    if let Err(error) = thread.spawn(|| reporter.run()) {
        let line =
            format!("cannot start the thread that reports to the telemetry service: {error}");
        log::to_process(level::WARNING, line.as_bytes());
    }
}

/// Reports that the process is about to end, and why (`shutdown_reason`; empty in Apache's own).
pub fn stopping(reason: &str) {
    if let Some(reporter) = REPORTER.get() {
        let mut record = reporter.record(Kind::Stopping);
        reporter.add_end(&mut record, reason);
        record.count(133, sample::totals().active);
        reporter.send(&record);
    }
}

/// Reports what is left and that the process ends.
pub fn stopped(reason: &str) {
    let (Some(reporter), Some(process)) = (REPORTER.get(), PROCESS.get()) else {
        return;
    };
    reporter.report();
    let totals = sample::totals();
    let mut record = reporter.record(Kind::Stopped);
    reporter.add_end(&mut record, reason);
    record.number(131, seconds(now().saturating_sub(process.begun())));
    record.count(132, totals.requests);
    record.count(134, totals.active);
    record.count(135, u64::from(totals.active == 0));
    reporter.send(&record);
}

const PROCESS_GROUP: u16 = 6;
const HOST: u16 = 5;
const REASON: u16 = 130;

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

impl Reporter {
    fn new(
        config: &GatewayConfig,
        telemetry: &Telemetry,
        interpreter: Description,
    ) -> io::Result<Reporter> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        let [major, minor, patch] = MOD_WSGI_VERSION;
        let (apache_major, apache_minor, apache_patch) = (
            config.apache_major,
            config.apache_minor,
            config.apache_patch,
        );
        let apache = format!("Apache/{apache_major}.{apache_minor}.{apache_patch}");
        let mut identity = vec![
            (1, format!("{major}.{minor}.{patch}").into_bytes()),
            (2, interpreter.version.into_bytes()),
            (3, apache.into_bytes()),
            (4, config.server.mpm_name.clone()),
            (HOST, wsgi_unix::process::host_name()),
        ];
        if !config.process_group.is_empty() {
            identity.push((PROCESS_GROUP, config.process_group.clone()));
        }
        Ok(Reporter {
            socket,
            service: Path::new(OsStr::from_bytes(&telemetry.socket)).to_owned(),
            sequence: AtomicU32::new(0),
            identity,
            parent: config.server.pid,
            switch_interval: interpreter.switch_interval,
            telemetry: telemetry.clone(),
        })
    }

    fn record(&self, kind: Kind) -> Record {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        Record::begin(kind, std::process::id(), sequence, seconds(now()))
    }

    fn add_identity(&self, record: &mut Record) {
        for (id, text) in &self.identity {
            record.text(*id, text);
        }
        record.count(7, self.parent.into());
    }

    fn add_end(&self, record: &mut Record, reason: &str) {
        let told = |(id, _): &&(u16, Vec<u8>)| matches!(*id, HOST | PROCESS_GROUP);
        for (id, text) in self.identity.iter().filter(told) {
            record.text(*id, text);
        }
        if !reason.is_empty() {
            record.text(REASON, reason.as_bytes());
        }
    }

    /// A service that is not there, or does not keep up, is no concern of ours.
    fn send(&self, record: &Record) {
        let bytes = record.bytes();
        if bytes.len() <= LONGEST {
            let _ = self.socket.send_to(bytes, &self.service);
        }
    }

    fn started(&self) {
        let mut record = self.record(Kind::Started);
        self.add_identity(&mut record);
        record.number(13, self.switch_interval);
        self.send(&record);
    }

    fn run(&self) {
        let interval = self.telemetry.interval;
        let mut next = Instant::now() + interval;
        loop {
            thread::park_timeout(next.saturating_duration_since(Instant::now()));
            if Instant::now() >= next {
                self.report();
                next += interval;
            }
        }
    }

    fn report(&self) {
        if let Some(sample) = Sample::take() {
            self.send_sample(&sample);
        }
        if let Some(threshold) = sample::slow_threshold() {
            self.send_slow(threshold);
        }
    }

    fn send_sample(&self, sample: &Sample) {
        let mut record = self.record(Kind::Sample);
        self.add_identity(&mut record);
        record.number(11, self.telemetry.interval.as_secs_f64());
        if self.telemetry.slow > Duration::ZERO {
            record.number(12, self.telemetry.slow.as_secs_f64());
        }
        record.number(13, self.switch_interval);
        for (_, id, value) in fields::common(sample) {
            match value {
                Value::None | Value::Truth(_) => {}
                Value::Text(text) => record.text(id, &text),
                Value::Count(count) => record.count(id, count),
                Value::Number(number) => record.number(id, number),
                // The time of each thread is told for as many as fit into a record.
                Value::Counts(counts) => record.counts(id, &counts[..counts.len().min(SLOTS)]),
                Value::Numbers(numbers) => record.numbers(id, &numbers[..numbers.len().min(SLOTS)]),
            }
        }
        for (offset, phase) in (0_u16..).zip(Phase::ALL) {
            if super::is_embedded() && phase.is_daemons() {
                continue;
            }
            record.number(60 + offset, fields::mean(sample, phase));
            if let Some((least, most)) = fields::extremes(sample, phase) {
                record.number(70 + offset, seconds(least));
                record.number(80 + offset, seconds(most));
            }
            record.counts(90 + offset, &fields::buckets(sample, phase));
        }
        self.send(&record);
    }

    fn send_slow(&self, threshold: u64) {
        let at = now();
        let active = sample::totals().active;
        for worker in worker::all() {
            let (finished, running) = worker.take_slow(at, threshold);
            for finished in finished {
                self.send_one(&finished.request, &finished.figures, Some(active + 1));
            }
            if let Some(running) = running
                && let Some(request) = &running.slow
            {
                let figures = sample::running_figures(&running, worker.thread, request, at);
                self.send_one(request, &figures, None);
            }
        }
    }

    /// `active_at_end` tells of a request that has ended.
    fn send_one(&self, request: &SlowRequest, figures: &Figures, active_at_end: Option<u64>) {
        let phase = |phase: Phase| seconds(figures.phases[phase as usize].unwrap_or(0));
        let mut record = self.record(Kind::Slow);
        record.count(200, u64::from(active_at_end.is_some()));
        record.number(201, seconds(request.request_start));
        record.number(202, seconds(figures.took));
        record.count(203, figures.thread);
        record.count(205, request.server_pid);
        record.count(230, figures.input.0);
        record.count(231, figures.input.1);
        record.count(232, figures.output.0);
        record.count(233, figures.output.1);
        record.number(250, figures.processor.0);
        record.number(251, figures.processor.1);
        record.number(220, phase(Phase::Server));
        record.number(221, phase(Phase::Queue));
        record.number(222, phase(Phase::Daemon));
        record.number(223, phase(Phase::Application));
        record.number(224, phase(Phase::GilWait));
        record.count(225, figures.waits);
        record.number(234, phase(Phase::InputRead));
        record.number(235, phase(Phase::OutputWrite));
        record.count(260, request.active_at_start);
        record.count(261, active_at_end.unwrap_or(0));
        record.count(240, figures.status.into());
        for ((_, id), text) in TEXTS.iter().zip(&request.texts) {
            if !text.is_empty() {
                record.text(*id, text);
            }
        }
        self.send(&record);
    }
}

/// How many threads a record tells of one by one.
const SLOTS: usize = 128;
