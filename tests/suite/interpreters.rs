//! How interpreters are set up: Python's own switches, what applications may use, and the section
//! that limits directives to chosen interpreters.

use std::collections::BTreeMap;

use wsgi_tests::apache::{compat, only_ours};
use wsgi_tests::load::Load;
use wsgi_tests::python::{self, Python, python_with};
use wsgi_tests::{Builder, Mode, Request, Response, Server, process, wait};

use crate::support::{facts_of, serving};

fn facts(server: &Server) -> BTreeMap<String, String> {
    facts_of(&server.text("/"))
}

/// Starts it; what the fixture prints is no complaint.
fn started(builder: Builder) -> Server {
    let mut server = builder.start();
    server.allow_log("by the application");
    server
}

fn with(mode: Mode, directives: &str) -> Server {
    started(serving(mode, "interpreter").directive(directives))
}

in_both_modes! {
    fn an_interpreter_is_as_python_makes_it_when_nothing_is_said(mode) {
        let facts = facts(&with(mode, ""));
        assert_eq!((&*facts["optimize"], &*facts["asserts"]), ("0", "True"));
        assert_eq!(facts["dont_write_bytecode"], "False");
        assert_eq!(facts["warnoptions"], "[]");
        assert_eq!(facts["switch_interval"], "0.005");
        assert_eq!((&*facts["stdout"], &*facts["stderr"]), ("'usable'", "'usable'"));
        assert_eq!(facts["egg_cache"], "None");
    }

    fn optimisation_leaves_assertions_and_then_docstrings_out(mode) {
        let one = facts(&with(mode, "WSGIPythonOptimize 1"));
        assert_eq!((&*one["optimize"], &*one["asserts"]), ("1", "False"));
        assert_eq!(one["docstrings"], "True");
        let two = facts(&with(mode, "WSGIPythonOptimize 2"));
        assert_eq!((&*two["optimize"], &*two["docstrings"]), ("2", "False"));
    }

    fn warning_filters_add_up_in_their_order(mode) {
        let filters = "WSGIPythonWarnings ignore::DeprecationWarning\n\
                       WSGIPythonWarnings \"error:a message, with commas\"";
        assert_eq!(
            facts(&with(mode, filters))["warnoptions"],
            "['ignore::DeprecationWarning', 'error:a message, with commas']"
        );
    }

    fn a_hash_seed_makes_hashes_the_same_everywhere(mode) {
        let first = facts(&with(mode, "WSGIPythonHashSeed 42"));
        let second = facts(&with(mode, "WSGIPythonHashSeed 42"));
        assert_eq!(first["hash"], second["hash"]);
    }

    fn a_random_hash_seed_is_random(mode) {
        if only_ours("random turns randomisation off there") {
            return;
        }
        let first = facts(&with(mode, "WSGIPythonHashSeed random"));
        let second = facts(&with(mode, "WSGIPythonHashSeed random"));
        assert_eq!(first["hash_randomization"], "1");
        assert_ne!(first["hash"], second["hash"]);
    }

    fn imports_leave_no_bytecode_behind_when_told_so(mode) {
        assert_eq!(facts(&with(mode, "WSGIDontWriteBytecode On"))["dont_write_bytecode"], "True");
    }

    fn a_directory_that_is_not_there_is_named_and_the_others_are_added(mode) {
        let list = "/no/such/directory:/usr/share";
        let builder = match mode {
            Mode::Embedded => serving(mode, "interpreter").directive(&format!("WSGIPythonPath {list}")),
            Mode::Daemon => serving(mode, "interpreter").daemon(&format!("python-path={list}")),
        };
        let mut server = started(builder);
        if compat().is_none() {
            server.expect_log("'/no/such/directory' on the module search path does not exist");
        }
        assert!(facts(&server)["path"].contains("'/usr/share'"));
    }

    fn the_switch_interval_is_the_directives(mode) {
        assert_eq!(facts(&with(mode, "WSGISwitchInterval 0.02"))["switch_interval"], "0.02");
    }

    fn restricted_streams_cannot_be_used_and_stderr_can(mode) {
        let mut server = with(mode, "WSGIRestrictStdin On\nWSGIRestrictStdout On");
        // The C module's Python cannot flush what it restricted when it ends.
        server.allow_log("Exception ignored in");
        server.allow_log("access restricted");
        let facts = facts(&server);
        for name in ["stdin", "stdout"] {
            assert!(facts[name].contains("OSError"), "{}", facts[name]);
            assert!(facts[name].contains(&format!("sys.{name}")), "{}", facts[name]);
        }
        assert_eq!(facts["stdin_type"], "'mod_wsgi.Restricted'");
        assert_eq!(facts["stderr"], "'usable'");
    }

    fn a_signal_handler_is_not_registered_and_its_place_is_logged(mode) {
        let server = with(mode, "");
        let facts = facts(&server);
        assert_eq!((&*facts["signal"], &*facts["handler"]), ("True", "False"));
        server.wait_for_log("/interpreter/app.wsgi\", line ");
    }

    fn a_section_holds_for_the_interpreters_it_selects(mode) {
        let group = match mode {
            Mode::Embedded => "%{GLOBAL}",
            Mode::Daemon => "app",
        };
        let section = format!(
            "WSGIRestrictStdin On\n\
             <WSGIInterpreterOptions application-group=chosen>\nWSGIRestrictStdout On\n\
             WSGIPythonPath /usr/lib/a-chosen-path:/usr\n</WSGIInterpreterOptions>\n\
             <WSGIInterpreterOptions process-group={group} application-group=chosen>\n\
             WSGIRestrictStdin Off\n</WSGIInterpreterOptions>\n\
             <WSGIInterpreterOptions process-group=absent>\nWSGIRestrictStdout On\n\
             </WSGIInterpreterOptions>\n\
             WSGIScriptAlias /chosen @APPS@/interpreter/app.wsgi application-group=chosen"
        );
        let mut server = started(
            Server::builder(mode).directive(&section).app("/", "interpreter"),
        );
        server.allow_log("a-chosen-path");
        let chosen = facts_of(&server.text("/chosen"));
        assert_eq!(chosen["stdin"], "'usable'");
        assert!(chosen["stdout"].contains("OSError"));
        assert!(chosen["path"].starts_with("['/usr/lib/a-chosen-path', '/usr'"), "{}", chosen["path"]);
        let other = facts(&server);
        assert!(other["stdin"].contains("OSError"));
        assert_eq!(other["stdout"], "'usable'");
        assert!(!other["path"].contains("a-chosen-path"));
    }

    fn exit_functions_are_left_out_when_interpreters_are_not_destroyed(mode) {
        for (directive, runs) in [("", true), ("WSGIDestroyInterpreter Off", false)] {
            for group in ["%{GLOBAL}", "another"] {
                let group = format!("WSGIApplicationGroup {group}");
                let builder = serving(mode, "cleanup").directive(directive).directive(&group);
                let mut server = builder.start();
                server.text("/");
                server.stop();
                let none = || process::of_server(0, server.root()).is_empty();
                wait::until_true("no process is left", none);
                let cleaned = || server.state("cleaned").exists();
                if runs {
                    wait::until_true("the exit function has run", cleaned);
                }
                assert_eq!(cleaned(), runs, "{directive} {group}");
            }
        }
    }
}

