//! What every way in but a stream ends with: an item becomes an event with an id, and the event is stored.

use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use jiff::Timestamp;
use ropeway_crds::{
    condition::bounded,
    headers as h,
    names::{LaneId, SOURCE, ShortUid, hash},
    worker_config::{EventDefaults, MAX_EVENT_BYTES},
};
use ropeway_mapping::{Context, Data, EventAttributes, Input, IntegrationName, Limits, Program, run_key};

use crate::{
    cloud_event,
    decide::{DeadLetter, DeadLetterReason},
    decode::History,
    io::{
        jetstream::{Broker, BrokerError},
        publish::{Envelope, Owner, Stored},
    },
    provider::Failure,
};

/// How many events a server stores all or none (ADR-50). More of them are several such batches, in their order.
const MOST_TOGETHER: usize = 1_000;

/// Where one Integration's events are stored.
#[derive(Clone, Debug)]
pub struct Store {
    /// The Integration.
    pub uid: ShortUid,
    /// Its name and namespace.
    pub integration: IntegrationName,
    /// Attributes of events that carry none.
    pub defaults: EventDefaults,
    /// The expression for the id of events that carry none.
    pub id: Option<Program>,
    /// How long a dead letter is kept.
    pub retention: Duration,
    /// The connection.
    pub broker: Broker,
}

/// What is known of an item beside its data.
#[derive(Debug)]
pub struct Known<'a> {
    /// The sender's id of the event, equal for its repeats.
    pub id: Option<String>,
    /// Another id of the sender's, for where the Integration's expression gives none.
    pub other_id: Option<String>,
    /// The CloudEvents `source`, where it is not the Integration's default.
    pub source: Option<String>,
    /// What the body is.
    pub content_type: &'a str,
    /// Headers with further CloudEvents attributes (`ce-…`).
    pub attributes: Vec<(&'a str, &'a str)>,
    /// The trace that the event belongs to.
    pub trace_parent: Option<&'a str>,
    /// What is put behind an id that the Integration's expression makes: a row that was changed is another event.
    pub version: Option<&'a str>,
    /// What makes it another event although its id is known: it was read again because a person asked for that.
    pub reading: Option<&'a str>,
}

impl Default for Known<'_> {
    fn default() -> Self {
        Self {
            id: None,
            other_id: None,
            source: None,
            content_type: "application/json",
            attributes: Vec::new(),
            trace_parent: None,
            version: None,
            reading: None,
        }
    }
}

/// An event on its way into the stream.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Its id.
    pub id: String,
    /// What the stream knows its repeats by.
    pub message_id: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Incoming {
    /// Headers and body as they would be stored.
    pub fn parts(&self) -> (&HeaderMap, &Bytes) {
        (&self.headers, &self.body)
    }
}

impl Store {
    /// Makes an event of a body. `data` is the part of it that is mapped, where that is not the whole; `None` comes back
    /// where it is no JSON object.
    ///
    /// The id is the one that is known, else what the Integration's expression makes of the data, else the other one that is
    /// known, else a new one. Only a new one can't make the stream drop a repeat.
    pub fn incoming(&self, body: Bytes, data: Option<Bytes>, known: Known<'_>) -> Option<Incoming> {
        let Known { id, other_id, source, content_type, attributes, trace_parent, version, reading } = known;
        let mut headers = HeaderMap::new();
        headers.insert(h::CONTENT_TYPE, content_type);
        for (name, value) in attributes {
            headers.insert(name, value);
        }
        if let Some(trace) = trace_parent {
            headers.insert(h::TRACE_PARENT, trace);
        }
        let data = Data::parse(data.as_ref().unwrap_or(&body)).ok().filter(Data::is_object)?;
        let delivery = ulid::Ulid::generate().to_string();
        let computed = || {
            let id = self.computed_id(&data).filter(|id| !id.is_empty())?;
            Some(version.map_or(id.clone(), |version| format!("{id}@{version}")))
        };
        let given = id.or_else(computed).filter(|id| !id.is_empty());
        let stable = given.or(other_id).filter(|id| !id.is_empty());
        let id = stable.clone().unwrap_or_else(|| delivery.clone());
        let source = source.unwrap_or_else(|| self.defaults.source.clone());
        headers.insert("ce-id", cloud_event::encode_header(&id));
        headers.insert(h::DELIVERY, delivery.as_str());
        // The sender's own id makes its repeats known to the stream; one that we made is known to nobody else.
        let reading = reading.map(|reading| format!("\n{reading}")).unwrap_or_default();
        let message_id = stable.map_or(delivery, |id| hash(format!("{source}\n{id}{reading}").as_bytes(), 32));
        headers.insert(h::MESSAGE_ID, message_id.as_str());
        Some(Incoming { id, message_id, headers, body })
    }

