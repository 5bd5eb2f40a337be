//! Options about scripts that decide who may come in.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::absolute;

/// How clients say who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuthType {
    /// A name and a password
    Basic,
    /// A proof that they know the password
    Digest,
}

impl AuthType {
    /// The name as AuthType takes it.
    pub fn name(self) -> &'static str {
        match self {
            AuthType::Basic => "Basic",
            AuthType::Digest => "Digest",
        }
    }
}

/// Options about access.
#[derive(Debug, Clone, Args)]
pub struct AccessOptions {
    /// The script whose allow_access() decides by the client's address
    #[arg(long, value_name = "SCRIPT", value_parser = absolute)]
    pub host_access_script: Option<PathBuf>,

    /// The script whose check_password() or get_realm_hash() knows the users
    #[arg(long, value_name = "SCRIPT", value_parser = absolute)]
    pub auth_user_script: Option<PathBuf>,

    /// How users say who they are
    #[arg(long, value_enum, ignore_case = true, default_value = "basic")]
    pub auth_type: AuthType,

    /// The script whose groups_for_user() knows the groups of users
    #[arg(long, value_name = "SCRIPT", value_parser = absolute, requires = "auth_user_script")]
    pub auth_group_script: Option<PathBuf>,

    /// The group a user must be in
    #[arg(long, value_name = "NAME", default_value = "wsgi")]
    pub auth_group: String,
}
