//! Programs started with [`wsgi_unix::spawn`]: what they are given, what they are not, and what
//! the caller learns when one cannot start.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd};

use wsgi_unix::process::{self, Ended};
use wsgi_unix::spawn::{Command, Identity, Limit, Resource, StartError, Step};
use wsgi_unix::{accounts, memory, pipe};

/// Runs a shell script as `prepare` says and answers what it wrote.
fn output_of<'fd>(
    script: &str,
    prepare: impl FnOnce(&mut Command<'fd>),
) -> Result<String, StartError> {
    let (reader, writer) = pipe::pair().unwrap();
    let mut command = Command::new("/bin/sh");
    command.argument("-c").argument(script);
    command.variable("PATH", b"/usr/bin:/bin");
    prepare(&mut command);
    let pid = {
        let mut command = command;
        command.descriptor(writer.as_fd(), 1);
        command.start()?
    };
    drop(writer);
    let mut text = String::new();
    File::from(reader).read_to_string(&mut text).unwrap();
    assert_eq!(process::wait_for(pid).unwrap(), Ended::Exit(0), "{text}");
    Ok(text)
}

#[test]
fn a_program_has_the_listed_descriptors_and_no_others() {
    let blob = memory::sealed_blob(c"test", b"the configuration").unwrap();
    let text = output_of("cat <&7; echo; ls /proc/$$/fd; true", |command| {
        command.descriptor(blob.as_fd(), 7);
    });
    assert_eq!(text.unwrap(), "the configuration\n0\n1\n2\n7\n");
}

#[test]
fn descriptors_can_trade_their_numbers() {
    let one = memory::sealed_blob(c"one", b"one").unwrap();
    let two = memory::sealed_blob(c"two", b"two").unwrap();
    let (first, second) = (one.as_raw_fd(), two.as_raw_fd());
    let script = format!("cat /proc/self/fd/{first} /proc/self/fd/{second}");
    let text = output_of(&script, |command| {
        command.descriptor(one.as_fd(), second);
        command.descriptor(two.as_fd(), first);
    });
    assert_eq!(text.unwrap(), "twoone");
}

#[test]
fn a_program_has_the_given_environment_only() {
    let text = output_of("env", |command| {
        command.variable("LANG", b"C.UTF-8");
    });
    let text = text.unwrap();
    // The shell itself adds PWD, OLDPWD and _.
    let ours = |line: &&str| !line.contains("PWD=") && !line.starts_with('_');
    let mut lines: Vec<_> = text.lines().filter(ours).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["LANG=C.UTF-8", "PATH=/usr/bin:/bin"]);
}

#[test]
fn a_program_starts_with_default_signals() {
    // This test process ignores SIGPIPE, as every Rust program does.
    let text = output_of("grep -E '^Sig(Blk|Ign)' /proc/self/status", |_| {}).unwrap();
    for line in text.lines() {
        let (_, set) = line.split_once('\t').unwrap();
        // Signals 32 and 33 are the C library's own, and stay as whoever started us left them.
        let ours = u64::from_str_radix(set, 16).unwrap() & !(0b11 << 31);
        assert_eq!(ours, 0, "{line}");
    }
}

#[test]
fn a_session_umask_and_directory_are_set() {
    let script = "umask; pwd; set -- $(cat /proc/$$/stat); [ $6 = $$ ] && echo leads";
    let text = output_of(script, |command| {
        command.umask(0o27).directory("/usr").session();
    });
    assert_eq!(text.unwrap(), "0027\n/usr\nleads\n");
}

#[test]
fn a_program_may_have_fewer_descriptors_open_than_who_starts_it_has() {
    // Numbers from 64 upwards belong to somebody, whatever other tests of this process hold.
    let held: Vec<_> = (0..64).map(|_| pipe::pair().unwrap()).collect();
    let text = output_of("ulimit -Sn; [ -e /dev/fd/7 ]", |command| {
        let (reader, _) = held.last().unwrap();
        command.descriptor(reader.as_fd(), 7).open_files(48);
    });
    drop(held);
    assert_eq!(text.unwrap(), "48\n");
}

