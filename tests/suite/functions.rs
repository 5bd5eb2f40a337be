//! Python functions that decide about access, authentication and authorization, in Apache's own
//! processes and in a daemon.

use wsgi_tests::apache::{compat, only_ours};
use wsgi_tests::{Builder, Mode, Request, Server, curl, server};

use crate::support::certificate;

/// The functions, which decide as they are asked to.
pub const SCRIPT: &str = "@APPS@/functions/decisions.py";

/// Where the functions run: our own addition lets a daemon have them.
pub fn place(mode: Mode) -> &'static str {
    match mode {
        Mode::Daemon if compat().is_none() => "process-group=app",
        _ => "",
    }
}

/// A server whose pages below `/page` are guarded by `directives`, `@PLACE@` standing for the options
/// of the mode.
pub fn guarded(mode: Mode, modules: &[&str], directives: &str) -> Builder {
    let directives = directives.replace("@PLACE@", place(mode));
    Server::builder(mode)
        .modules(modules)
        .file("htdocs/page", "the page\n")
        .app("/app", "functions")
        .directive(&format!(
            "<LocationMatch ^/(page|app)>\n{}\n</LocationMatch>",
            directives.replace("@SCRIPT@", SCRIPT)
        ))
}

fn with_access(mode: Mode) -> Builder {
    guarded(mode, &[], "WSGIAccessScript @SCRIPT@ @PLACE@")
}

const BASIC: &str = "AuthType Basic\nAuthName realm\nAuthBasicProvider wsgi\n\
                     WSGIAuthUserScript @SCRIPT@ @PLACE@\n";

fn with_basic(mode: Mode, more: &str) -> Builder {
    let modules = ["authn_core", "auth_basic", "authz_user"];
    guarded(mode, &modules, &format!("{BASIC}{more}"))
}

/// The same, where Python also knows the groups.
pub fn with_groups(mode: Mode, require: &str) -> Builder {
    let more = format!("WSGIAuthGroupScript @SCRIPT@ @PLACE@\n{require}");
    with_basic(mode, &more)
}

fn with_digest(mode: Mode) -> Builder {
    guarded(
        mode,
        &["authn_core", "auth_digest", "authz_user"],
        "AuthType Digest\nAuthName realm\nAuthDigestProvider wsgi\n\
         WSGIAuthUserScript @SCRIPT@ @PLACE@\nRequire valid-user",
    )
}

/// The status of `target` for this user, and the body.
#[track_caller]
pub fn ask(server: &Server, target: &str, arguments: &[&str]) -> (u16, String) {
    let url = format!("http://{}{target}", server.address());
    let answer = curl::fetch(&url, arguments);
    (
        answer.status,
        String::from_utf8_lossy(&answer.body).into_owned(),
    )
}

/// The status of `target` for this user.
#[track_caller]
pub fn status(server: &Server, target: &str, user: &str) -> u16 {
    ask(server, target, &["--user", user]).0
}

