//! One request and what its answer means.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use ropeway_auth::http::Response;

use super::{
    Deliverer, Parcel,
    judge::judge,
    waits::{unsent, unusable},
};
use crate::{
    account::Account,
    map::Record,
    provider::{Outcome, Verdict},
};

impl Deliverer {
    /// Sends records in one request.
    pub(super) async fn exchange(
        &self,
        account: &Arc<Account>,
        parcels: &[Parcel<'_>],
        deadline: Duration,
    ) -> (Verdict, Option<Response>) {
        let records: Vec<&Record> = parcels.iter().map(|parcel| parcel.record).collect();
        if let Some(integration) = &self.shadow_of {
            return (Box::pin(self.shadow(integration, &records)).await, None);
        }
        if let (Some(nats), [record]) = (&self.config.provider.nats, records.as_slice()) {
            return (Box::pin(self.publish(&nats.subject, record, deadline)).await, None);
        }
        self.secrets.ready(&self.vaulted).await;
        let request = match self.request(&records) {
            Ok(request) => request,
            Err(outcome) => return (Verdict::plain(outcome), None),
        };
        if let Some(refused) = self.rehearse(account, &records, deadline).await {
            return (Verdict::plain(refused), None);
        }
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
    async fn rehearse(&self, account: &Arc<Account>, records: &[&Record], deadline: Duration) -> Option<Outcome> {
        let vendor = self.vendor.as_ref()?;
        let request = match vendor.rehearsal(records) {
            Ok(request) => request?,
            Err(error) => return Some(unusable(error.to_string())),
        };
        match self.prove_and_send(account, request, deadline).await {
            Ok(Ok(response)) => vendor.rehearsed(&response),
            Ok(Err(failure)) => Some(unsent(failure)),
            Err(outcome) => Some(outcome),
        }
    }
}
