//! Requests that do not end: which are interrupted, which end their process, what their clients get
//! and what the log says.

use std::fs;
use std::time::{Duration, Instant};

use wsgi_unix::process::Ended;
use wsgi_wire::Failure;
use wsgi_wire::head::Body;
use wsgi_wire::launch::REPLACED_STATUS;

use super::harness::{
    Child, Daemon, Message, Request, Setup, each_python, newest_python, wait_until,
};
use super::script;

/// Ways not to end. Code of the application that can be interrupted is Python's.
const STUCK: &str = "import ctypes, os, threading, time\n\
     import mod_wsgi\n\
     @mod_wsgi.subscribe_shutdown\n\
     def told(name, **event):\n    \
         with open(os.path.join(os.path.dirname(__file__), 'reason'), 'w') as file:\n        \
             file.write(event['shutdown_reason'])\n\
     def loops(environ, start_response):\n    \
         while True:\n        \
             pass\n\
     def naps(environ, start_response):\n    \
         while True:\n        \
             time.sleep(0.01)\n\
     def sleeps(environ, start_response):\n    \
         time.sleep(10_000)\n\
     def waits(environ, start_response):\n    \
         threading.Event().wait()\n\
     def holds(environ, start_response):\n    \
         open(os.path.join(os.path.dirname(__file__), 'holding'), 'w').close()\n    \
         ctypes.PyDLL(None).sleep(10_000)\n\
     def catches(environ, start_response):\n    \
         try:\n        \
             naps(environ, start_response)\n    \
         except mod_wsgi.RequestTimeout:\n        \
             start_response('200 OK', [])\n        \
             return [b'caught']\n\
     def catches_reading(environ, start_response):\n    \
         try:\n        \
             environ['wsgi.input'].read()\n    \
         except mod_wsgi.RequestTimeout:\n        \
             start_response('200 OK', [])\n        \
             return [b'caught']\n\
     def half(environ, start_response):\n    \
         start_response('200 OK', [])\n    \
         yield b'half'\n    \
         naps(environ, start_response)\n";

/// Long enough not to pass by chance.
const LONG: Duration = Duration::from_secs(10_000);

fn timed(request: Duration, interrupt: Duration) -> Setup {
    Setup::new(newest_python(), &script(STUCK)).with(|config| {
        config.settings.request_timeout = request;
        config.settings.interrupt_timeout = interrupt;
        config.settings.shutdown_timeout = Duration::from_secs(1);
    })
}

/// For requests that are stuck.
const SOON: Duration = Duration::from_millis(300);

/// Where other requests, or what comes before the stuck code, have to take less, also on a busy machine.
const LATER: Duration = Duration::from_secs(1);

fn reason(daemon: &Daemon) -> String {
    fs::read_to_string(daemon.file("reason")).unwrap_or_default()
}

fn reading(daemon: &Daemon, path: &str) -> Child {
    let child = daemon.connect();
    child.send(&Request::post(path, Body::Pulled(None)));
    assert!(matches!(child.receive(), Message::Welcome { .. }));
    assert!(matches!(child.receive(), Message::BodyWanted(_)));
    child
}

#[test]
fn a_stuck_request_is_answered_with_504_and_its_process_replaced() {
    each_python(|python| {
        for (path, line) in [
            ("/loops", "in loops"),
            ("/sleeps", "in sleeps"),
            ("/waits", "in waits"),
        ] {
            let setup = Setup::new(python, &script(STUCK)).with(|config| {
                config.settings.request_timeout = SOON;
                config.settings.shutdown_timeout = Duration::from_secs(1);
            });
            let mut daemon = setup.start();
            let answer = daemon.connect().ask(&Request::get(path));
            assert_eq!(answer.failure(), Some(Failure::Interrupted), "{answer:?}");
            let logged = answer.logged();
            assert!(logged.contains(&format!("GET {path} has run")), "{logged}");
            assert!(logged.contains(line), "{logged}");
            assert_eq!(answer.log.len(), 1, "one message: {logged}");
            assert_eq!(daemon.ended(), Ended::Exit(REPLACED_STATUS));
            assert_eq!(reason(&daemon), "request_timeout", "{}", daemon.log());
        }
    });
}

#[test]
fn other_requests_end_while_nobody_waits_for_a_stuck_one() {
    let mut daemon = timed(Duration::from_secs(4), Duration::ZERO)
        .with(|config| config.settings.graceful_timeout = LONG)
        .start();
    let stuck = daemon.connect();
    let begun = Instant::now();
    stuck.send(&Request::get("/waits"));
    wait_until("most of the time is over", || {
        begun.elapsed() > Duration::from_secs(3)
    });
    let other = reading(&daemon, "/wait_for_body");
    assert_eq!(stuck.collect(&[]).failure(), Some(Failure::Interrupted));
    assert_eq!(daemon.threads(), 0, "the process takes no more");
    other.send_body(b"still here");
    let answer = other.collect(&[]);
    assert_eq!(answer.text(), "still here");
    assert_eq!(daemon.ended(), Ended::Exit(REPLACED_STATUS));
}