in_both_modes! {
    fn an_access_function_lets_hosts_in_or_leaves_it_to_others(mode) {
        let mut server = with_access(mode).start();
        server.expect_log("denied");
        for (query, expected) in [("true", 200), ("none", 200), ("false", 403)] {
            assert_eq!(server.get(&format!("/page?{query}")).status(), expected, "{query}");
            assert_eq!(server.get(&format!("/app?{query}")).status(), expected, "{query}");
        }
        assert_eq!(server.text("/page?true"), "the page\n");
    }

    fn an_access_function_that_decides_nothing_lets_nobody_in(mode) {
        let mut server = with_access(mode).start();
        server.expect_traceback("ValueError");
        for text in ["denied", "allow_access", "SystemExit", "no decision"] {
            server.allow_log(text);
        }
        for query in ["raise", "exit", "one", "text", "bytes", "opaque"] {
            assert_eq!(server.get(&format!("/page?{query}")).status(), 403, "{query}");
        }
        assert_eq!(server.get("/page?true").status(), 200);
    }

    fn what_a_function_returned_instead_is_named(mode) {
        if only_ours("the wording is our own") {
            return;
        }
        let mut server = with_access(mode).start();
        server.expect_log("allow_access");
        server.get("/page?opaque");
        let line = server.wait_for_log("'allow_access' of WSGIAccessScript");
        for part in ["decisions.py", "type 'Opaque'", "True, False or None", "[client 127.0.0.1"] {
            assert!(line.contains(part), "{line}");
        }
    }

    fn functions_get_the_request_but_neither_credentials_nor_variables(mode) {
        let server = with_groups(mode, "Require wsgi-group staff")
            .directive(&format!(
                "<Location /page>\nWSGIAccessScript {SCRIPT} {}\n</Location>",
                place(mode)
            ))
            .start();
        let arguments = ["--user", "me:true", "--header", "X-Plain: value"];
        assert_eq!(ask(&server, "/page?environ", &arguments).0, 200);
    }

    fn the_password_decides_and_the_application_learns_the_user(mode) {
        let mut server = with_basic(mode, "Require valid-user").start();
        server.allow_log("auth_basic:error");
        assert_eq!(server.get("/page").status(), 401);
        for (password, expected) in [("true", 200), ("false", 401), ("none", 401)] {
            let user = format!("me:{password}");
            assert_eq!(status(&server, "/page", &user), expected, "{password}");
        }
        let (_, body) = ask(&server, "/app", &["--user", "me:true"]);
        assert!(body.ends_with("|me"), "{body}");
        assert_eq!(status(&server, "/page", "\u{fc}:umlauts"), 200);
    }

    fn a_function_may_replace_the_users_name(mode) {
        let server = with_basic(mode, "Require valid-user").start();
        let (_, body) = ask(&server, "/app", &["--user", "me:text"]);
        assert!(body.ends_with("|other"), "{body}");
        // UTF-8, whose bytes are Latin-1 characters in the environ.
        let (_, body) = ask(&server, "/app", &["--user", "me:latin"]);
        assert!(body.ends_with("|caf\u{c3}\u{a9}"), "{body}");
    }

    fn a_replaced_name_is_what_require_user_sees(mode) {
        let mut server = with_basic(mode, "Require user other").start();
        server.allow_log("authz_core:error");
        assert_eq!(status(&server, "/page", "me:text"), 200);
        assert_eq!(status(&server, "/page", "me:true"), 401);
    }

    fn a_password_function_that_decides_nothing_is_an_error(mode) {
        let mut server = with_basic(mode, "Require valid-user").start();
        server.expect_traceback("ValueError");
        for text in ["check_password", "provider", "SystemExit", "no decision"] {
            server.allow_log(text);
        }
        for password in ["raise", "exit", "one", "empty", "bytes", "opaque"] {
            assert_eq!(status(&server, "/page", &format!("me:{password}")), 500, "{password}");
        }
        assert_eq!(status(&server, "/page", "me:true"), 200);
    }

    fn a_user_nobody_knows_here_is_looked_for_elsewhere(mode) {
        let mut server = guarded(
            mode,
            &["authn_core", "authn_file", "auth_basic", "authz_user"],
            "AuthType Basic\nAuthName realm\nAuthBasicProvider wsgi file\n\
             WSGIAuthUserScript @SCRIPT@ @PLACE@\nAuthUserFile @ROOT@/users\nRequire valid-user",
        )
        // SHA-1 of "none", as htpasswd -s writes it.
        .file("users", "known:{SHA}cfjnl25MvEVhydYvsoPn94ggKss=\n")
        .start();
        server.allow_log("auth_basic:error");
        assert_eq!(status(&server, "/page", "unknown:none"), 401);
        assert_eq!(status(&server, "/page", "known:false"), 401);
        assert_eq!(status(&server, "/page", "known:none"), 200);
    }

    fn digest_authentication_uses_the_hash_of_a_function(mode) {
        let mut server = with_digest(mode).start();
        for text in ["auth_digest:error", "no decision", "get_realm_hash", "Digest"] {
            server.allow_log(text);
        }
        server.expect_traceback("ValueError");
        let digest = |user: &str| ask(&server, "/app", &["--digest", "--user", user]);
        let (code, body) = digest("me:secret");
        assert_eq!(code, 200);
        assert!(body.ends_with("|me"), "{body}");
        for (user, expected) in [
            ("bytes:secret", 200),
            ("me:wrong", 401),
            ("none:secret", 401),
            ("one:secret", 500),
            ("raise:secret", 500),
        ] {
            assert_eq!(digest(user).0, expected, "{user}");
        }
    }

    fn groups_of_a_user_are_compared_with_those_required(mode) {
        let mut server = with_groups(mode, "Require wsgi-group admins \"staff\"").start();
        for text in ["authz_core:error", "groups", "group"] {
            server.allow_log(text);
        }
        for groups in ["list", "tuple", "set", "keys", "bytes", "generator"] {
            assert_eq!(status(&server, &format!("/page?{groups}"), "me:true"), 200, "{groups}");
        }
        for groups in ["elsewhere", "nowhere"] {
            assert_eq!(status(&server, &format!("/page?{groups}"), "me:true"), 401, "{groups}");
        }
    }

    fn a_group_function_that_names_nothing_grants_nothing(mode) {
        let mut server = with_groups(mode, "Require wsgi-group staff").start();
        server.expect_traceback("ValueError");
        for text in ["authz_core:error", "groups", "ZeroDivisionError", "TypeError",
                     "no decision", "division"] {
            server.allow_log(text);
        }
        for groups in ["raise", "raise-later", "none", "true", "numbers", "opaque"] {
            assert_eq!(status(&server, &format!("/page?{groups}"), "me:true"), 401, "{groups}");
        }
    }

    fn a_str_is_no_iterable_of_group_names(mode) {
        if only_ours("there each character is a group") {
            return;
        }
        let mut server = with_groups(mode, "Require wsgi-group s").start();
        server.allow_log("authz_core:error");
        server.expect_log("returned a str");
        assert_eq!(status(&server, "/page?text", "me:true"), 401);
    }

    fn names_of_groups_may_be_written_in_utf_8(mode) {
        if only_ours("there a str is compared by its Latin-1 bytes only") {
            return;
        }
        let server = with_groups(mode, "Require wsgi-group \"caf\u{e9}\"").start();
        assert_eq!(status(&server, "/page?utf8", "me:true"), 200);
    }

    fn require_lines_combine_as_mod_authz_core_says(mode) {
        let mut server = with_groups(
            mode,
            "<RequireAll>\nRequire wsgi-group staff\nRequire not wsgi-group users\n</RequireAll>",
        )
        .start();
        server.allow_log("authz_core:error");
        server.allow_log("group");
        assert_eq!(status(&server, "/page?tuple", "me:true"), 200);
        assert_eq!(status(&server, "/page?list", "me:true"), 401);
    }

    fn a_missing_function_or_script_is_refused_and_told(mode) {
        let app = "@APPS@/functions/app.wsgi";
        let gone = "@APPS@/functions/gone.py";
        let place = place(mode);
        let mut server = with_basic(mode, "Require valid-user")
            .directive(&format!(
                "<Location /page/1>\nWSGIAccessScript {app} {place}\n</Location>\n\
                 <Location /page/2>\nWSGIAccessScript {gone} {place}\n</Location>\n\
                 <Location /page/3>\nWSGIAuthUserScript {app} {place}\n</Location>\n\
                 <Location /page/4>\nWSGIAuthUserScript {gone} {place}\n</Location>"
            ))
            .start();
        server.expect_log("allow_access");
        server.expect_log("gone.py");
        server.allow_log("check_password");
        server.allow_log("auth provider");
        server.allow_log("denied");
        server.allow_log("FileNotFoundError");
        for (path, expected) in [("/page/1", 403), ("/page/2", 403), ("/page/3", 500), ("/page/4", 500)] {
            assert_eq!(status(&server, path, "me:true"), expected, "{path}");
        }
    }

    fn a_provider_without_a_script_is_an_error(mode) {
        let mut server = guarded(
            mode,
            &["authn_core", "auth_basic", "authz_user"],
            "AuthType Basic\nAuthName realm\nAuthBasicProvider wsgi\nRequire valid-user",
        )
        .directive(&format!(
            "<Location /app>\nWSGIAuthUserScript {SCRIPT} {}\nRequire wsgi-group staff\n</Location>",
            place(mode)
        ))
        .start();
        for text in ["WSGIAuthUserScript", "WSGIAuthGroupScript", "not provided", "authz_core:error"] {
            server.allow_log(text);
        }
        assert_eq!(status(&server, "/page", "me:true"), 500);
        assert_eq!(status(&server, "/app", "me:true"), 401);
    }

    fn a_changed_script_decides_anew(mode) {
        let server = with_access(mode).start();
        assert_eq!(server.get("/page?none").status(), 200);
        server.edit_app("functions/decisions.py", "\"none\": None", "\"none\": True");
        server.edit_app("functions/decisions.py", "\"true\": True", "\"true\": None");
        assert_eq!(server.get("/page?true").status(), 200);
    }

    fn functions_run_although_embedded_applications_are_forbidden(mode) {
        let server = with_access(mode).directive("WSGIRestrictEmbedded On").start();
        assert_eq!(server.get("/page?true").status(), 200);
    }

    fn an_access_function_may_ask_about_the_encrypted_connection(mode) {
        let port = server::free_port().expect("a free port");
        let server = guarded(
            mode,
            &["socache_shmcb", "ssl"],
            "WSGIAccessScript @APPS@/functions/asks_about_tls.py @PLACE@",
        )
        .file("tls.pem", &certificate())
        .directive(&format!(
            "SSLSessionCache shmcb:@ROOT@/run/tls\nListen 127.0.0.1:{port}\n<VirtualHost *:{port}>\nServerName localhost\n\
             SSLEngine On\nSSLCertificateFile @ROOT@/tls.pem\n</VirtualHost>"
        ))
        .start();
        assert_eq!(server.get("/page?plain").status(), 200);
        let url = format!("https://127.0.0.1:{port}/page");
        assert_eq!(curl::fetch(&url, &[]).status, 200);
    }

    fn a_file_of_access_control_may_name_scripts(mode) {
        let mut server = Server::builder(mode)
            .modules(&["authn_core", "auth_basic", "authz_user"])
            .directive("<Directory @ROOT@/htdocs>\nAllowOverride AuthConfig\n</Directory>")
            .file("htdocs/page", "the page\n")
            .file(
                "htdocs/.htaccess",
                &format!(
                    "AuthType Basic\nAuthName realm\nAuthBasicProvider wsgi\n\
                     WSGIAuthUserScript {SCRIPT}\nWSGIAuthGroupScript {SCRIPT}\n\
                     WSGIAccessScript {SCRIPT}\nRequire wsgi-group staff"
                ),
            )
            .start();
        server.allow_log("denied");
        server.allow_log("groups");
        server.allow_log("authz_core:error");
        assert_eq!(status(&server, "/page?false", "me:true"), 403);
        let arguments = ["--user", "me:true", "--header", "X-Plain: value"];
        assert_eq!(ask(&server, "/page?environ", &arguments).0, 200);
    }
}

