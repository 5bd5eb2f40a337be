//! Flask and Django as their users run them.

use std::path::Path;
use std::process::Command;

use wsgi_tests::apache::{apache, only_ours};
use wsgi_tests::python::{self, Packages};
use wsgi_tests::{Builder, Connection, Mode, Mpm, Request, Response, Server, curl};

/// A server with the application at `/`, on a Python that has the packages.
fn serving_with(mode: Mode, mpm: Mpm, packages: Packages, app: &str) -> Builder {
    // The C module knows one Python: Debian's, for which it was built.
    let venv = python::venv(&python::debian(), packages);
    let venv = venv.display();
    let builder = Server::builder(mode).mpm(mpm).app("/", app);
    match mode {
        Mode::Embedded => builder.directive(&format!("WSGIPythonHome {venv}")),
        Mode::Daemon => builder.daemon(&format!("processes=2 threads=4 python-home={venv}")),
    }
}

#[track_caller]
fn ask(connection: &mut Connection, request: &Request) -> Response {
    connection.roundtrip(request).expect("an answer")
}

fn form(path: &str, fields: &str) -> Request {
    Request::post(path, fields).header("Content-Type", "application/x-www-form-urlencoded")
}

fn upload(path: &str, fields: &[(&str, &str)], content: &str) -> Request {
    let mut body = String::new();
    for (name, value) in fields {
        body.push_str(&format!(
            "--BOUNDARY\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        ));
    }
    body.push_str(&format!(
        "--BOUNDARY\r\nContent-Disposition: form-data; name=\"file\"; filename=\"note.txt\"\r\n\
         Content-Type: text/plain\r\n\r\n{content}\r\n--BOUNDARY--\r\n"
    ));
    Request::post(path, body).header("Content-Type", "multipart/form-data; boundary=BOUNDARY")
}

fn flask_works(mode: Mode, mpm: Mpm) {
    let server = serving_with(mode, mpm, python::FLASK, "flask_site").start();
    let mut connection = server.connect();
    assert_eq!(ask(&mut connection, &Request::get("/")).text(), "Flask at ");
    let greeted = ask(&mut connection, &form("/form", "name=Eric+Idle"));
    assert_eq!(greeted.text(), "Hello Eric Idle");
    let content = "line\n".repeat(50_000);
    let uploaded = ask(&mut connection, &upload("/upload", &[], &content));
    assert_eq!(uploaded.text(), "note.txt 250000");
    assert_eq!(
        ask(&mut connection, &Request::get("/stream")).text(),
        "0,1,2,3,4,"
    );
    assert_eq!(ask(&mut connection, &Request::get("/teapot")).status(), 418);
    assert_eq!(ask(&mut connection, &Request::get("/absent")).status(), 404);
    let first = ask(&mut connection, &Request::get("/visits"));
    let cookie = first
        .header("Set-Cookie")
        .and_then(|value| value.split(';').next());
    let second = Request::get("/visits").header("Cookie", cookie.expect("a session"));
    assert_eq!(ask(&mut connection, &second).text(), "2");
}

#[test]
fn flask_works_embedded_under_event() {
    flask_works(Mode::Embedded, Mpm::Event);
}

#[test]
fn flask_works_embedded_under_prefork() {
    flask_works(Mode::Embedded, Mpm::Prefork);
}

#[test]
fn flask_works_in_a_daemon_under_event() {
    flask_works(Mode::Daemon, Mpm::Event);
}

#[test]
fn flask_works_in_a_daemon_under_prefork() {
    flask_works(Mode::Daemon, Mpm::Prefork);
}

/// Runs a management command of the project as the user the application runs as.
fn manage(server: &Server, arguments: &[&str]) {
    let venv = python::venv(&python::debian(), python::DJANGO);
    let python = venv.join("bin/python");
    let mut command = if apache().as_root {
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid=www-data",
            "--regid=www-data",
            "--clear-groups",
            "--",
        ]);
        command.arg(python);
        command
    } else {
        Command::new(python)
    };
    let output = command
        .args(["-m", "django"])
        .args(arguments)
        .current_dir("/")
        .env("PYTHONPATH", server.app("django_site"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("DJANGO_SETTINGS_MODULE", "site_settings")
        .env("SITE_STATE", server.state(""))
        .env("DJANGO_SUPERUSER_PASSWORD", "a long password")
        .output()
        .expect("the venv has a Python");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
}

/// The cookies of a browser: the newest value of each name.
#[derive(Default)]
struct Cookies(Vec<(String, String)>);

impl Cookies {
    fn take(&mut self, response: &Response) {
        for cookie in response.head.all("Set-Cookie") {
            let pair = cookie.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                self.0.retain(|(other, _)| other != name);
                self.0.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    fn header(&self) -> String {
        let pairs: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("; ")
    }
}

/// The hidden field that Django puts into its forms.
fn csrf_token(page: &str) -> String {
    let (_, rest) = page
        .split_once("name=\"csrfmiddlewaretoken\" value=\"")
        .expect("a form");
    rest.split('"').next().unwrap_or_default().to_owned()
}

fn django_works(mode: Mode, mpm: Mpm) {
    let mut server = serving_with(mode, mpm, python::DJANGO, "django_site").start();
    // Django logs what it refuses.
    server.allow_log("Forbidden");
    server.allow_log("Not Found");
    assert!(Path::new(&server.app("django_site/site_settings.py")).exists());
    manage(&server, &["migrate", "--verbosity=0"]);
    manage(
        &server,
        &[
            "createsuperuser",
            "--noinput",
            "--username=eric",
            "--email=e@localhost",
        ],
    );
    let mut connection = server.connect();
    let mut cookies = Cookies::default();

    let away = ask(&mut connection, &Request::get("/admin/"));
    assert_eq!(away.status(), 302);
    assert_eq!(away.header("Location"), Some("/admin/login/?next=/admin/"));
    let refused = ask(
        &mut connection,
        &form("/admin/login/", "username=eric&password=x"),
    );
    assert_eq!(refused.status(), 403, "without a CSRF token");

    let page = ask(&mut connection, &Request::get("/admin/login/"));
    cookies.take(&page);
    let fields = format!(
        "csrfmiddlewaretoken={}&username=eric&password=a+long+password&next=/admin/",
        csrf_token(&page.text())
    );
    let login = form("/admin/login/", &fields).header("Cookie", &cookies.header());
    let login = ask(&mut connection, &login);
    assert_eq!(
        (login.status(), login.header("Location")),
        (302, Some("/admin/"))
    );
    cookies.take(&login);
    let inside = Request::get("/admin/").header("Cookie", &cookies.header());
    let inside = ask(&mut connection, &inside);
    assert_eq!(inside.status(), 200);
    assert!(inside.text().contains("eric"));

    let page = Request::get("/upload/").header("Cookie", &cookies.header());
    let page = ask(&mut connection, &page);
    cookies.take(&page);
    let token = csrf_token(&page.text());
    let content = "some text\n".repeat(400_000);
    let sent = upload("/upload/", &[("csrfmiddlewaretoken", &token)], &content);
    let answer = ask(&mut connection, &sent.header("Cookie", &cookies.header()));
    assert!(
        answer.text().starts_with("note.txt 4000000 "),
        "{}",
        answer.text()
    );
}

#[test]
fn django_works_embedded_under_event() {
    django_works(Mode::Embedded, Mpm::Event);
}

#[test]
fn django_works_embedded_under_prefork() {
    django_works(Mode::Embedded, Mpm::Prefork);
}

#[test]
fn django_works_in_a_daemon_under_event() {
    django_works(Mode::Daemon, Mpm::Event);
}

#[test]
fn django_works_in_a_daemon_under_prefork() {
    django_works(Mode::Daemon, Mpm::Prefork);
}

#[test]
fn flask_works_on_every_python() {
    if only_ours("one Python is linked into it") {
        return;
    }
    for python in python::pythons() {
        let venv = python::venv(python, python::FLASK);
        let server = Server::builder(Mode::Daemon)
            .daemon(&format!("threads=2 python-home={}", venv.display()))
            .app("/", "flask_site")
            .start();
        assert_eq!(server.text("/"), "Flask at ", "{}", python.version);
    }
}

/// Django's documented way to let Apache ask its users, for a page that is not Django's.
fn django_knows_the_users_of_other_pages(mode: Mode) {
    let place = match mode {
        Mode::Embedded => "",
        Mode::Daemon => "process-group=app",
    };
    let mut server = serving_with(mode, Mpm::Event, python::DJANGO, "django_site")
        .modules(&["authn_core", "auth_basic", "authz_user"])
        .directive("Alias /page @ROOT@/htdocs/page\nAlias /staff @ROOT@/htdocs/page")
        .directive(&format!(
            "<LocationMatch ^/(page|staff)>\nAuthType Basic\nAuthName Django\n\
             AuthBasicProvider wsgi\n\
             WSGIAuthUserScript @APPS@/django_site/users.wsgi {place}\n\
             WSGIAuthGroupScript @APPS@/django_site/users.wsgi {place}\n</LocationMatch>\n\
             <Location /page>\nRequire valid-user\n</Location>\n\
             <Location /staff>\nRequire wsgi-group staff\n</Location>"
        ))
        .file("htdocs/page", "the page\n")
        .start();
    for text in ["auth_basic:error", "authz_core:error", "not a member"] {
        server.allow_log(text);
    }
    manage(&server, &["migrate", "--verbosity=0"]);
    let users = "from django.contrib.auth.models import Group, User; \
                 User.objects.create_user('eric', password='spam'); \
                 User.objects.create_user('terry', password='eggs')\
                 .groups.add(Group.objects.create(name='staff'))";
    manage(&server, &["shell", "--command", users]);
    let status = |path: &str, user: &str| {
        let url = format!("http://{}{path}", server.address());
        curl::fetch(&url, &["--user", user]).status
    };
    assert_eq!(server.get("/page").status(), 401);
    for (path, user, expected) in [
        ("/page", "eric:spam", 200),
        ("/page", "eric:eggs", 401),
        ("/page", "nobody:spam", 401),
        ("/staff", "terry:eggs", 200),
        ("/staff", "eric:spam", 401),
    ] {
        assert_eq!(status(path, user), expected, "{path} {user}");
    }
    assert_eq!(server.get("/admin/").status(), 302);
}

#[test]
fn django_knows_the_users_of_other_pages_embedded() {
    django_knows_the_users_of_other_pages(Mode::Embedded);
}

#[test]
fn django_knows_the_users_of_other_pages_in_a_daemon() {
    if only_ours("there functions run in Apache's own processes only") {
        return;
    }
    django_knows_the_users_of_other_pages(Mode::Daemon);
}
