//! WSGIAccessScript, WSGIAuthUserScript, WSGIAuthGroupScript and WSGIDispatchScript: a script whose
//! functions decide, and where they run. WSGIHandlerScript: a script that answers in place of a file.
//!
//! Arguments are read in httpd's parent; of `.htaccess` files in Apache children.

use crate::alias::{AliasOptions, option_of, take_option, words_of};
use crate::error::{OptionError, shown};

/// The function that a handler script defines.
const HANDLE_REQUEST: &[u8] = b"handle_request";

/// The arguments of a directive that names a script with functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionScript {
    /// The script's path.
    pub path: Vec<u8>,
    /// `process-group=`; empty for Apache's own processes.
    pub process_group: Vec<u8>,
    /// `application-group=`; empty for the main interpreter, which is also the default.
    pub application_group: Vec<u8>,
    /// Whether the main interpreter is asked for by its name.
    pub names_main: bool,
}

/// Reads `path [process-group=name] [application-group=name]`; `directive` is named in errors.
pub fn parse(directive: &str, args: &[u8]) -> Result<FunctionScript, OptionError> {
    let mut words = words_of(directive, args)?.into_iter();
    let path = required(directive, words.next(), "the path of a script")?;
    let mut options = AliasOptions::default();
    for word in words {
        match option_of(directive, &word)?.0 {
            b"process-group" | b"application-group" => {
                take_option(directive, &word, &mut options)?;
            }
            name => return Err(unknown(directive, name)),
        }
    }
    Ok(FunctionScript {
        path,
        names_main: options.application_group.as_deref() == Some(b""),
        process_group: options.process_group.unwrap_or_default(),
        application_group: options.application_group.unwrap_or_default(),
    })
}

/// The arguments of WSGIHandlerScript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerScript {
    /// The name for SetHandler and AddHandler.
    pub handler: Vec<u8>,
    /// The script's path.
    pub path: Vec<u8>,
    /// The options, and `handle_request` for the callable.
    pub options: AliasOptions,
}

/// Reads `handler path [option=value ...]` of WSGIHandlerScript.
pub fn parse_handler(directive: &str, args: &[u8]) -> Result<HandlerScript, OptionError> {
    let mut words = words_of(directive, args)?.into_iter();
    let handler = required(directive, words.next(), "the name of a handler")?;
    let path = required(directive, words.next(), "the path of a script")?;
    let mut options = AliasOptions::default();
    for word in words {
        match option_of(directive, &word)?.0 {
            name @ b"callable-object" => return Err(unknown(directive, name)),
            _ => take_option(directive, &word, &mut options)?,
        }
    }
    options.callable_object = Some(HANDLE_REQUEST.to_vec());
    Ok(HandlerScript {
        handler,
        path,
        options,
    })
}

fn required(
    directive: &str,
    word: Option<Vec<u8>>,
    argument: &'static str,
) -> Result<Vec<u8>, OptionError> {
    word.filter(|word| !word.is_empty())
        .ok_or_else(|| OptionError::Missing {
            directive: directive.to_owned(),
            argument,
        })
}

fn unknown(directive: &str, name: &[u8]) -> OptionError {
    OptionError::Unknown {
        directive: directive.to_owned(),
        option: shown(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(args: &str) -> FunctionScript {
        parse("WSGIAccessScript", args.as_bytes()).expect("accepted")
    }

    fn refused(args: &str) -> String {
        let error = parse("WSGIAccessScript", args.as_bytes()).expect_err("refused");
        error.to_string()
    }

    #[test]
    fn functions_run_in_the_main_interpreter_of_apaches_processes_by_default() {
        let script = script("\"/srv/my access.py\"");
        assert_eq!(script.path, b"/srv/my access.py");
        assert_eq!(script.process_group, b"");
        assert_eq!(script.application_group, b"");
        assert!(!script.names_main);
    }

    #[test]
    fn options_move_functions_elsewhere() {
        let in_group = script("/a.py process-group=web application-group=%{SERVER}");
        assert_eq!(in_group.process_group, b"web");
        assert_eq!(in_group.application_group, b"%{SERVER}");
        let main = script("/a.py application-group=%{GLOBAL}");
        assert_eq!(main.application_group, b"");
        assert!(main.names_main);
    }

    #[test]
    fn what_such_a_script_does_not_take_is_named() {
        assert_eq!(
            refused(""),
            "WSGIAccessScript: the path of a script is required"
        );
        assert_eq!(
            refused("/a callable-object=x"),
            "WSGIAccessScript: unknown option 'callable-object'"
        );
        assert_eq!(
            refused("/a process-group="),
            "WSGIAccessScript: invalid value '' for option 'process-group': \
             a name or %{GLOBAL} is expected"
        );
    }

    #[test]
    fn a_handler_has_a_name_a_script_and_the_options_of_an_alias() {
        let parsed = parse_handler(
            "WSGIHandlerScript",
            b"my-handler /srv/h.py process-group=web pass-authorization=On",
        );
        let handler = parsed.expect("accepted");
        assert_eq!(handler.handler, b"my-handler");
        assert_eq!(handler.path, b"/srv/h.py");
        assert_eq!(handler.options.process_group.as_deref(), Some(&b"web"[..]));
        assert_eq!(handler.options.pass_authorization, Some(true));
        let callable = handler.options.callable_object.as_deref();
        assert_eq!(callable, Some(HANDLE_REQUEST));
        for args in [
            &b"my-handler"[..],
            b"",
            b"h /p callable-object=x",
            b"h /p x=y",
        ] {
            assert!(parse_handler("WSGIHandlerScript", args).is_err());
        }
    }
}
