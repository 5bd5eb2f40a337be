//! `wsgi-express`: a server from one command.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use wsgi_tests::apache::only_ours;
use wsgi_tests::{Request, curl, process, server, wait};

use crate::support::express::{Site, express};

const WHY: &str = "it is a command of our own";

#[test]
fn one_command_serves_an_application_and_its_end_leaves_nothing() {
    if only_ours(WHY) {
        return;
    }
    let site = Site::new();
    let mut command = express();
    command.args(["start-server", "--host", "127.0.0.1", "--port"]);
    command.arg(site.port.to_string());
    command
        .arg("--server-root")
        .arg(site.root())
        .arg(site.path("app.wsgi"));
    let mut running = command.spawn().expect("it is staged");
    let address = site.address();
    wait::until_true("it listens", || server::listens(address));
    assert_eq!(site.text("/"), "Hello World!");
    process::send(running.id(), libc::SIGTERM);
    wait::until("it ends", || running.try_wait().ok().flatten());
    let root = site.root();
    wait::until_true("no process is left", || {
        process::of_server(0, &root).is_empty()
    });
}

#[test]
fn module_config_names_the_staged_module() {
    if only_ours(WHY) {
        return;
    }
    let output = express()
        .arg("module-config")
        .output()
        .expect("it is staged");
    let text = String::from_utf8_lossy(&output.stdout);
    let module = wsgi_tests::apache::module();
    assert!(text.contains("LoadModule wsgi_module"), "{text}");
    assert!(text.contains(&*module.to_string_lossy()), "{text}");
}

#[test]
fn apachectl_controls_the_server_with_the_environment_of_envvars() {
    if only_ours(WHY) {
        return;
    }
    let site = Site::new();
    fs::create_dir(site.root()).expect("a server root");
    site.file("root/envvars", "export SHOP_NAME=envvars\n");
    site.file("app.wsgi", include_str!("../apps/environ/app.wsgi"));
    site.start(&[
        "--passenv",
        "SHOP_NAME",
        "--setenv",
        "SHOP_PLACE",
        "a \"place\"",
    ]);
    assert!(site.control(&["configtest"]).contains("Syntax OK"));
    let environ = site.text("/");
    assert!(environ.contains("SHOP_NAME\tstr\t'envvars'"), "{environ}");
    assert!(
        environ.contains("SHOP_PLACE\tstr\t'a \"place\"'"),
        "{environ}"
    );
    site.control(&["graceful"]);
    wait::until_true("the next configuration runs", || {
        site.log().matches("resuming normal operations").count() == 2
    });
    site.text("/");
    site.control(&["stop"]);
    let root = site.root();
    wait::until_true("no process is left", || {
        process::of_server(0, &root).is_empty()
    });
    let unknown = Command::new(site.root().join("apachectl"))
        .arg("dance")
        .output()
        .expect("apachectl can be run");
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("usage:"));
}

#[test]
fn an_application_may_be_a_module() {
    if only_ours(WHY) {
        return;
    }
    let site = Site::new();
    site.file("code/shop.py", include_str!("../apps/hello/app.wsgi"));
    let directory = format!("--working-directory={}", site.path("code").display());
    let module = ["shop", "--application-type=module", &directory];
    site.run(&site.set_up_for(&module));
    assert_eq!(site.text("/"), "Hello World!");
}

#[test]
fn without_an_application_files_are_served_and_no_daemon_runs() {
    if only_ours(WHY) {
        return;
    }
    let site = Site::new();
    site.file("htdocs/page.txt", "a page");
    let documents = format!("--document-root={}", site.path("htdocs").display());
    site.run(&site.set_up_for(&["--application-type=static", &documents]));
    assert_eq!(site.text("/page.txt"), "a page");
    assert_eq!(site.get("/nothing").status(), 404);
    let running = process::of_server(0, &site.root());
    assert!(!running.is_empty());
    assert!(
        !running.iter().any(process::Process::is_python),
        "{running:?}"
    );
}

