//! Whom a process group runs as, and whose its scripts and its socket are: accounts by their names.
//!
//! Runs in the parent, also under `configtest`; it looks accounts up and changes nothing.

use wsgi_config::daemon_options::DaemonOptions;
use wsgi_unix::accounts::{self, Account};
use wsgi_wire::launch::{Identity, ScriptOwner};

use super::{PlanError, text};
use crate::httpd::server;

/// Whom the group runs as; `None` without root, where there is no choice.
pub(super) fn identity(options: &DaemonOptions) -> Result<Option<Identity>, PlanError> {
    let group = || options.definition();
    let user = options
        .user
        .as_deref()
        .map(|user| account(&group(), user))
        .transpose()?;
    let gid = options
        .group
        .as_deref()
        .map(|name| group_id(&group(), name))
        .transpose()?;
    if !accounts::is_root() {
        if user.is_some_and(|account| account.uid != accounts::own_uid()) {
            let value = options.user.as_deref().map(text).unwrap_or_default();
            return Err(PlanError::NeedsRoot {
                group: group(),
                option: "user",
                value,
            });
        }
        if gid.is_some_and(|gid| gid != accounts::own_gid()) {
            let value = options.group.as_deref().map(text).unwrap_or_default();
            return Err(PlanError::NeedsRoot {
                group: group(),
                option: "group",
                value,
            });
        }
        return Ok(None);
    }
    let (apache_uid, apache_gid) = server::child_identity();
    let account = match user {
        Some(account) => account,
        None => Account {
            gid: apache_gid,
            ..by_uid(&group(), apache_uid)?
        },
    };
    if account.uid == 0 {
        let user = options.user.as_deref().map_or_else(|| "#0".into(), text);
        return Err(PlanError::Root {
            group: group(),
            user,
        });
    }
    let gid = gid.unwrap_or(account.gid);
    Ok(Some(Identity {
        uid: account.uid,
        gid,
        name: account.name,
        home: account.home,
    }))
}

/// Whose every script of the group must be.
pub(super) fn script_owner(options: &DaemonOptions) -> Result<Option<ScriptOwner>, PlanError> {
    let group = options.definition();
    let owner = match (&options.script_user, &options.script_group) {
        (Some(user), _) => ScriptOwner {
            group: false,
            id: account(&group, user)?.uid,
        },
        (None, Some(name)) => ScriptOwner {
            group: true,
            id: group_id(&group, name)?,
        },
        (None, None) => return Ok(None),
    };
    Ok(Some(owner))
}

/// The owner of the group's socket, if the option `socket-user` stands.
pub(super) fn socket_uid(options: &DaemonOptions) -> Result<Option<u32>, PlanError> {
    let Some(user) = &options.socket_user else {
        return Ok(None);
    };
    let group = options.definition();
    let uid = account(&group, user)?.uid;
    if !accounts::is_root() && uid != accounts::own_uid() {
        return Err(PlanError::NeedsRoot {
            group,
            option: "socket-user",
            value: text(user),
        });
    }
    Ok(Some(uid))
}

/// The ids of the option `supplementary-groups`, if it stands.
pub(super) fn supplementary_groups(options: &DaemonOptions) -> Result<Option<Vec<u32>>, PlanError> {
    let Some(names) = &options.supplementary_groups else {
        return Ok(None);
    };
    let group = options.definition();
    if !accounts::is_root() {
        return Err(PlanError::NeedsRoot {
            group,
            option: "supplementary-groups",
            value: text(&names.join(&b',')),
        });
    }
    let ids = names.iter().map(|name| group_id(&group, name));
    ids.collect::<Result<_, _>>().map(Some)
}

/// An account by its name or `#uid`.
pub(super) fn account(group: &str, user: &[u8]) -> Result<Account, PlanError> {
    if let Some(uid) = number(user) {
        return by_uid(group, uid);
    }
    let found = accounts::by_name(user).map_err(|source| PlanError::Accounts {
        group: group.into(),
        source,
    })?;
    found.ok_or_else(|| PlanError::NoUser {
        group: group.into(),
        user: text(user),
    })
}

/// An account by its uid; one without an entry has no name and no home.
pub(super) fn by_uid(group: &str, uid: u32) -> Result<Account, PlanError> {
    let found = accounts::by_uid(uid).map_err(|source| PlanError::Accounts {
        group: group.into(),
        source,
    })?;
    let nameless = || Account {
        name: Vec::new(),
        uid,
        gid: uid,
        home: b"/".to_vec(),
    };
    Ok(found.unwrap_or_else(nameless))
}

/// A group of users by its name or `#gid`.
pub(in crate::supervise) fn group_id(group: &str, name: &[u8]) -> Result<u32, PlanError> {
    if let Some(gid) = number(name) {
        return Ok(gid);
    }
    let found = accounts::group_id(name).map_err(|source| PlanError::Accounts {
        group: group.into(),
        source,
    })?;
    found.ok_or_else(|| PlanError::NoGroup {
        group: group.into(),
        name: text(name),
    })
}

/// `#id` as httpd writes numeric accounts.
pub(super) fn number(name: &[u8]) -> Option<u32> {
    std::str::from_utf8(name.strip_prefix(b"#")?)
        .ok()?
        .parse()
        .ok()
}
