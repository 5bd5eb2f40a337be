//! What the parser takes and refuses.

use clap::CommandFactory;

use super::*;

fn parse(words: &[&str]) -> Result<ServerOptions, clap::Error> {
    let command = ["wsgi-express", "setup-server"];
    match Command::try_parse_from(command.iter().chain(words))?.action {
        Action::SetupServer(options) => Ok(*options),
        other => panic!("{other:?}"),
    }
}

fn refusal(words: &[&str]) -> String {
    let refused = parse(words).expect_err("refused");
    refused.to_string()
}

#[test]
fn the_table_is_consistent() {
    Command::command().debug_assert();
}

#[test]
fn the_last_value_of_an_option_counts_and_lists_grow() {
    let words = [
        "--port=1",
        "--port=2",
        "--python-path=/a",
        "--python-path=/b",
    ];
    let options = parse(&words).expect("parsed");
    assert_eq!(
        (options.listener.port, options.app.python_path.len()),
        (2, 2)
    );
}

#[test]
fn the_mpm_has_the_originals_name_and_a_short_one() {
    for option in ["--server-mpm=prefork", "--mpm=prefork"] {
        let options = parse(&[option]).expect("parsed");
        assert_eq!(options.pool.mpm, Mpm::Prefork);
    }
}

#[test]
fn paths_are_made_absolute() {
    let options = parse(&["--document-root", "htdocs"]).expect("parsed");
    let root = options.content.document_root.expect("given");
    assert!(root.is_absolute() && root.ends_with("htdocs"), "{root:?}");
}

#[test]
fn what_is_not_offered_is_refused_with_what_to_do_instead() {
    let refused = refusal(&["app.wsgi", "--service-log-file", "tasks", "tasks.log"]);
    assert!(
        refused.contains("--service-log-file is not offered: "),
        "{refused}"
    );
    assert!(refused.contains("error log"), "{refused}");
    assert!(refusal(&["--enable-debugger"]).contains("wsgiref.simple_server"));
    assert!(refusal(&["--no-such-option"]).contains("unexpected argument"));
}

#[test]
fn what_has_no_effect_is_warned_about() {
    let options = parse(&["--verbose-debugging", "--process-name=x", "app.wsgi"]).expect("parsed");
    let warnings = options.dropped.warnings.join("\n");
    assert!(
        warnings.contains("--verbose-debugging has no effect"),
        "{warnings}"
    );
    assert!(
        warnings.contains("--process-name has no effect"),
        "{warnings}"
    );
    assert!(
        parse(&["app.wsgi"])
            .expect("parsed")
            .dropped
            .warnings
            .is_empty()
    );
}

#[test]
fn the_rules_of_the_directive_are_those_of_the_option() {
    let refused = refusal(&["--startup-timeout=soon"]);
    assert!(refused.contains("--startup-timeout"), "{refused}");
    assert!(refused.contains("whole number of seconds"), "{refused}");
    assert!(refusal(&["--daemon-backlog=0"]).contains("a number from 1"));
    assert!(refusal(&["--display-name=a\"b"]).contains("must not have"));
    assert!(refusal(&["--embedded-mode", "--umask=027"]).contains("cannot be used with"));
    let options = parse(&["--umask=027", "--startup-timeout=7"]).expect("parsed");
    let values = options.daemon.values();
    for expected in [
        ("umask", "027"),
        ("startup-timeout", "7"),
        ("display-name", "%{GROUP}"),
    ] {
        let found = values
            .iter()
            .any(|(name, value)| (*name, value.as_str()) == expected);
        assert!(found, "{expected:?} in {values:?}");
    }
}

#[test]
fn options_that_need_another_say_which() {
    let certificate = ["--https-port=443", "--ssl-certificate-file=a.crt"];
    assert!(refusal(&certificate).contains("--ssl-certificate-key-file"));
    assert!(refusal(&["--https-only"]).contains("--https-port"));
    assert!(refusal(&["--trust-proxy=10.0.0.1"]).contains("--trust-proxy-header"));
    assert!(refusal(&["--application-type=static"]).contains("--document-root"));
    assert!(refusal(&["--auth-group-script=a.py"]).contains("--auth-user-script"));
    assert!(refusal(&["--port=0"]).contains("--port"));
    assert!(refusal(&["--initial-workers=2"]).contains("from 0 to 1"));
}

/// The original's options, as its documentation lists them. Each is taken, or refused in a sentence.
#[test]
fn every_option_of_the_original_is_known() {
    let command = Command::command();
    let setup = command.find_subcommand("setup-server").expect("a command");
    let known = |name: &str| {
        setup.get_arguments().any(|arg| {
            let aliases = arg.get_all_aliases().unwrap_or_default();
            arg.get_long() == Some(name) || aliases.contains(&name)
        })
    };
    let originals = include_str!("originals");
    let missing: Vec<&str> = originals
        .split_whitespace()
        .filter(|name| !known(name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
