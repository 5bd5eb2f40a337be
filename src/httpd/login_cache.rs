//! mod_authn_socache, which keeps what providers find out about users (AuthnCacheProvideFor).
//!
//! Asked in the parent after the configuration was read, called in children on the thread of the
//! request that is authenticated. Without the module every call does nothing.

use std::ffi::c_char;

use crate::ffi;
use crate::httpd::c_bytes;
use crate::httpd::field;
use crate::httpd::pool::PoolStr;
use crate::httpd::request::Request;

/// Room for a password's hash, `$apr1$8 of salt$22 of hash`, and for the end that APR leaves free.
const HASH_BYTES: usize = 64;

/// The digits of a salt (crypt(5)).
const SALT_DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Whether the configuration may let the module keep what `provider` finds out. A line
/// `AuthnCacheProvideFor` in a `.htaccess` file counts only beside `AuthnCacheEnable` here.
pub fn is_wanted_for(provider: &[u8]) -> bool {
    // SAFETY: looks the function up by its name.
    if unsafe { ffi::wsgi_caches_logins() } == 0 {
        return false;
    }
    // SAFETY: the tree is set by httpd's main thread before any hook of ours that asks.
    let tree = unsafe { ffi::ap_conftree };
    any(tree, &|name, arguments| {
        let mut words = arguments.split(u8::is_ascii_whitespace);
        name.eq_ignore_ascii_case(b"AuthnCacheEnable")
            || name.eq_ignore_ascii_case(b"AuthnCacheProvideFor")
                && words.any(|word| word.trim_ascii() == provider)
    })
}

/// Whether a directive of this list, or inside one of its sections, is meant.
fn any(mut directive: *const ffi::ap_directive_t, is_meant: &dyn Fn(&[u8], &[u8]) -> bool) -> bool {
    while !directive.is_null() {
        let (name, arguments) = (field!(directive, directive), field!(directive, args));
        // SAFETY: a terminated string that lives as long as the configuration.
        let name = unsafe { c_bytes(name) };
        // SAFETY: as above.
        let arguments = unsafe { c_bytes(arguments) };
        if is_meant(name.unwrap_or_default(), arguments.unwrap_or_default())
            || any(field!(directive, first_child), is_meant)
        {
            return true;
        }
        directive = field!(directive, next);
    }
    false
}

/// Offers a password that was right, as a salted hash: the cache may be a file or another host.
pub fn offer_password(request: Request<'_>, user: &[u8], password: &[u8]) {
    let mut salt = [0u8; 9];
    // SAFETY: writes eight bytes into the array.
    if unsafe { ffi::apr_generate_random_bytes(salt.as_mut_ptr(), 8) } != 0 {
        return;
    }
    for byte in &mut salt[..8] {
        *byte = SALT_DIGITS[usize::from(*byte & 63)];
    }
    let pool = request.pool();
    let (user, password) = (pool.string(user), pool.string(password));
    let mut hash = [0 as c_char; HASH_BYTES];
    // SAFETY: terminated strings; APR is told the length of the array.
    let status = unsafe {
        ffi::apr_md5_encode(
            password.as_ptr(),
            salt.as_ptr().cast(),
            hash.as_mut_ptr(),
            HASH_BYTES,
        )
    };
    if status == 0 {
        // SAFETY: the request is alive; the strings are terminated, and the cache copies them.
        unsafe {
            ffi::wsgi_cache_login(
                request.as_ptr(),
                user.as_ptr(),
                std::ptr::null(),
                hash.as_ptr(),
            )
        }
    }
}

/// Offers the hash of user, realm and password for digest authentication.
pub fn offer_realm_hash(request: Request<'_>, user: &[u8], realm: &[u8], hash: PoolStr<'_>) {
    let pool = request.pool();
    let (user, realm) = (pool.string(user), pool.string(realm));
    // SAFETY: the request is alive; the strings are terminated, and the cache copies them.
    unsafe {
        ffi::wsgi_cache_login(
            request.as_ptr(),
            user.as_ptr(),
            realm.as_ptr(),
            hash.as_ptr(),
        )
    }
}
