//! WSGIScriptAlias and WSGIScriptAliasMatch: their arguments, and which URLs an alias takes.
//!
//! Arguments are read in httpd's parent; matching runs in Apache children on every request, before
//! anything else of ours, and allocates nothing.

use crate::error::{OptionError, shown};
use crate::group::translate_global;
use crate::{flag, words};

/// The options of an alias; what is absent is left to the directives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AliasOptions {
    /// `process-group=`; empty for embedded mode.
    pub process_group: Option<Vec<u8>>,
    /// `application-group=`; empty for the main interpreter.
    pub application_group: Option<Vec<u8>>,
    /// `callable-object=`, used as it is written: no token has a meaning here.
    pub callable_object: Option<Vec<u8>>,
    /// `pass-authorization=`.
    pub pass_authorization: Option<bool>,
}

/// The arguments of one alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptAlias {
    /// The URL prefix, or for WSGIScriptAliasMatch the source of the regular expression.
    pub url: Vec<u8>,
    /// The script or directory, for WSGIScriptAliasMatch with `$n` for the groups.
    pub target: Vec<u8>,
    /// The options.
    pub options: AliasOptions,
}

impl ScriptAlias {
    /// Whether the script and both of its groups are known before any request, so that it can be
    /// loaded when its process starts.
    pub fn preload(&self) -> bool {
        let fixed = |group: &Option<Vec<u8>>| {
            group
                .as_ref()
                .is_some_and(|name| !name.windows(2).any(|pair| pair == b"%{"))
        };
        fixed(&self.options.process_group)
            && fixed(&self.options.application_group)
            && !self.target.contains(&b'$')
            // A target for a directory of scripts names none of them.
            && !self.target.ends_with(b"/")
    }
}

/// Reads `url target [option=value ...]`; `directive` is named in errors.
pub fn parse(directive: &str, args: &[u8]) -> Result<ScriptAlias, OptionError> {
    let mut words = words_of(directive, args)?.into_iter();
    let mut positional = |argument| {
        words
            .next()
            .filter(|word| !word.is_empty())
            .ok_or(OptionError::Missing {
                directive: directive.to_owned(),
                argument,
            })
    };
    let url = positional("a URL")?;
    let target = positional("the path of a script or of a directory of scripts")?;
    let mut options = AliasOptions::default();
    for word in words {
        take_option(directive, &word, &mut options)?;
    }
    Ok(ScriptAlias {
        url,
        target,
        options,
    })
}

pub(crate) fn take_option(
    directive: &str,
    word: &[u8],
    options: &mut AliasOptions,
) -> Result<(), OptionError> {
    let (name, value) = option_of(directive, word)?;
    let named = |option, expected| {
        if value.is_empty() {
            return Err(OptionError::Value {
                directive: directive.to_owned(),
                option,
                value: String::new(),
                expected,
            });
        }
        Ok(translate_global(value))
    };
    match name {
        b"process-group" => {
            options.process_group = Some(named("process-group", "a name or %{GLOBAL}")?);
        }
        b"application-group" => {
            options.application_group = Some(named("application-group", "a name or %{GLOBAL}")?);
        }
        b"callable-object" => {
            named("callable-object", "the name of a global of the script")?;
            options.callable_object = Some(value.to_vec());
        }
        b"pass-authorization" => {
            let switch = format!("{directive}: option 'pass-authorization'");
            options.pass_authorization = Some(flag::parse(&switch, value)?);
        }
        _ => {
            return Err(OptionError::Unknown {
                directive: directive.to_owned(),
                option: shown(name),
            });
        }
    }
    Ok(())
}

/// How many bytes at the start of `uri` the alias `prefix` takes, or `None` if it does not match.
///
/// As in mod_alias: a run of slashes in the prefix matches a run in the URI, and the prefix's
/// last component must be a whole component of the URI. The alias `/` takes nothing, so that
/// what is left, which is appended to a script's path, keeps its slash.
pub fn match_prefix(uri: &[u8], prefix: &[u8]) -> Option<usize> {
    let (mut at, mut wanted) = (0, 0);
    while let Some(&byte) = prefix.get(wanted) {
        if uri.get(at) != Some(&byte) {
            return None;
        }
        if byte == b'/' {
            wanted += slashes(&prefix[wanted..]);
            at += slashes(&uri[at..]);
        } else {
            wanted += 1;
            at += 1;
        }
    }
    if prefix.iter().all(|&byte| byte == b'/') {
        return (!prefix.is_empty()).then_some(0);
    }
    let whole = prefix.ends_with(b"/") || matches!(uri.get(at), None | Some(b'/'));
    whole.then_some(at)
}

