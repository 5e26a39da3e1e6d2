//! Portions that are too large for one request: as a job where the vendor has such, and for what that leaves open in several
//! requests. While a job is waited for no permit is held; each of its requests has one.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Deliverer, Exchange, Manner, Parcel, Wanted, judge::sign, waits::unsent};
use crate::{
    account::{Account, Permit, breaker::Sign},
    fault::{self, Step},
    map::Record,
    provider::{
        Failure, Fate, Outcome, Verdict,
        large::{Job, Large, Need},
    },
};

/// How long a permit is waited for by the request that ends a job which nobody waits for.
const LEAVING: Duration = Duration::from_secs(5);

/// A job and who waits for it.
struct Waiting<'a> {
    account: &'a Arc<Account>,
    delivery: &'a str,
    manner: Manner<'a>,
    wanted: &'a Wanted,
}

impl Deliverer {
    pub(super) async fn send_large(
        &self,
        account: &Arc<Account>,
        parcels: &[Parcel<'_>],
        manner: Manner<'_>,
        permit: Permit,
        large: &dyn Large,
    ) -> Exchange {
        let records: Vec<&Record> = parcels.iter().map(|parcel| parcel.record).collect();
        let mut permit = Some(permit);
        let wanted = manner.wanted.filter(|_| self.shadow_of.is_none());
        let fates = match wanted.and_then(|wanted| Some((wanted, large.job(&records)?))) {
            None => vec![Fate::Again; records.len()],
            Some((wanted, mut job)) => {
                let delivery = parcels.first().map_or("", |parcel| parcel.delivery);
                let waiting = Waiting { account, delivery, manner, wanted };
                self.work(&waiting, &mut *job, &mut permit).await;
                self.told(job)
            }
        };
        let again: Vec<usize> = (0..fates.len()).filter(|index| fates[*index] == Fate::Again).collect();
        let rest: Vec<Parcel<'_>> = again.iter().map(|index| parcels[*index]).collect();
        let Exchange { outcomes: others, sign, too_large } =
            self.in_pieces(account, &rest, manner, permit, large).await;
        let mut others = others.into_iter();
        let outcomes = fates.into_iter().map(|fate| match fate {
            Fate::Known(outcome) => outcome,
            Fate::Again => others.next().unwrap_or_else(unasked),
        });
        Exchange { outcomes: outcomes.collect(), sign, too_large }
    }

    /// Sends records in as many requests as it takes, in their order.
    async fn in_pieces(
        &self,
        account: &Arc<Account>,
        parcels: &[Parcel<'_>],
        manner: Manner<'_>,
        mut permit: Option<Permit>,
        large: &dyn Large,
    ) -> Exchange {
        let mut all = Exchange { outcomes: Vec::new(), sign: Sign::Answered, too_large: None };
        while all.outcomes.len() < parcels.len() {
            let rest = &parcels[all.outcomes.len()..];
            let records: Vec<&Record> = rest.iter().map(|parcel| parcel.record).collect();
            let piece = &rest[..large.piece(&records).clamp(1, rest.len())];
            if !all.outcomes.is_empty() && manner.wanted.is_some_and(|wanted| !wanted.holds()) {
                all.outcomes.resize(parcels.len(), left());
                break;
            }
            let permit = match permit.take() {
                Some(permit) => permit,
                None => account.pace().permit(account).await,
            };
            // A piece is as large as a request may be; one that is too large all the same says nothing of portions.
            let Exchange { outcomes, sign, too_large: _ } = self.send_together(account, piece, manner, permit).await;
            let not_now =
                outcomes.iter().find(|outcome| matches!(outcome, Outcome::Retry { .. } | Outcome::Hold { .. }));
            let not_now = not_now.filter(|_| !matches!(sign, Sign::Answered | Sign::Forbidden { .. })).cloned();
            all.sign = sign;
            all.outcomes.extend(outcomes);
            if let Some(not_now) = not_now {
                // No use in asking about the others now either.
                all.outcomes.resize(parcels.len(), not_now);
            }
        }
        all
    }

    /// Does what a job needs until it needs nothing more.
    async fn work(&self, waiting: &Waiting<'_>, job: &mut dyn Job, permit: &mut Option<Permit>) {
        let mut end = Instant::now() + job.patience();
        let mut leaving = false;
        loop {
            let need = job.need();
            let ready = async {
                match &need {
                    Need::Nothing => None,
                    Need::Pause(pause) => {
                        drop(permit.take());
                        sleep(*pause).await;
                        None
                    }
                    Need::Answer(_) => Some(match permit.take() {
                        Some(permit) => permit,
                        None => waiting.account.pace().permit(waiting.account).await,
                    }),
                }
            };
            let ready = tokio::select! {
                biased;
                ready = ready => ready,
                () = waiting.wanted.ended(), if !leaving => {
                    (leaving, end) = (true, Instant::now() + LEAVING);
                    job.give_up(left());
                    continue;
                }
                () = sleep_until(end) => {
                    let outcome = late(job.patience());
                    if leaving {
                        job.unanswered(outcome);
                    } else {
                        (leaving, end) = (true, Instant::now() + LEAVING);
                        job.give_up(outcome);
                    }
                    continue;
                }
            };
            match (need, ready) {
                (Need::Nothing, _) => return,
                (Need::Answer(request), Some(permit)) => {
                    self.ask_for(waiting, job, *request).await;
                    drop(permit);
                }
                _ => job.rested(),
            }
        }
    }

    /// Sends what a job asks, and tells it what came back.
    async fn ask_for(&self, waiting: &Waiting<'_>, job: &mut dyn Job, request: ropeway_auth::http::Request) {
        let Waiting { account, delivery, manner, wanted: _ } = waiting;
        self.secrets.ready(&self.vaulted).await;
        fault::reached(Step::Sending);
        let sent = self.prove_and_send(account, request, self.config.delivery.timeout.std()).await;
        fault::reached(Step::Answered);
        let verdict = match sent.map(|answer| answer.map_err(unsent)) {
            Ok(Ok(response)) => job.answered(&response, Timestamp::now()),
            Ok(Err(outcome)) | Err(outcome) => {
                job.unanswered(outcome.clone());
                Verdict::plain(outcome)
            }
        };
        let sign = sign(&verdict.outcome, false, delivery);
        self.heed(account, &sign, &verdict.hint, *manner).await;
    }

    fn told(&self, job: Box<dyn Job>) -> Vec<Fate> {
        let fates = job.finish();
        let again = fates.iter().filter(|fate| **fate == Fate::Again).count();
        if again > 0 {
            let destination = &self.config.destination;
            tracing::warn!(%destination, records = again, "a job did not say what became of its records; they are sent in requests");
        }
        fates
    }
}

fn late(patience: Duration) -> Outcome {
    let message = format!("the job was not done within {}s, and was aborted", patience.as_secs());
    Outcome::Retry { after: None, limited: false, failure: Failure::silent(message) }
}

fn left() -> Outcome {
    Outcome::Left(Failure::silent("the lane stops; what it was working on was aborted"))
}

fn unasked() -> Outcome {
    Outcome::Unaccounted(Failure::silent("nothing was sent"))
}
