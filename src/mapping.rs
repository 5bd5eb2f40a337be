//! WSGIScriptAlias and WSGIScriptAliasMatch: from a URL to a script.
//!
//! Runs in a child's request thread, in the translate_name hook.

use std::ffi::CStr;

use wsgi_config::alias::match_prefix;

use crate::config::{Alias, ServerConfig};
use crate::httpd::pool::PoolStr;
use crate::httpd::request::Request;
use crate::httpd::status::Status;

/// The name by which SetHandler and AddHandler select this module.
pub const HANDLER: &CStr = c"wsgi-script";

/// The media type that AddType may give to scripts instead.
pub const HANDLER_TYPE: &[u8] = b"application/x-httpd-wsgi";

/// The note that a mapping is deliberate.
const NOTE: &CStr = c"alias-forced-type";

/// Maps the request if an alias of its server matches: the first one wins.
pub fn translate(request: Request<'_>) -> Status {
    let Some((alias, filename)) = first_match(request) else {
        return Status::DECLINED;
    };
    request.set_target(filename, HANDLER);
    if let Some((script, path_info)) = split(alias, filename.bytes()) {
        let pool = request.pool();
        request.split_target(pool.string(script), pool.string(path_info));
    }
    // CGI's own alias leaves this note, by which other modules see that the mapping is deliberate.
    let (note, handler) = (PoolStr::constant(NOTE), PoolStr::constant(HANDLER));
    request.notes().set(note, handler);
    request.set_own_value((&raw const *alias).cast_mut().cast());
    Status::OK
}

fn first_match(request: Request<'_>) -> Option<(&'static Alias, PoolStr<'_>)> {
    let config = ServerConfig::of(request.server())?;
    let uri = request.uri().filter(|uri| uri.starts_with(b"/"))?;
    config.first_match(uri, |alias| {
        let filename = target(alias, request, uri)?;
        Some((alias, filename))
    })
}

/// The script that the alias names, if it is not a directory's, and what of the path follows it.
/// `None` where httpd would bring that into another form first.
fn split<'f>(alias: &Alias, filename: &'f [u8]) -> Option<(&'f [u8], &'f [u8])> {
    let script = &alias.script.target;
    if alias.regex.is_some() || script.ends_with(b"/") {
        return None;
    }
    let (script, path_info) = filename.split_at_checked(script.len())?;
    let bends = |pair: &[u8]| pair == b"//" || pair == b"/.";
    let straight = path_info.starts_with(b"/") && !path_info.windows(2).any(bends);
    straight.then_some((script, path_info))
}

/// The alias that mapped this request.
pub fn alias_of(request: Request<'_>) -> Option<&'static Alias> {
    // SAFETY: `translate` alone stores a value, and an alias lives as long as the configuration.
    let own = unsafe { request.own_value().cast::<Alias>().as_ref() };
    own.or_else(|| alias_of_replacement(request))
}

/// The same for a request that took over the mapping of another: FallbackResource and DirectoryIndex
/// look a URL up as a subrequest and copy of it what httpd knows, the note among it.
#[cold]
fn alias_of_replacement(request: Request<'_>) -> Option<&'static Alias> {
    let mapped = request.notes().value(NOTE) == Some(HANDLER.to_bytes());
    let (alias, _) = mapped.then(|| first_match(request)).flatten()?;
    Some(alias)
}

/// The file that `uri` maps to by this alias, if it matches.
fn target<'r>(alias: &Alias, request: Request<'r>, uri: &[u8]) -> Option<PoolStr<'r>> {
    let script = &alias.script;
    let (matched, target) = match &alias.regex {
        Some(regex) => {
            let (matched, target) = regex.replace(request.pool(), uri, &script.target)?;
            (matched, target.bytes())
        }
        None => {
            let matched = match_prefix(uri, &script.url)?;
            // A prefix that ends in a slash has eaten the one that separates the script from
            // what follows it, except where the target is a directory written with one.
            let eaten = script.url.ends_with(b"/") && !script.target.ends_with(b"/");
            (matched - usize::from(eaten && matched > 0), &*script.target)
        }
    };
    // In one piece: one that grows leaves the C library a trail of pieces that fit nothing.
    let filename = [target, uri.get(matched..)?].concat();
    Some(request.pool().string(&filename))
}
