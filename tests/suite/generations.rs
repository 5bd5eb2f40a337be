//! Old and new side by side: what a restart does to groups that stay, change, come and go, and what
//! happens when the installed files are exchanged under a running server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use wsgi_tests::apache::{module, only_ours};
use wsgi_tests::load::Load;
use wsgi_tests::process::Process;
use wsgi_tests::server::listens;
use wsgi_tests::{Connection, Mode, Request, Server, wait};

use crate::support::{facts_of, serving};

fn monitors(server: &Server) -> Vec<Process> {
    let named = |process: &Process| process.executable.ends_with("wsgi-monitor");
    server.processes().into_iter().filter(named).collect()
}

/// Begins a request to `tests/apps/waits` and answers once it runs.
fn running_request(server: &Server, target: &str) -> Connection {
    let mut connection = server.connect();
    connection
        .write(&Request::get(target).head())
        .expect("sent");
    wait::until_true("the request runs", || server.state("waiting").exists());
    connection
}

#[test]
fn groups_that_change_come_and_go_do_so_while_the_old_ones_finish() {
    if only_ours("its daemons end with the old generation") {
        return;
    }
    let server = Server::builder(Mode::Embedded)
        .directive(
            "WSGIDaemonProcess stays threads=2 home=/usr\n\
             WSGIScriptAlias /stays @APPS@/process/app.wsgi process-group=stays\n\
             WSGIDaemonProcess goes threads=2\n\
             WSGIScriptAlias /goes @APPS@/waits/app.wsgi process-group=goes",
        )
        .start();
    let stays = |server: &Server| facts_of(&server.text("/stays"));
    let before = stays(&server);
    assert_eq!(before["cwd"], "'/usr'");
    let mut running = running_request(&server, "/goes");
    let old = server.daemons();
    server.edit_configuration("home=/usr", "home=/etc");
    server.edit_configuration(
        "WSGIDaemonProcess goes threads=2",
        "WSGIDaemonProcess comes threads=2",
    );
    let apps = server.app("");
    let (from, to) = (apps.join("waits"), apps.join("hello"));
    server.edit_configuration(
        &format!("/goes {}/app.wsgi process-group=goes", from.display()),
        &format!("/comes {}/app.wsgi process-group=comes", to.display()),
    );
    server.graceful();
    wait::until_true("the new groups serve", || {
        server.get("/comes").status() == 200
    });
    let after = stays(&server);
    assert_eq!(after["cwd"], "'/etc'");
    assert_ne!(after["pid"], before["pid"]);
    assert_eq!(server.get("/goes").status(), 404);
    assert_eq!(
        monitors(&server).len(),
        2,
        "the old monitor still has a request"
    );
    fs::write(server.state("gate"), "").expect("the directory is ours");
    let answer = running.response(false).expect("an answer");
    let pids: Vec<_> = old.iter().map(|process| process.pid.to_string()).collect();
    assert!(pids.contains(&answer.text()), "{}", answer.text());
    wait::until_true("the old generation is gone", || {
        monitors(&server).len() == 1 && server.daemons().iter().all(|one| !old.contains(one))
    });
}

#[test]
fn a_graceful_stop_lets_running_requests_finish() {
    if only_ours("its daemons have three seconds") {
        return;
    }
    let mut server = serving(Mode::Daemon, "waits").start();
    let mut running = running_request(&server, "/");
    let (address, gate) = (server.address(), server.state("gate"));
    std::thread::scope(|scope| {
        let answer = scope.spawn(move || {
            wait::until_true("nobody listens any more", || !listens(address));
            fs::write(gate, "").expect("the directory is ours");
            running.response(false).expect("an answer").status()
        });
        server.graceful_stop();
        assert_eq!(answer.join().expect("answered"), 200);
    });
}

