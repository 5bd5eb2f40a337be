//! Directives about a request's way: which errors are whose, HEAD, files, groups, Apache's request.

use wsgi_tests::apache::only_ours;
use wsgi_tests::{Mode, Request, Server};

use crate::support::{environ_of, serving};

fn with_error_documents(mode: Mode) -> Server {
    serving(mode, "status")
        .modules(&["headers"])
        .directive(
            "Alias /errors @ROOT@/htdocs\nErrorDocument 404 /errors/page.txt\n\
             ErrorDocument 503 \"text of 503\"\n\
             <Location /ours>\nWSGIErrorOverride On\n</Location>\n\
             <Location /ours/not>\nWSGIErrorOverride Off\n</Location>",
        )
        .file("htdocs/page.txt", "the server's page")
        .start()
}

#[test]
fn an_error_of_a_daemon_is_overridden_by_the_servers_page() {
    let server = with_error_documents(Mode::Daemon);
    let mut connection = server.connect();
    for (line, body) in [("404+Own", "the server's page"), ("503+Own", "text of 503")] {
        let request = Request::get(&format!("/ours?{line}"));
        let response = connection.roundtrip(&request).expect("an answer");
        assert!(line.starts_with(&response.status().to_string()), "{line}");
        assert_eq!(response.text(), body, "{line}");
        assert_eq!(response.header("X-Said"), None, "{line}");
    }
    let response = server.get("/ours?500+Own");
    assert_eq!(response.status(), 500);
    assert!(
        response.text().contains("<title>500"),
        "{}",
        response.text()
    );
    for line in ["200+Fine", "302+Found", "399+Odd"] {
        assert_eq!(
            server.get(&format!("/ours?{line}")).text(),
            "body",
            "{line}"
        );
    }
    assert_eq!(server.get("/ours/not?404+Own").text(), "body");
    assert_eq!(server.get("/?404+Own").text(), "body");
}

#[test]
fn an_error_of_an_embedded_application_stays_its_own() {
    let server = with_error_documents(Mode::Embedded);
    let response = server.get("/ours?404+Own");
    assert_eq!((response.status(), response.text().as_str()), (404, "body"));
}

#[test]
fn an_overridden_401_still_asks_for_a_password() {
    let server = Server::builder(Mode::Daemon)
        .directive("WSGIErrorOverride On")
        .file("apps/asks/app.wsgi", ASKS)
        .app("/", "asks")
        .start();
    let response = server.get("/");
    assert_eq!(response.status(), 401);
    assert_eq!(
        response.header("WWW-Authenticate"),
        Some("Basic realm=\"x\"")
    );
    assert_ne!(response.text(), "own");
}

const ASKS: &str = "def application(environ, start_response):\n    \
    start_response('401 Who', [('WWW-Authenticate', 'Basic realm=\"x\"')])\n    return [b'own']\n";

