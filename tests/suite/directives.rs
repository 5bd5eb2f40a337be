//! The command table: every directive is known, and a wrong argument stops httpd with a sentence.

use wsgi_tests::apache::{compat, only_ours};
use wsgi_tests::{Builder, Mode, Server};

/// Directives that work.
const SUPPORTED: &[&str] = &[
    "WSGIRestrictProcess",
    "WSGICaseSensitivity",
    "WSGIVerboseDebugging",
    "WSGIPassApacheRequest",
    "WSGIErrorOverride",
    "WSGIIgnoreActivity",
    "WSGIMapHEADToGET",
    "WSGITrustedProxyHeaders",
    "WSGITrustedProxies",
    "WSGIEnableSendfile",
    "WSGIScriptAlias",
    "WSGIScriptAliasMatch",
    "WSGIDaemonProcess",
    "WSGIProcessGroup",
    "WSGIApplicationGroup",
    "WSGICallableObject",
    "WSGIPythonHome",
    "WSGIPythonPath",
    "WSGISocketPrefix",
    "WSGIRestrictEmbedded",
    "WSGIImportScript",
    "WSGIScriptReloading",
    "WSGIChunkedRequest",
    "WSGIPassAuthorization",
    "WSGIAcceptMutex",
    "WSGISocketRotation",
    "WSGIDestroyInterpreter",
    "WSGIDontWriteBytecode",
    "WSGIFreeThreading",
    "WSGIPerInterpreterGIL",
    "WSGIPythonEggs",
    "WSGIPythonHashSeed",
    "WSGIPythonOptimize",
    "WSGIPythonWarnings",
    "WSGIRestrictSignal",
    "WSGIRestrictStdin",
    "WSGIRestrictStdout",
    "WSGISwitchInterval",
    "WSGIInterpreterOptions",
    "WSGIAccessScript",
    "WSGIAuthUserScript",
    "WSGIAuthGroupScript",
    "WSGIGroupAuthoritative",
    "WSGIDispatchScript",
    "WSGIHandlerScript",
];

/// Directives that mod_wsgi has not.
const OURS: &[&str] = &["WSGIModuleReloading"];