#[test]
fn a_program_may_have_as_many_descriptors_open_as_the_hard_limit_says() {
    let text = output_of("[ $(ulimit -Sn) = $(ulimit -Hn) ] && echo all", |command| {
        command.open_files(u64::MAX);
    });
    assert_eq!(text.unwrap(), "all\n");
}

#[test]
fn a_program_that_is_missing_is_named() {
    let error = Command::new("/no/such/python").start().unwrap_err();
    assert_eq!(
        (error.step, error.source.kind()),
        (Step::Execute, ErrorKind::NotFound)
    );
    assert_eq!(error.to_string(), "cannot execute /no/such/python");
}

#[test]
fn a_directory_that_is_missing_stops_the_start_unless_root_will_do() {
    let error = output_of("pwd", |command| {
        command.directory("/no/such");
    })
    .unwrap_err();
    assert_eq!(
        (error.step, error.source.kind()),
        (Step::Directory, ErrorKind::NotFound)
    );
    assert_eq!(
        error.to_string(),
        "cannot enter the directory of /bin/sh: /no/such"
    );
    let text = output_of("pwd", |command| {
        command.directory_or_root("/no/such");
    });
    assert_eq!(text.unwrap(), "/\n");
}

#[test]
fn an_argument_with_a_nul_byte_is_refused() {
    let error = output_of("a\0b", |_| {}).unwrap_err();
    assert_eq!(error.step, Step::Arguments);
}

#[test]
fn a_changed_identity_has_the_accounts_groups_and_no_way_back() {
    if !accounts::is_root() {
        return;
    }
    let identity = Identity {
        uid: 33,
        gid: 34,
        groups: vec![34, 50],
    };
    let text = output_of(
        "grep -E '^(Uid|Gid|Groups|Cap(Prm|Eff|Amb))' /proc/self/status",
        |command| {
            command.identity(identity).parent_death_signal(15);
        },
    );
    let text = text.unwrap().replace(' ', "");
    let none = "0000000000000000";
    let expected = format!(
        "Uid:\t33\t33\t33\t33\nGid:\t34\t34\t34\t34\nGroups:\t3450\n\
         CapPrm:\t{none}\nCapEff:\t{none}\nCapAmb:\t{none}\n"
    );
    assert_eq!(text, expected);
}

#[test]
fn root_is_no_identity() {
    if !accounts::is_root() {
        return;
    }
    let identity = Identity {
        uid: 0,
        gid: 34,
        groups: vec![34],
    };
    let error = output_of("id", |command| {
        command.identity(identity);
    })
    .unwrap_err();
    assert_eq!(
        (error.step, error.source.kind()),
        (Step::Verify, ErrorKind::PermissionDenied)
    );
}

#[test]
fn limits_and_priority_are_those_of_the_program() {
    let script = "ulimit -S -t; ulimit -H -t; ulimit -d; ulimit -v; nice";
    let bound = |resource, soft, hard| Limit {
        resource,
        soft,
        hard,
    };
    let text = output_of(script, |command| {
        command.limit(bound(Resource::CpuTime, 100, 106));
        command.limit(bound(Resource::Data, 1 << 30, 1 << 30));
        command.limit(bound(Resource::AddressSpace, 2 << 30, 2 << 30));
        command.priority(7);
    });
    assert_eq!(text.unwrap(), "100\n106\n1048576\n2097152\n7\n");
}

#[test]
fn a_limit_that_cannot_be_is_named() {
    let error = output_of("true", |command| {
        command.limit(Limit {
            resource: Resource::Data,
            soft: 2,
            hard: 1,
        });
    });
    let error = error.unwrap_err();
    assert_eq!(error.to_string(), "cannot limit the data of /bin/sh");
}

#[test]
fn a_root_directory_that_cannot_be_is_named() {
    if !accounts::is_root() {
        return;
    }
    let error = output_of("true", |command| {
        command.root("/no/such");
    });
    let error = error.unwrap_err();
    assert_eq!(error.step, Step::Root);
    let expected = "cannot change the root directory of /bin/sh to /no/such";
    assert_eq!(error.to_string(), expected);
}
