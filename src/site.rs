//! The configuration as requests use it: made in the parent after the configuration was read,
//! inherited by every child at fork, read-only from then on.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use wsgi_config::keyed;
use wsgi_wire::head::EncodedHead;

use crate::body::RequestBody;
use crate::daemon::{DaemonError, Group, Template};
use crate::embedded::Embedded;
use crate::httpd::pool::Pool;
use crate::httpd::request::Request;
use crate::httpd::server::Server;
use crate::httpd::status::Status;
use crate::keyed::{Key, KeyError, check};
use crate::response::Rules;

/// Everything a request can be dispatched to.
#[derive(Debug)]
pub struct Site {
    /// The daemon groups, in the order of their names.
    pub groups: Vec<Group>,
    /// What groups are made from on demand.
    pub templates: Vec<Template>,
    /// What gives the key in names of such groups, by the name as it was written.
    pub keys: BTreeMap<Vec<u8>, Key>,
    /// Python in Apache's own processes.
    pub embedded: Embedded,
    /// WSGIRestrictEmbedded.
    pub restrict_embedded: bool,
    /// WSGICaseSensitivity Off.
    pub ignores_case: bool,
    /// mod_authn_socache may keep what the provider `wsgi` finds out.
    pub offers_logins: bool,
}

/// The site of the running configuration. The pool that owns it is cleared only when no request
/// runs any more, and a new one is installed before the next request.
static CURRENT: AtomicPtr<Site> = AtomicPtr::new(null_mut());

impl Site {
    /// Makes this the running configuration's site; it lives as long as `pool` (httpd's `pconf`).
    pub fn install(self, pool: Pool<'static>) -> &'static Site {
        let site = pool.place(self);
        CURRENT.store(site, Ordering::Release);
        site
    }

    /// The running configuration's site, or `None` while there is none.
    pub fn current() -> Option<&'static Site> {
        // SAFETY: `install` stored a pointer into the configuration's pool, whose hooks and
        // requests are our only callers (SAFETY.md, "Configuration is read-only").
        unsafe { CURRENT.load(Ordering::Acquire).as_ref() }
    }

    /// The daemon group of this name, or what it is made from; `None` if nobody defines it.
    pub fn destination<'n>(&self, name: &'n [u8]) -> Result<Option<Destination<'_, 'n>>, KeyError> {
        // Halving: a server may have hundreds of groups, and every request asks.
        if let Ok(at) = self.groups.binary_search_by(|group| group.name().cmp(name)) {
            return Ok(Some(Destination::Group(&self.groups[at])));
        }
        let Some((template, key)) = keyed::split(name) else {
            return Ok(None);
        };
        let mut templates = self.templates.iter();
        let Some(found) = templates.find(|known| known.name() == template) else {
            return Ok(None);
        };
        check(template, key)?;
        Ok(Some(Destination::Keyed(found, key)))
    }

    /// A process group's name with the request's key in it, if its key comes with the request.
    pub fn with_key<'n>(
        &self,
        name: &'n [u8],
        request: Request<'_>,
    ) -> Result<Cow<'n, [u8]>, KeyError> {
        if self.keys.is_empty() {
            return Ok(Cow::Borrowed(name));
        }
        match self.keys.get(name) {
            Some(key) => key.name_in(name, request).map(Cow::Owned),
            None => Ok(Cow::Borrowed(name)),
        }
    }
}

/// Where daemons answer a request.
#[derive(Debug, Clone, Copy)]
pub enum Destination<'s, 'n> {
    /// A group of the configuration.
    Group(&'s Group),
    /// The group of a template for this key, which may not be there yet.
    Keyed(&'s Template, &'n [u8]),
}

impl Destination<'_, '_> {
    /// Whether a request of `server` may use it.
    pub fn is_open_to(self, server: Server<'_>) -> bool {
        match self {
            Destination::Group(group) => group.is_open_to(server),
            Destination::Keyed(template, _) => template.is_open_to(server),
        }
    }

    /// Lets a daemon answer the request.
    pub fn serve(
        self,
        request: Request<'_>,
        head: &mut EncodedHead,
        body: &mut RequestBody<'_>,
        rules: Rules,
    ) -> Result<Status, DaemonError> {
        match self {
            Destination::Group(group) => group.serve(request, head, body, rules),
            Destination::Keyed(template, key) => {
                template.with_group(key, |group| group.serve(request, head, body, rules))
            }
        }
    }

    /// Lets a daemon call functions: gives their encoded answers.
    pub fn ask(self, request: Request<'_>, head: &mut EncodedHead) -> Result<Vec<u8>, DaemonError> {
        match self {
            Destination::Group(group) => group.ask(request, head),
            Destination::Keyed(template, key) => {
                template.with_group(key, |group| group.ask(request, head))
            }
        }
    }
}
