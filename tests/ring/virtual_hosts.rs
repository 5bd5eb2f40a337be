//! Several hosts on one server: aliases, groups, variables and logs of each.

use wsgi_tests::{Builder, Mode, Request, Server};

use crate::case::Group;

fn host(name: &str, directives: &str) -> String {
    format!("<VirtualHost *:@PORT@>\nServerName {name}\n{directives}\n</VirtualHost>")
}

fn configured(mode: Mode) -> Builder {
    Server::builder(mode)
        .app("/common", "environ")
        .directive("WSGIDaemonProcess shared threads=2\nSetEnv WHOSE main")
        .directive(&host("first.example", "WSGIScriptAlias / @APPS@/environ/app.wsgi\nSetEnv WHOSE first"))
        .directive(&host(
            "second.example",
            "ServerAlias alias.example *.wild.example\nWSGIScriptAlias /app @APPS@/environ/app.wsgi\n\
             ErrorLog @ROOT@/second_log\nServerAdmin second@example.org",
        ))
        .directive(&host(
            "third.example",
            "WSGIDaemonProcess third threads=2\nWSGIProcessGroup third\n\
             WSGIApplicationGroup %{GLOBAL}\nWSGIScriptAlias / @APPS@/environ/app.wsgi",
        ))
        .directive(&host(
            "fourth.example",
            "WSGIScriptAlias / @APPS@/environ/app.wsgi process-group=shared application-group=%{SERVER}\n\
             DocumentRoot @ROOT@/state",
        ))
        .directive(&host("logs.example", "WSGIScriptAlias / @APPS@/logs/app.wsgi\nErrorLog @ROOT@/logs_log"))
        .directive(&host("static.example", "DocumentRoot @ROOT@/htdocs"))
        .file("htdocs/page.txt", "static")
}

/// Name of the case, host, target, key and repr.
const ROWS: &[(&str, &str, &str, &str, &str)] = &[
    (
        "a_host_has_its_alias",
        "first.example",
        "/x",
        "PATH_INFO",
        "'/x'",
    ),
    (
        "a_host_has_its_name",
        "first.example",
        "/x",
        "SERVER_NAME",
        "'first.example'",
    ),
    (
        "a_host_has_its_variables",
        "first.example",
        "/x",
        "WHOSE",
        "'first'",
    ),
    (
        "a_host_inherits_variables",
        "second.example",
        "/app",
        "WHOSE",
        "'main'",
    ),
    (
        "a_host_inherits_aliases",
        "second.example",
        "/common/x",
        "SCRIPT_NAME",
        "'/common'",
    ),
    (
        "a_hosts_alias_comes_before_the_main_one",
        "first.example",
        "/common/x",
        "SCRIPT_NAME",
        "''",
    ),
    (
        "a_host_by_its_alias",
        "alias.example",
        "/app/x",
        "PATH_INFO",
        "'/x'",
    ),
    (
        "the_name_by_an_alias_is_canonical",
        "alias.example",
        "/app",
        "SERVER_NAME",
        "'alias.example'",
    ),
    (
        "the_host_header_is_kept",
        "alias.example",
        "/app",
        "HTTP_HOST",
        "'alias.example'",
    ),
    (
        "a_host_by_a_pattern",
        "some.wild.example",
        "/app/x",
        "PATH_INFO",
        "'/x'",
    ),
    (
        "a_host_in_capitals",
        "FIRST.example",
        "/x",
        "PATH_INFO",
        "'/x'",
    ),
    (
        "a_host_has_its_admin",
        "second.example",
        "/app",
        "SERVER_ADMIN",
        "'second@example.org'",
    ),
    (
        "a_host_has_its_process_group",
        "third.example",
        "/",
        "mod_wsgi.process_group",
        "'third'",
    ),
    (
        "a_host_has_its_application_group",
        "third.example",
        "/",
        "mod_wsgi.application_group",
        "''",
    ),
    (
        "a_host_uses_a_group_of_the_main_server",
        "fourth.example",
        "/",
        "mod_wsgi.process_group",
        "'shared'",
    ),
    (
        "a_group_of_the_servers_name",
        "fourth.example",
        "/",
        "mod_wsgi.application_group",
        "'fourth.example'",
    ),
    (
        "a_host_has_its_document_root",
        "fourth.example",
        "/",
        "DOCUMENT_ROOT",
        "'@ROOT@/state'",
    ),
    (
        "an_unknown_host_is_the_first",
        "unknown.example",
        "/x",
        "WHOSE",
        "'first'",
    ),
];

/// The cases.
pub fn group() -> Group {
    let mut group = Group::new("virtual_hosts", configured);
    for &(name, host, target, key, expected) in ROWS {
        group = group.case(name, move |server, _| {
            let port = server.address().port().to_string();
            let root = server.root().display().to_string();
            let text = server
                .send(&Request::get(target).header("Host", host))
                .text();
            let prefix = format!("{key}\tstr\t");
            let found = text.lines().find_map(|line| line.strip_prefix(&*prefix));
            let expected = expected.replace("@PORT@", &port).replace("@ROOT@", &root);
            assert_eq!(found, Some(&*expected), "{text}");
        });
    }
    group
        .case("a_host_without_scripts_serves_files", |server, _| {
            let request = Request::get("/page.txt").header("Host", "static.example");
            assert_eq!(server.send(&request).text(), "static");
        })
        .case("a_host_has_its_error_log", |server, _| {
            let request = Request::get("/").header("Host", "logs.example");
            assert_eq!(server.send(&request).status(), 200);
            let path = server.root().join("logs_log");
            let held = || std::fs::read_to_string(&path).unwrap_or_default();
            wsgi_tests::wait::until_true("the line in the host's log", || {
                held().contains("by wsgi.errors, in two writes")
            });
            assert!(
                !server.log().text().contains("by wsgi.errors"),
                "in the main log too"
            );
        })
}
