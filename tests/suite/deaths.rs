//! What is left to read of a daemon that died, and where.

use std::path::PathBuf;

use wsgi_tests::apache::only_ours;
use wsgi_tests::error_log::ErrorLog;
use wsgi_tests::memory_group::MemoryGroup;
use wsgi_tests::{Mode, Server, wait};

/// Ends its process as a fault in an extension module does, in a function with a telling name.
const CRASHES: &str = "import signal, sys\n\
    print('imported by the shop', file=sys.stderr, flush=True)\n\n\n\
    def the_culprit():\n    \
        signal.raise_signal(signal.SIGSEGV)\n\n\n\
    def application(environ, start_response):\n    \
        if environ['PATH_INFO'] == '/crash':\n        \
            the_culprit()\n    \
        start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
        return [b'well']\n";

/// A virtual host with a process group and a log of its own.
fn shop() -> Server {
    Server::builder(Mode::Embedded)
        .file("apps/shop/app.wsgi", CRASHES)
        .directive(
            "<VirtualHost *:@PORT@>\nServerName shop.example\nErrorLog @ROOT@/shop_log\n\
             WSGIDaemonProcess shop threads=2\nWSGIProcessGroup shop\n\
             WSGIScriptAlias / @APPS@/shop/app.wsgi\n</VirtualHost>",
        )
        .start()
}

fn log_of_the_shop(server: &Server) -> ErrorLog {
    let path: PathBuf = server.root().join("shop_log");
    ErrorLog::new(path)
}

#[test]
fn the_log_of_the_virtual_host_tells_how_its_daemon_died_and_where_python_was() {
    if only_ours("its log says less") {
        return;
    }
    let server = shop();
    assert_eq!(server.text("/"), "well");
    assert_eq!(server.text("/"), "well");
    assert_eq!(server.get("/crash").status(), 502);
    wait::until_true("another process", || server.get("/").status() == 200);
    let log = log_of_the_shop(&server);
    let line = wait::until("the line about its death", || {
        log.lines_with("SIGSEGV").into_iter().next()
    });
    for part in [
        "[wsgi:error]",
        "process group 'shop': process ",
        " ended with signal 11 (SIGSEGV)",
        " and 2 request(s); starting another at once",
    ] {
        assert!(line.contains(part), "{part:?} in {line}");
    }
    let text = log.text();
    assert!(
        text.contains("Fatal Python error: Segmentation fault"),
        "{text}"
    );
    assert!(text.contains("in the_culprit"), "{text}");
    assert!(text.contains("imported by the shop"), "{text}");
    let main = server.log().text();
    for part in ["SIGSEGV", "the_culprit", "imported by the shop"] {
        assert!(!main.contains(part), "{part:?} in {main}");
    }
}

/// `/eat` takes memory until there is none.
const EATS: &str = "\
def application(environ, start_response):
    taken = []
    if environ['PATH_INFO'] == '/eat':
        while len(taken) < 100:
            taken.append(b'x' * (8 << 20))
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'survived']
";

#[test]
fn a_daemon_that_the_kernel_kills_for_want_of_memory_is_told_from_one_that_somebody_killed() {
    if only_ours("its log says less") {
        return;
    }
    let Some(group) = MemoryGroup::new(256 << 20) else {
        return;
    };
    let mut server = Server::builder(Mode::Daemon)
        .file("apps/eats/app.wsgi", EATS)
        .app("/", "eats")
        .memory_group(&group)
        .start();
    server.expect_log("ended with signal 9");
    server.allow_log("ended before its response was complete");
    let ended = |server: &Server, pid: u32| {
        server.wait_for_log(&format!("process {pid} ended with signal 9 (SIGKILL)"))
    };
    assert_eq!(server.get("/").status(), 200);
    let killed = server.daemons()[0].clone();
    killed.signal(libc::SIGKILL);
    let line = ended(&server, killed.pid);
    assert!(!line.contains("memory"), "{line}");
    assert_eq!(server.get("/").status(), 200);
    let hungry = server.daemons()[0].clone();
    assert_eq!(server.get("/eat").status(), 502);
    let line = ended(&server, hungry.pid);
    assert!(
        line.contains("1 request(s): the kernel killed it for want of memory"),
        "{line}"
    );
    assert_eq!(server.get("/").status(), 200);
    // The group can go once the server has gone.
    drop(server);
}

#[test]
fn a_daemon_that_fails_again_and_again_is_started_ever_later_and_the_log_says_when() {
    if only_ours("its processes are started again without a pause") {
        return;
    }
    let mut server = Server::builder(Mode::Daemon)
        .file(
            "apps/ends/at_start.py",
            "import os\nos._exit(9)\n",
        )
        .directive(
            "WSGIImportScript @APPS@/ends/at_start.py process-group=app application-group=%{GLOBAL}",
        )
        .start();
    server.allow_log("exit status 9");
    for end in [
        "and 0 request(s); starting another at once",
        ", 2 failures in a row; starting another in 1 s",
        ", 3 failures in a row; starting another in 2 s",
    ] {
        let line = server.wait_for_log(end);
        assert!(line.contains("exit status 9"), "{line}");
    }
}
