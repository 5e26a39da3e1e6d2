//! The door to JetStream. Every request goes through the JetStream API as it is, so that there is one kind of error with
//! one class; a missing stream, consumer, key or message is an answer and not an error.

use std::{collections::BTreeMap, error::Error, time::Duration};

use async_nats::{
    Client, HeaderMap,
    jetstream::{self, consumer, context::RequestErrorKind, response::Response, stream},
};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::fault;

mod batch;
mod error;
mod messages;
mod raw;

pub use batch::{Batch, Start};
pub use error::{NatsClass, NatsError};

/// `err_code`s of answers that say that something is not there.
const STREAM_NOT_FOUND: u64 = 10059;
const CONSUMER_NOT_FOUND: u64 = 10014;
const MESSAGE_NOT_FOUND: u64 = 10037;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// The body of a request that says nothing.
#[derive(Serialize)]
struct Nothing {}

/// What a write that depends on nobody having written before came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is stored.
    Stored,
    /// Somebody else was first.
    Outrun,
}

/// An entry of a KV bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Bytes,
    /// Its revision.
    pub revision: u64,
}

/// A message read from a stream without a consumer.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its subject.
    pub subject: String,
    /// Its sequence.
    pub sequence: u64,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// When it was stored.
    pub time: Timestamp,
}

/// A connection to the JetStream of one account.
#[derive(Clone)]
pub struct JetStream {
    client: Client,
    context: jetstream::Context,
}

impl JetStream {
    /// A door that uses this connection.
    pub fn new(client: Client) -> Self {
        let mut context = jetstream::new(client.clone());
        context.set_timeout(DEADLINE);
        Self { client, context }
    }

    /// A stream as it is.
    ///
    /// # Errors
    /// See [`NatsError`]; a missing stream is none.
    pub async fn stream(&self, name: &str) -> Result<Option<stream::Info>, NatsError> {
        let call = format!("look at stream {name}");
        found(self.request(call, format!("STREAM.INFO.{name}"), &Nothing {}).await, &[STREAM_NOT_FOUND])
    }

    /// How many messages a stream holds on each subject that the filter matches.
    ///
    /// # Errors
    /// See [`NatsError`]; of a missing stream there are none.
    pub async fn subjects(&self, name: &str, filter: &str) -> Result<BTreeMap<String, u64>, NatsError> {
        #[derive(Deserialize)]
        struct Answer {
            state: State,
            #[serde(default)]
            total: usize,
        }
        #[derive(Deserialize)]
        struct State {
            subjects: Option<BTreeMap<String, u64>>,
        }
        let mut all = BTreeMap::new();
        loop {
            let call = format!("count the messages of stream {name}");
            let page = json!({ "subjects_filter": filter, "offset": all.len() });
            let answer: Option<Answer> =
                found(self.request(call, format!("STREAM.INFO.{name}"), &page).await, &[STREAM_NOT_FOUND])?;
            let Some(answer) = answer else { return Ok(all) };
            let before = all.len();
            all.extend(answer.state.subjects.into_iter().flatten());
            if all.len() >= answer.total || all.len() == before {
                return Ok(all);
            }
        }
    }

    /// Makes a stream. One that is there already with just this configuration is a success.
    ///
    /// # Errors
    /// See [`NatsError`].
    pub async fn create_stream(&self, config: &stream::Config) -> Result<stream::Info, NatsError> {
        let name = &config.name;
        let call = format!("create stream {name}");
        fault::write("create stream", self.request(call, format!("STREAM.CREATE.{name}"), config)).await
    }

    /// Changes a stream.
    ///
    /// # Errors
    /// See [`NatsError`].
    pub async fn update_stream(&self, config: &stream::Config) -> Result<stream::Info, NatsError> {
        let name = &config.name;
        let call = format!("update stream {name}");
        fault::write("update stream", self.request(call, format!("STREAM.UPDATE.{name}"), config)).await
    }

