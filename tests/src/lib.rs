//! The suite lives in `suite/`; this library is empty.
