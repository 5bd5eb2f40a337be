//! On and Off, the value of every switch.
//!
//! Runs in httpd's parent while the configuration is read. Parsed here and not by httpd's own
//! flag type so that the directives and the options of an alias give the same sentence.

use crate::error::{OptionError, shown};

/// `On` or `Off`, in any case; `directive` is named in the error.
pub fn parse(directive: &str, value: &[u8]) -> Result<bool, OptionError> {
    if value.eq_ignore_ascii_case(b"on") {
        Ok(true)
    } else if value.eq_ignore_ascii_case(b"off") {
        Ok(false)
    } else {
        Err(OptionError::Flag {
            directive: directive.to_owned(),
            value: shown(value),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_and_off_are_taken_in_any_case_and_nothing_else() {
        assert_eq!(parse("WSGIScriptReloading", b"On"), Ok(true));
        assert_eq!(parse("WSGIScriptReloading", b"oFF"), Ok(false));
        let error = parse("WSGIScriptReloading", b"yes").expect_err("not a flag");
        assert_eq!(
            error.to_string(),
            "WSGIScriptReloading must be one of: Off | On, not 'yes'"
        );
    }
}
