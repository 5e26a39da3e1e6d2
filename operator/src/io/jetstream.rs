//! The door to JetStream. Every request goes through the JetStream API as it is, so that there is one kind of error with
//! one class; a missing stream, consumer, key or message is an answer and not an error.

use std::{collections::BTreeMap, error::Error, time::Duration};

use async_nats::{
    Client, HeaderMap,
    jetstream::{
        self, Message,
        consumer::{self, pull},
        context::{PublishErrorKind, RequestErrorKind},
        response::Response,
        stream,
    },
};
use bytes::Bytes;
use futures::StreamExt;
use jiff::Timestamp;
use ropeway_crds::headers;
use ropeway_nats::{ConnectError, LastValueError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::fault;

mod raw;

/// `err_code`s of answers that say that something is not there.
const STREAM_NOT_FOUND: u64 = 10059;
const CONSUMER_NOT_FOUND: u64 = 10014;
const MESSAGE_NOT_FOUND: u64 = 10037;
/// The cluster can't answer just now.
const CLUSTER_NOT_AVAILABLE: u64 = 10008;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// The body of a request that says nothing.
#[derive(Serialize)]
struct Nothing {}

/// What a failed request means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatsClass {
    /// NATS or JetStream can't be reached; trying again may help.
    Unavailable,
    /// The credentials or an entry of the Secret are wrong.
    Unauthorized,
    /// JetStream answered with an error.
    Refused,
}

/// A request to NATS failed.
#[derive(Debug, thiserror::Error)]
pub enum NatsError {
    /// There is no connection.
    #[error(transparent)]
    Connect(ConnectError),
    /// There was no answer that makes sense.
    #[error("failed to {call}")]
    Unanswered {
        /// What was tried.
        call: String,
        /// What went wrong.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// JetStream answered with an error.
    #[error("failed to {call}: {description}")]
    Refused {
        /// What was tried.
        call: String,
        /// The server's `err_code`.
        code: u64,
        /// The server's words, with its codes.
        description: String,
    },
}

impl NatsError {
    /// What it means.
    pub fn class(&self) -> NatsClass {
        match self {
            Self::Connect(ConnectError::Unreachable { .. }) | Self::Unanswered { .. } => NatsClass::Unavailable,
            Self::Connect(ConnectError::Unauthorized { .. } | ConnectError::Entry { .. }) => NatsClass::Unauthorized,
            Self::Refused { code: CLUSTER_NOT_AVAILABLE, .. } => NatsClass::Unavailable,
            Self::Refused { .. } => NatsClass::Refused,
        }
    }
}

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

    /// At most `most` messages that a consumer has for us now.
    ///
    /// # Errors
    /// See [`NatsError`].
    pub async fn take(&self, stream: &str, name: &str, most: usize) -> Result<Vec<Message>, NatsError> {
        let call = || format!("read consumer {name} of stream {stream}");
        let consumer: jetstream::consumer::Consumer<pull::Config> =
            self.context.get_consumer_from_stream(name, stream).await.map_err(|error| unanswered(call(), error))?;
        let batch = consumer.fetch().max_messages(most).messages().await;
        let mut batch = batch.map_err(|error| unanswered(call(), error))?;
        let mut messages = Vec::new();
        while let Some(message) = batch.next().await {
            messages.push(message.map_err(|source| NatsError::Unanswered { call: call(), source })?);
        }
        Ok(messages)
    }

    /// Ends a message's life and waits for the confirmation.
    ///
    /// # Errors
    /// See [`NatsError`]; the message then comes again.
    pub async fn acknowledge(&self, message: &Message) -> Result<(), NatsError> {
        let call = "acknowledge a message".to_owned();
        let acknowledged = fault::write("acknowledge", message.double_ack()).await;
        acknowledged.map_err(|source| NatsError::Unanswered { call, source })
    }

    /// The first message at or after a sequence whose subject the filter matches.
    ///
    /// # Errors
    /// See [`NatsError`]; no such message is none.
    pub async fn next_message(&self, stream: &str, filter: &str, from: u64) -> Result<Option<Stored>, NatsError> {
        self.message(stream, &json!({ "seq": from, "next_by_subj": filter })).await
    }

    /// The last message whose subject the filter matches.
    ///
    /// # Errors
    /// See [`NatsError`]; no such message is none.
    pub async fn last_message(&self, stream: &str, filter: &str) -> Result<Option<Stored>, NatsError> {
        self.message(stream, &json!({ "last_by_subj": filter })).await
    }

    async fn message(&self, stream: &str, which: &Value) -> Result<Option<Stored>, NatsError> {
        #[derive(Deserialize)]
        struct Answer {
            message: raw::Raw,
        }
        let call = format!("read a message of stream {stream}");
        let request = self.request::<Answer>(call, format!("STREAM.MSG.GET.{stream}"), which).await;
        Ok(found(request, &[MESSAGE_NOT_FOUND, STREAM_NOT_FOUND])?.and_then(|answer| answer.message.stored()))
    }

