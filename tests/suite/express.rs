//! `wsgi-express`: a server from one command.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use wsgi_tests::apache::{apxs, only_ours};
use wsgi_tests::{Connection, Request, process, server, turn, wait};

/// The command of the stage under test.
fn express() -> PathBuf {
    let stage = env::var_os("WSGI_STAGE").expect("WSGI_STAGE is not set: run ci/test");
    let bin = PathBuf::from(apxs("bindir"));
    PathBuf::from(stage)
        .join(bin.strip_prefix("/").expect("absolute"))
        .join("wsgi-express")
}

#[test]
fn one_command_serves_an_application_and_its_end_leaves_nothing() {
    if only_ours("it is a command of our own") {
        return;
    }
    let _turn = turn::Turn::shared();
    let port = server::free_port().expect("a free port");
    let root = PathBuf::from(format!("/tmp/wsgi-express-test-{}", std::process::id()));
    let script = PathBuf::from(format!(
        "/tmp/wsgi-express-test-{}.wsgi",
        std::process::id()
    ));
    fs::write(&script, include_str!("../apps/hello/app.wsgi")).expect("/tmp is writable");
    let mut command = Command::new(express());
    command.args([
        "start-server",
        "--host",
        "127.0.0.1",
        "--port",
        &port.to_string(),
    ]);
    command.arg("--server-root").arg(&root).arg(&script);
    command
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .current_dir("/");
    let mut running = command.stdin(Stdio::null()).spawn().expect("it is staged");
    let address = server_address(port);
    wait::until_true("it listens", || server::listens(address));
    let answer = Connection::open(address)
        .and_then(|mut connection| connection.roundtrip(&Request::get("/")))
        .expect("an answer");
    assert_eq!(answer.text(), "Hello World!");
    process::send(running.id(), libc::SIGTERM);
    wait::until("it ends", || running.try_wait().ok().flatten());
    wait::until_true("no process is left", || {
        process::of_server(0, &root).is_empty()
    });
    let _ = fs::remove_dir_all(root);
    let _ = fs::remove_file(script);
}

#[test]
fn module_config_names_the_staged_module() {
    if only_ours("it is a command of our own") {
        return;
    }
    let output = Command::new(express())
        .arg("module-config")
        .output()
        .expect("it is staged");
    let text = String::from_utf8_lossy(&output.stdout);
    let module = wsgi_tests::apache::module();
    assert!(text.contains("LoadModule wsgi_module"), "{text}");
    assert!(text.contains(&*module.to_string_lossy()), "{text}");
}

fn server_address(port: u16) -> std::net::SocketAddr {
    (std::net::Ipv4Addr::LOCALHOST, port).into()
}
