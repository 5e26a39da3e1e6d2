//! What the spec alone says.

use ropeway_crds::{
    Integration, IntegrationSpec,
    delivery::DeliveryPolicy,
    duration::{ByteSize, Duration},
    integration::{IntegrationDestination, State},
    names::LaneId,
    source::{Expose, RequestSource, Source, Verification, Webhook},
    worker_config::SourceConfig,
};

use super::{Address, Identity, ResolvedLane, ResolvedSource, values};

/// What can be said of an Integration without looking anything up: enough to take it apart, whatever is wrong with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outline {
    /// Who it is.
    pub identity: Identity,
    /// Where its events are.
    pub source: ResolvedSource,
    /// One for each destination.
    pub lanes: Vec<ResolvedLane>,
    /// The wished state.
    pub state: State,
    /// How long a dead letter is kept.
    pub retention: Duration,
}

/// The outline of an Integration, or `None` where it has not exactly one source.
pub fn outline(integration: &Integration, namespace_uid: &str) -> Option<Outline> {
    let spec = &integration.spec;
    let identity = Identity::of(integration, namespace_uid);
    let short = identity.short();
    let lane = |destination: &IntegrationDestination| ResolvedLane {
        lane: LaneId::new(&short, &destination.name),
        destination: destination.name.clone(),
        account: None,
        start_at: destination.start_at.unwrap_or_default(),
        timeout: DeliveryPolicy::resolve(destination.delivery.as_ref(), None).timeout,
        portion: 1,
    };
    Some(Outline {
        source: source(spec)?.0,
        lanes: spec.destinations.iter().map(lane).collect(),
        state: spec.state(),
        retention: retention(spec),
        identity,
    })
}

/// How long a dead letter is kept.
pub(super) fn retention(spec: &IntegrationSpec) -> Duration {
    let wished = spec.dead_letter.as_ref().and_then(|dead_letter| dead_letter.retention);
    wished.unwrap_or(Duration::from_secs(720 * 3600))
}

/// Where events are, and what workers are told about it.
pub(super) fn source(spec: &IntegrationSpec) -> Option<(ResolvedSource, SourceConfig)> {
    let Source { webhook, stream, poll, request, batch } = &spec.source;
    spec.source.pattern()?;
    if let Some(source) = stream {
        let subjects = source.subjects.iter().flatten().map(|subject| subject.0.clone()).collect();
        let beginning = source.beginning();
        let stream = source.stream.clone();
        let resolved = ResolvedSource::Stream { stream: stream.clone(), subjects, beginning };
        return Some((resolved, SourceConfig::Stream { stream }));
    }
    if let Some(poll) = poll {
        return Some((own_stream(spec, None), SourceConfig::Poll { poll: Box::new(poll.clone()) }));
    }
    if let Some(batch) = batch {
        return Some((own_stream(spec, None), SourceConfig::Batch(Box::new(batch.clone()))));
    }
    if let Some(request) = request {
        return Some(of_request(request.clone()));
    }
    let webhook = webhook.clone()?;
    let Webhook { path, verification, max_body_bytes, split, public_url, allowed_origins, tls, expose } = webhook;
    let signed_url = signed_url(&verification, public_url.as_ref(), expose.as_ref(), &path);
    let address = Address { path: path.clone(), public_url, expose };
    let config = SourceConfig::Webhook {
        path,
        verification,
        max_body_bytes: max_body_bytes.unwrap_or(values::largest_body()),
        split,
        public_url: signed_url,
        allowed_origins: allowed_origins.into_iter().flatten().map(|origin| origin.0).collect(),
        tls,
    };
    Some((own_stream(spec, Some(address)), config))
}

/// How long a caller waits where the Integration does not say.
const PATIENCE: Duration = Duration::from_secs(15);

/// A request has no queue; the stream that every lane reads stays empty.
fn of_request(request: RequestSource) -> (ResolvedSource, SourceConfig) {
    let RequestSource { path, verification, timeout, reply: _, max_body_bytes, public_url, tls, expose } = request;
    let signed_url = signed_url(&verification, public_url.as_ref(), expose.as_ref(), &path);
    let address = Address { path: path.clone(), public_url, expose };
    let config = SourceConfig::Request {
        path,
        verification,
        max_body_bytes: max_body_bytes.unwrap_or(values::largest_body()),
        public_url: signed_url,
        tls,
        timeout: timeout.unwrap_or(PATIENCE),
        reply: None,
    };
    (ResolvedSource::Events { max_bytes: ByteSize::mebibytes(1), replicas: 1, address: Some(address) }, config)
}

/// The address that senders call, as workers need it. The one that `expose` makes is told only where it is signed, so that
/// other workers are not started anew for a change of the host.
fn signed_url(
    verification: &Verification,
    public_url: Option<&String>,
    expose: Option<&Expose>,
    path: &str,
) -> Option<String> {
    let exposed = || expose.filter(|_| verification.signs_url()).and_then(|expose| expose.address(path));
    public_url.cloned().or_else(exposed)
}

/// A stream of the Integration's own.
fn own_stream(spec: &IntegrationSpec, address: Option<Address>) -> ResolvedSource {
    let storage = spec.storage.clone().unwrap_or_default();
    ResolvedSource::Events {
        max_bytes: storage.max_bytes.unwrap_or(ByteSize::mebibytes(128)),
        replicas: usize::try_from(storage.replicas.unwrap_or(1)).unwrap_or(1),
        address,
    }
}
