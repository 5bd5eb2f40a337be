//! The environ, key by key (PEP 3333, "environ Variables"; RFC 3875 §4.1).

use wsgi_tests::{Mode, Request, Server};

use crate::case::{Group, differs};
use crate::environ_rows::ROWS;

/// The key's type and repr in what `tests/apps/environ` lists.
fn entry(text: &str, key: &str) -> Option<(String, String)> {
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, '\t');
        let found = fields.next()? == key;
        let (kind, value) = (fields.next()?, fields.next()?);
        found.then(|| (kind.to_owned(), value.to_owned()))
    })
}

const ONLY_LOGGED: &str = "it names the connection only after httpd has logged it; a key that is there \
                           always is right";

/// Name of the case, key, type and repr; `*` for any repr.
const TYPES: &[(&str, &str, &str, &str)] = &[
    ("wsgi_version", "wsgi.version", "tuple", "(1, 0)"),
    ("wsgi_multithread", "wsgi.multithread", "bool", "*"),
    ("wsgi_multiprocess", "wsgi.multiprocess", "bool", "*"),
    ("wsgi_run_once", "wsgi.run_once", "bool", "False"),
    (
        "wsgi_input_terminated",
        "wsgi.input_terminated",
        "bool",
        "True",
    ),
    ("wsgi_errors", "wsgi.errors", "TextIOWrapper", "*"),
    ("wsgi_file_wrapper", "wsgi.file_wrapper", "type", "*"),
    ("wsgi_input", "wsgi.input", "Input", "*"),
    ("mod_wsgi_version", "mod_wsgi.version", "tuple", "(6, 1, 1)"),
    ("apache_version", "apache.version", "tuple", "*"),
    ("request_start", "mod_wsgi.request_start", "float", "*"),
    ("queue_start", "mod_wsgi.queue_start", "float", "*"),
    ("daemon_start", "mod_wsgi.daemon_start", "float", "*"),
    (
        "application_start",
        "mod_wsgi.application_start",
        "float",
        "*",
    ),
    ("thread_id", "mod_wsgi.thread_id", "int", "*"),
    ("request_id", "mod_wsgi.request_id", "str", "*"),
    ("server_pid", "mod_wsgi.server_pid", "str", "*"),
    ("remote_port", "REMOTE_PORT", "str", "*"),
    ("server_port", "SERVER_PORT", "str", "*"),
    ("server_software", "SERVER_SOFTWARE", "str", "*"),
    ("process_group", "mod_wsgi.process_group", "str", "*"),
    (
        "application_group",
        "mod_wsgi.application_group",
        "str",
        "*",
    ),
];

/// The cases.
pub fn group() -> Group {
    let mut group = Group::new("environ", |mode| {
        Server::builder(mode)
            .app("/mount", "environ")
            .app("/", "environ")
            .directive("ServerAdmin ring@example.org\nSetEnv RING_SET \"a value\"")
            .directive("SetEnv RING_EMPTY \"\"\nSetEnv ring.dotted dotted\nPassEnv LANG")
            .directive("SetEnv wsgi.version evil")
            .directive("SetEnv HTTP_X_SET \"by SetEnv\"\nSetEnvIf Request_URI . RING_BARE")
            .directive("SetEnvIf Request_URI ^(/flagged) RING_FLAG=$1")
            .directive("<Location /located>\nSetEnv RING_SET located\n</Location>")
            .directive("<Location /unset>\nUnsetEnv RING_SET\n</Location>")
            .directive("<Location /passed>\nWSGIPassAuthorization On\n</Location>")
            .directive("<Location /cgi-passed>\nCGIPassAuth On\n</Location>")
            .directive("<Location /secure>\nSetEnv HTTPS on\n</Location>")
            .directive("<Location /secure-1>\nSetEnv HTTPS 1\n</Location>")
            .directive("<Location /insecure>\nSetEnv HTTPS off\n</Location>")
    });
    for &(name, target, headers, key, value) in ROWS {
        group = group.case(name, move |server, _| {
            let request = headers
                .iter()
                .fold(Request::get(target), |request, (name, value)| {
                    request.header(name, value)
                });
            let found = entry(&server.send(&request).text(), key);
            let expected = value.map(|value| ("str".to_owned(), value.to_owned()));
            assert_eq!(found, expected, "{key}");
        });
    }
    for &(name, key, kind, value) in TYPES {
        group = group.case(&format!("{name}_has_its_type"), move |server, _| {
            let found = entry(&server.text("/"), key);
            let Some((found_kind, found_value)) = found else {
                panic!("{key} is absent");
            };
            assert_eq!(found_kind, kind, "{key}");
            assert!(value == "*" || found_value == value, "{key}: {found_value}");
        });
    }
    methods(modes(group))
}

