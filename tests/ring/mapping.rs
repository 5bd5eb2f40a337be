//! Which script a URL leads to, and in which groups and with which callable it runs.

use wsgi_tests::{Mode, Request, Server};

use crate::case::Group;

const TELLS: &str = "def application(environ, start_response):\n    start_response('200 OK', [])\n    text = \
                     '%s|%s|%s|%s' % (__file__.rpartition('/')[2], environ['SCRIPT_NAME'], \
                     environ['PATH_INFO'], environ['mod_wsgi.application_group'].partition('|')[2])\n    \
                     return [text.encode('latin-1')]\n";

/// Name of the case, target, and `file|SCRIPT_NAME|PATH_INFO|resource`.
const TEXTS: &[(&str, &str, &str)] = &[
    (
        "the_first_of_two_equal_aliases",
        "/twice/x",
        "first.wsgi|/twice|/x|/twice",
    ),
    (
        "the_longer_alias_if_it_comes_first",
        "/long/er/x",
        "first.wsgi|/long/er|/x|/long/er",
    ),
    (
        "the_shorter_alias_else",
        "/long/x",
        "second.wsgi|/long|/x|/long",
    ),
    (
        "the_shorter_alias_if_it_comes_first",
        "/short/er/x",
        "first.wsgi|/short|/er/x|/short",
    ),
    (
        "an_alias_with_a_slash_at_both_ends",
        "/dir/first.wsgi",
        "first.wsgi|/dir/first.wsgi||/dir/first.wsgi",
    ),
    (
        "a_directory_and_path_information",
        "/dir/first.wsgi/a",
        "first.wsgi|/dir/first.wsgi|/a|/dir/first.wsgi",
    ),
    (
        "a_directory_below_the_directory",
        "/dir/deep/third.wsgi/a",
        "third.wsgi|/dir/deep/third.wsgi|/a|/dir/deep/third.wsgi",
    ),
    (
        "a_directory_without_its_slash",
        "/bare-dir/first.wsgi",
        "first.wsgi|/bare-dir/first.wsgi||/bare-dir/first.wsgi",
    ),
    (
        "a_file_without_a_suffix",
        "/no-suffix/x",
        "plain|/no-suffix|/x|/no-suffix",
    ),
    (
        "a_file_with_another_suffix",
        "/py/x",
        "module.py|/py|/x|/py",
    ),
    (
        "a_file_with_spaces",
        "/spaces/x",
        "with space.wsgi|/spaces|/x|/spaces",
    ),
    ("a_file_with_a_dash", "/dash", "with-dash.wsgi|/dash||/dash"),
    ("text_after_the_script", "/fixed/x", "first.wsgi||/fixed/x|"),
    (
        "a_slash_after_the_script",
        "/slashed/x",
        "first.wsgi||/slashed/x|",
    ),
    (
        "a_quoted_alias",
        "/quoted/x",
        "first.wsgi|/quoted|/x|/quoted",
    ),
    (
        "a_match_without_groups",
        "/regex-plain/x",
        "first.wsgi|/regex-plain|/x|/regex-plain",
    ),
    (
        "a_match_with_a_group",
        "/regex/second/x",
        "second.wsgi|/regex/second|/x|/regex/second",
    ),
    (
        "a_match_with_two_groups",
        "/pick/third/from/deep",
        "third.wsgi|/pick/third/from/deep||/pick/third/from/deep",
    ),
    (
        "a_match_of_alternatives",
        "/either-b/x",
        "first.wsgi|/either-b|/x|/either-b",
    ),
    (
        "a_symbolic_link_keeps_its_name",
        "/link/x",
        "link.wsgi|/link|/x|/link",
    ),
    (
        "a_handler_by_suffix",
        "/by-suffix/first.wsgi/x",
        "first.wsgi|/by-suffix/first.wsgi|/x|/by-suffix/first.wsgi",
    ),
    (
        "a_handler_by_place",
        "/by-place/plain/x",
        "plain|/by-place/plain|/x|/by-place/plain",
    ),
    (
        "a_handler_by_media_type",
        "/by-type/first.wsgix/x",
        "first.wsgix|/by-type/first.wsgix|/x|/by-type/first.wsgix",
    ),
    (
        "a_directory_index",
        "/indexed/",
        "index.wsgi|/indexed/index.wsgi||/indexed/index.wsgi",
    ),
    (
        "an_alias_of_httpd_wins",
        "/static/file.txt",
        "a static file",
    ),
    (
        "an_alias_of_httpd_within_a_mount",
        "/twice/static/file.txt",
        "a static file",
    ),
    (
        "the_handler_can_be_taken_away",
        "/by-place/none/file.txt",
        "not run",
    ),
    (
        "a_script_may_be_reached_by_two_urls",
        "/other-url/x",
        "first.wsgi|/other-url|/x|/other-url",
    ),
    (
        "a_mount_of_digits",
        "/127.0.0.1/x",
        "first.wsgi|/127.0.0.1|/x|/127.0.0.1",
    ),
    (
        "a_rewritten_url_passed_through",
        "/rewritten/x",
        "first.wsgi|/twice|/x|/twice",
    ),
];

