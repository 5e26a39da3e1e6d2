//! What is counted for each lane. The counts live in a JetStream counter stream and survive every pod.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident => $word:literal),+ $(,)?) => {
        /// One thing that is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(non_camel_case_types)]
        enum Field { $($field),+ }

        /// The counts of one lane, or of several lanes added up.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct Counts {
            $($(#[$doc])* pub $field: u64),+
        }

        impl Counts {
            /// The last subject token of every counter.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// Each counter with its subject token.
            pub fn entries(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$(($word, self.$field)),+].into_iter()
            }

            /// Sets the counter with this subject token. An unknown token is ignored and answered with false.
            pub fn set(&mut self, word: &str, value: u64) -> bool {
                let field = match word { $($word => Field::$field,)+ _ => return false };
                match field { $(Field::$field => self.$field = value),+ }
                true
            }

            /// The counts of both.
            pub fn plus(self, other: Self) -> Self {
                Self { $($field: self.$field.saturating_add(other.$field)),+ }
            }
        }
    };
}

counters! {
    /// Events that the lane is done with, in whatever way.
    settled => "settled",
    /// Dead letters that were sent to the lane again.
    resent => "resent",
    /// Records that the destination accepted.
    delivered => "delivered",
    /// Events that the filter kept back.
    filtered => "filtered",
    /// Records that were not sent, since the Integration is in the mode Shadow.
    shadowed => "shadowed",
    /// Repeats that de-duplication dropped.
    deduplicated => "deduplicated",
    /// Attempts that failed and were parked for another one.
    retried => "retried",
    /// Times that a record waited because the destination as a whole could take nothing; no attempt is spent.
    held => "held",
    /// Records that the destination refused for good.
    rejected => "rejected",
    /// Events that could not be delivered within their budget or could not be mapped.
    failed => "failed",
    /// Events that were thrown away by an explicit act.
    discarded => "discarded",
    /// Dead letters written.
    dead_lettered => "dead_lettered",
}

impl Counts {
    /// Whether anything was counted at all.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

/// Counts by destination name.
pub type CountsByDestination = BTreeMap<String, Counts>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_can_be_set_by_its_word_and_is_added() {
        let mut counts = Counts::default();
        for (value, word) in (1..).zip(Counts::WORDS) {
            assert!(counts.set(word, value));
        }
        let doubled = counts.plus(counts);
        for (value, (word, sum)) in (1u64..).zip(doubled.entries()) {
            assert_eq!(sum, 2 * value, "{word}");
        }
        assert!(!counts.set("unheard-of", 1));
    }
}
