//! Options about files, pages and what Apache itself does for the application.

use std::path::PathBuf;

use clap::Args;

use super::absolute;

/// Options about files and pages.
#[derive(Debug, Clone, Args)]
pub struct ContentOptions {
    /// Files of this directory are served before the application is asked
    #[arg(long, value_name = "DIRECTORY", value_parser = absolute)]
    pub document_root: Option<PathBuf>,

    /// The file that is served for its directory
    #[arg(long, value_name = "FILE", requires = "document_root")]
    pub directory_index: Option<String>,

    /// List directories of the document root
    #[arg(long, requires = "document_root")]
    pub directory_listing: bool,

    /// What .htaccess files of the document root may say, as AllowOverride; may be repeated
    #[arg(long, value_name = "WORD", requires = "document_root")]
    pub allow_override: Vec<String>,

    /// Run files of the document root whose names end in .cgi
    #[arg(long, requires = "document_root")]
    pub with_cgi: bool,

    /// The script whose handle_request() answers for files of the document root with an
    /// extension; may be repeated
    #[arg(long, num_args = 2, value_names = ["EXTENSION", "SCRIPT"], requires = "document_root")]
    pub add_handler: Vec<String>,

    /// A directory or file served below a URL; may be repeated
    #[arg(long, num_args = 2, value_names = ["URL", "PATH"])]
    pub url_alias: Vec<String>,

    /// The page for a status; may be repeated
    #[arg(long, num_args = 2, value_names = ["STATUS", "URL"])]
    pub error_document: Vec<String>,

    /// Replace the application's own pages for errors
    #[arg(long)]
    pub error_override: bool,

    /// A URL below which requests do not count for --inactivity-timeout; may be repeated
    #[arg(long, value_name = "URL")]
    pub ignore_activity: Vec<String>,

    /// Compress text for clients that understand it
    #[arg(long)]
    pub compress_responses: bool,

    /// The types of files [default: the system's]
    #[arg(long, value_name = "FILE", value_parser = absolute)]
    pub mime_types: Option<PathBuf>,

    /// Rules of mod_rewrite
    #[arg(long, value_name = "FILE", value_parser = absolute)]
    pub rewrite_rules: Option<PathBuf>,

    /// Further directives for Apache; may be repeated
    #[arg(long, value_name = "FILE", value_parser = absolute)]
    pub include_file: Vec<PathBuf>,
}
