//! What the order answers.

use super::{Key, Shelf};

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Action<T> {
    /// Send this event, and say how it ended.
    Send {
        /// Its key.
        key: Key,
        /// Its sequence.
        sequence: u64,
        /// The event.
        item: T,
    },
    /// Take the first event of the key from the retries stream and send it, and say how it ended.
    Fetch {
        /// The key.
        key: Key,
        /// Where it is.
        shelf: Shelf,
    },
    /// Put these behind what is there, in this order.
    Append {
        /// The key.
        key: Key,
        /// The events by their sequences.
        items: Vec<(u64, T)>,
    },
}

/// What an arrival is.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrived<T> {
    /// It has its place now.
    Filed,
    /// It is safe in the retries stream, or settled: it only has to be acknowledged.
    Repeat(T),
    /// Another copy of it is in hand.
    Known(T),
}
