//! One request and what its answer means.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use ropeway_auth::http::Response;
use tokio::time::Instant;

use super::{
    Deliverer, Parcel,
    judge::judge,
    waits::{unsent, unusable},
};
use crate::{account::Account, map::Record, provider::Verdict};

impl Deliverer {
    /// Sends records in one request.
    pub(super) async fn exchange(
        &self,
        account: &Arc<Account>,
        parcels: &[Parcel<'_>],
        deadline: Duration,
    ) -> (Verdict, Option<Response>) {
        let records: Vec<&Record> = parcels.iter().map(|parcel| parcel.record).collect();
        self.secrets.ready(&self.vaulted).await;
        if let Some(integration) = &self.shadow_of {
            return (Box::pin(self.shadow(integration, &records)).await, None);
        }
        if let (Some(nats), [record]) = (&self.config.provider.nats, records.as_slice()) {
            return (Box::pin(self.publish(&nats.subject, record, deadline)).await, None);
        }
        let request = match self.request(&records) {
            Ok(request) => request,
            Err(outcome) => return (Verdict::plain(outcome), None),
        };
        let due = Instant::now() + deadline;
        if let Some(refused) = self.rehearse(account, &records, deadline).await {
            return (refused, None);
        }
        let deadline = due.saturating_duration_since(Instant::now());
        let answer = match self.prove_and_send(account, request, deadline).await {
            Ok(answer) => answer,
            Err(outcome) => return (Verdict::plain(outcome), None),
        };
        let now = Timestamp::now();
        let verdict = match answer {
            Ok(response) => {
                let vendor = self.vendor.as_deref();
                let verdict = judge(&self.config, vendor, &self.outcomes, &response, &records, now);
                return (verdict, Some(response));
            }
            Err(failure) => Verdict::plain(unsent(failure)),
        };
        (verdict, None)
    }

    /// Asks a vendor that can be asked whether it would take the records. Answers what becomes of them if it would not.
    async fn rehearse(&self, account: &Arc<Account>, records: &[&Record], deadline: Duration) -> Option<Verdict> {
        let vendor = self.vendor.as_ref()?;
        let request = match vendor.rehearsal(records) {
            Ok(request) => request?,
            Err(error) => return Some(Verdict::plain(unusable(error.to_string()))),
        };
        // It counts against the limit like any other.
        let permit = account.pace().permit(account).await;
        let answer = self.prove_and_send(account, request, deadline).await;
        drop(permit);
        match answer {
            Ok(Ok(response)) => vendor.rehearsed(&response, Timestamp::now()),
            Ok(Err(failure)) => Some(Verdict::plain(unsent(failure))),
            Err(outcome) => Some(Verdict::plain(outcome)),
        }
    }
}
