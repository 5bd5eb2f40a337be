//! Process groups on demand that run under the account that their key names.

use std::process::Command;

use wsgi_tests::apache::{apache, only_ours};
use wsgi_tests::{Builder, Mode, Server, curl, wait};

use crate::on_demand::OURS;
use crate::support::facts_of;

/// Whether there are no such groups here.
fn cannot() -> bool {
    if only_ours(OURS) {
        return true;
    }
    if !apache().as_root {
        eprintln!("SKIPPED: only root can make accounts and start daemons under them");
    }
    !apache().as_root
}

/// A server whose users run applications under their own accounts.
fn by_user(options: &str, names: &[&str]) -> Builder {
    Server::builder(Mode::Embedded)
        .modules(&["authn_core", "authn_file", "auth_basic", "authz_user"])
        .file("users", &users(names))
        .directive(&format!("WSGIDaemonTemplate user {options}"))
        .directive("WSGIProcessGroup user/%{REMOTE_USER}")
        .app("/app", "process")
        .app("/open", "process")
        .directive(
            "<Location /app>\nAuthType Basic\nAuthName users\nAuthUserFile @ROOT@/users\n\
             Require valid-user\n</Location>",
        )
}

/// A password file in which each user's password is `secret`.
fn users(names: &[&str]) -> String {
    let line = |name: &&str| format!("{name}:{{SHA}}5en6G6MezRroT3XKqkdPOmY/BfQ=\n");
    names.iter().map(line).collect()
}

fn as_user(server: &Server, name: &str) -> (u16, String) {
    let url = format!("http://{}/app", server.address());
    let answer = curl::fetch(&url, &["--user", &format!("{name}:secret")]);
    (
        answer.status,
        String::from_utf8_lossy(&answer.body).into_owned(),
    )
}

/// Uid, gid and home of an account.
pub fn account(name: &str) -> [String; 3] {
    let text = std::fs::read_to_string("/etc/passwd").expect("readable");
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let fields = lines.find(|fields| fields[0] == name).expect("known");
    [fields[2], fields[3], fields[5]].map(str::to_owned)
}

#[test]
fn authenticated_users_run_under_their_own_accounts() {
    if cannot() {
        return;
    }
    let mut server = by_user(
        "user=%{key} group=%{key} threads=2 minimum-uid=2 env=WHO=%{key}",
        &["games", "man", "root", "nobody-knows"],
    )
    .start();
    for name in ["games", "man"] {
        let (status, text) = as_user(&server, name);
        assert_eq!(status, 200, "{text}");
        let facts = facts_of(&text);
        let [uid, _, home] = account(name);
        assert_eq!(facts["process_group"], format!("'user/{name}'"));
        assert_eq!(
            (&facts["uid"], &facts["home"]),
            (&uid, &format!("'{home}'"))
        );
        assert!(!facts["groups"].contains("33"), "{}", facts["groups"]);
        assert!(
            facts["variables"].contains("'WHO'"),
            "{}",
            facts["variables"]
        );
    }
    assert_eq!(as_user(&server, "root").0, 403);
    assert_eq!(as_user(&server, "nobody-knows").0, 403);
    // Nobody is logged in there, which the configuration should not have let through.
    assert_eq!(server.get("/open").status(), 500);
    server.expect_log("'user/root' is not made: the id 0 of user 'root' is below minimum-uid=2");
    server.expect_log("'user/nobody-knows' is not made: there is no user 'nobody-knows'");
    server.expect_log("process group 'user/%{REMOTE_USER}': the key is empty in this request");
    assert_eq!(server.daemons().len(), 2);
}

#[test]
fn accounts_of_the_system_are_below_the_default() {
    if cannot() {
        return;
    }
    let mut server = by_user("user=%{key} threads=2", &["games"]).start();
    assert_eq!(as_user(&server, "games").0, 403);
    server.expect_log("the id 5 of user 'games' is below minimum-uid=1000");
}

/// An account of this machine for as long as a test runs.
struct ThrowAway {
    name: String,
}

impl ThrowAway {
    fn new(name: &str) -> ThrowAway {
        let name = format!("wsgi{}{name}", std::process::id());
        let account = ThrowAway { name };
        account.make();
        account
    }

    fn make(&self) {
        let made = Command::new("useradd")
            .arg("--no-create-home")
            .arg(&self.name)
            .status();
        assert!(made.expect("it runs").success());
    }

    /// Also while it is in use; not there is as well.
    fn delete(&self) {
        let deleted = Command::new("userdel")
            .arg("--force")
            .arg(&self.name)
            .output();
        drop(deleted);
    }
}

impl Drop for ThrowAway {
    fn drop(&mut self) {
        self.delete();
    }
}

#[test]
fn an_account_that_was_deleted_ends_its_group_and_is_answered_with_403() {
    if cannot() {
        return;
    }
    let account = ThrowAway::new("a");
    let name = &account.name[..];
    let mut server = by_user("user=%{key} threads=2", &[name]).start();
    assert_eq!(as_user(&server, name).0, 200);
    account.delete();
    // What runs goes on; a process in its place would have a number that may be somebody else's.
    assert_eq!(as_user(&server, name).0, 200);
    let daemon = server.daemons().into_iter().next().expect("a daemon");
    daemon.signal(libc::SIGKILL);
    server.expect_log("ended with signal 9");
    let said = format!("process group 'user/{name}': ends: there is no user '{name}'");
    let line = server.wait_for_log(&said);
    assert!(line.contains("[wsgi:error]"), "{line}");
    assert_eq!(as_user(&server, name).0, 403);
    assert_eq!(server.daemons().len(), 0);
    assert_eq!(server.log().lines_with(&said).len(), 1);
    let refused = format!("'user/{name}' is not made: there is no user '{name}'");
    server.expect_log(&said);
    server.expect_log(&refused);
    // Whoever gets the name next is asked for anew.
    account.make();
    wait::until_true("the refusal is forgotten", || {
        as_user(&server, name).0 == 200
    });
}

#[test]
fn an_account_that_was_deleted_between_two_restarts_is_answered_with_403() {
    if cannot() {
        return;
    }
    let account = ThrowAway::new("b");
    let name = &account.name[..];
    let mut server = by_user("user=%{key} threads=2", &[name]).start();
    assert_eq!(as_user(&server, name).0, 200);
    account.delete();
    server.graceful();
    assert_eq!(as_user(&server, name).0, 403);
    let refused = format!("'user/{name}' is not made: there is no user '{name}'");
    assert_eq!(server.log().lines_with(&refused).len(), 1);
    server.expect_log(&refused);
    wait::until_true("no daemon is left", || server.daemons().is_empty());
}
