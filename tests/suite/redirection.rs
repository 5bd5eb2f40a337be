//! A daemon's 200 with a local Location: another request answers instead.

use wsgi_tests::apache::only_ours;
use wsgi_tests::{Mode, Request, Server};

use crate::support::environ_of;

fn start(mode: Mode) -> Server {
    Server::builder(mode)
        .modules(&["proxy", "proxy_http", "headers"])
        .app("/app", "location")
        .app("/other", "environ")
        .app("/echo", "echo")
        .app("/hello", "hello")
        .directive(
            "<Location /app>\nWSGIChunkedRequest On\n</Location>\n\
             ProxyPass /proxied http://127.0.0.1:@PORT@/hello\n\
             Header set X-Static yes \"expr=%{REQUEST_URI} =~ /page/\"",
        )
        .file("htdocs/page.txt", "from the document root")
        .start()
}

#[test]
fn a_static_file_answers_with_its_own_headers() {
    let server = start(Mode::Daemon);
    let mut connection = server.connect();
    for _ in 0..2 {
        let response = connection
            .roundtrip(&Request::get("/app?/page.txt"))
            .expect("an answer");
        assert_eq!(response.text(), "from the document root");
        assert_eq!(response.header("Content-Length"), Some("22"));
        assert!(response.header("Last-Modified").is_some());
        assert_eq!(response.header("Location"), None);
    }
    let part = Request::get("/app?/page.txt").header("Range", "bytes=0-3");
    let response = server.send(&part);
    assert_eq!((response.status(), response.text().as_str()), (206, "from"));
}

#[test]
fn a_file_without_a_known_type_has_the_applications() {
    let script = "def application(environ, start_response):\n    start_response('200 OK', \
                  [('Content-Type', 'application/pdf'), ('Location', environ['QUERY_STRING'])])\n    \
                  return [b'']\n";
    let server = Server::builder(Mode::Daemon)
        .file("apps/typed.wsgi", script)
        .directive("WSGIScriptAlias /app @ROOT@/apps/typed.wsgi\nAddType text/css .css")
        .file("htdocs/stored", "of no type")
        .file("htdocs/page.css", "of a type")
        .start();
    for (target, kind) in [("/stored", "application/pdf"), ("/page.css", "text/css")] {
        let response = server.get(&format!("/app?{target}"));
        assert_eq!(response.header("Content-Type"), Some(kind), "{target}");
    }
}

#[test]
fn another_script_answers_and_sees_the_query_of_the_location() {
    let server = start(Mode::Daemon);
    let response = server.get("/app?/other/below?a=1&b=2");
    let environ = environ_of(&response.text());
    assert_eq!(environ["SCRIPT_NAME"].1, "'/other'");
    assert_eq!(environ["PATH_INFO"].1, "'/below'");
    assert_eq!(environ["QUERY_STRING"].1, "'a=1&b=2'");
    assert_eq!(environ["REDIRECT_URL"].1, "'/app'");
    assert_eq!(environ["REDIRECT_QUERY_STRING"].1, "'/other/below?a=1&b=2'");
    assert_eq!(environ["REDIRECT_STATUS"].1, "'200'");
    assert_eq!(environ["REQUEST_URI"].1, "'/app?/other/below?a=1&b=2'");
}

#[test]
fn a_post_is_answered_as_a_get_without_its_body() {
    let server = start(Mode::Daemon);
    let mut connection = server.connect();
    let mut requests = vec![
        Request::post("/app?/other", "short"),
        Request::post("/app?/other", "x".repeat(100_000)),
    ];
    if !only_ours("it leaves Transfer-Encoding to the second request, which is refused for it") {
        requests.push(Request::post_chunked("/app?/other", "x".repeat(100_000)));
    }
    for request in requests {
        let response = connection.roundtrip(&request).expect("an answer");
        let environ = environ_of(&response.text());
        assert_eq!(environ["REQUEST_METHOD"].1, "'GET'");
        assert!(!environ.contains_key("CONTENT_LENGTH"));
        assert!(!environ.contains_key("HTTP_TRANSFER_ENCODING"));
        let next = connection
            .roundtrip(&Request::get("/hello"))
            .expect("an answer");
        assert_eq!(next.text(), "Hello World!");
    }
}

#[test]
fn a_proxied_url_answers() {
    let server = start(Mode::Daemon);
    let response = server.get("/app?/proxied");
    assert_eq!(
        (response.status(), response.text().as_str()),
        (200, "Hello World!")
    );
}

#[test]
fn what_is_not_there_is_a_404() {
    let server = start(Mode::Daemon);
    assert_eq!(server.get("/app?/nowhere").status(), 404);
}

#[test]
fn a_head_request_stays_one() {
    let server = start(Mode::Daemon);
    let mut connection = server.connect();
    let head = connection
        .roundtrip(&Request::new("HEAD", "/app?/page.txt"))
        .expect("an answer");
    assert_eq!((head.status(), head.body.len()), (200, 0));
    let next = connection
        .roundtrip(&Request::get("/hello"))
        .expect("an answer");
    assert_eq!(next.text(), "Hello World!");
}

#[test]
fn a_redirection_to_itself_ends_with_an_error() {
    let mut server = Server::builder(Mode::Daemon)
        .file("apps/loops/app.wsgi", LOOPS)
        .app("/", "loops")
        .start();
    server.expect_log("AH00124");
    assert_eq!(server.get("/").status(), 500);
}

const LOOPS: &str = "def application(environ, start_response):\n    \
    start_response('200 OK', [('Location', '/again')])\n    return []\n";

in_both_modes! {
    fn a_location_that_is_a_url_or_another_status_is_the_clients(mode) {
        let server = Server::builder(mode).app("/", "moved").start();
        for (target, status, location) in [
            ("/?302+Found;/page.txt", 302, "/page.txt"),
            ("/?201+Created;/page.txt", 201, "/page.txt"),
            ("/?200+OK;http://localhost/x", 200, "http://localhost/x"),
            ("/?200+OK;relative", 200, "relative"),
        ] {
            let response = server.get(target);
            assert_eq!(response.status(), status, "{target}");
            assert_eq!(response.header("Location"), Some(location), "{target}");
            assert_eq!(response.text(), "moved", "{target}");
        }
    }
}

#[test]
fn an_embedded_application_redirects_nobody() {
    let server = start(Mode::Embedded);
    let response = server.get("/app?/page.txt");
    assert_eq!(response.header("Location"), Some("/page.txt"));
    assert_eq!(response.text(), "unused");
}

#[test]
fn headers_of_the_first_response_are_dropped_but_for_its_challenges() {
    let server = Server::builder(Mode::Daemon)
        .app("/", "said")
        .directive("Alias /page.txt @ROOT@/htdocs/page.txt")
        .file("htdocs/page.txt", "from the document root")
        .start();
    let text = "/?('200%20OK',[('Location','/page.txt'),('Set-Cookie','a=1'),('X-Own','b')],[])";
    let response = server.get(text);
    assert_eq!(response.text(), "from the document root");
    assert_eq!(response.header("X-Own"), None);
    assert_eq!(response.header("Set-Cookie"), None);
}

#[test]
fn a_failure_behind_a_local_location_is_an_error_of_the_application() {
    if only_ours("the other path has answered by then") {
        return;
    }
    let mut server = Server::builder(Mode::Daemon)
        .app("/", "moved_fails")
        .start();
    server.expect_traceback("LookupError: lost on the way");
    assert_eq!(server.get("/").status(), 500);
}
