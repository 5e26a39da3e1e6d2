//! Sends events to a webhook as a sending system would: one request a line, signed, repeated while the answer is 429 or 503.

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use reqwest::{Client, StatusCode};

mod sign;

pub use sign::{Proof, Signer};
use sign::{Signed, sign};

/// Events could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The file can't be read.
    #[error("failed to read {path}")]
    Read {
        /// Its path.
        path: String,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// The signing secret is none.
    #[error("the signing secret is not base 64 after whsec_")]
    Secret,
    /// Lever's proof stands in the event.
    #[error("an event is not a JSON object, so Lever's signature has no place in it")]
    NotAnObject,
    /// The request failed.
    #[error("failed to send line {line}")]
    Request {
        /// The line, from 1.
        line: usize,
        /// What went wrong.
        #[source]
        source: reqwest::Error,
    },
    /// The webhook refused an event.
    #[error("line {line} was refused with {status}: {answer}")]
    Refused {
        /// The line, from 1.
        line: usize,
        /// The status.
        status: StatusCode,
        /// What it said.
        answer: String,
    },
}

/// What became of the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Requests that got a 2xx.
    pub accepted: usize,
    /// Of these, the ones that the webhook knew already.
    pub known: usize,
    /// Requests that had to be repeated.
    pub repeated: usize,
}

/// Reads the events of a file: one JSON document a line.
///
/// # Errors
/// If the file can't be read.
pub fn read(path: &Path) -> Result<Vec<String>, SendError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| SendError::Read { path: path.display().to_string(), source })?;
    Ok(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect())
}

/// Sends one event a request, in order. Each has an id of its own, so a line that stands twice is sent as two.
///
/// # Errors
/// See [`SendError`].
pub async fn send(client: &Client, url: &str, proof: &Proof, events: &[String]) -> Result<Sent, SendError> {
    let mut sent = Sent::default();
    for (line, event) in (1..).zip(events) {
        let id = format!("msg_{}", ulid::Ulid::generate());
        loop {
            let Signed { headers, body } = sign(proof, url, &id, event, Timestamp::now())?;
            let request = client.post(url).header("content-type", "application/json").body(body);
            let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
            let answer = request.send().await.map_err(|source| SendError::Request { line, source })?;
            let status = answer.status();
            if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
                sent.repeated += 1;
                tokio::time::sleep(wait(&answer)).await;
                continue;
            }
            let text = answer.text().await.unwrap_or_default();
            if !status.is_success() {
                return Err(SendError::Refused { line, status, answer: text });
            }
            sent.accepted += 1;
            sent.known += usize::from(text.contains("\"duplicate\":true"));
            break;
        }
    }
    Ok(sent)
}

/// What the webhook asks for, at most five seconds.
fn wait(answer: &reqwest::Response) -> Duration {
    let asked = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(asked.unwrap_or(1).min(5))
}
