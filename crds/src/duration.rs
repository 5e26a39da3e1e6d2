//! Durations and byte sizes as users write them: `30s`, `720h`, `1Mi`.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A length of time in whole milliseconds, written as numbers with the units `ms`, `s`, `m` and `h`
/// (`90s`, `1h30m`). Days are not a unit: they are not always 24 hours. Never negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(std::time::Duration);

impl Duration {
    /// A duration of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }

    /// A duration of whole milliseconds.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(std::time::Duration::from_millis(milliseconds))
    }

    /// The standard library's form.
    pub const fn std(self) -> std::time::Duration {
        self.0
    }
}

/// A text that is not a duration or not a byte size, with the form that is.
#[derive(Debug, PartialEq, Eq)]
pub struct FormatError {
    text: String,
    expected: &'static str,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not {}", self.text, self.expected)
    }
}

impl std::error::Error for FormatError {}

impl FromStr for Duration {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || FormatError {
            text: text.chars().take(40).collect(),
            expected: "a duration: write numbers with ms, s, m or h, such as 30s or 720h",
        };
        if text.is_empty() {
            return Err(refuse());
        }
        // kube's own `Duration` multiplies floats and panics on an overflow, so it can't read hostile input.
        let mut total: u64 = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, tail) = rest.split_at(digits);
            let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
            let (unit, tail) = tail.split_at(letters);
            let factor = match unit {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                _ => return Err(refuse()),
            };
            let count: u64 = number.parse().map_err(|_| refuse())?;
            total = count.checked_mul(factor).and_then(|part| total.checked_add(part)).ok_or_else(refuse)?;
            rest = tail;
        }
        Ok(Self(std::time::Duration::from_millis(total)))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        match milliseconds {
            0 => f.write_str("0s"),
            whole if whole % 3_600_000 == 0 => write!(f, "{}h", whole / 3_600_000),
            whole if whole % 60_000 == 0 => write!(f, "{}m", whole / 60_000),
            whole if whole % 1_000 == 0 => write!(f, "{}s", whole / 1_000),
            rest => write!(f, "{rest}ms"),
        }
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": 32, "pattern": "^([0-9]+(ms|s|m|h))+$" })
    }
}

/// A number of bytes, written with a binary (`Ki`, `Mi`, `Gi`) or decimal (`k`, `M`, `G`) unit or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

const UNITS: [(&str, u64); 6] =
    [("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000)];

impl ByteSize {
    /// That many bytes.
    pub const fn from_bytes(count: u64) -> Self {
        Self(count)
    }

    /// That many kibibytes.
    pub const fn kibibytes(count: u64) -> Self {
        Self(count << 10)
    }

    /// That many mebibytes.
    pub const fn mebibytes(count: u64) -> Self {
        Self(count << 20)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || FormatError {
            text: text.chars().take(40).collect(),
            expected: "a size: write a whole number of bytes, or one with Ki, Mi, Gi, k, M or G, such as 128Mi",
        };
        let (digits, factor) = UNITS
            .iter()
            .find_map(|(unit, factor)| text.strip_suffix(unit).map(|digits| (digits, *factor)))
            .unwrap_or((text, 1));
        let count: u64 = digits.parse().map_err(|_| refuse())?;
        count.checked_mul(factor).map(Self).ok_or_else(refuse)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.iter().rev().find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor));
        match unit {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": 20, "pattern": "^[0-9]+(Ki|Mi|Gi|k|M|G)?$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_as_users_write_them() {
        for (text, milliseconds, printed) in [
            ("30s", 30_000, "30s"),
            ("720h", 2_592_000_000, "720h"),
            ("1h30m", 5_400_000, "90m"),
            ("250ms", 250, "250ms"),
            ("0s", 0, "0s"),
        ] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration.std().as_millis(), milliseconds, "{text}");
            assert_eq!(duration.to_string(), printed);
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_the_form_that_is() {
        for text in ["", "7d", "-3s", "1.5h", "30", "s", "10 s", "99999999999999999999h"] {
            match text.parse::<Duration>() {
                Err(error) => assert!(error.to_string().contains("such as 30s"), "{error}"),
                Ok(duration) => panic!("{text:?} was read as {duration}"),
            }
        }
    }

    #[test]
    fn sizes_read_and_print_with_their_units() {
        for (text, bytes) in [("1Mi", 1 << 20), ("128Mi", 128 << 20), ("1000", 1000), ("2G", 2_000_000_000), ("0", 0)] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!(size.bytes(), bytes);
            assert_eq!(size.to_string().parse::<ByteSize>().unwrap(), size);
        }
        for text in ["", "Mi", "-1", "1.5Mi", "1Ti", "99999999999999Gi"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
