//! A batch that was refused as a whole, without a word on which record is at fault: the search for the culprit by halves.
//! Pure: it says which records to send next, and is told what came back.
//!
//! Untested records are put aside and sent together at the end. With one culprit among a hundred, the other ninety-nine
//! are delivered with at most eight more requests.

use crate::provider::{Failure, Fate, Outcome};

/// Requests after which what is left is sent one by one: with that many culprits halving costs more than it saves.
const HALVING_PAYS: usize = 16;

/// What came back for the records that were sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// An outcome for each of them.
    Each(Vec<Outcome>),
    /// What the destination said of each of them.
    Told(Vec<Fate>),
    /// All of them were refused together.
    Refused(Failure),
    /// They were too large together.
    TooLarge(Failure),
}

/// A search under way. Records are numbered from zero.
#[derive(Debug)]
pub struct Search {
    outcomes: Vec<Option<Outcome>>,
    /// Records of which one at least is known to be refused; what is sent next is their first half.
    suspects: Vec<usize>,
    /// Portions that nothing is known about; the last is sent next.
    untested: Vec<Vec<usize>>,
    sending: Vec<usize>,
    failure: Failure,
    requests: usize,
    /// How many records were refused together last.
    refused_together: usize,
    /// How many records were taken together at most.
    taken_together: usize,
    /// A record that was refused together with others that have been taken since, and with how many at once.
    deferred: Option<(usize, usize)>,
}

impl Search {
    /// A search among so many records, all of which are in one portion that has not been sent yet.
    pub fn new(records: usize) -> Self {
        Self {
            outcomes: vec![None; records],
            suspects: Vec::new(),
            untested: vec![(0..records).collect()],
            sending: Vec::new(),
            failure: Failure::silent("nothing was sent"),
            requests: 0,
            refused_together: 0,
            taken_together: 0,
            deferred: None,
        }
    }

    /// The records to send next, or `None` when each has its outcome.
    pub fn send_next(&mut self) -> Option<&[usize]> {
        self.judge_deferred();
        self.sending = if self.suspects.is_empty() {
            let mut portion = self.untested.pop()?;
            if self.requests > HALVING_PAYS && portion.len() > 1 {
                let rest = portion.split_off(1);
                self.untested.push(rest);
            }
            portion
        } else {
            let half = self.suspects.len().div_ceil(2);
            self.suspects[..half].to_vec()
        };
        self.requests += 1;
        Some(&self.sending)
    }

    /// How many requests were made.
    pub fn requests(&self) -> usize {
        self.requests
    }

    /// Says what came back for the records that were sent last.
    pub fn answered(&mut self, reply: Reply) {
        let sent = std::mem::take(&mut self.sending);
        let mut suspects = std::mem::take(&mut self.suspects);
        let rest = if suspects.is_empty() { Vec::new() } else { suspects.split_off(sent.len()) };
        match reply {
            Reply::Each(outcomes) => self.each(&sent, outcomes, rest),
            Reply::Told(fates) => {
                self.put_aside(rest);
                self.told(sent, fates);
            }
            Reply::Refused(failure) | Reply::TooLarge(failure) if sent.len() == 1 => {
                self.failure = failure.clone();
                self.settle(&sent, &Outcome::Rejected(failure));
                self.put_aside(rest);
            }
            Reply::Refused(failure) => {
                self.failure = failure;
                self.refused_together = sent.len();
                self.put_aside(rest);
                if self.requests > HALVING_PAYS {
                    self.untested.push(sent);
                } else {
                    self.suspects = sent;
                }
            }
            Reply::TooLarge(_) => {
                self.put_aside(rest);
                let mut first = sent;
                let second = first.split_off(first.len().div_ceil(2));
                self.untested.push(second);
                self.untested.push(first);
            }
        }
    }

