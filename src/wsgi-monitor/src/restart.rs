//! When a process that ended may be started again. Pure: time comes in as arguments.

use std::time::Duration;

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
const SHORTEST_LIFE: Duration = Duration::from_secs(1);

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
}

impl Backoff {
    /// How long to wait before the next start, after a death or a start that failed (which lived
    /// for no time).
    pub fn pause_after(&mut self, death: Death, lived: Duration) -> Duration {
        if lived >= CALM {
            self.next = Duration::ZERO;
        }
        if death == Death::Planned {
            return Duration::ZERO;
        }
        let pause = self.next;
        self.next = (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        pause
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
}
