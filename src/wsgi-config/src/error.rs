//! Why the arguments of a directive were refused: the sentence `apachectl configtest` prints.
//!
//! Made in httpd's parent while the configuration is read. A message names the directive, the
//! option and the value, since Apache itself adds only the file and the line.

use crate::words::WordsError;

/// The arguments of one directive could not be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// The arguments do not split into words; the reason is the source.
    #[error("{directive}: the arguments cannot be split into words")]
    Words {
        /// The directive as the table spells it.
        directive: String,
        /// What is wrong with the quoting.
        #[source]
        source: WordsError,
    },
    /// A positional argument is absent or empty.
    #[error("{directive}: {argument} is required")]
    Missing {
        /// The directive as the table spells it.
        directive: String,
        /// What was expected, e.g. `the path of a script`.
        argument: &'static str,
    },
    /// An argument after the positional ones is not of the form `name=value`.
    #[error("{directive}: '{word}' is not an option of the form name=value")]
    NotAnOption {
        /// The directive as the table spells it.
        directive: String,
        /// The argument.
        word: String,
    },
    /// No option has this name.
    #[error("{directive}: unknown option '{option}'")]
    Unknown {
        /// The directive as the table spells it.
        directive: String,
        /// The name that was written.
        option: String,
    },
    /// The option exists and does not take this value.
    #[error("{directive}: invalid value '{value}' for option '{option}': {expected} is expected")]
    Value {
        /// The directive as the table spells it.
        directive: String,
        /// The option's name.
        option: &'static str,
        /// The value that was written.
        value: String,
        /// What the option takes, e.g. `a whole number of seconds`.
        expected: &'static str,
    },
    /// Two options that exclude each other.
    #[error("{directive}: the options '{one}' and '{other}' exclude each other")]
    Exclusive {
        /// The directive as the table spells it.
        directive: String,
        /// One option.
        one: &'static str,
        /// The other.
        other: &'static str,
    },
    /// An argument is not of the kind that the directive takes.
    #[error("{directive}: '{value}' is not {expected}")]
    Argument {
        /// The directive as the table spells it.
        directive: String,
        /// The argument that was written.
        value: String,
        /// What the directive takes.
        expected: &'static str,
    },
    /// A flag is neither On nor Off.
    #[error("{directive} must be one of: Off | On, not '{value}'")]
    Flag {
        /// The directive, or directive and option.
        directive: String,
        /// The value that was written.
        value: String,
    },
}

/// Bytes of a configuration file as text for a message.
pub(crate) fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
