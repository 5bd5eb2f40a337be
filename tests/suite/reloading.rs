//! Loading applications: again when they ask for it or their modules change, and several at once.

use std::fs;

use wsgi_tests::apache::only_ours;
use wsgi_tests::{Mode, Server, wait};

use crate::support::serving;

/// What the fixture tells: process, executions in it, and its module's word.
fn told(server: &Server, target: &str) -> (u32, u32, String) {
    let text = server.text(target);
    let mut words = text.split(' ');
    let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    let (pid, executions) = (number(), number());
    (pid, executions, words.next().unwrap_or_default().to_owned())
}

/// Whether the second answer comes from another load than the first: in embedded mode by another
/// execution, in a daemon by another process.
fn was_loaded_again(mode: Mode, first: &(u32, u32, String), second: &(u32, u32, String)) -> bool {
    match mode {
        Mode::Embedded => second.1 > first.1,
        Mode::Daemon => second.0 != first.0,
    }
}

/// One child, so that embedded executions count up.
fn one_process(mode: Mode) -> wsgi_tests::Builder {
    serving(mode, "reloading").sizes(
        "StartServers 1\nServerLimit 1\nThreadsPerChild 8\nMaxRequestWorkers 8\n\
         MinSpareThreads 1\nMaxSpareThreads 8\n",
    )
}

in_both_modes! {
    fn a_script_is_loaded_again_when_its_own_function_says_so(mode) {
        let server = one_process(mode).start();
        let first = told(&server, "/");
        assert!(!was_loaded_again(mode, &first, &told(&server, "/?want")));
        assert!(was_loaded_again(mode, &first, &told(&server, "/")));
    }

    fn each_load_has_a_module_of_its_own(mode) {
        let server = one_process(mode).start();
        for _ in 0..2 {
            assert!(server.text("/?unstamp").ends_with("True"));
        }
    }

    fn a_function_that_fails_loads_nothing_and_is_logged(mode) {
        let mut server = one_process(mode).start();
        server.expect_traceback("RuntimeError: cannot tell");
        server.allow_log("reload_required");
        server.allow_log("exception raised");
        let first = told(&server, "/?raise");
        assert!(!was_loaded_again(mode, &first, &told(&server, "/")));
    }

    fn a_script_is_loaded_again_when_its_stamp_is_gone_or_another(mode) {
        let server = one_process(mode).start();
        for query in ["/?unstamp", "/?restamp"] {
            let first = told(&server, query);
            assert!(was_loaded_again(mode, &first, &told(&server, "/")), "{query}");
        }
    }

    fn nothing_of_this_counts_when_reloading_is_off(mode) {
        let server = one_process(mode).directive("WSGIScriptReloading Off").start();
        let first = told(&server, "/?want");
        told(&server, "/?unstamp");
        assert!(!was_loaded_again(mode, &first, &told(&server, "/")));
    }

    fn a_changed_module_stays_as_it_was_unless_modules_are_watched(mode) {
        let server = one_process(mode).start();
        let first = told(&server, "/");
        server.edit_app("reloading/lib/watched_module.py", "first", "second");
        let second = told(&server, "/");
        assert!(!was_loaded_again(mode, &first, &second));
        assert_eq!(second.2, "first");
    }

    fn the_recipe_for_a_virtual_environment_in_the_script_works(mode) {
        let server = serving(mode, "activated").start();
        assert_eq!(server.text("/"), "package path-file");
    }

    fn applications_that_load_slowly_hold_up_nobody_else(mode) {
        if only_ours("a lock of the whole process is held while a script is loaded") {
            return;
        }
        let server = Server::builder(mode)
            .app("/slow", "slow_load")
            .app("/neighbour", "slow_neighbour")
            .app("/other", "hello")
            .sizes(
                "StartServers 1\nServerLimit 1\nThreadsPerChild 8\nMaxRequestWorkers 8\n\
                 MinSpareThreads 1\nMaxSpareThreads 8\n",
            )
            .start();
        std::thread::scope(|scope| {
            let slow = ["/slow", "/neighbour"].map(|url| scope.spawn(|| server.text(url)));
            for name in ["loading-slow_load", "loading-slow_neighbour"] {
                wait::until_true("both loads have begun", || server.state(name).exists());
            }
            assert_eq!(server.text("/other"), "Hello World!");
            fs::write(server.state("gate"), "").expect("writable");
            for answer in slow {
                assert_eq!(answer.join().expect("answered"), "loaded");
            }
        });
    }
}

#[test]
fn the_recipe_that_watches_files_from_a_thread_replaces_its_daemon() {
    let mut server = serving(Mode::Daemon, "monitored").start();
    // The C module tells so at warning level.
    server.allow_log("has died");
    let first = server.text("/");
    fs::write(server.app("monitored/watched.txt"), "changed").expect("writable");
    wait::until("another process", || {
        let answer = server.get("/");
        (answer.status() == 200 && answer.text() != first).then_some(())
    });
}

#[test]
fn a_watched_module_that_changes_replaces_its_daemon() {
    if only_ours("it watches scripts only") {
        return;
    }
    let server = one_process(Mode::Daemon)
        .directive("WSGIModuleReloading On")
        .start();
    let first = told(&server, "/");
    assert_eq!(first.2, "first");
    server.edit_app("reloading/lib/watched_module.py", "first", "second");
    let second = wait::until("the module's new word", || {
        Some(told(&server, "/")).filter(|told| told.2 == "second")
    });
    assert_ne!(first.0, second.0);
    server.wait_for_log("module watched_module (");
}

#[test]
fn a_watched_module_that_changes_is_reported_once_in_embedded_mode() {
    if only_ours("it watches scripts only") {
        return;
    }
    let mut server = one_process(Mode::Embedded)
        .directive("WSGIModuleReloading On")
        .start();
    server.expect_log("Apache has to be restarted");
    told(&server, "/");
    server.edit_app("reloading/lib/watched_module.py", "first", "second");
    wait::until_true("the change is logged", || {
        assert_eq!(told(&server, "/").2, "first");
        !server
            .log()
            .lines_with("Apache has to be restarted")
            .is_empty()
    });
    assert_eq!(
        server.log().lines_with("Apache has to be restarted").len(),
        1
    );
}