#[test]
fn functions_in_a_daemon_leave_apaches_processes_without_python() {
    if only_ours("there functions run in Apache's own processes only") {
        return;
    }
    let server = with_access(Mode::Daemon).start();
    assert_eq!(server.get("/page?group").status(), 200);
    for child in server.children() {
        assert!(!child.maps("libpython"), "{child:?}");
    }
}

#[test]
fn wrong_arguments_are_named_with_their_directive() {
    for (line, named) in [
        ("WSGIAccessScript", "WSGIAccessScript"),
        (
            "WSGIAccessScript /x.py callable-object=x",
            "callable-object",
        ),
        (
            "WSGIAccessScript /x.py application-group=",
            "application-group",
        ),
        ("WSGIAuthUserScript", "WSGIAuthUserScript"),
        ("WSGIAuthUserScript /x.py x", "'x'"),
        ("WSGIAuthGroupScript", "WSGIAuthGroupScript"),
        (
            "WSGIAuthGroupScript /x.py no-such-option=1",
            "no-such-option",
        ),
        ("WSGIAuthGroupScript x.py", "'x.py'"),
        ("WSGIDispatchScript", "WSGIDispatchScript"),
        (
            "WSGIDispatchScript /x.py no-such-option=1",
            "no-such-option",
        ),
        ("WSGIHandlerScript only-a-name", "WSGIHandlerScript"),
        (
            "WSGIHandlerScript name /x.py process-group=",
            "process-group",
        ),
        (
            "WSGIHandlerScript name /x.py callable-object=x",
            "callable-object",
        ),
        ("WSGIGroupAuthoritative perhaps", "perhaps"),
    ] {
        if compat().is_some() && !line.ends_with("Script") {
            continue;
        }
        let (right, said) = Server::builder(Mode::Embedded)
            .directive(&format!("<Location />\n{line}\n</Location>"))
            .configtest();
        let directive = line.split(' ').next().unwrap_or_default();
        assert!(!right, "accepted: {line}");
        let told = said.contains(directive) && said.contains(named);
        assert!(told || compat().is_some(), "{line}: {said}");
    }
}

