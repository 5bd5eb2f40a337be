//! The key of a process group that is made on demand: what gives it, and what it is in a request.
//!
//! Parsed in the parent while the configuration is read, evaluated in children's request threads.
//! Whether a group may be made for a key is the monitor's to decide; here a key is only shown to be
//! one, since it becomes part of paths.

use thiserror::Error;
use wsgi_config::keyed::{self, KeyPart};
use wsgi_wire::launch::template::{MAX_KEY, is_key};

use crate::ffi;
use crate::httpd::expression::Expression;
use crate::httpd::pool::Pool;
use crate::httpd::request::Request;

/// Why a request has no key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// Nothing came out: the configuration lets requests through that lack what the key is made of.
    #[error("process group '{0}': the key is empty in this request")]
    Empty(String),
    /// The key is none.
    #[error(
        "process group '{template}': '{key}' cannot be a key, which has 1 to {MAX_KEY} letters, \
         digits, '.', '_' and '-' and begins with neither '.' nor '-'"
    )]
    Form {
        /// The template.
        template: String,
        /// What the request brought.
        key: String,
    },
    /// httpd cannot evaluate the expression.
    #[error("process group '{written}': the key cannot be evaluated: {said}")]
    Evaluation {
        /// The name as written.
        written: String,
        /// httpd's sentence.
        said: String,
    },
}

impl KeyError {
    /// The HTTP status: what is no key comes from the client and leads nowhere.
    pub fn status(&self) -> u16 {
        match self {
            KeyError::Form { .. } => 404,
            KeyError::Empty(_) | KeyError::Evaluation { .. } => 500,
        }
    }
}

/// What gives the key.
#[derive(Debug)]
pub struct Key {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Text(Vec<u8>),
    Server,
    Host,
    Expression(Expression),
}

impl Key {
    /// Parses the key of the name `written`; the error is a sentence.
    ///
    /// # Safety
    /// As for [`Expression::parse`].
    pub unsafe fn parse(
        parameters: *const ffi::cmd_parms,
        pool: Pool<'static>,
        written: &[u8],
    ) -> Result<Key, String> {
        let (_, key) = keyed::split(written).unwrap_or_default();
        let part = |part| match part {
            KeyPart::Text(text) => Ok(Part::Text(text.to_vec())),
            KeyPart::Server => Ok(Part::Server),
            KeyPart::Host => Ok(Part::Host),
            KeyPart::Expression(text) => {
                // SAFETY: the caller vouches for the parameters.
                unsafe { Expression::parse(parameters, pool.string(text).as_c_str()) }
                    .map(Part::Expression)
            }
        };
        let parts = keyed::parts(key).into_iter().map(part);
        parts.collect::<Result<_, _>>().map(|parts| Key { parts })
    }

    /// The name `written` with this request's key.
    pub fn name_in(&self, written: &[u8], request: Request<'_>) -> Result<Vec<u8>, KeyError> {
        let (template, _) = keyed::split(written).unwrap_or_default();
        let mut name = [template, b"/"].concat();
        let begun = name.len();
        for part in &self.parts {
            match part {
                Part::Text(text) => name.extend_from_slice(text),
                Part::Server => name.extend_from_slice(request.server().hostname()),
                Part::Host => name.extend_from_slice(request.host().unwrap_or_default()),
                Part::Expression(expression) => {
                    let value = expression.text(request);
                    let value = value.map_err(|said| KeyError::Evaluation {
                        written: shown(written),
                        said,
                    })?;
                    name.extend_from_slice(value);
                }
            }
        }
        if name.len() == begun {
            return Err(KeyError::Empty(shown(written)));
        }
        Ok(name)
    }
}

/// Refuses what is no key.
pub fn check(template: &[u8], key: &[u8]) -> Result<(), KeyError> {
    if is_key(key) {
        return Ok(());
    }
    Err(KeyError::Form {
        template: shown(template),
        key: shown(key),
    })
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
