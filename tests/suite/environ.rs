//! What the application finds in its environ (PEP 3333, "environ Variables").

use std::collections::BTreeMap;

use wsgi_tests::{Request, Server};

use crate::support::{environ_of, serving};

type Environ = BTreeMap<String, (String, String)>;

#[track_caller]
fn ask(server: &Server, request: &Request) -> Environ {
    let response = server.send(request);
    assert_eq!(response.status(), 200);
    environ_of(&response.text())
}

#[track_caller]
fn has(environ: &Environ, key: &str, kind: &str, value: &str) {
    let found = environ.get(key).map(|(k, v)| (k.as_str(), v.as_str()));
    assert_eq!(found, Some((kind, value)), "{key}");
}

#[track_caller]
fn is_of(environ: &Environ, key: &str, kind: &str) {
    assert_eq!(
        environ.get(key).map(|(k, _)| k.as_str()),
        Some(kind),
        "{key}"
    );
}

in_both_modes! {
    fn the_module_apache_tells_of_apaches_own_processes(mode) {
        let script = "import apache\ndef application(environ, start_response):\n    \
                      start_response('200 OK', [])\n    \
                      return [f'{apache.maximum_processes}|{apache.threads_per_process}'.encode()]\n";
        let server = Server::builder(mode)
            .file("apps/tells.wsgi", script)
            .directive("WSGIScriptAlias / @ROOT@/apps/tells.wsgi")
            .start();
        assert_eq!(server.text("/"), "1|16");
    }

    fn the_request_line_becomes_cgi_variables(mode) {
        let server = serving(mode, "environ").app("/mount", "environ").start();
        // The first alias that matches wins, and "/" matches all: the mount is never reached.
        let environ = ask(&server, &Request::get("/a%20b/c?x=1&y=%20"));
        has(&environ, "REQUEST_METHOD", "str", "'GET'");
        has(&environ, "SCRIPT_NAME", "str", "''");
        has(&environ, "PATH_INFO", "str", "'/a b/c'");
        has(&environ, "QUERY_STRING", "str", "'x=1&y=%20'");
        has(&environ, "REQUEST_URI", "str", "'/a%20b/c?x=1&y=%20'");
        has(&environ, "SERVER_PROTOCOL", "str", "'HTTP/1.1'");
        has(&environ, "REQUEST_SCHEME", "str", "'http'");
    }

    fn the_environ_of_one_request_is_not_that_of_another(mode) {
        let script = "def application(environ, start_response):\n    \
                      start_response('200 OK', [])\n    \
                      found = [environ.pop('left', ''), environ['SERVER_NAME'], environ['SCRIPT_NAME'], \
                      environ['mod_wsgi.script_name'], str('wsgi.input' in environ)]\n    \
                      environ['left'] = environ['SERVER_NAME'] = 'mine'\n    \
                      del environ['mod_wsgi.script_name'], environ['wsgi.input']\n    \
                      return ['|'.join(found).encode()]\n";
        let server = Server::builder(mode)
            .file("apps/changes.wsgi", script)
            .directive("SetEnv SCRIPT_NAME not_this")
            .directive("WSGIApplicationGroup %{GLOBAL}")
            .directive("WSGIScriptAlias /a @ROOT@/apps/changes.wsgi")
            .directive("WSGIScriptAlias /b @ROOT@/apps/changes.wsgi")
            .start();
        // More servers than an interpreter keeps environs for, each asked again and by two paths.
        for number in (0..20).chain(0..20) {
            let host = format!("host{number}.example");
            for path in ["/a", "/b", "/a"] {
                let response = server.send(&Request::get(path).header("Host", &host));
                assert_eq!(response.text(), format!("|{host}|{path}|{path}|True"));
            }
        }
    }

    fn the_server_and_the_client_are_named(mode) {
        let server = serving(mode, "environ").directive("ServerAdmin root@localhost").start();
        let port = format!("'{}'", server.address().port());
        let environ = ask(&server, &Request::get("/"));
        has(&environ, "SERVER_NAME", "str", "'localhost'");
        has(&environ, "SERVER_ADDR", "str", "'127.0.0.1'");
        has(&environ, "REMOTE_ADDR", "str", "'127.0.0.1'");
        has(&environ, "SERVER_ADMIN", "str", "'root@localhost'");
        is_of(&environ, "REMOTE_PORT", "str");
        is_of(&environ, "SERVER_SOFTWARE", "str");
        is_of(&environ, "SERVER_PORT", "str");
        has(&environ, "mod_wsgi.listener_port", "str", &port);
        has(&environ, "mod_wsgi.listener_host", "str", "'127.0.0.1'");
    }

    fn every_key_of_wsgi_is_there_with_its_type(mode) {
        let server = serving(mode, "environ").start();
        let environ = ask(&server, &Request::get("/"));
        has(&environ, "wsgi.version", "tuple", "(1, 0)");
        has(&environ, "wsgi.url_scheme", "str", "'http'");
        has(&environ, "wsgi.run_once", "bool", "False");
        has(&environ, "wsgi.input_terminated", "bool", "True");
        is_of(&environ, "wsgi.multithread", "bool");
        is_of(&environ, "wsgi.multiprocess", "bool");
        is_of(&environ, "wsgi.errors", "TextIOWrapper");
        for key in ["wsgi.input", "wsgi.file_wrapper"] {
            assert!(environ.contains_key(key), "{key}");
        }
    }

    fn the_keys_of_mod_wsgi_are_there_with_their_types(mode) {
        let server = serving(mode, "environ").start();
        let environ = ask(&server, &Request::get("/"));
        for key in ["process_group", "application_group", "callable_object", "request_handler",
                    "handler_script", "script_name", "path_info", "listener_host",
                    "listener_port"] {
            is_of(&environ, &format!("mod_wsgi.{key}"), "str");
        }
        for key in ["request_start", "queue_start", "daemon_start", "application_start"] {
            is_of(&environ, &format!("mod_wsgi.{key}"), "float");
        }
        is_of(&environ, "mod_wsgi.thread_id", "int");
        is_of(&environ, "apache.version", "tuple");
        has(&environ, "mod_wsgi.callable_object", "str", "'application'");
        has(&environ, "mod_wsgi.request_handler", "str", "'wsgi-script'");
        has(&environ, "mod_wsgi.version", "tuple", "(6, 1, 1)");
        let group = if mode == wsgi_tests::Mode::Daemon { "'app'" } else { "''" };
        has(&environ, "mod_wsgi.process_group", "str", group);
        assert!(environ["mod_wsgi.application_group"].1.ends_with("|'"));
    }

    fn paths_of_the_server_are_given(mode) {
        let server = serving(mode, "environ").start();
        let environ = ask(&server, &Request::get("/"));
        let script = format!("'{}'", server.app("environ/app.wsgi").display());
        let documents = format!("'{}'", server.root().join("htdocs").display());
        has(&environ, "SCRIPT_FILENAME", "str", &script);
        has(&environ, "DOCUMENT_ROOT", "str", &documents);
    }

    fn headers_become_http_variables_and_repeated_ones_are_joined(mode) {
        let server = serving(mode, "environ").start();
        let request = Request::get("/")
            .header("X-Plain", "value")
            .header("X-Twice", "one")
            .header("X-Twice", "two")
            .header("Cookie", "a=1")
            .header("X-Latin", "caf\u{e9}");
        let environ = ask(&server, &request);
        has(&environ, "HTTP_X_PLAIN", "str", "'value'");
        has(&environ, "HTTP_X_TWICE", "str", "'one, two'");
        has(&environ, "HTTP_COOKIE", "str", "'a=1'");
        has(&environ, "HTTP_HOST", "str", "'localhost'");
        // The client sent UTF-8: two bytes, so two latin-1 characters (PEP 3333, "Unicode Issues").
        has(&environ, "HTTP_X_LATIN", "str", "'caf\u{c3}\u{a9}'");
    }

    fn bytes_of_the_path_are_latin_1_characters(mode) {
        let server = serving(mode, "environ").start();
        let environ = ask(&server, &Request::get("/caf%C3%A9"));
        has(&environ, "PATH_INFO", "str", "'/caf\u{c3}\u{a9}'");
    }

    fn content_type_and_length_have_their_bare_names_only(mode) {
        let server = serving(mode, "environ").start();
        let environ = ask(&server, &Request::post("/", "abc").header("Content-Type", "text/csv"));
        has(&environ, "CONTENT_LENGTH", "str", "'3'");
        has(&environ, "CONTENT_TYPE", "str", "'text/csv'");
        assert!(!environ.contains_key("HTTP_CONTENT_LENGTH"));
        assert!(!environ.contains_key("HTTP_CONTENT_TYPE"));
        let environ = ask(&server, &Request::get("/"));
        assert!(!environ.contains_key("CONTENT_LENGTH"));
        assert!(!environ.contains_key("CONTENT_TYPE"));
    }

    fn headers_that_could_pass_for_others_are_dropped(mode) {
        let server = serving(mode, "environ").start();
        let request = Request::get("/").header("X_Smuggled", "1").header("Proxy", "http://evil/");
        let environ = ask(&server, &request);
        assert!(!environ.contains_key("HTTP_X_SMUGGLED"));
        assert!(!environ.contains_key("HTTP_PROXY"));
    }

    fn authorization_is_withheld_unless_asked_for(mode) {
        let server = Server::builder(mode)
            .directive("WSGIScriptAlias /option @APPS@/environ/app.wsgi pass-authorization=On")
            .app("/", "environ")
            .directive("<Location /passed>\nWSGIPassAuthorization On\n</Location>")
            .directive("<Location /passed/not>\nWSGIPassAuthorization Off\n</Location>")
            .start();
        let with = |path: &str| Request::get(path).header("Authorization", "Bearer abc");
        assert!(!ask(&server, &with("/")).contains_key("HTTP_AUTHORIZATION"));
        assert!(!ask(&server, &with("/passed/not")).contains_key("HTTP_AUTHORIZATION"));
        has(&ask(&server, &with("/passed")), "HTTP_AUTHORIZATION", "str", "'Bearer abc'");
        has(&ask(&server, &with("/option")), "HTTP_AUTHORIZATION", "str", "'Bearer abc'");
    }

    fn variables_of_setenv_reach_the_application(mode) {
        let server = serving(mode, "environ")
            .directive("SetEnv PLAIN \"some value\"")
            .directive("SetEnvIf Request_URI ^/special SPECIAL=yes")
            .start();
        let environ = ask(&server, &Request::get("/special"));
        has(&environ, "PLAIN", "str", "'some value'");
        has(&environ, "SPECIAL", "str", "'yes'");
        assert!(!ask(&server, &Request::get("/")).contains_key("SPECIAL"));
    }

    fn the_processes_own_variables_stay_out(mode) {
        let server = serving(mode, "environ").start();
        let environ = ask(&server, &Request::get("/"));
        for key in ["PATH", "HTTPS", "GATEWAY_INTERFACE", "SERVER_SIGNATURE", "PATH_TRANSLATED"] {
            assert!(!environ.contains_key(key), "{key}");
        }
        let internal = environ.keys().find(|key| key.starts_with("mod_wsgi.x-"));
        assert_eq!(internal, None);
    }

    fn the_mount_point_is_split_from_the_path(mode) {
        let server = Server::builder(mode).app("/mount/point", "environ").start();
        let environ = ask(&server, &Request::get("/mount/point"));
        has(&environ, "SCRIPT_NAME", "str", "'/mount/point'");
        has(&environ, "PATH_INFO", "str", "''");
        let environ = ask(&server, &Request::get("/mount/point/"));
        has(&environ, "PATH_INFO", "str", "'/'");
        let environ = ask(&server, &Request::get("/mount/point/below/here"));
        has(&environ, "SCRIPT_NAME", "str", "'/mount/point'");
        has(&environ, "PATH_INFO", "str", "'/below/here'");
        has(&environ, "mod_wsgi.script_name", "str", "'/mount/point'");
        has(&environ, "mod_wsgi.path_info", "str", "'/below/here'");
    }

    fn runs_of_slashes_are_collapsed_but_in_the_uri(mode) {
        let server = Server::builder(mode)
            .app("/mount", "environ")
            .directive("MergeSlashes Off")
            .start();
        let environ = ask(&server, &Request::get("//mount//below///here"));
        has(&environ, "SCRIPT_NAME", "str", "'/mount'");
        has(&environ, "PATH_INFO", "str", "'/below/here'");
        has(&environ, "REQUEST_URI", "str", "'//mount//below///here'");
    }
}