#[test]
fn a_service_runs_beside_the_application() {
    if only_ours(WHY) {
        return;
    }
    let site = Site::new();
    let script = site.file(
        "tasks.py",
        "import sys\nimport time\n\nprint('the tasks have begun', file=sys.stderr)\nwhile True:\n    \
         time.sleep(600)\n",
    );
    let options = ["--service-script", "tasks", &script];
    site.start(&options);
    assert_eq!(site.text("/"), "Hello World!");
    wait::until_true("it runs", || site.log().contains("the tasks have begun"));
    let other = site.set_up(&[&options[..], &["--service-user", "other", "nobody"]].concat());
    let said = String::from_utf8_lossy(&other.stderr);
    assert!(
        said.contains("--service-user other: there is no --service-script"),
        "{said}"
    );
}

#[test]
fn included_files_map_urls_before_the_application() {
    if only_ours(WHY) {
        return;
    }
    let site = Site::new();
    let environ = site.file("environ.wsgi", include_str!("../apps/environ/app.wsgi"));
    let group = format!("127.0.0.1:{}", site.port);
    let include = site.file(
        "more.conf",
        &format!(
            "<IfModule !auth_basic_module>\n    LoadModule auth_basic_module \
             ${{MOD_WSGI_MODULES_DIRECTORY}}/mod_auth_basic.so\n</IfModule>\nWSGIScriptAlias \
             /environ {environ} process-group={group} application-group=%{{GLOBAL}}\n\
             <Directory {}>\n    Require all granted\n</Directory>\n",
            site.directory.display()
        ),
    );
    site.start(&["--include-file", &include, "--log-level", "info"]);
    assert_eq!(site.text("/"), "Hello World!");
    let text = site.text("/environ");
    assert!(
        text.contains(&format!("mod_wsgi.process_group\tstr\t'{group}'")),
        "{text}"
    );
    let loaded = format!("Loading WSGI script '{environ}'");
    assert!(site.log().contains(&loaded), "{}", site.log());
}

#[test]
fn tls_has_a_port_and_its_variables() {
    if only_ours(WHY) {
        return;
    }
    let site = Site::new();
    site.file("app.wsgi", include_str!("../apps/environ/app.wsgi"));
    let tls = site.tls();
    let policy = "max-age=60%";
    let mut options: Vec<&str> = tls.iter().map(String::as_str).collect();
    options.extend(["--ssl-environment", "--hsts-policy", policy]);
    site.start(&options);
    let answer = site.secure("localhost", "/", &["--include"]);
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.contains("wsgi.url_scheme\tstr\t'https'"), "{text}");
    assert!(text.contains("SSL_PROTOCOL\tstr\t"), "{text}");
    assert!(
        text.contains(&format!("Strict-Transport-Security: {policy}\r\n")),
        "{text}"
    );
    assert!(
        text.contains(&format!("SERVER_PORT\tstr\t'{}'", site.https_port)),
        "{text}"
    );
    let plain = site.text("/");
    assert!(plain.contains("wsgi.url_scheme\tstr\t'http'"), "{plain}");
    assert!(!plain.contains("SSL_PROTOCOL"), "{plain}");
}

#[test]
fn https_only_sends_plain_requests_to_tls() {
    if only_ours(WHY) {
        return;
    }
    let site = Site::new();
    let tls = site.tls();
    let documents = site.path("htdocs");
    site.file("htdocs/page.txt", "a page");
    let documents = format!("--document-root={}", documents.display());
    let mut options: Vec<&str> = tls.iter().map(String::as_str).collect();
    options.extend(["--https-only", &documents]);
    site.start(&options);
    for target in ["/page.txt", "/a/b?c=d"] {
        let response = site.get(target);
        assert_eq!(response.status(), 301, "{target}");
        let url = format!("https://localhost:{}{target}", site.https_port);
        assert_eq!(response.header("Location"), Some(url.as_str()));
    }
    assert_eq!(site.secure("localhost", "/page.txt", &[]).body, b"a page");
    assert_eq!(site.secure("localhost", "/x", &[]).body, b"Hello World!");
}

