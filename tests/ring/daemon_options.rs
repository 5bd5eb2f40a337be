//! Options of WSGIDaemonProcess that an application can see.

use wsgi_tests::apache::apache;
use wsgi_tests::{Mode, Server};

use crate::case::Group;

/// Name of the group and its options.
const OPTIONS: &[(&str, &str)] = &[
    ("plain", ""),
    ("one", "processes=1 threads=1"),
    ("many", "processes=2 threads=3"),
    ("home", "home=@ROOT@/state"),
    ("path", "python-path=@APPS@/library/lib"),
    ("paths", "python-path=@ROOT@/state:@APPS@/library/lib"),
    ("masked", "umask=0027"),
    ("lang", "lang=C.UTF-8"),
    ("locale", "locale=C.UTF-8"),
    ("both", "lang=C.UTF-8 locale=C.UTF-8"),
    ("quoted", "home='@ROOT@/state' display-name='%{GROUP}'"),
    ("quoted-value", "home=\"@ROOT@/state\""),
    ("named", "display-name=%{GROUP}"),
    ("titled", "display-name=ring-title"),
    ("127.0.0.1", "threads=2"),
    ("with.dots-and_more", "threads=2"),
];

/// The case's name, the group, and the fact that `tests/apps/process` must tell.
const FACTS: &[(&str, &str, &str, &str)] = &[
    ("the_name_of_a_group", "plain", "process_group", "'plain'"),
    (
        "the_name_of_a_group_may_have_dots",
        "127.0.0.1",
        "process_group",
        "'127.0.0.1'",
    ),
    (
        "the_name_of_a_group_may_have_more",
        "with.dots-and_more",
        "process_group",
        "'with.dots-and_more'",
    ),
    ("home_is_the_directory", "home", "cwd", "'@ROOT@/state'"),
    ("a_quoted_option", "quoted", "cwd", "'@ROOT@/state'"),
    ("a_quoted_value", "quoted-value", "cwd", "'@ROOT@/state'"),
    ("umask_is_octal", "masked", "umask", "23"),
    ("lang_is_set", "lang", "lang", "'C.UTF-8'"),
    ("locale_is_set", "locale", "lc_all", "'C.UTF-8'"),
    ("lang_beside_locale", "both", "lang", "'C.UTF-8'"),
    ("argv_of_a_daemon", "plain", "argv", "['mod_wsgi']"),
];

/// The case's name, the group, and what `wsgi.multiprocess` and `wsgi.multithread` are.
const FLAGS: &[(&str, &str, &str)] = &[
    ("a_group_without_options_has_threads", "plain", "False True"),
    ("stated_processes_are_many_even_if_one", "one", "True False"),
    ("many_processes_and_threads", "many", "True True"),
];

const TELLS: &str = "def application(environ, start_response):\n    start_response('200 OK', [])\n    return \
                     ['{wsgi.multiprocess} {wsgi.multithread}'.replace('{wsgi.multiprocess}', \
                     str(environ['wsgi.multiprocess'])).replace('{wsgi.multithread}', \
                     str(environ['wsgi.multithread'])).encode()]\n";

fn configured(mode: Mode) -> wsgi_tests::Builder {
    let mut builder = Server::builder(mode).file("cases/flags.wsgi", TELLS);
    for (name, options) in OPTIONS {
        builder = builder
            .directive(&format!("WSGIDaemonProcess {name} {options}"))
            .directive(&format!(
                "WSGIScriptAlias /facts/{name} @APPS@/process/app.wsgi process-group={name}\n\
                 WSGIScriptAlias /flags/{name} @ROOT@/cases/flags.wsgi process-group={name}\n\
                 WSGIScriptAlias /library/{name} @APPS@/library/app.wsgi process-group={name}"
            ));
    }
    builder
}

/// The cases.
pub fn group() -> Group {
    let mut group = Group::new("daemon_options", configured).modes(&[Mode::Daemon]);
    for &(name, of, fact, expected) in FACTS {
        group = group.case(name, move |server, _| {
            let root = server.root().display().to_string();
            let text = server.text(&format!("/facts/{of}"));
            let prefix = format!("{fact}\t");
            let found = text.lines().find_map(|line| line.strip_prefix(&*prefix));
            assert_eq!(found, Some(&*expected.replace("@ROOT@", &root)), "{text}");
        });
    }
    for &(name, of, expected) in FLAGS {
        group = group.case(name, move |server, _| {
            assert_eq!(server.text(&format!("/flags/{of}")), expected);
        });
    }
    group
        .case("python_path_is_searched", |server, _| {
            assert_eq!(server.get("/library/path").status(), 200);
        })
        .case("python_path_of_several_directories", |server, _| {
            assert_eq!(server.get("/library/paths").status(), 200);
        })
        .case("home_is_first_on_the_path", |server, _| {
            let text = server.text("/facts/home");
            let expected = format!("path\t['{}/state'", server.root().display());
            assert!(text.contains(&expected), "{text}");
        })
        .case("the_identity_is_that_of_apache", |server, _| {
            if apache().as_root {
                let text = server.text("/facts/plain");
                assert!(
                    text.contains("logname\t") && !text.contains("uid\t0\n"),
                    "{text}"
                );
            }
        })
        .case(
            "a_group_runs_in_another_process_than_another",
            |server, _| {
                let pid = |group: &str| {
                    let text = server.text(&format!("/facts/{group}"));
                    text.lines().next().unwrap_or_default().to_owned()
                };
                assert_ne!(pid("plain"), pid("lang"));
                assert_eq!(pid("plain"), pid("plain"));
            },
        )
        .case("a_display_name_is_the_title", |server, _| {
            let titles = || -> Vec<String> {
                server
                    .processes()
                    .iter()
                    .map(|process| String::from_utf8_lossy(&process.command_line).into_owned())
                    .collect()
            };
            assert!(
                titles()
                    .iter()
                    .any(|title| title.starts_with("(wsgi:named)")),
                "{:?}",
                titles()
            );
            assert!(
                titles().iter().any(|title| title.starts_with("ring-title")),
                "{:?}",
                titles()
            );
        })
}