#[test]
fn a_daemon_group_says_whether_it_has_several_processes_and_threads() {
    let server = Server::builder(wsgi_tests::Mode::Embedded)
        .directive("WSGIDaemonProcess one threads=1")
        .directive("WSGIDaemonProcess many processes=2 threads=3")
        .directive("WSGIDaemonProcess stated processes=1")
        .directive("WSGIScriptAlias /one @APPS@/environ/app.wsgi process-group=one")
        .directive("WSGIScriptAlias /many @APPS@/environ/app.wsgi process-group=many")
        .directive("WSGIScriptAlias /stated @APPS@/environ/app.wsgi process-group=stated")
        .start();
    let flags = |path: &str| {
        let environ = ask(&server, &Request::get(path));
        let value = |key: &str| environ[key].1 == "True";
        (value("wsgi.multiprocess"), value("wsgi.multithread"))
    };
    assert_eq!(flags("/one"), (false, false));
    assert_eq!(flags("/many"), (true, true));
    assert_eq!(flags("/stated"), (true, true));
}

#[test]
fn a_process_for_one_request_says_so() {
    let server = Server::builder(wsgi_tests::Mode::Embedded)
        .directive("WSGIDaemonProcess once threads=1 maximum-requests=1")
        .directive("WSGIDaemonProcess often threads=1 maximum-requests=2")
        .directive("WSGIScriptAlias /once @APPS@/environ/app.wsgi process-group=once")
        .directive("WSGIScriptAlias /often @APPS@/environ/app.wsgi process-group=often")
        .start();
    for (path, expected) in [("/once", "True"), ("/often", "False")] {
        let environ = ask(&server, &Request::get(path));
        assert_eq!(environ["wsgi.run_once"].1, expected, "{path}");
    }
}
