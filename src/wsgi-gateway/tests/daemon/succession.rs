//! Processes that are followed by others: what they ask of the monitor, and what they do meanwhile.

use std::fs;
use std::time::{Duration, SystemTime};

use wsgi_unix::process::Ended;
use wsgi_wire::launch::{REPLACED_STATUS, UNLOADABLE_STATUS, VERSION_STATUS};
use wsgi_wire::supervision::{Inheritance, Order, Report};

use super::harness::{Daemon, Message, Request, Setup, newest_python, wait_until};
use super::script;

/// Replaces text of the script, and its time.
fn edit(daemon: &Daemon, from: &str, to: &str) {
    let text = fs::read_to_string(&daemon.script).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&daemon.script, text.replace(from, to)).unwrap();
    let file = fs::File::options()
        .write(true)
        .open(&daemon.script)
        .unwrap();
    let later = SystemTime::now() + Duration::from_secs(10);
    file.set_modified(later).unwrap();
}

const WORD: &str = "def word(environ, start_response):\n    \
    start_response('200 OK', [])\n    \
    return [b'first']\n";

fn word(daemon: &Daemon) -> String {
    daemon.connect().ask(&Request::get("/word")).text()
}

fn asks(daemon: &Daemon, times: usize) {
    wait_until("it asks for a successor", || {
        daemon.monitor().wanted().len() >= times
    });
}

/// What this process has loaded, to be loaded before requests are taken.
fn all_of(daemon: &Daemon) -> Inheritance {
    Inheritance {
        at_once: false,
        loaded: daemon.monitor().loaded(),
    }
}

#[test]
fn a_process_says_when_it_is_ready() {
    let daemon = Setup::new(newest_python(), &script("")).start();
    wait_until("it is ready", || daemon.monitor().heard_ready());
    assert!(daemon.connect().ask(&Request::get("/hello")).is_whole());
}

#[test]
fn a_process_of_another_version_than_the_monitor_ends_with_a_status_of_its_own() {
    let mut daemon = Setup::new(newest_python(), &script(""))
        .of_another_version()
        .start();
    assert_eq!(daemon.ended(), Ended::Exit(VERSION_STATUS));
    let log = daemon.log();
    assert!(log.contains("protocol version 2 instead of 1"), "{log}");
}

#[test]
fn a_process_with_enough_requests_serves_until_its_successor_does() {
    let setup = Setup::new(newest_python(), &script(WORD))
        .answered(None)
        .with(|config| config.settings.maximum_requests.least = 2);
    let mut daemon = setup.start();
    for _ in 0..5 {
        assert_eq!(word(&daemon), "first");
    }
    asks(&daemon, 1);
    let wanted = daemon.monitor().wanted();
    assert_eq!(wanted.len(), 1, "asking once is enough");
    assert!(!wanted[0].paused);
    assert_eq!(wanted[0].cause, b"maximum_requests");
    let loaded = daemon.monitor().loaded();
    let paths: Vec<_> = loaded.scripts.0.iter().map(|one| &one.script).collect();
    assert_eq!(paths, [daemon.script.as_os_str().as_encoded_bytes()]);
    assert!(daemon.is_running());
    daemon.monitor().tell(Order::Retire);
    assert_eq!(daemon.ended(), Ended::Exit(REPLACED_STATUS));
}

#[test]
fn a_request_for_a_changed_script_waits_for_the_successor() {
    let mut daemon = Setup::new(newest_python(), &script(WORD))
        .answered(None)
        .start();
    assert_eq!(word(&daemon), "first");
    edit(&daemon, "first", "second");
    let refused = daemon.connect().ask(&Request::get("/word"));
    assert!(matches!(refused.end, Some(Message::Retry)), "{refused:?}");
    asks(&daemon, 1);
    let wanted = daemon.monitor().wanted().remove(0);
    assert!(wanted.paused);
    assert_eq!(wanted.cause, b"script_reload");
    let waiting = daemon.connect();
    waiting.send(&Request::get("/word"));
    let successor = daemon.successor_with(Some(all_of(&daemon)));
    assert!(matches!(
        waiting.receive(),
        Message::Welcome { slot: 1, .. }
    ));
    assert_eq!(waiting.collect(&[]).text(), "second");
    wait_until("it says that it is ready", || {
        successor.monitor().heard_ready()
    });
    daemon.monitor().tell(Order::Retire);
    assert_eq!(daemon.ended(), Ended::Exit(REPLACED_STATUS));
}

