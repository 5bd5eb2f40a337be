//! Names of process groups that are made on demand: `template/key`, where the key may depend on the
//! request.
//!
//! Split in httpd's parent while the configuration is read, and in Apache children for names that a
//! request brings. Nothing is evaluated here.

/// A part of what gives a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPart<'t> {
    /// It stands for itself.
    Text(&'t [u8]),
    /// `%{SERVER_NAME}` or `%{SERVER}`: the ServerName of the virtual host, whatever the client
    /// calls it and whatever UseCanonicalName says, so that clients cannot have groups made.
    Server,
    /// `%{HOST}`: the host that the client asks for, without a port.
    Host,
    /// An expression of httpd's that gives a text.
    Expression(&'t [u8]),
}

/// The tokens that are not left to httpd's expressions.
const TOKENS: [(&[u8], KeyPart<'static>); 3] = [
    (b"%{SERVER_NAME}", KeyPart::Server),
    (b"%{SERVER}", KeyPart::Server),
    (b"%{HOST}", KeyPart::Host),
];

/// Template and key of `template/key`; `None` for a name that is none.
pub fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = name.iter().position(|byte| *byte == b'/')?;
    let (template, key) = (&name[..at], &name[at + 1..]);
    let plain = !template.is_empty() && !template.contains(&b'%');
    plain.then_some((template, key))
}

/// Whether a group's name has a key that is known only with a request.
pub fn is_keyed(name: &[u8]) -> bool {
    split(name).is_some_and(|(_, key)| key.windows(2).any(|pair| pair == b"%{"))
}

/// The parts of a key as it was written.
pub fn parts(written: &[u8]) -> Vec<KeyPart<'_>> {
    let mut parts = Vec::new();
    let (mut begun, mut at) = (0, 0);
    while at < written.len() {
        let rest = &written[at..];
        let Some((token, part)) = TOKENS.iter().find(|(token, _)| rest.starts_with(token)) else {
            at += 1;
            continue;
        };
        parts.extend(between(&written[begun..at]));
        parts.push(*part);
        at += token.len();
        begun = at;
    }
    parts.extend(between(&written[begun..]));
    parts
}

/// What stands between our own tokens, if anything.
fn between(text: &[u8]) -> Option<KeyPart<'_>> {
    let evaluated = text.windows(2).any(|pair| pair == b"%{");
    match text {
        [] => None,
        _ if evaluated => Some(KeyPart::Expression(text)),
        _ => Some(KeyPart::Text(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use KeyPart::{Expression, Host, Server, Text};

    #[test]
    fn a_name_is_split_at_its_first_slash() {
        assert_eq!(split(b"vhost/a/b"), Some((&b"vhost"[..], &b"a/b"[..])));
        assert_eq!(split(b"vhost/"), Some((&b"vhost"[..], &b""[..])));
        for other in [&b"vhost"[..], b"/key", b"%{ENV:a/b}", b""] {
            assert_eq!(split(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_key_with_a_token_is_known_with_the_request() {
        assert!(is_keyed(b"vhost/%{SERVER_NAME}"));
        assert!(is_keyed(b"vhost/a-%{REMOTE_USER}"));
        assert!(!is_keyed(b"vhost/blog"));
        assert!(!is_keyed(b"%{ENV:group}"));
    }

    #[test]
    fn our_own_tokens_are_told_from_expressions() {
        assert_eq!(parts(b"%{SERVER_NAME}"), [Server]);
        assert_eq!(parts(b"%{SERVER}"), [Server]);
        assert_eq!(parts(b"blog"), [Text(b"blog")]);
        assert_eq!(
            parts(b"a-%{HOST}-%{REMOTE_USER}x%{req:Y}"),
            [Text(b"a-"), Host, Expression(b"-%{REMOTE_USER}x%{req:Y}")]
        );
        assert_eq!(parts(b""), []);
    }
}
