//! Names of process groups, application groups and callables that depend on the request.
//!
//! Runs in Apache children once per request. Only a value that begins with `%` is expanded; what
//! is not recognised stays as it was written. Fixed names and `%{GLOBAL}` allocate nothing.

use std::borrow::Cow;

/// The callable of an application whose configuration names none.
pub const DEFAULT_CALLABLE: &[u8] = b"application";

/// What the tokens stand for in one request.
pub trait Lookup {
    /// `%{SERVER}`: the ServerName, with `:port` unless the port is 80 or 443.
    fn server(&self) -> Vec<u8>;
    /// `%{HOST}`: the Host header, else the ServerName, with `:port` unless it is 80 or 443.
    fn host(&self) -> Vec<u8>;
    /// `%{RESOURCE}`: server and port as in [`Lookup::server`], `|`, and the script name.
    fn resource(&self) -> Vec<u8>;
    /// `%{ENV:name}`: from the request's notes, its environment, or the process's environment.
    fn env(&self, name: &[u8]) -> Option<Vec<u8>>;
}

/// The process group `value` stands for; the empty name is embedded mode.
pub fn expand_process_group<'v>(value: &'v [u8], lookup: &impl Lookup) -> Cow<'v, [u8]> {
    expand_group(value, lookup)
}

/// The application group `value` stands for; the empty name is the main interpreter.
pub fn expand_application_group<'v>(value: &'v [u8], lookup: &impl Lookup) -> Cow<'v, [u8]> {
    expand_group(value, lookup)
}

/// The callable `value` stands for. Only `%{ENV:name}` has a meaning here; everything else that
/// begins with `%`, and a variable that is not set, gives [`DEFAULT_CALLABLE`].
pub fn expand_callable<'v>(value: &'v [u8], lookup: &impl Lookup) -> Cow<'v, [u8]> {
    if !value.starts_with(b"%") {
        return Cow::Borrowed(value);
    }
    match env_name(value).and_then(|name| lookup.env(name)) {
        Some(found) if !found.starts_with(b"%") => Cow::Owned(found),
        _ => Cow::Borrowed(DEFAULT_CALLABLE),
    }
}

/// Whether a client can choose what the name `value` of a group stands for.
pub fn is_computed(value: &[u8]) -> bool {
    matches!(value, b"%{HOST}" | b"%{RESOURCE}") || env_name(value).is_some()
}

fn expand_group<'v>(value: &'v [u8], lookup: &impl Lookup) -> Cow<'v, [u8]> {
    let Some(name) = env_name(value) else {
        return expand_token(value, lookup).unwrap_or(Cow::Borrowed(value));
    };
    match lookup.env(name) {
        // Once only, and never a second ENV: `expand_token` does not know that token.
        Some(found) => match expand_token(&found, lookup) {
            Some(expanded) => Cow::Owned(expanded.into_owned()),
            None => Cow::Owned(found),
        },
        None => Cow::Borrowed(value),
    }
}

/// The variable named by `%{ENV:name}`.
fn env_name(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"%{ENV:")?.strip_suffix(b"}")
}

/// The value of a token other than ENV, or `None` if `value` is none.
fn expand_token(value: &[u8], lookup: &impl Lookup) -> Option<Cow<'static, [u8]>> {
    match value {
        b"%{GLOBAL}" => Some(Cow::Borrowed(b"")),
        b"%{RESOURCE}" => Some(Cow::Owned(lookup.resource())),
        b"%{SERVER}" => Some(Cow::Owned(lookup.server())),
        b"%{HOST}" => Some(Cow::Owned(lookup.host())),
        _ => None,
    }
}

/// `value` with `%{GLOBAL}` made the empty name, for the places where that is known while the
/// configuration is read.
pub fn translate_global(value: &[u8]) -> Vec<u8> {
    if value == b"%{GLOBAL}" {
        Vec::new()
    } else {
        value.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request for http://host:8080/app to a server named `server`.
    struct Request;

    impl Lookup for Request {
        fn server(&self) -> Vec<u8> {
            b"server".to_vec()
        }
        fn host(&self) -> Vec<u8> {
            b"host:8080".to_vec()
        }
        fn resource(&self) -> Vec<u8> {
            b"server|/app".to_vec()
        }
        fn env(&self, name: &[u8]) -> Option<Vec<u8>> {
            match name {
                b"plain" => Some(b"blue".to_vec()),
                b"token" => Some(b"%{SERVER}".to_vec()),
                b"global" => Some(b"%{GLOBAL}".to_vec()),
                b"loop" => Some(b"%{ENV:loop}".to_vec()),
                _ => None,
            }
        }
    }

    fn group(value: &str) -> String {
        let expanded = expand_application_group(value.as_bytes(), &Request);
        assert_eq!(expanded, expand_process_group(value.as_bytes(), &Request));
        crate::error::shown(&expanded)
    }

    fn callable(value: &str) -> String {
        crate::error::shown(&expand_callable(value.as_bytes(), &Request))
    }

    #[test]
    fn tokens_expand_to_the_names_of_the_request() {
        assert_eq!(group("%{SERVER}"), "server");
        assert_eq!(group("%{HOST}"), "host:8080");
        assert_eq!(group("%{RESOURCE}"), "server|/app");
        assert_eq!(group("%{GLOBAL}"), "");
    }

    #[test]
    fn a_variable_expands_once_more_but_never_to_a_second_variable() {
        assert_eq!(group("%{ENV:plain}"), "blue");
        assert_eq!(group("%{ENV:token}"), "server");
        assert_eq!(group("%{ENV:global}"), "");
        assert_eq!(group("%{ENV:loop}"), "%{ENV:loop}");
    }

    #[test]
    fn names_that_clients_choose_are_known() {
        for computed in ["%{HOST}", "%{RESOURCE}", "%{ENV:x}"] {
            assert!(is_computed(computed.as_bytes()), "{computed}");
        }
        for fixed in ["app", "", "%{GLOBAL}", "%{SERVER}", "%{Host}"] {
            assert!(!is_computed(fixed.as_bytes()), "{fixed}");
        }
    }

    #[test]
    fn what_is_not_recognised_stays_literal() {
        for literal in [
            "app",
            "",
            "a%{GLOBAL}",
            "%{Global}",
            "%{SERVER}x",
            "%{ENV:unset}",
            "%",
        ] {
            assert_eq!(group(literal), literal);
        }
    }

    #[test]
    fn fixed_names_and_global_do_not_allocate() {
        for value in [&b"app"[..], b"%{GLOBAL}", b"%{OTHER}"] {
            let expanded = expand_process_group(value, &Request);
            assert!(matches!(expanded, Cow::Borrowed(_)), "{value:?}");
        }
    }

    #[test]
    fn a_callable_knows_variables_only() {
        assert_eq!(callable("app"), "app");
        assert_eq!(callable("%{ENV:plain}"), "blue");
        for other in [
            "%{GLOBAL}",
            "%{SERVER}",
            "%{ENV:unset}",
            "%{ENV:loop}",
            "%{ENV:token}",
        ] {
            assert_eq!(callable(other), "application", "{other}");
        }
    }
}