#[test]
fn the_egg_cache_is_the_directives_embedded_and_the_options_in_a_daemon() {
    let embedded = facts(&with(Mode::Embedded, "WSGIPythonEggs /tmp/eggs"));
    assert_eq!(embedded["egg_cache"], "'/tmp/eggs'");
    let server = started(
        serving(Mode::Daemon, "interpreter")
            .daemon("python-eggs=/tmp/others")
            .directive("WSGIPythonEggs /tmp/eggs"),
    );
    assert_eq!(facts(&server)["egg_cache"], "'/tmp/others'");
}

#[test]
fn the_switch_interval_of_a_group_outranks_the_servers() {
    if only_ours("the server's wins there, so the option has no effect") {
        return;
    }
    let server = started(
        serving(Mode::Daemon, "interpreter")
            .daemon("switch-interval=0.03")
            .directive("WSGISwitchInterval 0.5"),
    );
    assert_eq!(facts(&server)["switch_interval"], "0.03");
}

#[test]
fn a_handler_is_registered_when_signals_are_not_restricted() {
    // Only a main thread may, which is what loads a script with the process.
    let server = started(
        Server::builder(Mode::Daemon).directive("WSGIRestrictSignal Off").directive(
            "WSGIScriptAlias / @APPS@/signals/app.wsgi process-group=app application-group=%{GLOBAL}",
        ),
    );
    assert_eq!(server.text("/"), "True");
}

