//! What a batch source says that a schema can't judge.

use ropeway_crds::{
    condition::{ConditionType, Finding, Reason},
    schedule::Schedule,
    source::{BatchFile, BatchSource},
    worker_config::MAX_EVENT_BYTES,
};

use crate::integration::observe::{ClaimFact, Observed};

/// Checks the batch source, if it is one.
pub(super) fn check(observed: &Observed, findings: &mut Vec<Finding>) {
    let Some(batch) = &observed.integration.spec.source.batch else { return };
    let BatchSource { schedule, time_zone, from, max_row_bytes, .. } = batch;
    let mut refuse =
        |reason, message: String| findings.push(Finding::fails(ConditionType::SourceReady, reason, message));
    if let Err(error) = Schedule::parse(schedule, time_zone.as_deref()) {
        refuse(Reason::InvalidSpec, format!("spec.source.batch.{}: {error}", error.field()));
    }
    if max_row_bytes.is_some_and(|size| size.bytes() > MAX_EVENT_BYTES || size.bytes() == 0) {
        refuse(Reason::InvalidSpec, "spec.source.batch.maxRowBytes: give at most 256Ki".into());
    }
    if let (Some(BatchFile { claim_name, .. }), Some(ClaimFact::Missing)) = (&from.file, observed.claim) {
        let message = format!(
            "spec.source.batch.from.file.claimName: there is no PersistentVolumeClaim {claim_name:?} in this namespace; create it or correct the name"
        );
        refuse(Reason::ClaimNotFound, message);
    }
}
