//! Configurations in the forms that administrators write, each with small applications in place of
//! the real ones: they start, and every URL leads where it should.
//!
//! The files are `tests/configurations/*.conf`. `@VENV@` and `@IDENTITY@` in them stand for a virtual
//! environment, and for `user=` and `group=` where the suite may change identities.

use wsgi_tests::apache::{apache, only_ours};
use wsgi_tests::{Mode, Request, Server, python};

macro_rules! application {
    ($name:literal) => {
        include_str!(concat!("../configurations/applications/", $name))
    };
}

const STAND_IN: &str = application!("stand_in.py");
const PLAIN: &str = application!("plain.wsgi");
const DJANGO: &str = application!("django.py");
const COMMAND: &str = application!("command");
const LAZY: &str = application!("lazy.wsgi");
const MIDDLEWARE: &str = application!("middleware.wsgi");
const AUTH: &str = application!("auth.wsgi");
const PRELOAD: &str = application!("preload.py");

/// User `alice`, password `secret`.
const USERS: &str = "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";
const ALICE: &str = "Basic YWxpY2U6c2VjcmV0";

/// A request and what must come of it.
struct Ask {
    request: Request,
    target: &'static str,
    status: u16,
    text: &'static str,
}

/// A GET request that must answer 200 with this text in its body.
fn ask(target: &'static str, text: &'static str) -> Ask {
    Ask {
        request: Request::get(target),
        target,
        status: 200,
        text,
    }
}

impl Ask {
    fn of(self, host: &str) -> Ask {
        self.with("Host", host)
    }

    fn by_alice(self) -> Ask {
        self.with("Authorization", ALICE)
    }

    fn with(mut self, name: &str, value: &str) -> Ask {
        self.request = self.request.header(name, value);
        self
    }

    fn status(mut self, status: u16) -> Ask {
        self.status = status;
        self
    }
}

type Scripts<'s> = &'s [(&'s str, &'s str)];

/// Starts a server with a configuration of `tests/configurations` and these files below its `srv`.
#[track_caller]
fn configured(configuration: &str, modules: &[&str], scripts: Scripts<'_>) -> Server {
    let identity = if apache().as_root {
        "user=www-data group=www-data"
    } else {
        ""
    };
    let mut text = configuration.replace("@IDENTITY@", identity);
    if text.contains("@VENV@") {
        let venv = python::venv(&python::debian(), python::NONE);
        text = text.replace("@VENV@", &venv.display().to_string());
    }
    // Built into Debian's httpd, a file elsewhere.
    let version = apache().modules.join("mod_version.so");
    let version: &[&str] = if version.exists() { &["version"] } else { &[] };
    let mut builder = Server::builder(Mode::Embedded)
        .modules(version)
        .modules(&["authn_core", "authz_user", "authz_host", "access_compat"])
        .modules(modules)
        .file("srv/users", USERS)
        .file("srv/lib/stand_in.py", STAND_IN)
        .file("srv/static/robots.txt", "a static file");
    for (path, source) in scripts {
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        builder = builder
            .file(&format!("srv/{path}"), source)
            .file(&format!("srv/{directory}/stand_in.py"), STAND_IN);
    }
    builder.directive(&text).start()
}

#[track_caller]
fn answers(server: &Server, asks: Vec<Ask>) {
    for ask in asks {
        let response = server.send(&ask.request);
        let (status, text) = (response.status(), response.text());
        assert_eq!(status, ask.status, "{}: {text}", ask.target);
        assert!(
            text.contains(ask.text),
            "{}: {text}, not {}",
            ask.target,
            ask.text
        );
    }
}

macro_rules! configurations {
    ($($name:ident $file:literal $modules:tt $scripts:tt $asks:tt)*) => {
        $(
            #[test]
            fn $name() {
                let text = include_str!(concat!("../configurations/", $file, ".conf"));
                let server = configured(text, &$modules, &$scripts);
                answers(&server, vec!$asks);
            }
        )*
    };
}

