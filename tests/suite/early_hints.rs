//! 103 Early Hints (RFC 8297) from `wsgi.early_hints`, which is our own addition.

use wsgi_tests::apache::only_ours;
use wsgi_tests::{Request, Server, curl};

use crate::support::serving;

in_both_modes! {
    fn hints_come_before_the_response_and_do_not_mix_with_it(mode) {
        if only_ours("mod_wsgi has no early hints") {
            return;
        }
        let server = serving(mode, "hints").start();
        let mut connection = server.connect();
        for (target, count) in [("/", 1), ("/?twice", 2)] {
            connection.write(&Request::get(target).head()).expect("sent");
            for index in 0..count {
                let hint = connection.one_head(false).expect("an interim response");
                assert_eq!((hint.status, hint.reason.as_str()), (103, "Early Hints"));
                let link = ["</style.css>; rel=preload", "</script.js>; rel=preload"][index];
                assert_eq!(hint.all("Link"), [link]);
                assert_eq!(hint.header("X-Final"), None);
            }
            let response = connection.response(false).expect("an answer");
            assert_eq!((response.status(), response.text().as_str()), (200, "hinted"));
            assert_eq!(response.header("Link"), None);
            assert_eq!(response.header("X-Final"), Some("yes"));
        }
    }

    fn hints_reach_a_client_before_the_application_goes_on(mode) {
        if only_ours("mod_wsgi has no early hints") {
            return;
        }
        let app = "import os, time\n\
            def application(environ, start_response):\n    \
            environ['wsgi.early_hints']([('Link', '</a>; rel=preload')])\n    \
            gate = os.path.join(environ['TEST_STATE'], 'gate')\n    \
            end = time.monotonic() + 20\n    \
            while not os.path.exists(gate) and time.monotonic() < end: time.sleep(0.005)\n    \
            start_response('200 OK', [])\n    return [b'after']\n";
        let server = Server::builder(mode).file("apps/gate/app.wsgi", app).app("/", "gate").start();
        let mut connection = server.connect();
        connection.write(&Request::get("/").head()).expect("sent");
        assert_eq!(connection.one_head(false).expect("an interim response").status, 103);
        std::fs::write(server.state("gate"), "").expect("the directory is ours");
        assert_eq!(connection.response(false).expect("an answer").text(), "after");
    }

    fn hints_that_are_wrong_or_late_are_refused(mode) {
        if only_ours("mod_wsgi has no early hints") {
            return;
        }
        let server = serving(mode, "hints").start();
        let mut connection = server.connect();
        let late = connection.roundtrip(&Request::get("/?late")).expect("an answer");
        assert_eq!(late.text(), "first;too late");
        assert_eq!(late.head.interim, [0; 0]);
        let wrong = connection.roundtrip(&Request::get("/?wrong")).expect("an answer");
        assert_eq!((wrong.text().as_str(), wrong.head.interim.len()), ("refused", 0));
    }

    fn a_client_of_http_1_0_gets_no_interim_response(mode) {
        if only_ours("mod_wsgi has no early hints") {
            return;
        }
        let server = serving(mode, "hints").start();
        let mut connection = server.connect();
        connection.write(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n").expect("sent");
        let response = connection.response(false).expect("an answer");
        assert_eq!(response.head.interim, [0; 0]);
        assert_eq!(response.text(), "hinted");
    }

    fn http_2_gets_hints_where_it_is_allowed(mode) {
        if only_ours("mod_wsgi has no early hints") {
            return;
        }
        let server = serving(mode, "hints")
            .modules(&["http2"])
            .directive("Protocols h2c http/1.1\nH2EarlyHints on")
            .start();
        let url = format!("http://127.0.0.1:{}/", server.address().port());
        let dump = server.state("headers").display().to_string();
        let options = ["--http2-prior-knowledge", "--dump-header", &dump];
        let answer = curl::fetch(&url, &options);
        assert_eq!((answer.version.as_str(), answer.status), ("2", 200));
        assert_eq!(answer.body, b"hinted");
        let headers = std::fs::read_to_string(&dump).expect("written by curl").to_lowercase();
        assert!(headers.starts_with("http/2 103"), "{headers}");
        let (interim, last) = headers.split_once("http/2 200").expect("a final head");
        assert!(interim.contains("link: </style.css>; rel=preload"), "{headers}");
        assert!(!last.contains("link:") && last.contains("x-final"), "{headers}");
    }
}
