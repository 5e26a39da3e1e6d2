//! Where events come from: the union of sources, one file for each.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

mod batch;
mod event;
mod expose;
mod hmac;
mod poll;
mod preset;
mod request;
mod stream;
mod token;
mod verification;
mod webhook;

pub use batch::{
    AzureKeys, BatchFile, BatchFormat, BatchFrom, BatchHttp, BatchObjectStore, BatchSource, ColumnName, Compression,
    Csv, CsvHeader, GcsKeys, JsonArray, Ndjson, ObjectStoreKeys, OnUnchanged, S3Keys,
};
pub use event::EventAttributes;
pub use expose::{AnnotationValue, Expose, ExposeHttpRoute, ExposeIngress, ExposeTls, Hostname, ParentGateway};
pub use hmac::{Hmac, HmacAlgorithm, SecretEncoding, SignatureEncoding, SignatureTimestamp, SignedPart, TimestampUnit};
pub use poll::{
    Cursor, LastItemPages, LinkPages, NextUrlPages, NumberedPages, OffsetPages, Pagination, Poll, PollMethod,
    PollRequest, QueryParameter, TokenPages,
};
pub use preset::{
    HubSpotVerification, HubSpotVersion, SendGridVerification, SignedBody, SignedBodyAndTime, StandardWebhooks,
};
pub use request::RequestSource;
pub use stream::{Beginning, StartTime, StreamSource, StreamStart, Subject};
pub use token::{
    ApiKeyPlace, ApiKeyVerification, BasicVerification, BearerVerification, CertificateFormat, CertificateProxy,
    JwtAlgorithm, JwtVerification, MtlsVerification, ShortText,
};
pub use verification::Verification;
pub use webhook::{Webhook, WebhookTls};

/// Where events come from: exactly one source.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.webhook), has(self.stream), has(self.poll), has(self.request), has(self.batch)].filter(given, given).size() == 1").message("give exactly one of webhook, stream, poll, request and batch"))]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Events are sent to us over HTTP. They are stored before the sender gets its 2xx.
    pub webhook: Option<Webhook>,
    /// Events are read from a JetStream stream of yours, which is never changed.
    pub stream: Option<StreamSource>,
    /// An API is asked for what is new, on a schedule.
    pub poll: Option<Poll>,
    /// Callers get the destination's answer. One destination, no queue.
    pub request: Option<RequestSource>,
    /// Whole files are read on a schedule, row by row.
    pub batch: Option<BatchSource>,
}

/// The five ways in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// A sender pushes events over HTTP.
    Webhook,
    /// Events are in a stream of the user's.
    Stream,
    /// An API is asked on a schedule.
    Poll,
    /// Callers wait for the destination's answer.
    Request,
    /// Files are read on a schedule.
    Batch,
}

impl Pattern {
    /// As the column PATTERN shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "Webhook",
            Self::Stream => "Stream",
            Self::Poll => "Poll",
            Self::Request => "Request",
            Self::Batch => "Batch",
        }
    }
}

impl Source {
    /// Which way in it is; none where not exactly one is given.
    pub fn pattern(&self) -> Option<Pattern> {
        let Self { webhook, stream, poll, request, batch } = self;
        let given = [
            webhook.as_ref().map(|_| Pattern::Webhook),
            stream.as_ref().map(|_| Pattern::Stream),
            poll.as_ref().map(|_| Pattern::Poll),
            request.as_ref().map(|_| Pattern::Request),
            batch.as_ref().map(|_| Pattern::Batch),
        ];
        let mut given = given.into_iter().flatten();
        given.next().filter(|_| given.next().is_none())
    }
}
