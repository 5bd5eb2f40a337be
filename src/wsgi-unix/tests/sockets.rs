//! Sockets between two ends of one test process: time-outs, owners, and passed descriptors.

use std::fs::File;
use std::io::{ErrorKind, IoSlice, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wsgi_unix::socket::{self, Wait};
use wsgi_unix::{accounts, memory, process};

/// A directory of this test's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("wsgi-unix-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn blob(text: &[u8]) -> OwnedFd {
    memory::sealed_blob(c"test", text).unwrap()
}

#[test]
fn a_connection_carries_bytes_and_tells_who_is_there() {
    let scratch = Scratch::new("connect");
    let path = scratch.file("s");
    let listener = socket::listen(&path, 8, None).unwrap();
    assert!(socket::accept(listener.as_fd()).unwrap().is_none());
    let child = socket::connect(&path, Duration::from_secs(1)).unwrap();
    let daemon = socket::accept(listener.as_fd()).unwrap().unwrap();
    assert!(socket::is_listener(listener.as_fd()).unwrap());
    assert!(!socket::is_listener(daemon.as_fd()).unwrap());
    let peer = socket::peer(daemon.as_fd()).unwrap();
    assert_eq!(
        (peer.pid, peer.uid),
        (process::own_pid(), accounts::own_uid())
    );

    let mut parts = [IoSlice::new(b""), IoSlice::new(b"he"), IoSlice::new(b"llo")];
    socket::send_all(child.as_fd(), &mut parts).unwrap();
    let mut buffer = [0u8; 16];
    assert_eq!(
        socket::peek(daemon.as_fd(), &mut buffer, Wait::Yes).unwrap(),
        5
    );
    assert_eq!(
        socket::receive(daemon.as_fd(), &mut buffer, Wait::No).unwrap(),
        5
    );
    assert_eq!(&buffer[..5], b"hello");
    let nothing = socket::receive(daemon.as_fd(), &mut buffer, Wait::No).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    drop(child);
    assert_eq!(
        socket::receive(daemon.as_fd(), &mut buffer, Wait::Yes).unwrap(),
        0
    );
}

#[test]
fn only_its_owner_may_use_a_socket_file() {
    let scratch = Scratch::new("owner");
    let path = scratch.file("s");
    let _listener = socket::listen(&path, 1, None).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = socket::listen(&path, 1, None).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AddrInUse);
}

#[test]
fn a_socket_is_given_to_its_owner_when_root_makes_it() {
    if !accounts::is_root() {
        return;
    }
    use std::os::unix::fs::MetadataExt;
    let scratch = Scratch::new("chown");
    let path = scratch.file("s");
    let _listener = socket::listen(&path, 1, Some((33, 34))).unwrap();
    let status = std::fs::metadata(&path).unwrap();
    assert_eq!((status.uid(), status.gid()), (33, 34));
}

#[test]
fn a_path_too_long_is_refused_with_its_limit() {
    let long = PathBuf::from(format!("/tmp/{}", "x".repeat(120)));
    let error = socket::listen(&long, 1, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("107"), "{error}");
}

#[test]
fn a_full_queue_times_out_and_a_missing_listener_is_refused_at_once() {
    let scratch = Scratch::new("full");
    let path = scratch.file("s");
    let missing = socket::connect(&path, Duration::from_secs(5)).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let listener = socket::listen(&path, 0, None).unwrap();
    let _first = socket::connect(&path, Duration::from_secs(1)).unwrap();
    let full = socket::connect(&path, Duration::from_millis(30)).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::TimedOut);
    drop(listener);
    let refused = socket::connect(Path::new(&path), Duration::from_secs(5)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

/// State and voluntary context switches of this process's thread of that name, once it sleeps.
fn asleep(name: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        assert!(Instant::now() < deadline, "{name} does not sleep");
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let statuses =
            tasks.filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
        let mut named = statuses.filter(|status| status.starts_with(&format!("Name:\t{name}\n")));
        let status = named.next().unwrap_or_default();
        if status.contains("State:\tS") {
            let switches = status
                .lines()
                .find(|line| line.starts_with("voluntary_ctxt_switches"));
            return switches.unwrap().to_owned();
        }
        std::thread::yield_now();
    }
}

