//! Which dead letters are meant. What a subject can say is left to the server; the rest is judged here.

use std::collections::BTreeSet;

use jiff::Timestamp;
use ropeway_crds::names::{LaneId, NamespaceNames, ShortUid};

use super::Entry;

/// Which dead letters of an Integration are meant: those that meet every part that is given. A default one means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// Of this destination.
    pub destination: Option<String>,
    /// With one of these reasons.
    pub reasons: BTreeSet<String>,
    /// With one of these HTTP statuses.
    pub codes: BTreeSet<u16>,
    /// With one of these ids, which may be the event's own or that of the delivery.
    pub ids: BTreeSet<String>,
    /// Written at this time or later.
    pub since: Option<Timestamp>,
    /// Written before this time.
    pub until: Option<Timestamp>,
}

impl Selector {
    /// Whether nothing is given, so that every dead letter is meant.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a subject says all of it, so that whatever the server answers is meant.
    pub fn is_told_by_subject(&self) -> bool {
        self.destination.iter().chain(&self.reasons).all(|text| is_token(text))
            && self.reasons.len() <= 1
            && self.codes.is_empty()
            && self.ids.is_empty()
            && self.since.is_none()
            && self.until.is_none()
    }

    /// The subjects to ask for. A part that can be no subject token is left out here and matches no entry.
    pub fn subject(&self, names: &NamespaceNames, integration: &ShortUid) -> String {
        let destination = self.destination.as_deref().filter(|name| is_token(name));
        let lane = destination.map(|name| LaneId::new(integration, name));
        let reason = match self.reasons.len() {
            1 => self.reasons.first().map(String::as_str).filter(|reason| is_token(reason)),
            _ => None,
        };
        names.dead_letters_where(integration, lane.as_ref(), reason)
    }

    /// Whether an entry is meant.
    pub fn matches(&self, entry: &Entry) -> bool {
        let Self { destination, reasons, codes, ids, since, until } = self;
        destination.as_ref().is_none_or(|name| *name == entry.destination)
            && (reasons.is_empty() || reasons.contains(&entry.reason))
            && (codes.is_empty() || entry.code.is_some_and(|code| codes.contains(&code)))
            && (ids.is_empty()
                || ids.contains(&entry.delivery)
                || entry.event_id.as_ref().is_some_and(|id| ids.contains(id)))
            && since.is_none_or(|since| entry.time >= since)
            && until.is_none_or(|until| entry.time < until)
    }
}

/// Whether a text can stand in a subject as one token.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letters::entry::tests::stored;

    fn set<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeSet<T> {
        items.into_iter().collect()
    }

    #[test]
    fn every_part_that_is_given_must_be_met() {
        let entry = Entry::read(&ShortUid::of("i"), stored("crm", "Rejected", "01J", 0)).unwrap();
        let second = |second| Some(Timestamp::from_second(second).unwrap());
        let cases = [
            (Selector::default(), true),
            (Selector { destination: Some("crm".into()), ..Selector::default() }, true),
            (Selector { destination: Some("shop".into()), ..Selector::default() }, false),
            (Selector { reasons: set(["Rejected".into(), "Exhausted".into()]), ..Selector::default() }, true),
            (Selector { reasons: set(["Exhausted".into()]), ..Selector::default() }, false),
            (Selector { codes: set([422]), ..Selector::default() }, true),
            (Selector { codes: set([500]), ..Selector::default() }, false),
            (Selector { ids: set(["order 1".into()]), ..Selector::default() }, true),
            (Selector { ids: set(["01J".into()]), ..Selector::default() }, true),
            (Selector { ids: set(["order".into()]), ..Selector::default() }, false),
            (Selector { since: second(0), until: second(1), ..Selector::default() }, true),
            (Selector { since: second(1), ..Selector::default() }, false),
            (Selector { until: second(0), ..Selector::default() }, false),
            (Selector { codes: set([422]), ids: set(["other".into()]), ..Selector::default() }, false),
        ];
        for (selector, expected) in cases {
            assert_eq!(selector.matches(&entry), expected, "{selector:?}");
        }
    }

    #[test]
    fn a_subject_says_what_it_can_and_no_wildcard_gets_in() {
        let (names, uid) = (NamespaceNames::new(ShortUid::of("n")), ShortUid::of("i"));
        let subject = |selector: &Selector| {
            let subject = selector.subject(&names, &uid);
            subject.split_once(&format!(".dead.{uid}.")).unwrap().1.to_owned()
        };
        let one = Selector { destination: Some("crm".into()), reasons: set(["Poison".into()]), ..Selector::default() };
        assert_eq!(subject(&one), format!("{uid}-crm.Poison.>"));
        assert!(one.is_told_by_subject() && !one.is_everything());
        let two = Selector { reasons: set(["Poison".into(), "Rejected".into()]), ..Selector::default() };
        assert_eq!(subject(&two), "*.*.>");
        assert!(!two.is_told_by_subject());
        let hostile = Selector { destination: Some(">".into()), reasons: set(["*.x".into()]), ..Selector::default() };
        assert_eq!(subject(&hostile), "*.*.>");
        assert!(!hostile.is_told_by_subject());
    }
}