#[test]
fn a_hard_restart_leaves_one_generation() {
    let server = serving(Mode::Daemon, "hello")
        .daemon("processes=2 threads=2")
        .start();
    let sockets = || {
        let run = fs::read_dir(server.root().join("run"))
            .into_iter()
            .flatten()
            .flatten();
        run.filter(|entry| entry.path().extension().is_some_and(|end| end == "sock"))
            .count()
    };
    for _ in 0..3 {
        let old = server.daemons();
        server.hard_restart();
        assert_eq!(server.text("/"), "Hello World!");
        wait::until_true("the old daemons are gone", || {
            server.daemons().iter().all(|one| !old.contains(one))
        });
    }
    wait::until_true("one socket is left", || sockets() == 1);
    if !only_ours("it has no monitor") {
        wait::until_true("one monitor is left", || monitors(&server).len() == 1);
    }
}

/// A copy of what is installed, which a test may exchange; removed with it.
struct Installation(PathBuf);

impl Installation {
    fn copy(name: &str) -> Installation {
        let name = format!("wsgi-installation-{}-{name}", std::process::id());
        let installation = Installation(std::env::temp_dir().join(name));
        copy_directory(Self::original(), &installation.0);
        installation
    }

    fn original() -> &'static Path {
        static ORIGINAL: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
        ORIGINAL.get_or_init(|| module().parent().expect("a directory").to_owned())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Exchanges a file as a package's upgrade does: by another under the same name.
    fn exchange(&self, name: &str, content: &[u8]) {
        let new = self.file("new");
        fs::write(&new, content).expect("writable");
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).expect("ours");
        fs::rename(&new, self.file(name)).expect("the same directory");
    }

    /// Puts new files of the same build in the place of all.
    fn upgrade(&self) {
        for name in ["mod_wsgi_rs.so", "_wsgi_gateway.abi3.so", "wsgi-monitor"] {
            let content = fs::read(Self::original().join(name)).expect("installed");
            self.exchange(name, &content);
        }
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a temporary directory");
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).expect("ours");
    for entry in fs::read_dir(from).expect("installed").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

#[test]
fn files_that_are_exchanged_under_load_come_into_use_with_a_graceful_restart() {
    if only_ours("its daemons end with the old generation") {
        return;
    }
    let installation = Installation::copy("upgrade");
    let server = serving(Mode::Daemon, "hello")
        .module_under_test(Some(installation.file("mod_wsgi_rs.so")))
        .daemon("processes=2 threads=4")
        .sizes(
            "StartServers 1\nServerLimit 8\nThreadLimit 32\nThreadsPerChild 32\n\
             MaxRequestWorkers 64\nMinSpareThreads 1\nMaxSpareThreads 64",
        )
        .start();
    let load = Load::start(server.address(), "/", 8);
    load.wait_for_more(100);
    installation.upgrade();
    load.wait_for_more(100);
    server.graceful();
    load.wait_for_more(100);
    let report = load.finish();
    assert_eq!(report.failed, [], "of {} requests", report.succeeded);
    wait::until_true("nobody uses the old files", || {
        server.processes().iter().all(|process| {
            let maps = process.read("maps");
            let mut of_ours = maps
                .lines()
                .filter(|line| line.contains("wsgi-installation-"));
            of_ours.all(|line| !line.ends_with("(deleted)"))
        })
    });
}

#[test]
fn a_monitor_of_another_version_is_refused_once_and_a_graceful_restart_mends_it() {
    if only_ours("it has no monitor") {
        return;
    }
    let installation = Installation::copy("monitor");
    let mut server = serving(Mode::Daemon, "hello")
        .module_under_test(Some(installation.file("mod_wsgi_rs.so")))
        .start();
    server.allow_log("the monitor of the daemons (pid");
    server.expect_log("the installed monitor of the daemons is of another version");
    assert_eq!(server.text("/"), "Hello World!");
    let monitor = wait::until("a monitor", || monitors(&server).first().cloned());
    // What the monitor of another version does when it is told what to do.
    installation.exchange("wsgi-monitor", b"#!/bin/sh\nexit 89\n");
    monitor.signal(libc::SIGKILL);
    server.wait_for_log("the installed monitor of the daemons is of another version");
    installation.upgrade();
    server.graceful();
    wait::until_true("the new generation serves", || {
        server.get("/").status() == 200
    });
    let lines = server.log().lines_with("is of another version");
    assert_eq!(lines.len(), 1, "{lines:?}");
}
