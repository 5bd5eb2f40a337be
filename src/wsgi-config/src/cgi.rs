//! The CGI variable of a request header (RFC 3875 §4.1.18).
//!
//! Runs in Apache children on the request path and allocates nothing. Content-Type, Content-Length
//! and Authorization have variables and rules of their own, which the caller applies first.

/// What a header's variable begins with.
pub const PREFIX: &[u8] = b"HTTP_";

/// Whether a header has a variable, so that it reaches the application.
///
/// Refused are names with anything but letters, digits and `-`: `X_User` and `X-User` would
/// become one variable, so a client could pose as a trusted front end. `Proxy` is refused since
/// HTTP_PROXY is the name by which libraries look for an outgoing proxy (CVE-2016-5385).
pub fn has_variable(name: &[u8]) -> bool {
    let clean = name.iter().all(|byte| IN_VARIABLE[usize::from(*byte)] != 0);
    clean && !name.is_empty() && !name.eq_ignore_ascii_case(b"proxy")
}

/// Makes a header's name that has a variable what follows [`PREFIX`] there.
pub fn to_variable(name: &mut [u8]) {
    for byte in name {
        *byte = IN_VARIABLE[usize::from(*byte)];
    }
}

/// What each byte of a header's name is in a variable's; 0 where it may not be in one.
static IN_VARIABLE: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'-' => b'_',
            other if other.is_ascii_alphanumeric() => other.to_ascii_uppercase(),
            _ => 0,
        };
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &[u8]) -> Option<Vec<u8>> {
        let mut variable = [PREFIX, name].concat();
        to_variable(&mut variable[PREFIX.len()..]);
        has_variable(name).then_some(variable)
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
