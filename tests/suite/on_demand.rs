//! Process groups on demand: WSGIDaemonTemplate, and names of process groups whose key comes with the
//! request.

use std::collections::BTreeSet;
use std::path::PathBuf;

use wsgi_tests::apache::{apache, only_ours};
use wsgi_tests::load::Load;
use wsgi_tests::process::Process;
use wsgi_tests::{Builder, Mode, Request, Response, Server, wait};

use crate::keyed_accounts::account;
use crate::support::facts_of;

/// What makes every test of this file one of ours.
pub const OURS: &str = "it has no templates";

/// A server whose applications run in groups of the template `t`, by the client's host.
fn by_host(options: &str) -> Builder {
    Server::builder(Mode::Embedded)
        .directive(&format!("WSGIDaemonTemplate t {options}"))
        .directive("WSGIProcessGroup t/%{HOST}")
        .directive("WSGIApplicationGroup %{GLOBAL}")
        .app("/app", "process")
        .app("/waits", "waits")
        .app("/hello", "hello")
}

fn get(server: &Server, path: &str, host: &str) -> Response {
    server.send(&Request::get(path).header("Host", host))
}

/// What the application tells of its process.
#[track_caller]
fn facts(server: &Server, host: &str) -> std::collections::BTreeMap<String, String> {
    let response = get(server, "/app", host);
    assert_eq!(response.status(), 200, "{host}: {}", response.text());
    facts_of(&response.text())
}

fn starts(server: &Server, group: &str) -> usize {
    let line = format!("process group '{group}': started process");
    server.log().lines_with(&line).len()
}

fn monitor(server: &Server) -> Option<Process> {
    let mut all = server.processes().into_iter();
    all.find(|process| process.executable.ends_with("wsgi-monitor"))
}

#[test]
fn one_line_gives_every_virtual_host_processes_of_its_own() {
    if only_ours(OURS) {
        return;
    }
    let host = |name: &str| {
        format!("<VirtualHost *:@PORT@>\nServerName {name}\nServerAlias *.{name}\n</VirtualHost>")
    };
    let server = Server::builder(Mode::Embedded)
        .directive("WSGIDaemonTemplate vhost threads=2 display-name=%{GROUP}")
        .directive("WSGIProcessGroup vhost/%{SERVER_NAME}")
        .app("/app", "process")
        .directive(&host("one.example"))
        .directive(&host("two.example"))
        .start();
    assert_eq!(server.daemons().len(), 0, "nobody has asked for anything");
    let mut pids = BTreeSet::new();
    for name in ["one.example", "two.example"] {
        let facts = facts(&server, name);
        assert_eq!(facts["process_group"], format!("'vhost/{name}'"));
        let pid: u32 = facts["pid"].parse().expect("a number");
        let title = Process::of(pid).expect("it runs").command_line;
        let expected = format!("(wsgi:vhost/{name})");
        assert!(title.starts_with(expected.as_bytes()), "{title:?}");
        pids.insert(pid);
    }
    // The server's name is not the client's to choose, whatever it calls the server.
    for alias in ["www.two.example", "a.two.example", "TWO.example"] {
        assert_eq!(
            facts(&server, alias)["process_group"],
            "'vhost/two.example'"
        );
    }
    assert_eq!(
        facts(&server, "other.example")["process_group"],
        "'vhost/one.example'"
    );
    assert_eq!((pids.len(), server.daemons().len()), (2, 2));
}

#[test]
fn a_burst_of_first_requests_makes_a_group_once() {
    if only_ours(OURS) {
        return;
    }
    let server = by_host("threads=8").alone().start();
    let pids: BTreeSet<String> = std::thread::scope(|scope| {
        let requests: Vec<_> = (0..50)
            .map(|_| scope.spawn(|| facts(&server, "burst")["pid"].clone()))
            .collect();
        requests
            .into_iter()
            .map(|request| request.join().expect("answered"))
            .collect()
    });
    assert_eq!((pids.len(), starts(&server, "t/burst")), (1, 1));
}

