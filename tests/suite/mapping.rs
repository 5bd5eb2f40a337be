//! Which script answers a URL, and in which groups it runs.

use wsgi_tests::{Mode, Request, Server};

use crate::support::{environ_of, facts_of, serving};

in_both_modes! {
    fn the_first_alias_that_matches_wins(mode) {
        let server = Server::builder(mode)
            .app("/deep/er", "hello")
            .app("/deep", "mapped")
            .app("/", "mapped")
            .start();
        assert_eq!(server.text("/deep/er"), "Hello World!");
        assert_eq!(server.text("/deep/er/x"), "Hello World!");
        assert_eq!(server.text("/deep/erratic"), "/deep|/erratic|app.wsgi");
        assert_eq!(server.text("/deeper"), "|/deeper|app.wsgi");
    }

    fn an_alias_matches_whole_segments_only(mode) {
        let server = Server::builder(mode).app("/app", "mapped").start();
        assert_eq!(server.text("/app/x"), "/app|/x|app.wsgi");
        assert_eq!(server.get("/apple").status(), 404);
    }

    fn an_alias_with_a_slash_matches_below_it(mode) {
        let server = Server::builder(mode)
            .directive("WSGIScriptAlias /scripts/ @APPS@/scripts/")
            .start();
        let text = server.text("/scripts/first.wsgi/more");
        assert_eq!(text, "first /scripts/first.wsgi /more");
        assert_eq!(server.text("/scripts/second.wsgi"), "second /scripts/second.wsgi ");
        let mut server = server;
        server.allow_log("/scripts/");
        assert_eq!(server.get("/scripts/third.wsgi").status(), 404);
    }

    fn a_match_alias_puts_its_groups_into_the_path(mode) {
        let mut server = Server::builder(mode)
            .directive("WSGIScriptAliasMatch ^/run/([a-z]+)(/.*)? @APPS@/scripts/$1.wsgi")
            .start();
        server.allow_log("/scripts/third");
        assert_eq!(server.text("/run/first"), "first /run/first ");
        assert!(server.text("/run/second").starts_with("second "));
        assert_eq!(server.get("/run/third").status(), 404);
        assert_eq!(server.get("/run/1").status(), 404);
    }

    fn virtual_hosts_have_aliases_of_their_own_before_the_main_ones(mode) {
        let groups = |name: &str| {
            let script = "WSGIScriptAlias / @APPS@/mapped/app.wsgi";
            format!("<VirtualHost *:@PORT@>\nServerName {name}\n{script}\n</VirtualHost>")
        };
        let server = Server::builder(mode)
            .app("/common", "hello")
            .directive("<VirtualHost *:@PORT@>\nServerName first\n</VirtualHost>")
            .directive(&groups("second"))
            .start();
        let ask = |host: &str, path: &str| server.send(&Request::get(path).header("Host", host));
        assert_eq!(ask("first", "/common").text(), "Hello World!");
        assert_eq!(ask("first", "/").status(), 404);
        assert_eq!(ask("second", "/common").text(), "|/common|app.wsgi");
    }

    fn an_alias_of_httpd_wins_over_a_script_at_the_root(mode) {
        let server = serving(mode, "mapped")
            .directive("Alias /static @ROOT@/htdocs")
            .file("htdocs/page.txt", "a file")
            .start();
        assert_eq!(server.text("/static/page.txt"), "a file");
        assert_eq!(server.text("/other"), "|/other|app.wsgi");
    }

    fn a_handler_runs_scripts_where_programs_may_run(mode) {
        let mut server = Server::builder(mode)
            .directive("Alias /by-suffix @APPS@/scripts\nAlias /by-place @APPS@/mapped")
            .directive("Alias /not-allowed @APPS@/hello\nAlias /by-type @APPS@/callables")
            .directive("AddHandler wsgi-script .wsgi")
            .directive("<Directory @APPS@/scripts>\nOptions ExecCGI\n</Directory>")
            .directive("<Directory @APPS@/mapped>\nOptions ExecCGI\nSetHandler wsgi-script\n</Directory>")
            .directive("<Directory @APPS@/hello>\nOptions None\n</Directory>")
            .start();
        server.allow_log("ExecCGI");
        server.allow_log("hello/app.wsgi");
        server.allow_log("absent");
        assert!(server.text("/by-suffix/first.wsgi").starts_with("first "));
        let text = server.text("/by-place/app.wsgi/more");
        assert_eq!(text, "/by-place/app.wsgi|/more|app.wsgi");
        assert_eq!(server.get("/not-allowed/app.wsgi").status(), 403);
        assert_eq!(server.get("/by-suffix/absent.wsgi").status(), 404);
    }

    fn a_script_that_is_missing_is_a_404_and_named_in_the_log(mode) {
        let mut server = Server::builder(mode)
            .directive("WSGIScriptAlias / @APPS@/hello/nowhere.wsgi")
            .start();
        server.expect_log("hello/nowhere.wsgi");
        assert_eq!(server.get("/").status(), 404);
    }

    fn a_directory_is_no_script(mode) {
        let mut server = Server::builder(mode).directive("WSGIScriptAlias /app @APPS@/hello\nDirectorySlash Off").start();
        server.expect_log("apps/hello");
        assert_eq!(server.get("/app").status(), 403);
    }

    fn path_information_can_be_refused(mode) {
        let mut server = serving(mode, "mapped")
            .directive("<Location /strict>\nAcceptPathInfo Off\n</Location>")
            .start();
        server.allow_log("mapped/app.wsgi");
        server.allow_log("AcceptPathInfo");
        assert_eq!(server.get("/strict").status(), 404);
        assert_eq!(server.get("/lax").status(), 200);
    }

    fn the_callable_is_chosen_by_directive_alias_and_variable(mode) {
        let server = Server::builder(mode)
            .directive("WSGIScriptAlias /alias @APPS@/callables/app.wsgi callable-object=third")
            .app("/", "callables")
            .directive("<Location /named>\nWSGICallableObject other\n</Location>")
            .directive("SetEnvIf Request_URI ^/variable CHOSEN=third")
            .directive("<Location /variable>\nWSGICallableObject %{ENV:CHOSEN}\n</Location>")
            .start();
        assert_eq!(server.text("/"), "default application");
        assert_eq!(server.text("/named"), "other other");
        assert_eq!(server.text("/alias"), "third third");
        assert_eq!(server.text("/variable"), "third third");
    }

    fn htaccess_files_choose_what_fileinfo_allows(mode) {
        let server = Server::builder(mode)
            .directive("Alias /scripts @ROOT@/htdocs/scripts\nAddHandler wsgi-script .wsgi")
            .directive("<Directory @ROOT@/htdocs/scripts>\nOptions ExecCGI\nAllowOverride FileInfo\n</Directory>")
            .file("htdocs/scripts/.htaccess", "WSGICallableObject other\n")
            .file("htdocs/scripts/it.wsgi", include_str!("../apps/callables/app.wsgi"))
            .start();
        assert_eq!(server.text("/scripts/it.wsgi"), "other other");
    }

    fn the_application_group_is_the_resource_unless_named(mode) {
        let server = Server::builder(mode)
            .directive("WSGIScriptAlias /option @APPS@/environ/app.wsgi application-group=chosen")
            .app("/mount", "environ")
            .app("/global", "environ")
            .app("/server", "environ")
            .app("/host", "environ")
            .app("/variable", "environ")
            .directive("<Location /global>\nWSGIApplicationGroup %{GLOBAL}\n</Location>")
            .directive("<Location /server>\nWSGIApplicationGroup %{SERVER}\n</Location>")
            .directive("<Location /host>\nWSGIApplicationGroup %{HOST}\n</Location>")
            .directive("SetEnvIf Request_URI ^/variable/(.*)$ GROUP=of-$1")
            .directive("<Location /variable>\nWSGIApplicationGroup %{ENV:GROUP}\n</Location>")
            .start();
        let port = server.address().port();
        let group = |path: &str| {
            let request = Request::get(path).header("Host", "other.example");
            let environ = environ_of(&server.send(&request).text());
            environ["mod_wsgi.application_group"].1.clone()
        };
        assert_eq!(group("/option"), "'chosen'");
        assert_eq!(group("/global"), "''");
        let name = group("/mount");
        let names = [format!("'localhost:{port}|/mount'"), "'localhost|/mount'".to_owned()];
        assert!(names.contains(&name), "{name}");
        assert!(group("/server").starts_with("'localhost"));
        assert!(group("/host").starts_with("'other.example"));
        assert_eq!(group("/variable/x"), "'of-x'");
    }

    fn application_groups_have_interpreters_of_their_own(mode) {
        let server = Server::builder(mode)
            .directive("WSGIScriptAlias /a @APPS@/counter/app.wsgi application-group=a")
            .directive("WSGIScriptAlias /b @APPS@/counter/app.wsgi application-group=b")
            .directive("WSGIScriptAlias /same @APPS@/counter/app.wsgi application-group=a")
            .start();
        let count = |path: &str| server.text(path).split(' ').nth(1).unwrap_or("").to_owned();
        assert_eq!([count("/a"), count("/b"), count("/same"), count("/b")], ["1", "1", "2", "2"]);
    }
}