fn modes(group: Group) -> Group {
    group
        .case("the_process_group_is_named", |server, mode| {
            let expected = if mode == Mode::Daemon { "'app'" } else { "''" };
            let found = entry(&server.text("/"), "mod_wsgi.process_group");
            assert_eq!(found, Some(("str".to_owned(), expected.to_owned())));
        })
        .case("the_application_group_ends_with_the_mount", |server, _| {
            let (_, group) =
                entry(&server.text("/mount"), "mod_wsgi.application_group").expect("the key");
            assert!(group.ends_with("|/mount'"), "{group}");
        })
        .case("times_follow_one_another", |server, mode| {
            let text = server.text("/");
            let time = |key: &str| -> f64 {
                let (_, value) = entry(&text, key).expect("the key");
                value.parse().expect("a number")
            };
            assert!(time("mod_wsgi.request_start") > 1.0e9);
            assert!(time("mod_wsgi.application_start") >= time("mod_wsgi.request_start"));
            if mode == Mode::Embedded {
                assert_eq!(time("mod_wsgi.daemon_start"), 0.0);
            }
        })
        .case("the_server_port_is_the_listeners", |server, _| {
            let port = format!("'{}'", server.address().port());
            let request =
                Request::get("/").header("Host", &format!("localhost:{}", server.address().port()));
            let text = server.send(&request).text();
            let own = entry(&text, "mod_wsgi.listener_port").expect("the key").1;
            assert_eq!(own, port);
        })
        .case("internal_keys_are_hidden", |server, _| {
            let text = server.text("/");
            assert!(
                !text.lines().any(|line| line.starts_with("mod_wsgi.x-")),
                "{text}"
            );
        })
        .case("a_connection_keeps_its_id", |server, _| {
            let mut connection = server.connect();
            let mut ids = Vec::new();
            for _ in 0..2 {
                let text = connection
                    .roundtrip(&Request::get("/"))
                    .expect("an answer")
                    .text();
                let id = |key| entry(&text, key).expect("the key").1;
                let connection = if differs(ONLY_LOGGED) {
                    String::new()
                } else {
                    id("mod_wsgi.connection_id")
                };
                ids.push((connection, id("mod_wsgi.request_id")));
            }
            assert_eq!(ids[0].0, ids[1].0);
            assert_ne!(ids[0].1, ids[1].1);
        })
        .case(
            "a_variable_of_a_key_of_wsgi_does_not_replace_it",
            |server, _| {
                let found = entry(&server.text("/"), "wsgi.version").expect("the key");
                assert_eq!(found.1, "(1, 0)");
            },
        )
}

fn methods(mut group: Group) -> Group {
    for method in [
        "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "MKCOL", "LOCK", "REPORT", "BREW",
        "M-SEARCH",
    ] {
        let name = format!("method_{}", method.to_ascii_lowercase().replace('-', "_"));
        group = group.case(&name, move |server, _| {
            let found = entry(
                &server.send(&Request::new(method, "/")).text(),
                "REQUEST_METHOD",
            );
            assert_eq!(found, Some(("str".to_owned(), format!("'{method}'"))));
        });
    }
    group
}