#[test]
fn a_key_is_what_httpd_makes_of_the_expression() {
    if only_ours(OURS) {
        return;
    }
    let mut server = Server::builder(Mode::Embedded)
        .directive("WSGIDaemonTemplate t threads=2")
        .directive("SetEnvIf X-Team (.+) team=$1")
        .directive(
            "WSGIScriptAlias /app @APPS@/process/app.wsgi \
             \"process-group=t/a-%{env:team}.%{REQUEST_METHOD}\"",
        )
        .directive("WSGIScriptAlias /fixed @APPS@/process/app.wsgi process-group=t/fixed")
        .directive(
            "WSGIScriptAlias /named @APPS@/process/app.wsgi process-group=%{ENV:named}\n\
             SetEnvIf X-Named (.+) named=$1",
        )
        .start();
    let asked = |path: &str, header: &str, value: &str| {
        let response = server.send(&Request::get(path).header(header, value));
        (response.status(), facts_of(&response.text()))
    };
    let (status, facts) = asked("/app", "X-Team", "blue");
    assert_eq!(status, 200);
    assert_eq!(facts["process_group"], "'t/a-blue.GET'");
    assert_eq!(asked("/fixed", "X-A", "b").1["process_group"], "'t/fixed'");
    let (_, facts) = asked("/named", "X-Named", "t/red");
    assert_eq!(facts["process_group"], "'t/red'");
    // What is no key leads nowhere.
    for team in ["a b", "..%2f", "x/../../etc", "é", &"long".repeat(20)] {
        assert_eq!(asked("/app", "X-Team", team).0, 404, "{team}");
    }
    for name in ["t/..", "t/-x", "t/.x", "t/"] {
        assert_eq!(asked("/named", "X-Named", name).0, 404, "{name}");
    }
    assert_eq!(asked("/named", "X-Named", "other/x").0, 500);
    assert_eq!(server.daemons().len(), 3);
    server.wait_for_log("process group 't': 'a-a b.GET' cannot be a key");
    server.expect_log("no WSGIDaemonProcess defines the process group 'other/x'");
}

