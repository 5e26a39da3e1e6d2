//! What a scene's workers tell of the destination `crm`.

use super::{PATIENCE, Scene};
use crate::wait::until;

impl Scene {
    /// Waits until so many deliveries are counted; how many were retried, failed and rejected by then.
    ///
    /// # Panics
    /// When they are not.
    pub async fn counted(&self, delivered: u64) -> (u64, u64, u64) {
        let counted = until("all deliveries are counted", PATIENCE, async || {
            let observations = self.observe().await.map_err(|error| error.to_string())?;
            let counts = observations.figures.counts.get("crm").copied().unwrap_or_default();
            let others = (counts.retried, counts.failed, counts.rejected);
            if counts.delivered == delivered { Ok(others) } else { Err(format!("{counts:?}")) }
        });
        counted.await.expect("all are delivered")
    }

    /// Waits until the destination is left alone for this cause, with these words.
    ///
    /// # Panics
    /// When it is not.
    pub async fn held(&self, cause: &str, words: &str) {
        until(&format!("it is held: {words}"), PATIENCE, async || {
            let observed = self.observe().await.map_err(|error| error.to_string())?;
            let circuit = observed.shared.circuits.get("crm").ok_or("no circuit")?;
            let reason = circuit.reason.clone().unwrap_or_default();
            let told = circuit.cause.map(|cause| cause.as_str());
            if told == Some(cause) && reason.contains(words) { Ok(()) } else { Err(format!("{told:?}: {reason}")) }
        })
        .await
        .expect("it is told");
    }
}
