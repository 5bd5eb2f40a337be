//! Tests of the options of WSGIDaemonProcess.

use super::value::{bytes, drawn, signed, variable};
use super::*;

fn options(args: &str) -> DaemonOptions {
    parse(args.as_bytes()).expect("accepted")
}

fn refused(args: &str) -> String {
    parse(args.as_bytes()).expect_err("refused").to_string()
}

#[test]
fn the_number_of_threads_may_have_bounds() {
    let bounds = |text| {
        let group = options(text);
        (group.least_threads, group.threads)
    };
    assert_eq!(bounds("app threads=4-20"), (Some(4), 20));
    assert_eq!(bounds("app threads=8"), (None, 8));
    assert_eq!(bounds("app threads=0"), (None, 0));
}

#[test]
fn the_number_of_processes_may_have_bounds() {
    let bounds = |text| {
        let group = options(text);
        (group.least_processes, group.processes)
    };
    assert_eq!(bounds("app processes=2-8"), (Some(2), Some(8)));
    assert_eq!(bounds("app processes=8"), (None, Some(8)));
    assert_eq!(bounds("app processes=8-8"), (None, Some(8)));
}

#[test]
fn a_name_alone_gives_the_defaults() {
    let group = options("app");
    assert_eq!(group, DaemonOptions::with_defaults(b"app".to_vec()));
    assert_eq!((group.processes, group.threads), (None, 15));
    assert_eq!(group.listen_backlog, 100);
    assert_eq!(group.shutdown_timeout, Duration::from_secs(5));
    assert_eq!(group.connect_timeout, Duration::from_secs(15));
}

#[test]
fn every_option_reaches_its_field() {
    let group = options(
        r#"app processes=2 threads=8 interpreters=2 user=www group=#33 umask=0027 home=/srv/app
           python-home=/srv/venv python-path="/a b:/c::" python-eggs=/srv/eggs
           switch-interval=0.01 display-name=%{GROUP}
           lang=en_US.UTF-8 locale='C.UTF-8' listen-backlog=7 startup-timeout=1 inactivity-timeout=6
           shutdown-timeout=2 graceful-timeout=3 connect-timeout=4 socket-timeout=5
           maximum-requests=1000+200 restart-interval=3600 recycle-memory=512M eviction-timeout=7 deadlock-timeout=8
           request-timeout=9 interrupt-timeout=10
           supplementary-groups=audio,#7 stack-size=1M cpu-time-limit=8 cpu-priority=-5
           memory-limit=1G virtual-memory-limit=2G env=A=b=c env='B=d e' env-file=/srv/a
           env-file=/srv/b socket-user=#5 script-group=#6 chroot=/srv/jail preload=fork"#,
    );
    assert_eq!(group.socket_user.as_deref(), Some(&b"#5"[..]));
    assert_eq!(group.script_group.as_deref(), Some(&b"#6"[..]));
    assert_eq!(group.chroot.as_deref(), Some(&b"/srv/jail"[..]));
    assert!(group.preload && !options("app preload=fork preload=Off").preload);
    let user = options("app script-user=www").script_user;
    assert_eq!(user.as_deref(), Some(&b"www"[..]));
    let names = group.supplementary_groups.clone().expect("stated");
    assert_eq!(names, [b"audio".to_vec(), b"#7".to_vec()]);
    assert_eq!(group.stack_size, Some(1 << 20));
    assert_eq!((group.cpu_time_limit, group.cpu_priority), (8, Some(-5)));
    let limits = (group.memory_limit, group.virtual_memory_limit);
    assert_eq!(limits, (1 << 30, 2 << 30));
    let variable = |name: &[u8], value: &[u8]| (name.to_vec(), value.to_vec());
    let variables = [variable(b"A", b"b=c"), variable(b"B", b"d e")];
    assert_eq!(group.environment, variables);
    assert_eq!(group.environment_files, [b"/srv/a", b"/srv/b"]);
    assert_eq!((group.processes, group.threads), (Some(2), 8));
    assert_eq!(group.interpreters, 2);
    assert_eq!(group.user.as_deref(), Some(&b"www"[..]));
    assert_eq!(group.group.as_deref(), Some(&b"#33"[..]));
    assert_eq!(group.umask, Some(0o27));
    assert_eq!(group.home.as_deref(), Some(&b"/srv/app"[..]));
    assert_eq!(group.python_home.as_deref(), Some(&b"/srv/venv"[..]));
    assert_eq!(group.python_path, [b"/a b".to_vec(), b"/c".to_vec()]);
    assert_eq!(group.python_eggs.as_deref(), Some(&b"/srv/eggs"[..]));
    assert_eq!(group.switch_interval, Some(10_000));
    assert_eq!(group.display_name.as_deref(), Some(&b"(wsgi:app)"[..]));
    assert_eq!(group.lang.as_deref(), Some(&b"en_US.UTF-8"[..]));
    assert_eq!(group.locale.as_deref(), Some(&b"C.UTF-8"[..]));
    assert_eq!(group.listen_backlog, 7);
    let seconds = [
        group.startup_timeout,
        group.shutdown_timeout,
        group.graceful_timeout,
        group.connect_timeout,
    ];
    assert_eq!(seconds.map(|time| time.as_secs()), [1, 2, 3, 4]);
    assert_eq!(group.socket_timeout, Some(Duration::from_secs(5)));
    assert_eq!(group.inactivity_timeout, Duration::from_secs(6));
    let drawn = |least, jitter| Drawn { least, jitter };
    assert_eq!(group.maximum_requests, drawn(1000, 200));
    assert_eq!(group.restart_interval, drawn(3600, 0));
    assert_eq!(group.recycle_memory, 512 << 20);
    let seconds = [
        group.eviction_timeout,
        group.deadlock_timeout,
        group.request_timeout,
        group.interrupt_timeout,
    ];
    assert_eq!(seconds.map(|time| time.as_secs()), [7, 8, 9, 10]);
}

