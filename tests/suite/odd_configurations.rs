//! Configurations that are odd but real: other modules in front of, beside and behind scripts.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use wsgi_tests::apache::{apache, only_ours};
use wsgi_tests::{Mode, Request, Server};

use crate::support::{environ_of, serving};

const MAPPED: &str = include_str!("../apps/mapped/app.wsgi");
const ENVIRON: &str = include_str!("../apps/environ/app.wsgi");

fn field(text: &str, key: &str) -> String {
    let environ = environ_of(text);
    let value = environ.get(key).map(|(_, value)| value.as_str());
    value.unwrap_or("absent").trim_matches('\'').to_owned()
}

in_both_modes! {
    fn text_after_the_script_becomes_part_of_the_path(mode) {
        let server = Server::builder(mode)
            .directive("WSGIScriptAlias /shop @APPS@/mapped/app.wsgi/shop")
            .start();
        assert_eq!(server.text("/shop/cart"), "|/shop/cart|app.wsgi");
        assert_eq!(server.text("/shop"), "|/shop|app.wsgi");
    }

    fn a_directory_of_scripts_has_paths_below_each(mode) {
        let server = Server::builder(mode)
            .directive("WSGIScriptAlias /dir @APPS@/scripts")
            .start();
        assert_eq!(server.text("/dir/first.wsgi/a/b"), "first /dir/first.wsgi /a/b");
    }

    fn a_script_needs_no_suffix(mode) {
        let server = Server::builder(mode)
            .file("apps/plain/index", MAPPED)
            .directive("WSGIScriptAlias / @APPS@/plain/index")
            .start();
        assert_eq!(server.text("/x"), "|/x|index");
    }

    fn a_url_with_spaces_and_letters_beyond_ascii_is_mapped(mode) {
        let server = Server::builder(mode)
            .directive("WSGIScriptAlias \"/my app\" @APPS@/environ/app.wsgi")
            .app("/", "environ")
            .start();
        assert_eq!(field(&server.text("/my%20app/x"), "SCRIPT_NAME"), "/my app");
        assert_eq!(field(&server.text("/caf%C3%A9"), "PATH_INFO"), "/caf\u{c3}\u{a9}");
    }

    fn aliases_tell_letters_by_their_case(mode) {
        let server = Server::builder(mode).app("/App", "mapped").start();
        assert_eq!(server.get("/app").status(), 404);
        assert_eq!(server.get("/App").status(), 200);
    }

    fn runs_of_slashes_match_an_alias_and_vanish_from_the_path(mode) {
        let server = Server::builder(mode)
            .directive("MergeSlashes Off\nWSGIScriptAlias //double @APPS@/mapped/app.wsgi")
            .app("/app", "mapped")
            .start();
        for (target, expected) in [
            ("/app//x", "/app|/x|app.wsgi"),
            ("//app/x///y", "/app|/x/y|app.wsgi"),
            ("/app/", "/app|/|app.wsgi"),
            ("/app//", "/app|/|app.wsgi"),
            ("//double/x", "/double|/x|app.wsgi"),
            ("///double//x", "/double|/x|app.wsgi"),
        ] {
            assert_eq!(server.text(target), expected, "{target}");
        }
    }

    fn fourteen_expressions_are_searched_in_their_order(mode) {
        let mut builder = Server::builder(mode);
        for number in 0..14 {
            let line = format!("WSGIScriptAliasMatch ^/v{number}(/.*)?$ @APPS@/mapped/app.wsgi$1");
            builder = builder.directive(&line);
        }
        let server = builder
            .directive("WSGIScriptAliasMatch ^/.* @APPS@/hello/app.wsgi")
            .start();
        assert_eq!(server.text("/v13/x"), "/v13|/x|app.wsgi");
        assert_eq!(server.text("/v1"), "/v1||app.wsgi");
        assert_eq!(server.text("/v14"), "Hello World!");
    }

    fn a_suffix_or_a_type_makes_a_file_a_script(mode) {
        let server = Server::builder(mode)
            .directive(
                "<Directory @ROOT@/htdocs>\nOptions ExecCGI\nAddHandler wsgi-script .wsgi .py\n\
                 AddType application/x-httpd-wsgi .typed\n</Directory>",
            )
            .file("htdocs/a.py", MAPPED)
            .file("htdocs/b.typed", MAPPED)
            .file("htdocs/c.txt", "text")
            .start();
        assert_eq!(server.text("/a.py/more"), "/a.py|/more|a.py");
        assert_eq!(server.text("/b.typed"), "/b.typed||b.typed");
        assert_eq!(server.text("/c.txt"), "text");
    }

    fn the_index_of_a_directory_can_be_a_script(mode) {
        let server = Server::builder(mode)
            .directive(
                "DirectoryIndex index.wsgi\n\
                 <Directory @ROOT@/htdocs>\nOptions ExecCGI\nAddHandler wsgi-script .wsgi\n</Directory>",
            )
            .file("htdocs/index.wsgi", ENVIRON)
            .file("htdocs/below/index.wsgi", ENVIRON)
            .start();
        let text = server.text("/?a=b");
        assert_eq!(field(&text, "SCRIPT_NAME"), "/index.wsgi");
        assert_eq!(field(&text, "QUERY_STRING"), "a=b");
        assert_eq!(field(&text, "REQUEST_URI"), "/?a=b");
        assert_eq!(field(&server.text("/below/"), "SCRIPT_NAME"), "/below/index.wsgi");
        assert_eq!(server.get("/below").status(), 301);
        let posted = server.send(&Request::post("/", "body"));
        assert_eq!(field(&posted.text(), "CONTENT_LENGTH"), "4");
    }

    fn a_name_without_its_suffix_is_negotiated(mode) {
        let server = Server::builder(mode)
            .modules(&["negotiation"])
            .directive(
                "<Directory @ROOT@/htdocs>\nOptions ExecCGI MultiViews\nMultiviewsMatch Handlers\n\
                 AddHandler wsgi-script .wsgi\n</Directory>",
            )
            .file("htdocs/page.wsgi", MAPPED)
            .start();
        assert_eq!(server.text("/page/x"), "/page.wsgi|/x|page.wsgi");
    }

    fn an_application_writes_the_pages_for_errors(mode) {
        let server = Server::builder(mode)
            .app("/pages", "environ")
            .directive("ErrorDocument 404 /pages/missing?from=httpd\nRedirect gone /gone\n\
                        ErrorDocument 410 /pages/gone")
            .start();
        let response = server.get("/nowhere?a=b");
        // The page's own status counts, as it does for a CGI script that says one.
        assert_eq!(response.status(), 200);
        let text = response.text();
        assert_eq!(field(&text, "PATH_INFO"), "/missing");
        assert_eq!(field(&text, "QUERY_STRING"), "from=httpd");
        assert_eq!(field(&text, "REDIRECT_STATUS"), "404");
        assert_eq!(field(&text, "REDIRECT_URL"), "/nowhere");
        assert_eq!(field(&text, "REDIRECT_QUERY_STRING"), "a=b");
        assert_eq!(field(&text, "REQUEST_URI"), "/nowhere?a=b");
        assert_eq!(field(&text, "REQUEST_METHOD"), "GET");
        let response = server.send(&Request::post("/gone", "body"));
        assert_eq!(response.status(), 200);
        assert_eq!(field(&response.text(), "REDIRECT_STATUS"), "410");
        assert_eq!(field(&response.text(), "REDIRECT_REQUEST_METHOD"), "POST");
        assert_eq!(field(&response.text(), "REQUEST_METHOD"), "GET");
    }

    fn rewriting_passes_through_to_an_alias(mode) {
        let server = Server::builder(mode)
            .modules(&["rewrite"])
            .directive(
                "RewriteEngine On\n\
                 RewriteRule ^/old/(.*)$ /app/new/$1 [PT]\n\
                 RewriteRule ^/query/(.*)$ /app/q?name=$1 [QSA,PT,L]\n\
                 RewriteRule ^/variable /app/v [PT,E=CHOSEN:by-rule]\n\
                 RewriteRule ^/refused - [F]\n\
                 RewriteCond %{DOCUMENT_ROOT}%{REQUEST_URI} !-f\n\
                 RewriteCond %{REQUEST_URI} !^/app\n\
                 RewriteRule ^(.*)$ /app$1 [PT,L]",
            )
            .app("/app", "environ")
            .file("htdocs/page.txt", "a file")
            .start();
        let text = server.text("/old/x%20y?k=v");
        assert_eq!(field(&text, "PATH_INFO"), "/new/x y");
        assert_eq!(field(&text, "QUERY_STRING"), "k=v");
        assert_eq!(field(&text, "REQUEST_URI"), "/old/x%20y?k=v");
        let text = server.text("/query/me?k=v");
        assert_eq!(field(&text, "QUERY_STRING"), "name=me&k=v");
        assert_eq!(field(&server.text("/variable"), "CHOSEN"), "by-rule");
        assert_eq!(server.get("/refused").status(), 403);
        assert_eq!(server.text("/page.txt"), "a file");
        assert_eq!(field(&server.text("/anything"), "PATH_INFO"), "/anything");
    }

    fn rewriting_in_a_directory_reaches_a_script_beside_it(mode) {
        let server = Server::builder(mode)
            .modules(&["rewrite"])
            .directive(
                "AddHandler wsgi-script .wsgi\n\
                 <Directory @ROOT@/htdocs>\nOptions ExecCGI FollowSymLinks\nAllowOverride All\n</Directory>",
            )
            .file(
                "htdocs/.htaccess",
                "RewriteEngine On\nRewriteCond %{REQUEST_FILENAME} !-f\n\
                 RewriteRule ^(.*)$ /front.wsgi/$1 [QSA,PT,L]\n",
            )
            .file("htdocs/front.wsgi", ENVIRON)
            .file("htdocs/page.txt", "a file")
            .start();
        let text = server.text("/a/b?k=v");
        assert_eq!(field(&text, "SCRIPT_NAME"), "/front.wsgi");
        assert_eq!(field(&text, "PATH_INFO"), "/a/b");
        assert_eq!(field(&text, "QUERY_STRING"), "k=v");
        assert_eq!(field(&text, "REDIRECT_URL"), "/a/b");
        assert_eq!(server.text("/page.txt"), "a file");
    }

    fn what_is_no_file_falls_back_to_a_script(mode) {
        let server = Server::builder(mode)
            .directive(
                "AddHandler wsgi-script .wsgi\n<Directory @ROOT@/htdocs>\nOptions ExecCGI\n\
                 FallbackResource /front.wsgi\n</Directory>",
            )
            .file("htdocs/front.wsgi", ENVIRON)
            .file("htdocs/page.txt", "a file")
            .start();
        let mut connection = server.connect();
        for _ in 0..2 {
            let response = connection.roundtrip(&Request::get("/a/b?k=v")).expect("an answer");
            assert!(response.whole);
            assert_eq!(field(&response.text(), "REQUEST_URI"), "/a/b?k=v");
            assert_eq!(field(&response.text(), "SCRIPT_NAME"), "/front.wsgi");
        }
        assert_eq!(server.text("/page.txt"), "a file");
    }

    fn a_page_includes_what_a_script_answers(mode) {
        let mut server = Server::builder(mode)
            .modules(&["include", "filter"])
            .directive("<Directory @ROOT@/htdocs>\nOptions +Includes\nSetOutputFilter INCLUDES\n</Directory>")
            .app("/app", "mapped")
            .app("/long", "bodies")
            .app("/raises", "raises")
            .file(
                "htdocs/page.shtml",
                "<[<!--#include virtual=\"/app/x\" -->][<!--#include virtual=\"/long?generator\" -->]>",
            )
            .file("htdocs/broken.shtml", "<[<!--#include virtual=\"/raises?before-value\" -->]>")
            .start();
        let mut connection = server.connect();
        for _ in 0..2 {
            let response = connection.roundtrip(&Request::get("/page.shtml")).expect("an answer");
            let text = response.text();
            assert!(text.starts_with("<[/app") && text.ends_with("|/x|app.wsgi][generator]>"), "{text}");
            if !only_ours("it takes all of a subrequest's path for the mount point") {
                assert_eq!(text, "<[/app|/x|app.wsgi][generator]>");
            }
        }
        server.expect_traceback("ValueError: secret trouble");
        server.allow_log("unable to include");
        let broken = server.get("/broken.shtml");
        assert_eq!(broken.status(), 200);
        assert!(broken.text().contains("an error occurred"), "{}", broken.text());
    }

    fn places_are_searched_in_order_for_their_handler(mode) {
        let server = Server::builder(mode)
            .directive(
                "<Directory @APPS@>\nOptions ExecCGI\n</Directory>\nAlias / @APPS@/\n\
                 <LocationMatch \"^/(mapped|environ)/\">\nSetHandler wsgi-script\n</LocationMatch>\n\
                 <LocationMatch \"/raw$\">\nSetHandler None\n</LocationMatch>",
            )
            .file("apps/mapped/raw", "as it is")
            .start();
        assert_eq!(server.text("/mapped/app.wsgi/x"), "/mapped/app.wsgi|/x|app.wsgi");
        assert_eq!(server.text("/mapped/raw"), "as it is");
        assert!(server.text("/hello/app.wsgi").contains("def application"));
    }

    fn a_file_section_can_change_one_script(mode) {
        let server = Server::builder(mode)
            .directive(
                "WSGIScriptAlias /s @APPS@/scripts\n\
                 <Directory @APPS@/scripts>\n<Files second.wsgi>\nRequire all denied\n</Files>\n</Directory>",
            )
            .start();
        assert_eq!(server.get("/s/first.wsgi").status(), 200);
        let mut server = server;
        server.expect_log("AH01630");
        assert_eq!(server.get("/s/second.wsgi").status(), 403);
    }

    fn a_user_of_another_module_arrives(mode) {
        let server = serving(mode, "environ")
            .modules(&["auth_basic", "authn_core", "authn_file", "authz_user"])
            .directive(
                "<Location />\nAuthType Basic\nAuthName x\nAuthBasicProvider file\n\
                 AuthUserFile @ROOT@/users\nRequire valid-user\n</Location>",
            )
            .file("users", "someone:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")
            .start();
        assert_eq!(server.get("/").status(), 401);
        let request = Request::get("/").header("Authorization", "Basic c29tZW9uZTpwYXNzd29yZA==");
        let text = server.send(&request).text();
        assert_eq!(field(&text, "REMOTE_USER"), "someone");
        assert_eq!(field(&text, "AUTH_TYPE"), "Basic");
        assert_eq!(field(&text, "HTTP_AUTHORIZATION"), "absent");
    }

    fn a_script_that_cannot_be_read_says_so_in_the_log(mode) {
        if !apache().as_root {
            eprintln!("SKIPPED: only root can make a file that Apache's user cannot read");
            return;
        }
        let mut server = Server::builder(mode)
            .file("apps/closed_off/app.wsgi", MAPPED)
            .app("/", "closed_off")
            .start();
        let path = server.app("closed_off/app.wsgi");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("our file");
        server.allow_log("closed_off/app.wsgi");
        server.allow_log("Permission denied");
        let status = server.get("/").status();
        assert!([403, 404, 500].contains(&status), "{status}");
        if !only_ours("its status is 500") {
            assert_eq!(status, 403);
        }
        let line = server.wait_for_log("Permission denied");
        assert!(line.contains("closed_off/app.wsgi"), "{line}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("our file");
        if !only_ours("it may go on with what it knows") {
            assert_eq!(server.text("/x"), "|/x|app.wsgi");
        }
    }

    fn a_directory_that_cannot_be_entered_is_forbidden(mode) {
        if !apache().as_root {
            eprintln!("SKIPPED: only root can make a directory that Apache's user cannot enter");
            return;
        }
        let mut server = Server::builder(mode)
            .file("apps/closed_dir/app.wsgi", MAPPED)
            .app("/", "closed_dir")
            .start();
        let path = server.app("closed_dir");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("our directory");
        server.expect_log("AH00529");
        assert_eq!(server.get("/").status(), 403);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our directory");
    }
}

#[test]
fn a_filter_of_the_main_request_handles_what_a_script_answers() {
    let server = serving(Mode::Daemon, "hello")
        .modules(&["substitute", "filter"])
        .directive("SetOutputFilter SUBSTITUTE\nSubstitute s/World/There/n")
        .start();
    assert_eq!(server.text("/"), "Hello There!");
}
