//! What a front end says about a request: WSGITrustedProxyHeaders and WSGITrustedProxies.

use std::collections::BTreeMap;

use wsgi_tests::{Mode, Request, Server};

use crate::support::environ_of;

/// Every header that can be declared, with a value.
const SENT: &[(&str, &str)] = &[
    ("X-Forwarded-For", "9.9.9.1"),
    ("X-Real-IP", "9.9.9.2"),
    ("X-Client-IP", "9.9.9.3"),
    ("X-Forwarded-Host", "forwarded.host"),
    ("X-Host", "other.host"),
    ("X-Forwarded-Server", "forwarded.server"),
    ("X-Forwarded-Port", "99"),
    ("X-Script-Name", "/script"),
    ("X-Forwarded-Script-Name", "/forwarded"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-SSL", "off"),
    ("X-HTTPS", "1"),
    ("X-Scheme", "http"),
];

/// The environ's strings after a request with these headers.
fn ask(server: &Server, path: &str, headers: &[(&str, &str)]) -> BTreeMap<String, String> {
    let add = |request: Request, (name, value): &(&str, &str)| request.header(name, value);
    let request = headers.iter().fold(Request::get(path), add);
    let environ = environ_of(&server.send(&request).text()).into_iter();
    environ
        .map(|(key, (_, value))| (key, value.trim_matches('\'').to_owned()))
        .collect()
}

fn serving(mode: Mode) -> Server {
    Server::builder(mode)
        .app("/mount", "environ")
        .app("/", "environ")
        .directive(
            "<Location /all>\nWSGITrustedProxyHeaders X-Forwarded-For X-Real-IP X-Client-IP\n\
             WSGITrustedProxyHeaders X-Forwarded-Host X-Host X-Forwarded-Server X-Forwarded-Port\n\
             WSGITrustedProxyHeaders X-Script-Name X-Forwarded-Script-Name X-Forwarded-Proto\n\
             WSGITrustedProxyHeaders X-Forwarded-SSL X-HTTPS X-Scheme\n</Location>\n\
             <Location /reversed>\nWSGITrustedProxyHeaders X-Scheme X-Forwarded-Proto\n\
             WSGITrustedProxyHeaders X-Host X-Forwarded-Host X-Real-IP X-Forwarded-For\n</Location>\n\
             <Location /trusted>\nWSGITrustedProxyHeaders x-forwarded-for X-Forwarded-Host\n\
             WSGITrustedProxies 127.0.0.1 10.0.0.0/8\n</Location>\n\
             <Location /stranger>\nWSGITrustedProxyHeaders X-Forwarded-For X-Forwarded-Host\n\
             WSGITrustedProxies 10.0.0.0/8\nWSGITrustedProxies 192.168.0.0/255.255.0.0\n</Location>\n\
             <Location /stranger/no_more>\nWSGITrustedProxies 127.0.0.0/8\n</Location>\n\
             <Location /mount>\nWSGITrustedProxyHeaders X-Script-Name\n</Location>\n\
             <Location /scheme>\nSetEnv HTTPS On\nWSGITrustedProxyHeaders X-Forwarded-Proto\n</Location>",
        )
        .start()
}

in_both_modes! {
    fn without_a_declared_header_everything_is_the_clients(mode) {
        let server = serving(mode);
        let environ = ask(&server, "/none", SENT);
        assert_eq!(environ["REMOTE_ADDR"], "127.0.0.1");
        assert_eq!(environ["HTTP_HOST"], "localhost");
        assert_eq!(environ["wsgi.url_scheme"], "http");
        assert!(!environ.contains_key("mod_wsgi.mount_point"));
        for (name, value) in SENT {
            let key = format!("HTTP_{}", name.to_uppercase().replace('-', "_"));
            assert_eq!(environ[&key], *value);
        }
    }

    fn the_last_declared_header_of_each_category_wins_and_the_others_vanish(mode) {
        let server = serving(mode);
        let environ = ask(&server, "/all/x", SENT);
        for (key, value) in [
            ("REMOTE_ADDR", "9.9.9.3"),
            ("HTTP_HOST", "other.host"),
            ("SERVER_NAME", "forwarded.server"),
            ("SERVER_PORT", "99"),
            ("SCRIPT_NAME", "/forwarded"),
            ("PATH_INFO", "/all/x"),
            ("mod_wsgi.mount_point", "/forwarded"),
            ("mod_wsgi.script_name", ""),
            ("mod_wsgi.path_info", "/all/x"),
            ("wsgi.url_scheme", "http"),
            ("HTTP_X_CLIENT_IP", "9.9.9.3"),
            ("HTTP_X_SCHEME", "http"),
        ] {
            assert_eq!(environ[key], value, "{key}");
        }
        for key in [
            "HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP", "HTTP_X_FORWARDED_HOST", "HTTP_X_SCRIPT_NAME",
            "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_SSL", "HTTP_X_HTTPS",
        ] {
            assert!(!environ.contains_key(key), "{key}");
        }
        let environ = ask(&server, "/reversed/x", SENT);
        assert_eq!(environ["REMOTE_ADDR"], "9.9.9.1");
        assert_eq!(environ["HTTP_HOST"], "forwarded.host");
        assert_eq!(environ["wsgi.url_scheme"], "https");
        assert!(!environ.contains_key("HTTP_X_CLIENT_IP"), "of a declared category");
        assert_eq!(environ["HTTP_X_FORWARDED_PORT"], "99", "of none");
    }

    fn a_declared_header_that_is_absent_or_empty_changes_nothing(mode) {
        let server = serving(mode);
        let environ = ask(&server, "/all", &[("X-Forwarded-For", ""), ("X-Script-Name", "")]);
        assert_eq!(environ["REMOTE_ADDR"], "127.0.0.1");
        assert_eq!(environ["SCRIPT_NAME"], "");
        let environ = ask(&server, "/all", &[("X-Forwarded-For", " , ")]);
        assert_eq!(environ["REMOTE_ADDR"], "127.0.0.1");
    }

    fn the_chain_of_a_trusted_peer_is_believed_from_its_end(mode) {
        let server = serving(mode);
        for (chain, client, rest) in [
            ("1.1.1.1, 2.2.2.2", "2.2.2.2", "2.2.2.2"),
            ("1.1.1.1, 10.0.0.1", "1.1.1.1", "1.1.1.1, 10.0.0.1"),
            ("1.1.1.1, 10.0.0.1, 2.2.2.2", "2.2.2.2", "2.2.2.2"),
            ("10.0.0.1,10.0.0.2", "10.0.0.1", "10.0.0.1, 10.0.0.2"),
            (",1.1.1.1,, 10.0.0.1,", "1.1.1.1", "1.1.1.1, 10.0.0.1"),
            ("1.1.1.1, 3.3.3.3, 10.0.0.1, 10.0.0.2", "3.3.3.3", "3.3.3.3, 10.0.0.1, 10.0.0.2"),
            ("junk, 10.0.0.1", "junk", "junk, 10.0.0.1"),
        ] {
            let environ = ask(&server, "/trusted", &[("X-Forwarded-For", chain)]);
            assert_eq!(environ["REMOTE_ADDR"], client, "{chain}");
            assert_eq!(environ["HTTP_X_FORWARDED_FOR"], rest, "{chain}");
            let environ = ask(&server, "/all", &[("X-Forwarded-For", chain)]);
            let first = chain.split(',').find(|entry| !entry.is_empty()).unwrap_or("");
            assert_eq!(environ["REMOTE_ADDR"], first, "{chain}, without a list");
            assert_eq!(environ["HTTP_X_FORWARDED_FOR"], chain, "without a list");
        }
    }

    fn several_fields_are_one_chain(mode) {
        let server = serving(mode);
        let headers = [("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "10.0.0.1")];
        assert_eq!(ask(&server, "/trusted", &headers)["REMOTE_ADDR"], "1.1.1.1");
    }

    fn a_stranger_is_not_believed_and_its_declared_headers_vanish(mode) {
        let server = serving(mode);
        let environ = ask(&server, "/stranger", SENT);
        assert_eq!(environ["REMOTE_ADDR"], "127.0.0.1");
        assert_eq!(environ["HTTP_HOST"], "localhost");
        for key in ["FORWARDED_FOR", "REAL_IP", "CLIENT_IP", "FORWARDED_HOST", "HOST"] {
            assert!(!environ.contains_key(&format!("HTTP_X_{key}")), "{key}");
        }
        assert_eq!(environ["HTTP_X_SCHEME"], "http", "of no declared category");
        // An inner scope's list takes the place of the outer one's.
        assert_eq!(ask(&server, "/stranger/no_more", SENT)["REMOTE_ADDR"], "9.9.9.1");
    }

    fn the_mount_point_is_replaced_and_the_path_stays(mode) {
        let server = serving(mode);
        let environ = ask(&server, "/mount/x/y", &[("X-Script-Name", "/outside")]);
        assert_eq!(environ["SCRIPT_NAME"], "/outside");
        assert_eq!(environ["PATH_INFO"], "/x/y");
        assert_eq!(environ["mod_wsgi.mount_point"], "/outside");
        assert_eq!(environ["mod_wsgi.script_name"], "/mount");
    }

    fn the_scheme_a_front_end_tells_outranks_the_servers_own(mode) {
        let server = serving(mode);
        let scheme = |headers: &[_]| ask(&server, "/scheme", headers)["wsgi.url_scheme"].clone();
        assert_eq!(scheme(&[]), "https");
        assert_eq!(scheme(&[("X-Forwarded-Proto", "http")]), "http");
        assert_eq!(scheme(&[("X-Forwarded-Proto", "HTTPS")]), "https");
        assert!(!ask(&server, "/scheme", &[]).contains_key("HTTPS"));
    }

    fn htaccess_files_may_declare_headers(mode) {
        let server = Server::builder(mode)
            .directive("Alias /scripts @ROOT@/htdocs/scripts\nAddHandler wsgi-script .wsgi")
            .directive("<Directory @ROOT@/htdocs/scripts>\nOptions ExecCGI\nAllowOverride FileInfo\n</Directory>")
            .file(
                "htdocs/scripts/.htaccess",
                "WSGITrustedProxyHeaders X-Real-IP\nWSGITrustedProxies 127.0.0.1\n",
            )
            .file("htdocs/scripts/it.wsgi", include_str!("../apps/environ/app.wsgi"))
            .start();
        for _ in 0..3 {
            let environ = ask(&server, "/scripts/it.wsgi", &[("X-Real-IP", "9.9.9.9")]);
            assert_eq!(environ["REMOTE_ADDR"], "9.9.9.9");
        }
    }
}
