//! The environ, key by key (PEP 3333, "environ Variables"; RFC 3875 §4.1).

use wsgi_tests::{Mode, Request, Server};

use crate::case::{Group, differs};

/// The key's type and repr in what `tests/apps/environ` lists.
fn entry(text: &str, key: &str) -> Option<(String, String)> {
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, '\t');
        let found = fields.next()? == key;
        let (kind, value) = (fields.next()?, fields.next()?);
        found.then(|| (kind.to_owned(), value.to_owned()))
    })
}

/// Name of the case, target, request headers, key, and the repr of its str, or `None` where the
/// key must be absent.
type Row = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    Option<&'static str>,
);

const ROWS: &[Row] = &[
    ("request_method", "/", &[], "REQUEST_METHOD", Some("'GET'")),
    ("request_scheme", "/", &[], "REQUEST_SCHEME", Some("'http'")),
    (
        "server_protocol",
        "/",
        &[],
        "SERVER_PROTOCOL",
        Some("'HTTP/1.1'"),
    ),
    ("server_name", "/", &[], "SERVER_NAME", Some("'localhost'")),
    ("server_addr", "/", &[], "SERVER_ADDR", Some("'127.0.0.1'")),
    (
        "server_admin",
        "/",
        &[],
        "SERVER_ADMIN",
        Some("'ring@example.org'"),
    ),
    ("remote_addr", "/", &[], "REMOTE_ADDR", Some("'127.0.0.1'")),
    ("context_prefix", "/", &[], "CONTEXT_PREFIX", Some("''")),
    (
        "query_is_empty_without_one",
        "/",
        &[],
        "QUERY_STRING",
        Some("''"),
    ),
    (
        "query_is_empty_after_a_mark",
        "/?",
        &[],
        "QUERY_STRING",
        Some("''"),
    ),
    ("query", "/?a=1", &[], "QUERY_STRING", Some("'a=1'")),
    (
        "query_stays_quoted",
        "/?a=%20%C3%A9+b",
        &[],
        "QUERY_STRING",
        Some("'a=%20%C3%A9+b'"),
    ),
    (
        "query_with_marks",
        "/?a?b?c",
        &[],
        "QUERY_STRING",
        Some("'a?b?c'"),
    ),
    (
        "query_with_slashes",
        "/?//a/../b",
        &[],
        "QUERY_STRING",
        Some("'//a/../b'"),
    ),
    (
        "request_uri_is_raw",
        "/a%2Bb/?q=%41",
        &[],
        "REQUEST_URI",
        Some("'/a%2Bb/?q=%41'"),
    ),
    (
        "script_name_of_the_root",
        "/x",
        &[],
        "SCRIPT_NAME",
        Some("''"),
    ),
    (
        "script_name_of_a_mount",
        "/mount/x",
        &[],
        "SCRIPT_NAME",
        Some("'/mount'"),
    ),
    ("path_info_of_the_root", "/", &[], "PATH_INFO", Some("'/'")),
    (
        "path_info_of_a_mount",
        "/mount/x/y",
        &[],
        "PATH_INFO",
        Some("'/x/y'"),
    ),
    (
        "path_info_of_a_bare_mount",
        "/mount",
        &[],
        "PATH_INFO",
        Some("''"),
    ),
    (
        "path_info_with_a_slash_at_the_end",
        "/mount/",
        &[],
        "PATH_INFO",
        Some("'/'"),
    ),
    (
        "own_script_name",
        "/mount/x",
        &[],
        "mod_wsgi.script_name",
        Some("'/mount'"),
    ),
    (
        "own_path_info",
        "/mount/x",
        &[],
        "mod_wsgi.path_info",
        Some("'/x'"),
    ),
    (
        "callable_object",
        "/",
        &[],
        "mod_wsgi.callable_object",
        Some("'application'"),
    ),
    (
        "request_handler",
        "/",
        &[],
        "mod_wsgi.request_handler",
        Some("'wsgi-script'"),
    ),
    (
        "handler_script",
        "/",
        &[],
        "mod_wsgi.handler_script",
        Some("''"),
    ),
    (
        "listener_host",
        "/",
        &[],
        "mod_wsgi.listener_host",
        Some("'127.0.0.1'"),
    ),
    ("url_scheme", "/", &[], "wsgi.url_scheme", Some("'http'")),
    ("no_content_type", "/", &[], "CONTENT_TYPE", None),
    ("no_content_length", "/", &[], "CONTENT_LENGTH", None),
    (
        "content_type_of_a_get",
        "/",
        &[("Content-Type", "a/b")],
        "CONTENT_TYPE",
        Some("'a/b'"),
    ),
    (
        "no_twin_of_the_content_type",
        "/",
        &[("Content-Type", "a/b")],
        "HTTP_CONTENT_TYPE",
        None,
    ),
    ("no_remote_user", "/", &[], "REMOTE_USER", None),
    ("no_auth_type", "/", &[], "AUTH_TYPE", None),
    ("no_gateway_interface", "/", &[], "GATEWAY_INTERFACE", None),
    ("no_path", "/", &[], "PATH", None),
    ("no_path_translated", "/", &[], "PATH_TRANSLATED", None),
    ("no_server_signature", "/", &[], "SERVER_SIGNATURE", None),
    ("no_remote_host", "/", &[], "REMOTE_HOST", None),
    ("no_https", "/", &[], "HTTPS", None),
    ("no_redirect_url", "/", &[], "REDIRECT_URL", None),
    ("no_mount_point", "/", &[], "mod_wsgi.mount_point", None),
    ("no_request_record", "/", &[], "apache.request_rec", None),
    (
        "host",
        "/",
        &[("Host", "example.org:81")],
        "HTTP_HOST",
        Some("'example.org:81'"),
    ),
    ("a_header", "/", &[("X-A", "b")], "HTTP_X_A", Some("'b'")),
    (
        "a_header_in_any_case",
        "/",
        &[("x-mIXed", "b")],
        "HTTP_X_MIXED",
        Some("'b'"),
    ),
    (
        "a_header_with_digits",
        "/",
        &[("X-9-Z", "b")],
        "HTTP_X_9_Z",
        Some("'b'"),
    ),
    (
        "an_empty_header",
        "/",
        &[("X-A", "")],
        "HTTP_X_A",
        Some("''"),
    ),
    (
        "a_header_with_spaces_around",
        "/",
        &[("X-A", "  b  ")],
        "HTTP_X_A",
        Some("'b'"),
    ),
    (
        "a_header_with_spaces_inside",
        "/",
        &[("X-A", "b  c")],
        "HTTP_X_A",
        Some("'b  c'"),
    ),
    (
        "a_header_with_a_tab",
        "/",
        &[("X-A", "b\tc")],
        "HTTP_X_A",
        Some(r"'b\tc'"),
    ),
    (
        "a_header_in_utf_8",
        "/",
        &[("X-A", "\u{e9}")],
        "HTTP_X_A",
        Some("'\u{c3}\u{a9}'"),
    ),
    (
        "a_header_with_a_quote",
        "/",
        &[("X-A", "it's")],
        "HTTP_X_A",
        Some("\"it's\""),
    ),
    (
        "a_header_twice",
        "/",
        &[("X-A", "1"), ("X-A", "2")],
        "HTTP_X_A",
        Some("'1, 2'"),
    ),
    (
        "a_header_twice_in_two_cases",
        "/",
        &[("X-A", "1"), ("x-a", "2")],
        "HTTP_X_A",
        Some("'1, 2'"),
    ),
    (
        "a_cookie",
        "/",
        &[("Cookie", "a=1; b=2")],
        "HTTP_COOKIE",
        Some("'a=1; b=2'"),
    ),
    (
        "a_long_header",
        "/",
        &[("X-A", LONG)],
        "HTTP_X_A",
        Some(LONG_REPR),
    ),
    (
        "accept",
        "/",
        &[("Accept", "*/*;q=0.1")],
        "HTTP_ACCEPT",
        Some("'*/*;q=0.1'"),
    ),
    (
        "user_agent",
        "/",
        &[("User-Agent", "ring/1")],
        "HTTP_USER_AGENT",
        Some("'ring/1'"),
    ),
    (
        "referer",
        "/",
        &[("Referer", "http://x/")],
        "HTTP_REFERER",
        Some("'http://x/'"),
    ),
    (
        "if_none_match",
        "/",
        &[("If-None-Match", "\"a\"")],
        "HTTP_IF_NONE_MATCH",
        Some("'\"a\"'"),
    ),
    (
        "if_modified_since",
        "/",
        &[("If-Modified-Since", "x")],
        "HTTP_IF_MODIFIED_SINCE",
        Some("'x'"),
    ),
    (
        "range",
        "/",
        &[("Range", "bytes=0-1")],
        "HTTP_RANGE",
        Some("'bytes=0-1'"),
    ),
    (
        "forwarded_for_untouched",
        "/",
        &[("X-Forwarded-For", "1.2.3.4")],
        "HTTP_X_FORWARDED_FOR",
        Some("'1.2.3.4'"),
    ),
    (
        "forwarded_for_not_believed",
        "/",
        &[("X-Forwarded-For", "1.2.3.4")],
        "REMOTE_ADDR",
        Some("'127.0.0.1'"),
    ),
    (
        "forwarded_proto_not_believed",
        "/",
        &[("X-Forwarded-Proto", "https")],
        "wsgi.url_scheme",
        Some("'http'"),
    ),
    (
        "authorization_is_withheld",
        "/",
        &[("Authorization", "Bearer x")],
        "HTTP_AUTHORIZATION",
        None,
    ),
    (
        "authorization_where_allowed",
        "/passed",
        &[("Authorization", "Bearer x")],
        "HTTP_AUTHORIZATION",
        Some("'Bearer x'"),
    ),
    (
        "authorization_by_cgipassauth",
        "/cgi-passed",
        &[("Authorization", "Bearer x")],
        "HTTP_AUTHORIZATION",
        Some("'Bearer x'"),
    ),
    (
        "proxy_authorization_is_withheld",
        "/",
        &[("Proxy-Authorization", "Basic x")],
        "HTTP_PROXY_AUTHORIZATION",
        None,
    ),
    (
        "proxy_authorization_is_withheld_by_the_directive",
        "/passed",
        &[("Proxy-Authorization", "Basic x")],
        "HTTP_PROXY_AUTHORIZATION",
        None,
    ),
    (
        "proxy_authorization_by_cgipassauth",
        "/cgi-passed",
        &[("Proxy-Authorization", "Basic x")],
        "HTTP_PROXY_AUTHORIZATION",
        Some("'Basic x'"),
    ),
    (
        "proxy_is_dropped",
        "/",
        &[("Proxy", "http://evil/")],
        "HTTP_PROXY",
        None,
    ),
    (
        "a_name_with_an_underscore_is_dropped",
        "/",
        &[("X_A", "evil")],
        "HTTP_X_A",
        None,
    ),
    (
        "an_underscore_does_not_hide_a_dash",
        "/",
        &[("X-A", "good"), ("X_A", "evil")],
        "HTTP_X_A",
        Some("'good'"),
    ),
    (
        "a_dash_is_not_hidden_by_an_underscore",
        "/",
        &[("X_A", "evil"), ("X-A", "good")],
        "HTTP_X_A",
        Some("'good'"),
    ),
    (
        "a_name_with_a_dot_is_dropped",
        "/",
        &[("X.A", "evil")],
        "HTTP_X.A",
        None,
    ),
    ("setenv", "/", &[], "RING_SET", Some("'a value'")),
    ("setenv_of_nothing", "/", &[], "RING_EMPTY", Some("''")),
    (
        "setenv_in_a_location",
        "/located",
        &[],
        "RING_SET",
        Some("'located'"),
    ),
    ("unsetenv_in_a_location", "/unset", &[], "RING_SET", None),
    ("setenvif", "/flagged", &[], "RING_FLAG", Some("'/flagged'")),
    ("setenvif_without_a_match", "/", &[], "RING_FLAG", None),
    (
        "setenvif_without_a_value",
        "/",
        &[],
        "RING_BARE",
        Some("'1'"),
    ),
    (
        "passenv_of_the_servers_variable",
        "/",
        &[],
        "LANG",
        Some("'C.UTF-8'"),
    ),
    (
        "a_variable_with_a_dot",
        "/",
        &[],
        "ring.dotted",
        Some("'dotted'"),
    ),
    (
        "a_variable_of_the_name_of_a_header",
        "/",
        &[],
        "HTTP_X_SET",
        Some("'by SetEnv'"),
    ),
    (
        "a_header_wins_over_a_variable",
        "/",
        &[("X-Set", "by header")],
        "HTTP_X_SET",
        Some("'by header'"),
    ),
    (
        "https_by_setenv_is_the_scheme",
        "/secure",
        &[],
        "wsgi.url_scheme",
        Some("'https'"),
    ),
    (
        "https_by_setenv_of_1_is_the_scheme",
        "/secure-1",
        &[],
        "wsgi.url_scheme",
        Some("'https'"),
    ),
    (
        "https_off_is_not_the_scheme",
        "/insecure",
        &[],
        "wsgi.url_scheme",
        Some("'http'"),
    ),
];

const ONLY_LOGGED: &str = "it names the connection only after httpd has logged it; a key that is there \
                           always is right";

const LONG: &str =
    "llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll";
const LONG_REPR: &str =
    "'llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll'";

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
