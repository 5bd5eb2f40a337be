//! What a daemon is given before its Python begins: groups, limits, priority, stack, environment.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use wsgi_tests::apache::{apache, only_ours};
use wsgi_tests::{Builder, Mode, Request, Server};

/// A server whose one daemon has these options and does what it is sent.
pub fn executing(options: &str) -> Builder {
    Server::builder(Mode::Daemon)
        .daemon(&format!("threads=2 {options}"))
        .app("/", "executes")
}

/// The repr of the name `answer` after a daemon has executed this.
#[track_caller]
pub fn answer(server: &Server, code: &str) -> String {
    let response = server.send(&Request::post("/", code));
    assert_eq!(response.status(), 200, "{code}: {}", response.text());
    response.text()
}

/// Whether the suite runs without root; says so.
pub fn needs_root() -> bool {
    if !apache().as_root {
        eprintln!("SKIPPED: it takes root");
    }
    !apache().as_root
}

#[test]
fn supplementary_groups_are_the_listed_ones_alone() {
    if needs_root() || only_ours("the primary group is among them there") {
        return;
    }
    let server = executing("user=games supplementary-groups=audio,#4711").start();
    let audio = group_id("audio");
    let code = "import os; answer = os.getgroups()";
    assert_eq!(answer(&server, code), format!("[{audio}, 4711]"));
}

fn group_id(name: &str) -> u32 {
    let groups = fs::read_to_string("/etc/group").expect("readable");
    let prefix = format!("{name}:x:");
    let mut ids = groups.lines().filter_map(|line| {
        let id = line.strip_prefix(&prefix)?.split(':').next()?;
        id.parse().ok()
    });
    ids.next().expect("known")
}

#[test]
fn limits_and_priority_are_set_before_python_starts() {
    if only_ours("sizes have no units there") {
        return;
    }
    let server = executing(
        "memory-limit=800M virtual-memory-limit=3G cpu-time-limit=1000 shutdown-timeout=7 \
         cpu-priority=5",
    )
    .start();
    let code = "\
import os, resource as r
answer = [r.getrlimit(kind) for kind in (r.RLIMIT_DATA, r.RLIMIT_AS, r.RLIMIT_CPU)]
answer.append(os.getpriority(os.PRIO_PROCESS, 0))
";
    let expected = format!(
        "[({0}, {0}), ({1}, {1}), (1000, 1008), 5]",
        800u64 << 20,
        3u64 << 30
    );
    assert_eq!(answer(&server, code), expected);
    let refused = "\
try:
    bytearray(900 << 20)
except MemoryError:
    answer = 'refused'
";
    assert_eq!(answer(&server, refused), "'refused'");
}

#[test]
fn a_priority_above_the_servers_takes_root() {
    if needs_root() {
        return;
    }
    let server = executing("user=games cpu-priority=-3").start();
    let code = "import os; answer = os.getpriority(os.PRIO_PROCESS, 0)";
    assert_eq!(answer(&server, code), "-3");
    drop(server);
    if only_ours("it says so by the number of the error only") {
        return;
    }
    let mut server = executing("cpu-priority=-3").as_user("games").start();
    server.expect_log("cannot set the CPU priority of");
    server.allow_log("process group 'app'");
    server.wait_for_log("cannot set the CPU priority of");
}

#[test]
fn a_stack_size_is_that_of_the_request_threads() {
    if only_ours("sizes have no units there") {
        return;
    }
    let depth = "\
import sys
sys.setrecursionlimit(10**6)
stacks = [line for line in open('/proc/self/smaps') if line.startswith('Size:')]
answer = stacks.count('Size:               1536 kB\\n') > 0
";
    let server = executing("stack-size=1536K").start();
    assert_eq!(answer(&server, depth), "True");
    drop(server);
    let server = executing("").start();
    assert_eq!(answer(&server, depth), "False");
}

#[test]
fn variables_are_there_before_any_import() {
    if only_ours("it has no such options") {
        return;
    }
    let server = executing(
        "env=PYTHONPATH=/srv/from-env env=TOKEN=one env='TOKEN=a = b' env=PATH=/opt/bin:/bin \
         env-file=@ROOT@/first.env env-file=@ROOT@/second.env",
    )
    .file(
        "first.env",
        "# of the first\nexport A=\"1\\n2\"\nB='first'\nTOKEN=x\n",
    )
    .file("second.env", "B=second # wins\n")
    .start();
    let code = "\
import os, sys
answer = [os.environ.get(n) for n in ('TOKEN', 'A', 'B', 'PATH')], '/srv/from-env' in sys.path
";
    let expected = r"(['a = b', '1\n2', 'second', '/opt/bin:/bin'], True)";
    assert_eq!(answer(&server, code), expected);
}

#[test]
fn a_changed_env_file_counts_for_the_next_process() {
    if only_ours("it has no such option") {
        return;
    }
    let server = executing("env-file=@ROOT@/app.env")
        .file("app.env", "SECRET=old\n")
        .start();
    let code = "import os; answer = os.environ['SECRET']";
    assert_eq!(answer(&server, code), "'old'");
    fs::write(server.root().join("app.env"), "SECRET=new\n").expect("ours");
    let file = "executes/app.wsgi";
    server.edit_app(file, "Executes the", "Executes a");
    assert_eq!(answer(&server, code), "'new'");
}

#[test]
fn a_bad_env_file_is_named_with_its_line_and_nothing_of_it() {
    if only_ours("it has no such option") {
        return;
    }
    let mut server = executing("env-file=@ROOT@/app.env")
        .file("app.env", "A=1\nhunter2\n")
        .start();
    server.expect_log("app.env is refused: line 2: no '=' after the name");
    server.allow_log("process group 'app'");
    server.wait_for_log("is refused: line 2");
    assert!(server.log().lines_with("hunter2").is_empty());
}

#[test]
fn an_env_file_that_only_root_may_read_is_refused_where_others_decide() {
    if needs_root() || only_ours("it has no such option") {
        return;
    }
    // The server root is below /tmp, where everybody can make a link to anything.
    let mut server = executing("user=games env-file=@ROOT@/later.env").start();
    server.expect_log("later.env for uid 5");
    server.allow_log("process group 'app'");
    server.wait_for_log("No such file");
    let path = server.root().join("later.env");
    fs::write(&path, "A=1\n").expect("ours");
    fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("ours");
    server.wait_for_log("Permission denied");
}
