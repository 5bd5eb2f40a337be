//! Authentication and authorization providers: what mod_auth_basic, mod_auth_digest and
//! mod_authz_core call.
//!
//! Registered in the parent's main thread each time the module is loaded; called in children, on the
//! thread of the request that is decided about.

use std::ffi::{CStr, c_void};

use crate::ffi;
use crate::httpd::pool::{Pool, PoolStr};

/// What is known about a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordVerdict {
    /// It is the user's.
    Right,
    /// It is not.
    Wrong,
    /// Another provider may know the user.
    UnknownUser,
    /// It could not be checked.
    Failed,
}

/// What is known about a user of digest authentication.
#[derive(Debug, Clone, Copy)]
pub enum RealmHash<'r> {
    /// The hash of user, realm and password, in hexadecimal digits.
    Known(PoolStr<'r>),
    /// Another provider may know the user.
    UnknownUser,
    /// It could not be found out.
    Failed,
}

/// Whether a user may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authorization {
    /// Yes.
    Granted,
    /// No.
    Denied,
    /// Nobody is authenticated yet.
    NoUser,
    /// It could not be found out.
    Failed,
}

impl PasswordVerdict {
    /// As httpd wants it.
    pub const fn code(self) -> ffi::authn_status {
        match self {
            PasswordVerdict::Right => ffi::authn_status_AUTH_GRANTED,
            PasswordVerdict::Wrong => ffi::authn_status_AUTH_DENIED,
            PasswordVerdict::UnknownUser => ffi::authn_status_AUTH_USER_NOT_FOUND,
            PasswordVerdict::Failed => ffi::authn_status_AUTH_GENERAL_ERROR,
        }
    }
}

impl Authorization {
    /// As httpd wants it.
    pub const fn code(self) -> ffi::authz_status {
        match self {
            Authorization::Granted => ffi::authz_status_AUTHZ_GRANTED,
            Authorization::Denied => ffi::authz_status_AUTHZ_DENIED,
            Authorization::NoUser => ffi::authz_status_AUTHZ_DENIED_NO_USER,
            Authorization::Failed => ffi::authz_status_AUTHZ_GENERAL_ERROR,
        }
    }
}

/// Registers a provider for AuthBasicProvider and AuthDigestProvider.
pub fn register_authentication(
    pool: Pool<'_>,
    name: &'static CStr,
    provider: &'static ffi::authn_provider,
) {
    let provider = std::ptr::from_ref(provider).cast();
    register(pool, ffi::AUTHN_PROVIDER_GROUP, name, provider);
}

/// Registers a provider for Require.
pub fn register_authorization(
    pool: Pool<'_>,
    name: &'static CStr,
    provider: &'static ffi::authz_provider,
) {
    let provider = std::ptr::from_ref(provider).cast();
    register(pool, ffi::AUTHZ_PROVIDER_GROUP, name, provider);
}

fn register(pool: Pool<'_>, group: &'static [u8], name: &'static CStr, provider: *const c_void) {
    let version = ffi::AUTHN_PROVIDER_VERSION.as_ptr().cast();
    // SAFETY: the strings are terminated constants, and the provider is one that lives while the
    // module is loaded; httpd forgets both with the pool.
    unsafe {
        ffi::ap_register_auth_provider(
            pool.as_ptr(),
            group.as_ptr().cast(),
            name.as_ptr(),
            version,
            provider,
            ffi::AP_AUTH_INTERNAL_PER_CONF,
        )
    };
}