#[test]
fn python_code_is_interrupted_and_its_process_goes_on() {
    each_python(|python| {
        let setup = Setup::new(python, &script(STUCK)).with(|config| {
            config.settings.request_timeout = LATER;
            config.settings.interrupt_timeout = LONG;
        });
        let mut daemon = setup.imported().start();
        let child = daemon.connect();
        for path in ["/loops", "/naps"] {
            let answer = child.ask(&Request::get(path));
            assert_eq!(answer.failure(), Some(Failure::Interrupted), "{answer:?}");
            let logged = answer.logged();
            assert!(
                logged.contains("Injected RequestTimeout into thread"),
                "{logged}"
            );
            let recovered = "Request interrupted by RequestTimeout; thread recovered";
            assert!(logged.contains(recovered), "{logged}");
            assert!(!logged.contains("Traceback"), "{logged}");
        }
        assert_eq!(child.ask(&Request::get("/catches")).text(), "caught");
        let answer = child.ask(&Request::get("/half"));
        assert_eq!(answer.text(), "half");
        assert_eq!(answer.failure(), Some(Failure::Incomplete), "{answer:?}");
        for _ in 0..20 {
            assert_eq!(child.ask(&Request::get("/hello")).text(), "hello");
        }
        assert!(daemon.is_running());
    });
}

#[test]
fn a_request_that_is_overdue_before_its_code_runs_is_interrupted_when_that_does() {
    each_python(|python| {
        let slow = format!("import time\ntime.sleep(1)\n{STUCK}");
        let setup = Setup::new(python, &script(&slow)).with(|config| {
            config.settings.request_timeout = SOON;
            config.settings.interrupt_timeout = LONG;
        });
        let mut daemon = setup.start();
        let child = daemon.connect();
        let answer = child.ask(&Request::get("/naps"));
        assert_eq!(answer.failure(), Some(Failure::Interrupted), "{answer:?}");
        let logged = answer.logged();
        let early = "GET /naps has run into request-timeout before its application was called";
        assert!(logged.contains(early), "{logged}");
        assert!(logged.contains("thread recovered"), "{logged}");
        assert!(daemon.is_running());
    });
}

#[test]
fn functions_are_interrupted_as_applications_are() {
    let functions = "def naps_with(environ, argument):\n    \
                         while True:\n        \
                             time.sleep(0.01)\n\
                     def naps_later(environ, argument):\n    \
                         yield 'first'\n    \
                         naps_with(environ, argument)\n\
                     def decides(environ, argument):\n    \
                         return True\n";
    each_python(|python| {
        let text = format!("{STUCK}{functions}");
        let setup = Setup::new(python, &script(&text)).with(|config| {
            config.settings.request_timeout = LATER;
            config.settings.interrupt_timeout = LONG;
        });
        let mut daemon = setup.imported().start();
        let child = daemon.connect();
        for name in [&b"naps_with"[..], b"naps_later"] {
            let answer = child.ask(&Request::get("/").functions(&[b"decides", name]));
            assert_eq!(answer.failure(), Some(Failure::Interrupted), "{answer:?}");
            let logged = answer.logged();
            assert!(logged.contains("in naps_with"), "{logged}");
            assert!(logged.contains("thread recovered"), "{logged}");
            assert!(!logged.contains("Traceback"), "{logged}");
        }
        assert!(daemon.is_running());
    });
}

#[test]
fn a_stuck_function_ends_its_process_where_it_is_not_interrupted() {
    let functions = "def sleeps_with(environ, argument):\n    \
                         time.sleep(10_000)\n";
    let mut daemon = Setup::new(newest_python(), &script(&format!("{STUCK}{functions}")))
        .with(|config| {
            config.settings.request_timeout = SOON;
            config.settings.shutdown_timeout = Duration::from_secs(1);
        })
        .start();
    let asked = Request::get("/").functions(&[b"sleeps_with"]);
    let answer = daemon.connect().ask(&asked);
    assert_eq!(answer.failure(), Some(Failure::Interrupted), "{answer:?}");
    assert!(answer.logged().contains("is given up"), "{answer:?}");
    assert_eq!(daemon.ended(), Ended::Exit(REPLACED_STATUS));
}

