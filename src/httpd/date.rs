//! Dates of HTTP (RFC 9110 §5.6.7), as httpd reads and writes them.
//!
//! Pure, but for the clock.

use std::ffi::c_char;

use crate::ffi;
use crate::httpd::pool::PoolStr;

/// Bytes of such a date with its end (`APR_RFC822_DATE_LEN`).
const DATE_BYTES: usize = 30;

/// The present as a date, if `date` lies behind it; `None` for any other, and for what is no date.
pub fn present_instead_of(date: PoolStr<'_>) -> Option<[u8; DATE_BYTES - 1]> {
    // SAFETY: a terminated string; 0 is the answer for what is no date.
    let told = unsafe { ffi::apr_date_parse_http(date.as_ptr()) };
    // SAFETY: reads the clock.
    let now = unsafe { ffi::apr_time_now() };
    if told <= now {
        return None;
    }
    let mut text = [0 as c_char; DATE_BYTES];
    // SAFETY: the array has the length that the function is documented to write.
    let status = unsafe { ffi::apr_rfc822_date(text.as_mut_ptr(), now) };
    let mut date = [0; DATE_BYTES - 1];
    for (byte, digit) in date.iter_mut().zip(text) {
        *byte = digit.cast_unsigned();
    }
    (status == 0).then_some(date)
}
