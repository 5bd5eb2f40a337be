//! Metrics that applications ask for, and those that a telemetry service gets.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;
use std::{fs, thread};

use wsgi_tests::apache::{compat, only_ours};
use wsgi_tests::{Mode, Request, Server, wait};

use crate::support::{facts_of, serving};

fn number(metrics: &BTreeMap<String, String>, name: &str) -> f64 {
    let value = metrics
        .get(name)
        .unwrap_or_else(|| panic!("{name} in {metrics:?}"));
    value
        .parse()
        .unwrap_or_else(|_| panic!("{name} is {value}"))
}

fn list(metrics: &BTreeMap<String, String>, name: &str) -> Vec<f64> {
    let inner = metrics[name].trim_matches(['[', ']']);
    let numbers = inner.split(", ").filter(|part| !part.is_empty());
    numbers
        .map(|part| part.parse().expect("a number"))
        .collect()
}

const PHASES: [&str; 8] = [
    "server",
    "queue",
    "daemon",
    "application",
    "request",
    "gil_wait",
    "input_read",
    "output_write",
];

in_both_modes! {
    fn there_are_no_metrics_before_recording_starts(mode) {
        let server = serving(mode, "metrics").start();
        assert_eq!(server.text("/?request"), "None");
        assert_eq!(server.text("/?process"), "None");
        assert_eq!(server.text("/?start"), "(None, None)");
        assert_ne!(server.text("/?request"), "None");
    }

    fn the_metrics_of_an_interval_tell_what_its_requests_did(mode) {
        let mut server = serving(mode, "metrics").start();
        server.expect_traceback("counted as a server's error");
        server.get("/?start");
        server.get("/?request");
        server.send(&Request::post("/?200", "four"));
        server.send(&Request::post("/?404", "and six"));
        server.get("/?raise");
        let metrics = facts_of(&server.text("/?request"));
        // The question before is counted when it has been answered.
        assert_eq!(number(&metrics, "request_count"), 4.0);
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        let counts = classes.map(|class| number(&metrics, &format!("status_{class}")));
        assert_eq!(counts, [0.0, 2.0, 0.0, 1.0, 1.0]);
        assert_eq!(number(&metrics, "input_bytes"), 11.0);
        assert!(number(&metrics, "input_reads") >= 2.0);
        assert!(number(&metrics, "output_writes") >= 3.0);
        assert!(number(&metrics, "sample_period") > 0.0);
        assert_eq!(list(&metrics, "request_threads_completed").iter().sum::<f64>(), 4.0);
        let threads = number(&metrics, "request_threads_maximum");
        for per_thread in ["completed", "busy_time", "cpu_time", "current_elapsed", "max_duration"] {
            let name = format!("request_threads_{per_thread}");
            assert_eq!(list(&metrics, &name).len() as f64, threads, "{name}");
        }
        // The question itself runs while it is answered.
        assert!(list(&metrics, "request_threads_current_elapsed").iter().sum::<f64>() > 0.0);
        let utilization = number(&metrics, "capacity_utilization");
        assert!(utilization > 0.0 && utilization < 1.0, "{utilization}");
    }

    fn every_phase_of_a_request_is_timed(mode) {
        let server = serving(mode, "metrics").start();
        server.get("/?start");
        server.get("/?200");
        let metrics = facts_of(&server.text("/?request"));
        for phase in PHASES {
            let mean = &metrics[&format!("{phase}_time")];
            let daemons = matches!(phase, "queue" | "daemon");
            assert_eq!(mean == "None", daemons && mode == Mode::Embedded, "{phase}: {mean}");
            let buckets = list(&metrics, &format!("{phase}_time_buckets"));
            assert_eq!(buckets.len(), 65, "{phase}");
            assert!(metrics.contains_key(&format!("{phase}_time_min_us")), "{phase}");
            assert!(metrics.contains_key(&format!("{phase}_time_max_us")), "{phase}");
        }
        let whole = number(&metrics, "request_time");
        assert!(whole >= number(&metrics, "application_time"), "{whole}");
    }

    fn the_metrics_of_a_process_are_those_of_its_life(mode) {
        let server = serving(mode, "metrics").start();
        server.get("/?start");
        server.get("/?200");
        server.get("/?200");
        server.get("/?request");
        let metrics = facts_of(&server.text("/?process"));
        assert!(number(&metrics, "request_count") >= 3.0);
        assert_eq!(number(&metrics, "active_requests"), 1.0);
        assert!(number(&metrics, "memory_rss") > 1e6);
        assert!(number(&metrics, "memory_max_rss") > 1e6);
        assert!(number(&metrics, "cpu_time") > 0.0);
        assert!(number(&metrics, "running_time") >= 0.0);
        assert!(number(&metrics, "current_time") >= number(&metrics, "restart_time"));
        assert!(metrics["threads"].contains("'request_count': "), "{}", metrics["threads"]);
        let names = "pid request_busy_time cpu_user_time cpu_system_time request_threads";
        for name in names.split(' ') {
            number(&metrics, name);
        }
    }

    fn the_scoreboard_is_given_where_the_configuration_allows_it(mode) {
        let server = with_scoreboard(mode, "On");
        let facts = facts_of(&server.text("/"));
        let keys = "['current_time', 'processes', 'restart_time', 'running_generation', \
                    'running_time', 'server_limit', 'thread_limit']";
        assert_eq!(facts["keys"], keys);
        let keys = "['generation', 'pid', 'process_num', 'quiescing', 'workers']";
        assert_eq!(facts["process_keys"], keys);
        let keys = "['access_count', 'bytes_served', 'client', 'generation', 'last_used', \
                    'request', 'start_time', 'status', 'stop_time', 'thread_num', 'vhost']";
        assert_eq!(facts["worker_keys"], keys);
        assert_eq!(facts["places"], facts["limit"]);
        let children: Vec<u32> = server.children().iter().map(|child| child.pid).collect();
        for child in children {
            let pids = &facts["pids"];
            assert!(mode == Mode::Daemon || pids.contains(&child.to_string()), "{child}: {pids}");
        }
        assert!(number(&facts, "busy") >= 1.0, "{facts:?}");
        assert_eq!(facts["times"], "True");
        // Its request ends as any other.
        assert_eq!(server.get("/").status(), 200);
    }

    fn the_scoreboard_is_for_nobody_else(mode) {
        assert_eq!(with_scoreboard(mode, "Off").text("/"), "None");
        let server = serving(mode, "scoreboard").start();
        assert_eq!(server.text("/"), "None");
    }

    fn a_service_is_told_of_starts_samples_and_the_end(mode) {
        let service = Service::new();
        let mut server = service.serving(mode, "hello", "interval=0.5").start();
        if compat().is_some() {
            server.allow_log("still did not exit");
        }
        server.text("/");
        // Started, a sample that has seen the request, and after the stop both words of the end.
        service.wait_for(|record| record.kind == STARTED);
        let sample = service.wait_for(|record| record.kind == SAMPLE && record.count(20) > 0);
        assert_eq!(sample.count(121), 1);
        assert_eq!(sample.text(1), "6.1.1");
        assert_eq!(sample.text(4), "event");
        assert_eq!(sample.count(7), u64::from(server.pid()));
        assert_eq!(sample.has(6), mode == Mode::Daemon);
        assert_eq!(sample.counts(94).iter().sum::<i32>(), 1);
        server.stop();
        if mode == Mode::Daemon && only_ours("a daemon may end before its last word") {
            return;
        }
        // The reason of the end is a daemon's to tell, with its group.
        service.wait_for(|record| {
            record.kind == STOPPING && [6, 130].map(|id| record.has(id)) == [mode == Mode::Daemon; 2]
        });
        let stopped = service.wait_for(|record| record.kind == STOPPED && record.count(132) > 0);
        assert_eq!(stopped.count(135), 1);
    }

    fn a_service_is_told_of_collections_and_their_collector(mode) {
        let service = Service::new();
        let script = "import gc\ngc.disable()\ngc.set_threshold(701, 11, 12)\n\
                      def application(environ, start_response):\n    gc.collect(1)\n    \
                      start_response('200 OK', [])\n    return [b'collected']\n";
        let mut server = Server::builder(mode)
            .directive(&service.directive("interval=0.5"))
            .file("apps/collecting.wsgi", script)
            .directive("WSGIScriptAlias /c @ROOT@/apps/collecting.wsgi application-group=named")
            .start();
        if compat().is_some() {
            // It collects once more when its interpreters end, and may wait for itself then.
            server.allow_log("still did not exit");
        }
        let until_collected = |meant: &dyn Fn(&Record) -> bool| {
            service.wait_for(|record| {
                server.get("/c");
                meant(record)
            })
        };
        server.get("/c");
        let collection =
            until_collected(&|record| record.kind == COLLECTION && record.count(322) == 1);
        assert_eq!(collection.text(8), "named");
        assert!(collection.number(320) > 1e9);
        assert!(collection.number(321) < 10.0);
        for id in [323, 324] {
            collection.count(id);
        }
        let state = until_collected(&|record| {
            record.kind == COLLECTOR && record.has(8) && record.count(303) == 701
        });
        assert_eq!([304, 305, 315].map(|id| state.count(id)), [11, 12, 0]);
        assert!(state.count(307) > 0);
        assert_eq!(state.fields.len(), 19);
    }

    fn a_slow_request_is_reported_while_it_runs_and_when_it_is_done(mode) {
        let service = Service::new();
        let server = service
            .serving(mode, "slow", "interval=0.5")
            .directive("WSGISlowRequests 0.2\nWSGITelemetryOptions +CaptureUserAgent")
            .start();
        let request = Request::get("/held?secret").header("User-Agent", "patient");
        thread::scope(|scope| {
            let answer = scope.spawn(|| server.send(&request).status());
            let running = service.wait_for(|record| record.kind == SLOW);
            assert_eq!((running.count(200), running.count(240)), (0, 0));
            assert!(running.number(202) >= 0.2);
            assert_eq!(running.text(210), "GET");
            assert!(!running.bytes.windows(6).any(|part| part == b"secret"));
            fs::write(server.state("go"), "").expect("the state directory is ours");
            assert_eq!(answer.join().expect("an answer"), 202);
        });
        let done = service.wait_for(|record| record.kind == SLOW && record.count(200) == 1);
        assert_eq!(done.count(240), 202);
        assert_eq!(done.count(232), 4);
        assert_eq!(done.text(217), "patient");
    }

    fn applications_get_no_metrics_where_a_service_does(mode) {
        let service = Service::new();
        let server = service.serving(mode, "metrics", "").start();
        server.get("/?start");
        assert_eq!(server.text("/?request"), "None");
        assert_eq!(server.text("/?process"), "None");
    }
}