#[test]
fn a_socket_timeout_of_zero_is_apaches_timeout() {
    assert_eq!(options("app socket-timeout=0").socket_timeout, None);
}

#[test]
fn the_last_value_of_a_repeated_option_counts() {
    assert_eq!(options("app threads=2 threads=3").threads, 3);
}

#[test]
fn a_value_that_does_not_fit_is_named_with_its_option() {
    assert_eq!(
        refused("app threads=none"),
        "WSGIDaemonProcess: invalid value 'none' for option 'threads': \
         a number up to 65533, or two as least-most, is expected"
    );
    for args in [
        "app threads=65534",
        "app threads=+3",
        "app threads=",
        "app processes=0",
        "app processes=-1",
        "app threads=0-2",
        "app threads=3-2",
        "app processes=0-2",
        "app processes=3-2",
        "app processes=2-",
        "app processes=2-70000",
        "app interpreters=0",
        "app umask=8",
        "app umask=1000",
        "app user=",
        "app home=srv",
        "app python-home=venv",
        "app python-eggs=eggs",
        "app switch-interval=0",
        "app startup-timeout=1.5",
        "app inactivity-timeout=1.5",
        "app listen-backlog=0",
        "app display-name=",
        "app stack-size=262143",
        "app cpu-priority=-21",
        "app env==x",
        "app env-file=a",
        "app chroot=a",
        "app preload=On",
        "app preload=Fork",
        "app shutdown-timeout=99999999999",
    ] {
        assert!(refused(args).contains("invalid value"), "{args}");
    }
}

#[test]
fn unknown_options_are_named() {
    assert_eq!(
        refused("app thread=5"),
        "WSGIDaemonProcess: unknown option 'thread'"
    );
    assert_eq!(
        refused("app fast"),
        "WSGIDaemonProcess: 'fast' is not an option of the form name=value"
    );
    assert_eq!(
        refused(" "),
        "WSGIDaemonProcess: the name of the process group is required"
    );
    assert_eq!(
        refused("app home='/a"),
        "WSGIDaemonProcess: the arguments cannot be split into words"
    );
}