#[test]
fn every_python_takes_its_switches_embedded() {
    if only_ours("one Python is linked into it") {
        return;
    }
    for python in python::pythons() {
        let venv = python::venv(python, python::NONE);
        let server = with(
            Mode::Embedded,
            &format!(
                "WSGIPythonHome {}\nWSGIPythonOptimize 2\nWSGIDontWriteBytecode On\n\
                 WSGIPythonWarnings error\nWSGIPythonHashSeed 7",
                venv.display()
            ),
        );
        let facts = facts(&server);
        assert_eq!(facts["optimize"], "2", "{}", python.version);
        assert_eq!(facts["dont_write_bytecode"], "True", "{}", python.version);
        assert_eq!(facts["warnoptions"], "['error']", "{}", python.version);
    }
}

/// Two application groups, of which `b` has a switch interval of its own.
fn two_groups(python: &Python) -> Server {
    started(
        Server::builder(Mode::Daemon)
            .daemon(&format!(
                "threads=2 python-home={}",
                python::venv(python, python::NONE).display()
            ))
            .directive(
                "WSGIPerInterpreterGIL On\n\
                 <WSGIInterpreterOptions application-group=b>\nWSGISwitchInterval 0.25\n\
                 </WSGIInterpreterOptions>\n\
                 WSGIScriptAlias /a @APPS@/interpreter/app.wsgi application-group=a\n\
                 WSGIScriptAlias /b @APPS@/interpreter/app.wsgi application-group=b",
            ),
    )
}

#[test]
fn interpreters_have_a_gil_each_where_python_can() {
    if only_ours("it offers them on 3.12 as well") {
        return;
    }
    let Some(python) = python_with(|minor| minor >= 13) else {
        return;
    };
    let server = two_groups(python);
    let [a, b] = ["/a", "/b"].map(|url| facts_of(&server.text(url)));
    assert_eq!(a["pid"], b["pid"]);
    // An interval is a GIL's, so two intervals are two GILs.
    assert_eq!(a["switch_interval"], "0.005");
    assert_eq!(b["switch_interval"], "0.25");
    assert_eq!(server.log().lines_with("a GIL of its own").len(), 2);
}

#[test]
fn interpreters_with_own_gils_serve_under_load_at_once() {
    if only_ours("it offers them on 3.12 as well") {
        return;
    }
    let Some(python) = python_with(|minor| minor >= 13) else {
        return;
    };
    let builder = Server::builder(Mode::Daemon)
        .daemon(&format!(
            "threads=8 python-home={}",
            python::venv(python, python::NONE).display()
        ))
        .directive("WSGIPerInterpreterGIL On");
    let groups = ["a", "b", "c"];
    let builder = groups.iter().fold(builder, |builder, group| {
        builder.directive(&format!(
            "WSGIScriptAlias /{group} @APPS@/environ/app.wsgi application-group={group}"
        ))
    });
    let server = builder.start();
    let load = groups.map(|group| Load::start(server.address(), &format!("/{group}"), 3));
    load.iter().for_each(|load| load.wait_for_more(500));
    for load in load {
        assert_eq!(load.finish().failed, []);
    }
}

#[test]
fn a_free_threaded_python_is_refused_in_a_sentence() {
    if only_ours("one Python is linked into it") {
        return;
    }
    let disguise = "#!/bin/sh\nexec /usr/bin/python3 -c 'import sys\nsys.abiflags = \"t\"\n\
                    at = sys.argv.index(\"-c\", 1) + 1\ncode = sys.argv[at]\n\
                    del sys.argv[1:at + 1]\nexec(code)' \"$@\"\n";
    let mut server = Server::builder(Mode::Daemon)
        .file("free/bin/python", disguise)
        .daemon("python-home=@ROOT@/free")
        .start();
    // The harness writes plain files, so the first attempts end before it is executable.
    server.allow_log("process group 'app'");
    server.expect_log("free-threaded build of Python");
    let program = server.root().join("free/bin/python");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(program, executable).expect("the file is ours");
    server.wait_for_log("free-threaded build of Python");
}

