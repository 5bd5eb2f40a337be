//! The ways a request ends without a whole response, and whose fault each is.
//!
//! Runs wherever a request does. One table gives every failure its code on the wire, its HTTP
//! status and its blame, so that the module answers and logs each in one place only.

use crate::codec::WireError;

/// Who has to do something about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The peer of the HTTP connection: nothing an administrator can mend.
    Client,
    /// The Python application or its script.
    Application,
    /// The daemon process, its group or its configuration.
    Daemon,
    /// This software.
    Ourselves,
}

macro_rules! failures {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal, $blame:ident;)*) => {
        /// How a request failed in the gateway.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Failure {
            $($(#[$doc])* $name = $code,)*
        }

        impl Failure {
            /// Every failure, for tests and tables.
            pub const ALL: &'static [Failure] = &[$(Failure::$name),*];

            /// The HTTP status for a client that has been sent nothing yet.
            pub const fn status(self) -> u16 {
                match self {
                    $(Failure::$name => $status,)*
                }
            }

            /// Whose fault it is.
            pub const fn blame(self) -> Blame {
                match self {
                    $(Failure::$name => Blame::$blame,)*
                }
            }
        }

        impl TryFrom<u8> for Failure {
            type Error = WireError;

            fn try_from(code: u8) -> Result<Self, WireError> {
                match code {
                    $($code => Ok(Failure::$name),)*
                    other => Err(WireError::Value { field: "failure", value: u64::from(other) }),
                }
            }
        }
    };
}

failures! {
    /// The application raised an exception, or broke a rule of PEP 3333.
    Application = 1, 500, Application;
    /// The script could not be compiled or executed.
    ScriptLoad = 2, 500, Application;
    /// The script file is not there, or cannot be read.
    ScriptMissing = 3, 404, Application;
    /// The script has no such callable object.
    CallableMissing = 4, 500, Application;
    /// The application failed after the response had begun: the client must not take it for whole.
    Incomplete = 5, 500, Application;
    /// The client closed the connection.
    ClientGone = 6, 400, Client;
    /// The client sent its request body too slowly (RFC 9110 §15.5.9).
    BodyTimedOut = 7, 408, Client;
    /// The request body is larger than LimitRequestBody allows (RFC 9110 §15.5.14).
    BodyTooLarge = 8, 413, Client;
    /// The request body's framing cannot be understood.
    BodyMalformed = 9, 400, Client;
    /// The gateway itself failed; its log line says how.
    Internal = 10, 500, Ourselves;
    /// The application was interrupted because it had taken too long.
    Interrupted = 11, 504, Application;
    /// The process may not read the script file, or the file is not its rightful owner's.
    ScriptForbidden = 12, 403, Application;
    /// The process may make no more interpreters for names made from requests.
    TooManyGroups = 13, 503, Daemon;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_survives_the_wire() {
        for failure in Failure::ALL {
            assert_eq!(Failure::try_from(*failure as u8), Ok(*failure));
        }
        assert!(Failure::try_from(0).is_err());
    }
}
