//! A lane that is held from now on, since most of its recent events would have become dead letters for one reason.

use jiff::Timestamp;
use ropeway_crds::{account::LaneHold, condition::bounded, names::hold_key};

use super::{Lane, probe};
use crate::{account::shared::learn_hold, io::account::Versioned};

impl Lane {
    /// The lane is held from now on, in all workers.
    pub(super) async fn begin_hold(&self, reason: &str, message: &str) {
        let now = Timestamp::now();
        let revision = self.hold.borrow().revision;
        let hold = LaneHold {
            reason: reason.to_owned(),
            message: bounded(message),
            since: now,
            next_probe: now + probe::HOLD_PAUSE,
            config: self.fingerprint.clone(),
        };
        let key = hold_key(&self.id);
        self.guard().clear();
        tracing::warn!(lane = %self.id, reason, "most recent events would become dead letters; the lane is held");
        match self.broker.hold(&key, &hold, revision).await {
            Ok(Some(revision)) => {
                learn_hold(&self.hold, Versioned { value: Some(hold), revision });
            }
            Ok(None) => {
                if let Ok(read) = self.broker.shared(&key).await {
                    learn_hold(&self.hold, read);
                }
            }
            // This worker holds it all the same.
            Err(_) => self.hold.send_modify(|known| known.value = Some(hold)),
        }
    }
}
