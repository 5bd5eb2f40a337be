//! Room for what many process groups have open in httpd's parent and its children.
//!
//! Runs in the parent, once for each configuration. What httpd needs for itself stays as its
//! administrator has sized it: the groups' share comes on top, as far as the hard limit goes. Daemons
//! are given what httpd was started with, by the monitor.

use std::ffi::CStr;
use std::io;

use wsgi_unix::open_files;

use super::plan::{Plan, PlannedGroup};
use crate::httpd::log::{self, Level};
use crate::httpd::server::{self, Server};

/// Where the process pool keeps the limit that httpd was started with, as we raise it.
const KEY: &CStr = c"mod_wsgi_rs.open_files";

/// Descriptors of a group that the parent keeps for its monitors: socket, hint page and log.
const OF_A_GROUP: u64 = 3;

/// Descriptors of a template, for the same reason.
const OF_A_TEMPLATE: u64 = 1;

/// Raises the soft limit by what the groups need. Answers what it was when httpd was started.
pub fn make_room(server: Server<'static>, plan: &Plan) -> io::Result<u64> {
    let now = open_files::limit()?;
    let started_with = started_with(server, now.soft);
    let wanted = started_with.saturating_add(share_of(plan)).min(now.hard);
    if wanted > now.soft {
        open_files::set_soft(wanted)?;
        let line = format!(
            "descriptors that may be open: {wanted}, as the process groups may need {} besides the \
             {started_with} of httpd",
            wanted - started_with
        );
        log::server(server, Level::Info, line);
    }
    Ok(started_with)
}

/// The limit that httpd was started with; `now` if nobody has asked yet.
fn started_with(server: Server<'static>, now: u64) -> u64 {
    let pool = server.process_pool();
    let stored = pool.userdata(KEY).cast::<u64>();
    // SAFETY: only the lines below store under this key, memory of the process pool that is never
    // written again.
    if let Some(stored) = unsafe { stored.as_ref() } {
        return *stored;
    }
    pool.set_userdata(KEY, (&raw mut *pool.place_copy(now)).cast());
    now
}

/// What groups have open at most: in the parent what it keeps for the monitor, in a child the
/// connections that it keeps.
fn share_of(plan: &Plan) -> u64 {
    let (_, threads) = server::children();
    let connections = |group: &PlannedGroup| {
        let gateway = &group.spec.gateway;
        let served = u64::from(gateway.processes) * u64::from(gateway.threads);
        // Each of a child's threads leaves one behind, at most.
        served.min(u64::from(threads))
    };
    let of_groups: u64 = plan.groups.iter().map(connections).sum();
    let of_templates = plan.templates.iter().map(|template| {
        connections(&template.group).saturating_mul(u64::from(template.spec.maximum_groups))
    });
    let in_child = of_templates.fold(of_groups, u64::saturating_add);
    let (groups, templates) = (plan.groups.len() as u64, plan.templates.len() as u64);
    // Twice, for the moment in which the monitor is given its own.
    let in_parent = 2 * (OF_A_GROUP * groups + OF_A_TEMPLATE * templates);
    in_child.max(in_parent)
}
