//! Whom a group runs as whose key names an account, and whose its scripts must be.
//!
//! Runs in the monitor's loop, as root. The key may come from a client: this is where it ends whom
//! that client can choose. A look-up may wait for the system's name service.

use std::io;

use wsgi_unix::accounts;
use wsgi_wire::control::Refusal;
use wsgi_wire::launch::template::filled;
use wsgi_wire::launch::{GroupSpec, Identity, ScriptOwner, TemplateSpec};

use crate::templates::Refused;

/// The identity of the group of this key; `group` is the template's group with the key in its texts.
pub fn identity_of(
    spec: &TemplateSpec,
    group: &GroupSpec,
    key: &[u8],
) -> Result<Option<Identity>, Refused> {
    let mut identity = group.identity.clone();
    if let Some(user) = &spec.user {
        let user = filled(user, key);
        let account = accounts::by_name(&user).map_err(unreadable)?;
        let name = text(&user);
        let account = account.ok_or_else(|| forbidden(format!("there is no user '{name}'")))?;
        if account.uid == 0 || account.uid < spec.minimum_uid {
            return Err(too_low("user", &name, account.uid, spec.minimum_uid));
        }
        identity = Some(Identity {
            uid: account.uid,
            gid: spec.gid.unwrap_or(account.gid),
            name: account.name,
            home: account.home,
        });
    }
    if let (Some(name), Some(identity)) = (&spec.group_name, &mut identity) {
        let name = filled(name, key);
        let gid = accounts::group_id(&name).map_err(unreadable)?;
        let name = text(&name);
        let gid = gid.ok_or_else(|| forbidden(format!("there is no group '{name}'")))?;
        // The account's own group is its own, whatever the number.
        let own = spec.user.is_some() && gid == identity.gid;
        if !own && (gid == 0 || gid < spec.minimum_uid) {
            return Err(too_low("group", &name, gid, spec.minimum_uid));
        }
        identity.gid = gid;
    }
    Ok(identity)
}

/// Whose every script of the group of this key must be. It only takes rights away, so it may be
/// anybody.
pub fn script_owner_of(
    spec: &TemplateSpec,
    group: &GroupSpec,
    key: &[u8],
) -> Result<Option<ScriptOwner>, Refused> {
    if let Some(name) = &spec.script_user {
        let name = filled(name, key);
        let account = accounts::by_name(&name).map_err(unreadable)?;
        let account =
            account.ok_or_else(|| forbidden(format!("there is no user '{}'", text(&name))))?;
        return Ok(Some(ScriptOwner {
            group: false,
            id: account.uid,
        }));
    }
    if let Some(name) = &spec.script_group {
        let name = filled(name, key);
        let gid = accounts::group_id(&name).map_err(unreadable)?;
        let gid = gid.ok_or_else(|| forbidden(format!("there is no group '{}'", text(&name))))?;
        return Ok(Some(ScriptOwner {
            group: true,
            id: gid,
        }));
    }
    Ok(group.gateway.script_owner.clone())
}

fn too_low(kind: &str, name: &str, id: u32, minimum: u32) -> Refused {
    forbidden(format!(
        "the id {id} of {kind} '{name}' is below minimum-uid={minimum}"
    ))
}

fn forbidden(reason: String) -> Refused {
    (Refusal::Forbidden, reason)
}

fn unreadable(error: io::Error) -> Refused {
    (
        Refusal::System,
        format!("the accounts cannot be read: {error}"),
    )
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(user: Option<&str>, group: Option<&str>, minimum_uid: u32) -> TemplateSpec {
        TemplateSpec {
            user: user.map(|name| name.as_bytes().to_vec()),
            group_name: group.map(|name| name.as_bytes().to_vec()),
            minimum_uid,
            ..TemplateSpec::default()
        }
    }

    fn of(spec: &TemplateSpec, key: &str) -> Result<Option<Identity>, String> {
        let group = GroupSpec {
            identity: Some(Identity {
                uid: 33,
                gid: 33,
                ..Identity::default()
            }),
            ..GroupSpec::default()
        };
        identity_of(spec, &group, key.as_bytes()).map_err(|(_, reason)| reason)
    }

    #[test]
    fn a_key_names_an_account_by_its_name() {
        let nobody = accounts::by_name(b"nobody").unwrap().unwrap();
        let identity = of(&spec(Some("%{key}"), None, 1), "nobody")
            .unwrap()
            .unwrap();
        assert_eq!((identity.uid, identity.gid), (nobody.uid, nobody.gid));
        let part = of(&spec(Some("no%{key}"), None, 1), "body")
            .unwrap()
            .unwrap();
        assert_eq!(part, identity);
        let error = of(&spec(Some("%{key}"), None, 1), "65534").unwrap_err();
        assert_eq!(error, "there is no user '65534'");
    }

    #[test]
    fn root_and_accounts_of_the_system_are_out_of_reach() {
        let error = of(&spec(Some("%{key}"), None, 0), "root").unwrap_err();
        assert_eq!(error, "the id 0 of user 'root' is below minimum-uid=0");
        let error = of(&spec(Some("%{key}"), None, 1000), "daemon").unwrap_err();
        assert_eq!(error, "the id 1 of user 'daemon' is below minimum-uid=1000");
    }

    #[test]
    fn so_are_groups_of_the_system_but_an_accounts_own() {
        for user in [None, Some("nobody")] {
            let error = of(&spec(user, Some("%{key}"), 1000), "shadow").unwrap_err();
            assert!(error.contains("of group 'shadow' is below"), "{error}");
        }
        let error = of(&spec(None, Some("%{key}"), 0), "root").unwrap_err();
        assert!(error.contains("the id 0 of group 'root'"), "{error}");
        let own = of(&spec(Some("%{key}"), Some("%{key}"), 1), "games").unwrap();
        assert_eq!(own.map(|identity| identity.gid), Some(60));
    }

    #[test]
    fn a_key_names_whose_scripts_must_be() {
        let group = GroupSpec::default();
        let spec = TemplateSpec {
            script_user: Some(b"%{key}".to_vec()),
            ..TemplateSpec::default()
        };
        let owner = script_owner_of(&spec, &group, b"daemon").unwrap().unwrap();
        assert_eq!((owner.group, owner.id), (false, 1));
        let (refusal, _) = script_owner_of(&spec, &group, b"no-such-user").unwrap_err();
        assert_eq!(refusal, Refusal::Forbidden);
        let spec = TemplateSpec {
            script_group: Some(b"%{key}".to_vec()),
            ..TemplateSpec::default()
        };
        let owner = script_owner_of(&spec, &group, b"daemon").unwrap().unwrap();
        assert_eq!((owner.group, owner.id), (true, 1));
    }

    #[test]
    fn who_is_not_named_stays_who_he_is() {
        let fixed = of(&spec(None, None, 1000), "anything").unwrap().unwrap();
        assert_eq!((fixed.uid, fixed.gid), (33, 33));
    }
}