#[test]
fn a_server_with_a_name_serves_only_its_names() {
    if only_ours(WHY) {
        return;
    }
    let site = Site::new();
    let tls = site.tls();
    let mut options: Vec<&str> = tls.iter().map(String::as_str).collect();
    options.extend([
        "--server-name=www.shop.example",
        "--server-alias=*.shops.example",
        "--allow-localhost",
    ]);
    site.start(&options);
    let status = |host: &str| site.ask(host, &Request::get("/a?b")).status();
    for host in ["www.shop.example", "one.shops.example", "localhost"] {
        assert_eq!(status(host), 200, "{host}");
        assert_eq!(site.secure(host, "/", &[]).status, 200, "{host}");
    }
    for host in ["other.example", "unnamed.invalid", "example"] {
        assert_eq!(status(host), 403, "{host}");
        assert_eq!(site.secure(host, "/", &[]).status, 403, "{host}");
    }
    let bare = site.ask("shop.example", &Request::get("/a?b"));
    let url = format!("http://www.shop.example:{}/a?b", site.port);
    assert_eq!(
        (bare.status(), bare.header("Location")),
        (301, Some(url.as_str()))
    );
}

#[test]
fn files_and_pages_come_before_the_application() {
    if only_ours(WHY) {
        return;
    }
    let site = Site::new();
    site.file("htdocs/page.txt", "a page");
    site.file("htdocs/sub/index.html", "an index");
    site.file("htdocs/missing.html", "no such thing");
    let alias = site.file("one.txt", "one file");
    let rules = site.file("rules.conf", "RewriteRule ^/old$ /page.txt [R=302,L]\n");
    let documents = site.path("htdocs").display().to_string();
    site.start(&[
        "--document-root",
        &documents,
        "--directory-index=index.html",
        "--mount-point=/app",
        "--url-alias",
        "/one",
        &alias,
        "--error-document",
        "404",
        "/missing.html",
        "--rewrite-rules",
        &rules,
        "--server-status",
        "--compress-responses",
    ]);
    assert_eq!(site.text("/page.txt"), "a page");
    assert_eq!(site.text("/sub/"), "an index");
    assert_eq!(site.text("/one"), "one file");
    assert_eq!(site.text("/app/x"), "Hello World!");
    let missing = site.get("/nothing");
    assert_eq!(
        (missing.status(), missing.text().as_str()),
        (404, "no such thing")
    );
    assert_eq!(site.get("/old").status(), 302);
    assert!(site.text("/server-status").contains("Server Status"));
}

#[test]
fn scripts_decide_who_may_come_in() {
    if only_ours(WHY) {
        return;
    }
    let site = Site::new();
    let users = site.file(
        "users.py",
        "def check_password(environ, user, password):\n    return password == 'secret' or None\n\n\n\
         def groups_for_user(environ, user):\n    return ['staff'] if user == 'ann' else []\n\n\n\
         def allow_access(environ, host):\n    return environ['REQUEST_METHOD'] != 'PUT'\n",
    );
    site.start(&[
        "--auth-user-script",
        &users,
        "--auth-group-script",
        &users,
        "--auth-group=staff",
        "--host-access-script",
        &users,
    ]);
    let as_user = |credentials: &str| {
        let basic = format!("Basic {credentials}");
        let request = Request::get("/").header("Authorization", &basic);
        site.ask("localhost", &request).status()
    };
    assert_eq!(site.get("/").status(), 401);
    // ann:secret, bob:secret, ann:wrong
    assert_eq!(as_user("YW5uOnNlY3JldA=="), 200);
    assert_eq!(as_user("Ym9iOnNlY3JldA=="), 401);
    assert_eq!(as_user("YW5uOndyb25n"), 401);
    assert_eq!(
        site.ask("localhost", &Request::new("PUT", "/")).status(),
        403
    );
}

