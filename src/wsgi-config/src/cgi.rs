//! The CGI variable of a request header (RFC 3875 §4.1.18).
//!
//! Runs in Apache children on the request path and allocates nothing. Content-Type, Content-Length
//! and Authorization have variables and rules of their own, which the caller applies first.

/// The bytes of `HTTP_<NAME>`, or `None` for a header that must not reach the application.
///
/// Refused are names with anything but letters, digits and `-`: `X_User` and `X-User` would
/// become one variable, so a client could pose as a trusted front end. `Proxy` is refused since
/// HTTP_PROXY is the name by which libraries look for an outgoing proxy (CVE-2016-5385).
pub fn http_variable(name: &[u8]) -> Option<impl Iterator<Item = u8> + '_> {
    let clean = name
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    if name.is_empty() || !clean || name.eq_ignore_ascii_case(b"proxy") {
        return None;
    }
    let upper = name.iter().map(|&byte| match byte {
        b'-' => b'_',
        other => other.to_ascii_uppercase(),
    });
    Some(b"HTTP_".iter().copied().chain(upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &[u8]) -> Option<Vec<u8>> {
        http_variable(name).map(Iterator::collect)
    }

    #[test]
    fn a_header_is_upper_cased_with_underscores() {
        assert_eq!(
            variable(b"Accept-Language").as_deref(),
            Some(&b"HTTP_ACCEPT_LANGUAGE"[..])
        );
        assert_eq!(variable(b"dnt2").as_deref(), Some(&b"HTTP_DNT2"[..]));
    }

    #[test]
    fn names_that_could_pose_as_others_are_refused() {
        for name in [&b"X_User"[..], b"X.User", b"X User", b"", b"X-\xe9", b"X\0"] {
            assert_eq!(variable(name), None, "{name:?}");
        }
    }

    #[test]
    fn the_proxy_header_is_refused_in_any_case() {
        assert_eq!(variable(b"Proxy"), None);
        assert_eq!(variable(b"pROXY"), None);
        assert!(variable(b"Proxy-Connection").is_some());
    }
}
