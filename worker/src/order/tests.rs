//! The order against a model of everything around it: a stream of events, a consumer that hands out what is not settled
//! in any order, the retries stream, a destination that fails at random, and workers that die between any two steps.

use std::collections::{HashSet, VecDeque};

use proptest::prelude::*;

use super::*;

fn key(text: &str) -> Key {
    Key::from(text)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a small number")
}

fn send(name: &str, sequence: u64) -> Option<Action<u64>> {
    Some(Action::Send { key: key(name), sequence, item: sequence })
}

#[test]
fn of_each_key_one_event_is_under_way_and_the_next_follows_when_it_has_ended() {
    let mut order = Order::default();
    for (name, sequence) in [("a", 2), ("b", 3), ("a", 1)] {
        assert_eq!(order.arrived(key(name), sequence, sequence), Arrived::Filed);
    }
    assert_eq!(order.next(at(0)), send("a", 1));
    assert_eq!(order.next(at(0)), send("b", 3));
    assert_eq!((order.next(at(0)), order.busy()), (None, 2));
    order.finished(&key("a"));
    assert_eq!(order.next(at(0)), send("a", 2));
    order.returned(&key("a"), Some(2));
    assert_eq!(order.next(at(0)), send("a", 2));
    order.finished(&key("a"));
    order.finished(&key("b"));
    assert_eq!((order.next(at(0)), order.busy()), (None, 0));
    assert!(order.queues.is_empty(), "a key without events leaves nothing behind");
}

#[test]
fn what_follows_a_parked_event_goes_behind_it_until_that_is_drained() {
    let mut order = Order::default();
    order.arrived(key("a"), 1, 1);
    assert_eq!(order.next(at(0)), send("a", 1));
    order.parked(&key("a"), 1, at(10));
    order.arrived(key("a"), 2, 2);
    assert_eq!(order.arrived(key("a"), 1, 1), Arrived::Repeat(1));
    assert_eq!(order.next(at(0)), Some(Action::Append { key: key("a"), items: vec![(2, 2)] }));
    assert_eq!(order.arrived(key("a"), 2, 2), Arrived::Known(2));
    order.appended(&key("a"), 1, 2);
    order.wake(at(9));
    assert_eq!((order.next(at(9)), order.next_due()), (None, Some(at(10))));
    order.wake(at(10));
    assert_eq!(order.next(at(10)), Some(Action::Fetch { key: key("a"), shelf: Shelf::First }));
    order.finished(&key("a"));
    order.arrived(key("a"), 3, 3);
    assert_eq!(order.next(at(10)), Some(Action::Append { key: key("a"), items: vec![(3, 3)] }));
    assert_eq!(order.next(at(10)), Some(Action::Fetch { key: key("a"), shelf: Shelf::Next }));
    order.finished(&key("a"));
    // The one that is on its way there comes before whatever is in hand.
    assert_eq!(order.next(at(10)), None);
    order.appended(&key("a"), 1, 3);
    assert_eq!(order.next(at(10)), Some(Action::Fetch { key: key("a"), shelf: Shelf::Next }));
    order.finished(&key("a"));
    assert_eq!((order.next(at(10)), order.queues.len()), (None, 0));
}

#[test]
fn behind_a_slow_event_a_full_hand_is_relieved_and_behind_a_quick_one_it_is_not() {
    let mut order = Order::default();
    for sequence in 0..40 {
        order.arrived(key("a"), sequence + 1, sequence);
    }
    order.next(at(0));
    order.press(at(1), Duration::from_secs(2));
    assert_eq!(order.next(at(1)), None);
    order.press(at(2), Duration::from_secs(2));
    assert!(matches!(order.next(at(2)), Some(Action::Append { items, .. }) if items.len() == 39));
    order.finished(&key("a"));
    assert_eq!(order.next(at(2)), None);
    order.appended(&key("a"), 39, 40);
    assert_eq!(order.next(at(2)), Some(Action::Fetch { key: key("a"), shelf: Shelf::Next }));
}

/// An event, by its sequence; the key follows from it.
type Event = u64;

