//! What goes wrong in an application: one status to the client, one account in the log, no leak.

use wsgi_tests::apache::only_ours;
use wsgi_tests::{Mode, wait};

use crate::support::{is_not_taken_for_whole, serving};

in_both_modes! {
    fn an_exception_is_a_500_and_its_traceback_is_in_the_log_only(mode) {
        let mut server = serving(mode, "raises").start();
        server.expect_traceback("ValueError: secret trouble");
        for case in ["before-value", "started-value", "first-value"] {
            let response = server.get(&format!("/?{case}"));
            assert_eq!(response.status(), 500, "{case}");
            assert!(response.whole, "{case}");
            let text = response.text();
            assert!(!text.contains("secret") && !text.contains("Traceback"), "{case}: {text}");
        }
        let line = server.wait_for_log("ValueError: secret trouble");
        // The request's context: its client, as httpd writes it.
        assert!(line.contains("[client 127.0.0.1") || line.contains("[remote 127.0.0.1"), "{line}");
        assert!(line.contains("[wsgi:error]"), "{line}");
        assert_eq!(server.log().lines_with("ValueError: secret trouble").len(), 3);
    }

    fn every_line_of_a_traceback_is_a_record_of_its_own(mode) {
        if only_ours("version 6 logs the last line alone") {
            return;
        }
        let mut server = serving(mode, "raises").start();
        server.expect_traceback("ValueError: secret trouble");
        server.get("/?before-value");
        server.wait_for_log("ValueError: secret trouble");
        for text in ["Traceback (most recent call last)", "  File ", "in application", "in fail"] {
            let line = server.wait_for_log(text);
            assert!(line.contains("[wsgi:error]"), "{line}");
        }
        assert!(!server.log().text().contains("\\n"));
    }

    fn the_lines_of_a_traceback_stay_together(mode) {
        if only_ours("version 6 logs the last line alone") {
            return;
        }
        let mut server = serving(mode, "raises").start();
        server.expect_traceback("ValueError: secret trouble");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..5).for_each(|_| drop(server.get("/?before-value"))));
            }
        });
        let end = "ValueError: secret trouble";
        wait::until_true("all of them", || server.log().lines_with(end).len() == 40);
        let log = server.log().text();
        let mut inside = false;
        for line in log.lines().filter(|line| line.contains("[wsgi:error]")) {
            let begins = line.contains("ValueError exception raised processing WSGI script");
            assert_ne!(begins, inside, "another's line: {line}\n{log}");
            inside = !line.contains(end);
        }
    }

    fn exits_and_the_base_exception_do_not_end_the_process(mode) {
        let mut server = serving(mode, "raises").app("/ignored", "hello").start();
        server.expect_traceback("SystemExit");
        server.allow_log("from the base");
        server.allow_log("BaseException");
        server.allow_log("RecursionError");
        server.allow_log("Odd");
        server.allow_log("ZeroDivisionError");
        assert_eq!(server.get("/?before-exit").status(), 500);
        for case in ["before-exit", "before-base", "before-recursion", "before-unprintable"] {
            let before = pids(&server, mode);
            assert_eq!(server.get(&format!("/?{case}")).status(), 500, "{case}");
            assert_eq!(pids(&server, mode), before, "{case}");
        }
    }

    fn an_exception_after_bytes_leaves_a_response_that_is_seen_to_be_cut(mode) {
        if mode == Mode::Daemon
            && only_ours("a truncated response of a C daemon looks whole")
        {
            return;
        }
        let mut server = serving(mode, "raises").start();
        server.expect_traceback("ValueError: secret trouble");
        let response = server.get("/?late-value");
        is_not_taken_for_whole(&response, "some");
    }

    fn a_piece_that_is_not_bytes_after_others_cuts_the_response(mode) {
        if mode == Mode::Daemon
            && only_ours("a truncated response of a C daemon looks whole")
        {
            return;
        }
        let mut server = serving(mode, "bodies").start();
        server.expect_traceback("TypeError");
        let response = server.get("/?str-late");
        is_not_taken_for_whole(&response, "sent");
    }

    fn a_script_that_cannot_be_loaded_is_a_500(mode) {
        for (app, text) in [
            ("broken_syntax", "SyntaxError"),
            ("broken_import", "no_such_module_anywhere"),
            ("exits_on_load", "SystemExit"),
        ] {
            let mut server = serving(mode, app).start();
            server.expect_traceback(text);
            // The marks under a syntax error's source line.
            server.allow_log("^");
            let response = server.get("/");
            assert_eq!(response.status(), 500, "{app}");
            assert!(!response.text().contains(text), "{app}");
            server.wait_for_log(text);
        }
    }

    fn a_script_without_the_callable_is_an_error(mode) {
        let mut server = serving(mode, "no_callable").start();
        server.allow_log("application");
        let status = server.get("/").status();
        assert!([404, 500].contains(&status), "{status}");
        let line = server.wait_for_log("'application'");
        assert!(line.contains("no_callable/app.wsgi"), "{line}");
    }

    fn everything_the_application_says_is_logged_line_by_line(mode) {
        let mut server = serving(mode, "logs").start();
        let lines = [
            "by wsgi.errors, in two writes",
            "first line",
            "second line",
            "by print to wsgi.errors",
            "by print",
            "by stderr",
            "by logging",
            "snowman",
            "without an end",
        ];
        for text in lines {
            server.allow_log(text);
        }
        assert_eq!(server.text("/"), "TextIOWrapper");
        for text in lines {
            server.wait_for_log(text);
        }
        let line = server.wait_for_log("by wsgi.errors, in two writes");
        assert!(line.contains("127.0.0.1"), "{line}");
        // An application cannot write a terminal's control sequences into the log.
        assert!(!server.log().text().contains('\u{1b}'));
    }

    fn an_error_document_takes_the_place_of_our_error_page(mode) {
        let mut server = serving(mode, "raises")
            .directive("Alias /sorry.txt @ROOT@/htdocs/sorry.txt")
            .file("htdocs/sorry.txt", "we are sorry")
            .directive("ErrorDocument 500 /sorry.txt")
            .start();
        server.expect_traceback("ValueError: secret trouble");
        let response = server.get("/?before-value");
        assert_eq!((response.status(), response.text().as_str()), (500, "we are sorry"));
    }
}

fn pids(server: &wsgi_tests::Server, mode: Mode) -> Vec<u32> {
    let processes = match mode {
        Mode::Embedded => server.children(),
        Mode::Daemon => server.daemons(),
    };
    processes.iter().map(|process| process.pid).collect()
}
