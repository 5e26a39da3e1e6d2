//! The order of one lane's events: which may go now, which wait, and which are put behind a failing one. Pure.
//!
//! Of each key at most one event is under way. Events in hand wait for it, by their sequence. When it fails, it is *parked*:
//! it stands first in the retries stream until it is due, and what comes after it is *held*: put behind it there, in order,
//! so that it takes no place in the hand. A held key is worked off from the stream until it is empty; then it is as any other.
//!
//! ```text
//!            next: Send                 finished
//!   idle ───────────────────▶ under way ────────▶ idle
//!    │ ▲                          │ ▲
//!    │ └───────────── returned ───┤ │ next: Fetch
//!    │ next: Fetch (held)         ▼ │
//!    └────────────────────▶    parked until due
//! ```

mod action;
mod queue;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

pub use self::action::{Action, Arrived};
use self::queue::{From, Phase, Queue};

/// What stands for the key of an event.
pub type Key = Arc<str>;

/// Events in hand behind one that takes long, beyond which they are put behind it in the stream.
const MOST_WAITING: usize = 16;

/// The order of one lane. `T` is an event in hand.
#[derive(Debug)]
pub struct Order<T> {
    queues: HashMap<Key, Queue<T>>,
    ready: VecDeque<Key>,
    due: BTreeSet<(Timestamp, Key)>,
    busy: usize,
}

/// Where the retries stream keeps an event of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    /// It failed and waits for its next attempt.
    First,
    /// It stands behind that one.
    Next,
}

/// What the retries stream keeps of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The key.
    pub key: Key,
    /// When the parked one is due, if one is.
    pub due: Option<Timestamp>,
    /// How many are held.
    pub held: u64,
    /// The lowest and the highest sequence among all of them.
    pub range: (u64, u64),
}

impl<T> Default for Order<T> {
    fn default() -> Self {
        Self { queues: HashMap::new(), ready: VecDeque::new(), due: BTreeSet::new(), busy: 0 }
    }
}

impl<T> Order<T> {
    /// Learns what the retries stream keeps of a key. Comes before everything else about the key.
    pub fn learn(&mut self, kept: Kept) {
        let Kept { key, due, held, range } = kept;
        let queue = self.queues.entry(Arc::clone(&key)).or_insert_with(Queue::new);
        (queue.held, queue.kept) = (held, Some(range));
        if let Some(due) = due {
            (queue.parked, queue.phase) = (true, Phase::Parked(due));
            self.due.insert((due, Arc::clone(&key)));
        }
        self.ready.push_back(key);
    }

    /// An event has come from the stream of events.
    pub fn arrived(&mut self, key: Key, sequence: u64, item: T) -> Arrived<T> {
        let queue = self.queues.entry(Arc::clone(&key)).or_insert_with(Queue::new);
        let within = |range: Option<(u64, u64)>| range.is_some_and(|(from, to)| (from..=to).contains(&sequence));
        if within(queue.kept) {
            return Arrived::Repeat(item);
        }
        let sending =
            matches!(queue.phase, Phase::Sending { from: From::Hand(under_way), .. } if under_way == sequence);
        if sending || within(queue.appending) || queue.waiting.contains_key(&sequence) {
            return Arrived::Known(item);
        }
        queue.waiting.insert(sequence, item);
        self.ready.push_back(key);
        Arrived::Filed
    }

    /// What parked events have come due by now.
    pub fn wake(&mut self, now: Timestamp) {
        while self.due.first().is_some_and(|(due, _)| *due <= now)
            && let Some((due, key)) = self.due.pop_first()
        {
            if let Some(queue) = self.queues.get_mut(&key)
                && queue.phase == Phase::Parked(due)
            {
                queue.phase = Phase::Due;
                self.ready.push_back(key);
            }
        }
    }

