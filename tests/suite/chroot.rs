//! `chroot`: an application that works below a root directory of its own, and what lies outside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wsgi_tests::apache::{apache, only_ours};
use wsgi_tests::{Builder, Mode, Server};

use crate::support::{environ_of, facts_of};

/// Copies the program, what it and the gateway are linked with, and the standard library.
const FURNISH: &str = r#"
jail=$1 gateway=$2
put() { mkdir -p "$jail$(dirname "$1")" && cp -L "$1" "$jail$1"; }
python=$(readlink -f /usr/bin/python3)
put "$python"
ln -s "$(basename "$python")" "$jail/usr/bin/python3"
for library in $(ldd "$python" "$gateway" /usr/lib/python3*/lib-dynload/*.so |
    grep -o '/[^ ]*\.so[^ ]*' | grep -v : | sort -u); do
    put "$library"
done
stdlib=$("$python" -I -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
mkdir -p "$jail$stdlib"
tar -C "$stdlib" --exclude=test --exclude=idlelib --exclude='config-*' --exclude=dist-packages \
    -cf - . | tar -C "$jail$stdlib" -xf -
put "$gateway"
mkdir -p "$jail/tmp" "$jail/srv"
cp -r "$(dirname "$gateway")/mod_wsgi" "$jail$(dirname "$gateway")/"
chmod -R a+rX "$jail"
"#;

/// A furnished root directory, removed in the end.
struct Jail(PathBuf);

impl Jail {
    /// `None` without root, or for mod_wsgi, which needs other files there.
    fn furnished() -> Option<Jail> {
        if !apache().as_root || only_ours("its processes bring Python with them") {
            eprintln!("SKIPPED: it takes root");
            return None;
        }
        let jail = Jail(PathBuf::from(format!(
            "/var/tmp/wsgi-jail-{}",
            std::process::id()
        )));
        let gateway = wsgi_tests::apache::module().with_file_name("_wsgi_gateway.abi3.so");
        let mut command = Command::new("sh");
        command
            .args(["-ec", FURNISH, "sh"])
            .arg(&jail.0)
            .arg(gateway);
        assert!(command.status().expect("a shell").success());
        Some(jail)
    }

    /// Puts a script of `tests/apps` into the directory `/srv` of the jail.
    fn add(&self, app: &str) {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("apps/{app}/app.wsgi"));
        fs::copy(from, self.0.join(format!("srv/{app}.wsgi"))).expect("the jail is ours");
    }

    fn builder(&self, options: &str) -> Builder {
        let root = self.0.display();
        Server::builder(Mode::Daemon)
            .daemon(&format!("threads=2 user=games chroot={root} {options}"))
            .directive(&format!(
                "<Directory {root}>\nRequire all granted\n</Directory>"
            ))
    }

    fn alias(&self, url: &str, app: &str) -> String {
        format!("WSGIScriptAlias {url} {}/srv/{app}.wsgi", self.0.display())
    }
}

impl Drop for Jail {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One furnished jail for all, as it takes seconds to copy.
#[test]
fn an_application_works_below_a_root_directory_of_its_own() {
    let Some(jail) = Jail::furnished() else {
        return;
    };
    jail.add("process");
    jail.add("environ");
    fs::write(jail.0.join("srv/imported.py"), "print('imported inside')\n").expect("ours");
    let root = jail.0.display();
    let mut server = jail
        .builder("home=/srv env-file=@ROOT@/app.env")
        .file("app.env", "FROM_OUTSIDE=1\n")
        .directive(&jail.alias("/process", "process"))
        .directive(&jail.alias("/environ", "environ"))
        .directive(&format!("DocumentRoot {root}/srv"))
        .app("/outside", "process")
        .directive(&format!(
            "WSGIImportScript {root}/srv/imported.py process-group=app application-group=x"
        ))
        .start();
    server.expect_log("imported inside");
    let facts = facts_of(&server.text("/process"));
    assert_eq!(facts["uid"], "5");
    assert_eq!(facts["cwd"], "'/srv'");
    assert_eq!(facts["file"], "'/srv/process.wsgi'");
    assert!(facts["variables"].contains("'FROM_OUTSIDE'"));
    let environ = environ_of(&server.text("/environ"));
    assert_eq!(environ["SCRIPT_FILENAME"].1, "'/srv/environ.wsgi'");
    assert_eq!(environ["DOCUMENT_ROOT"].1, "'/srv'");
    server.wait_for_log("imported inside");
    is_really_inside(&server, &jail);
    server.expect_log("does not lie below");
    assert_eq!(server.get("/outside").status(), 403);
    drop(server);
    a_document_root_outside_is_kept_from_the_application(&jail);
    a_jail_that_lacks_something_is_refused_by_configtest(&jail);
}

fn is_really_inside(server: &Server, jail: &Jail) {
    for daemon in server.daemons() {
        let root = fs::read_link(format!("/proc/{}/root", daemon.pid)).expect("it runs");
        assert_eq!(root, jail.0);
    }
}

fn a_document_root_outside_is_kept_from_the_application(jail: &Jail) {
    let server = jail
        .builder("")
        .directive(&jail.alias("/", "environ"))
        .start();
    let environ = environ_of(&server.text("/"));
    assert!(!environ.contains_key("DOCUMENT_ROOT"), "{environ:?}");
}

fn a_jail_that_lacks_something_is_refused_by_configtest(jail: &Jail) {
    let (right, said) = jail.builder("").configtest();
    assert!(right, "{said}");
    fs::remove_file(jail.0.join("usr/bin/python3")).expect("ours");
    let (right, said) = jail.builder("").configtest();
    assert!(!right && said.contains("/usr/bin/python3"), "{said}");
    let gateway = wsgi_tests::apache::module().with_file_name("_wsgi_gateway.abi3.so");
    let inside = jail.0.join(gateway.strip_prefix("/").expect("absolute"));
    fs::remove_file(&inside).expect("ours");
    let (right, said) = jail.builder("").configtest();
    assert!(
        !right && said.contains(&inside.display().to_string()),
        "{said}"
    );
}
