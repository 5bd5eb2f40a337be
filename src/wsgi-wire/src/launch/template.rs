//! What a monitor is told of a template: a process group with a place for a key in its texts, and how
//! many groups may be made from it.
//!
//! Used by httpd's parent, which writes it, by children, which look at keys, and by the monitor.

use std::time::Duration;

use super::{Field, GroupSpec, record};
use crate::codec::{Reader, WireError};

/// What stands in a template's texts for the key.
pub const KEY: &[u8] = b"%{key}";

/// The longest key, bytes.
pub const MAX_KEY: usize = 64;

/// Whether this may be a key: it becomes part of names and paths, so it is plain, short, and never a
/// directory's `.` or `..`, a hidden file or an option.
pub fn is_key(key: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let first = key.first().is_some_and(|byte| !matches!(byte, b'.' | b'-'));
    first && key.len() <= MAX_KEY && key.iter().all(plain)
}

/// Whether a text has a place for the key.
pub fn has_key(text: &[u8]) -> bool {
    text.windows(KEY.len()).any(|part| part == KEY)
}

/// The text with `key` in every such place.
pub fn filled(text: &[u8], key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + key.len());
    let mut rest = text;
    while let Some((byte, behind)) = rest.split_first() {
        match rest.strip_prefix(KEY) {
            Some(behind) => {
                out.extend_from_slice(key);
                rest = behind;
            }
            None => {
                out.push(*byte);
                rest = behind;
            }
        }
    }
    out
}

record! {
    /// Who may connect to a socket.
    SocketOwner {
        /// Its user.
        uid: u32,
        /// Its group.
        gid: u32,
    }
}

record! {
    /// A template of process groups.
    TemplateSpec {
        /// Its name.
        name: Vec<u8>,
        /// A group of it, [`KEY`] in its texts. Its identity is that of a group whose account the
        /// key does not name.
        group: GroupSpec,
        /// The account, if the key names it; by name only.
        user: Option<Vec<u8>>,
        /// The primary group, if the key names it; by name only.
        group_name: Option<Vec<u8>>,
        /// The primary group that the option names, which outranks that of the account.
        gid: Option<u32>,
        /// The user who must own every script, if the key names it; by name only.
        script_user: Option<Vec<u8>>,
        /// The group that must own every script, likewise.
        script_group: Option<Vec<u8>>,
        /// The lowest id of an account or group that the key names.
        minimum_uid: u32,
        /// How many groups there may be at a time.
        maximum_groups: u32,
        /// The time without requests after which a group ends; zero: any.
        inactivity_timeout: Duration,
        /// The backlog of the groups' sockets.
        backlog: u32,
        /// The owner of the groups' sockets; `None`: the monitor's user.
        owner: Option<SocketOwner>,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{GatewayConfig, List, ProcessSettings, Variable};
    use super::*;

    #[test]
    fn a_key_is_short_and_plain() {
        for key in [&b"a"[..], b"www.example.org", b"_x-1", &[b'k'; MAX_KEY]] {
            assert!(is_key(key), "{key:?}");
        }
        for key in [
            &b""[..],
            b".",
            b"..",
            b".ssh",
            b"-x",
            b"a/b",
            b"a b",
            b"a:80",
            b"a\n",
            b"a\0",
            b"%{key}",
            b"\xc3\xa9",
            &[b'k'; MAX_KEY + 1],
        ] {
            assert!(!is_key(key), "{key:?}");
        }
    }

    #[test]
    fn the_key_goes_wherever_a_text_has_a_place_for_it() {
        let mut group = GroupSpec {
            gateway: GatewayConfig {
                process_group: b"user/%{key}".to_vec(),
                python_path: List(vec![b"/home/%{key}/lib".to_vec(), b"/lib".to_vec()]),
                home: Some(b"/home/%{key}/%{key}".to_vec()),
                ..GatewayConfig::default()
            },
            process: ProcessSettings {
                environment: List(vec![Variable {
                    name: b"WHO".to_vec(),
                    value: b"%{key}%{KEY}%{key".to_vec(),
                }]),
                ..ProcessSettings::default()
            },
            ..GroupSpec::default()
        };
        group.fill(b"me");
        assert_eq!(group.gateway.process_group, b"user/me");
        assert_eq!(group.gateway.python_path.0, [&b"/home/me/lib"[..], b"/lib"]);
        assert_eq!(group.gateway.home.as_deref(), Some(&b"/home/me/me"[..]));
        assert_eq!(group.process.environment.0[0].value, b"me%{KEY}%{key");
    }
}
