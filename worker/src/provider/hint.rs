//! What a destination's headers say about its limits: one typed hint out of many dialects. Pure.
//!
//! Sources: RFC 9110 §10.2.3 (`Retry-After`); draft-ietf-httpapi-ratelimit-headers (`RateLimit`, and the older triple);
//! Braze and GitHub (epoch seconds in `X-RateLimit-Reset`); Segment (seconds from now in the same header); HubSpot (the
//! window's length in milliseconds).

use std::time::Duration;

use http::{HeaderMap, header};
use jiff::Timestamp;

/// A reset further away than this is read as a moment and not as a length of time: 1 000 000 000 s is September 2001.
const EPOCH_SECONDS: u64 = 1_000_000_000;

/// The same in milliseconds.
const EPOCH_MILLISECONDS: u64 = 1_000_000_000_000;

/// What an answer says about limits. Lengths of time count from the answer; what lies in the past is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// When the destination asks to be tried again.
    pub retry_after: Option<Duration>,
    /// Requests that are left in its window.
    pub remaining: Option<u64>,
    /// When the window ends.
    pub reset: Option<Duration>,
}

impl Hint {
    /// How long nothing should be sent: what was asked for, or the rest of a window in which nothing is left.
    /// `limited` says that the answer was a refusal for being asked too often.
    pub fn pause(&self, limited: bool) -> Option<Duration> {
        let used_up = self.remaining == Some(0) || limited;
        self.retry_after.or(self.reset.filter(|_| used_up))
    }
}

/// Reads the headers of an answer.
pub fn hint(headers: &HeaderMap, now: Timestamp) -> Hint {
    // Most answers say nothing, which one look at their few names shows.
    if !headers.keys().any(|name| name == header::RETRY_AFTER || name.as_str().contains("rate")) {
        return Hint::default();
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let first = |names: &[&str]| names.iter().find_map(|name| text(name));
    let number = |value: &str| value.split([',', ';']).next().and_then(|value| value.trim().parse::<u64>().ok());
    let remaining = first(&[
        "ratelimit-remaining",
        "x-ratelimit-remaining",
        "x-rate-limit-remaining",
        "x-hubspot-ratelimit-remaining",
    ]);
    let reset =
        first(&["ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset"]).and_then(|value| moment(value, now));
    let window = text("x-hubspot-ratelimit-interval-milliseconds").and_then(number).map(Duration::from_millis);
    let combined = text("ratelimit").map(structured).unwrap_or_default();
    Hint {
        retry_after: text("retry-after").and_then(|value| moment(value, now)),
        remaining: remaining.and_then(number).or(combined.0),
        reset: reset.or(window).or(combined.1),
    }
}

/// A time from now, a moment since 1970 in seconds or milliseconds, or a date.
fn moment(text: &str, now: Timestamp) -> Option<Duration> {
    let until = |at: Timestamp| Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO);
    // A fraction of a second is more than anybody needs, but some send one.
    let whole = text.split_once('.').map_or(text, |(whole, fraction)| {
        if fraction.bytes().all(|byte| byte.is_ascii_digit()) { whole } else { text }
    });
    if let Ok(number) = whole.parse::<u64>() {
        return match number {
            0..EPOCH_SECONDS => Some(Duration::from_secs(number)),
            EPOCH_SECONDS..EPOCH_MILLISECONDS => Some(until(Timestamp::from_second(i64::try_from(number).ok()?).ok()?)),
            _ => Some(until(Timestamp::from_millisecond(i64::try_from(number).ok()?).ok()?)),
        };
    }
    let date = jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp()).or_else(|| text.parse().ok())?;
    Some(until(date))
}

/// `RateLimit: "default";r=0;t=12`, or `limit=100, remaining=0, reset=12` of earlier drafts: what remains, and the time until the reset.
fn structured(text: &str) -> (Option<u64>, Option<Duration>) {
    let mut found = (None, None);
    for part in text.split([';', ',']) {
        let Some((name, value)) = part.trim().split_once('=') else { continue };
        match (name.trim(), value.trim().parse::<u64>()) {
            ("r" | "remaining", Ok(value)) => found.0 = Some(value),
            ("t" | "reset", Ok(value)) => found.1 = Some(Duration::from_secs(value)),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Hint {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        hint(&headers, "2026-11-24T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date() {
        for (text, expected) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("1.5", Some(1)),
            ("Tue, 24 Nov 2026 12:00:30 GMT", Some(30)),
            ("Tue, 24 Nov 2020 12:00:30 GMT", Some(0)),
            ("2026-11-24T12:00:09Z", Some(9)),
            ("soon", None),
            ("-5", None),
            ("99999999999999999999999", None),
        ] {
            let found = read(&[("retry-after", text)]).retry_after.map(|after| after.as_secs());
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn every_dialect_of_a_reset_is_one_length_of_time() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let epoch = (now.as_second() + 42).to_string();
        let milliseconds = (now.as_millisecond() + 42_000).to_string();
        for pairs in [
            &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", epoch.as_str())][..],
            &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", milliseconds.as_str())],
            &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "42")],
            &[("ratelimit-remaining", "0"), ("ratelimit-reset", "42")],
            &[("ratelimit", "\"default\";r=0;t=42")],
            &[("ratelimit", "limit=100, remaining=0, reset=42")],
            &[("x-hubspot-ratelimit-remaining", "0"), ("x-hubspot-ratelimit-interval-milliseconds", "42000")],
        ] {
            assert_eq!(read(pairs).pause(false), Some(Duration::from_secs(42)), "{pairs:?}");
        }
    }

    #[test]
    fn a_window_with_something_left_is_no_reason_to_pause_unless_the_answer_is_a_refusal() {
        let hint = read(&[("x-ratelimit-remaining", "3"), ("x-ratelimit-reset", "42")]);
        assert_eq!(hint.pause(false), None);
        assert_eq!(hint.pause(true), Some(Duration::from_secs(42)));
    }
}
