//! The phases of a request, and how the time that one takes is summed up.
//!
//! Plain data. The boundaries of the histogram are mod_wsgi's (Internal Metrics API, "Phase timing
//! histograms"): 16 octaves from 1 ms, four steps each, and one for what is longer.

/// A part of a request's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Phase {
    /// From Apache's first byte to the daemon's queue, or to the application when embedded.
    Server,
    /// From the child to a thread of the daemon.
    Queue,
    /// From there to the application.
    Daemon,
    /// In the application.
    Application,
    /// All of it.
    Request,
    /// Waiting for the GIL.
    GilWait,
    /// Reading the request body.
    InputRead,
    /// Writing the response body.
    OutputWrite,
}

impl Phase {
    /// How many there are.
    pub const COUNT: usize = 8;

    /// Every phase, in the order that metrics and telemetry records number them.
    pub const ALL: [Phase; Phase::COUNT] = [
        Phase::Server,
        Phase::Queue,
        Phase::Daemon,
        Phase::Application,
        Phase::Request,
        Phase::GilWait,
        Phase::InputRead,
        Phase::OutputWrite,
    ];

    /// Whether only requests to daemons have it.
    pub fn is_daemons(self) -> bool {
        matches!(self, Phase::Queue | Phase::Daemon)
    }
}

/// When a request reached which point, microseconds since 1970; 0: not, or not yet.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moments {
    /// Apache began to read it.
    pub request_start: u64,
    /// The child began to look for a daemon.
    pub queue_start: u64,
    /// The daemon took it.
    pub daemon_start: u64,
    /// The application was called.
    pub application_start: u64,
    /// The application was done.
    pub application_finish: u64,
    /// It was over, or is looked at.
    pub end: u64,
}

impl Moments {
    /// What the phases took that lie between these points, in the order of [`Phase::ALL`]; the rest
    /// is left to the caller.
    pub fn phases(&self) -> [Option<u64>; Phase::COUNT] {
        let or_end = |moment: u64| if moment == 0 { self.end } else { moment };
        let start = or_end(self.application_start);
        let finish = or_end(self.application_finish);
        let daemon = self.daemon_start != 0;
        let served = if daemon { self.queue_start } else { start };
        let mut phases = [None; Phase::COUNT];
        let mut set = |phase: Phase, from: u64, to: u64| {
            phases[phase as usize] = Some(to.saturating_sub(from));
        };
        set(Phase::Server, self.request_start, served);
        if daemon {
            set(Phase::Queue, self.queue_start, self.daemon_start);
            set(Phase::Daemon, self.daemon_start, start);
        }
        set(Phase::Application, start, finish);
        set(Phase::Request, self.request_start, self.end);
        phases
    }
}

/// Classes of duration in a histogram.
pub const BUCKETS: usize = 65;

/// How long a phase took in the requests of a window; microseconds.
#[derive(Debug, Clone)]
pub struct Span {
    /// How many requests had it.
    pub count: u64,
    /// The sum.
    pub total: u64,
    /// The shortest; meaningless while `count` is 0.
    pub least: u64,
    /// The longest.
    pub most: u64,
    /// How many fell into each class.
    pub buckets: [u32; BUCKETS],
}

impl Default for Span {
    fn default() -> Self {
        Span {
            count: 0,
            total: 0,
            least: u64::MAX,
            most: 0,
            buckets: [0; BUCKETS],
        }
    }
}

impl Span {
    /// Adds one request.
    pub fn add(&mut self, took: u64) {
        self.count += 1;
        self.total += took;
        self.least = self.least.min(took);
        self.most = self.most.max(took);
        let bucket = &mut self.buckets[bucket_of(took)];
        *bucket = bucket.saturating_add(1);
    }

    /// Replaces the extremes of a request's sum by those of its parts.
    pub fn bound(&mut self, least: u64, most: u64) {
        self.least = self.least.min(least);
        self.most = self.most.max(most);
    }

    /// Adds another thread's requests.
    pub fn merge(&mut self, other: &Span) {
        self.count += other.count;
        self.total += other.total;
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
        for (sum, part) in self.buckets.iter_mut().zip(other.buckets) {
            *sum = sum.saturating_add(part);
        }
    }
}

fn bucket_of(micros: u64) -> usize {
    let quarters = micros / 250;
    if quarters < 4 {
        return 0;
    }
    // An octave begins at 1 ms << octave and has four steps of a quarter of that.
    let octave = (quarters / 4).ilog2() as usize;
    let step = (quarters >> octave) as usize - 4;
    (octave * 4 + step).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_quarters_of_octaves() {
        for (millis, bucket) in [
            (0.0, 0),
            (0.999, 0),
            (1.0, 0),
            (1.25, 1),
            (1.999, 3),
            (2.0, 4),
            (2.806, 5),
            (34.5, 20),
            (65_535.0, 63),
            (65_536.0, 64),
            (1e9, 64),
        ] {
            assert_eq!(bucket_of((millis * 1000.0) as u64), bucket, "{millis} ms");
        }
    }

    #[test]
    fn spans_of_threads_add_up() {
        let (mut one, mut other) = (Span::default(), Span::default());
        one.add(500);
        other.add(3000);
        one.merge(&other);
        assert_eq!(
            (one.count, one.total, one.least, one.most),
            (2, 3500, 500, 3000)
        );
        assert_eq!((one.buckets[0], one.buckets[6]), (1, 1));
    }
}
