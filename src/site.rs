//! The configuration as requests use it: made in the parent after the configuration was read,
//! inherited by every child at fork, read-only from then on.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::daemon::Group;
use crate::embedded::Embedded;
use crate::httpd::pool::Pool;

/// Everything a request can be dispatched to.
#[derive(Debug)]
pub struct Site {
    /// The daemon groups, in the order of the configuration.
    pub groups: Vec<Group>,
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

    /// The daemon group of this name.
    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.groups.iter().find(|group| group.name() == name)
    }
}