#[test]
fn other_servers_are_reached_below_urls_and_by_name() {
    if only_ours(WHY) {
        return;
    }
    let (front, back) = (Site::new(), Site::new());
    back.file("app.wsgi", include_str!("../apps/environ/app.wsgi"));
    back.start(&[
        "--trust-proxy-header=X-Forwarded-For",
        "--trust-proxy=127.0.0.1",
    ]);
    let url = format!("http://127.0.0.1:{}", back.port);
    front.start(&[
        "--proxy-mount-point",
        "/back",
        &url,
        "--proxy-virtual-host",
        "back.example",
        &url,
    ]);
    assert_eq!(front.text("/"), "Hello World!");
    assert!(front.text("/back/x").contains("PATH_INFO\tstr\t'/x'"));
    let request = Request::get("/y").header("X-Forwarded-For", "203.0.113.9");
    let named = front.ask("back.example", &request).text();
    assert!(named.contains("PATH_INFO\tstr\t'/y'"), "{named}");
    assert!(named.contains("REMOTE_ADDR\tstr\t'203.0.113.9'"), "{named}");
}

#[test]
fn logs_have_names_formats_and_rotation() {
    if only_ours(WHY) {
        return;
    }
    let site = Site::new();
    let logs = site.path("logs");
    fs::create_dir(&logs).expect("a directory");
    let directory = format!("--log-directory={}", logs.display());
    site.start(&[
        &directory,
        "--error-log-name=errors",
        "--access-log",
        "--access-log-name=requests",
        "--access-log-format=<%m \"%U\">",
        "--startup-log",
        "--rotate-logs",
        "--max-log-size=1",
    ]);
    site.text("/logged");
    let read = |name: &str| fs::read_to_string(logs.join(name)).unwrap_or_default();
    wait::until_true("the request is logged", || {
        read("requests").contains("<GET \"/logged\">")
    });
    assert!(read("errors").contains("resuming normal operations"));
    assert!(logs.join("startup_log").exists());
}

#[test]
fn options_that_cannot_be_met_are_named() {
    if only_ours(WHY) {
        return;
    }
    let site = Site::new();
    let refusals: [(&[&str], &str); 7] = [
        (
            &["--https-port=8443"],
            "--https-port needs --ssl-certificate",
        ),
        (
            &["--https-port=8443", "--ssl-certificate=/no/such"],
            "the certificate /no/such.crt is not a file",
        ),
        (
            &["--include-file=/no/such"],
            "--include-file /no/such is not a file",
        ),
        (
            &["--auth-user-script=/no/such"],
            "--auth-user-script /no/such is not a file",
        ),
        (&["--user=no-such-account"], "no-such-account"),
        (
            &["--setenv", "A", "${B}"],
            "cannot stand in Apache's configuration",
        ),
        (
            &["--service-log-file", "a", "b"],
            "--service-log-file is not offered",
        ),
    ];
    for (options, expected) in refusals {
        let output = site.set_up(options);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{options:?}");
        assert!(said.contains(expected), "{options:?}: {said}");
        assert!(!site.root().join("httpd.conf").exists(), "{options:?}");
    }
    let none = express()
        .args(["setup-server", "/no/such.wsgi"])
        .output()
        .expect("staged");
    let said = String::from_utf8_lossy(&none.stderr);
    assert!(
        said.contains("the script /no/such.wsgi is not a file"),
        "{said}"
    );
    assert!(!Path::new("/no").exists());
}

