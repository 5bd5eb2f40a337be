//! Text and paths as words of Apache's configuration, of a shell and of Python.
//!
//! Pure. Whatever the user wrote passes here before it is written to a file that another program
//! reads as code; what has no safe spelling is refused.

use std::path::Path;

/// Something cannot be written into a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// Control characters, `${` or bytes that are no text.
    #[error("'{text}' cannot stand in Apache's configuration")]
    Unquotable {
        /// The text as far as it can be shown.
        text: String,
    },
    /// A directory for Python's search path with the separator of its directories.
    #[error("'{path}' cannot be searched by Python: its name has a ':'")]
    Separator {
        /// The directory.
        path: String,
    },
    /// More than one word where one is needed.
    #[error("'{text}' must be one word without quotes, backslashes and '$'")]
    NotAWord {
        /// What was written.
        text: String,
    },
    /// No dotted name.
    #[error("'{name}' is not the name of a Python module or of something in it")]
    NotAName {
        /// What was written.
        name: String,
    },
}

/// `text`, if it can stand between quotes in a configuration, with its escapes.
fn quotable(text: &str) -> Result<String, QuoteError> {
    if text.chars().any(char::is_control) || text.contains("${") {
        let text = text.escape_debug().to_string();
        return Err(QuoteError::Unquotable { text });
    }
    Ok(text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn quotable_path(path: &Path) -> Result<String, QuoteError> {
    let text = path.to_str().ok_or_else(|| QuoteError::Unquotable {
        text: path.display().to_string(),
    })?;
    quotable(text)
}

/// `text` between quotes.
pub fn quoted(text: &str) -> Result<String, QuoteError> {
    Ok(format!("\"{}\"", quotable(text)?))
}

/// `path` between quotes.
pub fn quoted_path(path: &Path) -> Result<String, QuoteError> {
    Ok(format!("\"{}\"", quotable_path(path)?))
}

/// `text` as it is, where quotes cannot stand: one word that means nothing else.
pub fn bare(text: &str) -> Result<&str, QuoteError> {
    let special = |c: char| c.is_whitespace() || c.is_control() || "\"'\\$".contains(c);
    if text.is_empty() || text.chars().any(special) || text.contains("${") {
        let text = text.escape_debug().to_string();
        return Err(QuoteError::NotAWord { text });
    }
    Ok(text)
}

/// A path as one word of a program's arguments within a quoted argument of a directive.
pub fn single_word(path: &Path) -> Result<String, QuoteError> {
    let text = quotable_path(path)?;
    if text.contains(['\'', '\\']) {
        return Err(QuoteError::Unquotable { text });
    }
    Ok(format!("'{text}'"))
}

/// A text as a literal of Python.
pub fn python_text(text: &str) -> Result<String, QuoteError> {
    quoted(text)
}

/// A word of a POSIX shell.
pub fn shell_word(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

/// A dotted name as a literal of Python.
pub fn dotted_name(name: &str) -> Result<String, QuoteError> {
    let part =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
    if name.split('.').all(part) {
        Ok(format!("\"{name}\""))
    } else {
        let name = name.to_owned();
        Err(QuoteError::NotAName { name })
    }
}

/// Directories for Python's search path, joined and between quotes.
pub fn search_path<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Result<String, QuoteError> {
    let mut joined = Vec::new();
    for path in paths {
        let text = quotable_path(path)?;
        if text.contains(':') {
            return Err(QuoteError::Separator { path: text });
        }
        joined.push(text);
    }
    Ok(format!("\"{}\"", joined.join(":")))
}
