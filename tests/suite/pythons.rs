//! Several CPythons under one httpd, each with its own venv, and extensions in interpreters.

use wsgi_tests::apache::only_ours;
use wsgi_tests::python::{self, Packages, Python};
use wsgi_tests::{Mode, Server, wait};

/// A release of Flask for each Python, so that a mix-up of venvs shows.
const RELEASES: &[Packages] = &[
    Packages {
        name: "flask-3.0.0",
        requirements: &["flask==3.0.0"],
    },
    Packages {
        name: "flask-3.0.1",
        requirements: &["flask==3.0.1"],
    },
    Packages {
        name: "flask-3.0.2",
        requirements: &["flask==3.0.2"],
    },
    Packages {
        name: "flask-3.0.3",
        requirements: &["flask==3.0.3"],
    },
];

#[test]
fn four_pythons_run_at_once_each_in_its_own_venv() {
    if only_ours("one Python is linked into it") {
        return;
    }
    let pythons: Vec<(&Python, Packages)> = python::pythons()
        .iter()
        .zip(RELEASES.iter().copied())
        .collect();
    if pythons.len() < 4 {
        eprintln!("SKIPPED in part: only {} Pythons are here", pythons.len());
    }
    let mut builder = Server::builder(Mode::Embedded).alone();
    for (index, (python, packages)) in pythons.iter().enumerate() {
        let venv = python::venv(python, *packages);
        builder = builder.directive(&format!(
            "WSGIDaemonProcess g{index} threads=2 python-home={}\n\
             WSGIScriptAlias /g{index} @APPS@/packages/app.wsgi process-group=g{index}",
            venv.display()
        ));
    }
    let server = builder.start();
    for (index, (python, packages)) in pythons.iter().enumerate() {
        let venv = python::venv(python, *packages).display().to_string();
        let text = server.text(&format!("/g{index}"));
        let facts: Vec<&str> = text.split('|').collect();
        let release = packages.requirements[0]
            .split("==")
            .nth(1)
            .unwrap_or_default();
        assert_eq!(facts[0], python.version);
        assert_eq!(facts[1], venv, "sys.prefix");
        assert_eq!(facts[2], format!("{venv}/bin/python"), "sys.executable");
        assert_eq!(facts[3], release);
        let site = format!("{venv}/lib/python{}/site-packages/", python.version);
        assert!(facts[4].starts_with(&site), "{}", facts[4]);
    }
}

#[test]
fn every_python_runs_embedded_from_its_venv() {
    if only_ours("one Python is linked into it") {
        return;
    }
    for (python, packages) in python::pythons().iter().zip(RELEASES.iter().copied()) {
        let venv = python::venv(python, packages);
        let server = Server::builder(Mode::Embedded)
            .directive(&format!("WSGIPythonHome {}", venv.display()))
            .app("/", "packages")
            .start();
        let text = server.text("/");
        let facts: Vec<&str> = text.split('|').collect();
        assert_eq!(facts[0], python.version);
        assert_eq!(facts[1], venv.display().to_string(), "sys.prefix");
        let site = format!("{}/lib/python{}/", venv.display(), python.version);
        assert!(facts[4].starts_with(&site), "{}", facts[4]);
    }
}

#[test]
fn a_home_may_name_both_prefixes_of_a_python() {
    if only_ours("one Python is linked into it") {
        return;
    }
    let venv = python::venv(&python::pythons()[0], RELEASES[0]);
    let venv = venv.display().to_string();
    for mode in [Mode::Embedded, Mode::Daemon] {
        let server = Server::builder(mode)
            .directive(&format!("WSGIPythonHome {venv}:{venv}"))
            .app("/", "packages")
            .start();
        assert_eq!(server.text("/").split('|').nth(1), Some(&venv[..]));
    }
    let (right, said) = Server::builder(Mode::Embedded)
        .directive("WSGIPythonHome /usr:lib")
        .configtest();
    assert!(!right);
    assert!(
        said.contains("'/usr:lib': a directory, or prefix:exec_prefix is expected"),
        "{said}"
    );
}

#[test]
fn numpy_works_in_the_default_application_group_of_a_daemon() {
    if only_ours("NumPy needs application-group=%{GLOBAL} there") {
        return;
    }
    for python in python::pythons() {
        let venv = python::venv(python, python::NUMPY);
        let server = Server::builder(Mode::Daemon)
            .daemon(&format!("threads=2 python-home={}", venv.display()))
            .app("/", "numpy_sum")
            .start();
        assert!(
            server.text("/").starts_with("500500 "),
            "{}",
            python.version
        );
    }
}

#[test]
fn an_interpreter_that_cannot_load_an_extension_gets_a_line_that_says_what_to_do() {
    if only_ours("it leaves the user alone with the traceback") {
        return;
    }
    let newest = python::pythons().iter().max_by_key(|python| {
        python
            .version
            .split('.')
            .map(|part| part.parse().unwrap_or(0))
            .collect::<Vec<u32>>()
    });
    let venv = python::venv(newest.expect("Debian's, at least"), python::NUMPY);
    let mut server = Server::builder(Mode::Daemon)
        .daemon(&format!("threads=2 python-home={}", venv.display()))
        .directive("WSGIScriptAlias /one @APPS@/numpy_sum/app.wsgi application-group=one")
        .directive("WSGIScriptAlias /two @APPS@/numpy_sum/app.wsgi application-group=two")
        .start();
    server.expect_traceback("ImportError");
    server.allow_log("numpy");
    server.allow_log("application-group");
    assert!(server.text("/one").starts_with("500500 "));
    assert_eq!(server.get("/two").status(), 500);
    let advised = || {
        let text = server.log().text();
        let mut lines = text.lines().filter(|line| line.contains("wsgi:"));
        lines.any(|line| line.contains("application-group=%{GLOBAL}"))
    };
    wait::until_true("the advice in the log", advised);
    assert!(server.text("/one").starts_with("500500 "));
}

#[test]
fn the_default_python_is_the_one_that_path_finds() {
    for mode in [Mode::Embedded, Mode::Daemon] {
        let server = crate::support::serving(mode, "process").start();
        let facts = crate::support::facts_of(&server.text("/"));
        assert_eq!(facts["version"], format!("'{}'", python::debian().version));
        assert_eq!(facts["prefix"], "'/usr'");
    }
}