    /// Stores events in their order and waits until all of them are safe.
    ///
    /// # Errors
    /// If any could not be stored; others may have been. To store them again does no harm where their ids are stable.
    pub async fn all(&self, events: Vec<Incoming>) -> Result<Vec<Stored>, BrokerError> {
        let events = events.into_iter().map(|event| (event.headers, event.body)).collect();
        self.broker.store_events(&self.uid, events).await
    }

    /// Stores the events of one request: all of them or none.
    ///
    /// # Errors
    /// If they could not be stored.
    pub async fn together(&self, events: Vec<Incoming>) -> Result<Vec<Stored>, BrokerError> {
        let mut stored = Vec::with_capacity(events.len());
        let mut events: Vec<(HeaderMap, Bytes)> = events.into_iter().map(|event| (event.headers, event.body)).collect();
        while !events.is_empty() {
            let rest = events.split_off(events.len().min(MOST_TOGETHER));
            stored.extend(self.broker.store_together(&self.uid, events).await?);
            events = rest;
        }
        Ok(stored)
    }

    /// Puts something that can be no event into the dead letters, where it can be looked at. `place` says where it stood
    /// in the source, so that it is there once however often it is read; `why` is in a sentence, without payload. What is
    /// larger than an event may be is cut.
    ///
    /// # Errors
    /// If it is not confirmed; the item must then be read again.
    pub async fn refuse(&self, item: Bytes, place: &str, why: &str, now: Timestamp) -> Result<(), BrokerError> {
        let most = usize::try_from(MAX_EVENT_BYTES).unwrap_or(usize::MAX);
        let body = item.slice(..item.len().min(most));
        let delivery = hash(&[place.as_bytes(), b"\n", &item].concat(), 26);
        let lane = LaneId::new(&self.uid, SOURCE);
        let integration = &self.integration.name;
        let owner = Owner { uid: &self.uid, integration, destination: SOURCE, lane: &lane };
        let mut headers = HeaderMap::new();
        headers.insert(h::PLACE, cloud_event::encode_header(&bounded(place)));
        let history = History { delivery, attempt: 1, resend: 0, first_failure: None, held: Duration::ZERO, parks: 0 };
        let envelope = Envelope { owner, headers: &headers, body, history: &history, rank: None };
        let failure = Failure::silent(format!("{place}: {why}"));
        let letter = DeadLetter { reason: DeadLetterReason::Refused, failure };
        self.broker.write_dead_letter(envelope, &letter, self.retention, now).await
    }

    /// The id that the Integration computes for events that carry none. An expression that fails gives none.
    fn computed_id(&self, data: &Data) -> Option<String> {
        let program = self.id.as_ref()?;
        let attributes = EventAttributes {
            source: self.defaults.source.clone(),
            r#type: self.defaults.r#type.clone(),
            ..EventAttributes::default()
        };
        let context = Context::new(&attributes, &self.integration);
        run_key(program, Input { data, context: &context }, &Limits::default()).ok()
    }
}
