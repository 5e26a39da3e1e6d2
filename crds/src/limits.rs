//! What an account can bear: when it is left alone, how fast and in what portions it is served.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    duration::{ByteSize, Duration},
    provider::Capacity,
};

/// When a destination that fails is left alone. One state for all workers of all Integrations that send there.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CircuitBreaker {
    /// Failures in a row that open the circuit. Default 5.
    #[schemars(range(min = 1, max = 1000))]
    pub failure_threshold: Option<i32>,
    /// Share of failures within `window`, in percent, that opens it. Default 50.
    #[schemars(range(min = 1, max = 100))]
    pub failure_percent: Option<i32>,
    /// Requests within `window` below which `failurePercent` says nothing. Default 20.
    #[schemars(range(min = 1, max = 100000))]
    pub minimum_requests: Option<i32>,
    /// The time over which the share is taken. Default 1m.
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('1h')").message("window must be at least 1s and at most 1h"))]
    pub window: Option<Duration>,
    /// How long nothing is sent until one request tries whether the destination answers again. Default 60s.
    #[x_kube(validation = Rule::new("duration(self) >= duration('100ms') && duration(self) <= duration('1h')").message("openDuration must be at least 100ms and at most 1h"))]
    pub open_duration: Option<Duration>,
    /// Requests in a row that must succeed, one at a time, until the circuit closes. Default 1.
    #[schemars(range(min = 1, max = 100))]
    pub half_open_requests: Option<i32>,
}

/// How fast a destination may be served, over all workers of all Integrations that send there.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.requests) == has(self.per)").message("give requests and per together"), validation = Rule::new("!has(self.burst) || has(self.requests)").message("burst needs requests and per"))]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    /// Requests within `per`. Without it there is no limit but the one that the destination's own answers set.
    #[schemars(range(min = 1, max = 1000000))]
    pub requests: Option<i32>,
    /// The time that `requests` counts for, such as 1s or 1m.
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('24h')").message("per must be at least 1s and at most 24h"))]
    pub per: Option<Duration>,
    /// Requests that may follow each other at once after a pause. Default 1: they are spread evenly.
    #[schemars(range(min = 1, max = 100000))]
    pub burst: Option<i32>,
    /// Requests under way at a time, over all workers. Without it each worker has at most 64 under way.
    #[schemars(range(min = 1, max = 10000))]
    pub max_concurrency: Option<i32>,
    /// Whether `Retry-After` and the headers of a rate limit (`RateLimit-Remaining`, `X-RateLimit-Reset`, …) slow
    /// deliveries down. Default true.
    pub honor_response_headers: Option<bool>,
}

/// How records are put together into one request. Whichever limit is reached first sends it.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Batching {
    /// Records in one request. Default 100, or as the provider says.
    #[schemars(range(min = 1, max = 10000))]
    pub max_items: Option<i32>,
    /// Bytes of the body as it is sent. Default 1Mi.
    pub max_bytes: Option<ByteSize>,
    /// How long the first record of a batch waits for others. Default 1s.
    #[x_kube(validation = Rule::new("duration(self) <= duration('1m')").message("maxWait must be at most 1m"))]
    pub max_wait: Option<Duration>,
}

/// How a destination can tell a repeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Idempotency {
    /// The header with the key: the same for every attempt at one event, for a sender's repeats and for dead letters that
    /// are sent again; different between destinations. Only where one request is one record. Default Idempotency-Key.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[-_a-zA-Z0-9]+$"))]
    pub header: String,
}

/// A [`CircuitBreaker`] in which nothing is left open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BreakerPolicy {
    /// Failures in a row that open the circuit.
    pub failure_threshold: u32,
    /// Share of failures within the window, in percent, that opens it.
    pub failure_percent: u32,
    /// Requests within the window below which the share says nothing.
    pub minimum_requests: u32,
    /// The time over which the share is taken.
    pub window: Duration,
    /// How long nothing is sent until a probe.
    pub open_duration: Duration,
    /// Probes in a row that must succeed.
    pub half_open_requests: u32,
}

