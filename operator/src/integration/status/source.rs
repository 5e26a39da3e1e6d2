//! What came in through the source.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use ropeway_crds::status::SourceStatus;

use crate::io::reports::Observations;

/// What is known of the source; what stands there already stays where nothing newer is known.
pub(super) fn status(observations: &Observations, earlier: Option<SourceStatus>) -> SourceStatus {
    let SourceStatus { last_received_time } = earlier.unwrap_or_default();
    let received = observations.figures.last_received.map(Time);
    SourceStatus { last_received_time: received.max(last_received_time) }
}