    /// Removes a stream.
    ///
    /// # Errors
    /// See [`NatsError`]; a missing stream is none.
    pub async fn delete_stream(&self, name: &str) -> Result<(), NatsError> {
        let call = format!("delete stream {name}");
        let request = self.request::<Value>(call, format!("STREAM.DELETE.{name}"), &Nothing {});
        found(fault::write("delete stream", request).await, &[STREAM_NOT_FOUND]).map(drop)
    }

    /// Removes the messages on subjects that the filter matches. Answers how many there were.
    ///
    /// # Errors
    /// See [`NatsError`]; a missing stream is none.
    pub async fn purge(&self, name: &str, filter: &str) -> Result<u64, NatsError> {
        #[derive(Deserialize)]
        struct Answer {
            purged: u64,
        }
        let call = format!("purge {filter} of stream {name}");
        let body = json!({ "filter": filter });
        let request = self.request::<Answer>(call, format!("STREAM.PURGE.{name}"), &body);
        let answer = found(fault::write("purge", request).await, &[STREAM_NOT_FOUND])?;
        Ok(answer.map_or(0, |answer| answer.purged))
    }

    /// A consumer as it is.
    ///
    /// # Errors
    /// See [`NatsError`]; a missing consumer or stream is none.
    pub async fn consumer(&self, stream: &str, name: &str) -> Result<Option<consumer::Info>, NatsError> {
        let call = format!("look at consumer {name} of stream {stream}");
        let request = self.request(call, format!("CONSUMER.INFO.{stream}.{name}"), &Nothing {}).await;
        found(request, &[CONSUMER_NOT_FOUND, STREAM_NOT_FOUND])
    }

    /// Makes a consumer, or changes it.
    ///
    /// # Errors
    /// See [`NatsError`].
    pub async fn put_consumer(&self, stream: &str, config: &consumer::Config) -> Result<consumer::Info, NatsError> {
        let name = config.durable_name.clone().unwrap_or_default();
        let call = format!("create consumer {name} of stream {stream}");
        let body = json!({ "stream_name": stream, "config": config });
        fault::write("put consumer", self.request(call, format!("CONSUMER.CREATE.{stream}.{name}"), &body)).await
    }

    /// Removes a consumer.
    ///
    /// # Errors
    /// See [`NatsError`]; a missing consumer or stream is none.
    pub async fn delete_consumer(&self, stream: &str, name: &str) -> Result<(), NatsError> {
        let call = format!("delete consumer {name} of stream {stream}");
        let request = self.request::<Value>(call, format!("CONSUMER.DELETE.{stream}.{name}"), &Nothing {});
        found(fault::write("delete consumer", request).await, &[CONSUMER_NOT_FOUND, STREAM_NOT_FOUND]).map(drop)
    }

    async fn request<T: DeserializeOwned>(
        &self,
        call: String,
        subject: String,
        body: &impl Serialize,
    ) -> Result<T, NatsError> {
        match self.context.request::<_, _, Response<T>>(subject, body).await {
            Ok(Response::Ok(answer)) => Ok(answer),
            Ok(Response::Err { error }) => {
                let code = error.error_code().0;
                Err(NatsError::Refused { call, code, description: error.to_string() })
            }
            Err(error) if error.kind() == RequestErrorKind::NoResponders => {
                Err(unanswered(call, std::io::Error::other("JetStream is not enabled on this server or account")))
            }
            Err(error) => Err(unanswered(call, error)),
        }
    }
}

fn unanswered(call: String, source: impl Error + Send + Sync + 'static) -> NatsError {
    NatsError::Unanswered { call, source: Box::new(source) }
}

fn found<T>(answer: Result<T, NatsError>, missing: &[u64]) -> Result<Option<T>, NatsError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(NatsError::Refused { code, .. }) if missing.contains(&code) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The stream behind a KV bucket (ADR-8).
pub fn bucket_stream(bucket: &str) -> String {
    format!("KV_{bucket}")
}

/// The subject of a key, or of a pattern of keys, of a KV bucket (ADR-8).
pub fn bucket_subject(bucket: &str, key: &str) -> String {
    format!("$KV.{bucket}.{key}")
}