/// A [`RateLimit`] in which nothing is left open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RatePolicy {
    /// The limit, if there is one.
    pub limit: Option<Rate>,
    /// Requests under way at a time, over all workers; without it each worker has a bound of its own.
    pub max_concurrency: Option<u32>,
    /// Whether answers slow deliveries down.
    pub honor_response_headers: bool,
}

/// So many requests in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rate {
    /// Requests.
    pub requests: u32,
    /// Within this time.
    pub per: Duration,
    /// Requests that may follow each other at once.
    pub burst: u32,
}

/// A [`Batching`] in which nothing is left open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BatchPolicy {
    /// Records in one request.
    pub max_items: u32,
    /// Bytes of the body.
    pub max_bytes: ByteSize,
    /// How long the first record waits.
    pub max_wait: Duration,
}

impl BatchPolicy {
    /// One record is one request.
    pub const ONE: Self =
        Self { max_items: 1, max_bytes: ByteSize::from_bytes(u64::MAX >> 1), max_wait: Duration::from_secs(0) };

    /// The user's wishes within what the destination takes.
    pub fn resolve(batching: &Batching, capacity: Capacity) -> Self {
        let most = ByteSize::from_bytes(capacity.bytes);
        // What we say of a vendor's bytes is a limit; of any HTTP API nothing is known.
        let bytes = |wished: ByteSize| if capacity.is_known { wished.min(most) } else { wished };
        Self {
            max_items: number(batching.max_items, capacity.items).min(capacity.most_items),
            max_bytes: batching.max_bytes.map_or(most, bytes),
            max_wait: batching.max_wait.unwrap_or(Duration::from_secs(1)),
        }
    }
}

impl BreakerPolicy {
    /// The user's wishes and the defaults.
    pub fn resolve(breaker: Option<&CircuitBreaker>) -> Self {
        let given = breaker.cloned().unwrap_or_default();
        Self {
            failure_threshold: number(given.failure_threshold, 5),
            failure_percent: number(given.failure_percent, 50),
            minimum_requests: number(given.minimum_requests, 20),
            window: given.window.unwrap_or(Duration::from_secs(60)),
            open_duration: given.open_duration.unwrap_or(Duration::from_secs(60)),
            half_open_requests: number(given.half_open_requests, 1),
        }
    }
}

impl RatePolicy {
    /// The user's wishes and the defaults.
    pub fn resolve(rate: Option<&RateLimit>) -> Self {
        let given = rate.cloned().unwrap_or_default();
        let limit = given.requests.zip(given.per).map(|(requests, per)| Rate {
            requests: number(Some(requests), 1),
            per,
            burst: number(given.burst, 1),
        });
        Self {
            limit,
            max_concurrency: given.max_concurrency.and_then(|count| u32::try_from(count).ok()),
            honor_response_headers: given.honor_response_headers.unwrap_or(true),
        }
    }
}

fn number(value: Option<i32>, default: u32) -> u32 {
    value.and_then(|value| u32::try_from(value).ok()).unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_is_the_default_and_no_limit_is_no_limit() {
        assert_eq!(RatePolicy::resolve(None).limit, None);
        let given = RateLimit { requests: Some(100), per: Some(Duration::from_secs(10)), ..RateLimit::default() };
        let policy = RatePolicy::resolve(Some(&given));
        assert_eq!(policy.limit.map(|limit| (limit.requests, limit.burst)), Some((100, 1)));
        assert_eq!((policy.max_concurrency, policy.honor_response_headers), (None, true));
        let any = Capacity { items: 100, most_items: 5_000, bytes: 1 << 20, is_known: false };
        let seven = Batching { max_items: Some(7), max_bytes: Some(ByteSize::mebibytes(2)), ..Batching::default() };
        let policy = |batching: &Batching, capacity| {
            let batch = BatchPolicy::resolve(batching, capacity);
            (batch.max_items, batch.max_bytes.bytes())
        };
        assert_eq!(policy(&seven, any), (7, 2 << 20));
        assert_eq!(policy(&Batching::default(), any), (100, 1 << 20));
        assert_eq!(policy(&seven, Capacity { is_known: true, most_items: 5, ..any }), (5, 1 << 20));
    }
}
