//! HTTP/1.1, HTTP/2 and TLS give the same answers.

use wsgi_tests::{Server, curl, server};

use crate::support::{certificate, environ_of};

/// A server with plain text and TLS ports, and HTTP/2 on both.
fn start(mode: wsgi_tests::Mode) -> (Server, u16) {
    let tls_port = server::free_port().expect("a free port");
    let certificate = certificate();
    let server = Server::builder(mode)
        .modules(&["socache_shmcb", "ssl", "http2"])
        .file("tls.pem", &certificate)
        .app("/hello", "hello")
        .app("/echo", "echo")
        .app("/gibberish", "headers")
        .app("/", "environ")
        .directive(&format!(
            "Protocols h2 h2c http/1.1\nListen 127.0.0.1:{tls_port}\nSSLSessionCache shmcb:@ROOT@/run/tls\n\
             <VirtualHost *:{tls_port}>\nServerName localhost\nSSLEngine On\n\
             SSLCertificateFile @ROOT@/tls.pem\nSSLOptions +StdEnvVars\n</VirtualHost>"
        ))
        .start();
    (server, tls_port)
}

in_both_modes! {
    fn every_protocol_gives_the_same_answers(mode) {
        let (server, tls_port) = start(mode);
        let plain = format!("http://127.0.0.1:{}", server.address().port());
        let tls = format!("https://127.0.0.1:{tls_port}");
        let body = "x".repeat(300_000);
        std::fs::write(server.state("body"), &body).expect("the directory is ours");
        let data = format!("@{}", server.state("body").display());
        for (base, option, version) in [
            (&plain, "--http1.1", "1.1"),
            (&plain, "--http2-prior-knowledge", "2"),
            (&tls, "--http1.1", "1.1"),
            (&tls, "--http2", "2"),
        ] {
            let hello = curl::fetch(&format!("{base}/hello"), &[option]);
            assert_eq!((hello.version.as_str(), hello.status), (version, 200), "{base} {option}");
            assert_eq!(hello.body, b"Hello World!", "{base} {option}");
            let echo = curl::fetch(&format!("{base}/echo"), &[option, "--data-binary", &data]);
            assert!(echo.body == body.as_bytes(), "{base} {option}: {} bytes", echo.body.len());
            let odd = curl::fetch(&format!("{base}/gibberish"), &[option]);
            assert_eq!((odd.status, odd.body.as_slice()), (200, &b"body"[..]), "{base} {option}");
        }
    }

    fn the_environ_tells_the_protocol_and_the_scheme(mode) {
        let (server, tls_port) = start(mode);
        let plain = format!("http://127.0.0.1:{}/", server.address().port());
        let tls = format!("https://127.0.0.1:{tls_port}/");
        let ask = |url: &str, option: &str| {
            let answer = curl::fetch(url, &[option]);
            environ_of(&String::from_utf8_lossy(&answer.body))
        };
        let environ = ask(&plain, "--http2-prior-knowledge");
        assert_eq!(environ["SERVER_PROTOCOL"].1, "'HTTP/2.0'");
        assert_eq!(environ["wsgi.url_scheme"].1, "'http'");
        assert!(!environ.contains_key("HTTPS"));
        for option in ["--http1.1", "--http2"] {
            let environ = ask(&tls, option);
            assert_eq!(environ["wsgi.url_scheme"].1, "'https'", "{option}");
            assert_eq!(environ["REQUEST_SCHEME"].1, "'https'", "{option}");
            assert!(!environ.contains_key("HTTPS"), "{option}");
            assert!(environ.contains_key("SSL_PROTOCOL"), "{option}");
        }
    }
}