    /// When the next parked event is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, _)| *due)
    }

    /// How many events are under way.
    pub fn busy(&self) -> usize {
        self.busy
    }

    /// What to do next, if there is anything.
    pub fn next(&mut self, now: Timestamp) -> Option<Action<T>> {
        while let Some(key) = self.ready.pop_front() {
            if let Some(action) = self.turn(&key, now) {
                // There may be more to do for it.
                self.ready.push_back(key);
                return Some(action);
            }
        }
        None
    }

    fn turn(&mut self, key: &Key, now: Timestamp) -> Option<Action<T>> {
        let queue = self.queues.get_mut(key)?;
        let behind = queue.parked || queue.held > 0 || queue.pressed;
        if behind && queue.appending.is_none() {
            let items = queue.take_behind();
            if let (Some((from, _)), Some((to, _))) = (items.first_key_value(), items.last_key_value()) {
                queue.appending = Some((*from, *to));
                return Some(Action::Append { key: Arc::clone(key), items: items.into_iter().collect() });
            }
        }
        let from = match queue.phase {
            Phase::Due => From::First,
            Phase::Idle => match queue.before() {
                Some(sequence) if queue.appending.is_none_or(|(from, _)| sequence < from) => From::Hand(sequence),
                _ if queue.held > 0 => From::Next,
                _ => {
                    if queue.is_done() {
                        self.queues.remove(key);
                    }
                    return None;
                }
            },
            Phase::Sending { .. } | Phase::Parked(_) => return None,
        };
        queue.phase = Phase::Sending { from, since: now };
        self.busy += 1;
        let key = Arc::clone(key);
        Some(match from {
            From::First => Action::Fetch { key, shelf: Shelf::First },
            From::Next => Action::Fetch { key, shelf: Shelf::Next },
            From::Hand(sequence) => {
                let item = queue.waiting.remove(&sequence).expect("it was there a moment ago");
                Action::Send { key, sequence, item }
            }
        })
    }

    /// The hand is full. Where one event has been under way for longer than `patience`, those that wait for it go behind it.
    pub fn press(&mut self, now: Timestamp, patience: Duration) {
        for (key, queue) in &mut self.queues {
            if let Phase::Sending { since, .. } = queue.phase
                && queue.waiting.len() > MOST_WAITING
                && Duration::try_from(now.duration_since(since)).is_ok_and(|lasts| lasts >= patience)
            {
                queue.pressed = true;
                self.ready.push_back(Arc::clone(key));
            }
        }
    }

    /// The event under way was delivered, or became a dead letter, or was kept back: the next may go.
    pub fn finished(&mut self, key: &Key) {
        self.end(key, |queue, from| match from {
            From::Hand(_) => {}
            From::First => queue.parked = false,
            From::Next => queue.held = queue.held.saturating_sub(1),
        });
    }

    /// The event under way, with this sequence, failed and is parked until `due`.
    pub fn parked(&mut self, key: &Key, sequence: u64, due: Timestamp) {
        self.end(key, |queue, from| {
            if from == From::Next {
                queue.held = queue.held.saturating_sub(1);
            }
            queue.parked = true;
            queue.keep(sequence, sequence);
            queue.phase = Phase::Parked(due);
        });
        self.due.insert((due, Arc::clone(key)));
    }

    /// The event under way could not be tried. It goes first again; one in hand comes with it.
    pub fn returned(&mut self, key: &Key, item: Option<T>) {
        self.end(key, |queue, from| match (from, item) {
            (From::Hand(sequence), Some(item)) => {
                queue.waiting.insert(sequence, item);
            }
            (From::First, _) => queue.phase = Phase::Due,
            (From::Hand(_) | From::Next, _) => {}
        });
    }

    /// The event under way is not due before.
    pub fn not_due(&mut self, key: &Key, due: Timestamp) {
        self.end(key, |queue, _| queue.phase = Phase::Parked(due));
        self.due.insert((due, Arc::clone(key)));
    }

    /// The retries stream has no such event: someone took it away.
    pub fn missing(&mut self, key: &Key) {
        self.end(key, |queue, from| match from {
            From::First => queue.parked = false,
            From::Next => queue.held = 0,
            From::Hand(_) => {}
        });
    }

    /// So many events, up to this sequence, were put behind what is there, and are safe.
    pub fn appended(&mut self, key: &Key, count: u64, last: u64) {
        if let Some(queue) = self.queues.get_mut(key) {
            let (from, _) = queue.appending.take().unwrap_or((last, last));
            queue.keep(from, last);
            queue.held += count;
            queue.pressed = false;
            self.ready.push_back(Arc::clone(key));
        }
    }

    fn end(&mut self, key: &Key, change: impl FnOnce(&mut Queue<T>, From)) {
        let Some(queue) = self.queues.get_mut(key) else { return };
        let Phase::Sending { from, .. } = queue.phase else { return };
        self.busy -= 1;
        queue.phase = Phase::Idle;
        change(queue, from);
        if queue.is_done() {
            self.queues.remove(key);
        } else {
            self.ready.push_back(Arc::clone(key));
        }
    }

    /// Every event that waits in hand, in no order across keys.
    pub fn into_waiting(self) -> impl Iterator<Item = T> {
        self.queues.into_values().flat_map(|queue| queue.waiting.into_values())
    }
}

#[cfg(test)]
mod tests;
