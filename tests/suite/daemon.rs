//! Daemon processes: who they are, how they are told apart, and what happens when they die.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileTypeExt;

use wsgi_tests::apache::{apache, only_ours};
use wsgi_tests::load::Load;
use wsgi_tests::process::Process;
use wsgi_tests::{Mode, Mpm, Request, Server, validation, wait};

use crate::support::{facts_of, serving};

fn facts(server: &Server) -> std::collections::BTreeMap<String, String> {
    facts_of(&server.text("/"))
}

fn account(name: &str) -> (String, String, String) {
    let text = fs::read_to_string("/etc/passwd").expect("readable");
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{name}:")))
        .expect("known");
    let fields: Vec<&str> = line.split(':').collect();
    (
        fields[2].to_owned(),
        fields[3].to_owned(),
        fields[5].to_owned(),
    )
}

#[test]
fn a_daemon_runs_as_its_user_and_group() {
    if !apache().as_root {
        eprintln!("SKIPPED: only root can start a daemon as another user");
        return;
    }
    let server = serving(Mode::Daemon, "process")
        .daemon("user=games group=games threads=2")
        .start();
    let (uid, gid, home) = account("games");
    let facts = facts(&server);
    assert_eq!((&facts["uid"], &facts["gid"]), (&uid, &gid));
    assert_eq!(facts["home"], format!("'{home}'"));
    assert!(!facts["groups"].contains("33"), "{}", facts["groups"]);
    // All four of its ids, so that it can go back to none of them.
    let pid: u32 = facts["pid"].parse().expect("a number");
    let status = Process::of(pid).expect("it runs").read("status");
    let uids = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .unwrap_or("");
    assert!(uids.split_whitespace().all(|id| id == uid), "{uids}");
}

#[test]
fn a_daemon_without_a_user_runs_as_httpds() {
    let server = serving(Mode::Daemon, "process").start();
    let facts = facts(&server);
    let user = if apache().as_root {
        account("www-data").0
    } else {
        facts["uid"].clone()
    };
    assert_eq!(facts["uid"], user);
}

#[test]
fn umask_home_language_and_paths_are_the_options() {
    let server = serving(Mode::Daemon, "process")
        .daemon("umask=0027 home=@ROOT@/htdocs lang=C.UTF-8 locale=C.UTF-8 python-path=@APPS@/library/lib")
        .start();
    let facts = facts(&server);
    let root = server.root().display().to_string();
    assert_eq!(facts["umask"], 0o027.to_string());
    assert_eq!(facts["cwd"], format!("'{root}/htdocs'"));
    assert_eq!(facts["lang"], "'C.UTF-8'");
    assert_eq!(facts["lc_all"], "'C.UTF-8'");
    assert_eq!(facts["locale"], "'C.UTF-8'");
    let path = &facts["path"];
    assert!(
        path.contains(&format!("'{root}/apps/library/lib'")),
        "{path}"
    );
    assert!(path.contains(&format!("'{root}/htdocs'")), "{path}");
}

#[test]
fn a_python_path_finds_modules_in_both_modes() {
    let server = serving(Mode::Embedded, "library")
        .directive("WSGIPythonPath @APPS@/library/lib")
        .start();
    assert_eq!(server.text("/"), "found");
    drop(server);
    let server = serving(Mode::Daemon, "library")
        .daemon("python-path=@APPS@/library/lib")
        .start();
    assert_eq!(server.text("/"), "found");
}

#[test]
fn the_display_name_is_the_process_title() {
    let server = serving(Mode::Daemon, "process")
        .daemon("display-name=%{GROUP}")
        .start();
    let pid: u32 = facts(&server)["pid"].parse().expect("a number");
    let title = Process::of(pid).expect("it runs").command_line;
    assert!(
        title.starts_with(b"(wsgi:app)"),
        "{}",
        String::from_utf8_lossy(&title)
    );
    drop(server);
    let server = serving(Mode::Daemon, "process")
        .daemon("display-name=shop")
        .start();
    let pid: u32 = facts(&server)["pid"].parse().expect("a number");
    let title = Process::of(pid).expect("it runs").command_line;
    assert!(
        title.starts_with(b"shop"),
        "{}",
        String::from_utf8_lossy(&title)
    );
}

#[test]
fn a_daemon_starts_with_a_clean_environment() {
    if only_ours("its daemons are forks of httpd") {
        return;
    }
    let server = serving(Mode::Daemon, "process").start();
    let facts = facts(&server);
    for name in [
        "APACHE",
        "TEST_STATE",
        "WSGI",
        "LD_LIBRARY_PATH",
        "PYTHONHOME",
    ] {
        assert!(!facts["variables"].contains(name), "{}", facts["variables"]);
    }
    let pid: u32 = facts["pid"].parse().expect("a number");
    let daemon = Process::of(pid).expect("it runs");
    assert!(daemon.is_python());
    for part in ["mod_wsgi_rs.so", "libapr-1", "mod_mpm"] {
        assert!(!daemon.maps(part), "a daemon has {part} in its memory");
    }
    // Nothing a daemon was not given: no listening TCP socket, no log of another host.
    let descriptors: BTreeSet<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("we may look")
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|target| target.display().to_string())
        .collect();
    assert!(
        descriptors
            .iter()
            .all(|target| !target.contains("httpd.conf")),
        "{descriptors:?}"
    );
    assert!(descriptors.len() < 16, "{descriptors:?}");
}

