//! Unit tests of the rendered files: what the options become in Apache's words.

use std::path::PathBuf;

use clap::Parser;

use crate::options::{Action, Command, ServerOptions};
use crate::quote::QuoteError;
use crate::render;
use crate::server::{Certificate, Identity, Log, Server};

fn options(words: &[&str]) -> ServerOptions {
    let command = ["wsgi-express", "start-server"];
    let parsed = Command::try_parse_from(command.iter().chain(words)).expect("options parse");
    match parsed.action {
        Action::StartServer(options) => *options,
        other => panic!("{other:?}"),
    }
}

fn server() -> Server {
    Server {
        httpd: "/usr/sbin/apache2".into(),
        modules: "/usr/lib/apache2/modules".into(),
        wsgi_module: "/stage/mod_wsgi_rs.so".into(),
        root: "/tmp/root".into(),
        identity: None,
        script: "/srv/my app/app.wsgi".into(),
        working_directory: "/srv/my app".into(),
        python_home: None,
        url_aliases: Vec::new(),
        handlers: Vec::new(),
        services: Vec::new(),
        mime_types: "/etc/mime.types".into(),
        certificate: None,
        envvars: "/tmp/root/envvars".into(),
        startup_log: None,
        error_log: Log::File("/dev/stderr".into()),
        access_log: None,
    }
}

fn conf(words: &[&str], server: &Server) -> String {
    render::httpd_conf(&options(words), server).expect("rendered")
}

fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

#[test]
fn every_placeholder_is_filled() {
    let text = conf(&["app.wsgi"], &server());
    assert!(!text.contains('@'), "{text}");
    let control = render::apachectl(&options(&[]), &server()).expect("rendered");
    assert!(!control.replace("$@", "").contains('@'), "{control}");
}

#[test]
fn an_application_runs_in_a_daemon_of_its_own() {
    let text = conf(
        &["app.wsgi", "--processes=2", "--host=127.0.0.1"],
        &server(),
    );
    assert_has(
        &text,
        &[
            "Listen \"127.0.0.1:8000\"\n",
            "WSGIDaemonProcess \"127.0.0.1:8000\" \\\n    processes=2 \\\n    threads=5",
            "home=\"/srv/my app\"",
            "WSGIRestrictEmbedded On",
            "WSGIScriptAlias \"/\" \"/srv/my app/app.wsgi\" \\\n    \
             process-group=\"127.0.0.1:8000\" application-group=\"%{GLOBAL}\" \
             callable-object=\"application\"",
        ],
    );
}

#[test]
fn embedded_mode_has_no_daemon_and_apaches_threads_are_the_applications() {
    let words = [
        "app.wsgi",
        "--embedded-mode",
        "--processes=2",
        "--threads=7",
    ];
    let mut server = server();
    server.python_home = Some("/srv/venv".into());
    let text = conf(&words, &server);
    assert!(!text.contains("WSGIDaemonProcess"), "{text}");
    assert_has(
        &text,
        &[
            "WSGIPythonHome \"/srv/venv\"",
            "WSGIPythonPath \"/srv/my app\"",
            "process-group=\"%{GLOBAL}\"",
            "StartServers 2\n",
            "ThreadsPerChild 7\n",
            "MaxRequestWorkers 14\n",
        ],
    );
}

#[test]
fn apache_takes_more_requests_than_the_daemons_run_at_once() {
    assert_has(&conf(&["a"], &server()), &["MaxRequestWorkers 20\n"]);
    let large = conf(&["a", "--processes=4", "--threads=20"], &server());
    assert_has(
        &large,
        &[
            "StartServers 3\n",
            "ThreadsPerChild 44\n",
            "MaxRequestWorkers 132\n",
        ],
    );
    let prefork = conf(&["a", "--mpm=prefork", "--max-clients=9"], &server());
    assert_has(&prefork, &["MaxRequestWorkers 9\n", "mod_mpm_prefork.so"]);
}

#[test]
fn only_a_server_of_root_names_an_identity() {
    let mut server = server();
    assert!(!conf(&["a"], &server).contains("\nUser "));
    server.identity = Some(Identity {
        user: "www-data".into(),
        group: "#33".into(),
    });
    assert_has(
        &conf(&["a"], &server),
        &["User \"www-data\"\nGroup \"#33\"\n"],
    );
}

