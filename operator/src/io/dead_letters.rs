//! The door to the dead letters of one Integration: pages, a census, one entry, and (in `work`) sending again and removing.
//! No consumer is ever made: pages are direct gets, so looking costs the same however many there are.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use ropeway_crds::names::{LaneId, NamespaceNames, ShortUid};

use super::jetstream::{Batch, JetStream, NatsError, Start};
use crate::dead_letters::{Entry, Selector, entry::destination_and_reason};

mod work;

pub use work::{Action, Progress, WorkError};

/// How many entries are read at once where only some of them are meant.
const SCAN: usize = 500;

/// The dead letters of one Integration.
#[derive(Clone)]
pub struct DeadLetters {
    jetstream: JetStream,
    names: NamespaceNames,
    integration: ShortUid,
}

/// Entries in the order in which they were written.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// At most as many as were asked for, without their bodies: these may be large, and a page is held as a whole.
    pub entries: Vec<Entry>,
    /// The sequence behind which the next page begins; none where this is the last.
    pub next: Option<u64>,
    /// How many entries there are behind this page, where that is known without reading them.
    pub remaining: Option<u64>,
    /// Messages that were no dead letters of this Integration.
    pub unreadable: u64,
}

/// How many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// By destination and reason.
    pub counts: BTreeMap<(String, String), u64>,
    /// When the oldest was written.
    pub oldest: Option<Timestamp>,
    /// When the newest was written.
    pub newest: Option<Timestamp>,
    /// Messages that were no dead letters of this Integration.
    pub unreadable: u64,
}

impl Census {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    fn see(&mut self, destination: &str, reason: &str, count: u64) {
        *self.counts.entry((destination.to_owned(), reason.to_owned())).or_default() += count;
    }
}

/// What one request brought.
struct Scan {
    /// The entries that are meant.
    meant: Vec<Entry>,
    /// The last sequence that was looked at.
    last: u64,
    /// How many messages there are behind it.
    remaining: u64,
    /// Whether nothing that is meant can come any more.
    over: bool,
    unreadable: u64,
}

impl DeadLetters {
    /// The dead letters of the Integration with this UID.
    pub fn new(jetstream: JetStream, names: NamespaceNames, integration: ShortUid) -> Self {
        Self { jetstream, names, integration }
    }

    /// At most `most` entries behind the sequence `after`; 0 begins with the oldest. One request, unless only some of
    /// the entries are meant and a subject can't say which.
    ///
    /// # Errors
    /// See [`NatsError`].
    pub async fn page(&self, selector: &Selector, after: u64, most: usize) -> Result<Page, NatsError> {
        let mut page = Page::default();
        let mut after = after;
        loop {
            let step = if selector.is_told_by_subject() { most - page.entries.len() } else { SCAN };
            let Scan { meant, last, remaining, over, unreadable } = self.scan(selector, after, step).await?;
            page.unreadable += unreadable;
            for entry in meant {
                if page.entries.len() == most {
                    page.next = page.entries.last().map(|entry| entry.sequence);
                    return Ok(page);
                }
                page.entries.push(Entry { body: Bytes::new(), ..entry });
            }
            after = last;
            if over {
                page.remaining = Some(0);
                return Ok(page);
            }
            if page.entries.len() == most {
                page.next = Some(last);
                page.remaining = selector.is_told_by_subject().then_some(remaining);
                return Ok(page);
            }
        }
    }

    /// One entry.
    ///
    /// # Errors
    /// See [`NatsError`]; no such entry of this Integration is none.
    pub async fn entry(&self, sequence: u64) -> Result<Option<Entry>, NatsError> {
        let all = self.names.dead_letters_of(&self.integration);
        let found = self.jetstream.next_message(&self.names.dead_letters_stream(), &all, sequence).await?;
        let found = found.filter(|stored| stored.sequence == sequence);
        Ok(found.and_then(|stored| Entry::read(&self.integration, stored)))
    }

    /// Counts the entries that are meant. Some requests where a subject says which; otherwise all of them are read.
    ///
    /// # Errors
    /// See [`NatsError`].
    pub async fn census(&self, selector: &Selector) -> Result<Census, NatsError> {
        if selector.is_told_by_subject() { self.census_of_subjects(selector).await } else { self.tally(selector).await }
    }

    async fn census_of_subjects(&self, selector: &Selector) -> Result<Census, NatsError> {
        let (stream, filter) = (self.names.dead_letters_stream(), selector.subject(&self.names, &self.integration));
        let mut census = Census::default();
        for (subject, count) in self.jetstream.subjects(&stream, &filter).await? {
            match destination_and_reason(&self.integration, &subject) {
                Some((destination, reason)) => census.see(destination, reason, count),
                None => census.unreadable += count,
            }
        }
        if census.total() > 0 {
            census.oldest = self.jetstream.next_message(&stream, &filter, 1).await?.map(|oldest| oldest.time);
            census.newest = self.jetstream.last_message(&stream, &filter).await?.map(|newest| newest.time);
        }
        Ok(census)
    }

    async fn tally(&self, selector: &Selector) -> Result<Census, NatsError> {
        let mut census = Census::default();
        let mut after = 0;
        loop {
            let Scan { meant, last, over, unreadable, .. } = self.scan(selector, after, SCAN).await?;
            for entry in &meant {
                census.see(&entry.destination, &entry.reason, 1);
                census.oldest.get_or_insert(entry.time);
                census.newest = Some(entry.time);
            }
            census.unreadable += unreadable;
            if over {
                return Ok(census);
            }
            after = last;
        }
    }

    /// Whether a lane has a consumer that would take what is sent again.
    ///
    /// # Errors
    /// See [`NatsError`].
    pub async fn is_taken(&self, destination: &str) -> Result<bool, NatsError> {
        let lane = LaneId::new(&self.integration, destination);
        Ok(self.jetstream.consumer(&self.names.retries_stream(), lane.as_str()).await?.is_some())
    }

    /// One request behind the sequence `after`.
    async fn scan(&self, selector: &Selector, after: u64, most: usize) -> Result<Scan, NatsError> {
        let start = match selector.since {
            Some(since) if after == 0 => Start::Time(since),
            _ => Start::Sequence(after + 1),
        };
        let filter = selector.subject(&self.names, &self.integration);
        let Batch { messages, remaining } =
            self.jetstream.batch(&self.names.dead_letters_stream(), &filter, start, most).await?;
        let late = |time: Timestamp| selector.until.is_some_and(|until| time >= until);
        let over = remaining == 0 || messages.last().is_none_or(|message| late(message.time));
        let (last, read) = (messages.last().map_or(after, |message| message.sequence), messages.len());
        let entries: Vec<Entry> =
            messages.into_iter().filter_map(|stored| Entry::read(&self.integration, stored)).collect();
        let unreadable = u64::try_from(read - entries.len()).unwrap_or(u64::MAX);
        let meant = entries.into_iter().filter(|entry| selector.matches(entry)).collect();
        Ok(Scan { meant, last, remaining, over, unreadable })
    }
}