#[test]
fn a_request_that_cannot_be_interrupted_ends_its_process() {
    let mut daemon = timed(SOON, SOON).start();
    let answer = daemon.connect().ask(&Request::get("/sleeps"));
    assert_eq!(answer.failure(), Some(Failure::Interrupted), "{answer:?}");
    let logged = answer.logged();
    assert!(logged.contains("Injected RequestTimeout"), "{logged}");
    assert!(logged.contains("is given up"), "{logged}");
    assert_eq!(daemon.ended(), Ended::Exit(REPLACED_STATUS));
    assert_eq!(reason(&daemon), "request_timeout");
}

#[test]
fn a_request_that_waits_for_its_client_is_cut_off_alone() {
    for interrupt in [Duration::ZERO, LONG] {
        let mut daemon = timed(LATER, interrupt).start();
        let answer = reading(&daemon, "/wait_for_body").collect(&[]);
        assert_eq!(answer.failure(), Some(Failure::Interrupted), "{answer:?}");
        let answer = reading(&daemon, "/catches_reading").collect(&[]);
        assert_eq!(answer.text(), "caught");
        let child = daemon.connect();
        for _ in 0..20 {
            assert_eq!(child.ask(&Request::get("/hello")).text(), "hello");
        }
        assert!(daemon.is_running());
    }
}

#[test]
fn a_client_that_does_not_read_is_cut_off_alone() {
    let pours = "def pours(environ, start_response):\n    \
                     start_response('200 OK', [])\n    \
                     for _ in range(10_000):\n        \
                         yield b'x' * 65536\n";
    let setup = Setup::new(newest_python(), &script(pours))
        .with(|config| config.settings.request_timeout = LATER);
    let mut daemon = setup.start();
    let slow = daemon.connect();
    slow.send(&Request::get("/pours"));
    wait_until("the response is begun", || daemon.active() == 1);
    wait_until("it is over", || daemon.active() == 0);
    assert!(daemon.log().contains("is interrupted"), "{}", daemon.log());
    drop(slow);
    assert_eq!(
        daemon.connect().ask(&Request::get("/hello")).text(),
        "hello"
    );
    assert!(daemon.is_running());
}

#[test]
fn code_that_holds_the_gil_is_seen_and_answered_without_it() {
    each_python(|python| {
        let setup = Setup::new(python, &script(STUCK)).with(|config| {
            config.settings.request_timeout = SOON;
            config.settings.shutdown_timeout = Duration::from_secs(1);
        });
        let mut daemon = setup.start();
        let answer = daemon.connect().ask(&Request::get("/holds"));
        assert_eq!(answer.failure(), Some(Failure::Interrupted), "{answer:?}");
        assert!(answer.logged().contains("in holds"), "{}", answer.logged());
        assert_eq!(daemon.ended(), Ended::Exit(REPLACED_STATUS));
    });
}

#[test]
fn a_gil_that_is_never_given_back_ends_the_process() {
    each_python(|python| {
        let setup = Setup::new(python, &script(STUCK)).with(|config| {
            config.settings.deadlock_timeout = Duration::from_millis(500);
            config.settings.graceful_timeout = LONG;
        });
        let mut daemon = setup.start();
        let child = daemon.connect();
        assert!(child.ask(&Request::get("/hello")).is_whole());
        let holds = daemon.connect();
        holds.send(&Request::get("/holds"));
        wait_until("it runs", || daemon.file("holding").exists());
        // What has not started goes to another process, what has is answered.
        let mut answer = child.ask(&Request::get("/hello"));
        while answer.is_whole() {
            answer = child.ask(&Request::get("/hello"));
        }
        assert!(matches!(answer.end, Some(Message::Retry)), "{answer:?}");
        assert_eq!(holds.collect(&[]).failure(), Some(Failure::Interrupted));
        assert_eq!(daemon.ended(), Ended::Exit(REPLACED_STATUS));
        let log = daemon.log();
        assert!(log.contains("deadlock-timeout"), "{log}");
        assert!(log.contains("GET /holds for"), "{log}");
        assert!(log.contains("in holds"), "{log}");
    });
}

#[test]
fn a_process_that_computes_is_no_deadlock() {
    let busy = "def busy(environ, start_response):\n    \
                    import time\n    \
                    end = time.monotonic() + 3\n    \
                    while time.monotonic() < end:\n        \
                        pass\n    \
                    return hello(environ, start_response)\n";
    let setup = Setup::new(newest_python(), &script(busy))
        .with(|config| config.settings.deadlock_timeout = Duration::from_millis(500));
    let mut daemon = setup.start();
    assert_eq!(daemon.connect().ask(&Request::get("/busy")).text(), "hello");
    assert!(daemon.is_running(), "{}", daemon.log());
}
