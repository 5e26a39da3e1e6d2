//! What arrived at the sink: how much, how often, which bytes, and how late. Pure; the time is an argument.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::event::{digest, number};

/// The account since the last beginning.
#[derive(Debug, Default)]
pub struct Account {
    requests: u64,
    records: u64,
    duplicates: u64,
    unreadable: u64,
    digest: u64,
    first: Option<u64>,
    last: u64,
    /// For each destination one bit for each event.
    seen: Vec<Vec<u64>>,
    /// For each destination, the latency of each event's first arrival in microseconds.
    latencies: Vec<Vec<u64>>,
}

/// The account as it is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Requests.
    pub requests: u64,
    /// Different records.
    pub records: u64,
    /// Records that had arrived before.
    pub duplicates: u64,
    /// Bodies and records that could not be read.
    pub unreadable: u64,
    /// The sum of the digests of all different records.
    pub digest: u64,
    /// Nanoseconds from the first record to the latest different one.
    pub elapsed: u64,
}

/// What every record carries, mapped or not.
#[derive(Deserialize)]
struct Carried<'a> {
    #[serde(borrow, alias = "event_id")]
    id: Cow<'a, str>,
    #[serde(borrow)]
    occurred_at: Cow<'a, str>,
}

impl Account {
    /// Takes the body of a request for a destination at this time, in nanoseconds since 1970.
    pub fn take(&mut self, destination: usize, body: &[u8], now: u64) {
        self.requests += 1;
        if body.first() == Some(&b'[') {
            match serde_json::from_slice::<Vec<&RawValue>>(body) {
                Ok(records) => records.iter().for_each(|record| self.take_one(destination, record.get(), now)),
                Err(_) => self.unreadable += 1,
            }
        } else {
            match std::str::from_utf8(body) {
                Ok(record) => self.take_one(destination, record, now),
                Err(_) => self.unreadable += 1,
            }
        }
    }

    /// Takes the items of a vendor's request at this time; none where it could not be read.
    pub fn take_items(&mut self, items: &[&RawValue], now: u64) {
        self.requests += 1;
        self.unreadable += u64::from(items.is_empty());
        items.iter().for_each(|item| self.take_one(0, item.get(), now));
    }

    fn take_one(&mut self, destination: usize, record: &str, now: u64) {
        let carried: Option<Carried<'_>> = serde_json::from_str(record).ok();
        let read = carried.and_then(|carried| Some((number(&carried.id)?, carried.occurred_at.parse::<u64>().ok()?)));
        let Some((number, occurred_at)) = read else {
            self.unreadable += 1;
            return;
        };
        self.first.get_or_insert(now);
        if self.mark(destination, number) {
            self.records += 1;
            self.digest = self.digest.wrapping_add(digest(record.as_bytes()));
            self.last = now;
            self.latencies[destination].push(now.saturating_sub(occurred_at) / 1_000);
        } else {
            self.duplicates += 1;
        }
    }

    /// Whether this event is new at this destination; from now on it is not.
    fn mark(&mut self, destination: usize, number: u64) -> bool {
        if self.seen.len() <= destination {
            self.seen.resize_with(destination + 1, Vec::new);
            self.latencies.resize_with(destination + 1, Vec::new);
        }
        let seen = &mut self.seen[destination];
        let (word, bit) = (usize::try_from(number / 64).unwrap_or(usize::MAX), 1 << (number % 64));
        if seen.len() <= word {
            seen.resize(word + 1, 0);
        }
        let new = seen[word] & bit == 0;
        seen[word] |= bit;
        new
    }

    /// The account as it is told.
    #[must_use]
    pub fn report(&self) -> Report {
        Report {
            requests: self.requests,
            records: self.records,
            duplicates: self.duplicates,
            unreadable: self.unreadable,
            digest: self.digest,
            elapsed: self.first.map_or(0, |first| self.last.saturating_sub(first)),
        }
    }

    /// For each destination the latencies of its events in microseconds.
    #[must_use]
    pub fn latencies(&self) -> &[Vec<u64>] {
        &self.latencies
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{event, record};

    #[test]
    fn one_by_one_and_in_batches_the_account_is_the_same() {
        let (mut single, mut batched) = (Account::default(), Account::default());
        let records = [record(0, 1_000), record(1, 1_000)].map(|record| String::from_utf8(record).unwrap());
        records.iter().rev().for_each(|record| single.take(0, record.as_bytes(), 5_000));
        batched.take(0, format!("[{}]", records.join(",")).as_bytes(), 5_000);
        let (single, batched) = (single.report(), batched.report());
        assert_eq!((single.records, single.digest), (batched.records, batched.digest));
        assert_eq!((single.requests, batched.requests), (2, 1));
    }

    #[test]
    fn a_repeat_is_a_duplicate_at_the_same_destination_only() {
        let mut account = Account::default();
        for (destination, time) in [(0, 2_000), (1, 3_000), (0, 9_000)] {
            account.take(destination, &event(7, 1_000), time);
        }
        let report = account.report();
        assert_eq!((report.records, report.duplicates, report.elapsed), (2, 1, 1_000));
        assert_eq!(account.latencies(), [vec![1], vec![2]]);
    }

    #[test]
    fn what_is_no_record_is_counted_as_such() {
        let mut account = Account::default();
        for body in [&b"{}"[..], b"[1]", b"[", b"\xff", br#"{"id":"7","occurred_at":"1"}"#] {
            account.take(0, body, 1);
        }
        assert_eq!(account.report(), Report { requests: 5, unreadable: 5, ..Report::default() });
    }
}
