//! The module `mod_wsgi` inside applications: events, the request's own data, log levels, and the end
//! of the process.

use std::collections::BTreeSet;
use std::fs;

use wsgi_tests::apache::{compat, only_ours};
use wsgi_tests::{Mode, Request, Server, process, wait};

use crate::support::serving;

/// One line of `tests/apps/events`: what subscribers were told.
struct Told {
    name: String,
    text: String,
}

impl Told {
    fn fields(&self) -> BTreeSet<&str> {
        let keys = self.text.split('"').collect::<Vec<_>>();
        // Keys of the object are the strings that a colon follows.
        keys.windows(2)
            .filter(|pair| pair[1].starts_with(": "))
            .map(|pair| pair[0])
            .collect()
    }

    fn value(&self, field: &str) -> &str {
        let key = format!("\"{field}\": ");
        let start = self.text.find(&key).expect("the field") + key.len();
        let rest = &self.text[start..];
        rest[..rest.find([',', '}']).expect("an end")].trim_matches('"')
    }

    fn number(&self, field: &str) -> f64 {
        self.value(field).parse().expect("a number")
    }
}

/// The events since the last question.
fn told(server: &Server) -> Vec<Told> {
    let told = server.get("/?told").text();
    told.lines()
        .map(|line| {
            let name = line.split('"').nth(1).expect("a name").to_owned();
            Told {
                name,
                text: line.to_owned(),
            }
        })
        .collect()
}

/// The events of one request, which must be the last but one that began.
fn events_of(server: &Server, request: &Request) -> Vec<Told> {
    told(server);
    server.send(request);
    let mut events = told(server);
    // The end of the first question, and the start of this one.
    let from = events
        .iter()
        .position(|told| told.name == "request_finished");
    events.drain(..=from.expect("the question's end"));
    events.pop();
    events
}

fn names(events: &[Told]) -> Vec<&str> {
    events.iter().map(|told| told.name.as_str()).collect()
}

const FINISHED: &str = "request_id thread_id server_pid request_start queue_start daemon_start \
    application_finish application_time status input_reads input_length input_time output_writes \
    output_length output_time cpu_user_time cpu_system_time cpu_time gil_wait_time \
    gil_wait_count request_data";

const STARTED: &str = "request_id thread_id server_pid daemon_connects daemon_restarts \
    request_start queue_start daemon_start application_start application_object callable_object \
    request_environ request_data";

fn words(text: &str) -> BTreeSet<&str> {
    text.split_ascii_whitespace().collect()
}

