//! httpd's expressions (`ap_expr.h`) where they give a text: parsed with the configuration,
//! evaluated for a request.

use crate::ffi;
use crate::httpd::c_bytes;
use crate::httpd::request::Request;

/// A parsed expression, which lives as long as the configuration it stands in.
#[derive(Debug, Clone, Copy)]
pub struct Expression {
    raw: *const ffi::ap_expr_info_t,
}

impl Expression {
    /// Parses the text of an argument; the error is httpd's sentence.
    ///
    /// # Safety
    /// `parameters` are those of the line that httpd reads, and the expression is not used once
    /// their pool is cleared.
    pub unsafe fn parse(
        parameters: *const ffi::cmd_parms,
        text: &std::ffi::CStr,
    ) -> Result<Expression, String> {
        let mut error = std::ptr::null();
        // SAFETY: the caller lends the parameters; text and place for the error are alive. Without
        // a function for look-ups httpd takes its own.
        let raw = unsafe {
            ffi::ap_expr_parse_cmd_mi(
                parameters,
                text.as_ptr(),
                ffi::AP_EXPR_FLAG_STRING_RESULT as u32,
                &mut error,
                None,
                crate::module_index(),
            )
        };
        // SAFETY: null, or a sentence in the pool of the parameters.
        match unsafe { c_bytes(error) } {
            None if !raw.is_null() => Ok(Expression { raw }),
            said => Err(String::from_utf8_lossy(said.unwrap_or_default()).into_owned()),
        }
    }

    /// The text for this request; the error is httpd's sentence.
    pub fn text<'r>(self, request: Request<'r>) -> Result<&'r [u8], String> {
        let mut error = std::ptr::null();
        // SAFETY: request and expression are alive; the error's place is writable.
        let text = unsafe { ffi::ap_expr_str_exec(request.as_ptr(), self.raw, &mut error) };
        // SAFETY: null, or a sentence in the request's pool.
        if let Some(said) = unsafe { c_bytes(error) } {
            return Err(String::from_utf8_lossy(said).into_owned());
        }
        // SAFETY: a terminated string of the request's pool.
        Ok(unsafe { c_bytes(text) }.unwrap_or_default())
    }
}
