//! What a daemon cannot do: become somebody else again, look into Apache or the monitor, speak to the
//! daemons of others, or use descriptors it was not given.

use wsgi_tests::apache::only_ours;
use wsgi_tests::process::Process;
use wsgi_tests::{Mode, Server};

use crate::identity::{answer, executing, needs_root};

/// Runs each line alone and keeps what it raised, or `done`.
fn attempts(lines: &[String]) -> String {
    let mut code = String::from("import os, ctypes, signal, socket\nanswer = []\n");
    for line in lines {
        code.push_str(&format!(
            "try:\n    {line}\n    answer.append('done')\n\
             except Exception as error:\n    answer.append(type(error).__name__)\n"
        ));
    }
    code
}

/// Checks that a daemon is refused all of these for want of rights.
#[track_caller]
fn are_forbidden(server: &Server, lines: &[String]) {
    let results = answer(server, &attempts(lines));
    let expected = vec!["'PermissionError'"; lines.len()].join(", ");
    assert_eq!(results, format!("[{expected}]"), "{lines:#?}");
}

fn lines(text: &[&str]) -> Vec<String> {
    text.iter().map(|line| (*line).to_owned()).collect()
}

#[test]
fn a_daemon_cannot_become_anybody_else() {
    if needs_root() {
        return;
    }
    let server = executing("user=games group=games").start();
    are_forbidden(
        &server,
        &lines(&[
            "os.setuid(0)",
            "os.setgid(0)",
            "os.setresuid(0, 0, 0)",
            "os.setresuid(-1, -1, 33)",
            "os.setgroups([0])",
            "os.chroot('/')",
            "os.setpriority(os.PRIO_PROCESS, 0, -20)",
        ]),
    );
    let code = "\
lines = open('/proc/self/status').read().splitlines()
names = ('CapInh', 'CapPrm', 'CapEff', 'CapAmb')
answer = [int(line.split()[1], 16) for line in lines if line.startswith(names)]
";
    assert_eq!(answer(&server, code), "[0, 0, 0, 0]");
}

#[test]
fn a_daemon_cannot_reach_apache_the_monitor_or_other_groups() {
    if needs_root() || only_ours("its daemons are children of httpd's parent") {
        return;
    }
    let server = executing("user=games group=games")
        .directive(
            "WSGIDaemonProcess other user=news group=news threads=1\n\
             WSGIImportScript @APPS@/process/app.wsgi process-group=other application-group=x",
        )
        .start();
    let own: u32 = answer(&server, "import os; answer = os.getpid()")
        .parse()
        .expect("a number");
    let all = server.processes();
    let others: Vec<&Process> = all.iter().filter(|process| process.pid != own).collect();
    // The parent, the monitor, the other group's daemon, and a child at least.
    assert!(others.len() >= 4, "{others:?}");
    for process in others {
        let pid = process.pid;
        are_forbidden(
            &server,
            &[
                format!("os.kill({pid}, 0)"),
                format!("os.kill({pid}, signal.SIGTERM)"),
                format!("open('/proc/{pid}/mem', 'rb').close()"),
                format!("open('/proc/{pid}/environ', 'rb').read()"),
                format!("os.listdir('/proc/{pid}/fd')"),
                format!("os.setpriority(os.PRIO_PROCESS, {pid}, 1)"),
                format!(
                    "assert ctypes.CDLL(None, use_errno=True).ptrace(16, {pid}, 0, 0) == 0 \
                     or exec('raise OSError(ctypes.get_errno(), 0)')"
                ),
            ],
        );
    }
    let run = server.root().join("run").display().to_string();
    let code = format!(
        "\
import os, socket
answer = []
for name in os.listdir('{run}'):
    if name.endswith('.sock'):
        try:
            socket.socket(socket.AF_UNIX).connect('{run}/' + name)
            answer.append('connected')
        except OSError as error:
            answer.append(type(error).__name__)
"
    );
    let refused = answer(&server, &code);
    assert_eq!(refused, "['PermissionError', 'PermissionError']");
}

