//! Users and groups that Python knows, together with other modules of httpd: a cache of logins, and
//! expressions in `Require`.

use wsgi_tests::apache::only_ours;
use wsgi_tests::{Builder, Mode, Server};

use crate::functions::{ask, guarded, place, status, with_groups};

/// Says each time that it is asked; `replaced` gets another name.
const COUNTED: &str = "\
import hashlib, sys
def check_password(environ, user, password):
    print('asked for', user, file=environ['wsgi.errors'])
    return 'somebody' if user == 'replaced' else password == 'right'
def get_realm_hash(environ, user, realm):
    print('asked for', user, file=environ['wsgi.errors'])
    return hashlib.md5(f'{user}:{realm}:right'.encode()).hexdigest()
";

fn with_cache(mode: Mode, kind: &str, line: &str) -> Builder {
    let auth = format!("auth_{}", kind.to_lowercase());
    let modules = [
        "authn_core",
        "authn_socache",
        "socache_shmcb",
        &auth,
        "authz_user",
    ];
    let directives = format!(
        "AuthType {kind}\nAuthName realm\nAuth{kind}Provider socache wsgi\n{line}\n\
         WSGIAuthUserScript @ROOT@/apps/counted.py {}\nRequire valid-user",
        place(mode)
    );
    guarded(mode, &modules, &directives)
        .file("apps/counted.py", COUNTED)
        .directive("AuthnCacheSOCache shmcb:@ROOT@/run/logins")
}

fn times_asked(server: &Server, user: &str) -> usize {
    server.log().lines_with(&format!("asked for {user}")).len()
}

in_both_modes! {
    fn a_cache_of_logins_spares_the_function(mode) {
        if only_ours("there mod_authn_socache is offered nothing") {
            return;
        }
        let mut server = with_cache(mode, "Basic", "AuthnCacheProvideFor wsgi").start();
        server.expect_log("asked for");
        server.allow_log("auth_basic:error");
        for _ in 0..3 {
            assert_eq!(status(&server, "/page", "me:right"), 200);
        }
        assert_eq!(times_asked(&server, "me"), 1);
        assert_eq!(status(&server, "/page", "me:wrong"), 401);
        assert_eq!(status(&server, "/page", "me:right"), 200);
    }

    fn a_replaced_name_is_asked_for_each_time(mode) {
        if only_ours("there mod_authn_socache is offered nothing") {
            return;
        }
        let mut server = with_cache(mode, "Basic", "AuthnCacheProvideFor wsgi").start();
        server.expect_log("asked for");
        for _ in 0..2 {
            let (code, body) = ask(&server, "/app", &["--user", "replaced:right"]);
            assert_eq!(code, 200);
            assert!(body.ends_with("|somebody"), "{body}");
        }
        assert_eq!(times_asked(&server, "replaced"), 2);
    }

    fn a_cache_for_others_learns_nothing(mode) {
        let mut server = with_cache(mode, "Basic", "AuthnCacheProvideFor file").start();
        server.expect_log("asked for");
        for _ in 0..2 {
            assert_eq!(status(&server, "/page", "me:right"), 200);
        }
        assert_eq!(times_asked(&server, "me"), 2);
    }

    fn a_cache_of_logins_keeps_hashes_for_digest(mode) {
        if only_ours("there mod_authn_socache is offered nothing") {
            return;
        }
        let mut server = with_cache(mode, "Digest", "AuthnCacheProvideFor wsgi").start();
        server.expect_log("asked for");
        server.allow_log("Digest");
        for _ in 0..3 {
            let (code, _) = ask(&server, "/page", &["--digest", "--user", "me:right"]);
            assert_eq!(code, 200);
        }
        assert_eq!(times_asked(&server, "me"), 1);
    }

    fn expressions_may_name_required_groups(mode) {
        if only_ours("there names of groups are taken as they are written") {
            return;
        }
        let mut server = with_groups(mode, "Require wsgi-group none \"%{req:X-Group}\"")
            .start();
        server.allow_log("authz_core:error");
        for (group, expected) in [("staff", 200), ("users", 200), ("others", 401)] {
            let header = format!("X-Group: {group}");
            let arguments = ["--user", "me:true", "--header", &header];
            assert_eq!(ask(&server, "/page?list", &arguments).0, expected, "{group}");
        }
        assert_eq!(ask(&server, "/page?list", &["--user", "me:true"]).0, 401);
    }

    fn an_expression_that_gives_no_groups_is_an_error(mode) {
        if only_ours("there names of groups are taken as they are written") {
            return;
        }
        let mut server = with_groups(mode, "Require wsgi-group %{req:X-Group}").start();
        server.expect_log("Require wsgi-group: the quote \" before 'staff' is not closed");
        server.allow_log("authz_core:error");
        let arguments = ["--user", "me:true", "--header", "X-Group: \"staff"];
        assert_eq!(ask(&server, "/page?list", &arguments).0, 500);
    }
}

#[test]
fn a_wrong_expression_in_require_is_named() {
    if only_ours("there names of groups are taken as they are written") {
        return;
    }
    let (right, said) =
        with_groups(Mode::Embedded, "Require wsgi-group staff %{nothing:x}").configtest();
    assert!(!right);
    for part in [
        "Require wsgi-group",
        "'staff %{nothing:x}'",
        "cannot be parsed",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
