//! Many process groups in one server, and configurations that come and go.

use wsgi_tests::apache::only_ours;
use wsgi_tests::load::Load;
use wsgi_tests::{Mode, Mpm, Request, Server, process, wait};

use crate::support::facts_of;

#[test]
fn twenty_groups_answer_each_with_its_own_process() {
    let mut builder = Server::builder(Mode::Embedded).alone();
    for number in 0..20 {
        builder = builder.directive(&format!(
            "WSGIDaemonProcess g{number} threads=2\n\
             WSGIScriptAlias /g{number} @APPS@/process/app.wsgi process-group=g{number}"
        ));
    }
    let server = builder.start();
    let mut pids: Vec<String> = (0..20)
        .map(|number| {
            let facts = facts_of(&server.text(&format!("/g{number}/")));
            assert_eq!(facts["process_group"], format!("'g{number}'"));
            facts["pid"].clone()
        })
        .collect();
    pids.sort();
    pids.dedup();
    assert_eq!(pids.len(), 20);
}

/// Tells how many descriptors its process may have open.
const TELLS_LIMIT: &str = "\
import resource

def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'%d of %d' % resource.getrlimit(resource.RLIMIT_NOFILE)]
";

#[test]
fn more_groups_than_descriptors_work_and_their_daemons_have_the_limit_that_httpd_had() {
    if only_ours("its parent and children have the limit that they were started with") {
        return;
    }
    const GROUPS: u32 = 60;
    const LIMIT: u32 = 80;
    let mut builder = Server::builder(Mode::Embedded).alone().open_files(LIMIT);
    builder = builder.file("apps/limit/app.wsgi", TELLS_LIMIT);
    for number in 0..GROUPS {
        builder = builder.directive(&format!(
            "WSGIDaemonProcess g{number} threads=2\n\
             WSGIScriptAlias /g{number} @APPS@/limit/app.wsgi process-group=g{number}"
        ));
    }
    let mut server = builder.start();
    let soft = format!("{LIMIT} of ");
    let all_answer = |server: &Server| {
        // On one connection, so that one child keeps connections to all groups.
        let mut connection = server.connect();
        for number in 0..GROUPS {
            let request = Request::get(&format!("/g{number}"));
            let answer = connection.roundtrip(&request).expect("an answer");
            assert_eq!(answer.status(), 200, "g{number}: {}", answer.text());
            assert!(answer.text().starts_with(&soft), "{}", answer.text());
        }
    };
    all_answer(&server);
    server.graceful();
    all_answer(&server);
    let line = server.wait_for_log("descriptors that may be open");
    assert!(line.contains(&format!("the {LIMIT} of httpd")), "{line}");
    server.stop();
}

#[test]
fn a_group_that_is_taken_from_the_configuration_ends() {
    if only_ours("all its daemons end at every restart") {
        return;
    }
    let server = Server::builder(Mode::Embedded)
        .directive("WSGIDaemonProcess stays threads=2\nWSGIDaemonProcess goes threads=2")
        .directive("WSGIScriptAlias /stays @APPS@/process/app.wsgi process-group=stays")
        .directive("WSGIScriptAlias /goes @APPS@/process/app.wsgi process-group=goes")
        .start();
    assert_eq!(server.get("/goes").status(), 200);
    wait::until_true("two daemons", || server.daemons().len() == 2);
    server.edit_configuration("WSGIDaemonProcess goes threads=2", "");
    server.graceful();
    wait::until_true("one daemon", || server.daemons().len() == 1);
    assert_eq!(server.get("/stays").status(), 200);
    wait::until_true("one monitor", || {
        let monitors = |p: &process::Process| p.executable.ends_with("wsgi-monitor");
        server.processes().iter().filter(|p| monitors(p)).count() == 1
    });
}

#[test]
fn graceful_restarts_of_prefork_under_load_fail_no_request() {
    if only_ours("its daemons end with the old generation") {
        return;
    }
    let server = Server::builder(Mode::Daemon)
        .app("/", "hello")
        .mpm(Mpm::Prefork)
        .sizes("StartServers 8\nServerLimit 32\nMaxRequestWorkers 32\nMaxSpareServers 16")
        .daemon("processes=2 threads=4")
        .alone()
        .start();
    let load = Load::start(server.address(), "/", 8);
    for _ in 0..5 {
        load.wait_for_more(50);
        server.graceful();
    }
    load.wait_for_more(50);
    let report = load.finish();
    assert_eq!(report.failed, [], "of {} requests", report.succeeded);
}

#[test]
fn hard_restarts_leave_one_generation() {
    let server = Server::builder(Mode::Daemon).app("/", "hello").start();
    for _ in 0..3 {
        assert_eq!(server.text("/"), "Hello World!");
        server.hard_restart();
    }
    assert_eq!(server.text("/"), "Hello World!");
    if only_ours("its daemons are forks of httpd") {
        return;
    }
    wait::until_true("one daemon and one monitor", || {
        let monitors = |p: &process::Process| p.executable.ends_with("wsgi-monitor");
        let count = server.processes().iter().filter(|p| monitors(p)).count();
        server.daemons().len() == 1 && count == 1
    });
}
