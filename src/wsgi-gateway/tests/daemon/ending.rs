//! How a daemon ends, and what becomes of the requests it has.

use std::time::Duration;

use wsgi_unix::process::Ended;
use wsgi_wire::head::{Body, flag};
use wsgi_wire::launch::REPLACED_STATUS;

use super::harness::{
    Child, Daemon, Message, Request, Setup, each_python, newest_python, wait_until,
};
use super::script;

/// A script that begins to load, tells so by a file, and never ends loading.
const LOADS_FOR_EVER: &str = "import os, threading\n\
     print('about to wait')\n\
     open(os.path.join(os.path.dirname(__file__), 'loading'), 'w').close()\n\
     threading.Event().wait()\n";

fn waiting_for_its_body(daemon: &Daemon) -> Child {
    let child = daemon.connect();
    child.send(&Request::post("/wait_for_body", Body::Pulled(None)));
    assert!(matches!(child.receive(), Message::Welcome { .. }));
    assert!(matches!(child.receive(), Message::BodyWanted(_)));
    child
}

fn waiting_for_its_script(daemon: &Daemon) -> Child {
    let child = daemon.connect();
    child.send(&Request::get("/"));
    wait_until("the script is being loaded", || {
        daemon.file("loading").exists()
    });
    child
}

fn stops_serving(daemon: &Daemon) {
    wait_until("the process takes no more requests", || {
        daemon.threads() == 0
    });
}

#[test]
fn sigterm_lets_running_requests_end_and_takes_no_new_ones() {
    each_python(|python| {
        let mut daemon = Daemon::start(python, &script(""));
        let kept = daemon.connect();
        assert!(kept.ask(&Request::get("/hello")).is_whole());
        let running = waiting_for_its_body(&daemon);
        daemon.signal(libc::SIGTERM);
        stops_serving(&daemon);
        let refused = kept.ask(&Request::get("/hello"));
        assert!(matches!(refused.end, Some(Message::Retry)), "{refused:?}");
        running.send_body(b"late");
        assert!(matches!(running.receive(), Message::BodyWanted(_)));
        running.send_body(b"");
        let answer = running.collect(&[]);
        assert_eq!(answer.text(), "late");
        assert!(answer.is_whole());
        assert_eq!(daemon.ended(), Ended::Exit(0));
    });
}

#[test]
fn a_request_that_outlasts_shutdown_timeout_is_lost() {
    let setup = Setup::new(newest_python(), &script(""))
        .with(|config| config.settings.shutdown_timeout = Duration::from_millis(100));
    let mut daemon = setup.start();
    let running = waiting_for_its_body(&daemon);
    daemon.signal(libc::SIGTERM);
    assert!(matches!(running.receive(), Message::Closed));
    assert_eq!(daemon.ended(), Ended::Exit(0));
    assert!(
        daemon.log().contains("1 request(s) still run"),
        "{}",
        daemon.log()
    );
}

#[test]
fn sigusr1_and_the_monitors_end_wait_for_running_requests() {
    for lose_monitor in [false, true] {
        let setup = Setup::new(newest_python(), &script(""))
            .with(|config| config.settings.shutdown_timeout = Duration::from_millis(1));
        let mut daemon = setup.start();
        let running = waiting_for_its_body(&daemon);
        match lose_monitor {
            true => daemon.lose_monitor(),
            false => daemon.signal(libc::SIGUSR1),
        }
        stops_serving(&daemon);
        assert!(daemon.is_running());
        running.send_body(b"");
        assert!(running.collect(&[]).is_whole());
        assert_eq!(daemon.ended(), Ended::Exit(REPLACED_STATUS));
    }
}

#[test]
fn a_kill_before_the_application_starts_resets_the_connection() {
    each_python(|python| {
        let mut daemon = Daemon::start(python, LOADS_FOR_EVER);
        let child = waiting_for_its_script(&daemon);
        daemon.signal(libc::SIGKILL);
        assert!(matches!(child.receive(), Message::Reset));
        assert_eq!(daemon.ended(), Ended::Signal(libc::SIGKILL));
    });
}

#[test]
fn a_kill_before_the_start_of_a_request_with_a_large_head_resets_the_connection() {
    let mut daemon = Daemon::start(newest_python(), LOADS_FOR_EVER);
    let child = daemon.connect();
    child.send(&Request::get("/").with(b"HTTP_LONG", &vec![b'x'; 1_000_000]));
    wait_until("the script is being loaded", || {
        daemon.file("loading").exists()
    });
    daemon.signal(libc::SIGKILL);
    assert!(matches!(child.receive(), Message::Reset));
    daemon.ended();
}

#[test]
fn a_kill_after_the_application_started_ends_the_connection() {
    let mut daemon = Daemon::start(
        newest_python(),
        &script(
            "def dies(environ, start_response):\n    \
                 import os, signal\n    \
                 os.kill(os.getpid(), signal.SIGKILL)\n",
        ),
    );
    let child = daemon.connect();
    child.send(&Request::get("/dies"));
    assert!(matches!(child.receive(), Message::Closed));
    assert_eq!(daemon.ended(), Ended::Signal(libc::SIGKILL));
}

