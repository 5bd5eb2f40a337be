//! WSGIImportScript: a script that is loaded when its process starts.
//!
//! Runs in httpd's parent while the configuration is read. Whether the process group exists is the
//! caller's to check, since only it knows the groups.

use crate::alias::{option_of, words_of};
use crate::error::OptionError;
use crate::group::translate_global;

const DIRECTIVE: &str = "WSGIImportScript";

/// The arguments of one WSGIImportScript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportScript {
    /// The script, as written: absolute or relative to the ServerRoot.
    pub script: Vec<u8>,
    /// Where it is loaded; empty for embedded mode.
    pub process_group: Vec<u8>,
    /// The interpreter it is loaded into; empty for the main one.
    pub application_group: Vec<u8>,
}

/// Reads `script process-group=name application-group=name`. Both options are mandatory, and of
/// the tokens only `%{GLOBAL}` has a meaning, as no request is at hand.
pub fn parse(args: &[u8]) -> Result<ImportScript, OptionError> {
    let mut words = words_of(DIRECTIVE, args)?.into_iter();
    let missing = |argument| OptionError::Missing {
        directive: DIRECTIVE.to_owned(),
        argument,
    };
    let script = words
        .next()
        .filter(|script| !script.is_empty())
        .ok_or_else(|| missing("the path of a script"))?;
    let (mut process_group, mut application_group) = (None, None);
    for word in words {
        let (name, value) = option_of(DIRECTIVE, &word)?;
        let (known, slot) = match name {
            b"process-group" => ("process-group", &mut process_group),
            b"application-group" => ("application-group", &mut application_group),
            _ => {
                return Err(OptionError::Unknown {
                    directive: DIRECTIVE.to_owned(),
                    option: crate::error::shown(name),
                });
            }
        };
        if value.is_empty() {
            return Err(OptionError::Value {
                directive: DIRECTIVE.to_owned(),
                option: known,
                value: String::new(),
                expected: "a name or %{GLOBAL}",
            });
        }
        *slot = Some(translate_global(value));
    }
    Ok(ImportScript {
        script,
        process_group: process_group.ok_or_else(|| missing("the option process-group="))?,
        application_group: application_group
            .ok_or_else(|| missing("the option application-group="))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(args: &str) -> String {
        parse(args.as_bytes()).expect_err("refused").to_string()
    }

    #[test]
    fn global_is_translated_while_the_configuration_is_read() {
        let script = parse(b"/srv/a.wsgi process-group=app application-group=%{GLOBAL}");
        assert_eq!(
            script,
            Ok(ImportScript {
                script: b"/srv/a.wsgi".to_vec(),
                process_group: b"app".to_vec(),
                application_group: Vec::new(),
            })
        );
    }

    #[test]
    fn both_groups_and_the_script_are_mandatory() {
        assert_eq!(
            refused(""),
            "WSGIImportScript: the path of a script is required"
        );
        assert_eq!(
            refused("/a process-group=x"),
            "WSGIImportScript: the option application-group= is required"
        );
        assert_eq!(
            refused("/a application-group=x"),
            "WSGIImportScript: the option process-group= is required"
        );
    }

    #[test]
    fn other_options_and_empty_names_are_refused() {
        assert_eq!(
            refused("/a callable-object=x"),
            "WSGIImportScript: unknown option 'callable-object'"
        );
        assert_eq!(
            refused("/a process-group="),
            "WSGIImportScript: invalid value '' for option 'process-group': \
             a name or %{GLOBAL} is expected"
        );
    }
}