#[test]
fn a_group_that_does_not_exist_is_found_by_configtest() {
    if only_ours("process-group is our own option") {
        return;
    }
    let (right, said) = Server::builder(Mode::Embedded)
        .directive("<Location />\nWSGIAccessScript /srv/a.py process-group=nowhere\n</Location>")
        .configtest();
    assert!(!right);
    assert!(
        said.contains("WSGIAccessScript") && said.contains("'nowhere'"),
        "{said}"
    );
}

#[test]
fn a_virtual_hosts_group_decides_for_its_own_requests_only() {
    if only_ours("process-group is our own option") {
        return;
    }
    let mut server = Server::builder(Mode::Embedded)
        .file("htdocs/page", "the page\n")
        .directive(&format!(
            "<VirtualHost *:*>\nServerName first\nDocumentRoot @ROOT@/htdocs\n\
             WSGIDaemonProcess own\n</VirtualHost>\n\
             <VirtualHost *:*>\nServerName second\nDocumentRoot @ROOT@/htdocs\n</VirtualHost>\n\
             <Location />\nWSGIAccessScript {SCRIPT} process-group=own\n</Location>"
        ))
        .start();
    server.expect_log("belongs to a virtual host of another ServerName");
    let status = |host: &str| {
        let url = format!("http://{}/page?true", server.address());
        curl::fetch(&url, &["--header", &format!("Host: {host}")]).status
    };
    assert_eq!(status("first"), 200);
    assert_eq!(status("second"), 500);
}

