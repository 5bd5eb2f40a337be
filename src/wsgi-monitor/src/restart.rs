//! When a process that ended may be started again. Pure: time comes in as arguments.

use std::time::{Duration, Instant};

use wsgi_unix::process::Ended;
use wsgi_wire::launch::REPLACED_STATUS;

/// The pause after the second death in a row; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A process that lived so long was well: the next death counts as the first again.
const CALM: Duration = Duration::from_secs(60);

/// A process that exits with status 0 before this has failed: otherwise a script that
/// ends its process with status 0 would have us start processes without a pause.
pub const SHORTEST_LIFE: Duration = Duration::from_secs(1);

/// How a daemon's life ended, as far as its successor is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// It asked to be replaced, or ended in order when somebody told it to.
    Planned,
    /// Anything else.
    Failed,
}

impl Death {
    /// Judges how a process ended that lived so long.
    pub fn of(ended: Ended, lived: Duration) -> Death {
        match ended {
            Ended::Exit(REPLACED_STATUS) => Death::Planned,
            Ended::Exit(0) if lived >= SHORTEST_LIFE => Death::Planned,
            _ => Death::Failed,
        }
    }
}

/// The exponential back-off of one process of a group.
#[derive(Debug, Default)]
pub struct Backoff {
    next: Duration,
    failures: u32,
}

impl Backoff {
    /// One that pauses after the first failure already.
    pub fn patient() -> Backoff {
        Backoff {
            next: FIRST_PAUSE,
            failures: 0,
        }
    }

    /// How many failures in a row there were.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// How long to wait before the next start, after a death or a start that failed (which lived
    /// for no time).
    pub fn pause_after(&mut self, death: Death, lived: Duration) -> Duration {
        if lived >= CALM {
            *self = Backoff::default();
        }
        if death == Death::Planned {
            return Duration::ZERO;
        }
        self.failures += 1;
        let pause = self.next;
        self.next = (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        pause
    }
}

/// How many processes a group may have replaced one right after the other.
const REPLACED_AT_ONCE: u32 = 5;

/// The time after which it may have one more replaced.
const REPLACEMENT: Duration = Duration::from_secs(1);

/// The pace at which those of a group's processes are replaced that ask for it too soon or again:
/// whatever they ask, they must not have us start processes without end.
#[derive(Debug, Default)]
pub struct Pace {
    /// When all replacements so far are paid for, each with [`REPLACEMENT`].
    paid: Option<Instant>,
}

impl Pace {
    /// How long the replacement that is asked for now has to wait.
    pub fn pause(&mut self, now: Instant) -> Duration {
        let paid = self.paid.map_or(now, |paid| paid.max(now));
        self.paid = Some(paid + REPLACEMENT);
        let debt = paid - now;
        debt.saturating_sub(REPLACEMENT * (REPLACED_AT_ONCE - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BRIEF: Duration = Duration::from_millis(10);

    fn seconds(backoff: &mut Backoff, death: Death, lived: Duration) -> u64 {
        backoff.pause_after(death, lived).as_secs()
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..9)
            .map(|_| seconds(&mut backoff, Death::Failed, BRIEF))
            .collect();
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn a_long_life_forgives_earlier_deaths() {
        let mut backoff = Backoff::default();
        for _ in 0..5 {
            backoff.pause_after(Death::Failed, BRIEF);
        }
        assert_eq!(seconds(&mut backoff, Death::Failed, CALM), 0);
        assert_eq!(seconds(&mut backoff, Death::Failed, BRIEF), 1);
    }

    #[test]
    fn a_planned_end_is_followed_at_once_and_forgives_nothing() {
        let mut backoff = Backoff::default();
        for _ in 0..3 {
            backoff.pause_after(Death::Failed, BRIEF);
        }
        assert_eq!(seconds(&mut backoff, Death::Planned, SHORTEST_LIFE), 0);
        assert_eq!(seconds(&mut backoff, Death::Failed, BRIEF), 4);
    }

    #[test]
    fn status_0_is_planned_unless_it_comes_too_soon() {
        assert_eq!(Death::of(Ended::Exit(0), SHORTEST_LIFE), Death::Planned);
        assert_eq!(Death::of(Ended::Exit(0), BRIEF), Death::Failed);
        assert_eq!(
            Death::of(Ended::Exit(REPLACED_STATUS), BRIEF),
            Death::Planned
        );
        assert_eq!(Death::of(Ended::Exit(1), CALM), Death::Failed);
        assert_eq!(Death::of(Ended::Signal(9), CALM), Death::Failed);
    }

    #[test]
    fn failures_in_a_row_are_counted() {
        let mut backoff = Backoff::default();
        backoff.pause_after(Death::Failed, BRIEF);
        backoff.pause_after(Death::Planned, BRIEF);
        backoff.pause_after(Death::Failed, BRIEF);
        assert_eq!(backoff.failures(), 2);
        backoff.pause_after(Death::Failed, CALM);
        assert_eq!(backoff.failures(), 1);
    }

    #[test]
    fn some_replacements_are_free_and_the_others_have_a_pace() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let pauses: Vec<_> = (0..7).map(|_| pace.pause(now).as_secs()).collect();
        assert_eq!(pauses, [0, 0, 0, 0, 0, 1, 2]);
        let later = now + REPLACEMENT * 20;
        let pauses: Vec<_> = (0..6).map(|_| pace.pause(later).as_secs()).collect();
        assert_eq!(pauses, [0, 0, 0, 0, 0, 1]);
    }
}