/// Lines that are wrong, and what the sentence must name beside the directive.
const WRONG: &[(&str, &str)] = &[
    ("WSGIScriptAlias /only", "WSGIScriptAlias"),
    (
        "WSGIScriptAlias / /x.wsgi no-such-option=1",
        "no-such-option",
    ),
    ("WSGIScriptAlias / /x.wsgi process-group=", "process-group"),
    (
        "WSGIScriptAlias / /x.wsgi application-group=",
        "application-group",
    ),
    (
        "WSGIScriptAlias / /x.wsgi callable-object=",
        "callable-object",
    ),
    (
        "WSGIScriptAlias / /x.wsgi pass-authorization=perhaps",
        "pass-authorization",
    ),
    ("WSGIScriptAliasMatch ^/(x /x.wsgi", "^/(x"),
    ("WSGIScriptAliasMatch ^/x", "WSGIScriptAliasMatch"),
    ("WSGIDaemonProcess", "WSGIDaemonProcess"),
    ("WSGIDaemonProcess a no-such-option=1", "no-such-option"),
    ("WSGIDaemonProcess a processes=0", "processes"),
    ("WSGIDaemonProcess a processes=many", "processes"),
    ("WSGIDaemonProcess a threads=-1", "threads"),
    ("WSGIDaemonProcess a threads=65534", "threads"),
    (
        "WSGIDaemonProcess a user=no-such-account",
        "no-such-account",
    ),
    ("WSGIDaemonProcess a group=no-such-group", "no-such-group"),
    ("WSGIDaemonProcess a user=root", "root"),
    ("WSGIDaemonProcess a user=#0", "user"),
    ("WSGIDaemonProcess a umask=999", "umask"),
    ("WSGIDaemonProcess a home=relative", "home"),
    (
        "WSGIDaemonProcess a supplementary-groups=audio,no-such-group",
        "no-such-group",
    ),
    ("WSGIDaemonProcess a cpu-priority=21", "cpu-priority"),
    ("WSGIDaemonProcess a cpu-priority=high", "cpu-priority"),
    ("WSGIDaemonProcess a cpu-time-limit=-1", "cpu-time-limit"),
    ("WSGIDaemonProcess a memory-limit=1T", "memory-limit"),
    (
        "WSGIDaemonProcess a virtual-memory-limit=-1",
        "virtual-memory-limit",
    ),
    ("WSGIDaemonProcess a stack-size=8192", "stack-size"),
    ("WSGIDaemonProcess a chroot=jail", "chroot"),
    (
        "WSGIDaemonProcess a chroot=/srv/jail\n\
         WSGIImportScript /x.py process-group=a application-group=b",
        "/x.py",
    ),
    (
        "WSGIDaemonProcess a script-user=games script-group=games",
        "exclude each other",
    ),
    (
        "WSGIDaemonProcess a script-user=no-such-account",
        "no-such-account",
    ),
    (
        "WSGIDaemonProcess a script-group=no-such-group",
        "no-such-group",
    ),
    (
        "WSGIDaemonProcess a socket-user=no-such-account",
        "no-such-account",
    ),
    ("WSGIDaemonProcess a env=1A=x", "env"),
    ("WSGIDaemonProcess a env=A", "env"),
    ("WSGIDaemonProcess a env-file=relative", "env-file"),
    ("WSGIDaemonProcess a preload=On", "preload"),
    (
        "WSGIDaemonProcess a preload=fork threads=0",
        "exclude each other",
    ),
    ("WSGIDaemonProcess a listen-backlog=0", "listen-backlog"),
    (
        "WSGIDaemonProcess a startup-timeout=soon",
        "startup-timeout",
    ),
    (
        "WSGIDaemonProcess a inactivity-timeout=-1",
        "inactivity-timeout",
    ),
    ("WSGIIgnoreActivity", "WSGIIgnoreActivity"),
    ("WSGIIgnoreActivity maybe", "WSGIIgnoreActivity"),
    (
        "WSGIDaemonProcess a shutdown-timeout=-1",
        "shutdown-timeout",
    ),
    ("WSGIDaemonProcess a graceful-timeout=x", "graceful-timeout"),
    ("WSGIDaemonProcess a connect-timeout=x", "connect-timeout"),
    (
        "WSGIDaemonProcess a maximum-requests=1+",
        "maximum-requests",
    ),
    (
        "WSGIDaemonProcess a restart-interval=-5",
        "restart-interval",
    ),
    ("WSGIDaemonProcess a deadlock-timeout=x", "deadlock-timeout"),
    ("WSGIDaemonProcess a request-timeout=1.5", "request-timeout"),
    (
        "WSGIDaemonProcess a interrupt-timeout=-1",
        "interrupt-timeout",
    ),
    ("WSGIDaemonProcess a recycle-memory=1T", "recycle-memory"),
    ("WSGIDaemonProcess a eviction-timeout=x", "eviction-timeout"),
    ("WSGIDaemonProcess a queue-timeout=-1", "queue-timeout"),
    (
        "WSGIDaemonProcess a response-socket-timeout=x",
        "response-socket-timeout",
    ),
    (
        "WSGIDaemonProcess a send-buffer-size=511",
        "send-buffer-size",
    ),
    (
        "WSGIDaemonProcess a receive-buffer-size=511",
        "receive-buffer-size",
    ),
    (
        "WSGIDaemonProcess a header-buffer-size=8191",
        "header-buffer-size",
    ),
    (
        "WSGIDaemonProcess a response-buffer-size=65535",
        "response-buffer-size",
    ),
    (
        "WSGIDaemonProcess a response-flush-delay=0.5",
        "response-flush-delay",
    ),
    ("WSGIDaemonProcess a socket-timeout=x", "socket-timeout"),
    ("WSGIDaemonProcess a\nWSGIDaemonProcess a threads=2", "'a'"),
    ("WSGIProcessGroup", "WSGIProcessGroup"),
    ("WSGIProcessGroup a b", "WSGIProcessGroup"),
    ("WSGIApplicationGroup", "WSGIApplicationGroup"),
    ("WSGICallableObject", "WSGICallableObject"),
    ("WSGIPythonHome", "WSGIPythonHome"),
    ("WSGIPythonPath", "WSGIPythonPath"),
    ("WSGISocketPrefix", "WSGISocketPrefix"),
    ("WSGIRestrictEmbedded perhaps", "perhaps"),
    ("WSGIScriptReloading perhaps", "perhaps"),
    ("WSGIModuleReloading perhaps", "perhaps"),
    ("WSGIChunkedRequest perhaps", "perhaps"),
    ("WSGIPassAuthorization perhaps", "perhaps"),
    ("WSGIErrorOverride perhaps", "perhaps"),
    ("WSGIMapHEADToGET perhaps", "perhaps"),
    ("WSGIEnableSendfile perhaps", "perhaps"),
    ("WSGIPassApacheRequest perhaps", "perhaps"),
    ("WSGICaseSensitivity perhaps", "perhaps"),
    ("WSGIRestrictProcess", "WSGIRestrictProcess"),
    ("WSGIRestrictProcess \"open", "open"),
    ("WSGITrustedProxies", "WSGITrustedProxies"),
    ("WSGITrustedProxies 10.0.0.0/33", "10.0.0.0/33"),
    ("WSGITrustedProxies example.com", "example.com"),
    ("WSGITrustedProxyHeaders", "WSGITrustedProxyHeaders"),
    ("WSGIPythonOptimize 3", "'3'"),
    ("WSGIPythonWarnings", "WSGIPythonWarnings"),
    ("WSGIPythonWarnings \"\"", "WSGIPythonWarnings"),
    ("WSGIPythonHashSeed 4294967296", "4294967296"),
    ("WSGIPythonHashSeed maybe", "maybe"),
    ("WSGIPythonEggs", "WSGIPythonEggs"),
    ("WSGIDontWriteBytecode perhaps", "perhaps"),
    ("WSGISwitchInterval 0", "'0'"),
    ("WSGISwitchInterval soon", "soon"),
    ("WSGIPerInterpreterGIL perhaps", "perhaps"),
    ("WSGIFreeThreading perhaps", "perhaps"),
    ("WSGIDestroyInterpreter perhaps", "perhaps"),
    ("WSGIRestrictStdin perhaps", "perhaps"),
    ("WSGIRestrictStdout perhaps", "perhaps"),
    ("WSGIRestrictSignal perhaps", "perhaps"),
    ("WSGIDaemonProcess a python-eggs=relative", "python-eggs"),
    ("WSGIDaemonProcess a switch-interval=-1", "switch-interval"),
    ("WSGIImportScript", "WSGIImportScript"),
    (
        "WSGIImportScript /x.py process-group=a",
        "application-group",
    ),
    (
        "WSGIImportScript /x.py application-group=a",
        "process-group",
    ),
    (
        "WSGIImportScript /x.py process-group=absent application-group=a",
        "absent",
    ),
    (
        "WSGIScriptAlias / /x.wsgi process-group=absent application-group=a",
        "absent",
    ),
];

