//! Scripts: loaded once, replaced with their process when they change, reported when they fail.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use wsgi_unix::process::Ended;
use wsgi_wire::Failure;
use wsgi_wire::launch::REPLACED_STATUS;

use super::harness::{Daemon, Message, Request, Setup, each_python, newest_python, wait_until};
use super::script;

/// Gives the script a text and a time that differs from the old one.
fn rewrite(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    touch(path);
}

fn touch(path: &Path) {
    let later = SystemTime::now() + Duration::from_secs(10);
    fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(later)
        .unwrap();
}

#[test]
fn a_changed_script_is_answered_with_retry_and_the_process_ends_in_order() {
    each_python(|python| {
        let mut daemon = Daemon::start(python, &script(""));
        let child = daemon.connect();
        assert!(child.ask(&Request::get("/hello")).is_whole());
        touch(&daemon.script);
        let answer = child.ask(&Request::get("/hello"));
        assert!(matches!(answer.end, Some(Message::Retry)), "{answer:?}");
        assert_eq!(daemon.ended(), Ended::Exit(REPLACED_STATUS));
    });
}

#[test]
fn a_changed_script_goes_on_when_reloading_is_off() {
    let daemon = Daemon::start(newest_python(), &script(""));
    let child = daemon.connect();
    assert!(child.ask(&Request::get("/hello").flags(0)).is_whole());
    touch(&daemon.script);
    assert!(child.ask(&Request::get("/hello").flags(0)).is_whole());
}

#[test]
fn a_script_that_raises_is_logged_and_its_process_replaced_when_it_is_mended() {
    each_python(|python| {
        let mut daemon = Daemon::start(python, "raise LookupError('no luck')\n");
        let child = daemon.connect();
        let answer = child.ask(&Request::get("/hello"));
        assert_eq!(answer.failure(), Some(Failure::ScriptLoad));
        assert!(
            answer.logged().contains("LookupError: no luck"),
            "{answer:?}"
        );
        assert!(answer.logged().contains("app.wsgi"), "{answer:?}");
        assert!(answer.body.is_empty());
        rewrite(&daemon.script, &script(""));
        let answer = child.ask(&Request::get("/hello"));
        assert!(matches!(answer.end, Some(Message::Retry)), "{answer:?}");
        assert_eq!(daemon.ended(), Ended::Exit(REPLACED_STATUS));
    });
}

#[test]
fn a_script_that_cannot_be_compiled_names_its_line() {
    each_python(|python| {
        let daemon = Daemon::start(python, "x = 1\ndef broken(:\n");
        let answer = daemon.connect().ask(&Request::get("/hello"));
        assert_eq!(answer.failure(), Some(Failure::ScriptLoad));
        assert!(answer.logged().contains("SyntaxError"), "{answer:?}");
        assert!(answer.logged().contains("line 2"), "{answer:?}");
    });
}

#[test]
fn a_script_that_leaves_by_system_exit_does_not_end_the_process() {
    let mut daemon = Daemon::start(newest_python(), "raise SystemExit(3)\n");
    let answer = daemon.connect().ask(&Request::get("/hello"));
    assert_eq!(answer.failure(), Some(Failure::ScriptLoad));
    assert!(daemon.is_running());
}

#[test]
fn a_missing_script_and_a_missing_callable_are_told_apart() {
    let daemon = Daemon::start(newest_python(), &script(""));
    let child = daemon.connect();
    let missing = daemon.file("none.wsgi");
    let answer = child.ask(&Request::get("/hello").script(missing));
    assert_eq!(answer.failure(), Some(Failure::ScriptMissing));
    let answer = child.ask(&Request::get("/hello").callable("nothing"));
    assert_eq!(answer.failure(), Some(Failure::CallableMissing));
    assert!(answer.logged().contains("nothing"), "{answer:?}");
    assert!(child.ask(&Request::get("/hello")).is_whole());
}

#[test]
fn another_callable_of_the_script_can_be_named() {
    let daemon = Daemon::start(newest_python(), &script(""));
    let answer = daemon.connect().ask(&Request::get("/").callable("hello"));
    assert_eq!(answer.text(), "hello");
}

