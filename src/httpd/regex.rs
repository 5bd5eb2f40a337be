//! httpd's regular expressions (PCRE behind `ap_regex.h`), for the Match directives.

use std::ffi::c_char;

use crate::ffi;
use crate::httpd::pool::{Pool, PoolStr};

const GROUPS: usize = ffi::AP_MAX_REG_MATCH as usize;

/// A compiled expression in a configuration's pool.
#[derive(Debug, Clone, Copy)]
pub struct Regex {
    raw: *const ffi::ap_regex_t,
}

// SAFETY: a compiled expression is never written after ap_pregcomp, and ap_regexec may be called
// from several threads at once (ap_regex.h).
unsafe impl Send for Regex {}
// SAFETY: as above.
unsafe impl Sync for Regex {}

impl Regex {
    /// Compiles `source`; the expression lives as long as `pool`.
    pub fn compile(pool: Pool<'_>, source: &[u8]) -> Option<Regex> {
        let source = pool.string(source);
        // SAFETY: the pool is alive and the source terminated.
        let raw = unsafe { ffi::ap_pregcomp(pool.as_ptr(), source.as_ptr(), 0) };
        (!raw.is_null()).then_some(Regex { raw })
    }

    /// Matches `subject` from its start; answers how many bytes matched and `replacement` with its
    /// `$n` filled in, or `None`.
    pub fn replace<'p>(
        &self,
        pool: Pool<'p>,
        subject: &[u8],
        replacement: &[u8],
    ) -> Option<(usize, PoolStr<'p>)> {
        let subject = pool.string(subject);
        let replacement = pool.string(replacement);
        let mut groups = [ffi::ap_regmatch_t {
            rm_so: -1,
            rm_eo: -1,
        }; GROUPS];
        // SAFETY: expression and subject are alive, `groups` has room for GROUPS entries.
        let outcome =
            unsafe { ffi::ap_regexec(self.raw, subject.as_ptr(), GROUPS, groups.as_mut_ptr(), 0) };
        if outcome != 0 {
            return None;
        }
        // SAFETY: the groups were filled for this subject.
        let target: *const c_char = unsafe {
            ffi::ap_pregsub(
                pool.as_ptr(),
                replacement.as_ptr(),
                subject.as_ptr(),
                GROUPS,
                groups.as_mut_ptr(),
            )
        };
        // SAFETY: ap_pregsub gives a terminated string of the pool, or null for a bad reference.
        let target = unsafe { super::c_bytes(target) }?;
        Some((usize::try_from(groups[0].rm_eo).ok()?, pool.string(target)))
    }
}
