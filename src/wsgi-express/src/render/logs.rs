//! What is logged, and where.

use clap::ValueEnum;

use crate::options::{LogLevel, LogOptions};
use crate::quote::{QuoteError, quoted, quoted_path, single_word};
use crate::server::{Log, Server};

/// The line of the combined format.
const COMBINED: &str = r#""%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\"""#;
/// The line of the common format.
const COMMON: &str = r#""%h %l %u %t \"%r\" %>s %b""#;

/// The argument of ErrorLog and CustomLog.
pub fn target(log: &Log) -> Result<String, QuoteError> {
    match log {
        Log::File(path) => quoted_path(path),
        Log::Piped => Ok("\"|$/bin/cat 1>&2\"".to_owned()),
        Log::Rotated {
            program,
            file,
            megabytes,
        } => {
            let (program, file) = (single_word(program)?, single_word(file)?);
            // Each file's name ends in its time; the plain name is a link to the latest.
            Ok(format!("\"|{program} -L {file} {file} {megabytes}M\""))
        }
    }
}

/// Apache's name of a level.
pub fn level(level: LogLevel) -> String {
    let named = level.to_possible_value();
    named.map_or_else(String::new, |value| value.get_name().to_owned())
}

/// The error log's lines, if they are not Apache's own.
pub fn error_log_format(options: &LogOptions) -> Result<String, QuoteError> {
    match &options.error_log_format {
        None => Ok(String::new()),
        Some(format) => Ok(format!("ErrorLogFormat {}", quoted(format)?)),
    }
}

/// The access log.
pub fn access_log(options: &LogOptions, server: &Server) -> Result<String, QuoteError> {
    let Some(log) = &server.access_log else {
        return Ok(String::new());
    };
    let format = match options.access_log_format.as_str() {
        "combined" => COMBINED.to_owned(),
        "common" => COMMON.to_owned(),
        format => quoted(format)?,
    };
    Ok(format!("CustomLog {} {format}", target(log)?))
}