#[test]
fn a_process_without_a_successor_serves_what_it_has_until_the_script_changes_again() {
    let daemon = Setup::new(newest_python(), &script(WORD))
        .answered(Some(Order::Resume))
        .start();
    assert_eq!(word(&daemon), "first");
    edit(&daemon, "first", "second");
    daemon.connect().ask(&Request::get("/word"));
    for _ in 0..3 {
        assert_eq!(word(&daemon), "first");
    }
    assert_eq!(daemon.monitor().wanted().len(), 1);
    let file = fs::File::options()
        .write(true)
        .open(&daemon.script)
        .unwrap();
    let later = SystemTime::now() + Duration::from_secs(20);
    file.set_modified(later).unwrap();
    daemon.connect().ask(&Request::get("/word"));
    asks(&daemon, 2);
    assert!(daemon.monitor().wanted()[1].paused);
    assert_eq!(word(&daemon), "first");
}

#[test]
fn among_several_processes_no_request_waits_for_changed_code() {
    let daemon = Setup::new(newest_python(), &script(WORD))
        .answered(None)
        .with(|config| config.gateway.processes = 2)
        .start();
    assert_eq!(word(&daemon), "first");
    edit(&daemon, "first", "second");
    for _ in 0..3 {
        assert_eq!(word(&daemon), "first");
    }
    asks(&daemon, 1);
    let wanted = daemon.monitor().wanted();
    assert_eq!(wanted.len(), 1, "one change is one reason");
    assert!(!wanted[0].paused);
}

#[test]
fn a_successor_that_cannot_load_what_its_predecessor_has_takes_no_request() {
    let mut daemon = Setup::new(newest_python(), &script(WORD))
        .answered(Some(Order::Resume))
        .start();
    assert_eq!(word(&daemon), "first");
    edit(&daemon, "def word", "def word((");
    daemon.connect().ask(&Request::get("/word"));
    asks(&daemon, 1);
    let loaded = all_of(&daemon);
    let mut successor = daemon.successor_with(Some(loaded.clone()));
    assert_eq!(successor.ended(), Ended::Exit(UNLOADABLE_STATUS));
    assert!(!successor.monitor().heard_ready());
    assert!(
        successor.log().contains("SyntaxError"),
        "{}",
        successor.log()
    );
    assert_eq!(word(&daemon), "first");

    fs::remove_file(&daemon.script).unwrap();
    let successor = daemon.successor_with(Some(loaded));
    wait_until("a script that is gone stops nobody", || {
        successor.monitor().heard_ready()
    });
}

/// Takes a second to be loaded, from when `slow` is there.
const SLOW: &str = "import os, time\n\
    if os.path.exists(os.path.join(os.path.dirname(__file__), 'slow')):\n    \
        time.sleep(1)\n    \
        open(os.path.join(os.path.dirname(__file__), 'loaded'), 'w').close()\n";

fn slow() -> Daemon {
    let daemon = Setup::new(newest_python(), &script(&format!("{SLOW}{WORD}")))
        .answered(None)
        .start();
    assert_eq!(word(&daemon), "first");
    wait_until("it says what it has loaded", || {
        !daemon.monitor().loaded().scripts.0.is_empty()
    });
    fs::write(daemon.file("slow"), "").unwrap();
    daemon
}

#[test]
fn a_successor_that_is_to_be_replaced_says_so_once_it_is_ready() {
    let mut daemon = slow();
    let successor = daemon.successor_with(Some(all_of(&daemon)));
    wait_until("it begins to load", || {
        successor.log().matches("Loading WSGI script").count() == 2
    });
    successor.signal(libc::SIGUSR1);
    asks(&successor, 1);
    let reports = successor.monitor().reports();
    assert!(matches!(reports[0], Report::Ready), "{reports:?}");
    assert!(successor.file("loaded").exists());
    assert_eq!(successor.monitor().wanted()[0].cause, b"graceful_signal");
}

#[test]
fn a_process_beside_others_takes_requests_once_it_has_loaded_what_they_have() {
    let mut daemon = slow();
    let added = daemon.successor_with(Some(all_of(&daemon)));
    wait_until("it is ready", || added.monitor().heard_ready());
    assert!(added.file("loaded").exists());
    wait_until("it says what it has loaded", || {
        added.monitor().loaded() == daemon.monitor().loaded()
    });
}

#[test]
fn a_process_without_others_takes_requests_at_once_and_loads_what_they_had() {
    let mut daemon = slow();
    let inheritance = Inheritance {
        at_once: true,
        ..all_of(&daemon)
    };
    let alone = daemon.successor_with(Some(inheritance));
    wait_until("it is ready", || alone.monitor().heard_ready());
    assert!(!alone.file("loaded").exists());
    assert!(alone.monitor().loaded().scripts.0.is_empty());
    wait_until("it has loaded the script that nobody has asked for", || {
        alone.monitor().loaded() == daemon.monitor().loaded()
    });
    assert!(alone.file("loaded").exists());
}
