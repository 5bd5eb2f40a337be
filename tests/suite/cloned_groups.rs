//! Process groups that several virtual hosts define, as copies of a virtual host do: what is equal is
//! one group, and what is not is refused with both places.

use std::collections::BTreeSet;

use wsgi_tests::apache::{compat, only_ours};
use wsgi_tests::{Builder, Mode, Request, Server};

use crate::support::facts_of;

/// Two hosts with a definition each.
fn two_hosts(first: &str, second: &str) -> Builder {
    let host = |name: &str, definition: &str| {
        format!(
            "<VirtualHost *:@PORT@>\nServerName {name}\n{definition}\nWSGIProcessGroup shop\n\
             WSGIScriptAlias / @APPS@/process/app.wsgi\n\
             WSGIImportScript @APPS@/imported/at_start.py process-group=shop application-group=own\n\
             </VirtualHost>"
        )
    };
    Server::builder(Mode::Embedded)
        .directive(&host("first.example", first))
        .directive(&host("second.example", second))
}

fn pid(server: &Server, host: &str) -> String {
    let response = server.send(&Request::get("/").header("Host", host));
    assert_eq!(response.status(), 200, "{host}: {}", response.text());
    facts_of(&response.text())["pid"].clone()
}

#[test]
fn equal_definitions_in_copied_hosts_are_one_group() {
    if only_ours("it refuses a second definition") {
        return;
    }
    let server = two_hosts(
        "WSGIDaemonProcess shop processes=1 threads=2 display-name=%{GROUP}",
        "WSGIDaemonProcess shop display-name=%{GROUP} threads=2 processes=1",
    )
    .start();
    let pids = ["first.example", "second.example"].map(|host| pid(&server, host));
    assert_eq!(BTreeSet::from(pids.clone()).len(), 1, "{pids:?}");
    assert_eq!(server.daemons().len(), 1);
    let lines = server.log().lines_with("is the process group of");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("[wsgi:info]") && lines[0].contains("httpd.conf:"),
        "{lines:?}"
    );
    server.graceful();
    pid(&server, "second.example");
}

#[test]
fn different_definitions_of_one_name_are_refused_with_both_places() {
    let (right, said) = two_hosts(
        "WSGIDaemonProcess shop threads=2",
        "WSGIDaemonProcess shop threads=3",
    )
    .configtest();
    assert!(!right, "{said}");
    if only_ours("it names the second place") {
        return;
    }
    let places = said.matches("httpd.conf:").count();
    assert!(places >= 2 && said.contains("'shop'"), "{said}");
}

#[test]
fn a_group_of_one_host_is_not_for_another() {
    let mut server = Server::builder(Mode::Embedded)
        .directive(
            "<VirtualHost *:@PORT@>\nServerName first.example\nWSGIDaemonProcess shop\n\
             WSGIDaemonProcess shop-2\n</VirtualHost>\n\
             <VirtualHost *:@PORT@>\nServerName second.example\n\
             WSGIScriptAlias / @APPS@/process/app.wsgi\nWSGIProcessGroup shop\n</VirtualHost>",
        )
        .start();
    server.expect_log(match compat() {
        Some(_) => "cannot be accessed",
        None => "belongs to a virtual host",
    });
    let response = server.send(&Request::get("/").header("Host", "second.example"));
    assert_eq!(response.status(), 500);
}
