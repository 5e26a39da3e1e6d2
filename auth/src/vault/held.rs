//! A secret that was read, and what is to be done about it now. Pure: the time and the jitter come in.

use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};

use super::{VaultError, VaultTrouble};

/// How long a value is used before it is read again, on average. A vault takes some hundred requests a second from all who
/// use it.
const FRESH: Duration = Duration::from_secs(300);

/// The pause after a vault was not to be had, doubled each time.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The longest pause that a vault may ask for.
const LONGEST_WISH: Duration = Duration::from_secs(600);

/// The pause after a vault said no.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);

/// A value that was read later than this long ago is not read again because somebody refuses it.
const TOO_YOUNG: Duration = Duration::from_secs(5);

/// What is known of a secret.
#[derive(Debug, Default)]
pub(super) struct Held {
    value: Option<SecretString>,
    /// When it was asked for last.
    read: Option<Instant>,
    /// When it is to be asked for again.
    due: Option<Instant>,
    failure: Option<VaultError>,
    failures: u32,
    changes: u64,
}

/// What is to be done by somebody who needs it.
#[derive(Debug)]
pub(super) enum Need {
    /// Use this.
    None(SecretString),
    /// Use this, and read it again.
    Soon(SecretString),
    /// Read it.
    Now,
    /// It can't be read, and it is too early to try again.
    Not(VaultError),
}

impl Held {
    pub(super) fn need(&self, now: Instant) -> Need {
        let waits = self.due.is_some_and(|due| now < due);
        match (&self.value, &self.failure) {
            (Some(value), _) if waits => Need::None(value.clone()),
            (Some(value), _) => Need::Soon(value.clone()),
            (None, Some(failure)) if waits => Need::Not(failure.clone()),
            (None, _) => Need::Now,
        }
    }

    /// How often the value has changed.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether asking again promises anything, after the value was refused somewhere.
    pub(super) fn may_renew(&self, now: Instant) -> bool {
        let old = self.read.is_none_or(|read| now.saturating_duration_since(read) >= TOO_YOUNG);
        let waits = self.failure.is_some() && self.due.is_some_and(|due| now < due);
        old && !waits
    }

    /// Keeps what was read. `jitter` is between 0 and 1.
    pub(super) fn got(&mut self, value: SecretString, now: Instant, jitter: f64) {
        let same = self.value.as_ref().is_some_and(|held| held.expose_secret() == value.expose_secret());
        *self = Self {
            value: Some(value),
            read: Some(now),
            due: Some(now + FRESH.mul_f64(0.8 + 0.4 * jitter)),
            failure: None,
            failures: 0,
            changes: self.changes + u64::from(!same),
        };
    }

    /// Remembers that it could not be read. What was read before stays in use while the trouble passes, and goes when the
    /// vault says no.
    pub(super) fn failed(&mut self, error: VaultError, now: Instant, jitter: f64) {
        self.failures = self.failures.saturating_add(1);
        let doubled = PAUSE.saturating_mul(1 << (self.failures - 1).min(10)).min(LONGEST_PAUSE);
        let pause = match error.trouble {
            VaultTrouble::Passes(wish) => wish.map_or(doubled, |wish| wish.clamp(PAUSE, LONGEST_WISH)),
            VaultTrouble::Refused | VaultTrouble::Address => {
                self.value = None;
                REFUSED_PAUSE
            }
        };
        self.read = Some(now);
        self.due = Some(now + pause.mul_f64(1.0 + jitter / 4.0));
        self.failure = Some(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(held: &Held, now: Instant) -> String {
        match held.need(now) {
            Need::None(value) => format!("use {}", value.expose_secret()),
            Need::Soon(value) => format!("use {} and read", value.expose_secret()),
            Need::Now => "read".into(),
            Need::Not(error) => format!("not: {error}"),
        }
    }

    #[test]
    fn a_value_is_used_for_minutes_and_read_again_beside_its_use() {
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let mut held = Held::default();
        assert_eq!(told(&held, begin), "read");
        held.got("one".to_owned().into(), begin, 0.0);
        assert_eq!((told(&held, at(239)), told(&held, at(240))), ("use one".into(), "use one and read".into()));
        held.got("one".to_owned().into(), at(240), 1.0);
        assert_eq!((told(&held, at(599)), told(&held, at(600))), ("use one".into(), "use one and read".into()));
        assert_eq!(held.changes(), 1, "the same value is no change");
        held.got("two".to_owned().into(), at(600), 0.5);
        assert_eq!((told(&held, at(600)), held.changes()), ("use two".into(), 2));
    }

    #[test]
    fn trouble_that_passes_keeps_the_value_and_a_no_takes_it() {
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let mut held = Held::default();
        held.got("one".to_owned().into(), begin, 0.5);
        held.failed(VaultError::passes("away", Some(Duration::from_secs(7))), at(300), 0.0);
        assert_eq!((told(&held, at(306)), told(&held, at(307))), ("use one".into(), "use one and read".into()));
        held.failed(VaultError::refused("no"), at(307), 0.0);
        assert_eq!((told(&held, at(336)), told(&held, at(337))), ("not: no".into(), "read".into()));
        // What the vault asks for is done, within reason; without a wish the pauses grow.
        let mut held = Held::default();
        let mut pauses = Vec::new();
        for wish in [None, None, None, Some(0), Some(100_000)] {
            held.failed(VaultError::passes("away", wish.map(Duration::from_secs)), begin, 0.0);
            pauses.push((1..2000).find(|seconds| told(&held, at(*seconds)) == "read").unwrap());
        }
        assert_eq!(pauses, [1, 2, 4, 1, 600]);
    }

    #[test]
    fn a_value_that_was_read_just_now_is_not_read_again_for_a_refusal() {
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let mut held = Held::default();
        assert!(held.may_renew(begin));
        held.got("one".to_owned().into(), begin, 0.5);
        assert!(!held.may_renew(at(4)) && held.may_renew(at(5)));
        held.failed(VaultError::passes("busy", Some(Duration::from_secs(60))), at(10), 0.0);
        assert!(!held.may_renew(at(69)) && held.may_renew(at(70)), "a vault that is busy is left alone");
    }
}