configurations! {
    django_by_its_manual "django" [] [
        ("mysite/mysite/wsgi.py", DJANGO),
    ] [
        ask("/", "mysite.settings |/ user=- group= "),
        ask("/polls/1/", "|/polls/1/ "),
        ask("/static/robots.txt", "a static file"),
        ask("/robots.txt", "a static file"),
    ]

    django_in_daemons "django-daemon" [] [
        ("mysite/mysite/wsgi.py", DJANGO),
        ("other/wsgi.py", DJANGO),
    ] [
        ask("/", "mysite.settings |/ user=- group=example.com"),
        ask("/other/x", "mysite.settings /other|/x user=- group=other"),
    ]

    django_checks_apaches_users "django-users" ["auth_basic"] [
        ("site/site.wsgi", PLAIN),
        ("site/auth.wsgi", AUTH),
    ] [
        ask("/public", "site.wsgi |/public user=- "),
        ask("/private/x", "").status(401),
        ask("/private/x", "user=alice").by_alice(),
    ]

    trac "trac" ["auth_basic", "authn_file"] [
        ("trac/trac.wsgi", LAZY),
    ] [
        ask("/trac/wiki", "lazy:").by_alice(),
        ask("/trac/wiki", "srv/trac /trac|/wiki user=- group=trac interpreter= "),
        ask("/trac/login", "").status(401),
        ask("/trac/login", "/trac|/login user=alice").by_alice(),
    ]

    moinmoin "moinmoin" [] [
        ("moin/moin.wsgi", PLAIN),
    ] [
        ask("/FrontPage", "moin.wsgi |/FrontPage user=- group=moin").of("wiki.example.org"),
        ask("/moin_static200/robots.txt", "a static file").of("wiki.example.org"),
    ]

    openstack_keystone "keystone" [] [
        ("bin/keystone-wsgi-public", COMMAND),
        ("bin/keystone-wsgi-admin", COMMAND),
    ] [
        ask("/v3", "keystone-wsgi-public |/v3 user=- group=keystone-public interpreter= authorization=Bearer x").of("public.example.org").with("Authorization", "Bearer x"),
        ask("/identity/v3", "keystone-wsgi-public /identity|/v3 user=- group=keystone-public"),
        ask("/identity_admin/v3", "keystone-wsgi-admin /identity_admin|/v3 user=- group=keystone-admin"),
    ]

    openstack_horizon "horizon" [] [
        ("horizon/wsgi.py", PLAIN),
    ] [
        ask("/dashboard/project/", "wsgi.py /dashboard|/project/ user=- group=horizon interpreter= "),
        ask("/dashboard/static/robots.txt", "a static file"),
        ask("/", "").status(302),
    ]

    openstack_placement "placement" [] [
        ("bin/placement-api", COMMAND),
    ] [
        ask("/resource_providers", "placement-api |/resource_providers user=- group=placement-api").of("placement.example.org"),
        ask("/placement-api/x", "placement-api /placement-api|/x user=- group=placement-api").of("placement.example.org"),
    ]

    graphite "graphite" [] [
        ("graphite/graphite.wsgi", PLAIN),
        ("graphite/preload.py", PRELOAD),
    ] [
        ask("/graphite/render", "graphite.wsgi |/graphite/render user=- group=graphite interpreter= "),
        ask("/static/robots.txt", "a static file"),
    ]

    mailman "mailman" [] [
        ("mailman/wsgi.py", DJANGO),
    ] [
        ask("/hyperkitty/list", "mysite.settings /hyperkitty|/list user=- group=hyperkitty interpreter=localhost"),
        ask("/postorius/lists", "/postorius|/lists user=- group=hyperkitty interpreter= authorization=Token t").with("Authorization", "Token t"),
    ]

    odoo "odoo" [] [
        ("odoo/openerp-wsgi.py", MIDDLEWARE),
    ] [
        ask("/web/login", "middleware |/web/login user=- group=oe interpreter=openerp").of("odoo.example.org"),
    ]

    fedora_copr_with_eleven_groups "copr" [] [
        ("copr/application", COMMAND),
    ] [
        ask("/", "application |/ user=- group=127.0.0.1 "),
        ask("/api_2/x", "group=api "),
        ask("/api_3/build/list/1", "group=api-memory-leak "),
        ask("/backend/x", "group=backend "),
        ask("/stats/x", "group=stats "),
        ask("/recent/x", "group=recent "),
        ask("/coprs/a/repo/b", "group=repos "),
        ask("/coprs/a/search/", "group=search "),
        ask("/webhooks/x", "group=webhooks "),
        ask("/coprs/a/b/packages/", "group=packages "),
        ask("/tmp", "group=tmp "),
    ]

    fedora_retrace_with_fourteen_expressions "retrace" [] [
        ("retrace/create.wsgi", PLAIN),
        ("retrace/status.wsgi", PLAIN),
        ("retrace/log.wsgi", PLAIN),
        ("retrace/backtrace.wsgi", PLAIN),
        ("retrace/delete.wsgi", PLAIN),
        ("retrace/exploitable.wsgi", PLAIN),
        ("retrace/settings.wsgi", PLAIN),
        ("retrace/index.wsgi", PLAIN),
        ("retrace/stats.wsgi", PLAIN),
        ("retrace/manager.wsgi", PLAIN),
        ("retrace/checkpackage.wsgi", PLAIN),
        ("retrace/metrics.wsgi", PLAIN),
        ("retrace/start.wsgi", PLAIN),
        ("retrace/ftp.wsgi", PLAIN),
    ] [
        ask("/create", "create.wsgi /create| user=- group=retrace"),
        ask("/12", "status.wsgi /12| "),
        ask("/12/log", "log.wsgi "),
        ask("/12/backtrace", "backtrace.wsgi "),
        ask("/12/delete", "delete.wsgi "),
        ask("/12/exploitable", "exploitable.wsgi "),
        ask("/settings", "settings.wsgi "),
        ask("/", "index.wsgi "),
        ask("/stats", "stats.wsgi "),
        ask("/manager/12/task", "manager.wsgi "),
        ask("/checkpackage", "checkpackage.wsgi "),
        ask("/metrics", "metrics.wsgi "),
        ask("/7/start", "start.wsgi "),
        ask("/ftp/a", "ftp.wsgi "),
        ask("/none", "").status(404),
    ]

    weblate "weblate" [] [
        ("weblate/wsgi.py", PLAIN),
    ] [
        ask("/projects/", "wsgi.py |/projects/ user=- group=weblate interpreter= ").of("weblate.example.org"),
        ask("/static/robots.txt", "a static file").of("weblate.example.org"),
    ]

    review_board "reviewboard" [] [
        ("reviewboard/reviewboard.wsgi", LAZY),
    ] [
        ask("/reviews/r/1/", "lazy:unset /reviews|/r/1/ user=- group=reviewboard interpreter=%{GROUP} ").of("reviews.example.org"),
        ask("/reviews/login", "lazy:login").of("reviews.example.org"),
        ask("/reviews/static/robots.txt", "a static file").of("reviews.example.org"),
    ]

    beaker "beaker" ["auth_basic", "authn_file"] [
        ("beaker/beaker-server.wsgi", PLAIN),
    ] [
        ask("/bkr/jobs", "beaker-server.wsgi |/bkr/jobs user=- group=beaker-server interpreter=beaker-server ").of("beaker.example.org"),
        ask("/bkr/login", "").of("beaker.example.org").status(401),
        ask("/bkr/login", "|/bkr/login user=alice").of("beaker.example.org").by_alice(),
    ]

    freeipa "freeipa" ["auth_basic", "authn_file"] [
        ("ipa/wsgi.py", PLAIN),
    ] [
        ask("/ipa/ui", "").status(401),
        ask("/ipa/json", "wsgi.py /ipa|/json user=alice group=ipa interpreter=ipa ").by_alice(),
        ask("/ipa/session/login_password", "user=- group=ipa"),
    ]

    koji "koji" ["auth_basic", "authn_file"] [
        ("koji/kojixmlrpc.wsgi", PLAIN),
        ("kojiweb/wsgi_publisher.py", PLAIN),
    ] [
        ask("/kojihub", "kojixmlrpc.wsgi /kojihub| user=- group=koji interpreter= "),
        ask("/koji/builds", "wsgi_publisher.py /koji|/builds user=- group=koji interpreter=koji-web "),
        ask("/koji/login", "").status(401),
        ask("/koji/login", "user=alice").by_alice(),
        ask("/koji-static/robots.txt", "a static file"),
    ]

    pgadmin "pgadmin" [] [
        ("pgadmin/pgAdmin4.wsgi", PLAIN),
    ] [
        ask("/pgadmin4/browser/", "pgAdmin4.wsgi /pgadmin4|/browser/ user=- group=pgadmin interpreter= "),
    ]

    radicale "radicale" ["auth_basic", "authn_file", "headers"] [
        ("radicale/radicale.wsgi", PLAIN),
    ] [
        ask("/radicale/alice/", "").status(401),
        ask("/radicale/alice/", "radicale.wsgi /radicale|/alice/ user=alice group= interpreter= authorization=Basic").by_alice(),
    ]

    web2py "web2py" [] [
        ("web2py/wsgihandler.py", PLAIN),
    ] [
        ask("/welcome/default/index", "wsgihandler.py |/welcome/default/index user=- group=web2py").of("web2py.example.org"),
        ask("/welcome/static/robots.txt", "a static file").of("web2py.example.org"),
        ask("/welcome/static/_1.2.3/robots.txt", "a static file").of("web2py.example.org"),
    ]

    genropy "genropy" ["rewrite"] [
        ("genropy/root.py", PLAIN),
    ] [
        ask("/one/x", "root.py |/one/x user=- group=group1 interpreter=site"),
        ask("/two/x", "group=group2 "),
        ask("/three/x", "group= interpreter=site"),
    ]

    certbot_and_its_clone "certbot" [] [
        ("graphite/graphite.wsgi", PLAIN),
        ("graphite/preload.py", PRELOAD),
    ] [
        ask("/render", "graphite.wsgi |/render user=- group=_graphite").of("graphite.example.org"),
        ask("/render", "group=_graphite").of("www.graphite.example.org"),
    ]

    puppet "puppet" [] [
        ("puppet/wsgi.py", PLAIN),
        ("puppet/preload.py", PRELOAD),
    ] [
        ask("/puppetboard/nodes", "wsgi.py /puppetboard|/nodes user=- group=puppetboard interpreter= ").of("puppet.example.org"),
        ask("/match/wsgi", "wsgi.py /match/wsgi| ").of("puppet.example.org"),
    ]

    a_flask_site_of_a_panel "flask" [] [
        ("flask/app.wsgi", MIDDLEWARE),
    ] [
        ask("/x", "middleware |/x user=- group=flask_example_org").of("flask.example.org"),
        ask("/x", "group=flask_example_org").of("www.flask.example.org"),
    ]

    a_catalogue_by_suffix "pycsw" [] [
        ("pycsw/wsgi.py", PLAIN),
        ("pycsw/csw.py", PLAIN),
    ] [
        ask("/csw/csw.py/x", "csw.py /csw/csw.py|/x user=- group= "),
        ask("/csw/", "wsgi.py /csw/wsgi.py| "),
    ]

    mapproxy "mapproxy" [] [
        ("mapproxy/config.py", PLAIN),
    ] [
        ask("/wms", "config.py |/wms user=- group=mapproxy"),
        ask("/docs/robots.txt", "a static file"),
    ]
}

#[test]
fn a_configuration_of_mod_wsgi_4() {
    if only_ours(
        "directives of mod_wsgi 4 stop mod_wsgi 6; a warning that says what to do is right",
    ) {
        return;
    }
    let text = include_str!("../configurations/mod_wsgi-4.conf");
    let mut server = configured(text, &[], &[("old/old.wsgi", PLAIN)]);
    server.expect_log("WSGILazyInitialization");
    server.allow_log("WSGIVerboseDebugging");
    server.allow_log("WSGIAcceptMutex");
    answers(
        &server,
        vec![
            ask("/old/x", "old.wsgi /old|/x user=- group=old-site"),
            ask("/by-name/x", "old.wsgi /by-name|/x user=- group= "),
        ],
    );
}

#[test]
fn a_configuration_of_mod_wsgi_5() {
    let text = include_str!("../configurations/mod_wsgi-5.conf");
    let mut server = configured(text, &[], &[("five/five.wsgi", PLAIN)]);
    // The sockets of ours are never shared by generations, which it says once.
    server.allow_log("WSGISocketRotation");
    answers(
        &server,
        vec![ask(
            "/five/x",
            "five.wsgi /five|/x user=- group=five interpreter= ",
        )],
    );
}
