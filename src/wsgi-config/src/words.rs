//! Splits the raw arguments of a directive into words, as httpd's `ap_getword_conf` does.
//!
//! Runs in httpd's parent while the configuration is read. One rule is added to httpd's: users of
//! mod_wsgi write `name="a value with spaces"`, so a quote right after `name=` opens a quoted
//! value. Unlike httpd an unclosed quote is an error, since it hides the rest of the line.

/// The arguments end inside a quoted word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the quote {quote} before '{rest}' is not closed")]
pub struct WordsError {
    /// The quote character that opened the word.
    pub quote: char,
    /// The text after it.
    pub rest: String,
}

/// The words of `args`, without their quotes and escapes.
///
/// Words are separated by white space. A word that begins with `"` or `'` lasts to the same
/// character; in it a backslash takes away the meaning of that quote and of a backslash, and
/// stands for itself before anything else. Outside quotes only `\\` is an escape.
pub fn split(args: &[u8]) -> Result<Vec<Vec<u8>>, WordsError> {
    let mut words = Vec::new();
    let mut rest = args.trim_ascii_start();
    while let Some(&first) = rest.first() {
        let mut word = Vec::new();
        rest = if is_quote(first) {
            quoted(rest, &mut word)?
        } else {
            bare(rest, &mut word)?
        };
        words.push(word);
        rest = rest.trim_ascii_start();
    }
    Ok(words)
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'')
}

/// Takes the quoted word at the start of `text` and returns what follows its closing quote.
fn quoted<'a>(text: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], WordsError> {
    let quote = text[0];
    let mut at = 1;
    while let Some(&byte) = text.get(at) {
        match text.get(at + 1) {
            _ if byte == quote => return Ok(&text[at + 1..]),
            Some(&next) if byte == b'\\' && (next == quote || next == b'\\') => {
                word.push(next);
                at += 2;
            }
            _ => {
                word.push(byte);
                at += 1;
            }
        }
    }
    Err(WordsError {
        quote: char::from(quote),
        rest: crate::error::shown(&text[1..]),
    })
}

/// Takes the word at the start of `text`, which has no quote there, and returns what follows it.
fn bare<'a>(text: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], WordsError> {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        if byte.is_ascii_whitespace() {
            break;
        }
        word.push(byte);
        at += if byte == b'\\' && text.get(at + 1) == Some(&b'\\') {
            2
        } else {
            1
        };
        let quote_next = text.get(at).is_some_and(|&next| is_quote(next));
        if byte == b'=' && quote_next && is_option_name(&text[..at - 1]) {
            return quoted(&text[at..], word);
        }
    }
    Ok(&text[at..])
}

fn is_option_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(args: &str) -> Vec<String> {
        let words = split(args.as_bytes()).expect("the arguments split");
        words.iter().map(|word| crate::error::shown(word)).collect()
    }

    #[test]
    fn white_space_separates_words() {
        assert_eq!(words("  a\tb   c \n"), ["a", "b", "c"]);
        assert!(words("   ").is_empty());
    }

    #[test]
    fn quotes_keep_white_space_and_may_be_empty() {
        assert_eq!(words(r#""a b" 'c d' """#), ["a b", "c d", ""]);
        assert_eq!(words(r#""it's" '"x"'"#), ["it's", "\"x\""]);
    }

    #[test]
    fn a_backslash_escapes_the_quote_and_itself_only() {
        assert_eq!(words(r#""a\"b\\c\d""#), [r#"a"b\c\d"#]);
        assert_eq!(words(r"^/a\.b\\c"), [r"^/a\.b\c"]);
    }

    #[test]
    fn a_value_may_be_quoted_after_its_option_name() {
        assert_eq!(
            words(r#"x python-path="/a b:/c" display-name='%{GROUP}'"#),
            ["x", "python-path=/a b:/c", "display-name=%{GROUP}"]
        );
    }

    #[test]
    fn a_quote_elsewhere_in_a_word_stands_for_itself() {
        assert_eq!(words(r#"a"b /x="y z""#), ["a\"b", "/x=\"y", "z\""]);
    }

    #[test]
    fn an_unclosed_quote_is_refused() {
        let error = split(b"a \"b c").expect_err("unclosed");
        assert_eq!(error.to_string(), "the quote \" before 'b c' is not closed");
        assert!(split(b"home='/a").is_err());
    }
}
