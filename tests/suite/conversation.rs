//! How what a daemon sends travels on: seen from a daemon that is a program of ours, which decides what
//! comes together.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use wsgi_tests::apache::only_ours;
use wsgi_tests::{Connection, Mode, Request};

use crate::support::serving;

/// Stands where the group's Python would, and answers each request by three pieces in one go.
const DAEMON: &str = r#"#!/usr/bin/python3
import socket
import struct


def frame(tag, payload=b""):
    return struct.pack("<BBHI", 1, tag, 0, len(payload)) + payload


HEAD, DATA, END = 6, 7, 9
listener = socket.socket(fileno=4)
listener.setblocking(True)
while True:
    child, _ = listener.accept()
    child.recv(1 << 16)
    head = frame(HEAD, struct.pack("<HH", 200, 2) + b"OK")
    child.sendall(head + frame(DATA, b"d" * 8192) * 3 + frame(END))
    child.close()
"#;

#[test]
fn pieces_that_have_come_together_pass_the_filters_together() {
    if only_ours("its daemons are forked, and cannot be replaced by a program") {
        return;
    }
    let mut server = serving(Mode::Daemon, "hello")
        .daemon("python-home=@ROOT@/daemon")
        .file("daemon/bin/python", DAEMON)
        .start();
    server.allow_log("");
    let program = server.root().join("daemon/bin/python");
    fs::set_permissions(program, Permissions::from_mode(0o755)).expect("our own file");

    let mut connection = Connection::open(server.address()).expect("a connection");
    let request = Request::get("/");
    connection.write(&request.head()).expect("a request");
    connection.head(false).expect("a head");
    let chunk = connection.chunk().expect("a chunk").expect("no end yet");
    assert_eq!(chunk.len(), 3 * 8192);
}