#[test]
fn a_python_that_is_missing_for_a_key_is_named_once() {
    if only_ours(OURS) {
        return;
    }
    let mut server = by_host("python-home=@ROOT@/venvs/%{key}").start();
    assert_eq!(get(&server, "/app", "me").status(), 500);
    server.expect_log("/venvs/me has no bin/python");
    let lines = server.log().lines_with("has no bin/python");
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[test]
fn a_full_template_answers_503_until_a_group_has_rested() {
    if only_ours(OURS) {
        return;
    }
    let mut server = by_host("threads=2 maximum-groups=2").start();
    let waiting = server.state("waiting");
    std::thread::scope(|scope| {
        let busy = scope.spawn(|| get(&server, "/waits", "busy").status());
        wait::until_true("the request runs", || waiting.exists());
        facts(&server, "idle");
        let response = get(&server, "/app", "third");
        assert_eq!(response.status(), 503);
        let retry: u32 = response
            .header("Retry-After")
            .and_then(|value| value.parse().ok())
            .expect("a number of seconds");
        assert!(retry > 0);
        // The busy one stays, however long ago its request began.
        wait::until_true("the idle one makes room", || {
            get(&server, "/app", "third").status() == 200
        });
        assert_eq!(
            server.log().lines_with("'t/idle': ends to make room").len(),
            1
        );
        std::fs::write(server.state("gate"), "").expect("writable");
        assert_eq!(busy.join().expect("answered"), 200);
    });
    assert_eq!(starts(&server, "t/busy"), 1);
    server.expect_log("'t/third' is not made: 2 groups of template 't' are in use");
}

#[test]
fn maximum_processes_bounds_all_groups() {
    if only_ours(OURS) {
        return;
    }
    let mut server = by_host("processes=2 threads=2 maximum-processes=5").start();
    facts(&server, "a");
    facts(&server, "b");
    assert_eq!(get(&server, "/app", "c").status(), 503);
    assert_eq!(server.daemons().len(), 4);
    server.expect_log("2 groups of template 't' are in use");
}

#[test]
fn a_group_that_nobody_uses_ends_as_a_whole_and_comes_back() {
    if only_ours(OURS) {
        return;
    }
    let server = by_host("processes=2 threads=2 inactivity-timeout=1").start();
    let before = facts(&server, "me")["pid"].clone();
    wait::until_true("the group ends", || server.daemons().is_empty());
    assert_eq!(
        server
            .log()
            .lines_with("'t/me': ends, as there was no request")
            .len(),
        1
    );
    // The children still know the socket of the group that is gone.
    for _ in 0..3 {
        assert_ne!(facts(&server, "me")["pid"], before);
    }
    assert_eq!(starts(&server, "t/me"), 4);
}

#[test]
fn a_request_keeps_its_group_however_long_it_takes() {
    if only_ours(OURS) {
        return;
    }
    let server = by_host("threads=2 inactivity-timeout=1").start();
    let waiting = server.state("waiting");
    std::thread::scope(|scope| {
        let busy = scope.spawn(|| get(&server, "/waits", "busy").status());
        wait::until_true("the request runs", || waiting.exists());
        facts(&server, "idle");
        // Younger than the busy group, and yet it goes first.
        wait::until_true("the idle group ends", || server.daemons().len() == 1);
        std::fs::write(server.state("gate"), "").expect("writable");
        assert_eq!(busy.join().expect("answered"), 200);
    });
    wait::until_true("the other ends as well", || server.daemons().is_empty());
}

#[test]
fn graceful_restarts_lose_no_request_of_a_template() {
    if only_ours(OURS) {
        return;
    }
    let server = by_host("threads=4").alone().start();
    let load = Load::start(server.address(), "/hello", 4);
    for _ in 0..3 {
        load.wait_for_more(30);
        server.graceful();
    }
    load.wait_for_more(30);
    let report = load.finish();
    assert_eq!(report.failed, [], "of {} requests", report.succeeded);
    wait::until_true("one generation is left", || {
        let monitors = server.processes().into_iter();
        let monitors = monitors.filter(|process| process.executable.ends_with("wsgi-monitor"));
        monitors.count() == 1 && server.daemons().len() == 1
    });
}

#[test]
fn a_monitor_that_is_killed_has_its_groups_made_again() {
    if only_ours(OURS) {
        return;
    }
    let mut server = by_host("threads=2").start();
    let before = facts(&server, "me")["pid"].clone();
    let killed = monitor(&server).expect("it runs");
    killed.signal(libc::SIGKILL);
    server.expect_log("the monitor of the daemons");
    wait::until_true("another monitor", || {
        monitor(&server).is_some_and(|process| process.pid != killed.pid)
    });
    wait::until_true("another process", || facts(&server, "me")["pid"] != before);
    assert_eq!(facts(&server, "other")["process_group"], "'t/other'");
}

#[test]
fn a_killed_daemon_of_a_template_is_replaced() {
    if only_ours(OURS) {
        return;
    }
    let mut server = by_host("threads=2").start();
    let before = facts(&server, "me")["pid"].clone();
    wsgi_tests::process::send(before.parse().expect("a number"), libc::SIGKILL);
    server.expect_log("signal 9");
    wait::until_true("another process", || facts(&server, "me")["pid"] != before);
}

#[test]
fn a_daemon_has_no_way_to_ask_for_groups() {
    if only_ours(OURS) {
        return;
    }
    if !apache().as_root {
        eprintln!("SKIPPED: only root sees the descriptors of all processes");
        return;
    }
    let server = by_host("threads=2").start();
    facts(&server, "me");
    let sockets = |process: &Process| -> BTreeSet<PathBuf> {
        let entries = std::fs::read_dir(format!("/proc/{}/fd", process.pid));
        let links = entries.into_iter().flatten().flatten();
        links
            .filter_map(|entry| std::fs::read_link(entry.path()).ok())
            .filter(|target| target.to_string_lossy().starts_with("socket:"))
            .collect()
    };
    let children: BTreeSet<_> = server.children().iter().flat_map(sockets).collect();
    let shared_by_children = children
        .iter()
        .filter(|socket| sockets(&server.processes()[0]).contains(*socket))
        .count();
    assert!(shared_by_children > 0, "the way to the monitor among them");
    for daemon in server.daemons() {
        assert!(!sockets(&daemon).is_empty(), "its listener at least");
        assert_eq!(sockets(&daemon).intersection(&children).count(), 0);
    }
}

#[test]
fn a_template_of_a_virtual_host_is_for_hosts_of_its_name() {
    if only_ours(OURS) {
        return;
    }
    let mut server = Server::builder(Mode::Embedded)
        .app("/app", "process")
        .directive(
            "<VirtualHost *:@PORT@>\nServerName one.example\nWSGIDaemonTemplate t threads=2\n\
             WSGIProcessGroup t/%{HOST}\n</VirtualHost>\n\
             <VirtualHost *:@PORT@>\nServerName two.example\nWSGIProcessGroup t/%{HOST}\n\
             </VirtualHost>",
        )
        .start();
    assert_eq!(
        facts(&server, "one.example")["process_group"],
        "'t/one.example'"
    );
    assert_eq!(get(&server, "/app", "two.example").status(), 500);
    server.expect_log("'t/two.example' belongs to a virtual host of another ServerName");
}

#[test]
fn templates_of_copied_hosts_are_one() {
    if only_ours(OURS) {
        return;
    }
    let hosts = |first: &str, second: &str| {
        let host = |name: &str, options: &str| {
            format!(
                "<VirtualHost *:@PORT@>\nServerName {name}\nWSGIDaemonTemplate t {options}\n\
                 WSGIScriptAlias /app @APPS@/process/app.wsgi process-group=t/shared\n\
                 </VirtualHost>"
            )
        };
        Server::builder(Mode::Embedded)
            .directive(&host("one.example", first))
            .directive(&host("two.example", second))
    };
    let server = hosts("threads=2 maximum-groups=3", "maximum-groups=3 threads=2").start();
    let pids = ["one.example", "two.example"].map(|host| facts(&server, host)["pid"].clone());
    assert_eq!(pids[0], pids[1]);
    let (right, said) = hosts("threads=2", "threads=3").configtest();
    assert!(!right);
    assert!(
        said.contains("WSGIDaemonTemplate: the process group 't' is defined at"),
        "{said}"
    );
}

#[test]
fn what_cannot_work_is_refused_by_configtest() {
    if only_ours(OURS) {
        return;
    }
    for (lines, sentence) in [
        (
            "WSGIDaemonTemplate t threads=2\nWSGIProcessGroup t/%{NO_SUCH}",
            "the process group 't/%{NO_SUCH}'",
        ),
        (
            "WSGIDaemonProcess t threads=2\nWSGIDaemonTemplate t threads=2",
            "the process group 't' is defined at",
        ),
        (
            "WSGIDaemonTemplate t threads=%{key}",
            "invalid value '%{key}' for option 'threads'",
        ),
        (
            "WSGIDaemonTemplate t user=#%{key}",
            "WSGIDaemonTemplate t: user=#%{key} must name an account as %{key}, not by number",
        ),
        ("WSGIDaemonTemplate t socket-user=%{key}", "socket-user"),
        (
            "WSGIDaemonTemplate t threads=0",
            "WSGIDaemonTemplate t: threads=0 is for programs",
        ),
        (
            "WSGIDaemonTemplate t user=no-such-user",
            "WSGIDaemonTemplate t: there is no user 'no-such-user'",
        ),
        (
            "WSGIDaemonTemplate t processes=3 maximum-processes=2",
            "WSGIDaemonTemplate t: maximum-processes=2 is less than the processes of one group",
        ),
        (
            "WSGIDaemonTemplate t\n\
             WSGIImportScript /a.py process-group=t/x application-group=%{GLOBAL}",
            "WSGIImportScript /a.py: 't/x' is one of the groups of a template",
        ),
        (
            "WSGIDaemonProcess app maximum-groups=2",
            "WSGIDaemonProcess: unknown option 'maximum-groups'",
        ),
    ] {
        let (right, said) = Server::builder(Mode::Embedded)
            .directive(lines)
            .configtest();
        assert!(!right && said.contains(sentence), "{lines}\n{said}");
    }
    // A name with a slash that no template has is a name.
    let (right, said) = Server::builder(Mode::Embedded)
        .directive("WSGIProcessGroup other/%{NO_SUCH}")
        .configtest();
    assert!(right, "{said}");
}

#[test]
fn a_script_is_imported_in_each_group_that_is_made() {
    if only_ours(OURS) {
        return;
    }
    let mut server = by_host("threads=2")
        .directive(
            "WSGIImportScript @ROOT@/apps/of-%{key}.py process-group=t application-group=%{GLOBAL}",
        )
        .file("apps/of-a.py", "print('loaded for a')\n")
        .file("apps/of-b.py", "print('loaded for b')\n")
        .start();
    for key in ["a", "b"] {
        facts(&server, key);
        server.wait_for_log(&format!("loaded for {key}"));
        server.expect_log(&format!("loaded for {key}"));
    }
}

#[test]
fn functions_run_in_groups_of_templates_and_choose_them() {
    if only_ours(OURS) {
        return;
    }
    let mut server = by_host("threads=2")
        .file(
            "apps/choose.py",
            "def process_group(environ):\n    return environ.get('HTTP_X_GROUP')\n",
        )
        .file(
            "apps/allow.py",
            "def allow_access(environ, host):\n    \
             print('asked', environ['mod_wsgi.process_group'], file=environ['wsgi.errors'])\n    \
             return True\n",
        )
        .directive(
            "<Location /app>\nWSGIDispatchScript @ROOT@/apps/choose.py process-group=t/choice\n\
             WSGIAccessScript @ROOT@/apps/allow.py process-group=t/%{HOST}\n\
             WSGIRestrictProcess t\n</Location>",
        )
        .start();
    assert_eq!(facts(&server, "me")["process_group"], "'t/me'");
    server.expect_log("asked t/me");
    let chosen = |name: &str| {
        let request = Request::get("/app").header("Host", "me");
        let response = server.send(&request.header("X-Group", name));
        (response.status(), facts_of(&response.text()))
    };
    assert_eq!(chosen("t/other").1["process_group"], "'t/other'");
    assert_eq!(chosen("u/other").0, 500);
    server.expect_log("WSGIRestrictProcess does not allow the process group 'u/other' here");
}

#[test]
fn an_ordinary_user_has_groups_of_his_own_account_only() {
    if only_ours(OURS) {
        return;
    }
    if !apache().as_root {
        eprintln!("SKIPPED: the other tests show it");
        return;
    }
    let server = by_host("threads=2").as_user("games").start();
    assert_eq!(facts(&server, "me")["uid"], account("games")[0]);
    let (right, said) = by_host("user=%{key}").as_user("games").configtest();
    let sentence = "WSGIDaemonTemplate t: user=%{key} takes root";
    assert!(!right && said.contains(sentence), "{said}");
}