fn slashes(text: &[u8]) -> usize {
    text.iter().take_while(|&&byte| byte == b'/').count()
}

/// The words of `args`, with the directive named in the error.
pub(crate) fn words_of(directive: &str, args: &[u8]) -> Result<Vec<Vec<u8>>, OptionError> {
    words::split(args).map_err(|source| OptionError::Words {
        directive: directive.to_owned(),
        source,
    })
}

/// The name and value of the option `word`.
pub(crate) fn option_of<'w>(
    directive: &str,
    word: &'w [u8],
) -> Result<(&'w [u8], &'w [u8]), OptionError> {
    word.iter()
        .position(|&byte| byte == b'=')
        .filter(|&at| at > 0)
        .map(|at| (&word[..at], &word[at + 1..]))
        .ok_or_else(|| OptionError::NotAnOption {
            directive: directive.to_owned(),
            word: shown(word),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias(args: &str) -> ScriptAlias {
        parse("WSGIScriptAlias", args.as_bytes()).expect("accepted")
    }

    fn refused(args: &str) -> String {
        let error = parse("WSGIScriptAlias", args.as_bytes()).expect_err("refused");
        error.to_string()
    }

    #[test]
    fn the_options_follow_url_and_target() {
        let alias = alias(
            r#"/app "/srv/my app.wsgi" process-group=blue application-group=%{GLOBAL}
               callable-object="app" pass-authorization=on"#,
        );
        assert_eq!(alias.url, b"/app");
        assert_eq!(alias.target, b"/srv/my app.wsgi");
        assert_eq!(alias.options.process_group.as_deref(), Some(&b"blue"[..]));
        assert_eq!(alias.options.application_group.as_deref(), Some(&b""[..]));
        assert_eq!(alias.options.callable_object.as_deref(), Some(&b"app"[..]));
        assert_eq!(alias.options.pass_authorization, Some(true));
    }

    #[test]
    fn what_an_alias_does_not_take_is_named() {
        assert_eq!(refused(""), "WSGIScriptAlias: a URL is required");
        assert_eq!(
            refused("/app"),
            "WSGIScriptAlias: the path of a script or of a directory of scripts is required"
        );
        assert_eq!(
            refused("/ /a threads=3"),
            "WSGIScriptAlias: unknown option 'threads'"
        );
        assert_eq!(
            refused("/ /a extra"),
            "WSGIScriptAlias: 'extra' is not an option of the form name=value"
        );
        assert_eq!(
            refused("/ /a pass-authorization=1"),
            "WSGIScriptAlias: option 'pass-authorization' must be one of: Off | On, not '1'"
        );
        assert_eq!(
            refused("/ /a application-group="),
            "WSGIScriptAlias: invalid value '' for option 'application-group': \
             a name or %{GLOBAL} is expected"
        );
    }

    #[test]
    fn a_script_is_preloaded_when_both_groups_are_fixed() {
        assert!(alias("/ /a process-group=x application-group=%{GLOBAL}").preload());
        assert!(alias("/ /a process-group=%{GLOBAL} application-group=y").preload());
        for args in [
            "/ /a",
            "/ /a process-group=x",
            "/ /a application-group=x",
            "/ /a process-group=%{SERVER} application-group=y",
            "/ /a process-group=x application-group=%{RESOURCE}",
            "/ /a/$1.wsgi process-group=x application-group=y",
            "/ /a/ process-group=x application-group=y",
        ] {
            assert!(!alias(args).preload(), "{args}");
        }
    }

    #[test]
    fn a_prefix_matches_whole_components() {
        assert_eq!(match_prefix(b"/app", b"/app"), Some(4));
        assert_eq!(match_prefix(b"/app/x", b"/app"), Some(4));
        assert_eq!(match_prefix(b"/app/x", b"/app/"), Some(5));
        assert_eq!(match_prefix(b"/apps", b"/app"), None);
        assert_eq!(match_prefix(b"/app", b"/app/"), None);
        assert_eq!(match_prefix(b"/ap", b"/app"), None);
        assert_eq!(match_prefix(b"*", b"/"), None);
        assert_eq!(match_prefix(b"/", b""), None);
    }

    #[test]
    fn runs_of_slashes_match_each_other() {
        assert_eq!(match_prefix(b"///a//b/c", b"/a/b"), Some(7));
        assert_eq!(match_prefix(b"/slashy", b"//slashy"), Some(7));
        assert_eq!(match_prefix(b"/a//x", b"/a/"), Some(4));
    }

    #[test]
    fn the_root_alias_leaves_the_slash() {
        assert_eq!(match_prefix(b"/", b"/"), Some(0));
        assert_eq!(match_prefix(b"//x", b"/"), Some(0));
    }
}
