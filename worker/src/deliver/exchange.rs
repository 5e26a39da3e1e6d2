//! One request and what its answer means.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use ropeway_auth::http::Response;
use tokio::time::Instant;

use super::{
    Deliverer, Parcel,
    judge::judge,
    prove::Answer,
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
        let deadline = match self.rehearse(account, &records, deadline).await {
            Ok(left) => left,
            Err(refused) => return (refused, None),
        };
        let answer = match self.prove_and_send(account, request, deadline).await {
            Ok(answer) => self.with_rotated_values(account, answer, &records, deadline).await,
            Err(outcome) => Err(outcome),
        };
        let now = Timestamp::now();
        let answer = match answer {
            Ok(answer) => answer,
            Err(outcome) => return (Verdict::plain(outcome), None),
        };
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

    /// Where a request holds values out of Key Vault beside our credentials, a 401 may mean that they were rotated: they are
    /// read again, and the request is made anew if one has changed. It counts against the limit like any other.
    async fn with_rotated_values(
        &self,
        account: &Arc<Account>,
        answer: Answer,
        records: &[&Record],
        deadline: Duration,
    ) -> Result<Answer, Outcome> {
        let refused = answer.as_ref().is_ok_and(|response| response.status == 401);
        if !refused || self.vaulted.is_empty() || !self.secrets.renew(&self.vaulted).await {
            return Ok(answer);
        }
        let request = self.request(records)?;
        account.pace().again().await;
        self.prove_and_send(account, request, deadline).await
    }

    /// Asks a vendor that can be asked whether it would take the records. Answers how much of the deadline is left, or what
    /// becomes of the records if it would not.
    async fn rehearse(
        &self,
        account: &Arc<Account>,
        records: &[&Record],
        deadline: Duration,
    ) -> Result<Duration, Verdict> {
        let Some(vendor) = &self.vendor else { return Ok(deadline) };
        let made = vendor.rehearsal(records).map_err(|error| Verdict::plain(unusable(error.to_string())))?;
        let Some(request) = made else { return Ok(deadline) };
        let begun = Instant::now();
        let answer = self.prove_and_send(account, request, deadline).await.map_err(Verdict::plain)?;
        let response = answer.map_err(|failure| Verdict::plain(unsent(failure)))?;
        let left = deadline.saturating_sub(begun.elapsed());
        if let Some(refused) = vendor.rehearsed(&response, Timestamp::now()) {
            return Err(refused);
        }
        // The request itself counts against the limit like any other.
        account.pace().again().await;
        Ok(left)
    }
}
