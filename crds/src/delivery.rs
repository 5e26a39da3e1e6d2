//! How patiently a destination is served: one deadline, the retry budget, and what its answers mean.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::Duration;

/// Deadline, retries and the meaning of answers. What an Integration leaves out comes from the Destination, and what
/// that leaves out from the defaults named at each field.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// One deadline over connecting, sending, and reading the whole answer. Default 15s, at most 2m.
    #[x_kube(validation = Rule::new("duration(self) > duration('0s') && duration(self) <= duration('2m')").message("timeout must be longer than 0s and at most 2m"))]
    pub timeout: Option<Duration>,
    /// When and how often a failed delivery is tried again.
    pub retry: Option<Retry>,
    /// What answers mean, before the provider's own table is asked. The first rule that matches decides.
    #[schemars(length(max = 32))]
    pub outcomes: Option<Vec<OutcomeRule>>,
}

/// The retry budget of one event at one destination. Whichever limit is reached first ends in the dead letters.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.backoffDelay) || !has(self.backoffMax) || duration(self.backoffDelay) <= duration(self.backoffMax)").message("backoffDelay must not be longer than backoffMax"))]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// Deliveries in all, the first one included. Default 8.
    #[schemars(range(min = 1, max = 100))]
    pub max_attempts: Option<i32>,
    /// Time from the first failure until no further attempt is made; time in which the destination was held does not
    /// count. Default 24h.
    pub max_elapsed: Option<Duration>,
    /// How the delay grows from attempt to attempt. Default Exponential.
    pub backoff_policy: Option<BackoffPolicy>,
    /// The first delay. Default 2s.
    pub backoff_delay: Option<Duration>,
    /// The longest delay. Default 10m.
    pub backoff_max: Option<Duration>,
    /// How much of a delay is random, in percent: 50 means between half of it and all of it. Default 50.
    #[schemars(range(min = 0, max = 100))]
    pub jitter_percent: Option<i32>,
    /// The longest wait that a destination may ask for by `Retry-After`. Default 1h.
    pub retry_after_max: Option<Duration>,
}

/// How the delay grows from attempt to attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BackoffPolicy {
    /// Twice as long each time.
    #[default]
    Exponential,
    /// Longer by `backoffDelay` each time.
    Linear,
}

/// One rule on what an answer means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeRule {
    /// A boolean VRL expression over `.status` (integer), `.headers` (object, lower-case names) and `.body` (JSON, or
    /// text where it is none).
    #[schemars(length(min = 1, max = 4096))]
    pub when: String,
    /// What such an answer means.
    pub then: OutcomeKind,
}

/// What an answer means for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OutcomeKind {
    /// Done.
    Deliver,
    /// Not now: try again within the budget.
    Retry,
    /// Refused for good: to the dead letters.
    Reject,
    /// The destination as a whole can't take anything now: wait without spending attempts.
    Hold,
}

/// A [`Delivery`] in which nothing is left open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeliveryPolicy {
    /// One deadline over connecting, sending, and reading the answer.
    pub timeout: Duration,
    /// Deliveries in all.
    pub max_attempts: u32,
    /// Time from the first failure until no further attempt is made.
    pub max_elapsed: Duration,
    /// How the delay grows.
    pub backoff_policy: BackoffPolicy,
    /// The first delay.
    pub backoff_delay: Duration,
    /// The longest delay.
    pub backoff_max: Duration,
    /// The random share of a delay, 0 to 100.
    pub jitter_percent: u32,
    /// The longest wait a destination may ask for.
    pub retry_after_max: Duration,
    /// What answers mean, first match first.
    pub outcomes: Vec<OutcomeRule>,
}

impl DeliveryPolicy {
    /// The Integration's wishes, then the Destination's, then the defaults. `outcomes` are taken whole from whoever gives any.
    pub fn resolve(integration: Option<&Delivery>, destination: Option<&Delivery>) -> Self {
        fn first<T: Clone>(layers: &[Option<&Delivery>], field: impl Fn(&Delivery) -> Option<T>) -> Option<T> {
            layers.iter().flatten().find_map(|layer| field(layer))
        }
        let layers = [integration, destination];
        let retry = |field: fn(&Retry) -> Option<Duration>, default: Duration| {
            first(&layers, |layer| layer.retry.as_ref().and_then(field)).unwrap_or(default)
        };
        let count = |field: fn(&Retry) -> Option<i32>, default: u32| {
            let value = first(&layers, |layer| layer.retry.as_ref().and_then(field));
            value.and_then(|value| u32::try_from(value).ok()).unwrap_or(default)
        };
        Self {
            timeout: first(&layers, |layer| layer.timeout).unwrap_or(Duration::from_secs(15)),
            max_attempts: count(|retry| retry.max_attempts, 8),
            max_elapsed: retry(|retry| retry.max_elapsed, Duration::from_secs(24 * 3600)),
            backoff_policy: first(&layers, |layer| layer.retry.as_ref().and_then(|retry| retry.backoff_policy))
                .unwrap_or_default(),
            backoff_delay: retry(|retry| retry.backoff_delay, Duration::from_secs(2)),
            backoff_max: retry(|retry| retry.backoff_max, Duration::from_secs(600)),
            jitter_percent: count(|retry| retry.jitter_percent, 50),
            retry_after_max: retry(|retry| retry.retry_after_max, Duration::from_secs(3600)),
            outcomes: first(&layers, |layer| layer.outcomes.clone()).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_integration_overrides_the_destination_field_by_field() {
        let integration =
            Delivery { retry: Some(Retry { max_attempts: Some(3), ..Retry::default() }), ..Delivery::default() };
        let destination = Delivery {
            timeout: Some(Duration::from_secs(5)),
            retry: Some(Retry { max_attempts: Some(20), jitter_percent: Some(0), ..Retry::default() }),
            ..Delivery::default()
        };
        let policy = DeliveryPolicy::resolve(Some(&integration), Some(&destination));
        assert_eq!((policy.max_attempts, policy.jitter_percent), (3, 0));
        assert_eq!(policy.timeout, Duration::from_secs(5));
        assert_eq!(policy.backoff_max, Duration::from_secs(600));
    }
}