#[test]
fn a_daemon_of_apaches_own_user_cannot_ask_another_group() {
    if needs_root() || only_ours("its frames have another form") {
        return;
    }
    let mut server = Server::builder(Mode::Daemon)
        .directive(
            "WSGIDaemonProcess other user=games group=games threads=1\n\
             WSGIScriptAlias /other @APPS@/hello/app.wsgi process-group=other",
        )
        .app("/", "executes")
        .start();
    server.expect_log("without the group's secret");
    assert_eq!(server.text("/other"), "Hello World!");
    let run = server.root().join("run").display().to_string();
    let script = server.app("executes/app.wsgi").display().to_string();
    // A request head that is right in all but the secret, to every group but the asker's own.
    let code = format!(
        "\
import os, socket, struct
short = lambda text: struct.pack('<H', len(text)) + text
head = struct.pack('<HBQQQHH', 0, 0, 0, 1, 0, 1, 0) + bytes(16)
head += short({script:?}.encode()) + short(b'x') + short(b'application') + struct.pack('<II', 0, 0)
answer = []
for name in sorted(os.listdir('{run}')):
    if name.endswith('.2.sock'):
        asked = socket.socket(socket.AF_UNIX)
        asked.connect('{run}/' + name)
        asked.sendall(struct.pack('<BBHI', 1, 1, 0, len(head)) + head)
        try:
            answer.append(asked.recv(100))
        except ConnectionResetError:
            answer.append(b'')
"
    );
    assert_eq!(answer(&server, &code), "[b'']");
    let loaded = server.log().lines_with("Loading WSGI script");
    let of_executes = |line: &&String| line.contains("executes/app.wsgi");
    assert_eq!(loaded.iter().filter(of_executes).count(), 1, "{loaded:#?}");
    assert_eq!(server.text("/other"), "Hello World!");
}

#[test]
fn a_daemon_has_no_descriptor_it_was_not_given() {
    if only_ours("its daemons are forks of httpd") {
        return;
    }
    let server = executing("").start();
    let code = "\
import os
tcp = {line.split()[9] for name in ('tcp', 'tcp6') if os.path.exists('/proc/net/' + name)
       for line in open('/proc/net/' + name).readlines()[1:]}
links = []
for fd in os.listdir('/proc/self/fd'):
    try:
        links.append(os.readlink('/proc/self/fd/' + fd))
    except OSError:
        pass
sockets = [link[8:-1] for link in links if link.startswith('socket:')]
known = ('/dev/null', 'pipe:', 'socket:', 'anon_inode:', '/memfd:')
other = [link for link in links
         if not link.startswith(known) and not link.endswith(('error_log', '/fd'))]
answer = [inode for inode in sockets if inode in tcp], other
";
    assert_eq!(answer(&server, code), "([], [])");
    // And what an application starts has the standard three alone.
    let code = "\
import subprocess
text = subprocess.run(['/bin/ls', '/proc/self/fd'], close_fds=False, stdout=-1).stdout
answer = text.split()
";
    assert_eq!(answer(&server, code), "[b'0', b'1', b'2', b'3']");
}

#[test]
fn the_identity_is_whole_in_every_process_of_a_group() {
    if needs_root() {
        return;
    }
    let server = Server::builder(Mode::Daemon)
        .daemon("processes=2 threads=1 user=#41234 group=#41235 umask=0027 home=/usr")
        .app("/", "executes")
        .start();
    // Python may still be on its way there: each answers once for itself.
    let code = "\
import os
mask = os.umask(0); os.umask(mask)
answer = os.getresuid(), os.getresgid(), os.getgroups(), mask, os.getcwd(), os.environ['HOME']
";
    let expected = "((41234, 41234, 41234), (41235, 41235, 41235), [41235], 23, '/usr', '/')";
    for _ in 0..8 {
        assert_eq!(answer(&server, code), expected);
    }
    for daemon in server.daemons() {
        let status = daemon.read("status");
        assert!(
            status.contains("Uid:\t41234\t41234\t41234\t41234"),
            "{status}"
        );
    }
}