#[test]
fn a_script_is_loaded_once_for_all_its_threads() {
    each_python(|python| {
        let setup = Setup::new(
            python,
            &script(
                "import os\n\
                 with open(os.path.join(os.path.dirname(__file__), 'loads'), 'a') as file:\n    \
                     file.write('x')\n",
            ),
        );
        let daemon = setup.threads(4).start();
        let children: Vec<_> = (0..4).map(|_| daemon.connect()).collect();
        for child in &children {
            child.send(&Request::get("/hello"));
        }
        for child in &children {
            assert!(child.collect(&[]).is_whole());
        }
        assert_eq!(fs::read_to_string(daemon.file("loads")).unwrap(), "x");
    });
}

#[test]
fn application_groups_do_not_share_modules_and_the_first_has_the_main_interpreter() {
    each_python(|python| {
        let daemon = Daemon::start(
            python,
            &script(
                "import sys\n\
                 def place(environ, start_response):\n    \
                     sys.visits = getattr(sys, 'visits', 0) + 1\n    \
                     start_response('200 OK', [])\n    \
                     return [str(sys.visits).encode()]\n",
            ),
        );
        let child = daemon.connect();
        for (group, visits) in [
            ("one", "1"),
            ("one", "2"),
            ("two", "1"),
            ("", "3"),
            ("two", "2"),
        ] {
            let answer = child.ask(&Request::get("/place").group(group));
            assert_eq!(answer.text(), visits, "{group}");
        }
    });
}

#[test]
fn a_reserved_main_interpreter_is_given_to_nobody_else() {
    let setup = Setup::new(
        newest_python(),
        &script(
            "import sys\n\
             def mark(environ, start_response):\n    \
                 found = getattr(sys, 'marked', 'no')\n    \
                 sys.marked = 'yes'\n    \
                 start_response('200 OK', [])\n    \
                 return [found.encode()]\n",
        ),
    )
    .with(|config| config.gateway.reserve_main = true);
    let daemon = setup.start();
    let child = daemon.connect();
    assert_eq!(child.ask(&Request::get("/mark").group("one")).text(), "no");
    assert_eq!(child.ask(&Request::get("/mark").group("")).text(), "no");
}

#[test]
fn an_import_script_is_loaded_before_any_request() {
    let setup = Setup::new(
        newest_python(),
        &script(
            "import os\n\
             open(os.path.join(os.path.dirname(__file__), 'loaded'), 'w').close()\n",
        ),
    );
    let daemon = setup.imported().start();
    wait_until("the script is loaded", || daemon.file("loaded").exists());
    assert!(daemon.connect().ask(&Request::get("/hello")).is_whole());
}

#[test]
fn an_import_script_that_fails_is_logged_and_tolerated() {
    let setup = Setup::new(newest_python(), "raise LookupError('no luck')\n").imported();
    let mut daemon = setup.start();
    wait_until("the failure is logged", || {
        daemon.log().contains("LookupError: no luck")
    });
    wait_until("the process serves", || daemon.threads() == 2);
    assert!(daemon.is_running());
}

#[test]
fn the_python_path_is_searched_first_and_in_order() {
    each_python(|python| {
        let text = script(
            "def found(environ, start_response):\n    \
                 import chosen, json\n    \
                 start_response('200 OK', [])\n    \
                 return [chosen.PLACE.encode()]\n",
        );
        let probe = Setup::new(python, &text).start();
        let first = probe.file("first");
        let second = probe.file("second");
        for (place, name) in [(&first, "first"), (&second, "second")] {
            fs::create_dir(place).unwrap();
            fs::write(place.join("chosen.py"), format!("PLACE = {name:?}\n")).unwrap();
        }
        let paths = [first, second].map(|path| path.into_os_string().into_encoded_bytes());
        let setup =
            Setup::new(python, &text).with(|config| config.gateway.python_path.0 = paths.to_vec());
        let daemon = setup.start();
        assert_eq!(
            daemon.connect().ask(&Request::get("/found")).text(),
            "first"
        );
    });
}