    /// Each record that was sent has an outcome of its own; `rest` is the other half, if there is one.
    fn each(&mut self, sent: &[usize], outcomes: Vec<Outcome>, rest: Vec<usize>) {
        // Not now: no use in asking about the others now either.
        let not_now = outcomes
            .iter()
            .find(|outcome| matches!(outcome, Outcome::Retry { .. } | Outcome::Hold { .. }))
            .filter(|_| outcomes.iter().all(|outcome| *outcome != Outcome::Delivered))
            .cloned();
        let all_taken = outcomes.iter().all(|outcome| *outcome == Outcome::Delivered);
        if all_taken {
            self.taken_together = self.taken_together.max(sent.len());
        }
        for (record, outcome) in sent.iter().zip(outcomes) {
            self.outcomes[*record] = Some(outcome);
        }
        if let Some(not_now) = not_now {
            self.settle(&rest, &not_now);
            let deferred = self.deferred.take().map(|(record, _)| vec![record]);
            for portion in std::mem::take(&mut self.untested).into_iter().chain(deferred) {
                self.settle(&portion, &not_now);
            }
        } else if let [suspect] = rest[..]
            && !self.untested.is_empty()
            && all_taken
            && self.deferred.is_none()
        {
            // It was refused together with what has been taken now: it is at fault itself, unless there were too many.
            self.deferred = Some((suspect, self.refused_together));
        } else if rest.len() == 1 {
            self.untested.push(rest);
        } else {
            self.suspects = rest;
        }
    }

    /// The destination said which records it means. Those that it said nothing of are sent next, without the others.
    fn told(&mut self, sent: Vec<usize>, fates: Vec<Fate>) {
        let mut again = Vec::new();
        for (record, fate) in sent.iter().zip(fates) {
            match fate {
                Fate::Known(outcome) => self.outcomes[*record] = Some(outcome),
                Fate::Again => again.push(*record),
            }
        }
        if again.len() == sent.len() {
            // It would be the same request once more.
            let failure = Failure::silent("the destination took nothing and did not say which record it means");
            self.settle(&again, &Outcome::Unaccounted(failure));
        } else if !again.is_empty() {
            self.untested.push(again);
        }
    }

    /// When everything else is known, so is whether a record was refused for itself: as many have been taken together since
    /// as were refused together with it. Otherwise it is asked for alone.
    fn judge_deferred(&mut self) {
        if !self.suspects.is_empty() || !self.untested.is_empty() {
            return;
        }
        let Some((record, together)) = self.deferred.take() else { return };
        if self.taken_together >= together {
            self.settle(&[record], &Outcome::Rejected(self.failure.clone()));
        } else {
            self.untested.push(vec![record]);
        }
    }

    fn settle(&mut self, records: &[usize], outcome: &Outcome) {
        for record in records {
            self.outcomes[*record] = Some(outcome.clone());
        }
    }

    /// Joins untested records to those that are sent together at the end.
    fn put_aside(&mut self, records: Vec<usize>) {
        if records.is_empty() {
            return;
        }
        match self.untested.first_mut() {
            Some(portion) => portion.extend(records),
            None => self.untested.push(records),
        }
    }

