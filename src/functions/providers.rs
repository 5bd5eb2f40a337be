//! What mod_auth_basic, mod_auth_digest and mod_authz_core call: the provider `wsgi` for
//! authentication and `wsgi-group` for authorization.
//!
//! Called in children, on the thread of the request that is decided about; `Require` lines are read
//! in the parent. Every function httpd calls is one call to the panic boundary, and a panic grants
//! nothing.

use std::ffi::{CStr, c_char, c_void};
use std::ptr::null;

use super::authorization::Required;
use super::{authentication, authorization};
use crate::ffi;
use crate::httpd::boundary::guard;
use crate::httpd::pool::Pool;
use crate::httpd::provider::{self, Authorization, PasswordVerdict, RealmHash};
use crate::httpd::request::Request;
use crate::httpd::{c_bytes, field};

static AUTHENTICATION: ffi::authn_provider = ffi::authn_provider {
    check_password: Some(on_check_password),
    get_realm_hash: Some(on_get_realm_hash),
};

static AUTHORIZATION: ffi::authz_provider = ffi::authz_provider {
    check_authorization: Some(on_check_authorization),
    parse_require_line: Some(on_parse_require_line),
};

/// Registers the providers, each time the module is loaded.
pub fn register(pool: Pool<'_>) {
    provider::register_authentication(pool, c"wsgi", &AUTHENTICATION);
    provider::register_authorization(pool, c"wsgi-group", &AUTHORIZATION);
}

unsafe extern "C" fn on_check_password(
    request: *mut ffi::request_rec,
    user: *const c_char,
    password: *const c_char,
) -> ffi::authn_status {
    guard(PasswordVerdict::Failed.code(), || {
        // SAFETY: httpd lends the request that is authenticated.
        let request = unsafe { Request::from_raw(request) };
        // SAFETY: a terminated string of the request's pool.
        let user = unsafe { c_bytes(user) }.unwrap_or_default();
        // SAFETY: as above.
        let password = unsafe { c_bytes(password) }.unwrap_or_default();
        authentication::check_password(request, user, password).code()
    })
}

unsafe extern "C" fn on_get_realm_hash(
    request: *mut ffi::request_rec,
    user: *const c_char,
    realm: *const c_char,
    hash: *mut *mut c_char,
) -> ffi::authn_status {
    guard(PasswordVerdict::Failed.code(), || {
        // SAFETY: httpd lends the request that is authenticated.
        let request = unsafe { Request::from_raw(request) };
        // SAFETY: a terminated string of the request's pool.
        let user = unsafe { c_bytes(user) }.unwrap_or_default();
        // SAFETY: as above.
        let realm = unsafe { c_bytes(realm) }.unwrap_or_default();
        match authentication::realm_hash(request, user, realm) {
            RealmHash::Known(found) => {
                // SAFETY: httpd lends a place for a string of the request's pool.
                unsafe { *hash = found.as_ptr().cast_mut() };
                ffi::authn_status_AUTH_USER_FOUND
            }
            RealmHash::UnknownUser => PasswordVerdict::UnknownUser.code(),
            RealmHash::Failed => PasswordVerdict::Failed.code(),
        }
    })
}

unsafe extern "C" fn on_check_authorization(
    request: *mut ffi::request_rec,
    _: *const c_char,
    required: *const c_void,
) -> ffi::authz_status {
    guard(Authorization::Failed.code(), || {
        // SAFETY: httpd lends the request that is authorized.
        let request = unsafe { Request::from_raw(request) };
        // SAFETY: `on_parse_require_line` stored this in the configuration's pool, or null.
        let required = unsafe { required.cast::<Required>().as_ref() };
        authorization::check(request, required).code()
    })
}

/// Parses the line once; answers null or the sentence that stops httpd.
unsafe extern "C" fn on_parse_require_line(
    parameters: *mut ffi::cmd_parms,
    line: *const c_char,
    parsed: *mut *const c_void,
) -> *const c_char {
    guard(c"mod_wsgi_rs failed to read this line".as_ptr(), || {
        let pool = field!(parameters, pool);
        // SAFETY: the pool of the configuration (or of an .htaccess file's request) that is read.
        let pool = unsafe { Pool::from_raw(pool) };
        // SAFETY: httpd passes the line as a terminated string.
        let line = unsafe { CStr::from_ptr(line) };
        // SAFETY: httpd lends the parameters of the line, and keeps what it is parsed to as long
        // as their pool.
        match unsafe { Required::parse(parameters, line) } {
            Ok(required) => {
                let required: *const Required = pool.place(required);
                // SAFETY: httpd lends a place for what the line was parsed to.
                unsafe { *parsed = required.cast() };
                null()
            }
            Err(error) => {
                let sentence = format!("Require wsgi-group: {error}");
                pool.string(sentence.as_bytes()).as_ptr()
            }
        }
    })
}
