//! The last message of every subject that a filter matches, in one request (ADR-31 `multi_last`).

use std::time::Duration;

use async_nats::{Client, Message, Subject};
use bytes::Bytes;
use futures::StreamExt;
use serde_json::json;

/// Above this number of subjects the server answers 413; measured.
const MOST_SUBJECTS: usize = 1_000;

/// The last messages could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LastValueError {
    /// The request could not be sent.
    #[error("failed to ask stream {stream} for its last values")]
    Request {
        /// The stream.
        stream: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server answered with an error.
    #[error("stream {stream} answered {status} to a request for its last values")]
    Refused {
        /// The stream.
        stream: String,
        /// The status of the answer.
        status: u16,
    },
    /// The answer did not end in time.
    #[error("stream {stream} did not answer a request for its last values in time")]
    TimedOut {
        /// The stream.
        stream: String,
    },
}

/// Subject and body of the last message of every subject that one of the `filters` matches, at most a thousand.
///
/// # Errors
/// See [`LastValueError`]. Filters that match nothing give an empty list.
pub async fn last_values(
    client: &Client,
    stream: &str,
    filters: &[String],
) -> Result<Vec<(Subject, Bytes)>, LastValueError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| LastValueError::Request {
        stream: stream.to_owned(),
        source,
    };
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.map_err(|error| failed(error.into()))?;
    let request = json!({ "multi_last": filters, "batch": MOST_SUBJECTS }).to_string();
    client
        .publish_with_reply(format!("$JS.API.DIRECT.GET.{stream}"), inbox, request.into())
        .await
        .map_err(|error| failed(error.into()))?;
    let mut values = Vec::new();
    loop {
        let answer = tokio::time::timeout(Duration::from_secs(5), answers.next()).await;
        let Ok(Some(message)) = answer else { return Err(LastValueError::TimedOut { stream: stream.to_owned() }) };
        match message.status.map(|status| status.as_u16()) {
            // 204 ends the batch, 404 says that there is nothing.
            Some(204 | 404) => return Ok(values),
            Some(status) if status >= 300 => return Err(LastValueError::Refused { stream: stream.to_owned(), status }),
            _ => values.extend(subject_of(&message).map(|subject| (subject, message.payload.clone()))),
        }
    }
}

fn subject_of(message: &Message) -> Option<Subject> {
    let headers = message.headers.as_ref()?;
    headers.get("Nats-Subject").map(|subject| Subject::from(subject.as_str()))
}
