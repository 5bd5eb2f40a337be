//! Groups on demand as Apache children ask for them: made once, under limits, and ended when nobody
//! needs them.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use crate::support::{Monitor, Setup, script};
use wsgi_unix::accounts;
use wsgi_unix::hints::HintPage;
use wsgi_unix::process::{self, Ended};
use wsgi_unix::socket::{self, Wait};
use wsgi_wire::control::{Answer, Ask, MAX_PACKET, Refusal};
use wsgi_wire::launch::{List, TemplateSpec};

/// A monitor without groups, with a template of groups like the usual one, `t/%{key}`.
fn with_template(change: impl FnOnce(&mut TemplateSpec)) -> Monitor {
    let mut setup = Setup::new(1, script::SERVES);
    let mut group = setup.config.groups.0.remove(0);
    group.gateway.process_group = b"t/%{key}".to_vec();
    let mut spec = TemplateSpec {
        name: b"t".to_vec(),
        group,
        minimum_uid: 1000,
        maximum_groups: 2,
        backlog: 8,
        ..TemplateSpec::default()
    };
    change(&mut spec);
    setup.config.templates = List(vec![spec]);
    setup.start()
}

/// Sends bytes as a child does; the socket on which the answer comes.
fn send(monitor: &Monitor, packet: &[u8]) -> OwnedFd {
    let (ours, theirs) = socket::pair().unwrap();
    socket::set_receive_timeout(ours.as_fd(), Some(Duration::from_secs(20))).unwrap();
    socket::send_with_descriptor(monitor.control.as_fd(), packet, theirs.as_fd()).unwrap();
    ours
}

fn ask(monitor: &Monitor, key: &str) -> (Answer, Option<OwnedFd>) {
    let packet = Ask {
        template: 0,
        key: key.into(),
    };
    let reply = send(monitor, &packet.to_bytes());
    let mut room = [0; MAX_PACKET];
    let (length, page) =
        socket::receive_with_descriptor(reply.as_fd(), &mut room, Wait::Yes).unwrap();
    (Answer::from_bytes(&room[..length]).unwrap(), page)
}

fn made(monitor: &Monitor, key: &str) -> (String, HintPage) {
    match ask(monitor, key) {
        (Answer::Made { socket, .. }, Some(page)) => (
            String::from_utf8(socket).unwrap(),
            HintPage::map_read_only(page.as_fd()).unwrap(),
        ),
        other => panic!("{key}: {other:?}"),
    }
}

fn refused(monitor: &Monitor, key: &str) -> (Refusal, String) {
    match ask(monitor, key).0 {
        Answer::Refused { refusal, reason } => (refusal, String::from_utf8(reason).unwrap()),
        other => panic!("{key}: {other:?}"),
    }
}

#[test]
fn a_group_is_made_once_with_its_socket_and_its_page() {
    let mut monitor = with_template(|_| {});
    let (socket, page) = made(&monitor, "a");
    assert!(page.slots() >= 1);
    socket::connect(Path::new(&socket), Duration::from_secs(20)).unwrap();
    monitor.line_with("process group 't/a': is made from template 't'");
    monitor.started();
    for _ in 0..50 {
        assert_eq!(made(&monitor, "a").0, socket);
    }
    let (other, _) = made(&monitor, "b");
    assert_ne!(other, socket);
    monitor.started();
    monitor.lose_parent();
    let (ended, log) = monitor.end();
    assert_eq!(ended, Ended::Exit(0));
    assert_eq!(log.matches("started process").count(), 2, "{log}");
    for path in [socket, other] {
        assert!(!Path::new(&path).exists(), "{path}");
    }
}

#[test]
fn groups_that_were_just_used_do_not_make_room() {
    let monitor = with_template(|_| {});
    made(&monitor, "a");
    made(&monitor, "b");
    let (refusal, reason) = refused(&monitor, "c");
    assert_eq!(refusal, Refusal::Full);
    assert_eq!(
        reason,
        "2 groups of template 't' are in use, as many as may be"
    );
}

#[test]
fn the_group_that_rested_longest_makes_room() {
    let mut monitor = with_template(|spec| spec.maximum_groups = 2);
    let (first, _) = made(&monitor, "a");
    made(&monitor, "b");
    // Asked for until the first one has rested; meanwhile the second is in use.
    let third = std::iter::repeat_with(|| {
        made(&monitor, "b");
        ask(&monitor, "c").0
    });
    let made = |answer: &Answer| matches!(answer, Answer::Made { .. });
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    let mut third = third.take_while(|_| std::time::Instant::now() < deadline);
    assert!(third.any(|answer| made(&answer)));
    monitor.line_with("process group 't/a': ends to make room for 't/c'");
    assert!(!Path::new(&first).exists());
}