#[test]
fn numbers_with_jitter_sign_or_unit_are_read_and_others_are_not() {
    let just = |least| Some(Drawn { least, jitter: 0 });
    assert_eq!(drawn(b"1000"), just(1000));
    let wide = Drawn {
        least: 1000,
        jitter: 200,
    };
    assert_eq!(drawn(b"1000+200"), Some(wide));
    for text in ["", "+", "1+", "+1", "1+2+3", "4294967295+1"] {
        assert_eq!(drawn(text.as_bytes()), None, "{text}");
    }
    assert_eq!((signed(b"-20"), signed(b"20")), (Some(-20), Some(20)));
    assert_eq!((signed(b"--1"), signed(b"-")), (None, None));
    assert_eq!((bytes(b"512"), bytes(b"2k")), (Some(512), Some(2048)));
    assert_eq!((bytes(b"3M"), bytes(b"1G")), (Some(3 << 20), Some(1 << 30)));
    for text in ["", "K", "1T", "1.5M", "-1", "99999999999999999999"] {
        assert_eq!(bytes(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn a_variable_has_a_name_of_the_environment() {
    assert_eq!(variable(b"A_1=b=c"), Some((&b"A_1"[..], &b"b=c"[..])));
    assert_eq!(variable(b"A="), Some((&b"A"[..], &b""[..])));
    for entry in ["", "A", "=b", "1A=b", "A B=c", "A=\0"] {
        assert_eq!(variable(entry.as_bytes()), None, "{entry}");
    }
}

#[test]
fn the_table_names_each_option_once() {
    let mut names: Vec<_> = OPTIONS.iter().map(|row| row.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), OPTIONS.len());
    let retired = |row: &&OptionRow| matches!(row.take, Take::Retired(..));
    assert_eq!(OPTIONS.iter().filter(retired).count(), 2);
    let of_templates = OPTIONS.iter().filter(|row| row.is_of_templates()).count();
    // mod_wsgi's, its retired ones, and ours: recycle-memory, interpreters, env, env-file, preload.
    assert_eq!(names.len() - of_templates, 44 + 2 + 5);
    for row in OPTIONS {
        assert!(!row.doc.is_empty(), "{}", row.name);
    }
}

fn template(args: &str) -> Result<DaemonOptions, String> {
    parse_template(args.as_bytes()).map_err(|error| error.to_string())
}

#[test]
fn processes_are_forked_only_where_there_is_something_to_load_and_threads_to_serve() {
    assert!(template("user preload=fork").is_err_and(|error| error.contains("made on demand")));
    assert!(refused("app preload=fork threads=0").contains("exclude each other"));
    assert!(template("user preload=Off").is_ok());
}

#[test]
fn a_template_has_a_groups_options_and_its_own() {
    let options = template(
        "user processes=1 user=%{key} home=/home/%{key} display-name=%{GROUP} \
         maximum-groups=7 maximum-processes=20 minimum-uid=500",
    )
    .expect("accepted");
    assert_eq!(options.name, b"user/%{key}");
    assert_eq!(options.defined_name(), b"user");
    assert_eq!(options.definition(), "WSGIDaemonTemplate user");
    assert_eq!(options.user.as_deref(), Some(&b"%{key}"[..]));
    assert_eq!(options.home.as_deref(), Some(&b"/home/%{key}"[..]));
    let title = options.display_name.as_deref();
    assert_eq!(title, Some(&b"(wsgi:user/%{key})"[..]));
    let limits = TemplateLimits {
        maximum_groups: 7,
        maximum_processes: 20,
        minimum_uid: 500,
    };
    assert_eq!(options.template, Some(limits));
    let plain = template("vhost").expect("accepted").template;
    assert_eq!(plain, Some(TemplateLimits::default()));
}

#[test]
fn what_a_template_does_not_take_is_named() {
    assert_eq!(
        template("").expect_err("refused"),
        "WSGIDaemonTemplate: the name of the template is required"
    );
    assert_eq!(
        template("a/b").expect_err("refused"),
        "WSGIDaemonTemplate: 'a/b' is not a name without '/' and '%'"
    );
    assert_eq!(
        template("a threads=%{key}").expect_err("refused"),
        "WSGIDaemonTemplate: invalid value '%{key}' for option 'threads': \
         a number up to 65533, or two as least-most, is expected"
    );
    assert_eq!(
        template("a maximum-groups=0").expect_err("refused"),
        "WSGIDaemonTemplate: invalid value '0' for option 'maximum-groups': \
         a number from 1 to 10000 is expected"
    );
}

#[test]
fn a_group_has_no_limits_of_templates() {
    let error = parse(b"app maximum-groups=7").expect_err("refused");
    assert_eq!(
        error.to_string(),
        "WSGIDaemonProcess: unknown option 'maximum-groups'"
    );
}