#[test]
fn logs_go_where_the_server_says() {
    let mut server = server();
    assert_has(
        &conf(&["a"], &server),
        &["ErrorLog \"/dev/stderr\"\nLogLevel warn\n"],
    );
    server.error_log = Log::Piped;
    server.access_log = Some(Log::File("/var/log/x/access_log".into()));
    let text = conf(&["a", "--log-level=trace1"], &server);
    assert_has(
        &text,
        &[
            "ErrorLog \"|$/bin/cat 1>&2\"",
            "LogLevel trace1",
            "CustomLog \"/var/log/x/access_log\" ",
        ],
    );
}

#[test]
fn a_log_that_rotates_keeps_its_name_as_a_link() {
    let mut server = server();
    server.error_log = Log::Rotated {
        program: "/usr/bin/rotatelogs".into(),
        file: "/srv/the logs/errors".into(),
        megabytes: 5,
    };
    let line =
        "ErrorLog \"|'/usr/bin/rotatelogs' -L '/srv/the logs/errors' '/srv/the logs/errors' 5M\"";
    assert_has(&conf(&["a"], &server), &[line]);
}

#[test]
fn limits_of_reading_a_request_are_apaches() {
    let usual = "RequestReadTimeout header=15-30,MinRate=500 body=0\n";
    assert_has(&conf(&["a"], &server()), &[usual]);
    let words = [
        "a",
        "--header-timeout=0",
        "--body-timeout=20",
        "--body-max-timeout=60",
    ];
    let given = "RequestReadTimeout header=0 body=20-60,MinRate=500\n";
    assert_has(&conf(&words, &server()), &[given]);
    assert_has(
        &conf(&["a", "--keep-alive-timeout=0"], &server()),
        &["KeepAlive Off\n"],
    );
}

#[test]
fn parts_of_apaches_workers_are_idle() {
    let words = [
        "a",
        "--max-clients=100",
        "--initial-workers=0.5",
        "--minimum-spare-workers=0.2",
        "--maximum-spare-workers=0.4",
    ];
    assert_has(
        &conf(&words, &server()),
        &[
            "StartServers 1\n",
            "MinSpareThreads 20\n",
            "MaxSpareThreads 90\n",
        ],
    );
}

#[test]
fn clients_prove_who_they_are_everywhere_or_below_some_urls() {
    let mut server = server();
    let tls = [
        "a",
        "--https-port=8443",
        "--ssl-certificate=/c/x",
        "--ssl-ca-certificate-file=/c/ca",
    ];
    server.certificate = Some(Certificate {
        file: "/c/x.crt".into(),
        key: "/c/x.key".into(),
    });
    let everywhere = conf(&tls, &server);
    assert_has(
        &everywhere,
        &[
            "Listen 8443 https\n",
            "SSLCertificateKeyFile \"/c/x.key\"\n",
            "SSLCACertificateFile \"/c/ca\"\nSSLVerifyClient require\n",
        ],
    );
    let some = [&tls[..], &["--ssl-verify-client=/admin"]].concat();
    let some = conf(&some, &server);
    assert_has(
        &some,
        &["<Location \"/admin\">\n    SSLVerifyClient require\n"],
    );
    assert_eq!(some.matches("SSLVerifyClient").count(), 1, "{some}");
}

#[test]
fn tls_alone_leaves_plain_http_out() {
    let mut server = server();
    server.certificate = Some(Certificate {
        file: "/c/x.crt".into(),
        key: "/c/x.key".into(),
    });
    let text = conf(
        &["a", "--https-port=8000", "--ssl-certificate=/c/x"],
        &server,
    );
    assert_has(&text, &["Listen 8000 https\n"]);
    assert_eq!(text.matches("Listen ").count(), 1, "{text}");
}