const STATUSES: &[(&str, &str, u16)] = &[
    ("nothing_is_mapped", "/nowhere", 404),
    ("a_script_that_is_missing", "/missing", 404),
    ("a_file_missing_in_a_directory", "/dir/nowhere.wsgi", 404),
    ("a_match_whose_file_is_missing", "/regex/nowhere", 404),
    ("a_match_that_does_not_match", "/regex/UPPER", 404),
    ("a_directory_instead_of_a_script", "/directory", 403),
    (
        "a_place_where_programs_may_not_run",
        "/forbidden/first.wsgi",
        403,
    ),
    ("a_place_that_is_denied", "/denied", 403),
    ("path_information_that_is_refused", "/strict/x", 404),
    ("a_script_with_path_information_refused", "/strict", 200),
];

/// The cases.
pub fn group() -> Group {
    let mut group = Group::new("mapping", |mode| files(aliases(Server::builder(mode))));
    for &(name, target, expected) in TEXTS {
        group = group.case(name, move |server, _| {
            for text in ["cases/", "AH"] {
                server.allow_log(text);
            }
            assert_eq!(server.text(target), expected, "{target}");
        });
    }
    for &(name, target, status) in STATUSES {
        group = group.case(name, move |server, _| {
            for text in [
                "@",
                "cases/",
                "ExecCGI",
                "AH01630",
                "denied",
                "AcceptPathInfo",
            ] {
                server.allow_log(text);
            }
            let response = server.get(target);
            assert_eq!(response.status(), status, "{target}: {}", response.text());
        });
    }
    callables(groups(group))
}

fn files(mut builder: wsgi_tests::Builder) -> wsgi_tests::Builder {
    for name in [
        "first.wsgi",
        "second.wsgi",
        "deep/third.wsgi",
        "plain",
        "module.py",
        "with space.wsgi",
        "with-dash.wsgi",
        "link.wsgi",
        "index.wsgi",
        "first.wsgix",
    ] {
        builder = builder.file(&format!("cases/{name}"), TELLS);
    }
    builder
        .file("htdocs/static/file.txt", "a static file")
        .file("cases/none/file.txt", "not run")
        .file("cases/empty/readme", "")
}