fn with_scoreboard(mode: Mode, flag: &str) -> Server {
    let builder = serving(mode, "scoreboard");
    match mode {
        Mode::Embedded => builder.directive(&format!("WSGIServerMetrics {flag}")),
        Mode::Daemon => builder.daemon(&format!("processes=1 threads=4 server-metrics={flag}")),
    }
    .start()
}

#[test]
fn only_the_thread_of_a_request_sees_the_scoreboard_from_a_daemon() {
    if only_ours("its daemons share the memory of Apache") {
        return;
    }
    let server = with_scoreboard(Mode::Daemon, "On");
    assert_eq!(server.text("/?thread"), "None");
    let server = with_scoreboard(Mode::Embedded, "On");
    assert_ne!(server.text("/?thread"), "None");
}

#[test]
fn a_service_that_is_not_there_disturbs_nobody() {
    let server = serving(Mode::Daemon, "hello")
        .directive("WSGITelemetryService unix:@ROOT@/nobody.sock interval=0.5")
        .start();
    assert_eq!(server.text("/"), "Hello World!");
}

#[test]
fn wrong_arguments_are_named_with_their_directive() {
    if only_ours("it has sentences of its own") {
        return;
    }
    for (line, texts) in [
        ("WSGIServerMetrics Maybe", ["WSGIServerMetrics", "'Maybe'"]),
        (
            "WSGIDaemonProcess a server-metrics=1",
            ["server-metrics", "'1'"],
        ),
        ("WSGISlowRequests soon", ["WSGISlowRequests", "'soon'"]),
        (
            "WSGITelemetryService udp:host",
            ["WSGITelemetryService", "'udp:host'"],
        ),
        (
            "WSGITelemetryService unix:/s interval=0.1",
            ["WSGITelemetryService", "'0.1'"],
        ),
        (
            "WSGITelemetryOptions +Everything",
            ["WSGITelemetryOptions", "'+Everything'"],
        ),
        (
            "WSGITelemetryOptions None +CaptureUserAgent",
            ["WSGITelemetryOptions", "flags"],
        ),
    ] {
        let (right, said) = Server::builder(Mode::Embedded).directive(line).configtest();
        assert!(!right, "{line}");
        assert!(
            texts.iter().all(|text| said.contains(text)),
            "{line}: {said}"
        );
    }
}

