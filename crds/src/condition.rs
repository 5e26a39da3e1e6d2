//! Condition types and reasons. Each reason is something a person can act on; `docs/reasons.md` explains them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The longest message of a condition, in characters.
const LONGEST_MESSAGE: usize = 256;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$word_doc])* $word),+ }

        impl $name {
            /// Every value, in the order in which documentation lists them.
            pub const ALL: &'static [Self] = &[$(Self::$word),+];

            /// The word as it stands in the object.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$word => stringify!($word)),+ }
            }
        }
    };
}

words! {
    /// The type of a condition.
    ConditionType {
        /// The control plane: valid, resolved, streams as wanted, workers alive and bound, at the current generation.
        Ready,
        /// The data plane: deliveries succeed and dead letters don't grow.
        Healthy,
        /// The source's stream is there and as wanted.
        SourceReady,
        /// Every expression compiles and every test passes.
        MappingValid,
        /// Every destination, Secret and ConfigMap that is named is there.
        DestinationsResolved,
        /// As many workers as wished have reported in, with this configuration.
        WorkersAvailable,
        /// The destination accepts our credentials.
        CredentialsValid,
        /// The Destination is served.
        CircuitClosed,
        /// A lane is held, because most of its recent events would have become dead letters for one reason. Only present when
        /// true.
        DeliveryHeld,
        /// Events have the shape that `spec.schema` asks for. Only present where one is given.
        EventsConform,
        /// Work is under way. Only present when true.
        Reconciling,
        /// Nothing will change until somebody changes something. Only present when true.
        Stalled,
    }
}

words! {
    /// The reason of a condition.
    Reason {
        /// All is as the spec says.
        Ready,
        /// Nobody has looked yet.
        Pending,
        /// Everything that was tried lately succeeded, or nothing was tried.
        Delivering,
        /// Too many attempts fail: see `status.delivery.lastError`.
        DeliveryFailing,
        /// Events are becoming dead letters.
        DeadLettersGrowing,
        /// The destination refuses our credentials.
        CredentialsRefused,
        /// No access token can be had: its server does not answer, or fails.
        TokenUnavailable,
        /// A secret of Azure Key Vault is missing, disabled or not ours to read, or the vault does not know our identity.
        KeyVaultRefused,
        /// Azure Key Vault can't be asked just now.
        KeyVaultUnavailable,
        /// An identity of Azure is named that workers may not use.
        IdentityNotAllowed,
        /// A person must consent, or the refresh token is refused.
        ConsentNeeded,
        /// Credentials are accepted, or were not refused yet.
        CredentialsAccepted,
        /// A probe has shown that credentials are accepted.
        CredentialsProven,
        /// The Destination fails and is left alone; one request at a time tries whether it answers again.
        CircuitOpen,
        /// A person holds the Destination's circuit open.
        HeldByHand,
        /// The Destination answers 403 or 410 to whatever is sent.
        DestinationGone,
        /// The Destination's address is not one that deliveries may go to.
        AddressRefused,
        /// The Destination can't be used as it is configured.
        ConfigurationUnusable,
        /// An outcome rule holds the Destination.
        HeldByRule,
        /// The vendor says that what the account may send in a day is used up.
        QuotaExhausted,
        /// The Destination is served.
        CircuitClosed,
        /// Most recent events of a lane would have become dead letters for one reason.
        DeliveryHeld,
        /// A dead letter or a retry can't be written; the originals stay.
        DeadLettersRefused,
        /// An expression does not compile or yields the wrong type.
        MappingInvalid,
        /// A test in the resource fails.
        MappingTestFailed,
        /// All expressions compile and all tests pass.
        MappingCompiled,
        /// A named Destination does not exist.
        DestinationNotFound,
        /// A named Secret does not exist.
        SecretNotFound,
        /// A Secret lacks the named key.
        SecretKeyNotFound,
        /// A Secret does not carry the label by which it may be used.
        SecretNotAllowed,
        /// A named ConfigMap does not exist or lacks the named key.
        ConfigMapNotFound,
        /// A named PersistentVolumeClaim does not exist.
        ClaimNotFound,
        /// Everything that is named is there.
        Resolved,
        /// A field holds something that can't work.
        InvalidSpec,
        /// The service account does not allow its use by workers.
        ServiceAccountNotAllowed,
        /// The named stream does not exist.
        StreamNotFound,
        /// The user's stream ends before what was read of it: it lost its tail or was put back. What it stores next is not read
        /// until it has passed that place.
        StreamRegressed,
        /// The stream is there and as wanted.
        StreamReady,
        /// Events can't be stored: the stream is full or out of reach.
        StoreFailed,
        /// The polled API does not answer, or with errors that pass.
        PollFailing,
        /// The polled API refuses the request.
        PollRefused,
        /// The polled API's answer can't be read.
        PollUnreadable,
        /// The pages of the polled API don't end, or lead elsewhere.
        PollPagination,
        /// The last run of a batch source failed, or its reader is gone.
        BatchFailing,
        /// NATS can't be reached.
        NatsUnavailable,
        /// NATS refuses our credentials or a permission is missing.
        NatsUnauthorized,
        /// JetStream refused a stream or consumer.
        StreamRefused,
        /// The API server refused a write for lack of a permission.
        Forbidden,
        /// The cluster lacks the kind of an object that `expose` asks for.
        KindNotFound,
        /// The API server or a webhook of it refuses the Ingress or HTTPRoute that `expose` asks for.
        ExposeRefused,
        /// A Gateway does not take the HTTPRoute that `expose` asks for, or can't lead it to the Service.
        GatewayRefused,
        /// Workers have not all reported in yet.
        WorkersStarting,
        /// Fewer workers report in than wished.
        WorkersMissing,
        /// All wished workers report in.
        WorkersReporting,
        /// The number of workers is set to zero.
        ScaledToZero,
        /// The Integration is paused.
        Paused,
        /// The Integration is stopped.
        Stopped,
        /// The wished state has not reached every worker yet.
        StateChanging,
        /// What is left is being delivered before the object goes.
        Draining,
        /// The object is being deleted.
        Deleting,
        /// The keys of the issuer of senders' tokens can't be fetched.
        IssuerUnavailable,
        /// Events do not match `spec.schema`.
        SchemaViolated,
        /// Events match `spec.schema`.
        SchemaMatched,
        /// An unexpected error; the message says which call failed.
        Failed,
    }
}