fn with(directive: &str) -> Builder {
    Server::builder(Mode::Embedded).directive(directive)
}

#[test]
fn every_wrong_argument_stops_httpd_with_a_sentence() {
    if only_ours("it is more forgiving, and its sentences name less") {
        return;
    }
    let mut complaints = Vec::new();
    for (line, named) in WRONG {
        let (right, said) = with(line).configtest();
        let directive = line.split([' ', '\n']).next().unwrap_or_default();
        if right {
            complaints.push(format!("accepted: {line}"));
        } else if !said.contains(directive) || !said.contains(named) {
            complaints.push(format!("{line}: names not {directive} and {named}: {said}"));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn directives_of_the_server_are_refused_in_virtual_hosts_and_htaccess_contexts() {
    for line in [
        "<VirtualHost *:1>\nWSGIPythonHome /usr\n</VirtualHost>",
        "<VirtualHost *:1>\nWSGIPythonPath /usr\n</VirtualHost>",
        "<VirtualHost *:1>\nWSGISocketPrefix run/x\n</VirtualHost>",
        "<VirtualHost *:1>\nWSGIRestrictEmbedded On\n</VirtualHost>",
        "<Location />\nWSGIDaemonProcess a\n</Location>",
        "<Directory />\nWSGIScriptAlias / /x.wsgi\n</Directory>",
        "<Location />\nWSGIImportScript /x.py process-group=a application-group=b\n</Location>",
    ] {
        let (right, said) = with(line).configtest();
        assert!(!right, "{line}: {said}");
        assert!(
            said.contains("cannot occur within") || said.contains("not allowed"),
            "{said}"
        );
    }
}

#[test]
fn every_directive_is_listed_with_a_line_about_it() {
    let server = Server::builder(Mode::Embedded)
        .modules(&["info"])
        .directive("<Location /server-info>\nSetHandler server-info\n</Location>")
        .start();
    let page = server.text("/server-info");
    let names = SUPPORTED
        .iter()
        .chain(if compat().is_none() { OURS } else { &[] })
        .copied();
    for name in names {
        let Some((_, rest)) = page.split_once(name) else {
            panic!("{name} is not listed");
        };
        let about = rest.lines().next().unwrap_or_default();
        assert!(about.len() > 20, "{name}: {about}");
    }
}

#[test]
fn arguments_are_taken_in_every_spelling_that_httpd_allows() {
    for line in [
        "WSGIScriptAlias /a @APPS@/hello/app.wsgi application-group=\"a b\"",
        "WSGIScriptAlias /a '@APPS@/hello/app.wsgi' pass-authorization=on",
        "WSGIChunkedRequest oN",
        "WSGIDaemonProcess \"a b\" display-name=\"two words\"",
        "WSGIDaemonProcess a threads=2\nWSGIDaemonProcess a threads=2",
        "WSGIDaemonProcess a umask=022 home=/ listen-backlog=10 startup-timeout=5",
        "WSGIDaemonProcess a graceful-timeout=5 connect-timeout=5 socket-timeout=5 inactivity-timeout=60",
        "WSGIIgnoreActivity oN",
        "WSGIDaemonProcess a user=#33 group=#33 shutdown-timeout=0",
        "WSGIProcessGroup %{GLOBAL}\nWSGIApplicationGroup %{SERVER}",
        "WSGIPythonPath /usr/lib:/usr/share",
    ] {
        // There a group may not be defined again in the same words.
        let again = line.matches("WSGIDaemonProcess a ").count() > 1;
        if again && compat().is_some() {
            continue;
        }
        let (right, said) = with(line).configtest();
        assert!(right, "{line}: {said}");
    }
}

#[test]
fn a_configuration_of_many_years_ago_still_starts() {
    let server = Server::builder(Mode::Embedded)
        .directive(
            "<VirtualHost *:@PORT@>\n\
             ServerName www.example.com\n\
             ServerAlias example.com localhost\n\
             DocumentRoot @ROOT@/htdocs\n\
             WSGIDaemonProcess example.com processes=2 threads=15 display-name=%{GROUP}\n\
             WSGIProcessGroup example.com\n\
             WSGIScriptAlias /myapp @APPS@/environ/app.wsgi\n\
             <Directory @APPS@/environ>\n\
             <IfVersion < 2.4>\nOrder allow,deny\nAllow from all\n</IfVersion>\n\
             <IfVersion >= 2.4>\nRequire all granted\n</IfVersion>\n\
             </Directory>\n\
             </VirtualHost>",
        )
        .start();
    assert!(server.text("/myapp").contains("'example.com'"));
}

#[test]
fn what_is_met_without_a_directive_is_accepted_and_told_once() {
    let lines = "WSGIAcceptMutex fcntl\nWSGISocketRotation Off\n\
                 <Location />\nWSGIGroupAuthoritative Off\n</Location>";
    let (right, said) = with(lines).configtest();
    assert!(right, "{said}");
    if only_ours("there they have their effect") {
        return;
    }
    for directive in [
        "WSGIAcceptMutex",
        "WSGISocketRotation",
        "WSGIGroupAuthoritative",
    ] {
        let text = format!("{directive} is accepted and has no effect");
        assert_eq!(said.matches(&text).count(), 1, "{said}");
    }
    for (wrong, named) in [
        ("WSGIAcceptMutex sometimes", "sometimes"),
        ("WSGISocketRotation often", "often"),
    ] {
        let (right, said) = with(wrong).configtest();
        assert!(!right && said.contains(named), "{wrong}: {said}");
    }
}

#[test]
fn directives_of_earlier_versions_load_and_name_what_replaced_them() {
    if only_ours("it refuses what it has removed") {
        return;
    }
    let lines = [
        "WSGILazyInitialization Off",
        "WSGIPy3kWarningFlag On",
        "WSGINewRelicConfigFile /etc/newrelic.ini",
        "WSGINewRelicEnvironment production",
        "WSGIReloadMechanism Process",
        "WSGIOutputBuffering Off",
        "WSGIVerboseDebugging On",
        "<Directory />\nWSGIUserAuthoritative On\n</Directory>",
    ];
    let (right, said) = with(&[&lines[..], &lines[..]].concat().join("\n")).configtest();
    assert!(right, "{said}");
    for line in lines {
        let name = line
            .split(['\n', ' '])
            .find(|word| word.starts_with("WSGI"));
        let text = format!(
            "{} is accepted and has no effect: ",
            name.unwrap_or_default()
        );
        assert_eq!(said.matches(&text).count(), 1, "{text}{said}");
    }
}

#[test]
fn a_header_that_cannot_be_trusted_is_told() {
    let (right, said) = with("WSGITrustedProxyHeaders X-Forwarded-For X-Foo").configtest();
    assert!(right, "{said}");
    assert!(
        only_ours("it says nothing") || said.contains("X-Foo"),
        "{said}"
    );
}
