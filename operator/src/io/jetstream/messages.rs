//! Messages: read, counted, published, removed; and the entries of a KV bucket, which are messages too.

use async_nats::{
    HeaderMap,
    jetstream::{self, Message, consumer::pull, context::PublishErrorKind},
};
use bytes::Bytes;
use futures::StreamExt;
use jiff::Timestamp;
use ropeway_crds::headers;
use ropeway_nats::LastValueError;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Entry, JetStream, MESSAGE_NOT_FOUND, NatsError, STREAM_NOT_FOUND, Stored, Written, bucket_stream, bucket_subject,
    found, raw, unanswered,
};
use crate::fault;

impl JetStream {
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

    /// The first message that was stored at a time or later.
    ///
    /// # Errors
    /// See [`NatsError`]; no such message is none.
    pub async fn first_message_since(&self, stream: &str, time: Timestamp) -> Result<Option<Stored>, NatsError> {
        self.message(stream, &json!({ "start_time": time, "next_by_subj": ">" })).await
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

    /// Removes one message by its sequence. It is not overwritten on disk: measured, that costs 10 ms a message, and neither
    /// a purge nor the end of its retention does it.
    ///
    /// # Errors
    /// See [`NatsError`]; a missing message is none.
    pub async fn delete_message(&self, stream: &str, sequence: u64) -> Result<(), NatsError> {
        let call = format!("delete message {sequence} of stream {stream}");
        let body = json!({ "seq": sequence, "no_erase": true });
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
        self.last_values_of(stream, &[filter.to_owned()]).await
    }

    /// The last value of each subject that one of the filters matches.
    ///
    /// # Errors
    /// As [`JetStream::last_values`].
    pub async fn last_values_of(&self, stream: &str, filters: &[String]) -> Result<Vec<(String, Bytes)>, NatsError> {
        match ropeway_nats::last_values(&self.client, stream, filters).await {
            Ok(values) => Ok(values.into_iter().map(|(subject, body)| (subject.to_string(), body)).collect()),
            Err(LastValueError::Refused { status: 404 | 503, .. }) => Ok(Vec::new()),
            Err(error) => Err(unanswered(format!("read the last values of stream {stream}"), error)),
        }
    }
}