fn key_of(event: Event, keys: u64) -> Key {
    Key::from(format!("k{}", event.wrapping_mul(0x9e37_79b9_7f4a_7c15) % keys))
}

/// What outlives a worker.
#[derive(Default)]
struct World {
    keys: u64,
    /// How many steps a request takes on average.
    slow: u64,
    last: Event,
    /// Handed out by nobody yet, from this sequence on.
    next: Event,
    unsettled: BTreeSet<Event>,
    /// Handed out to a worker that lives.
    out: BTreeSet<Event>,
    /// How often anything was handed out.
    handed_out: u64,
    first: HashMap<Key, Vec<(Event, Timestamp, u32)>>,
    behind: HashMap<Key, VecDeque<Event>>,
    dead: HashSet<Event>,
    /// Delivered or given up, and everything of it removed.
    settled: HashSet<Event>,
    /// What the destination took, by key.
    taken: HashMap<Key, Vec<Event>>,
    now: i64,
    faults: Vec<String>,
}

/// A step of a worker that is under way.
#[derive(Debug)]
enum Step {
    /// To be sent: the event, its attempt, and where it came from.
    Send(Key, Event, u32, Option<Shelf>),
    /// It was taken, or is given up; to be acknowledged.
    Settle(Key, Event, Option<Shelf>),
    /// It failed; to be parked, then acknowledged.
    Park(Key, Event, u32, Option<Shelf>),
    Acknowledge(Key, Event, Timestamp, Option<Shelf>),
    Append(Key, VecDeque<Event>, u64, Event, bool),
    Repeat(Event),
}

/// A worker.
struct Session {
    order: Order<Event>,
    /// The last handing out, once all before it are in hand or settled.
    caught_up: Option<u64>,
    hand: BTreeSet<Event>,
    under_way: Vec<Step>,
}

impl World {
    fn begin(&mut self) -> Session {
        self.out.clear();
        let mut order = Order::default();
        let keys: BTreeSet<Key> = self.first.keys().chain(self.behind.keys()).cloned().collect();
        for key in keys {
            let parked = self.first.get(&key).and_then(|all| all.last()).copied();
            let behind = self.behind.entry(Arc::clone(&key)).or_default();
            // The last one is read before what a crash has left is taken away, as `Broker::kept` does.
            while parked.is_some_and(|(event, ..)| behind.front().is_some_and(|oldest| *oldest <= event)) {
                behind.pop_front();
            }
            let all = || parked.iter().map(|(event, ..)| event).chain(behind.iter()).copied();
            let (due, held) = (parked.map(|(_, due, _)| due), behind.len() as u64);
            if let (Some(from), Some(to)) = (all().min(), all().max()) {
                order.learn(Kept { key, due, held, range: (from, to) });
            }
        }
        self.behind.retain(|_, behind| !behind.is_empty());
        Session { order, caught_up: None, hand: BTreeSet::new(), under_way: Vec::new() }
    }

    fn remove(&mut self, key: &Key, shelf: Shelf) {
        match shelf {
            Shelf::First => drop(self.first.remove(key)),
            Shelf::Next => {
                self.behind.get_mut(key).and_then(VecDeque::pop_front);
                self.behind.retain(|_, behind| !behind.is_empty());
            }
        }
    }

    /// The destination gets an event. It was not settled before, and nothing earlier of its key may be missing.
    fn deliver(&mut self, key: &Key, event: Event) {
        if self.settled.contains(&event) {
            self.faults.push(format!("{event} of {key} came again although it was settled"));
        }
        let taken = self.taken.entry(Arc::clone(key)).or_default();
        if let Some(later) = taken.iter().find(|taken| **taken > event) {
            self.faults.push(format!("{event} of {key} came after {later}"));
        }
        let missing = (1..event).find(|earlier| {
            key_of(*earlier, self.keys) == *key && !taken.contains(earlier) && !self.dead.contains(earlier)
        });
        if let Some(missing) = missing {
            self.faults.push(format!("{event} of {key} came before {missing}"));
        }
        taken.push(event);
    }
}