    /// Every record's outcome, in order. Only when [`Search::send_next`] has answered `None`.
    pub fn finish(self) -> Vec<Outcome> {
        let missing = || Outcome::Unaccounted(Failure::silent("the search ended without an answer"));
        self.outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(missing)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn refused() -> Failure {
        Failure { code: Some(422), message: "refused".into() }
    }

    /// Runs a search against a destination that refuses every portion with a culprit, or with more than `most` records.
    fn run(records: usize, culprits: &BTreeSet<usize>, most: usize) -> (Vec<Outcome>, usize, Vec<usize>) {
        let (mut search, mut taken) = (Search::new(records), Vec::new());
        while let Some(sent) = search.send_next() {
            let sent = sent.to_vec();
            assert!(!sent.is_empty());
            let reply = if sent.len() > most {
                Reply::TooLarge(refused())
            } else if sent.iter().any(|record| culprits.contains(record)) {
                Reply::Refused(refused())
            } else {
                taken.extend(&sent);
                Reply::Each(vec![Outcome::Delivered; sent.len()])
            };
            search.answered(reply);
        }
        let requests = search.requests();
        (search.finish(), requests, taken)
    }

    #[test]
    fn one_culprit_among_a_hundred_costs_at_most_eight_more_requests_wherever_it_is() {
        for culprit in 0..100 {
            let (outcomes, requests, taken) = run(100, &[culprit].into(), 1_000);
            assert_eq!(taken.len(), 99);
            assert!(matches!(outcomes[culprit], Outcome::Rejected(_)));
            assert!(requests <= 9, "{requests} requests for culprit {culprit}");
        }
    }

    /// Some APIs answer 400 to too many records, and not 413.
    #[test]
    fn too_many_records_condemn_none_of_them() {
        for records in 1..230 {
            let (mut search, mut taken) = (Search::new(records), 0);
            while let Some(sent) = search.send_next() {
                let count = sent.len();
                let reply =
                    if count > 75 { Reply::Refused(refused()) } else { Reply::Each(vec![Outcome::Delivered; count]) };
                taken += if count > 75 { 0 } else { count };
                search.answered(reply);
            }
            assert_eq!(taken, records);
            assert!(search.finish().iter().all(|outcome| *outcome == Outcome::Delivered), "{records}");
        }
    }

    #[test]
    fn where_the_culprits_are_named_the_rest_is_sent_once_more_and_not_searched() {
        let mut search = Search::new(5);
        search.send_next();
        let known = |outcome| Fate::Known(outcome);
        let refused = || known(Outcome::Rejected(refused()));
        search.answered(Reply::Told(vec![Fate::Again, refused(), Fate::Again, refused(), Fate::Again]));
        assert_eq!(search.send_next(), Some(&[0, 2, 4][..]));
        search.answered(Reply::Each(vec![Outcome::Delivered; 3]));
        assert_eq!(search.send_next(), None);
        assert_eq!(search.requests(), 2);
        let delivered = search.finish().iter().filter(|outcome| **outcome == Outcome::Delivered).count();
        assert_eq!(delivered, 3);
    }

    #[test]
    fn a_destination_that_names_nobody_is_not_asked_the_same_again() {
        let mut search = Search::new(3);
        search.send_next();
        search.answered(Reply::Told(vec![Fate::Again; 3]));
        assert_eq!(search.send_next(), None);
        assert!(search.finish().iter().all(|outcome| matches!(outcome, Outcome::Unaccounted(_))));
    }

    #[test]
    fn a_destination_that_can_take_nothing_now_ends_the_search() {
        let mut search = Search::new(10);
        search.send_next();
        search.answered(Reply::Refused(refused()));
        assert_eq!(search.send_next().map(<[usize]>::len), Some(5));
        let retry = Outcome::Retry { after: None, limited: false, failure: refused() };
        search.answered(Reply::Each(vec![retry.clone(); 5]));
        assert_eq!(search.send_next(), None);
        assert_eq!(search.finish(), vec![retry; 10]);
    }

    proptest! {
        #[test]
        fn exactly_the_culprits_are_refused_and_each_other_record_arrives_once(
            records in 1usize..150,
            culprits in prop::collection::btree_set(0usize..150, 0..150),
            most in 1usize..200,
        ) {
            let culprits: BTreeSet<usize> = culprits.into_iter().filter(|culprit| *culprit < records).collect();
            let (outcomes, requests, mut taken) = run(records, &culprits, most);
            taken.sort_unstable();
            let innocent: Vec<usize> = (0..records).filter(|record| !culprits.contains(record)).collect();
            prop_assert_eq!(taken, innocent);
            for (record, outcome) in outcomes.iter().enumerate() {
                prop_assert_eq!(matches!(outcome, Outcome::Rejected(_)), culprits.contains(&record));
            }
            prop_assert!(requests <= 3 * records + HALVING_PAYS, "{} requests for {} records", requests, records);
        }
    }
}