fn aliases(builder: wsgi_tests::Builder) -> wsgi_tests::Builder {
    let script = |name: &str| format!("@ROOT@/cases/{name}");
    let mut builder = builder
        .modules(&["rewrite"])
        .directive("RewriteEngine On\nRewriteRule ^/rewritten/(.*)$ /twice/$1 [PT]")
        .directive("Alias /static @ROOT@/htdocs/static\nAlias /twice/static @ROOT@/htdocs/static")
        .directive("Alias /by-suffix @ROOT@/cases\nAlias /by-place @ROOT@/cases")
        .directive("Alias /by-type @ROOT@/cases\nAlias /indexed @ROOT@/cases")
        .directive("Alias /forbidden @ROOT@/cases\nAddType application/x-httpd-wsgi .wsgix")
        .directive(
            "<Directory @ROOT@/cases>\nOptions ExecCGI\nDirectoryIndex index.wsgi\n</Directory>",
        )
        .directive("<Location /by-suffix>\nAddHandler wsgi-script .wsgi\n</Location>")
        .directive("<Location /by-place>\nSetHandler wsgi-script\n</Location>")
        .directive("<Location /indexed>\nAddHandler wsgi-script .wsgi\n</Location>")
        .directive("<Location /forbidden>\nOptions None\nAddHandler wsgi-script .wsgi\n</Location>")
        .directive("<Location /denied>\nRequire all denied\n</Location>")
        .directive("<Location /strict>\nAcceptPathInfo Off\n</Location>")
        .directive("<Location /by-place/none>\nSetHandler None\n</Location>")
        .directive("DirectorySlash Off");
    for (url, name) in [
        ("/twice", "first.wsgi"),
        ("/twice", "second.wsgi"),
        ("/long/er", "first.wsgi"),
        ("/long", "second.wsgi"),
        ("/short", "first.wsgi"),
        ("/short/er", "second.wsgi"),
        ("/dir/", ""),
        ("/bare-dir", ""),
        ("/no-suffix", "plain"),
        ("/py", "module.py"),
        ("/dash", "with-dash.wsgi"),
        ("/fixed", "first.wsgi/fixed"),
        ("/slashed/", "first.wsgi/slashed/"),
        ("/link", "link.wsgi"),
        ("/other-url", "first.wsgi"),
        ("/127.0.0.1", "first.wsgi"),
        ("/missing", "missing.wsgi"),
        ("/directory", "empty"),
        ("/denied", "first.wsgi"),
        ("/strict", "first.wsgi"),
    ] {
        builder = builder.directive(&format!("WSGIScriptAlias {url} {}", script(name)));
    }
    builder
        .directive("WSGIScriptAlias /spaces \"@ROOT@/cases/with space.wsgi\"")
        .directive("WSGIScriptAlias '/quoted' '@ROOT@/cases/first.wsgi'")
        .directive("WSGIScriptAliasMatch ^/regex-plain @ROOT@/cases/first.wsgi")
        .directive("WSGIScriptAliasMatch ^/regex/([a-z]+) @ROOT@/cases/$1.wsgi")
        .directive("WSGIScriptAliasMatch ^/pick/([a-z]+)/from/([a-z]+)$ @ROOT@/cases/$2/$1.wsgi")
        .directive("WSGIScriptAliasMatch \"^/either-(a|b)\" @ROOT@/cases/first.wsgi")
        .directive(&group_directives())
}

fn group_directives() -> String {
    let mut text = String::new();
    let app = "@APPS@/environ/app.wsgi";
    for (url, options) in [
        ("/g/option", "application-group=chosen"),
        ("/g/global-option", "application-group=%{GLOBAL}"),
        ("/g/server-option", "application-group=%{SERVER}"),
        ("/g/quoted-option", "application-group=\"quoted group\""),
        ("/g/unknown-token", "application-group=%{NOBODY}"),
        ("/c/option", "callable-object=other"),
        ("/c/authorized", "pass-authorization=On"),
        ("/c/unauthorized", "pass-authorization=Off"),
    ] {
        let target = if url.starts_with("/c/option") {
            "@APPS@/callables/app.wsgi"
        } else {
            app
        };
        text.push_str(&format!("WSGIScriptAlias {url} {target} {options}\n"));
    }
    for url in [
        "global",
        "named",
        "server",
        "host",
        "resource",
        "env",
        "env-token",
        "inherited",
        "spaced",
    ] {
        text.push_str(&format!("WSGIScriptAlias /g/{url} {app}\n"));
    }
    text.push_str("WSGIScriptAlias /c @APPS@/callables/app.wsgi\n");
    text.push_str("SetEnvIf Request_URI ^/g/env$ CHOSEN=by-variable\n");
    text.push_str("SetEnvIf Request_URI ^/g/env-token$ CHOSEN=%{HOST}\n");
    text.push_str("SetEnvIf Request_URI ^/c/env CALLED=third\n");
    for (url, directive) in [
        ("/g/global", "WSGIApplicationGroup %{GLOBAL}"),
        ("/g/named", "WSGIApplicationGroup named"),
        ("/g/server", "WSGIApplicationGroup %{SERVER}"),
        ("/g/host", "WSGIApplicationGroup %{HOST}"),
        ("/g/resource", "WSGIApplicationGroup %{RESOURCE}"),
        ("/g/env", "WSGIApplicationGroup %{ENV:CHOSEN}"),
        ("/g/env-token", "WSGIApplicationGroup %{ENV:CHOSEN}"),
        ("/g/inherited", "WSGIApplicationGroup outer"),
        ("/g/inherited/inner", "WSGIApplicationGroup inner"),
        ("/g/spaced", "WSGIApplicationGroup \"a group\""),
        ("/c/named", "WSGICallableObject other"),
        ("/c/env", "WSGICallableObject %{ENV:CALLED}"),
        ("/c/env/none", "WSGICallableObject %{ENV:NOBODY}"),
        ("/c/back", "WSGICallableObject application"),
        ("/c/number", "WSGICallableObject not_callable"),
        ("/c/absent", "WSGICallableObject absent"),
    ] {
        text.push_str(&format!("<Location {url}>\n{directive}\n</Location>\n"));
    }
    text
}