#[test]
fn the_process_group_is_chosen_by_directive_alias_and_variable() {
    let server = Server::builder(Mode::Embedded)
        .directive("WSGIDaemonProcess first threads=2\nWSGIDaemonProcess second threads=2")
        .directive("WSGIScriptAlias /alias @APPS@/process/app.wsgi process-group=first")
        .app("/", "process")
        .directive("<Location /named>\nWSGIProcessGroup second\n</Location>")
        .directive("SetEnvIf Request_URI ^/variable CHOSEN=first")
        .directive("<Location /variable>\nWSGIProcessGroup %{ENV:CHOSEN}\n</Location>")
        .directive("<Location /named/embedded>\nWSGIProcessGroup %{GLOBAL}\n</Location>")
        .start();
    let group = |path: &str| facts_of(&server.text(path))["process_group"].clone();
    assert_eq!(group("/alias"), "'first'");
    assert_eq!(group("/named"), "'second'");
    assert_eq!(group("/variable"), "'first'");
    assert_eq!(group("/named/embedded"), "''");
    assert_eq!(group("/"), "''");
}

#[test]
fn a_process_group_nobody_defined_is_a_500_that_names_it() {
    let mut server = serving(Mode::Embedded, "hello")
        .directive("WSGIDaemonProcess exists\nSetEnv CHOSEN absent")
        .directive("SetEnvIf Request_URI . CHOSEN=absent\nWSGIProcessGroup %{ENV:CHOSEN}")
        .start();
    server.expect_log("absent");
    assert_eq!(server.get("/").status(), 500);
}

