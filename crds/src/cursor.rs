//! The values of a cursor: how they compare, and what lies a while before one. Pure. Values come from somebody else's API
//! and are kept as they were written, so that they are sent back as they came.

use std::cmp::Ordering;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the values of a cursor are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CursorFormat {
    /// Text in the order of its bytes, such as dates without a time or ULIDs.
    Text,
    /// A number, such as a sequence.
    Number,
    /// A time such as 2026-11-25T10:00:00Z.
    #[default]
    Rfc3339,
    /// Seconds since 1970.
    EpochSeconds,
    /// Milliseconds since 1970.
    EpochMilliseconds,
}

/// The most digits that are read before and after the point of a number.
const MOST_DIGITS: (usize, usize) = (24, 12);

/// The longest value, in bytes.
pub const LONGEST_VALUE: usize = 256;

/// How far a committed time may be ahead of the clock: rows that claim to be from the future must not make a cursor jump
/// over what comes until then.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// A value as it compares.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank<'a> {
    Text(&'a str),
    Number(i128),
    Time(Timestamp),
}

impl CursorFormat {
    /// What a value is expected to be.
    pub fn expected(self) -> &'static str {
        match self {
            Self::Text => "text of at most 256 bytes",
            Self::Number => "a number",
            Self::Rfc3339 => "a time such as 2026-11-25T10:00:00Z",
            Self::EpochSeconds => "a number of seconds since 1970",
            Self::EpochMilliseconds => "a number of milliseconds since 1970",
        }
    }

    /// Whether a length of time can be taken from its values.
    pub fn is_time(self) -> bool {
        matches!(self, Self::Rfc3339 | Self::EpochSeconds | Self::EpochMilliseconds)
    }

    /// Whether a text is a value.
    pub fn is_value(self, text: &str) -> bool {
        self.rank(text).is_some()
    }

    fn rank(self, text: &str) -> Option<Rank<'_>> {
        if text.is_empty() || text.len() > LONGEST_VALUE {
            return None;
        }
        match self {
            Self::Text => Some(Rank::Text(text)),
            Self::Rfc3339 => text.parse().ok().map(Rank::Time),
            Self::Number | Self::EpochSeconds | Self::EpochMilliseconds => decimal(text).map(Rank::Number),
        }
    }

    /// How two values compare; what is no value comes before all that are.
    pub fn compare(self, one: &str, other: &str) -> Ordering {
        self.rank(one).cmp(&self.rank(other))
    }

    /// The later one of what may be there.
    pub fn later(self, one: Option<String>, other: Option<String>) -> Option<String> {
        match (one, other) {
            (Some(one), Some(other)) => Some(if self.compare(&other, &one).is_gt() { other } else { one }),
            (one, other) => one.or(other),
        }
    }

    /// The value that lies this long before another; the value itself where nothing can be taken from it.
    pub fn before(self, text: &str, lookback: std::time::Duration) -> String {
        let earlier = || {
            let back = SignedDuration::try_from(lookback).ok().filter(|back| !back.is_zero())?;
            self.text_of(self.to_time(text)?.checked_sub(back).ok()?)
        };
        earlier().unwrap_or_else(|| text.to_owned())
    }

    /// A value that is not further ahead than a clock may be.
    pub fn not_ahead(self, text: String, now: Timestamp) -> String {
        let Some(most) = now.checked_add(AHEAD).ok() else { return text };
        match self.to_time(&text) {
            Some(time) if time > most => self.text_of(most).unwrap_or(text),
            _ => text,
        }
    }

    fn to_time(self, text: &str) -> Option<Timestamp> {
        let number = || decimal(text).map(|number| number / POINT);
        match self {
            Self::Rfc3339 => text.parse().ok(),
            Self::EpochSeconds => Timestamp::from_second(i64::try_from(number()?).ok()?).ok(),
            Self::EpochMilliseconds => Timestamp::from_millisecond(i64::try_from(number()?).ok()?).ok(),
            Self::Text | Self::Number => None,
        }
    }

    fn text_of(self, time: Timestamp) -> Option<String> {
        match self {
            Self::Rfc3339 => Some(time.to_string()),
            Self::EpochSeconds => Some(time.as_second().to_string()),
            Self::EpochMilliseconds => Some(time.as_millisecond().to_string()),
            Self::Text | Self::Number => None,
        }
    }
}