#[test]
fn a_group_has_as_many_processes_as_it_says() {
    let server = serving(Mode::Daemon, "process")
        .daemon("processes=3 threads=1")
        .start();
    if !only_ours("its daemons are forks of httpd") {
        wait::until_true("three daemons", || server.daemons().len() == 3);
    }
    assert_eq!(server.get("/").status(), 200);
}

#[test]
fn requests_wait_for_a_thread_and_are_all_answered() {
    let server = serving(Mode::Daemon, "started")
        .daemon("processes=2 threads=2")
        .start();
    let load = Load::start(server.address(), "/", 12);
    load.wait_for_more(500);
    let report = load.finish();
    assert_eq!(report.failed, []);
}

#[test]
fn a_busy_thread_does_not_hold_up_the_others() {
    let server = Server::builder(Mode::Daemon)
        .daemon("threads=2")
        .directive("WSGIScriptAlias /free @APPS@/hello/app.wsgi application-group=%{GLOBAL}")
        .directive("WSGIScriptAlias / @APPS@/waits/app.wsgi application-group=%{GLOBAL}")
        .start();
    let mut waiting = server.connect();
    waiting.write(&Request::get("/").head()).expect("sent");
    wait::until_true("the request runs", || server.state("waiting").exists());
    for _ in 0..20 {
        assert_eq!(server.text("/free"), "Hello World!");
    }
    fs::write(server.state("gate"), "").expect("the directory is ours");
    assert_eq!(waiting.response(false).expect("an answer").status(), 200);
}

#[test]
fn a_socket_can_be_placed_and_is_httpds_alone() {
    let server = serving(Mode::Daemon, "hello")
        .directive("WSGISocketPrefix @ROOT@/run/placed")
        .start();
    assert_eq!(server.text("/"), "Hello World!");
    let sockets: Vec<_> = fs::read_dir(server.root().join("run"))
        .expect("ours")
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_socket()))
        .collect();
    assert!(!sockets.is_empty());
    for socket in sockets {
        let name = socket.file_name().to_string_lossy().into_owned();
        assert!(name.starts_with("placed"), "{name}");
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &socket.metadata().expect("there").permissions(),
        );
        assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
    }
}

#[test]
fn killed_daemons_lose_only_requests_that_had_started() {
    if only_ours("requests that wait are lost with it") {
        return;
    }
    let mut server = serving(Mode::Daemon, "started")
        .daemon("processes=2 threads=8")
        .sizes(
            "StartServers 2\nServerLimit 2\nThreadLimit 64\nThreadsPerChild 64\n\
             MaxRequestWorkers 128\nMinSpareThreads 1\nMaxSpareThreads 128",
        )
        .alone()
        .start();
    server.allow_log("app");
    server.allow_log("started/app.wsgi");
    server.wait_for_log("resuming normal operations");
    let load = Load::start(server.address(), "/", 32);
    let mut killed = Vec::new();
    for _ in 0..5 {
        load.wait_for_more(300);
        let victim = wait::until("a daemon", || server.daemons().first().cloned());
        victim.signal(libc::SIGKILL);
        killed.push(victim.pid);
        wait::until_true("its replacement", || {
            server
                .daemons()
                .iter()
                .filter(|p| !killed.contains(&p.pid))
                .count()
                == 2
        });
    }
    load.wait_for_more(300);
    let report = load.finish();
    let started = fs::read(server.state("started")).expect("requests ran");
    let mut unmarked = Vec::new();
    for failed in &report.failed {
        // A validator makes an iterator of the response, whose first piece may be on its way.
        let begun = validation::wanted() && failed.why == "cut short";
        assert!(failed.status == Some(502) || begun, "{failed:?}");
        if started[failed.id as usize] == 0 {
            unmarked.push(failed);
        }
    }
    // One thread of a process can be between its request's start and the application's first
    // statement, as it holds the interpreter's lock from one to the other.
    assert!(
        unmarked.len() <= 1,
        "failed without having started: {unmarked:?}"
    );
    for pid in killed {
        let lines = server.log().lines_with(&pid.to_string());
        let named = lines
            .iter()
            .any(|line| line.contains("app") && line.contains("signal"));
        assert!(
            named,
            "no line names group, pid and signal of {pid}: {lines:?}"
        );
    }
    assert_eq!(server.get("/?id=1000000").status(), 200);
}

