//! The groups of a template as an Apache child knows them: it keeps those it has used, and asks the
//! monitor for others.
//!
//! Runs in children's request threads; the parent only makes the [`Template`]. What is kept may be
//! out of date, as the monitor ends groups that nobody needs: then the group's socket is gone, which
//! shows before a request has begun, and the monitor is asked once more.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wsgi_unix::hints::HintPage;
use wsgi_unix::socket::{self, Wait};
use wsgi_wire::control::{Answer, Ask, MAX_PACKET, Refusal};
use wsgi_wire::secret::Secret;

use super::{DaemonError, Group, GroupParts};
use crate::httpd::server::Server;

/// How often a group is asked for because the one that was known is gone.
const ATTEMPTS: u32 = 3;

/// How long a refusal that another try would not change is remembered: a client that asks for
/// strange keys is answered without the monitor.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// A group that was not used for so long is forgotten when another one is made.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(15 * 60);

/// Makes a group of the template: from its name, its socket and its hint page.
pub type Make = Box<dyn Fn(Vec<u8>, PathBuf, Secret, HintPage) -> GroupParts>;

/// What the parent knows of a template.
pub struct TemplateParts {
    /// Its name.
    pub name: Vec<u8>,
    /// Its place in the configuration.
    pub index: u32,
    /// The servers it was defined in.
    pub servers: Vec<Server<'static>>,
    /// How many groups the monitor makes of it.
    pub maximum_groups: u32,
    /// How long the monitor may take to answer.
    pub patience: Duration,
    /// Makes a group.
    pub make: Make,
    /// Where the monitor is asked: a socket that all children share.
    pub control: Arc<OwnedFd>,
}

/// A template of daemon groups as children see it.
pub struct Template {
    parts: TemplateParts,
    known: Mutex<HashMap<Vec<u8>, Known>>,
}

/// What is known of a key.
struct Known {
    answer: Result<Arc<Group>, (Refusal, String)>,
    used: Instant,
}

impl std::fmt::Debug for Template {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = String::from_utf8_lossy(&self.parts.name);
        out.debug_tuple("Template").field(&name).finish()
    }
}