#[test]
fn interpreters_share_the_gil_of_an_older_python_and_the_log_says_so() {
    if only_ours("it offers them on 3.12 as well") {
        return;
    }
    let Some(python) = python_with(|minor| minor < 13) else {
        return;
    };
    let mut server = two_groups(python);
    server.expect_log("WSGIPerInterpreterGIL needs Python 3.13");
    server.expect_log("WSGISwitchInterval has no effect for application group 'b'");
    let [a, b] = ["/a", "/b"].map(|url| facts_of(&server.text(url)));
    assert_eq!(
        (&*a["switch_interval"], &*b["switch_interval"]),
        ("0.005", "0.005")
    );
}

#[test]
fn an_extension_that_refuses_a_gil_of_its_own_is_reported_with_what_to_do() {
    if only_ours("its log leaves the administrator to guess") {
        return;
    }
    let Some(python) = python_with(|minor| minor >= 13) else {
        return;
    };
    let venv = python::venv(python, python::NUMPY);
    let mut server = Server::builder(Mode::Daemon)
        .daemon(&format!("threads=2 python-home={}", venv.display()))
        .directive("WSGIPerInterpreterGIL On")
        .app("/", "numpy_sum")
        .start();
    server.expect_traceback("ImportError");
    server.expect_log("WSGIPerInterpreterGIL Off");
    // What numpy adds to the traceback is many lines.
    server.allow_log("[client ");
    assert_eq!(server.get("/").status(), 500);
}

#[test]
fn free_threading_is_told_to_be_without_effect() {
    if only_ours("its sentence is another") {
        return;
    }
    let mut server = with(Mode::Daemon, "WSGIFreeThreading On");
    server.expect_log("WSGIFreeThreading has no effect");
    assert_eq!(server.get("/").status(), 200);
}

#[test]
fn a_section_takes_directives_of_interpreters_only_and_stands_in_the_main_server() {
    if only_ours("it lets other directives act for all interpreters") {
        return;
    }
    let section = |head: &str, line: &str| {
        format!("<WSGIInterpreterOptions{head}>\n{line}\n</WSGIInterpreterOptions>")
    };
    for (directives, named) in [
        (section("", "WSGIPythonOptimize 1"), "WSGIPythonOptimize"),
        (section("", "Timeout 5"), "Timeout"),
        (section(" threads=1", ""), "threads"),
        (section(" application-group=", ""), "application-group"),
        (section("", "WSGISwitchInterval 0"), "positive number"),
        (
            format!("<VirtualHost *:1>\n{}\n</VirtualHost>", section("", "")),
            "VirtualHost",
        ),
    ] {
        let (right, said) = Server::builder(Mode::Embedded)
            .directive(&directives)
            .configtest();
        assert!(!right && said.contains(named), "{directives}: {said}");
    }
}

fn for_host(server: &Server, host: &str) -> Response {
    server.send(&Request::get("/").header("Host", host))
}

in_both_modes! {
    fn clients_make_no_more_interpreters_than_the_limit(mode) {
        if only_ours("each name that a client thinks of gets an interpreter") {
            return;
        }
        let mut server = serving(mode, "hello")
            .directive("WSGIApplicationGroup %{HOST}\nWSGIMaximumApplicationGroups 3")
            .start();
        server.expect_log("'four");
        for (host, expected) in
            [("one", 200), ("two", 200), ("three", 200), ("four", 503), ("five", 503), ("two", 200)]
        {
            assert_eq!(for_host(&server, host).status(), expected, "{host}");
        }
        let lines = server.log().lines_with("WSGIMaximumApplicationGroups");
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("[client 127.0.0.1"), "{lines:?}");
        assert!(lines[0].contains("has made 3 interpreters"), "{lines:?}");
    }

    fn scripts_of_their_own_path_are_not_limited(mode) {
        let server = Server::builder(mode)
            .directive(if compat().is_some() { "" } else { "WSGIMaximumApplicationGroups 1" })
            .app("/a", "hello")
            .app("/b", "environ")
            .app("/c", "process")
            .start();
        for path in ["/a", "/b", "/c"] {
            assert_eq!(server.get(path).status(), 200, "{path}");
        }
    }
}

#[test]
fn a_limit_of_application_groups_is_a_number() {
    let (right, said) = Server::builder(Mode::Embedded)
        .directive("WSGIMaximumApplicationGroups many")
        .configtest();
    assert!(!right);
    let named = said.contains("'many': a whole number is expected");
    assert!(named || compat().is_some(), "{said}");
}