#[test]
fn a_daemon_that_cannot_start_is_a_503_and_explained() {
    if only_ours("python-home is checked when the daemon starts") {
        return;
    }
    let mut server = serving(Mode::Daemon, "hello")
        .daemon("python-home=@ROOT@/htdocs startup-timeout=2 connect-timeout=2")
        .start();
    server.allow_log("");
    let line = server.wait_for_log("htdocs");
    assert!(line.contains("[wsgi:"), "{line}");
    let response = server.get("/");
    assert_eq!(response.status(), 503);
    let later: u32 = response
        .header("Retry-After")
        .expect("a time")
        .parse()
        .expect("seconds");
    assert!((1..=60).contains(&later), "{later}");
}

#[test]
fn an_application_that_ends_its_process_is_replaced() {
    let server = Server::builder(Mode::Daemon)
        .file(
            "apps/ends/app.wsgi",
            "import os\n\n\ndef application(environ, start_response):\n    os._exit(7)\n",
        )
        .app("/ends", "ends")
        .directive("WSGIApplicationGroup %{GLOBAL}")
        .app("/", "hello")
        .start();
    let mut server = server;
    server.allow_log("app");
    server.allow_log("ends/app.wsgi");
    assert_eq!(server.text("/"), "Hello World!");
    let page = server.get("/ends");
    assert_eq!(page.status(), 502);
    if !only_ours("its page names no request") {
        let text = page.text();
        let id = text.split_once("Request id: ").map_or("", |(_, rest)| rest);
        let id = id.split(['<', '\n']).next().unwrap_or_default();
        let line = server.log().lines_with("before its response was complete");
        assert!(!id.is_empty() && line[0].contains(id), "{text}\n{line:?}");
        assert!(
            !text.contains("'app'") && !text.contains("daemon"),
            "{text}"
        );
    }
    wait::until_true("the replacement", || server.get("/").status() == 200);
    if !only_ours("the exit status is logged otherwise") {
        let lines = server.log().lines_with("status");
        assert!(
            lines
                .iter()
                .any(|line| line.contains('7') && line.contains("app")),
            "{lines:?}"
        );
    }
}

#[test]
fn a_script_imported_at_start_is_there_before_the_first_request() {
    for mode in [Mode::Embedded, Mode::Daemon] {
        let group = if mode == Mode::Daemon {
            "app"
        } else {
            "%{GLOBAL}"
        };
        let server = Server::builder(mode)
            .directive(&format!(
                "WSGIImportScript @APPS@/imported/at_start.py process-group={group} \
                 application-group=own"
            ))
            .directive(&format!(
                "WSGIScriptAlias / @APPS@/imported/app.wsgi process-group={group} \
                 application-group=own"
            ))
            .start();
        assert_eq!(server.text("/"), "'loaded'", "{mode:?}");
    }
}

#[test]
fn an_alias_with_both_groups_loads_its_script_at_start() {
    for (mode, group) in [(Mode::Embedded, "%{GLOBAL}"), (Mode::Daemon, "app")] {
        let server = Server::builder(mode)
            .directive(&format!(
                "WSGIScriptAlias / @APPS@/marks_load/app.wsgi process-group={group} \
                 application-group=%{{GLOBAL}}"
            ))
            .start();
        wait::until_true("the script is loaded without a request", || {
            server.state("loaded").exists()
        });
        assert_eq!(server.text("/"), "loaded");
    }
}

#[test]
fn an_ordinary_user_can_run_a_server() {
    if !apache().as_root {
        eprintln!("SKIPPED: every test of this run is started by an ordinary user");
        return;
    }
    let server = serving(Mode::Daemon, "process").as_user("games").start();
    assert_eq!(facts(&server)["uid"], account("games").0);
    drop(server);
    let server = serving(Mode::Daemon, "process")
        .as_user("games")
        .daemon("user=games")
        .start();
    assert_eq!(facts(&server)["uid"], account("games").0);
}

#[test]
fn an_ordinary_user_cannot_give_daemons_to_others() {
    if only_ours("user= is passed over without root") || !apache().as_root {
        return;
    }
    let (right, said) = serving(Mode::Daemon, "hello")
        .as_user("games")
        .daemon("user=www-data")
        .configtest();
    assert!(!right, "{said}");
    assert!(
        said.contains("WSGIDaemonProcess") && said.contains("user"),
        "{said}"
    );
}

#[test]
fn children_of_a_daemon_only_server_have_no_python() {
    if only_ours("its module is linked with libpython") {
        return;
    }
    let build = |module| {
        let builder = Server::builder(Mode::Embedded).mpm(Mpm::Event);
        match module {
            true => builder
                .directive("WSGIDaemonProcess app\nWSGIProcessGroup app")
                .app("/", "hello"),
            false => builder.module_under_test(None),
        }
    };
    let proportional = |server: &Server| {
        let child = wait::until("a child", || server.children().first().cloned());
        for _ in 0..20 {
            server.get("/");
        }
        assert!(
            !child.maps("libpython") && !child.maps("_wsgi_gateway"),
            "{}",
            child.read("maps")
        );
        child.memory().proportional
    };
    let without = proportional(&build(false).start());
    let with = proportional(&build(true).start());
    assert!(
        with <= without + 2048,
        "{with} KiB with the module, {without} KiB without"
    );
}