/// Name of the case, target, and the application group for a request to `other.example`.
const GROUPS: &[(&str, &str, &str)] = &[
    ("an_application_group_by_option", "/g/option", "'chosen'"),
    ("the_main_one_by_option", "/g/global-option", "''"),
    (
        "the_servers_by_option",
        "/g/server-option",
        "'localhost:@PORT@'",
    ),
    (
        "a_quoted_one_by_option",
        "/g/quoted-option",
        "'quoted group'",
    ),
    (
        "an_unknown_token_is_literal",
        "/g/unknown-token",
        "'%{NOBODY}'",
    ),
    ("the_main_one_by_directive", "/g/global", "''"),
    ("one_by_directive", "/g/named", "'named'"),
    (
        "the_servers_by_directive",
        "/g/server",
        "'localhost:@PORT@'",
    ),
    (
        "the_hosts_by_directive",
        "/g/host",
        "'other.example:@PORT@'",
    ),
    (
        "the_resources_by_directive",
        "/g/resource",
        "'localhost:@PORT@|/g/resource'",
    ),
    ("one_by_a_variable", "/g/env", "'by-variable'"),
    (
        "one_by_a_variable_that_is_a_token",
        "/g/env-token",
        "'other.example:@PORT@'",
    ),
    ("one_that_is_inherited", "/g/inherited/x", "'outer'"),
    (
        "one_that_overrides_the_inherited",
        "/g/inherited/inner",
        "'inner'",
    ),
    ("one_with_a_space", "/g/spaced", "'a group'"),
];

fn groups(mut group: Group) -> Group {
    for &(name, target, expected) in GROUPS {
        group = group.case(name, move |server: &mut Server, _: Mode| {
            let port = server.address().port().to_string();
            let request = Request::get(target).header("Host", &format!("other.example:{port}"));
            let text = server.send(&request).text();
            let found = text
                .lines()
                .find_map(|line| line.strip_prefix("mod_wsgi.application_group\tstr\t"));
            assert_eq!(found, Some(&*expected.replace("@PORT@", &port)), "{text}");
        });
    }
    group
}

/// Name of the case, target and text.
const CALLABLES: &[(&str, &str, &str)] = &[
    ("a_callable_by_option", "/c/option", "other other"),
    ("a_callable_by_directive", "/c/named", "other other"),
    ("a_callable_by_a_variable", "/c/env", "third third"),
    (
        "the_usual_callable_without_the_variable",
        "/c/env/none",
        "default application",
    ),
    ("the_usual_callable", "/c/x", "default application"),
    (
        "the_usual_callable_by_name",
        "/c/back",
        "default application",
    ),
];

fn callables(mut group: Group) -> Group {
    group = group.texts(CALLABLES);
    for (name, target, key) in [
        ("authorization_by_option", "/c/authorized", true),
        ("no_authorization_by_option", "/c/unauthorized", false),
    ] {
        group = group.case(name, move |server, _| {
            let request = Request::get(target).header("Authorization", "Basic eDp5");
            let text = server.send(&request).text();
            assert_eq!(
                text.contains("HTTP_AUTHORIZATION\tstr\t'Basic eDp5'"),
                key,
                "{text}"
            );
        });
    }
    group.case("a_callable_that_is_none", |server, _| {
        server.expect_traceback("TypeError");
        server.allow_log("callable");
        assert_eq!(server.get("/c/number").status(), 500);
    })
}
