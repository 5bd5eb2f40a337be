//! Whose files a process group trusts and who may speak to it: `script-user`, `script-group` and
//! `socket-user`.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use wsgi_tests::apache::only_ours;
use wsgi_tests::{Builder, Mode, Server};

use crate::identity::needs_root;

const SCRIPT: &str = "apps/process/app.wsgi";

/// Files of the server's root are root's.
fn owned(option: &str) -> Builder {
    Server::builder(Mode::Daemon)
        .daemon(&format!("threads=2 {option}"))
        .app("/", "process")
}

fn status(server: &Server) -> u16 {
    server.get("/").status()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("ours");
}

/// Starts a server, prepares its script's file and asks for it: 403 with this reason.
#[track_caller]
fn is_refused(option: &str, prepare: impl FnOnce(&Path), reason: &str) {
    let mut server = owned(option).start();
    server.expect_log(reason);
    prepare(&server.root().join(SCRIPT));
    assert_eq!(status(&server), 403, "{reason}");
    let line = server.wait_for_log(reason);
    assert!(line.contains("app.wsgi' is refused: "), "{line}");
}

#[test]
fn a_script_of_its_owner_is_executed() {
    if needs_root() {
        return;
    }
    for (option, mode) in [("script-user=root", 0o644), ("script-group=root", 0o664)] {
        let server = owned(option).start();
        set_mode(&server.root().join(SCRIPT), mode);
        assert_eq!(status(&server), 200, "{option}");
    }
}

#[test]
fn a_script_of_somebody_else_is_refused() {
    if needs_root() || only_ours("its reasons are worded otherwise") {
        return;
    }
    is_refused(
        "script-user=games",
        |_| {},
        "it belongs to uid 0, and script-user is uid 5",
    );
    is_refused(
        "script-group=root",
        |script| chown(script, None, Some(4711)).expect("root may"),
        "it belongs to gid 4711, and script-group is gid 0",
    );
}

#[test]
fn a_script_that_others_may_change_is_refused() {
    if needs_root() || only_ours("its reasons are worded otherwise") {
        return;
    }
    let write = "others may write to it";
    for (option, mode) in [
        ("script-user=root", 0o664),
        ("script-user=root", 0o646),
        ("script-group=root", 0o646),
    ] {
        is_refused(option, |script| set_mode(script, mode), write);
    }
}

#[test]
fn a_script_in_a_directory_that_others_may_change_is_refused() {
    if needs_root() || only_ours("its reasons are worded otherwise") {
        return;
    }
    let directory = "others may write to its directory";
    for (option, mode) in [
        ("script-user=root", 0o775),
        ("script-user=root", 0o1777),
        ("script-group=root", 0o757),
    ] {
        let prepare = |script: &Path| set_mode(script.parent().expect("it has one"), mode);
        is_refused(option, prepare, directory);
    }
}

#[test]
fn the_file_a_link_leads_to_counts() {
    if needs_root() || only_ours("it looks at the link's directory") {
        return;
    }
    let mut server = Server::builder(Mode::Daemon)
        .daemon("threads=2 script-user=root")
        .directive("WSGIScriptAlias /link @ROOT@/state/link.wsgi")
        .start();
    let link = server.root().join("state/link.wsgi");
    std::os::unix::fs::symlink(server.root().join(SCRIPT), &link).expect("ours");
    assert_eq!(server.get("/link").status(), 200);
    fs::remove_file(&link).expect("ours");
    fs::copy(server.root().join(SCRIPT), &link).expect("ours");
    server.expect_log("link.wsgi' is refused");
    let refused = || server.get("/link").status() == 403;
    wsgi_tests::wait::until_true("the refusal", refused);
}

#[test]
fn a_refused_script_is_executed_once_it_is_mended() {
    if needs_root() {
        return;
    }
    let mut server = owned("script-user=root").start();
    let script = server.root().join(SCRIPT);
    set_mode(&script, 0o666);
    assert_eq!(status(&server), 403);
    server.allow_log("process/app.wsgi");
    set_mode(&script, 0o644);
    assert_eq!(status(&server), 200);
}

#[test]
fn imports_and_functions_are_scripts_too() {
    if needs_root() || only_ours("functions run in Apache's children there") {
        return;
    }
    let mut server = owned("script-user=root")
        .file("theirs/imported.py", "print('executed')\n")
        .file(
            "theirs/access.py",
            "def allow_access(environ, host):\n    return True\n",
        )
        .directive(
            "WSGIImportScript @ROOT@/theirs/imported.py process-group=app application-group=x\n\
             <Location /guarded>\n\
             WSGIAccessScript @ROOT@/theirs/access.py process-group=app\n</Location>",
        )
        .start();
    server.wait_for_log("executed");
    server.expect_log("executed");
    server.expect_log("access.py' is refused");
    set_mode(&server.root().join("theirs"), 0o777);
    assert_eq!(server.get("/guarded").status(), 403);
    assert_eq!(status(&server), 200);
    server.expect_log("imported.py' is refused");
    server.hard_restart();
    server.wait_for_log("imported.py' is refused");
    assert_eq!(status(&server), 200);
}

/// The group's socket.
fn socket(server: &Server) -> PathBuf {
    let entries = fs::read_dir(server.root().join("run")).expect("there");
    let mut sockets = entries.flatten().filter(|entry| {
        let kind = entry.file_type().expect("known");
        kind.is_socket()
    });
    sockets.next().expect("one").path()
}

/// Connects as somebody and says what comes of it within some seconds: `closed`, or the error's name,
/// which is `TimeoutError` for a connection that the daemon keeps.
fn connecting(user: &str, socket: &Path, seconds: u32) -> String {
    let code = "\
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(int(sys.argv[2]))
try:
    s.connect(sys.argv[1])
    print('answered' if s.recv(1) else 'closed')
except OSError as error:
    print(type(error).__name__)
";
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid", user, "--clear-groups", "--"]);
    command
        .args(["/usr/bin/python3", "-I", "-c", code])
        .arg(socket)
        .arg(seconds.to_string());
    let output = command.output().expect("it runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn the_sockets_user_alone_may_connect() {
    if needs_root() || only_ours("any process may connect that can open the socket") {
        return;
    }
    let mut server = owned("user=games socket-user=news").start();
    let socket = socket(&server);
    let status_of = fs::metadata(&socket).expect("there");
    assert_eq!((status_of.uid(), status_of.mode() & 0o777), (9, 0o600));
    assert_eq!(connecting("news", &socket, 1), "TimeoutError");
    assert_eq!(connecting("www-data", &socket, 20), "PermissionError");
    // Where the file's mode does not keep them out, the daemon does.
    set_mode(&socket, 0o666);
    server.expect_log("refused a connection");
    for user in ["www-data", "man"] {
        assert_eq!(connecting(user, &socket, 20), "closed", "{user}");
    }
    assert_eq!(connecting("news", &socket, 1), "TimeoutError");
}
