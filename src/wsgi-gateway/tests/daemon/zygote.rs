//! A process that others are to be forked from: what it says when it cannot be, and when it can.

use wsgi_unix::process::Ended;
use wsgi_wire::launch::UNLOADABLE_STATUS;

use crate::harness::{Daemon, Setup, newest_python, wait_until};

fn zygote(script: &str) -> Daemon {
    let setup = Setup::new(newest_python(), script).imported();
    setup.with(|config| config.zygote = true).start()
}

#[test]
fn one_that_has_loaded_its_script_alone_can_be_forked() {
    let zygote = zygote("def application(environ, start_response): pass\n");
    wait_until("it is ready", || zygote.monitor().heard_ready());
    assert_eq!(zygote.monitor().cannot_fork(), None);
}

#[test]
fn one_with_threads_names_them_and_ends() {
    let mut zygote = zygote(
        "import threading, time\n\
         threading.Thread(target=time.sleep, args=(1000,), name='ticker', daemon=True).start()\n",
    );
    assert_eq!(zygote.ended(), Ended::Exit(0));
    wait_until("it says why", || zygote.monitor().cannot_fork().is_some());
    let why = zygote.monitor().cannot_fork().unwrap_or_default();
    assert!(
        why.ends_with("which a fork does not keep: 'ticker'"),
        "{why}"
    );
    assert!(!zygote.monitor().heard_ready());
}

#[test]
fn one_whose_script_fails_is_of_no_use() {
    let mut zygote = zygote("raise ValueError('not today')\n");
    assert_eq!(zygote.ended(), Ended::Exit(UNLOADABLE_STATUS));
    assert!(zygote.log().contains("not today"), "{}", zygote.log());
    assert!(!zygote.monitor().heard_ready());
}
