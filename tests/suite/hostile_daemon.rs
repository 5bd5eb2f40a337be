//! A daemon is somebody else's code: what it sends against the rules reaches no client, and costs
//! its own request only.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use wsgi_tests::apache::only_ours;
use wsgi_tests::{Mode, Server};

use crate::support::serving;

/// Stands where the group's Python would, and answers by the query of the request.
const IMPOSTOR: &str = r#"#!/usr/bin/python3
import os
import socket
import struct


def frame(tag, payload=b""):
    return struct.pack("<BBHI", 1, tag, 0, len(payload)) + payload


def head(status, reason):
    return struct.pack("<HH", status, len(reason)) + reason


INTERIM, HEAD, DATA, END, LOG = 5, 6, 7, 9, 11
listener = socket.socket(fileno=4)
listener.setblocking(True)
while True:
    child, _ = listener.accept()
    request = child.recv(1 << 16)
    try:
        if b"data-before-head" in request:
            child.sendall(frame(DATA, b"evil" * 4096) + frame(END))
        elif b"switching" in request:
            child.sendall(frame(INTERIM, head(101, b"Switching Protocols")))
        elif b"descriptors" in request:
            for _ in range(200):
                socket.send_fds(child, [frame(LOG, b"\x07line")], [0])
        elif b"babble" in request:
            os.write(6, b"nonsense")
            child.sendall(frame(HEAD, head(200, b"OK")) + frame(DATA, b"fine") + frame(END))
        elif b"flood" in request:
            for _ in range(1000):
                os.write(6, b"\x01\x01")
        else:
            child.sendall(frame(HEAD, head(200, b"OK")) + frame(DATA, b"fine") + frame(END))
        child.recv(1)
    except OSError:
        pass
    child.close()
"#;

fn start() -> Server {
    let mut server = serving(Mode::Daemon, "hello")
        .daemon("python-home=@ROOT@/impostor")
        .file("impostor/bin/python", IMPOSTOR)
        .start();
    server.allow_log("");
    let program = server.root().join("impostor/bin/python");
    fs::set_permissions(program, Permissions::from_mode(0o755)).expect("our own file");
    server
}

#[test]
fn what_a_daemon_sends_against_the_rules_is_a_500_and_named_in_the_log() {
    if only_ours("its daemons are forked, and cannot be replaced by a program") {
        return;
    }
    let server = start();
    assert_eq!(server.text("/?right"), "fine");
    for wrong in ["data-before-head", "switching", "descriptors"] {
        let response = server.get(&format!("/?{wrong}"));
        assert_eq!(response.status(), 500, "{wrong}");
        assert!(!response.text().contains("evil"), "{wrong}");
    }
    assert_eq!(server.log().text().matches("broke the protocol").count(), 3);
    assert_eq!(server.text("/?right"), "fine");
}

#[test]
fn what_a_daemon_says_to_the_monitor_against_the_rules_is_the_last_that_is_heard() {
    if only_ours("it has no monitor") {
        return;
    }
    for (wrong, reason) in [
        ("babble", "it sent what is no message"),
        ("flood", "it sent more than 100 messages within 10 s"),
    ] {
        let server = start();
        assert_eq!(server.text("/?right"), "fine");
        let daemons = server.daemons();
        server.get(&format!("/?{wrong}"));
        let line = server.wait_for_log("is not listened to any more");
        assert!(line.contains(reason), "{line}");
        assert_eq!(server.text("/?right"), "fine");
        assert!(server.daemons() == daemons);
    }
}