/// What the unit of a number is multiplied by to take in what stands behind its point: 10 to the 12th.
const POINT: i128 = 1_000_000_000_000;

/// A decimal number without an exponent, exactly, in 10⁻¹².
fn decimal(text: &str) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let number = |text: &str, most: usize| {
        let fits = !text.is_empty() && text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| text.parse::<i128>().ok()).flatten()
    };
    let whole = number(whole, MOST_DIGITS.0)?;
    let padded = format!("{part:0<12}");
    Some(sign * (whole * POINT + number(&padded, MOST_DIGITS.1)?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_compare_as_what_they_are_and_not_as_text() {
        for (format, earlier, later) in [
            (CursorFormat::Number, "9", "10"),
            (CursorFormat::Number, "-10", "-9.5"),
            (CursorFormat::Number, "9007199254740993", "9007199254740994"),
            (CursorFormat::Rfc3339, "2026-11-25T10:00:00+02:00", "2026-11-25T09:00:00Z"),
            (CursorFormat::EpochSeconds, "1764064800", "1764064800.5"),
            (CursorFormat::Text, "10", "9"),
            (CursorFormat::Rfc3339, "nonsense", "2026-11-25T09:00:00Z"),
        ] {
            assert_eq!(format.compare(earlier, later), Ordering::Less, "{earlier} {later}");
            assert_eq!(format.later(Some(earlier.into()), Some(later.into())).as_deref(), Some(later));
        }
        for nonsense in ["", "1e9", ".5", "--1", "1234567890123456789012345", "0x10"] {
            assert!(!CursorFormat::Number.is_value(nonsense), "{nonsense}");
        }
    }

    #[test]
    fn a_row_from_the_future_does_not_carry_the_cursor_away() {
        let now = "2026-11-25T10:00:00Z".parse().unwrap();
        let far = CursorFormat::Rfc3339.not_ahead("2099-01-01T00:00:00Z".into(), now);
        assert_eq!(far, "2026-11-25T10:05:00Z");
        assert_eq!(CursorFormat::Rfc3339.not_ahead("2026-11-25T09:00:00.5Z".into(), now), "2026-11-25T09:00:00.5Z");
        assert_eq!(CursorFormat::Number.not_ahead("99999999999".into(), now), "99999999999");
    }

    proptest! {
        #[test]
        fn what_lies_before_a_value_is_earlier_by_just_that_and_without_lookback_nothing_changes(
            seconds in 0i64..4_000_000_000, back in 1u64..10_000_000,
        ) {
            for format in [CursorFormat::Rfc3339, CursorFormat::EpochSeconds, CursorFormat::EpochMilliseconds] {
                let text = format.text_of(Timestamp::from_second(seconds).unwrap()).unwrap();
                prop_assert_eq!(&format.before(&text, Duration::ZERO), &text);
                let earlier = format.before(&text, Duration::from_secs(back));
                prop_assert_eq!(format.compare(&earlier, &text), Ordering::Less);
                let expected = seconds - i64::try_from(back).unwrap();
                prop_assert_eq!(format.to_time(&earlier).unwrap().as_second(), expected);
            }
            prop_assert_eq!(CursorFormat::Text.before("abc", Duration::from_secs(back)), "abc");
        }

        #[test]
        fn numbers_compare_as_integers_do(one in any::<i64>(), other in any::<i64>()) {
            let order = CursorFormat::Number.compare(&one.to_string(), &other.to_string());
            prop_assert_eq!(order, one.cmp(&other));
        }
    }
}