#[test]
fn who_waits_for_an_answer_sleeps_on_when_its_question_is_taken() {
    let (asks, answers) = socket::pair().unwrap();
    socket::send_all(asks.as_fd(), &mut [IoSlice::new(&[b'q'; 1000])]).unwrap();
    std::thread::scope(|scope| {
        let waits = || socket::wait_readable(asks.as_fd(), Some(Duration::from_secs(30)));
        let thread = std::thread::Builder::new().name("waits".to_owned());
        let thread = thread.spawn_scoped(scope, waits).unwrap();
        let before = asleep("waits");
        let mut question = [0; 1000];
        assert_eq!(
            socket::receive(answers.as_fd(), &mut question, Wait::No).unwrap(),
            1000
        );
        // A thread in a receive would have been woken by that, and would sleep again by now.
        assert_eq!(asleep("waits"), before);
        socket::send_all(answers.as_fd(), &mut [IoSlice::new(b"a")]).unwrap();
        assert!(thread.join().unwrap().unwrap());
    });
    assert!(!socket::wait_readable(answers.as_fd(), Some(Duration::from_millis(5))).unwrap());
    drop(asks);
    assert!(
        socket::wait_readable(answers.as_fd(), None).unwrap(),
        "an end can be read"
    );
}

#[test]
fn a_receive_and_a_send_time_out() {
    let (one, _other) = socket::pair().unwrap();
    let brief = Some(Duration::from_millis(20));
    socket::set_receive_timeout(one.as_fd(), brief).unwrap();
    socket::set_send_timeout(one.as_fd(), brief).unwrap();
    let mut buffer = [0u8; 4];
    let late = socket::receive(one.as_fd(), &mut buffer, Wait::Yes).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::TimedOut);
    let much = vec![0u8; 16 << 20];
    let stuck = socket::send_all(one.as_fd(), &mut [IoSlice::new(&much)]).unwrap_err();
    assert_eq!(stuck.kind(), ErrorKind::TimedOut);
}

#[test]
fn a_peer_that_is_gone_is_an_error_and_no_signal() {
    let (one, other) = socket::pair().unwrap();
    drop(other);
    let error = socket::send_all(one.as_fd(), &mut [IoSlice::new(b"x")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[test]
fn closing_with_unread_bytes_resets_the_peer() {
    let (child, daemon) = socket::pair().unwrap();
    socket::send_all(child.as_fd(), &mut [IoSlice::new(b"request")]).unwrap();
    drop(daemon);
    let error = socket::receive(child.as_fd(), &mut [0u8; 4], Wait::Yes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_descriptor_arrives_with_its_bytes() {
    let (one, other) = socket::pair().unwrap();
    socket::send_all(one.as_fd(), &mut [IoSlice::new(b"before")]).unwrap();
    let file = blob(b"the file");
    socket::send_with_descriptor(one.as_fd(), b"frame", file.as_fd()).unwrap();

    let mut buffer = [0u8; 64];
    let (length, none) =
        socket::receive_with_descriptor(other.as_fd(), &mut buffer[..6], Wait::Yes).unwrap();
    assert!(length == 6 && none.is_none());
    let (length, passed) =
        socket::receive_with_descriptor(other.as_fd(), &mut buffer, Wait::Yes).unwrap();
    assert_eq!(&buffer[..length], b"frame");
    let mut text = String::new();
    File::from(passed.unwrap())
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "the file");
    let nothing = socket::send_with_descriptor(one.as_fd(), b"", file.as_fd()).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_plain_receive_lets_no_descriptor_in() {
    let (one, other) = socket::pair().unwrap();
    let (reader, writer) = wsgi_unix::pipe::pair().unwrap();
    socket::send_with_descriptor(one.as_fd(), b"x", writer.as_fd()).unwrap();
    drop(writer);
    assert_eq!(
        socket::receive(other.as_fd(), &mut [0u8; 4], Wait::Yes).unwrap(),
        1
    );
    // Were the passed end still open in this process, this would never end.
    assert_eq!(File::from(reader).read(&mut [0u8; 1]).unwrap(), 0);
}

#[test]
fn buffers_have_a_size() {
    let (one, other) = socket::pair().unwrap();
    let before = socket::send_buffer_bytes(one.as_fd()).unwrap();
    socket::set_send_buffer(one.as_fd(), before / 4).unwrap();
    assert!(socket::send_buffer_bytes(one.as_fd()).unwrap() < before);
    assert!(socket::receive_buffer_bytes(other.as_fd()).unwrap() > 0);
}
