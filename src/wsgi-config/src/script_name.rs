//! SCRIPT_NAME and PATH_INFO hold no runs of slashes, whatever `MergeSlashes` says.
//!
//! Runs in Apache children on the request path; a path without a run is returned as it is.

use std::borrow::Cow;

/// `path` with every run of `/` made one; REQUEST_URI is to be left as the client sent it.
pub fn collapse(path: &[u8]) -> Cow<'_, [u8]> {
    let run = |pair: &[u8]| pair == b"//";
    if !path.windows(2).any(run) {
        return Cow::Borrowed(path);
    }
    let mut collapsed = path.to_vec();
    collapsed.dedup_by(|next, kept| *next == b'/' && *kept == b'/');
    Cow::Owned(collapsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_slashes_become_one() {
        assert_eq!(collapse(b"//a///b//").as_ref(), b"/a/b/");
        assert_eq!(collapse(b"////").as_ref(), b"/");
    }

    #[test]
    fn a_path_without_runs_is_not_copied() {
        assert!(matches!(collapse(b"/a/b/"), Cow::Borrowed(b"/a/b/")));
        assert!(matches!(collapse(b""), Cow::Borrowed(b"")));
    }
}