#[test]
fn a_file_of_access_control_may_not_choose_a_process_group() {
    if only_ours("process-group is our own option") {
        return;
    }
    let mut server = Server::builder(Mode::Daemon)
        .directive("<Directory @ROOT@/htdocs>\nAllowOverride AuthConfig\n</Directory>")
        .file("htdocs/page", "the page\n")
        .file(
            "htdocs/.htaccess",
            &format!("WSGIAccessScript {SCRIPT} process-group=app"),
        )
        .start();
    server.expect_log("may not stand in a .htaccess file");
    assert_eq!(server.get("/page?true").status(), 500);
}

#[test]
fn functions_wait_for_a_daemon_and_a_dead_one_decides_nothing() {
    if only_ours("there functions run in Apache's own processes only") {
        return;
    }
    let mut server = with_access(Mode::Daemon)
        .file(
            "apps/functions/dies.py",
            "import os\ndef allow_access(environ, host):\n    os._exit(3)\n",
        )
        .directive(
            "<Location /page/dies>\n\
             WSGIAccessScript @APPS@/functions/dies.py process-group=app\n</Location>",
        )
        .start();
    server.allow_log("process group 'app'");
    server.expect_log("ended before its response was complete");
    assert_eq!(server.get("/page/dies").status(), 502);
    let response = server.send(&Request::get("/page?true"));
    assert_eq!(response.status(), 200);
}

#[test]
fn a_function_that_takes_too_long_is_interrupted_and_its_process_stays() {
    if only_ours("its functions run in Apache's processes only") {
        return;
    }
    let directive = "<LocationMatch ^/page>\n\
         WSGIAccessScript @APPS@/naps/naps.py process-group=app\n</LocationMatch>";
    let server = Server::builder(Mode::Daemon)
        .file("htdocs/page", "the page\n")
        .file(
            "apps/naps/naps.py",
            "import time\n\n\n\
             def allow_access(environ, host):\n    \
                 while environ['QUERY_STRING'] == 'nap':\n        \
                     time.sleep(0.01)\n    \
                 return True\n",
        )
        .app("/app", "hello")
        .daemon("threads=2 request-timeout=1 interrupt-timeout=60")
        .directive(directive)
        .start();
    assert_eq!(server.get("/page").status(), 200);
    let before = server.daemons();
    assert_eq!(server.get("/page?nap").status(), 504);
    server.wait_for_log("Injected RequestTimeout into thread");
    server.wait_for_log("Request interrupted by RequestTimeout; thread recovered");
    assert_eq!(server.get("/page").status(), 200);
    assert_eq!(server.daemons(), before);
}

#[test]
fn a_function_that_never_ends_is_504_and_ends_its_process() {
    if only_ours("its functions run in Apache's processes only") {
        return;
    }
    let directive = "WSGIDispatchScript @APPS@/sleeps/sleeps.py process-group=app";
    let mut server = Server::builder(Mode::Daemon)
        .file(
            "apps/sleeps/sleeps.py",
            "import time\n\n\n\
             def process_group(environ):\n    \
                 if environ['QUERY_STRING'] == 'sleep':\n        \
                     time.sleep(10_000)\n",
        )
        .app("/app", "hello")
        .daemon("threads=2 request-timeout=1 shutdown-timeout=1")
        .directive(directive)
        .start();
    server.expect_log("request-timeout=1");
    server.allow_log("");
    assert_eq!(server.text("/app"), "Hello World!");
    let before = server.daemons();
    assert_eq!(server.get("/app?sleep").status(), 504);
    server.wait_for_log("in process_group");
    assert_eq!(server.text("/app"), "Hello World!");
    assert_ne!(server.daemons(), before);
}