#[test]
fn a_process_group_belongs_to_its_virtual_hosts_server_name() {
    let mut server = Server::builder(Mode::Embedded)
        .directive(
            "<VirtualHost *:@PORT@>\nServerName owner\nWSGIDaemonProcess owned threads=2\n\
             WSGIProcessGroup owned\nWSGIScriptAlias / @APPS@/hello/app.wsgi\n</VirtualHost>",
        )
        .directive(
            "<VirtualHost *:@PORT@>\nServerName stranger\nWSGIProcessGroup owned\n\
             WSGIScriptAlias / @APPS@/hello/app.wsgi\n</VirtualHost>",
        )
        .start();
    server.expect_log("owned");
    let ask = |host: &str| server.send(&Request::get("/").header("Host", host));
    assert_eq!(ask("owner").text(), "Hello World!");
    assert_eq!(ask("stranger").status(), 500);
}

#[test]
fn embedded_applications_can_be_forbidden() {
    let mut server = serving(Mode::Embedded, "hello")
        .directive("WSGIRestrictEmbedded On")
        .start();
    server.expect_log("mbedded");
    assert_eq!(server.get("/").status(), 500);
}

in_both_modes! {
    fn an_application_may_answer_for_what_is_not_there(mode) {
        let server = Server::builder(mode)
            .app("/app", "mapped")
            .file("htdocs/page.txt", "the page")
            .file("htdocs/listed/page.txt", "listed")
            .directive(
                "<Directory @ROOT@/htdocs>\nFallbackResource /app\n</Directory>\n\
                 <Directory @ROOT@/htdocs/listed>\nDirectoryIndex /app/index\n</Directory>",
            )
            .start();
        assert_eq!(server.text("/page.txt"), "the page");
        assert_eq!(server.text("/not/there"), "/app||app.wsgi");
        assert_eq!(server.text("/listed/"), "/app|/index|app.wsgi");
    }
}
