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

/// What `configtest` says of a `python-home` whose `bin/python` is this shell script.
fn judged(script: &str, mode: u32) -> (bool, String) {
    let home = format!(
        "/tmp/wsgi-home-{}-{mode:o}-{}",
        std::process::id(),
        script.len()
    );
    let home = std::path::Path::new(&home);
    std::fs::create_dir_all(home.join("bin")).expect("a directory");
    let program = home.join("bin/python");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("ours");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(&program, mode).expect("ours");
    let result = Server::builder(Mode::Daemon)
        .daemon(&format!("threads=2 python-home={}", home.display()))
        .configtest();
    std::fs::remove_dir_all(home).expect("ours");
    result
}

#[test]
fn a_python_home_that_cannot_work_is_one_sentence_at_configtest() {
    if only_ours("it warns, if at all, when the server starts") {
        return;
    }
    for (script, mode, said) in [
        (
            "printf '3.8 !'",
            0o755,
            "bin/python is Python 3.8, and 3.10 or later is needed",
        ),
        (
            "printf '3.13 t!'",
            0o755,
            "bin/python is a free-threaded build of Python 3.13",
        ),
        ("printf '3.11 !'", 0o644, "cannot execute"),
        ("exit 3", 0o755, "bin/python does not tell its version"),
        ("yes", 0o755, "bin/python does not tell its version"),
    ] {
        let (right, text) = judged(script, mode);
        assert!(!right, "{script}: {text}");
        let lines: Vec<_> = text.lines().filter(|line| line.contains("wsgi")).collect();
        assert_eq!(lines.len(), 1, "{text}");
        assert!(lines[0].contains(said), "{text}");
        assert!(lines[0].contains("WSGIDaemonProcess app: "), "{text}");
        assert!(lines[0].contains("/bin/python"), "{text}");
    }
    let (right, text) = Server::builder(Mode::Daemon)
        .daemon("python-home=/no/such")
        .configtest();
    assert!(
        !right && text.contains("/no/such/bin/python and no"),
        "{text}"
    );
}

#[test]
fn an_interpreter_that_does_not_answer_in_time_is_only_a_warning() {
    if only_ours("it does not ask") {
        return;
    }
    let (right, text) = judged("sleep 1000", 0o755);
    assert!(right, "{text}");
    assert!(
        text.contains("could not be asked for its version"),
        "{text}"
    );
    // And one that answers, but does not end, is not waited for.
    let (right, text) = judged("printf '3.11 !'; sleep 1000", 0o755);
    assert!(right && !text.contains("wsgi"), "{text}");
}

#[test]
fn an_interpreter_is_asked_as_the_groups_user() {
    if only_ours("it does not ask") || !wsgi_tests::apache::apache().as_root {
        return;
    }
    let script = "[ $(id -u):$(id -G) = 33:33 ] || exit 1; [ -e /proc/$$/fd/3 ] && exit 1\n\
                  printf '3.11 !'";
    let (right, text) = judged(script, 0o755);
    assert!(right, "{text}");
}

#[test]
fn an_old_python_says_so_in_the_log_when_a_server_starts_with_it() {
    if only_ours("one Python is linked into it") {
        return;
    }
    let disguise = "#!/bin/sh\nexec /usr/bin/python3 -c 'import sys\nsys.version_info = (3, 8)\n\
                    code = sys.argv[2]\ndel sys.argv[1:3]\nexec(code)' \"$@\"\n";
    let mut server = Server::builder(Mode::Daemon)
        .file("old/bin/python", disguise)
        .daemon("threads=2 python-home=@ROOT@/old")
        .start();
    // The harness writes plain files, so the first attempts end before it is executable.
    server.allow_log("process group 'app'");
    server.expect_log("is Python 3.8, and mod_wsgi_rs needs 3.10 or later");
    let program = server.root().join("old/bin/python");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(program, executable).expect("the file is ours");
    server.wait_for_log("mod_wsgi_rs needs 3.10 or later");
}

#[test]
fn a_python_that_cannot_be_embedded_fails_its_requests_and_nothing_else() {
    if only_ours("one Python is linked into it") {
        return;
    }
    let mut server = Server::builder(Mode::Embedded)
        .file("broken/bin/python", "#!/bin/sh\nexit 3\n")
        .file("htdocs/page.txt", "a page")
        .directive("WSGIPythonHome @ROOT@/broken")
        .app("/app", "hello")
        .start();
    server.expect_log("Python cannot be started in Apache's own process");
    server.allow_log("Python could not be started in this process; an earlier line says why");
    assert_eq!(server.get("/app").status(), 500);
    server.wait_for_log("broken/bin/python");
    assert_eq!(server.get("/app").status(), 500);
    assert_eq!(server.text("/page.txt"), "a page");
}
