//! Files of environment variables, as the option `env-file` names them.
//!
//! Pure functions of bytes; the monitor reads the files. Errors name the line and never quote it,
//! since such files hold secrets.

use thiserror::Error;

use crate::daemon_options::variable_name;

/// Why a file is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("line {line}: {what}")]
pub struct EnvFileError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// A variable: its name and its value.
pub type Variable = (Vec<u8>, Vec<u8>);

/// The variables of a file, in its order.
///
/// A line is `NAME=VALUE`, perhaps after `export `; empty lines and those that begin with `#` are
/// none. Blanks around `=` and the value do not count, nor does a comment (` #`) after it. In
/// quotes everything counts, further lines too: as it stands in single ones, while in double ones
/// `\n`, `\r`, `\t`, `\"`, `\\` and `\$` stand for one byte. Nothing is expanded.
pub fn parse(file: &[u8]) -> Result<Vec<Variable>, EnvFileError> {
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    let mut scanner = Scanner {
        rest: file,
        line: 1,
    };
    let mut variables = Vec::new();
    while !scanner.rest.is_empty() {
        let blank_or_comment = matches!(scanner.skip_blanks(), None | Some(b'\n' | b'#'));
        if !blank_or_comment {
            let name = scanner.name()?;
            variables.push((name, scanner.value()?));
        }
        scanner.line_end()?;
    }
    Ok(variables)
}

/// What is left of a file.
struct Scanner<'a> {
    rest: &'a [u8],
    line: usize,
}

impl Scanner<'_> {
    fn error(&self, what: &'static str) -> EnvFileError {
        EnvFileError {
            line: self.line,
            what,
        }
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        self.line += usize::from(*first == b'\n');
        Some(*first)
    }

    /// Goes past blanks of this line and looks at what follows.
    fn skip_blanks(&mut self) -> Option<u8> {
        while let [b' ' | b'\t' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
        self.rest.first().copied()
    }

    fn name(&mut self) -> Result<Vec<u8>, EnvFileError> {
        if let Some(rest) = self.rest.strip_prefix(b"export")
            && rest.starts_with(b" ")
        {
            self.rest = rest;
            self.skip_blanks();
        }
        let name = variable_name(self.rest).ok_or_else(|| self.error("no name of a variable"))?;
        let name = name.to_vec();
        self.rest = &self.rest[name.len()..];
        if self.skip_blanks() != Some(b'=') {
            return Err(self.error("no '=' after the name"));
        }
        self.next();
        Ok(name)
    }

    fn value(&mut self) -> Result<Vec<u8>, EnvFileError> {
        let value = match self.skip_blanks() {
            Some(quote @ (b'\'' | b'"')) => self.quoted(quote)?,
            _ => self.plain(),
        };
        if value.contains(&0) {
            return Err(self.error("a NUL byte"));
        }
        Ok(value)
    }

    fn plain(&mut self) -> Vec<u8> {
        let line = self.rest.split(|byte| *byte == b'\n').next();
        let line = line.unwrap_or_default();
        let comment = line
            .windows(2)
            .position(|pair| matches!(pair, [b' ' | b'\t', b'#']));
        let value = &line[..comment.unwrap_or(line.len())];
        let value = match line {
            [b'#', ..] => &[],
            _ => value.trim_ascii_end(),
        };
        self.rest = &self.rest[value.len()..];
        value.to_vec()
    }

    fn quoted(&mut self, quote: u8) -> Result<Vec<u8>, EnvFileError> {
        let opened = self.error("the quote is not closed");
        self.next();
        let mut value = Vec::new();
        loop {
            match self.next().ok_or(opened)? {
                byte if byte == quote => return Ok(value),
                b'\\' if quote == b'"' => match self.next().ok_or(opened)? {
                    b'n' => value.push(b'\n'),
                    b'r' => value.push(b'\r'),
                    b't' => value.push(b'\t'),
                    byte @ (b'"' | b'\\' | b'$') => value.push(byte),
                    byte => value.extend_from_slice(&[b'\\', byte]),
                },
                byte => value.push(byte),
            }
        }
    }

    /// What follows a value: nothing but a comment.
    fn line_end(&mut self) -> Result<(), EnvFileError> {
        if !matches!(self.skip_blanks(), None | Some(b'\n' | b'#')) {
            return Err(self.error("something after the closing quote"));
        }
        while self.next().is_some_and(|byte| byte != b'\n') {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(file: &str) -> (String, String) {
        let variables = parse(file.as_bytes()).unwrap();
        assert_eq!(variables.len(), 1, "{file}");
        let (name, value) = variables[0].clone();
        (
            String::from_utf8(name).unwrap(),
            String::from_utf8(value).unwrap(),
        )
    }

    #[test]
    fn values_are_read_as_people_write_them() {
        for (line, value) in [
            ("A=b", "b"),
            ("A=", ""),
            ("  export A = b c \t", "b c"),
            ("A=b # why", "b"),
            ("A=# why", ""),
            ("A=b#c", "b#c"),
            ("A=postgres://u:p=w@h/d?x=1", "postgres://u:p=w@h/d?x=1"),
            ("A='b # $c \\n'  # why", "b # $c \\n"),
            (r#"A="say \"hi\"\t\$x \w""#, "say \"hi\"\t$x \\w"),
            ("A=\"one\ntwo\"\n", "one\ntwo"),
            ("A=b\r\n", "b"),
            ("A=\"b\"\r\n", "b"),
            ("\u{feff}A=b", "b"),
            ("A=it's", "it's"),
        ] {
            assert_eq!(one(line), ("A".to_owned(), value.to_owned()), "{line:?}");
        }
    }

    #[test]
    fn comments_and_empty_lines_are_no_variables() {
        let variables = parse(b"# a\n\n  # b\nA=1\n\t\nexport B=2\nA=3").unwrap();
        let names: Vec<_> = variables.iter().map(|(name, _)| name.as_slice()).collect();
        assert_eq!(names, [b"A", b"B", b"A"]);
    }

    #[test]
    fn a_bad_line_is_named_by_its_number_and_not_quoted() {
        for (file, line) in [
            ("A=1\nsecret", 2),
            ("1A=1", 1),
            ("=1", 1),
            ("A=1\n\nA B=1", 3),
            ("A='x\ny\n", 1),
            ("A='x' y", 1),
            ("A=\"x\ny\"z\nB=1", 2),
            ("A=1\nB=\0", 2),
            ("A=\"\\", 1),
        ] {
            let error = parse(file.as_bytes()).unwrap_err();
            assert_eq!(error.line, line, "{file:?}: {error}");
            assert!(!error.to_string().contains("secret"));
        }
    }
}