/// What a stage found out about one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which condition.
    pub kind: ConditionType,
    /// True, False, or Unknown.
    pub status: Option<bool>,
    /// Why, in one word.
    pub reason: Reason,
    /// Why, in one sentence with the field and the remedy.
    pub message: String,
}

impl Finding {
    /// A condition that holds.
    pub fn holds(kind: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self { kind, status: Some(true), reason, message: message.into() }
    }

    /// A condition that does not hold.
    pub fn fails(kind: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self { kind, status: Some(false), reason, message: message.into() }
    }

    /// A condition of which nothing is known.
    pub fn unknown(kind: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self { kind, status: None, reason, message: message.into() }
    }
}

/// Cuts a text to what a condition's message may hold, on a character boundary.
pub fn bounded(message: &str) -> String {
    if message.chars().count() <= LONGEST_MESSAGE {
        return message.to_owned();
    }
    message.chars().take(LONGEST_MESSAGE - 1).chain(['…']).collect()
}

/// The conditions that follow from the findings. The transition time of a condition whose status did not change is kept.
///
/// Every finding gives exactly one condition; conditions that nobody reports any more go.
pub fn conditions(findings: &[Finding], previous: &[Condition], generation: i64, now: Timestamp) -> Vec<Condition> {
    let condition = |finding: &Finding| {
        let status = match finding.status {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        let kind = finding.kind.as_str();
        let before = previous.iter().find(|before| before.type_ == kind && before.status == status);
        Condition {
            last_transition_time: before.map_or(Time(now), |before| before.last_transition_time.clone()),
            message: bounded(&finding.message),
            observed_generation: Some(generation),
            reason: finding.reason.as_str().to_owned(),
            status: status.to_owned(),
            type_: kind.to_owned(),
        }
    };
    findings.iter().map(condition).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let (first, second) = (Timestamp::from_second(1_000).unwrap(), Timestamp::from_second(2_000).unwrap());
        let ready = |reason| [Finding::fails(ConditionType::Ready, reason, "m")];
        let before = conditions(&ready(Reason::NatsUnavailable), &[], 1, first);
        let same = conditions(&ready(Reason::StreamNotFound), &before, 2, second);
        assert_eq!(same[0].last_transition_time, Time(first));
        assert_eq!((same[0].observed_generation, same[0].reason.as_str()), (Some(2), "StreamNotFound"));
        let flipped = conditions(&[Finding::holds(ConditionType::Ready, Reason::Ready, "")], &same, 2, second);
        assert_eq!(flipped[0].last_transition_time, Time(second));
    }

    #[test]
    fn messages_are_cut_on_a_character_boundary() {
        let cut = bounded(&"é".repeat(400));
        assert_eq!(cut.chars().count(), 256);
        assert!(cut.ends_with('…'));
    }
}