#[test]
fn a_group_that_nobody_uses_ends() {
    let mut monitor = with_template(|spec| spec.inactivity_timeout = Duration::from_secs(1));
    let (socket, _) = made(&monitor, "a");
    let pid = monitor.started();
    monitor.line_with(
        "process group 't/a': ends, as there was no request within inactivity-timeout (1 s)",
    );
    monitor.line_with(&format!("process {pid} ended"));
    assert!(!Path::new(&socket).exists());
    let (again, _) = made(&monitor, "a");
    assert_ne!(again, socket, "a path is never used twice");
}

#[test]
fn a_monitor_removes_the_sockets_of_the_one_before_it() {
    let mut setup = Setup::new(1, script::SERVES);
    let left = setup.path("made.k1-1.sock");
    let _socket = socket::listen(&left, 1, None).unwrap();
    setup.config.templates = List(vec![TemplateSpec {
        group: setup.config.groups.0[0].clone(),
        ..TemplateSpec::default()
    }]);
    let mut monitor = setup.start();
    monitor.started();
    assert!(!left.exists());
}

#[test]
fn a_key_names_nobody_it_may_not() {
    if !accounts::is_root() {
        eprintln!("SKIPPED: only root can start a daemon as another user");
        return;
    }
    let monitor = with_template(|spec| spec.user = Some(b"%{key}".to_vec()));
    for (key, reason) in [
        ("root", "the id 0 of user 'root' is below minimum-uid=1000"),
        (
            "daemon",
            "the id 1 of user 'daemon' is below minimum-uid=1000",
        ),
        ("no-such-user", "there is no user 'no-such-user'"),
    ] {
        let expected = (Refusal::Forbidden, reason.to_owned());
        assert_eq!(refused(&monitor, key), expected);
    }
}

#[test]
fn a_key_runs_as_the_account_it_names() {
    if !accounts::is_root() {
        eprintln!("SKIPPED: only root can start a daemon as another user");
        return;
    }
    let mut monitor = with_template(|spec| {
        spec.user = Some(b"%{key}".to_vec());
        spec.minimum_uid = 1;
    });
    made(&monitor, "games");
    let pid = monitor.started();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let account = accounts::by_name(b"games").unwrap().unwrap();
    let uid = account.uid;
    assert!(
        status.contains(&format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}")),
        "{status}"
    );
}

#[test]
fn a_python_that_is_not_there_is_told_at_once() {
    let monitor = with_template(|spec| {
        spec.group.python_home = Some(b"/nonexistent/%{key}/venv".to_vec());
    });
    let expected = "python-home /nonexistent/me/venv has no bin/python".to_owned();
    assert_eq!(refused(&monitor, "me"), (Refusal::Broken, expected));
}

#[test]
fn what_is_no_question_harms_nobody() {
    let mut monitor = with_template(|_| {});
    let good = Ask {
        template: 0,
        key: b"a".to_vec(),
    }
    .to_bytes();
    let mut bad_version = good.clone();
    bad_version[0] ^= 0xff;
    let path = Ask {
        template: 0,
        key: b"../etc".to_vec(),
    };
    for packet in [
        &b"x"[..],
        &bad_version,
        &path.to_bytes(),
        &[7; MAX_PACKET * 2],
    ] {
        let reply = send(&monitor, packet);
        let mut room = [0; 8];
        assert_eq!(
            socket::receive(reply.as_fd(), &mut room, Wait::Yes).unwrap(),
            0
        );
    }
    monitor.line_with("an Apache child sent what is no message");
    // Without a socket for the answer, and with one whose other end is gone.
    socket::send_all(monitor.control.as_fd(), &mut [std::io::IoSlice::new(&good)]).unwrap();
    drop(send(&monitor, &good));
    // And with one that takes nothing more.
    let (full, _unread) = socket::pair().unwrap();
    while socket::send_at_once(full.as_fd(), &[0; 4096], None).is_ok() {}
    socket::send_with_descriptor(monitor.control.as_fd(), &good, full.as_fd()).unwrap();
    let far = Ask {
        template: 9,
        key: b"a".to_vec(),
    };
    let reply = send(&monitor, &far.to_bytes());
    let mut room = [0; MAX_PACKET];
    let length = socket::receive(reply.as_fd(), &mut room, Wait::Yes).unwrap();
    assert!(matches!(
        Answer::from_bytes(&room[..length]),
        Ok(Answer::Refused {
            refusal: Refusal::Broken,
            ..
        })
    ));
    made(&monitor, "a");
    process::signal(monitor.pid, 0).unwrap();
}
