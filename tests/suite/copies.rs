//! Several interpreters for one application in one process: the option `interpreters`.

use std::fs;

use wsgi_tests::apache::only_ours;
use wsgi_tests::python::{self, Packages, Python, python_with};
use wsgi_tests::{Builder, Mode, Request, Server, wait};

/// A group of one process with two copies of each application, of this Python.
fn with_copies(python: &Python, packages: Packages) -> Builder {
    let venv = python::venv(python, packages);
    let options = format!("threads=4 interpreters=2 python-home={}", venv.display());
    Server::builder(Mode::Daemon).daemon(&options)
}

/// Process, name of the copy and `wsgi.multiprocess` that an answer of `copies` tells.
fn facts(text: &str) -> [String; 3] {
    let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    words.try_into().expect("three facts")
}

#[test]
fn requests_are_spread_over_the_copies_of_one_process() {
    if only_ours("it has one interpreter for an application") {
        return;
    }
    let Some(python) = python_with(|minor| minor >= 13) else {
        return;
    };
    let server = with_copies(python, python::NONE).app("/", "copies").start();
    let mut first = server.connect();
    first.write(&Request::get("/?wait").head()).expect("sent");
    wait::until_true("it runs", || server.state("waiting").exists());
    let [pid, second_copy, multiprocess] = facts(&server.text("/"));
    fs::write(server.state("gate"), "").expect("the directory is ours");
    let first = first.response(false).expect("an answer").text();
    let [first_pid, first_copy, _] = facts(&first);
    assert_eq!(pid, first_pid);
    assert_ne!(second_copy, first_copy);
    assert_eq!(multiprocess, "True");
    assert_eq!(server.log().lines_with("a GIL of its own").len(), 2);
    // An idle process uses the copy that is warm.
    assert_eq!(facts(&server.text("/"))[1], first_copy);
}

#[test]
fn an_extension_that_refuses_makes_the_group_fall_back_to_one_interpreter() {
    if only_ours("it has one interpreter for an application") {
        return;
    }
    let Some(python) = python_with(|minor| minor >= 13) else {
        return;
    };
    let mut server = with_copies(python, python::NUMPY)
        .app("/", "numpy_sum")
        .start();
    server.expect_traceback("ImportError");
    server.expect_log("falls back to one interpreter");
    server.allow_log("");
    // The request that met it is answered by the interpreter the group falls back to.
    assert_eq!(server.get("/").status(), 200);
    assert_eq!(server.get("/").status(), 200);
    assert_eq!(server.log().lines_with("falls back").len(), 1);
}

#[test]
fn a_python_that_has_one_gil_serves_with_one_interpreter_and_says_so() {
    if only_ours("it has one interpreter for an application") {
        return;
    }
    let Some(python) = python_with(|minor| minor < 13) else {
        return;
    };
    let mut server = with_copies(python, python::NONE).app("/", "hello").start();
    server.expect_log("interpreters=2 needs Python 3.13");
    assert_eq!(server.text("/"), "Hello World!");
}

#[test]
fn the_main_interpreter_is_one_and_the_log_says_so() {
    if only_ours("it has one interpreter for an application") {
        return;
    }
    let Some(python) = python_with(|minor| minor >= 13) else {
        return;
    };
    let mut server = with_copies(python, python::NONE)
        .directive("WSGIApplicationGroup %{GLOBAL}")
        .app("/", "hello")
        .start();
    server.expect_log("interpreters=2 has no effect for %{GLOBAL}");
    assert_eq!(server.text("/"), "Hello World!");
}

#[test]
fn a_copy_whose_lock_is_never_given_back_does_not_end_the_requests_of_others() {
    if only_ours("it has one interpreter for an application") {
        return;
    }
    let Some(python) = python_with(|minor| minor >= 13) else {
        return;
    };
    let venv = python::venv(python, python::NONE);
    let options = format!(
        "threads=4 interpreters=2 deadlock-timeout=1 graceful-timeout=60 python-home={}",
        venv.display()
    );
    let mut server = Server::builder(Mode::Daemon)
        .daemon(&options)
        .app("/", "stuck")
        .start();
    server.expect_log("deadlock-timeout=1");
    server.allow_log("");
    let before = server.text("/");
    let mut other = server.connect();
    other.write(&Request::get("/gated").head()).expect("sent");
    wait::until_true("it runs", || server.state("running-gated").exists());
    assert_eq!(server.get("/holds").status(), 504);
    // The next process has the code loaded by now; the old one still runs what it can.
    assert_ne!(server.text("/"), before);
    fs::write(server.state("gate"), "").expect("the directory is ours");
    let answer = other.response(false).expect("an answer");
    assert_eq!((answer.status(), answer.text()), (200, before));
}