impl Template {
    /// Makes a template, in the parent.
    pub fn new(parts: TemplateParts) -> Template {
        Template {
            parts,
            known: Mutex::new(HashMap::new()),
        }
    }

    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.parts.name
    }

    /// Whether a request of `server` may use it.
    pub fn is_open_to(&self, server: Server<'_>) -> bool {
        server.may_use_what_is_of(&self.parts.servers)
    }

    /// Runs a request in the group of this key. A group that turns out to be gone has not begun it:
    /// it goes to the group that takes its place.
    pub fn with_group<T>(
        &self,
        key: &[u8],
        mut run: impl FnMut(&Group) -> Result<T, DaemonError>,
    ) -> Result<T, DaemonError> {
        let mut group = self.group(key)?;
        for _ in 1..ATTEMPTS {
            match run(&group) {
                Err(error) if error.is_gone() => {
                    self.forget(key, &group);
                    group = self.group(key)?;
                }
                result => return result,
            }
        }
        run(&group)
    }

    fn group(&self, key: &[u8]) -> Result<Arc<Group>, DaemonError> {
        let now = Instant::now();
        if let Some(known) = self.known.lock().get_mut(key) {
            match &known.answer {
                Ok(group) => {
                    known.used = now;
                    return Ok(Arc::clone(group));
                }
                Err((refusal, reason)) if now.duration_since(known.used) < REFUSED_FOR => {
                    return Err(self.not_made(key, *refusal, reason.clone()));
                }
                Err(_) => {}
            }
        }
        match self.ask(key).map_err(|source| DaemonError::Monitor {
            group: self.display_name(key),
            source,
        })? {
            Ok(parts) => self
                .keep(key, parts, now)
                .map_err(|source| DaemonError::Monitor {
                    group: self.display_name(key),
                    source,
                }),
            Err((refusal, reason)) => {
                if matches!(refusal, Refusal::Forbidden | Refusal::Broken) {
                    let answer = Err((refusal, reason.clone()));
                    self.insert(key, Known { answer, used: now });
                }
                Err(self.not_made(key, refusal, reason))
            }
        }
    }

    /// Keeps a group that the monitor has made, unless another thread was told of it as well.
    fn keep(&self, key: &[u8], parts: GroupParts, now: Instant) -> io::Result<Arc<Group>> {
        if let Some(known) = self.known.lock().get(key)
            && let Ok(group) = &known.answer
            && group.socket == parts.socket
        {
            return Ok(Arc::clone(group));
        }
        let group = Arc::new(Group::new(parts)?);
        let answer = Ok(Arc::clone(&group));
        self.insert(key, Known { answer, used: now });
        Ok(group)
    }

    /// Keeps what is known of a key and makes room: of groups that the monitor has ended nobody tells
    /// us, and each may keep connections open.
    fn insert(&self, key: &[u8], fresh: Known) {
        let now = fresh.used;
        let mut known = self.known.lock();
        known.insert(key.to_vec(), fresh);
        known.retain(|_, known| {
            let limit = match known.answer {
                Ok(_) => FORGOTTEN_AFTER,
                Err(_) => REFUSED_FOR,
            };
            now.saturating_duration_since(known.used) < limit
        });
        while known.len() > self.parts.maximum_groups.max(64) as usize {
            let oldest = known.iter().min_by_key(|(_, known)| known.used);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                return;
            };
            known.remove(&oldest);
        }
    }

    /// Forgets a group that is gone, unless another thread has found the next one meanwhile.
    fn forget(&self, key: &[u8], group: &Arc<Group>) {
        let mut known = self.known.lock();
        let same = |known: &Known| {
            let kept = known.answer.as_ref();
            kept.is_ok_and(|kept| Arc::ptr_eq(kept, group))
        };
        if known.get(key).is_some_and(same) {
            known.remove(key);
        }
    }

    /// Asks the monitor. One that dies before it answers has a successor, which is asked again.
    fn ask(&self, key: &[u8]) -> io::Result<Result<GroupParts, (Refusal, String)>> {
        let packet = Ask {
            template: self.parts.index,
            key: key.to_vec(),
        }
        .to_bytes();
        let mut answer = self.ask_once(&packet)?;
        if answer.0.is_empty() {
            answer = self.ask_once(&packet)?;
        }
        let (bytes, page) = answer;
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        match (Answer::from_bytes(&bytes).map_err(invalid)?, page) {
            (Answer::Made { socket, secret }, Some(page)) => {
                let socket = PathBuf::from(OsString::from_vec(socket));
                let page = HintPage::map_read_only(page.as_fd())?;
                Ok(Ok((self.parts.make)(
                    self.full_name(key),
                    socket,
                    secret,
                    page,
                )))
            }
            (Answer::Made { .. }, None) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the answer lacks the hint page",
            )),
            (Answer::Refused { refusal, reason }, _) => {
                let reason = String::from_utf8_lossy(&reason).into_owned();
                Ok(Err((refusal, reason)))
            }
        }
    }

    /// One packet there and one back; no bytes if the monitor has gone in between.
    fn ask_once(&self, packet: &[u8]) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
        let (ours, theirs) = socket::pair()?;
        socket::set_receive_timeout(ours.as_fd(), Some(self.parts.patience))?;
        socket::send_with_descriptor(self.parts.control.as_fd(), packet, theirs.as_fd())?;
        drop(theirs);
        let mut room = vec![0; MAX_PACKET];
        match socket::receive_with_descriptor(ours.as_fd(), &mut room, Wait::Yes) {
            Ok((length, page)) => {
                room.truncate(length);
                Ok((room, page))
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok((Vec::new(), None)),
            Err(error) => Err(error),
        }
    }

    fn full_name(&self, key: &[u8]) -> Vec<u8> {
        [&self.parts.name[..], b"/", key].concat()
    }

    fn display_name(&self, key: &[u8]) -> String {
        String::from_utf8_lossy(&self.full_name(key)).into_owned()
    }

    fn not_made(&self, key: &[u8], refusal: Refusal, reason: String) -> DaemonError {
        DaemonError::NotMade {
            group: self.display_name(key),
            refusal,
            reason,
        }
    }
}