const SAMPLE: u8 = 2;
const SLOW: u8 = 4;
const STARTED: u8 = 5;
const STOPPING: u8 = 6;
const STOPPED: u8 = 7;
const COLLECTOR: u8 = 8;
const COLLECTION: u8 = 9;

/// A service that hears what processes report.
struct Service {
    socket: UnixDatagram,
    directory: std::path::PathBuf,
}

impl Service {
    fn new() -> Service {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("/tmp/wsgi-service-{}-{number}", std::process::id());
        let directory = std::path::PathBuf::from(name);
        fs::create_dir(&directory).expect("a directory");
        let path = directory.join("socket");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        for path in [&directory, &path] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("ours");
        }
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .expect("a time-out");
        Service { socket, directory }
    }

    fn directive(&self, options: &str) -> String {
        let socket = self.directory.join("socket");
        format!("WSGITelemetryService unix:{} {options}", socket.display())
    }

    fn serving(&self, mode: Mode, app: &str, options: &str) -> wsgi_tests::Builder {
        serving(mode, app).directive(&self.directive(options))
    }

    /// The first record from now on that is meant.
    #[track_caller]
    fn wait_for(&self, meant: impl Fn(&Record) -> bool) -> Record {
        wait::until("the record", || {
            let mut bytes = vec![0; 1 << 16];
            let length = self.socket.recv(&mut bytes).ok()?;
            let record = Record::read(&bytes[..length]);
            meant(&record).then_some(record)
        })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A record as a receiver reads it.
struct Record {
    kind: u8,
    fields: BTreeMap<u16, (u8, Vec<u8>)>,
    bytes: Vec<u8>,
}

impl Record {
    fn read(bytes: &[u8]) -> Record {
        assert_eq!(&bytes[..5], b"WSGI\x01");
        let mut fields = BTreeMap::new();
        let mut rest = &bytes[24..];
        while rest.len() >= 3 {
            let id = u16::from_le_bytes([rest[0], rest[1]]);
            let kind = rest[2];
            let (from, length) = match kind {
                1..=3 => (3, 8),
                _ => {
                    let count = usize::from(u16::from_le_bytes([rest[3], rest[4]]));
                    let size = match kind {
                        4 => 1,
                        5 => 4,
                        6 => 8,
                        other => panic!("type {other}"),
                    };
                    (5, count * size)
                }
            };
            fields.insert(id, (kind, rest[from..from + length].to_vec()));
            rest = &rest[from + length..];
        }
        assert!(rest.is_empty());
        Record {
            kind: bytes[5],
            fields,
            bytes: bytes.to_vec(),
        }
    }

    fn has(&self, id: u16) -> bool {
        self.fields.contains_key(&id)
    }

    fn field(&self, id: u16, kind: u8) -> &[u8] {
        let (found, value) = &self.fields[&id];
        assert_eq!(*found, kind, "type of {id}");
        value
    }

    fn count(&self, id: u16) -> u64 {
        u64::from_le_bytes(self.field(id, 1).try_into().expect("8 bytes"))
    }

    fn number(&self, id: u16) -> f64 {
        f64::from_le_bytes(self.field(id, 2).try_into().expect("8 bytes"))
    }

    fn text(&self, id: u16) -> String {
        String::from_utf8_lossy(self.field(id, 4)).into_owned()
    }

    fn counts(&self, id: u16) -> Vec<i32> {
        let chunks = self.field(id, 5).chunks_exact(4);
        chunks
            .map(|bytes| i32::from_le_bytes(bytes.try_into().expect("4 bytes")))
            .collect()
    }
}