in_both_modes! {
    fn head_is_seen_as_get_where_it_is_mapped(mode) {
        let server = Server::builder(mode)
            .modules(&["deflate", "filter"])
            .app("/", "method")
            .directive(
                "<Location /on>\nWSGIMapHEADToGET On\n</Location>\n\
                 <Location /off>\nWSGIMapHEADToGET Off\nSetOutputFilter DEFLATE\n</Location>\n\
                 <Location /auto>\nWSGIMapHEADToGET auto\n</Location>\n\
                 <Location /filtered>\nSetOutputFilter DEFLATE\n</Location>",
            )
            .start();
        for (path, seen) in [
            ("/", "HEAD"),
            ("/on", "GET"),
            ("/off", "HEAD"),
            ("/auto", "HEAD"),
            ("/filtered", "GET"),
        ] {
            let mut connection = server.connect();
            let response = connection.roundtrip(&Request::new("HEAD", path)).expect("an answer");
            assert_eq!(response.header("X-Method"), Some(seen), "{path}");
            // A body after all would be taken for the next response.
            let next = connection.roundtrip(&Request::get(path)).expect("an answer");
            assert_eq!(next.text(), "GET", "{path}");
            let post = connection.roundtrip(&Request::post(path, "x")).expect("an answer");
            assert_eq!(post.text(), "POST", "{path}");
        }
    }

    fn files_are_sent_whole_with_sendfile(mode) {
        let server = serving(mode, "file_sent")
            .directive("EnableSendfile On\nWSGIEnableSendfile On")
            .start();
        let content: Vec<u8> = (0..3_000_000u32).map(|index| (index % 253) as u8).collect();
        std::fs::write(server.state("sent"), &content).expect("the directory is ours");
        assert_eq!(server.get("/?plain").body, content);
        assert_eq!(server.get("/?offset").body, content[100..]);
        assert_eq!(server.get("/?length").body, content[..1000]);
    }

    fn only_allowed_process_groups_can_be_selected(mode) {
        let mut server = serving(mode, "hello")
            .directive(
                "WSGIDaemonProcess other threads=1\n\
                 <Location /app>\nWSGIRestrictProcess app other\n</Location>\n\
                 <Location /embedded>\nWSGIRestrictProcess %{GLOBAL}\n</Location>\n\
                 <Location /app/none>\nWSGIRestrictProcess nothing\nWSGIRestrictProcess else\n</Location>\n\
                 <Location /app/other>\nWSGIProcessGroup other\n</Location>\n\
                 SetEnvIf Request_URI ^/app/chosen GROUP=other\n\
                 <Location /app/chosen>\nWSGIProcessGroup %{ENV:GROUP}\n</Location>",
            )
            .start();
        server.expect_log("allow");
        let (daemon, embedded) = match mode {
            Mode::Daemon => (200, 500),
            Mode::Embedded => (500, 200),
        };
        assert_eq!(server.get("/app").status(), daemon);
        assert_eq!(server.get("/embedded").status(), embedded);
        assert_eq!(server.get("/app/none").status(), 500);
        assert_eq!(server.get("/app/other").status(), 200);
        assert_eq!(server.get("/app/chosen").status(), 200);
        assert_eq!(server.get("/").status(), 200);
    }

    fn the_resource_ignores_case_where_the_file_system_does(mode) {
        let server = Server::builder(mode)
            .app("/Mixed", "environ")
            .directive("WSGICaseSensitivity Off")
            .start();
        let environ = environ_of(&server.text("/Mixed"));
        let group = &environ["mod_wsgi.application_group"].1;
        assert!(group.ends_with("|/mixed'"), "{group}");
        assert_eq!(environ["SCRIPT_NAME"].1, "'/Mixed'");
    }

    fn the_credentials_are_passed_where_that_is_asked_for(mode) {
        let server = Server::builder(mode)
            .directive("WSGIScriptAlias /yes @APPS@/environ/app.wsgi pass-authorization=On")
            .directive("WSGIScriptAlias /no @APPS@/environ/app.wsgi pass-authorization=Off")
            .app("/", "environ")
            .directive(
                "<Location /no>\nWSGIPassAuthorization On\n</Location>\n\
                 <Location /by/directive>\nWSGIPassAuthorization On\n</Location>\n\
                 <Location /by/directive/not>\nWSGIPassAuthorization Off\n</Location>\n\
                 <Location /by/core>\nCGIPassAuth On\n</Location>",
            )
            .start();
        let passed = |path: &str| {
            let request = Request::get(path).header("Authorization", "Basic eDp5");
            environ_of(&server.send(&request).text()).contains_key("HTTP_AUTHORIZATION")
        };
        assert!(passed("/yes"));
        assert!(passed("/by/directive"));
        assert!(passed("/by/core"));
        assert!(!passed("/no"));
        assert!(!passed("/by/directive/not"));
        assert!(!passed("/"));
    }
}

#[test]
fn the_request_of_apache_is_passed_to_embedded_applications_that_may_have_it() {
    let directive = "<Location /passed>\nWSGIPassApacheRequest On\n</Location>";
    let kind = |server: &Server, path: &str| {
        let environ = environ_of(&server.text(path));
        environ
            .get("apache.request_rec")
            .map(|(kind, _)| kind.clone())
    };
    let embedded = serving(Mode::Embedded, "environ")
        .directive(directive)
        .start();
    assert_eq!(kind(&embedded, "/passed").as_deref(), Some("PyCapsule"));
    assert_eq!(kind(&embedded, "/"), None);
    let daemon = serving(Mode::Daemon, "environ")
        .directive(directive)
        .start();
    assert_eq!(kind(&daemon, "/passed"), None);
}

#[test]
fn the_passed_request_is_apaches_own() {
    if only_ours("its capsule is the same; reading the field once is enough") {
        return;
    }
    let app = "import ctypes\n\
        get = ctypes.pythonapi.PyCapsule_GetPointer\n\
        get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]\n\
        def application(environ, start_response):\n    \
        start_response('200 OK', [])\n    \
        pool = ctypes.cast(get(environ['apache.request_rec'], None), ctypes.POINTER(ctypes.c_void_p))\n    \
        return [b'a pool' if pool[0] else b'nothing']\n";
    let server = Server::builder(Mode::Embedded)
        .directive("WSGIPassApacheRequest On\nWSGIApplicationGroup %{GLOBAL}")
        .file("apps/capsule/app.wsgi", app)
        .app("/", "capsule")
        .start();
    assert_eq!(server.text("/"), "a pool");
}

#[test]
fn a_page_for_an_error_may_come_from_an_application_and_have_its_status() {
    if only_ours("it overrides the page as well") {
        return;
    }
    let server = serving(Mode::Daemon, "status")
        .directive("WSGIErrorOverride On\nErrorDocument 404 /page?404+Really\nErrorDocument 503 /page?200+OK")
        .start();
    let response = server.get("/?404+Own");
    assert_eq!((response.status(), response.text().as_str()), (404, "body"));
    assert_eq!(response.header("X-Said"), Some("404 Really"));
    assert_eq!(server.get("/?503+Own").status(), 200);
}
