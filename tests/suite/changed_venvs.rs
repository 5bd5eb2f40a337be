//! A Python that is exchanged behind its path while the server runs: what starts after a graceful
//! restart is in the new one, what still runs stays in the old one.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use wsgi_tests::apache::only_ours;
use wsgi_tests::python::{self, Python};
use wsgi_tests::{Builder, Mode, Request, Server, wait};

/// `/held` waits for the file `gate`, and then imports what lies in the virtual environment.
const APP: &str = r#"
import os
import sys
import time


def application(environ, start_response):
    text = "%d.%d" % sys.version_info[:2]
    if environ["PATH_INFO"] == "/held":
        state = environ["TEST_STATE"]
        open(os.path.join(state, "waiting"), "w").close()
        while not os.path.exists(os.path.join(state, "gate")):
            time.sleep(0.005)
        import which_venv
        text += " " + which_venv.NAME
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode()]
"#;

/// Virtual environments, and the path under which the server knows one of them.
struct Homes {
    directory: PathBuf,
}

impl Homes {
    fn new(name: &str) -> Homes {
        let name = format!("wsgi-homes-{}-{name}", std::process::id());
        let directory = Path::new("/tmp").join(name);
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).expect("a directory");
        Homes { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Makes a virtual environment with a module that tells its name.
    fn make(&self, name: &str, python: &Python) {
        let made = Command::new(&python.program)
            .args(["-m", "venv", "--without-pip"])
            .arg(self.path(name))
            .status();
        assert!(made.expect("it runs").success());
        let packages = format!("{name}/lib/python{}/site-packages", python.version);
        let module = self.path(&packages).join("which_venv.py");
        fs::write(module, format!("NAME = {name:?}\n")).expect("ours");
    }

    /// Has the link `current` lead there, from one moment to the next.
    fn choose(&self, name: &str) {
        symlink(self.path(name), self.path("next")).expect("ours");
        fs::rename(self.path("next"), self.path("current")).expect("ours");
    }

    fn server(&self, mode: Mode, home: &str) -> Builder {
        let home = self.path(home).display().to_string();
        let builder = Server::builder(mode)
            .file("apps/held/app.wsgi", APP)
            .app("/", "held");
        match mode {
            Mode::Daemon => builder.daemon(&format!("threads=2 python-home={home}")),
            Mode::Embedded => builder.directive(&format!("WSGIPythonHome {home}")),
        }
    }
}

impl Drop for Homes {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Debian's Python and, where there is one, another.
fn two_pythons() -> (Python, Python) {
    let debian = python::debian();
    let mut others = python::pythons().iter();
    let other = others.find(|python| python.version != debian.version);
    (debian.clone(), other.cloned().unwrap_or(debian))
}

in_both_modes! {
    fn a_link_that_leads_to_another_venv_counts_from_the_next_graceful_restart_on(mode) {
        if only_ours("one Python is linked into it") {
            return;
        }
        let (debian, other) = two_pythons();
        let homes = Homes::new(&format!("link-{mode:?}"));
        homes.make("venv-a", &debian);
        homes.make("venv-b", &other);
        homes.choose("venv-a");
        let server = homes.server(mode, "current").start();
        assert_eq!(server.text("/"), debian.version);
        let mut held = server.connect();
        held.write(&Request::get("/held").head()).expect("sent");
        wait::until_true("the request runs", || server.state("waiting").exists());
        homes.choose("venv-b");
        server.graceful();
        assert_eq!(server.text("/"), other.version);
        fs::write(server.state("gate"), "").expect("ours");
        let old = held.response(false).expect("an answer").text();
        assert_eq!(old, format!("{} venv-a", debian.version));
        assert_eq!(server.text("/held"), format!("{} venv-b", other.version));
    }

    fn a_venv_that_is_made_anew_with_another_python_counts_likewise(mode) {
        if only_ours("one Python is linked into it") {
            return;
        }
        let (debian, other) = two_pythons();
        let homes = Homes::new(&format!("anew-{mode:?}"));
        homes.make("venv", &debian);
        let server = homes.server(mode, "venv").start();
        assert_eq!(server.text("/"), debian.version);
        fs::remove_dir_all(homes.path("venv")).expect("ours");
        homes.make("venv", &other);
        server.graceful();
        assert_eq!(server.text("/"), other.version);
    }
}