    /// Removes one message by its sequence.
    ///
    /// # Errors
    /// See [`NatsError`]; a missing message is none.
    pub async fn delete_message(&self, stream: &str, sequence: u64) -> Result<(), NatsError> {
        let call = format!("delete message {sequence} of stream {stream}");
        let body = json!({ "seq": sequence });
        let request = self.request::<Value>(call, format!("STREAM.MSG.DELETE.{stream}"), &body);
        // 10057: the message was there a moment ago.
        found(fault::write("delete message", request).await, &[MESSAGE_NOT_FOUND, STREAM_NOT_FOUND, 10057]).map(drop)
    }

    /// Publishes and waits for the confirmation.
    ///
    /// # Errors
    /// See [`NatsError`]; an expectation in the headers that does not hold is none.
    pub async fn publish(&self, subject: String, headers: HeaderMap, body: Bytes) -> Result<Written, NatsError> {
        let call = format!("publish on {subject}");
        let published =
            fault::write("publish", async { self.context.publish_with_headers(subject, headers, body).await?.await });
        match published.await {
            Ok(_) => Ok(Written::Stored),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(Written::Outrun),
            Err(error) => Err(unanswered(call, error)),
        }
    }

    /// An entry of a KV bucket.
    ///
    /// # Errors
    /// See [`NatsError`]; a missing entry or bucket is none.
    pub async fn entry(&self, bucket: &str, key: &str) -> Result<Option<Entry>, NatsError> {
        let stored = self.last_message(&bucket_stream(bucket), &bucket_subject(bucket, key)).await?;
        Ok(stored
            .filter(|stored| stored.headers.get("KV-Operation").is_none())
            .map(|stored| Entry { value: stored.body, revision: stored.sequence }))
    }

    /// Writes an entry of a KV bucket. With `expected`, only if that is still its revision; 0 stands for "not there".
    ///
    /// # Errors
    /// See [`NatsError`].
    pub async fn put_entry(
        &self,
        bucket: &str,
        key: &str,
        value: &impl Serialize,
        expected: Option<u64>,
    ) -> Result<Written, NatsError> {
        let body = serde_json::to_vec(value).map_err(|error| unanswered(format!("write the key {key}"), error))?;
        let mut headers = HeaderMap::new();
        if let Some(revision) = expected {
            headers.insert(headers::EXPECTED_LAST_SUBJECT_SEQUENCE, revision.to_string());
        }
        self.publish(bucket_subject(bucket, key), headers, body.into()).await
    }

    /// Removes the entries of a KV bucket that match.
    ///
    /// # Errors
    /// See [`NatsError`]; a missing entry or bucket is none.
    pub async fn purge_entries(&self, bucket: &str, keys: &str) -> Result<(), NatsError> {
        self.purge(&bucket_stream(bucket), &bucket_subject(bucket, keys)).await.map(drop)
    }

    /// The last value of each subject that the filter matches.
    ///
    /// # Errors
    /// See [`NatsError`]; of a missing stream there are none.
    pub async fn last_values(&self, stream: &str, filter: &str) -> Result<Vec<(String, Bytes)>, NatsError> {
        match ropeway_nats::last_values(&self.client, stream, filter).await {
            Ok(values) => Ok(values.into_iter().map(|(subject, body)| (subject.to_string(), body)).collect()),
            Err(LastValueError::Refused { status: 404 | 503, .. }) => Ok(Vec::new()),
            Err(error) => Err(unanswered(format!("read the last values of stream {stream}"), error)),
        }
    }

    /// How many messages a stream holds whose subjects the filter matches. Costs one message, however many there are:
    /// a direct get (ADR-31) says how many remain behind the first.
    ///
    /// # Errors
    /// See [`NatsError`]; in a missing stream there are none.
    pub async fn count(&self, stream: &str, filter: &str) -> Result<u64, NatsError> {
        let call = || format!("count {filter} in stream {stream}");
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.map_err(|error| unanswered(call(), error))?;
        let request = json!({ "next_by_subj": filter, "seq": 1, "batch": 1 }).to_string();
        let subject = format!("$JS.API.DIRECT.GET.{stream}");
        let sent = self.client.publish_with_reply(subject, inbox, request.into()).await;
        sent.map_err(|error| unanswered(call(), error))?;
        let answer = tokio::time::timeout(DEADLINE, answers.next()).await;
        let Ok(Some(message)) = answer else {
            return Err(unanswered(call(), std::io::Error::from(std::io::ErrorKind::TimedOut)));
        };
        match message.status.map(|status| status.as_u16()) {
            // 404: nothing matches; 503: nobody listens, so there is no such stream.
            Some(204 | 404 | 503) => Ok(0),
            Some(status) if status >= 300 => {
                Err(unanswered(call(), std::io::Error::other(format!("the server answered {status}"))))
            }
            _ => {
                let remaining = message.headers.as_ref().and_then(|headers| headers.get("Nats-Num-Pending"));
                Ok(1 + remaining.and_then(|count| count.as_str().parse::<u64>().ok()).unwrap_or(0))
            }
        }
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