in_both_modes! {
    fn a_request_is_told_of_from_its_start_to_its_end(mode) {
        let server = serving(mode, "events").start();
        let events = events_of(&server, &Request::post("/?x", "some body"));
        assert_eq!(names(&events), ["request_started", "response_started", "request_finished"]);
        assert_eq!(events[0].fields(), words(STARTED));
        let response = "request_id response_status response_headers exception_info request_data";
        assert_eq!(events[1].fields(), words(response));
        assert!(events[2].fields().is_superset(&words(FINISHED)), "{}", events[2].text);
        assert_eq!(events[1].value("response_status"), "201 Made");
        let ids: BTreeSet<&str> = events.iter().map(|told| told.value("request_id")).collect();
        assert_eq!(ids.len(), 1);
    }

    fn a_request_tells_how_often_it_was_offered(mode) {
        let server = serving(mode, "events").start();
        let events = events_of(&server, &Request::get("/?x"));
        let made = f64::from(u8::from(mode == Mode::Daemon));
        assert_eq!(events[0].number("daemon_connects"), made);
        assert_eq!(events[0].number("daemon_restarts"), 0.0);
        server.edit_app("events/app.wsgi", "201 Made", "201 Remade");
        let events = told(&server);
        let last = events.iter().rfind(|event| event.name == "request_started");
        let last = last.expect("the question itself is told of");
        assert_eq!(last.number("daemon_restarts"), made);
    }

    fn the_end_of_a_request_tells_what_it_cost(mode) {
        let server = serving(mode, "events").start();
        let events = events_of(&server, &Request::post("/?cost", "nine byte"));
        let end = &events[2];
        assert_eq!(end.number("status"), 201.0);
        assert!(end.number("input_reads") >= 1.0);
        assert_eq!(end.number("input_length"), 9.0);
        assert_eq!(end.number("output_writes"), 1.0);
        assert_eq!(end.number("output_length"), 8.0);
        assert!(end.number("gil_wait_count") >= 1.0);
        assert!(end.number("application_finish") >= end.number("request_start"));
        let queued = end.number("queue_start");
        assert_eq!(queued > 0.0, mode == Mode::Daemon, "{queued}");
    }

    fn an_uncaught_exception_is_an_event(mode) {
        let mut server = serving(mode, "events").start();
        server.expect_traceback("ValueError: told to subscribers");
        let events = events_of(&server, &Request::get("/?raise"));
        assert_eq!(names(&events), ["request_started", "request_exception", "request_finished"]);
        assert!(events[1].text.contains("\"ValueError\""), "{}", events[1].text);
        assert_eq!(events[2].number("status"), 500.0);
    }

    fn a_subscriber_can_put_another_callable_in_the_applications_place(mode) {
        let server = serving(mode, "events").start();
        assert_eq!(server.text("/?replace"), "replaced");
        let events = told(&server);
        assert!(names(&events).contains(&"second"), "what one adds, the next is told");
    }

    fn the_trouble_of_a_subscriber_is_logged_and_nobody_elses(mode) {
        let mut server = serving(mode, "events").start();
        server.expect_log("LookupError exception raised by event callback for 'request_finished'");
        server.expect_traceback("LookupError");
        let response = server.get("/?fail");
        assert_eq!((response.status(), response.text().as_str()), (201, "fail set"));
        server.wait_for_log("a subscriber's own trouble");
    }

    fn a_request_has_data_of_its_own(mode) {
        let server = serving(mode, "request_data").start();
        assert_eq!(server.text("/?one"), "{'words': ['one', 'again']}");
        assert_eq!(server.text("/?two"), "{'words': ['two', 'again']}");
        assert_eq!(server.text("/?active"), "1 True");
        let refusal = "no active request for thread";
        let both = server.text("/?outside");
        let mut refusals = both.lines();
        assert_eq!(refusals.next(), Some(refusal));
        if only_ours("mod_wsgi takes loading for a part of the request") {
            return;
        }
        assert_eq!(refusals.next(), Some(refusal));
    }

    fn log_records_have_the_level_they_were_logged_with(mode) {
        let mut server = serving(mode, "levels").start();
        server.allow_log("logged with");
        server.expect_traceback("KeyError: 'no such key'");
        assert_eq!(server.text("/"), "Handler");
        for (level, name) in [
            (20, "info"), (25, "info"), (30, "warn"), (40, "error"), (50, "crit"), (60, "crit"),
        ] {
            let line = server.wait_for_log(&format!("logged with level {level}."));
            assert!(line.contains(&format!("[wsgi:{name}]")), "{line}");
            assert!(line.contains("127.0.0.1"), "{line}");
        }
        // LogLevel is info.
        assert!(server.log().lines_with("logged with level 10.").is_empty());
        server.wait_for_log("KeyError: 'no such key'");
    }

    fn the_end_of_a_process_is_told_before_threads_are_waited_for(mode) {
        let mut server = serving(mode, "stopping").start();
        server.text("/");
        server.stop();
        // A daemon may end after its server.
        let marks = wait::until("the last mark", || {
            let marks = fs::read_to_string(server.state("stopping")).unwrap_or_default();
            marks.ends_with("atexit\n").then_some(marks)
        });
        let reason = if mode == Mode::Daemon { "shutdown_signal" } else { "" };
        // mod_wsgi does not wait for threads; we do, as Python itself does at the end of a process.
        let thread = if compat().is_some() { "" } else { "thread ended\n" };
        let expected = format!(
            "event process_stopping\nprocess_stopping [('shutdown_reason', '{reason}')]\n\
             {thread}atexit\n"
        );
        assert_eq!(marks, expected);
    }
}

#[test]
fn a_daemon_passes_signals_on_to_its_subscribers() {
    let mut server = serving(Mode::Daemon, "stopping").start();
    let pid = server.text("/");
    let daemon: u32 = pid.parse().expect("a process id");
    for (signal, line) in [
        (
            libc::SIGUSR2,
            format!("process_signal SIGUSR2 {}", libc::SIGUSR2),
        ),
        (
            libc::SIGHUP,
            format!("process_signal SIGHUP {}", libc::SIGHUP),
        ),
    ] {
        process::send(daemon, signal);
        wait::until_true("the mark", || {
            fs::read_to_string(server.state("stopping")).is_ok_and(|marks| marks.contains(&line))
        });
    }
    assert_eq!(server.text("/"), pid, "the process goes on");
    server.stop();
}
