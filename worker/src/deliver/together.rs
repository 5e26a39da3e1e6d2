//! Records that go in one request, and the search for the culprit where they are refused together.

use std::{sync::Arc, time::Duration};

use ropeway_auth::http::Response;
use ropeway_crds::account::Cause;

use super::{
    Answered, Deliverer, Exchange, Manner, Parcel,
    judge::{sign, telling},
    search::{Reply, Search},
};
use crate::{
    account::{Account, Permit, breaker::Sign},
    fault::{self, Step},
    lane::Trial,
    provider::{Fate, Outcome, Verdict, hint::Hint},
};

impl Deliverer {
    /// Sends records in one request. Where they are refused together, more requests follow, each with a permit of its own.
    pub(super) async fn send_together(
        &self,
        account: &Arc<Account>,
        parcels: &[Parcel<'_>],
        manner: Manner<'_>,
        permit: Permit,
    ) -> Exchange {
        let answered = self.send(account, parcels, manner).await;
        drop(permit);
        match &answered {
            // Not one alone is refused, so it has to be found out which; or it was said which, and the rest is sent again.
            Answered { outcome: Outcome::Rejected(_), each, .. } if parcels.len() > 1 && each.is_empty() => {
                Box::pin(self.search(account, parcels, manner, answered)).await
            }
            Answered { each, .. } if each.contains(&Fate::Again) => {
                Box::pin(self.search(account, parcels, manner, answered)).await
            }
            _ => {
                let Answered { outcome, each, sign } = answered;
                let known = each.into_iter().filter_map(|fate| match fate {
                    Fate::Known(outcome) => Some(outcome),
                    Fate::Again => None,
                });
                let mut outcomes: Vec<Outcome> = known.collect();
                outcomes.resize(parcels.len(), outcome);
                Exchange { outcomes, sign, too_large: None }
            }
        }
    }

    /// Finds out which of several records are refused, beginning with what came back for all of them.
    async fn search(
        &self,
        account: &Arc<Account>,
        parcels: &[Parcel<'_>],
        manner: Manner<'_>,
        first: Answered,
    ) -> Exchange {
        let mut search = Search::new(parcels.len());
        let mut exchange = Exchange { outcomes: Vec::new(), sign: first.sign.clone(), too_large: None };
        let mut known = Some(first);
        while let Some(sending) = search.send_next() {
            let portion: Vec<Parcel<'_>> = sending.iter().map(|index| parcels[*index]).collect();
            let answered = match known.take() {
                Some(answered) => answered,
                None => {
                    let permit = account.pace().permit(account).await;
                    let answered = self.send(account, &portion, manner).await;
                    drop(permit);
                    exchange.sign = answered.sign.clone();
                    answered
                }
            };
            let reply = match answered.outcome {
                _ if !answered.each.is_empty() => Reply::Told(answered.each),
                Outcome::Rejected(failure) if failure.code == Some(413) => {
                    let weight: usize = portion.iter().map(|parcel| parcel.record.weight).sum();
                    // One that is too large alone says nothing about the others.
                    exchange.too_large = if portion.len() > 1 { Some(weight / 2) } else { None };
                    Reply::TooLarge(failure)
                }
                Outcome::Rejected(failure) => Reply::Refused(failure),
                outcome => Reply::Each(vec![outcome; portion.len()]),
            };
            search.answered(reply);
        }
        exchange.outcomes = search.finish();
        exchange
    }

    /// One request, and what came back.
    async fn send(&self, account: &Arc<Account>, parcels: &[Parcel<'_>], manner: Manner<'_>) -> Answered {
        let deadline = self.config.delivery.timeout.std();
        self.send_within(account, parcels, manner, deadline).await.0
    }

    pub(super) async fn send_within(
        &self,
        account: &Arc<Account>,
        parcels: &[Parcel<'_>],
        manner: Manner<'_>,
        deadline: Duration,
    ) -> (Answered, Option<Response>) {
        fault::reached(Step::Sending);
        let (verdict, response) = self.exchange(account, parcels, deadline).await;
        fault::reached(Step::Answered);
        let Verdict { outcome, hint, by_rule, each } = verdict;
        let delivery = parcels.first().map_or("", |parcel| parcel.delivery);
        let sign = sign(telling(&outcome, &each), by_rule, delivery);
        let tripped = self.heed(account, &sign, &hint, manner).await;
        let outcome = match (outcome, &sign) {
            // The one that shows that all are forbidden is not to suffer for it.
            (Outcome::Rejected(failure), Sign::Forbidden { .. }) if tripped => {
                Outcome::Hold { cause: Cause::Gone, failure }
            }
            (outcome, _) => outcome,
        };
        (Answered { outcome, each, sign }, response)
    }

    /// Takes to heart what an answer shows of the destination. Answers whether that opened the circuit.
    pub(super) async fn heed(&self, account: &Arc<Account>, sign: &Sign, hint: &Hint, manner: Manner<'_>) -> bool {
        if account.pace().honors_headers() {
            let limited = *sign == Sign::Limited;
            let most = self.config.delivery.retry_after_max.std();
            let pause = hint.pause(limited).map(|pause| pause.min(most));
            if pause.is_some() || limited {
                Box::pin(account.pace().slow_down(pause, limited)).await;
            }
        }
        // A trial's result is told by whoever makes it.
        let noted = manner.trial != Trial::Circuit && self.shadow_of.is_none();
        noted && account.note(sign, manner.retry).await
    }
}