impl Session {
    /// Does one of the things that may happen next; `dice` says which.
    fn step(&mut self, world: &mut World, dice: u64) {
        match dice % 8 {
            0 | 1 => self.take(world, dice / 8),
            2 => {
                let complete = self.under_way.is_empty() && world.unsettled.len() == self.hand.len();
                if self.caught_up.is_none() && complete {
                    self.caught_up = Some(world.handed_out);
                }
            }
            3 => world.now += 1,
            _ => {
                if self.caught_up.is_some() {
                    self.order.wake(at(world.now));
                    while self.under_way.len() < 6
                        && let Some(action) = self.order.next(at(world.now))
                    {
                        self.start(world, action);
                    }
                    if dice.is_multiple_of(11) {
                        self.order.press(at(world.now), Duration::from_secs(1));
                    }
                }
                if !self.under_way.is_empty() {
                    let which = (dice / 8) as usize % self.under_way.len();
                    let step = self.under_way.swap_remove(which);
                    self.go_on(world, step, dice / 64);
                }
            }
        }
    }

    /// The consumer hands out something: what it had handed out before, in any order, or the next of the stream.
    fn take(&mut self, world: &mut World, dice: u64) {
        let again: Vec<Event> = world.unsettled.difference(&world.out).copied().collect();
        let event = match again.len() as u64 {
            // What was handed out before comes again when its time is up, and until then new ones do.
            waiting
                if (waiting == 0 || (dice / 29).is_multiple_of(3))
                    && world.next <= world.last
                    && (self.hand.len() < 40 || self.caught_up.is_none()) =>
            {
                world.next += 1;
                world.next - 1
            }
            0 => return,
            // Once it has caught up nothing else is handed out again; a copy of what is in hand may be, now and then.
            count => again[(dice % count) as usize],
        };
        world.unsettled.insert(event);
        world.handed_out += 1;
        if dice.is_multiple_of(29) {
            // It went to one that sleeps; it comes again when its acknowledgement is overdue.
            return;
        }
        world.out.insert(event);
        self.hand.insert(event);
        match self.caught_up {
            Some(last) if last + 1 == world.handed_out => self.caught_up = Some(last + 1),
            Some(_) => self.fall_behind(),
            None => {}
        }
        self.file(world, event);
        if dice.is_multiple_of(13) && self.hand.contains(&event) {
            self.file(world, event);
        }
    }

    fn fall_behind(&mut self) {
        self.caught_up = None;
        for step in std::mem::take(&mut self.under_way) {
            match step {
                Step::Send(key, event, _, shelf) => self.order.returned(&key, shelf.is_none().then_some(event)),
                step => self.under_way.push(step),
            }
        }
    }

    fn file(&mut self, world: &World, event: Event) {
        if let Arrived::Repeat(event) = self.order.arrived(key_of(event, world.keys), event, event) {
            self.under_way.push(Step::Repeat(event));
        }
    }

    fn start(&mut self, world: &World, action: Action<Event>) {
        let step = match action {
            Action::Send { key, sequence, item: _ } => Step::Send(key, sequence, 1, None),
            Action::Fetch { key, shelf: Shelf::First } => {
                let (event, due, attempt) = *world.first[&key].last().expect("a parked event is there");
                assert!(due <= at(world.now), "a retry before its time");
                Step::Send(key, event, attempt, Some(Shelf::First))
            }
            Action::Fetch { key, shelf: Shelf::Next } => {
                let event = *world.behind[&key].front().expect("a held event is there");
                Step::Send(key, event, 1, Some(Shelf::Next))
            }
            Action::Append { key, items } => {
                let events: VecDeque<Event> = items.into_iter().map(|(sequence, _)| sequence).collect();
                let (count, last) = (events.len() as u64, events.back().copied().unwrap_or(0));
                Step::Append(key, events, count, last, false)
            }
        };
        self.under_way.push(step);
    }

