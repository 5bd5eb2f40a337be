//! WSGIHandlerScript gives a handler's name to a script; WSGIDispatchScript chooses an application by
//! functions.

use wsgi_tests::apache::{compat, only_ours};
use wsgi_tests::{Builder, Mode, Request, Server};

/// Where dispatch functions run: our own addition lets a daemon have them.
fn place(mode: Mode) -> &'static str {
    match mode {
        Mode::Daemon if compat().is_none() => "process-group=app",
        _ => "",
    }
}

fn dispatching(mode: Mode, script: &str) -> Builder {
    Server::builder(mode)
        .directive("WSGIDaemonProcess blue processes=1 threads=2")
        .directive(
            "WSGIScriptAlias /fixed @APPS@/functions/app.wsgi application-group=x \
             callable-object=application",
        )
        .app("/", "functions")
        .directive(&format!(
            "SetEnv CHOSEN second\nSetEnv GROUP blue\n<Location />\nWSGIApplicationGroup usual\n\
             WSGIDispatchScript @APPS@/functions/{script} {}\n</Location>",
            place(mode)
        ))
}

in_both_modes! {
    fn functions_choose_the_application(mode) {
        let server = dispatching(mode, "chooses.py").start();
        let usual = if mode == Mode::Daemon { "app" } else { "" };
        let told = |query: &str| server.text(&format!("/?{query}"));
        assert_eq!(told("environ"), format!("application|{usual}|usual|-"));
        assert_eq!(told("group=none&application=none"), format!("application|{usual}|usual|-"));
        assert_eq!(told("group=blue"), "application|blue|usual|-");
        assert_eq!(told("application=mine"), format!("application|{usual}|mine|-"));
        assert_eq!(told("application=%25%7BGLOBAL%7D"), format!("application|{usual}||-"));
        assert_eq!(told("callable=second"), format!("second|{usual}|usual|-"));
        assert_eq!(told("callable=bytes"), format!("second|{usual}|usual|-"));
        assert_eq!(told("group=blue&application=mine&callable=second"), "second|blue|mine|-");
    }

    fn chosen_names_may_be_variables(mode) {
        let server = dispatching(mode, "chooses.py").start();
        let text = server.text("/?group=%25%7BENV:GROUP%7D&callable=%25%7BENV:CHOSEN%7D");
        assert_eq!(text, "second|blue|usual|-");
    }

    fn a_choice_goes_before_the_options_of_an_alias(mode) {
        let server = dispatching(mode, "chooses.py").start();
        assert_eq!(server.text("/fixed?group=blue"), "application|blue|x|-");
        let chosen = "/fixed?group=blue&application=mine&callable=second";
        assert_eq!(server.text(chosen), "second|blue|mine|-");
    }

    fn each_function_may_be_missing(mode) {
        let server = dispatching(mode, "chooses_callable.py").start();
        let usual = if mode == Mode::Daemon { "app" } else { "" };
        assert_eq!(server.text("/"), format!("second|{usual}|usual|-"));
    }

    fn a_choice_that_is_no_name_is_an_error(mode) {
        let mut server = dispatching(mode, "chooses.py").start();
        server.expect_traceback("ValueError");
        for text in ["no choice", "unknown", "TypeError", "UnicodeEncodeError", "process_group",
                     "application_group", "nowhere", "codec"] {
            server.allow_log(text);
        }
        for query in ["group=raise", "callable=raise", "group=number", "application=wide",
                      "group=nowhere"] {
            assert_eq!(server.get(&format!("/?{query}")).status(), 500, "{query}");
        }
    }

    fn a_dispatch_script_that_cannot_be_loaded_is_an_error(mode) {
        if only_ours("there the usual application answers") {
            return;
        }
        let mut server = dispatching(mode, "gone.py").start();
        server.expect_log("gone.py");
        assert_eq!(server.get("/").status(), 500);
    }

    fn a_handler_script_answers_in_place_of_a_file(mode) {
        let server = Server::builder(mode)
            .directive("WSGIHandlerScript mine @APPS@/functions/handles.py")
            .directive("WSGIApplicationGroup usual\nAddHandler mine .my")
            .directive("<Location /located>\nSetHandler mine\n</Location>")
            .file("htdocs/page.my", "not this")
            .start();
        let group = if mode == Mode::Daemon { "app" } else { "" };
        let told = |file: &str, script: &str, path: &str| {
            format!("{file}|{script}|{path}|mine|handle_request|{group}|usual|-|")
        };
        assert_eq!(server.text("/page.my"), told("page.my", "/page.my", ""));
        assert_eq!(server.text("/page.my/more"), told("page.my", "/page.my", "/more"));
        // The file need not be there.
        assert_eq!(server.text("/gone.my"), told("gone.my", "/gone.my", ""));
        assert_eq!(server.text("/located/x"), told("located", "/located", "/x"));
        let response = server.send(&Request::post("/page.my", "the body"));
        assert!(response.text().ends_with("|-|the body"), "{}", response.text());
    }

    fn options_of_a_handler_go_before_the_directives(mode) {
        let server = Server::builder(mode)
            .directive("WSGIDaemonProcess blue")
            .directive(
                "WSGIHandlerScript mine \"@APPS@/functions/handles.py\" process-group=blue \
                 application-group=%{GLOBAL} pass-authorization=On",
            )
            .directive("WSGIApplicationGroup usual\n<Location /x>\nSetHandler mine\n</Location>")
            .start();
        let request = Request::get("/x").header("Authorization", "Bearer abc");
        let text = server.send(&request).text();
        assert_eq!(text, "x|/x||mine|handle_request|blue||Bearer abc|");
    }

    fn handlers_of_an_inner_scope_are_laid_over_those_around_it(mode) {
        let server = Server::builder(mode)
            .directive(
                "WSGIHandlerScript one @APPS@/functions/handles.py\n\
                 WSGIHandlerScript two @APPS@/functions/handles.py\n\
                 <Location /inner>\nWSGIHandlerScript one @APPS@/functions/handles_otherwise.py\n\
                 </Location>\n\
                 <LocationMatch one$>\nSetHandler one\n</LocationMatch>\n\
                 <LocationMatch two$>\nSetHandler two\n</LocationMatch>",
            )
            .start();
        assert!(server.text("/one").contains("|one|handle_request|"));
        assert_eq!(server.text("/inner/one"), "otherwise");
        assert!(server.text("/inner/two").contains("|two|handle_request|"));
    }

    fn a_handler_script_without_its_function_is_an_error(mode) {
        let mut server = Server::builder(mode)
            .directive("WSGIHandlerScript mine @APPS@/functions/app.wsgi")
            .directive("<Location /x>\nSetHandler mine\n</Location>")
            .start();
        server.expect_log("handle_request");
        let status = server.get("/x").status();
        // mod_wsgi answers 404 in embedded mode.
        assert!(matches!(status, 404 | 500), "{status}");
    }
}
