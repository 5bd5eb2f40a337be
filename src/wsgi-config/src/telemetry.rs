//! The arguments of the directives about telemetry: WSGITelemetryService, WSGITelemetryOptions and
//! WSGISlowRequests.
//!
//! Runs in httpd's parent while the configuration is read. It must not touch the file system: nobody
//! need listen on the socket when Apache starts.

use std::time::Duration;

use crate::alias::{option_of, words_of};
use crate::error::{OptionError, shown};

/// A service that processes report to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetryService {
    /// The path of its datagram socket.
    pub socket: Vec<u8>,
    /// The time between reports.
    pub interval: Duration,
}

/// Reads `unix:/path [interval=seconds]`.
pub fn service(directive: &str, args: &[u8]) -> Result<TelemetryService, OptionError> {
    let mut words = words_of(directive, args)?.into_iter();
    let target = words.next().ok_or_else(|| OptionError::Missing {
        directive: directive.to_owned(),
        argument: "the socket of the service",
    })?;
    let socket = target
        .strip_prefix(b"unix:")
        .filter(|path| path.starts_with(b"/"));
    let Some(socket) = socket else {
        let expected = "unix: and an absolute path";
        return Err(invalid(directive, "socket", &target, expected));
    };
    let mut service = TelemetryService {
        socket: socket.to_vec(),
        interval: Duration::from_secs(1),
    };
    for word in words {
        let (name, value) = option_of(directive, &word)?;
        if name != b"interval" {
            return Err(OptionError::Unknown {
                directive: directive.to_owned(),
                option: shown(name),
            });
        }
        let interval = seconds_of(value).filter(|interval| *interval >= LEAST_INTERVAL);
        let expected = "a number of seconds from 0.5";
        service.interval =
            interval.ok_or_else(|| invalid(directive, "interval", value, expected))?;
    }
    Ok(service)
}

const LEAST_INTERVAL: Duration = Duration::from_millis(500);

/// Reads the flags of WSGITelemetryOptions over what earlier lines have set: whether slow requests
/// are reported with their User-Agent.
pub fn options(directive: &str, args: &[u8], before: bool) -> Result<bool, OptionError> {
    let words = words_of(directive, args)?;
    if words.is_empty() {
        return Err(OptionError::Missing {
            directive: directive.to_owned(),
            argument: "at least one option",
        });
    }
    let incremental = |word: &Vec<u8>| matches!(word.first(), Some(b'+' | b'-'));
    if words.iter().any(incremental) && !words.iter().all(incremental) {
        let expected = "either +Flag and -Flag only, or neither";
        return Err(invalid(directive, "flags", args, expected));
    }
    let mut user_agents = if words.iter().any(incremental) {
        before
    } else {
        false
    };
    for word in &words {
        let (on, name) = match word.split_first() {
            Some((b'+', name)) => (true, name),
            Some((b'-', name)) => (false, name),
            _ if word.eq_ignore_ascii_case(b"None") => (false, &b"CaptureUserAgent"[..]),
            _ if word.eq_ignore_ascii_case(b"All") => (true, &b"CaptureUserAgent"[..]),
            _ => (true, &word[..]),
        };
        if !name.eq_ignore_ascii_case(b"CaptureUserAgent") {
            let expected = "CaptureUserAgent, None or All";
            return Err(invalid(directive, "flag", word, expected));
        }
        user_agents = on;
    }
    Ok(user_agents)
}

/// Reads the seconds of WSGISlowRequests.
pub fn slow_requests(directive: &str, value: &[u8]) -> Result<Duration, OptionError> {
    let expected = "a number of seconds from 0";
    seconds_of(value).ok_or_else(|| invalid(directive, "threshold", value, expected))
}

fn seconds_of(value: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?;
    let plain = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    let seconds: f64 = text.parse().ok().filter(|_| text.bytes().all(plain))?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn invalid(
    directive: &str,
    option: &'static str,
    value: &[u8],
    expected: &'static str,
) -> OptionError {
    OptionError::Value {
        directive: directive.to_owned(),
        option,
        value: shown(value),
        expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_a_socket_and_an_interval() {
        let read = |args: &str| service("WSGITelemetryService", args.as_bytes());
        let one = read("unix:/run/t.sock").unwrap();
        assert_eq!(
            (one.socket.as_slice(), one.interval),
            (&b"/run/t.sock"[..], Duration::from_secs(1))
        );
        assert_eq!(
            read("unix:/a interval=0.5").unwrap().interval,
            Duration::from_millis(500)
        );
        for args in [
            "udp:/a",
            "unix:a",
            "/a",
            "unix:/a interval=0.4",
            "unix:/a interval=x",
            "unix:/a period=1",
        ] {
            let refusal = read(args).unwrap_err().to_string();
            assert!(refusal.starts_with("WSGITelemetryService"), "{refusal}");
        }
    }

    #[test]
    fn options_are_absolute_or_add_to_what_was_set() {
        let read = |args: &str, before| options("WSGITelemetryOptions", args.as_bytes(), before);
        assert!(read("+CaptureUserAgent", false).unwrap());
        assert!(!read("-captureuseragent", true).unwrap());
        assert!(read("All", false).unwrap());
        assert!(!read("None", true).unwrap());
        for args in [
            "",
            "+",
            "Everything",
            "+CaptureUserAgent None",
            "CaptureUserAgent -CaptureUserAgent",
        ] {
            assert!(read(args, false).is_err(), "{args}");
        }
    }

    #[test]
    fn a_threshold_is_a_number_of_seconds() {
        let read = |value: &str| slow_requests("WSGISlowRequests", value.as_bytes());
        assert_eq!(read("1.5").unwrap(), Duration::from_millis(1500));
        assert!(read("0").unwrap().is_zero());
        for value in ["-1", "soon", "", "1e3", "inf"] {
            assert!(read(value).is_err(), "{value}");
        }
    }
}