    /// One thing that can't be divided: a write, an acknowledgement, a request. A crash may come after each.
    fn go_on(&mut self, world: &mut World, step: Step, dice: u64) {
        match step {
            step @ Step::Send(..) if !(dice / 16).is_multiple_of(world.slow) => self.under_way.push(step),
            Step::Send(key, event, attempt, shelf) => self.under_way.push(match dice % 10 {
                0..=5 => {
                    world.deliver(&key, event);
                    Step::Settle(key, event, shelf)
                }
                6 => {
                    // It went out, but its answer was lost.
                    world.deliver(&key, event);
                    Step::Park(key, event, attempt, shelf)
                }
                7 => {
                    let in_hand = shelf.is_none().then_some(event);
                    return self.order.returned(&key, in_hand);
                }
                _ if attempt >= 3 => {
                    world.dead.insert(event);
                    Step::Settle(key, event, shelf)
                }
                _ => Step::Park(key, event, attempt, shelf),
            }),
            Step::Settle(key, event, shelf) => {
                self.acknowledge(world, &key, event, shelf);
                world.settled.insert(event);
                self.order.finished(&key);
            }
            Step::Park(key, event, attempt, shelf) => {
                let due = at(world.now + 1 + (dice % 20) as i64);
                if attempt >= 6 {
                    // Its budget is spent, whatever happened.
                    world.dead.insert(event);
                    return self.under_way.push(Step::Settle(key, event, shelf));
                }
                world.first.entry(Arc::clone(&key)).or_default().push((event, due, attempt + 1));
                self.under_way.push(Step::Acknowledge(key, event, due, shelf));
            }
            Step::Acknowledge(key, event, due, shelf) => {
                match shelf {
                    // Everything up to the one before goes, not the one that was just parked.
                    Some(Shelf::First) => drop(world.first.get_mut(&key).map(|all| all.drain(..all.len() - 1))),
                    shelf => self.acknowledge(world, &key, event, shelf),
                }
                self.order.parked(&key, event, due);
            }
            Step::Append(key, mut events, count, last, written) => {
                let Some(event) = events.front().copied() else { return self.order.appended(&key, count, last) };
                if written {
                    events.pop_front();
                    self.acknowledge(world, &key, event, None);
                } else {
                    world.behind.entry(Arc::clone(&key)).or_default().push_back(event);
                }
                self.under_way.push(Step::Append(key, events, count, last, !written));
            }
            Step::Repeat(event) => {
                let key = key_of(event, world.keys);
                self.acknowledge(world, &key, event, None);
            }
        }
    }

    fn acknowledge(&mut self, world: &mut World, key: &Key, event: Event, shelf: Option<Shelf>) {
        match shelf {
            Some(shelf) => world.remove(key, shelf),
            None => {
                world.unsettled.remove(&event);
                world.out.remove(&event);
                self.hand.remove(&event);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn no_key_is_ever_turned_round_nothing_is_lost_and_all_comes_to_an_end(
        keys in 1u64..6, events in 1u64..90, slow in 1u64..40, crash_every in 3u64..400, seed in any::<u64>(),
    ) {
        let mut world = World { keys, slow, last: events, next: 1, ..World::default() };
        let mut session = world.begin();
        let mut dice = seed | 1;
        let mut steps = 0u64;
        let done = |world: &World| {
            world.next > world.last && world.unsettled.is_empty() && world.first.is_empty() && world.behind.is_empty()
        };
        while !done(&world) {
            // A xorshift: the case says all of it with one number.
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            steps += 1;
            prop_assert!(steps < 1_000_000, "it does not come to an end");
            // Crashes become rare in the end, or nothing ever would.
            if (dice >> 20).is_multiple_of(crash_every + steps / 100) {
                session = world.begin();
            }
            session.step(&mut world, dice >> 8);
            prop_assert!(world.faults.is_empty(), "{:?}", world.faults);
        }
        for event in 1..=events {
            let key = key_of(event, keys);
            let taken = world.taken.get(&key).is_some_and(|taken| taken.contains(&event));
            prop_assert!(taken || world.dead.contains(&event), "{event} is lost");
        }
    }
}
