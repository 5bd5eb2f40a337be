//! The forms of values that options of WSGIDaemonProcess take: numbers, sizes, variables.
//!
//! Runs in httpd's parent while the configuration is read; pure functions, `None` for what does
//! not fit.

use super::Drawn;

/// `count` or `count+jitter`.
pub(super) fn drawn(value: &[u8]) -> Option<Drawn> {
    let mut parts = value.splitn(2, |byte| *byte == b'+');
    let least = number(parts.next()?, 10)?;
    let jitter = parts.next().map_or(Some(0), |part| number(part, 10))?;
    least.checked_add(jitter)?;
    Some(Drawn { least, jitter })
}

/// `count` or `least-most`, of which only a count can be 0.
pub(super) fn span(value: &[u8]) -> Option<(u32, u32)> {
    let mut parts = value.splitn(2, |byte| *byte == b'-');
    let least = number(parts.next()?, 10)?;
    let most = parts.next().map_or(Some(least), |part| number(part, 10))?;
    (least <= most && (least > 0 || most == 0)).then_some((least, most))
}

/// Digits, perhaps after a minus sign.
pub(super) fn signed(value: &[u8]) -> Option<i32> {
    match value.strip_prefix(b"-") {
        Some(digits) => i32::try_from(number(digits, 10)?)
            .ok()
            .map(i32::wrapping_neg),
        None => i32::try_from(number(value, 10)?).ok(),
    }
}

/// Digits, perhaps before a unit of 1024, 1024² or 1024³ bytes.
pub(super) fn bytes(value: &[u8]) -> Option<u64> {
    let (digits, unit) = match value.split_last()? {
        (b'K' | b'k', digits) => (digits, 1 << 10),
        (b'M' | b'm', digits) => (digits, 1 << 20),
        (b'G' | b'g', digits) => (digits, 1 << 30),
        _ => (value, 1),
    };
    let text = std::str::from_utf8(digits).ok()?;
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let count: u64 = plain.then(|| text.parse().ok()).flatten()?;
    count.checked_mul(unit)
}

/// `NAME=VALUE`; the name as POSIX has it for the environment, the value without NUL.
pub fn variable(entry: &[u8]) -> Option<(&[u8], &[u8])> {
    let name = variable_name(entry)?;
    let value = entry[name.len()..].strip_prefix(b"=")?;
    (!value.contains(&0)).then_some((name, value))
}

/// The name of a variable that `text` begins with, as POSIX has it for the environment.
pub fn variable_name(text: &[u8]) -> Option<&[u8]> {
    let goes_on = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let end = text.iter().position(|byte| !goes_on(byte));
    let name = &text[..end.unwrap_or(text.len())];
    let first = name.first()?;
    (!first.is_ascii_digit()).then_some(name)
}

/// A number of nothing but digits: `from_str_radix` alone would take a sign.
pub(super) fn number(value: &[u8], radix: u32) -> Option<u32> {
    let text = std::str::from_utf8(value).ok()?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| u32::from_str_radix(text, radix).ok())
        .flatten()
}