#[test]
fn every_option_makes_a_configuration_that_apache_takes() {
    if only_ours(WHY) {
        return;
    }
    let site = Site::new();
    let script = site.file(
        "handler.py",
        "def handle_request(environ, start_response):\n    pass\n",
    );
    let types = site.file("mime.types", "text/plain txt\n");
    let documents = site.path("htdocs").display().to_string();
    site.file("htdocs/page.txt", "a page");
    let telemetry = format!("unix:{}", site.path("telemetry.sock").display());
    let pid_file = site.path("the.pid").display().to_string();
    let sockets = site.path("sockets").display().to_string();
    let of_the_application = [
        "--application-group=shop",
        "--process-group=shop",
        "--python-warnings=ignore",
        "--orphan-interpreter",
        "--free-threading",
        "--locale=C.UTF-8",
        "--chunked-request",
        "--map-head-to-get=On",
        "--enable-sendfile",
        "--disable-reloading",
        "--reload-on-changes",
        "--processes=2",
        "--threads=3",
        "--umask=027",
        "--daemon-backlog=50",
        "--python-eggs=/tmp",
        "--switch-interval=0.01",
        "--lang=C.UTF-8",
    ];
    let of_apache = [
        "--http2",
        "--server-backlog=20",
        "--initial-workers=0.5",
        "--limit-request-body=0",
        "--document-root",
        &documents,
        "--directory-listing",
        "--allow-override=AuthConfig",
        "--allow-override=FileInfo",
        "--with-cgi",
        "--add-handler",
        ".py",
        &script,
        "--error-override",
        "--ignore-activity=/idle",
        "--mime-types",
        &types,
        "--pid-file",
        &pid_file,
        "--socket-prefix",
        &sockets,
        "--access-log",
        "--access-log-format=common",
        "--error-log-format=%M",
    ];
    let observed = [
        "--server-metrics",
        "--telemetry-service",
        &telemetry,
        "--telemetry-interval=2",
        "--telemetry-options=+CaptureUserAgent",
        "--slow-requests=3",
        "--auth-user-script",
        &script,
        "--auth-type=digest",
        "--host-access-script",
        &script,
        "--proxy-timeout=5",
        "--proxy-mount-point",
        "/other",
        "http://127.0.0.1:1/",
    ];
    let embedded = ["--embedded-mode", "--server-metrics", "--python-path=/tmp"];
    let prefork = [
        "--server-mpm=prefork",
        "--with-cgi",
        "--document-root",
        &documents,
    ];
    let cases: [&[&str]; 5] = [
        &of_the_application,
        &of_apache,
        &observed,
        &embedded,
        &prefork,
    ];
    for options in cases {
        let output = site.set_up(options);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{options:?}: {said}");
        assert!(
            site.control(&["configtest"]).contains("Syntax OK"),
            "{options:?}"
        );
    }
}

#[test]
fn extensions_of_files_have_handlers_and_listings() {
    if only_ours(WHY) {
        return;
    }
    let site = Site::new();
    site.file("htdocs/page.shout", "a page");
    let cgi = site.file(
        "htdocs/run.cgi",
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nran'\n",
    );
    fs::set_permissions(&cgi, fs::Permissions::from_mode(0o755)).expect("our own file");
    let script = site.file(
        "shout.py",
        "def handle_request(environ, start_response):\n    with \
         open(environ['SCRIPT_FILENAME']) as page:\n        text = page.read().upper()\n    \
         start_response('200 OK', [('Content-Type', 'text/plain')])\n    return [text.encode()]\n",
    );
    let documents = site.path("htdocs").display().to_string();
    site.start(&[
        "--document-root",
        &documents,
        "--directory-listing",
        "--with-cgi",
        "--add-handler",
        ".shout",
        &script,
        "--mount-point=/app",
        "--http2",
    ]);
    assert_eq!(site.text("/page.shout"), "A PAGE");
    assert_eq!(site.text("/run.cgi"), "ran");
    assert!(site.text("/").contains("page.shout"));
    let url = format!("http://127.0.0.1:{}/app", site.port);
    let answer = curl::fetch(&url, &["--http2-prior-knowledge"]);
    assert_eq!(
        (answer.version.as_str(), answer.body.as_slice()),
        ("2", &b"Hello World!"[..])
    );
}
