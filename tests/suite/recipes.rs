//! Recipes of mod_wsgi's documentation, which applications have copied for years: they work as they
//! are written there.

use std::fs;

use wsgi_tests::{Request, wait};

use crate::support::serving;

in_both_modes! {
    fn a_middleware_logs_what_goes_in_and_what_comes_out(mode) {
        let mut server = serving(mode, "recipe_middleware").start();
        let lines = [
            "REQUEST POST /path",
            "'SCRIPT_NAME'",
            "INPUT b'the body'",
            "RESPONSE 200 OK",
            "WRITE b'written, '",
            "OUTPUT b'then '",
            "OUTPUT b'the body'",
        ];
        for line in lines {
            server.allow_log(line);
        }
        let response = server.send(&Request::post("/path", "the body"));
        assert_eq!(response.text(), "written, then the body");
        for line in lines {
            server.wait_for_log(line);
        }
    }

    fn a_function_runs_at_the_end_of_each_request(mode) {
        let mut server = serving(mode, "recipe_cleanup").start();
        server.expect_traceback("cleaned up all the same");
        assert_eq!(server.text("/?first"), "done");
        assert_eq!(server.get("/?raise").status(), 500);
        wait::until_true("both marks", || {
            fs::read_to_string(server.state("cleaned")).is_ok_and(|marks| marks == "first\nraise\n")
        });
    }

    fn a_thread_ships_the_metrics_of_each_interval_and_ends_with_its_process(mode) {
        let mut server = serving(mode, "recipe_reporter").start();
        let mut sent = 0;
        wait::until_true("requests that were shipped", || {
            let text = server.text("/");
            sent += 1;
            let mut numbers = text.split(' ').filter_map(|number| number.parse::<u32>().ok());
            let (requests, samples) = (numbers.next(), numbers.next());
            assert!(requests < Some(sent), "{text}: more than were sent");
            requests > Some(2) && samples > Some(2)
        });
        // The harness finds a process that a thread keeps from ending.
        server.stop();
    }
}