#[test]
fn an_application_that_is_not_loaded_in_time_ends_the_process_before_its_request_starts() {
    let setup = Setup::new(newest_python(), LOADS_FOR_EVER).with(|config| {
        config.settings.startup_timeout = Duration::from_millis(100);
        config.settings.shutdown_timeout = Duration::from_millis(100);
    });
    let mut daemon = setup.start();
    let child = waiting_for_its_script(&daemon);
    assert!(matches!(child.receive(), Message::Reset));
    assert_eq!(daemon.ended(), Ended::Exit(1));
    let log = daemon.log();
    assert!(log.contains("startup-timeout"), "{log}");
    assert!(
        log.contains("about to wait"),
        "what it printed is not lost: {log}"
    );
}

#[test]
fn a_loaded_application_is_not_subject_to_startup_timeout() {
    let setup = Setup::new(newest_python(), &script(""))
        .with(|config| config.settings.startup_timeout = Duration::from_millis(50));
    let mut daemon = setup.start();
    let running = waiting_for_its_body(&daemon);
    let begun = std::time::Instant::now();
    wait_until("the time is over", || {
        begun.elapsed() > Duration::from_millis(150)
    });
    assert!(daemon.is_running());
    running.send_body(b"");
    assert!(running.collect(&[]).is_whole());
}

#[test]
fn a_process_ends_to_be_replaced_when_it_was_idle_for_inactivity_timeout() {
    let setup = Setup::new(newest_python(), &script(""))
        .with(|config| config.settings.inactivity_timeout = Duration::from_millis(100));
    let mut daemon = setup.start();
    let running = waiting_for_its_body(&daemon);
    let begun = std::time::Instant::now();
    wait_until("the time is over", || {
        begun.elapsed() > Duration::from_millis(250)
    });
    assert!(daemon.is_running(), "a running request is not idle");
    running.send_body(b"");
    assert!(running.collect(&[]).is_whole());
    assert_eq!(daemon.ended(), Ended::Exit(REPLACED_STATUS));
    let log = daemon.log();
    assert!(log.contains("inactivity-timeout"), "{log}");
}

#[test]
fn a_request_that_is_no_activity_does_not_start_the_time_of_inactivity_timeout() {
    let setup = Setup::new(newest_python(), &script(""))
        .with(|config| config.settings.inactivity_timeout = Duration::from_millis(100));
    let mut daemon = setup.start();
    let ignored = Request::get("/hello").flags(flag::IGNORE_ACTIVITY);
    assert_eq!(daemon.connect().ask(&ignored).text(), "hello");
    let begun = std::time::Instant::now();
    wait_until("the time is over", || {
        begun.elapsed() > Duration::from_millis(250)
    });
    assert!(daemon.is_running());
    assert_eq!(
        daemon.connect().ask(&Request::get("/hello")).text(),
        "hello"
    );
    assert_eq!(daemon.ended(), Ended::Exit(REPLACED_STATUS));
}

#[test]
fn exit_functions_run_in_every_interpreter() {
    each_python(|python| {
        let mut daemon = Daemon::start(
            python,
            &script(
                "import atexit, os\n\
                 def leave(name):\n    \
                     open(os.path.join(os.path.dirname(__file__), name), 'w').close()\n\
                 def promise(environ, start_response):\n    \
                     atexit.register(leave, 'left-' + environ['mod_wsgi.application_group'])\n    \
                     start_response('200 OK', [])\n    \
                     return []\n",
            ),
        );
        for group in ["one", "two"] {
            assert!(
                daemon
                    .connect()
                    .ask(&Request::get("/promise").group(group))
                    .is_whole()
            );
        }
        let marks = [daemon.file("left-one"), daemon.file("left-two")];
        daemon.signal(libc::SIGTERM);
        assert_eq!(daemon.ended(), Ended::Exit(0));
        assert!(marks.iter().all(|mark| mark.exists()), "{}", daemon.log());
    });
}

#[test]
fn exit_functions_that_do_not_end_are_cut_short() {
    let setup = Setup::new(
        newest_python(),
        &script(
            "import atexit, threading\n\
             atexit.register(threading.Event().wait)\n",
        ),
    )
    .with(|config| config.settings.shutdown_timeout = Duration::from_millis(100));
    let mut daemon = setup.start();
    assert!(daemon.connect().ask(&Request::get("/hello")).is_whole());
    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.ended(), Ended::Exit(0));
    assert!(daemon.log().contains("cut short"), "{}", daemon.log());
}

#[test]
fn a_signal_to_a_fork_of_the_application_is_not_the_daemons() {
    let mut daemon = Daemon::start(
        newest_python(),
        &script(
            "def forks(environ, start_response):\n    \
                 import os, signal\n    \
                 child = os.fork()\n    \
                 if child == 0:\n        \
                     signal.pause()\n        \
                     os._exit(0)\n    \
                 os.kill(child, signal.SIGTERM)\n    \
                 status = os.waitpid(child, 0)[1]\n    \
                 start_response('200 OK', [])\n    \
                 return [str(os.WTERMSIG(status)).encode()]\n",
        ),
    );
    let child = daemon.connect();
    assert_eq!(
        child.ask(&Request::get("/forks")).text(),
        libc::SIGTERM.to_string()
    );
    assert!(child.ask(&Request::get("/hello")).is_whole());
    assert!(daemon.is_running());
}

#[test]
fn an_application_cannot_take_the_processs_signals() {
    let mut daemon = Daemon::start(
        newest_python(),
        &script("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"),
    );
    assert!(daemon.connect().ask(&Request::get("/hello")).is_whole());
    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.ended(), Ended::Exit(0));
}
