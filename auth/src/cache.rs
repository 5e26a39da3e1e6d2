//! A token that is held, and what is to be done about it now. Pure: the time comes in.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::token::{AccessToken, TokenError};

/// The pause after a server was not to be had, doubled each time.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The pause after a server said no: it says so again until something is changed, and a change ends the pause.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);

/// A token that is younger is not given up because somebody refuses it: the next would be refused as well.
const TOO_YOUNG: Duration = Duration::from_secs(5);

/// What is known of a token.
#[derive(Clone, Debug, Default)]
pub struct Cached {
    token: Option<Arc<AccessToken>>,
    failure: Option<Failed>,
    /// How often asking has failed since it succeeded last.
    pub failures: u32,
}

#[derive(Clone, Debug)]
struct Failed {
    error: TokenError,
    until: Instant,
}

/// What is to be done by somebody who needs a token.
#[derive(Debug)]
pub enum Need {
    /// Use this one.
    None(Arc<AccessToken>),
    /// Ask for another one; while somebody else does, and if that fails, use this one.
    Soon(Arc<AccessToken>),
    /// Ask for one.
    Now,
    /// There is none, and it is too early to ask again.
    Not(TokenError),
}

impl Cached {
    /// What is to be done now.
    pub fn need(&self, now: Instant) -> Need {
        let failed = self.failure.as_ref().filter(|failed| now < failed.until);
        match (self.token.as_ref().filter(|token| now < token.ends), failed) {
            (Some(token), failed) if now < token.renew || failed.is_some() => Need::None(Arc::clone(token)),
            (Some(token), _) => Need::Soon(Arc::clone(token)),
            (None, Some(failed)) => Need::Not(failed.error.clone()),
            (None, None) => Need::Now,
        }
    }

    /// Keeps a new token.
    pub fn granted(&mut self, token: AccessToken) -> Arc<AccessToken> {
        let token = Arc::new(token);
        *self = Self { token: Some(Arc::clone(&token)), failure: None, failures: 0 };
        token
    }

    /// Remembers that there was none. `jitter` is between 0 and 1.
    pub fn failed(&mut self, error: TokenError, now: Instant, jitter: f64) {
        self.failures = self.failures.saturating_add(1);
        let doubled = PAUSE.saturating_mul(1 << (self.failures - 1).min(10)).min(LONGEST_PAUSE);
        let pause = match &error {
            TokenError::Unavailable { after, .. } => {
                after.map_or(doubled, |after| after.clamp(PAUSE, LONGEST_PAUSE * 10))
            }
            TokenError::Secret(_) => PAUSE,
            TokenError::Unusable(_) | TokenError::Refused(_) | TokenError::GrantRefused(_) | TokenError::Address(_) => {
                REFUSED_PAUSE
            }
        };
        self.failure = Some(Failed { error, until: now + pause.mul_f64(1.0 + jitter / 4.0) });
    }

    /// Gives a token up that somebody refused. Says whether asking for another one promises anything.
    pub fn refused(&mut self, token: &Arc<AccessToken>, now: Instant) -> bool {
        match &self.token {
            Some(held) if Arc::ptr_eq(held, token) => {
                let old = now.saturating_duration_since(token.asked) >= TOO_YOUNG;
                if old {
                    self.token = None;
                }
                old
            }
            // It was given up already; there may be another one.
            _ => true,
        }
    }

    /// The token that is held.
    pub fn held(&self) -> Option<&AccessToken> {
        self.token.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(asked: Instant, renew: u64, ends: u64) -> AccessToken {
        AccessToken {
            value: "t".to_owned().into(),
            asked,
            renew: asked + Duration::from_secs(renew),
            ends: asked + Duration::from_secs(ends),
            expires: None,
            instance_url: None,
        }
    }

    fn unavailable(after: Option<u64>) -> TokenError {
        TokenError::Unavailable { message: "no".into(), after: after.map(Duration::from_secs) }
    }

    fn name(need: &Need) -> &'static str {
        match need {
            Need::None(_) => "none",
            Need::Soon(_) => "soon",
            Need::Now => "now",
            Need::Not(_) => "not",
        }
    }

    #[test]
    fn a_token_is_used_renewed_and_replaced_in_time() {
        let begin = Instant::now();
        let at = |seconds: f64| begin + Duration::from_secs_f64(seconds);
        let mut cached = Cached::default();
        assert_eq!(name(&cached.need(begin)), "now");
        cached.granted(token(begin, 90, 100));
        for (seconds, need) in [(0.0, "none"), (89.9, "none"), (90.0, "soon"), (99.9, "soon"), (100.0, "now")] {
            assert_eq!(name(&cached.need(at(seconds))), need, "at {seconds}");
        }
        // A renewal that fails leaves the old one in use, without a question a second.
        cached.failed(unavailable(None), at(90.0), 0.0);
        assert_eq!(name(&cached.need(at(90.5))), "none");
        assert_eq!(name(&cached.need(at(91.5))), "soon");
        assert_eq!(name(&cached.need(at(100.5))), "now");
    }

    #[test]
    fn a_server_that_says_no_is_left_alone_for_a_while() {
        let begin = Instant::now();
        let at = |seconds: f64| begin + Duration::from_secs_f64(seconds);
        let mut cached = Cached::default();
        cached.failed(TokenError::Refused("no".into()), begin, 0.0);
        assert_eq!((name(&cached.need(at(29.0))), name(&cached.need(at(30.0)))), ("not", "now"));
        let mut cached = Cached::default();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            cached.failed(unavailable(None), begin, 0.0);
            let pause = (1..2000).find(|seconds| name(&cached.need(at(f64::from(*seconds)))) == "now");
            pauses.push(pause.unwrap());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        // What the server asks for is done, within reason.
        for (after, pause) in [(7, 7), (100_000, 600), (0, 1)] {
            cached.failed(unavailable(Some(after)), begin, 0.0);
            assert_eq!(name(&cached.need(at(f64::from(pause) - 0.1))), "not", "{after}");
            assert_eq!(name(&cached.need(at(f64::from(pause)))), "now", "{after}");
        }
    }

    #[test]
    fn a_refused_token_is_given_up_unless_it_is_new() {
        let begin = Instant::now();
        let mut cached = Cached::default();
        let held = cached.granted(token(begin, 90, 100));
        assert!(!cached.refused(&held, begin + Duration::from_secs(4)), "the next would be refused too");
        assert!(cached.held().is_some());
        assert!(cached.refused(&held, begin + Duration::from_secs(5)));
        assert!(cached.held().is_none());
        assert!(cached.refused(&held, begin + Duration::from_secs(6)), "another one may be there");
    }
}
