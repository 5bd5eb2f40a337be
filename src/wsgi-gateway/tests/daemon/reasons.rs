//! What ends a process, each by itself, and the `shutdown_reason` that applications are told.

use std::fs;
use std::time::Duration;

use wsgi_unix::process::Ended;
use wsgi_wire::launch::{DaemonConfig, Drawn, REPLACED_STATUS};

use super::harness::{Child, Daemon, Request, Setup, newest_python, wait_until};
use super::script;

/// Leaves the reason in a file, and another file by atexit.
const TELLS_WHY: &str = "import atexit, os\n\
     import mod_wsgi\n\
     def leave(name, text=''):\n    \
         with open(os.path.join(os.path.dirname(__file__), name), 'a') as file:\n        \
             file.write(text)\n\
     @mod_wsgi.subscribe_shutdown\n\
     def told(name, **event):\n    \
         leave('reason', event['shutdown_reason'])\n\
     @mod_wsgi.subscribe_signals\n\
     def signalled(name, **event):\n    \
         leave('signalled', event['signame'])\n\
     atexit.register(leave, 'exited')\n\
     memory = []\n\
     def grows(environ, start_response):\n    \
         memory.append(b'x' * (64 << 20))\n    \
         return hello(environ, start_response)\n";

/// What is done to a process.
enum Trigger {
    Signal(i32),
    MonitorsEnd,
    ChangedScript,
    Requests(&'static str),
    Nothing,
}

/// The settings, what is done, the reason, and the exit status.
type Case = (fn(&mut DaemonConfig), Trigger, &'static str, i32);

fn nothing_set(_: &mut DaemonConfig) {}

fn at(least: u32) -> Drawn {
    Drawn { least, jitter: 0 }
}

const CASES: [Case; 11] = [
    (
        nothing_set,
        Trigger::Signal(libc::SIGTERM),
        "shutdown_signal",
        0,
    ),
    (
        nothing_set,
        Trigger::Signal(libc::SIGINT),
        "shutdown_signal",
        REPLACED_STATUS,
    ),
    (
        nothing_set,
        Trigger::Signal(libc::SIGUSR1),
        "graceful_signal",
        REPLACED_STATUS,
    ),
    (
        |config| config.settings.eviction_timeout = Duration::from_secs(5),
        Trigger::Signal(libc::SIGUSR1),
        "eviction_signal",
        REPLACED_STATUS,
    ),
    (
        nothing_set,
        Trigger::Signal(libc::SIGXCPU),
        "cpu_time_limit",
        REPLACED_STATUS,
    ),
    (
        nothing_set,
        Trigger::MonitorsEnd,
        "shutdown_signal",
        REPLACED_STATUS,
    ),
    (
        nothing_set,
        Trigger::ChangedScript,
        "script_reload",
        REPLACED_STATUS,
    ),
    (
        |config| config.settings.maximum_requests = at(3),
        Trigger::Requests("/hello"),
        "maximum_requests",
        REPLACED_STATUS,
    ),
    (
        |config| config.settings.restart_interval = at(1),
        Trigger::Nothing,
        "restart_interval",
        REPLACED_STATUS,
    ),
    (
        |config| config.settings.recycle_memory = 48 << 20,
        Trigger::Requests("/grows"),
        "recycle_memory",
        REPLACED_STATUS,
    ),
    (
        |config| config.settings.inactivity_timeout = Duration::from_millis(100),
        Trigger::Nothing,
        "inactivity_timeout",
        REPLACED_STATUS,
    ),
];

fn pull(trigger: &Trigger, daemon: &mut Daemon, child: &Child) {
    match trigger {
        Trigger::Signal(signal) => daemon.signal(*signal),
        Trigger::MonitorsEnd => daemon.lose_monitor(),
        Trigger::ChangedScript => {
            let text = fs::read_to_string(&daemon.script).expect("the script");
            wait_until("the file's time differs", || {
                fs::write(&daemon.script, format!("{text}\n# changed\n")).expect("ours");
                !child.ask(&Request::get("/hello")).is_whole()
            });
        }
        Trigger::Requests(path) => {
            for _ in 0..3 {
                if !child.ask(&Request::get(path)).is_whole() {
                    break;
                }
            }
        }
        Trigger::Nothing => {}
    }
}

#[test]
fn every_trigger_ends_the_process_in_order_and_with_its_reason() {
    for (settings, trigger, reason, status) in CASES {
        let setup = Setup::new(newest_python(), &script(TELLS_WHY)).with(settings);
        let mut daemon = setup.start();
        let child = daemon.connect();
        assert!(child.ask(&Request::get("/hello")).is_whole(), "{reason}");
        pull(&trigger, &mut daemon, &child);
        assert_eq!(daemon.ended(), Ended::Exit(status), "{reason}");
        let told = fs::read_to_string(daemon.file("reason")).unwrap_or_default();
        assert_eq!(told, reason, "{}", daemon.log());
        assert!(daemon.file("exited").exists(), "{reason}: atexit");
    }
}

#[test]
fn an_application_that_is_still_loading_is_told_of_startup_timeout() {
    let loads_for_ever = format!("{TELLS_WHY}\nimport threading\nthreading.Event().wait()\n");
    let setup = Setup::new(newest_python(), &loads_for_ever).with(|config| {
        config.settings.startup_timeout = Duration::from_millis(300);
        config.settings.shutdown_timeout = Duration::from_millis(300);
    });
    let mut daemon = setup.start();
    let child = daemon.connect();
    child.send(&Request::get("/"));
    assert_eq!(daemon.ended(), Ended::Exit(1));
    let told = fs::read_to_string(daemon.file("reason")).unwrap_or_default();
    assert_eq!(told, "startup_timeout", "{}", daemon.log());
}

#[test]
fn an_applications_signals_end_nothing_and_are_told() {
    let mut daemon = Daemon::start(newest_python(), &script(TELLS_WHY));
    let child = daemon.connect();
    assert!(child.ask(&Request::get("/hello")).is_whole());
    for (signal, name) in [(libc::SIGHUP, "SIGHUP"), (libc::SIGUSR2, "SIGUSR2")] {
        daemon.signal(signal);
        wait_until(name, || {
            fs::read_to_string(daemon.file("signalled")).is_ok_and(|told| told.contains(name))
        });
    }
    assert!(daemon.is_running());
    assert!(child.ask(&Request::get("/hello")).is_whole());
}

#[test]
fn eviction_timeout_and_not_graceful_timeout_bounds_an_eviction() {
    let stuck = "import threading\n\
                 def stuck(environ, start_response):\n    \
                     start_response('200 OK', [])\n    \
                     threading.Event().wait()\n";
    let setup = Setup::new(newest_python(), &script(stuck)).with(|config| {
        config.settings.eviction_timeout = Duration::from_millis(50);
        config.settings.shutdown_timeout = Duration::from_millis(50);
        config.settings.graceful_timeout = Duration::from_secs(10_000);
    });
    let mut daemon = setup.start();
    let child = daemon.connect();
    child.send(&Request::get("/stuck"));
    wait_until("the request runs", || daemon.active() == 1);
    daemon.signal(libc::SIGUSR1);
    assert_eq!(daemon.ended(), Ended::Exit(REPLACED_STATUS));
}

#[test]
fn a_process_under_load_answers_hardly_more_than_maximum_requests() {
    const LIMIT: u32 = 200;
    let setup = Setup::new(newest_python(), &script(""))
        .threads(4)
        .with(|config| config.settings.maximum_requests = at(LIMIT));
    let mut daemon = setup.start();
    let connect = daemon.connector();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // Until the process takes no more.
                let child = connect();
                while child.ask(&Request::get("/hello")).is_whole() {}
            });
        }
    });
    assert_eq!(daemon.ended(), Ended::Exit(REPLACED_STATUS));
    let served = daemon.served();
    // How many pass until the main thread has run is the scheduler's choice.
    assert!(served >= u64::from(LIMIT), "{served}");
    assert!(served < u64::from(LIMIT) * 10, "{served}");
}