#[test]
fn a_paste_configuration_and_no_application_at_all() {
    let script = render::script(&options(&["/srv/\"site\".ini", "--application-type=paste"]).app);
    let script = script.expect("rendered").expect("a script");
    assert_has(&script, &[r#"loadapp("config:" + "/srv/\"site\".ini")"#]);
    let words = ["--application-type=static", "--document-root=/srv/htdocs"];
    assert_eq!(render::script(&options(&words).app), Ok(None));
    let text = conf(&words, &server());
    assert!(
        !text.contains("WSGIScriptAlias") && !text.contains("WSGIDaemonProcess"),
        "{text}"
    );
}

#[test]
fn what_mod_rewrite_would_read_as_its_own_is_refused() {
    let redirected = options(&["a", "--server-name=www.a b"]);
    let refused = render::httpd_conf(&redirected, &server());
    assert!(
        matches!(refused, Err(QuoteError::NotAWord { .. })),
        "{refused:?}"
    );
}

#[test]
fn static_content_comes_before_the_application() {
    let mut server = server();
    server.url_aliases = vec![("/static".into(), "/srv/static".into())];
    let words = [
        "a",
        "--document-root=/srv/htdocs",
        "--include-file=/srv/more.conf",
    ];
    assert_has(
        &conf(&words, &server),
        &[
            "DocumentRoot \"/srv/htdocs\"",
            "RewriteRule ^(/.*)$ %{DOCUMENT_ROOT}$1 [L]",
            "Alias \"/static\" \"/srv/static\"\n<Directory \"/srv/static\">",
            "Include \"/srv/more.conf\"",
        ],
    );
}

#[test]
fn modules_are_watched_on_request() {
    assert_has(&conf(&[], &server()), &["WSGIModuleReloading Off"]);
    let watched = conf(&["--reload-on-changes"], &server());
    assert_has(&watched, &["WSGIModuleReloading On"]);
}

#[test]
fn what_would_become_a_directive_is_refused() {
    let mut server = server();
    server.script = PathBuf::from("/srv/a\nUser root/app.wsgi");
    let refused = render::httpd_conf(&options(&["a"]), &server);
    assert!(matches!(refused, Err(QuoteError::Unquotable { .. })));
    let refused = render::httpd_conf(&options(&["a", "--server-name=${X}"]), &self::server());
    assert!(matches!(refused, Err(QuoteError::Unquotable { .. })));
}

#[test]
fn quotes_and_backslashes_are_escaped() {
    let mut server = server();
    server.script = PathBuf::from(r#"/srv/a"b\c/app.wsgi"#);
    assert_has(&conf(&["a"], &server), &[r#""/srv/a\"b\\c/app.wsgi""#]);
}

#[test]
fn a_search_path_with_a_colon_is_refused() {
    let refused = render::httpd_conf(&options(&["a", "--python-path=/srv/a:b"]), &server());
    assert!(matches!(refused, Err(QuoteError::Separator { .. })));
}

#[test]
fn a_module_is_loaded_by_a_script_that_is_written_for_it() {
    let module = [
        "shop.wsgi",
        "--application-type=module",
        "--callable-object=site.app",
    ];
    let script = render::script(&options(&module).app)
        .expect("rendered")
        .expect("a script");
    assert_has(
        &script,
        &["import_module(\"shop.wsgi\")", "\"site.app\".split"],
    );
    let conf = conf(&module, &server());
    assert_has(&conf, &["callable-object=\"application\""]);
    let hostile = options(&["x\")\nimport os #", "--application-type=module"]);
    assert!(matches!(
        render::script(&hostile.app),
        Err(QuoteError::NotAName { .. })
    ));
}

#[test]
fn without_an_application_a_page_is_served() {
    let script = render::script(&options(&[]).app)
        .expect("rendered")
        .expect("a script");
    assert_has(&script, &["def application(environ, start_response)"]);
    assert_eq!(render::script(&options(&["app.wsgi"]).app), Ok(None));
}

#[test]
fn the_module_is_loaded_with_the_active_virtual_environment() {
    let (module, venv) = (
        PathBuf::from("/m/mod_wsgi_rs.so"),
        PathBuf::from("/srv/venv"),
    );
    assert_eq!(
        render::module_config(&module, Some(&venv)).as_deref(),
        Ok("LoadModule wsgi_module \"/m/mod_wsgi_rs.so\"\nWSGIPythonHome \"/srv/venv\"\n")
    );
}
