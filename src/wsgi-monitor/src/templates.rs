//! Process groups on demand: what children ask for is made from a template, and ended when nobody
//! needs it.
//!
//! Runs in the monitor's loop, which owns the groups; here is what is known of those that were made.
//! A child names a template and a key and nothing else. The key was shown to be one by the decoder,
//! and whom it may name is decided here. Nothing here waits for a child.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wsgi_unix::hints::HintPage;
use wsgi_unix::log::{self, Level};
use wsgi_unix::random;
use wsgi_unix::socket::{self, Wait};
use wsgi_unix::{clock, hints, socket_names};
use wsgi_wire::control::{Answer, Ask, MAX_PACKET, Refusal};
use wsgi_wire::launch::{Field, GroupSpec, HOME_INTERPRETERS, TemplateSpec, hint_rows};
use wsgi_wire::secret::Secret;

use crate::config::GroupDescriptors;
use crate::group::Group;
use crate::identity::{identity_of, script_owner_of};
use crate::supervise::remove_socket;

/// A group that was in use so recently does not make room for another: keys that take turns would
/// have processes started without end.
const REST: Duration = Duration::from_secs(5);

/// How many packets are taken before others have their turn.
const PACKETS_AT_ONCE: u32 = 32;

/// Why there is no group: kind and sentence.
pub type Refused = (Refusal, String);

/// The templates and what was made from them.
pub struct Templates {
    specs: Vec<TemplateSpec>,
    /// The error log of each template's groups.
    logs: Vec<Option<OwnedFd>>,
    made: Vec<Made>,
    control: OwnedFd,
    prefix: PathBuf,
    /// When this monitor began: part of the sockets' names, so that none is used again after it.
    stamp: u64,
    /// Groups made so far.
    count: u64,
    next_id: u32,
    /// When a line was last written about a child.
    complained: Option<Instant>,
}

/// A group that was made.
struct Made {
    template: usize,
    key: Vec<u8>,
    /// What the loop knows the group by.
    id: u32,
    /// When it was last seen in use, asked for or made.
    used: Instant,
    /// The accounts that its key names were looked up for the first start already.
    fresh: bool,
    /// It is on its way out and takes no requests.
    ending: bool,
}

impl Templates {
    /// None made so far. `next_id` is the first number that no group of the configuration has.
    pub fn new(
        specs: Vec<TemplateSpec>,
        logs: Vec<Option<OwnedFd>>,
        socket_prefix: Vec<u8>,
        control: OwnedFd,
        next_id: u32,
    ) -> Templates {
        let prefix = PathBuf::from(std::ffi::OsString::from_vec(socket_prefix));
        if !specs.is_empty() {
            // Of a monitor that died: nobody listens there.
            socket_names::remove_all(&prefix);
        }
        Templates {
            specs,
            logs,
            made: Vec::new(),
            control,
            prefix,
            stamp: clock::micros_since_epoch(),
            count: 0,
            next_id,
            complained: None,
        }
    }

