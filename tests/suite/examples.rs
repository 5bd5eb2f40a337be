//! Every file of `httpd-conf/examples` starts as it is and answers.

use std::fs;
use std::path::{Path, PathBuf};

use wsgi_tests::apache::{apache, only_ours};
use wsgi_tests::python;
use wsgi_tests::{Builder, Mode, Request, Server, curl};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../httpd-conf/examples")
}

/// A server with the example, and the words it leaves to be defined.
fn with_example(name: &str, defines: &[(&str, &str)]) -> Builder {
    let read = |name: &str| fs::read_to_string(examples().join(name)).expect("an example");
    let mut text = String::new();
    for (word, value) in defines {
        text.push_str(&format!("Define {word} {value}\n"));
    }
    text.push_str(&read(name));
    Server::builder(Mode::Embedded)
        .file("srv/hello.wsgi", &read("hello.wsgi"))
        .directive("<Directory />\nRequire all denied\n</Directory>")
        .directive("Define WSGI_APP_DIR @ROOT@/srv")
        .directive(&text)
}

#[track_caller]
fn says_hello(server: &Server, path: &str) -> String {
    let text = server.text(path);
    assert!(text.starts_with("Hello from mod_wsgi_rs!"), "{text}");
    text
}

#[test]
fn every_example_has_a_test() {
    let mut names: Vec<String> = fs::read_dir(examples())
        .expect("the examples")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".conf"))
        .collect();
    names.sort();
    let tested = [
        "daemon.conf",
        "django.conf",
        "embedded.conf",
        "mass-hosting.conf",
        "users.conf",
        "venvs.conf",
        "vhosts.conf",
    ];
    assert_eq!(names, tested);
}

#[test]
fn the_embedded_example_answers() {
    let server = with_example("embedded.conf", &[]).start();
    let text = says_hello(&server, "/hello");
    assert!(text.contains("(embedded)"), "{text}");
}

#[test]
fn the_daemon_example_answers() {
    let server = with_example("daemon.conf", &[]).start();
    let text = says_hello(&server, "/hello");
    assert!(text.contains("process group:     hello"), "{text}");
}

#[test]
fn the_example_of_users_answers_those_it_knows() {
    if only_ours("its functions have no option process-group") {
        return;
    }
    let users = fs::read_to_string(examples().join("users.py")).expect("an example");
    let mut server = with_example("users.conf", &[])
        .modules(&["authn_core", "auth_basic", "authz_user"])
        .file("srv/users.py", &users)
        .start();
    server.allow_log("auth_basic:error");
    server.allow_log("authz_core:error");
    let status = |path: &str, user: &str| {
        let url = format!("http://{}{path}", server.address());
        curl::fetch(&url, &["--user", user]).status
    };
    assert_eq!(server.get("/hello").status(), 401);
    for (path, user, expected) in [
        ("/hello", "eric:spam", 200),
        ("/hello", "terry:eggs", 200),
        ("/hello", "terry:spam", 401),
        ("/hello", "nobody:spam", 401),
        ("/hello/staff", "eric:spam", 200),
        ("/hello/staff", "terry:eggs", 401),
    ] {
        assert_eq!(status(path, user), expected, "{path} {user}");
    }
}

#[test]
fn the_example_of_virtual_hosts_answers() {
    let server = with_example("vhosts.conf", &[]).start();
    for (host, group) in [
        ("one.example.com", "site-one"),
        ("two.example.com", "site-two"),
    ] {
        let answer = server.send(&Request::get("/").header("Host", host));
        assert!(
            answer
                .text()
                .contains(&format!("process group:     {group}")),
            "{}",
            answer.text()
        );
    }
}

#[test]
fn the_example_of_mass_hosting_answers_each_from_processes_of_its_own() {
    if only_ours("it has no templates") {
        return;
    }
    let as_root = apache().as_root;
    let example = fs::read_to_string(examples().join("mass-hosting.conf")).expect("an example");
    // Who is not root has but himself to run as.
    let lines = match as_root {
        true => example,
        false => example.replace("user=%{key} group=%{key}", ""),
    };
    let server = Server::builder(Mode::Embedded)
        .modules(&["authn_core", "authn_file", "auth_basic", "authz_user"])
        .file(
            "srv/hello.wsgi",
            &fs::read_to_string(examples().join("hello.wsgi")).expect("an example"),
        )
        .file("users", "games:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
        .directive("<Directory />\nRequire all denied\n</Directory>")
        .directive("Define WSGI_APP_DIR @ROOT@/srv\nDefine WSGI_USERS @ROOT@/users")
        .directive("Define WSGI_MINIMUM_UID 2")
        .directive(&lines)
        .start();
    for host in ["one.example.com", "two.example.com"] {
        let answer = server.send(&Request::get("/hello").header("Host", host));
        let expected = format!("process group:     vhost/{host}");
        assert!(answer.text().contains(&expected), "{}", answer.text());
    }
    let url = format!("http://{}/apps", server.address());
    let answer = curl::fetch(&url, &["--user", "games:secret"]);
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.contains("process group:     user/games"), "{text}");
}

#[test]
fn the_example_of_venvs_answers() {
    let venv = python::venv(&python::debian(), python::NONE)
        .display()
        .to_string();
    let defines = [("WSGI_VENV_ONE", &*venv), ("WSGI_VENV_TWO", &*venv)];
    let server = with_example("venvs.conf", &defines).start();
    assert!(says_hello(&server, "/one").contains("venv-one"));
    assert!(says_hello(&server, "/two").contains(&venv));
}

#[test]
fn the_django_example_answers() {
    let venv = python::venv(&python::debian(), python::DJANGO)
        .display()
        .to_string();
    let defines = [
        ("WSGI_PROJECT_DIR", "@ROOT@/srv"),
        ("WSGI_PROJECT", "mysite"),
        ("WSGI_VENV", &*venv),
    ];
    let server = with_example("django.conf", &defines)
        .file("srv/mysite/__init__.py", "")
        .file(
            "srv/mysite/settings.py",
            "SECRET_KEY = 'for tests only'\nALLOWED_HOSTS = ['localhost']\nROOT_URLCONF = 'mysite.urls'\n",
        )
        .file(
            "srv/mysite/urls.py",
            "from django.http import HttpResponse\nfrom django.urls import path\n\n\
             urlpatterns = [path('', lambda request: HttpResponse('Django answers'))]\n",
        )
        .file(
            "srv/mysite/wsgi.py",
            "import os\n\nfrom django.core.wsgi import get_wsgi_application\n\n\
             os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')\n\
             application = get_wsgi_application()\n",
        )
        .file("srv/static/site.css", "body {}")
        .start();
    assert_eq!(server.text("/"), "Django answers");
    assert_eq!(server.text("/static/site.css"), "body {}");
}