    /// Where children ask.
    pub fn control(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// Answers the children that have asked.
    pub fn answer(&mut self, groups: &mut Vec<Group>, now: Instant) {
        for _ in 0..PACKETS_AT_ONCE {
            let mut room = [0; MAX_PACKET];
            let received =
                socket::receive_with_descriptor(self.control.as_fd(), &mut room, Wait::No);
            match received {
                Ok((length, Some(reply))) => match Ask::from_bytes(&room[..length]) {
                    Ok(ask) => self.reply(&ask, &reply, groups, now),
                    Err(error) => {
                        self.complain(&format!("sent what is no message: {error}"), now);
                    }
                },
                Ok((_, None)) => {
                    self.complain("sent a message without a socket for the answer", now);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return self.complain(&format!("cannot be heard: {error}"), now),
            }
        }
    }

    fn reply(&mut self, ask: &Ask, reply: &OwnedFd, groups: &mut Vec<Group>, now: Instant) {
        let found = self.find_or_make(ask, groups, now);
        // What was passed may be any descriptor, a socket that takes nothing for instance.
        let sent = match found.map(|id| position(groups, id).map(|at| &groups[at])) {
            Ok(Some(group)) => {
                let socket = group.socket().to_vec();
                let secret = group.secret();
                let answer = Answer::Made { socket, secret }.to_bytes();
                socket::send_at_once(reply.as_fd(), &answer, Some(group.hints()))
            }
            Ok(None) => Ok(()),
            Err((refusal, reason)) => {
                let reason = reason.into_bytes();
                let answer = Answer::Refused { refusal, reason }.to_bytes();
                socket::send_at_once(reply.as_fd(), &answer, None)
            }
        };
        if let Err(error) = sent
            && !matches!(
                error.kind(),
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
            )
        {
            self.complain(&format!("cannot be answered: {error}"), now);
        }
    }

    /// The group that is asked for.
    fn find_or_make(
        &mut self,
        ask: &Ask,
        groups: &mut Vec<Group>,
        now: Instant,
    ) -> Result<u32, Refused> {
        let template = ask.template as usize;
        let there =
            |made: &&mut Made| made.template == template && made.key == ask.key && !made.ending;
        if let Some(made) = self.made.iter_mut().find(there) {
            made.used = now;
            return Ok(made.id);
        }
        let Some(spec) = self.specs.get(template) else {
            let reason = format!("the configuration has no template {template}");
            return Err((Refusal::Broken, reason));
        };
        let group = instantiate(spec, &ask.key)?;
        self.make_room(template, &ask.key, groups, now)?;
        self.make(template, &ask.key, group, groups, now)
    }

    /// Sees to it that one more group may be made; the one that was not used for the longest time
    /// goes if need be.
    fn make_room(
        &mut self,
        template: usize,
        key: &[u8],
        groups: &mut [Group],
        now: Instant,
    ) -> Result<(), Refused> {
        self.look(groups, now);
        let name = text(&self.specs[template].name);
        let maximum = self.specs[template].maximum_groups as usize;
        let of_it = || self.made.iter().filter(|made| made.template == template);
        let ending = of_it().filter(|made| made.ending).count();
        if of_it().count() - ending < maximum {
            return Ok(());
        }
        let full = |why| {
            let reason = format!("{maximum} groups of template '{name}' {why}");
            (Refusal::Full, reason)
        };
        if ending >= maximum {
            return Err(full("finish what they run"));
        }
        let rested = |made: &&mut Made| {
            let rest = now.saturating_duration_since(made.used);
            made.template == template && !made.ending && rest >= REST
        };
        let idle = self.made.iter_mut().filter(rested);
        let idle = idle.min_by_key(|made| made.used);
        let Some(made) = idle else {
            return Err(full("are in use, as many as may be"));
        };
        let why = format!("ends to make room for '{name}/{}'", text(key));
        end(made, groups, Level::Info, &why, now);
        Ok(())
    }

    fn make(
        &mut self,
        template: usize,
        key: &[u8],
        mut group: GroupSpec,
        groups: &mut Vec<Group>,
        now: Instant,
    ) -> Result<u32, Refused> {
        let secret = random::secret().map_err(|error| {
            let reason = format!("there is no secret for it: {error}");
            (Refusal::System, reason)
        })?;
        self.count += 1;
        let path = socket_names::path(&self.prefix, self.stamp, self.count);
        let log = self.logs.get(template).and_then(Option::as_ref);
        let descriptors = descriptors(&self.specs[template], &group, &path, log);
        let descriptors = descriptors.map_err(|error| {
            let reason = format!("{}: {error}", path.display());
            (Refusal::System, reason)
        })?;
        group.socket = path.into_os_string().into_vec();
        group.secret = Secret::new(secret);
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        let group = Group::new(id, group, descriptors, now);
        let from = text(&self.specs[template].name);
        group.log(Level::Info, &format!("is made from template '{from}'"));
        groups.push(group);
        self.made.push(Made {
            template,
            key: key.to_vec(),
            id,
            used: now,
            fresh: true,
            ending: false,
        });
        Ok(id)
    }

    /// Ends groups of whom something is to be started, and whose accounts are not what they were:
    /// their numbers may be somebody else's by now.
    pub fn check_accounts(&mut self, groups: &mut [Group], now: Instant) {
        for made in self.made.iter_mut().filter(|made| !made.ending) {
            let spec = &self.specs[made.template];
            let Some(at) = position(groups, made.id).filter(|_| names_account(spec)) else {
                continue;
            };
            let due = groups[at].next_due().is_some_and(|due| due <= now);
            if !due || std::mem::take(&mut made.fresh) {
                continue;
            }
            if let Some(why) = changed(spec, groups[at].spec(), &made.key) {
                end(made, groups, Level::Error, &format!("ends: {why}"), now);
            }
        }
    }

    /// Ends groups that nobody has used for inactivity-timeout, and forgets those that have ended.
    pub fn keep_going(&mut self, groups: &mut Vec<Group>, now: Instant) {
        let over = |made: &Made| {
            made.ending && position(groups, made.id).is_some_and(|at| groups[at].is_over())
        };
        let over: Vec<u32> = self
            .made
            .iter()
            .filter(|made| over(made))
            .map(|made| made.id)
            .collect();
        if !over.is_empty() {
            self.made.retain(|made| !over.contains(&made.id));
            groups.retain(|group| !over.contains(&group.id()));
        }
        if self.next_due().is_none_or(|due| now < due) {
            return;
        }
        self.look(groups, now);
        let specs = &self.specs;
        for made in &mut self.made {
            if due(specs, made).is_some_and(|due| due <= now) {
                let seconds = specs[made.template].inactivity_timeout.as_secs();
                let why = format!(
                    "ends, as there was no request within inactivity-timeout ({seconds} s)"
                );
                end(made, groups, Level::Info, &why, now);
            }
        }
    }

    /// Writes a line about a child that does what none of ours does, once a second at most.
    fn complain(&mut self, what: &str, now: Instant) {
        let recent = |last: Instant| now.saturating_duration_since(last) < Duration::from_secs(1);
        if !self.complained.is_some_and(recent) {
            self.complained = Some(now);
            log::line(Level::Warn, format_args!("an Apache child {what}"));
        }
    }

    /// When a group has to be looked at.
    pub fn next_due(&self) -> Option<Instant> {
        let due = self.made.iter().filter_map(|made| due(&self.specs, made));
        due.min()
    }

    /// Looks at what the processes of each group show of their use. A process that shows what is not
    /// true keeps its own group, or loses it.
    fn look(&mut self, groups: &[Group], now: Instant) {
        let millis = clock::monotonic_millis();
        for made in &mut self.made {
            let Some(at) = position(groups, made.id) else {
                continue;
            };
            let shown = groups[at].shown_use();
            let ago = match shown.active {
                true => Duration::ZERO,
                false => Duration::from_millis(millis.saturating_sub(shown.last)),
            };
            let used = now.checked_sub(ago).unwrap_or(made.used);
            made.used = made.used.max(used);
        }
    }
}

/// When a group may end for want of requests.
fn due(specs: &[TemplateSpec], made: &Made) -> Option<Instant> {
    let patience = specs[made.template].inactivity_timeout;
    if made.ending || patience.is_zero() {
        return None;
    }
    made.used.checked_add(patience)
}

/// Lets a group finish what it runs. Its path goes first: who comes from now on asks for another.
fn end(made: &mut Made, groups: &mut [Group], level: Level, why: &str, now: Instant) {
    made.ending = true;
    if let Some(at) = position(groups, made.id) {
        let group = &mut groups[at];
        remove_socket(Path::new(OsStr::from_bytes(group.socket())));
        group.log(level, why);
        group.drain(now);
    }
}

/// The template with the key in its texts, and an account that may run it.
fn instantiate(spec: &TemplateSpec, key: &[u8]) -> Result<GroupSpec, Refused> {
    let mut group = spec.group.clone();
    group.fill(key);
    group.identity = identity_of(spec, &group, key)?;
    group.gateway.script_owner = script_owner_of(spec, &group, key)?;
    if let (Some(home), None) = (&group.python_home, &group.process.chroot) {
        check_python(home)?;
    }
    Ok(group)
}

/// Whether the key names accounts.
fn names_account(spec: &TemplateSpec) -> bool {
    let names = [
        &spec.user,
        &spec.group_name,
        &spec.script_user,
        &spec.script_group,
    ];
    names.into_iter().any(Option::is_some)
}

/// Why the group of this key would be another one if it were made now, if it would. Accounts that
/// cannot be looked up at the moment have not changed.
fn changed(spec: &TemplateSpec, group: &GroupSpec, key: &[u8]) -> Option<String> {
    let identity = identity_of(spec, group, key);
    let owner = script_owner_of(spec, group, key);
    match (identity, owner) {
        (Err((Refusal::System, _)), _) | (_, Err((Refusal::System, _))) => None,
        (Err((_, reason)), _) | (_, Err((_, reason))) => Some(reason),
        (Ok(identity), Ok(owner)) => {
            let same = identity == group.identity && owner == group.gateway.script_owner;
            (!same).then(|| "the account that its key names has changed".to_owned())
        }
    }
}

/// Refuses a Python that is not there, which every request would have to wait for. What else may be
/// wrong with it shows when it is executed.
fn check_python(home: &[u8]) -> Result<(), Refused> {
    let home = Path::new(OsStr::from_bytes(home));
    let missing = |name: &str| {
        let found = home.join(name).symlink_metadata();
        found.is_err_and(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            )
        })
    };
    if HOME_INTERPRETERS.into_iter().all(missing) {
        let reason = format!("python-home {} has no bin/python", home.display());
        return Err((Refusal::Broken, reason));
    }
    Ok(())
}

fn descriptors(
    spec: &TemplateSpec,
    group: &GroupSpec,
    path: &Path,
    log: Option<&OwnedFd>,
) -> io::Result<GroupDescriptors> {
    let error_log = log.map(OwnedFd::try_clone).transpose()?;
    let owner = spec.owner.as_ref().map(|owner| (owner.uid, owner.gid));
    let hints = hints::create(hint_rows(group.gateway.processes))?;
    let page = HintPage::map(hints.as_fd())?;
    let listener = socket::listen(path, spec.backlog, owner)?;
    Ok(GroupDescriptors {
        listener,
        hints,
        error_log,
        page,
    })
}

/// Where the group with this number is: they are in the order in which they were made.
fn position(groups: &[Group], id: u32) -> Option<usize> {
    groups.binary_search_by_key(&id, Group::id).ok()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
