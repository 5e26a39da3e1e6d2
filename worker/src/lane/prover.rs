//! Proves a Destination's credentials now and then. Whoever moves the next time in the shared record makes the probe that is
//! due, so one worker does, however many there are. What it shows opens and closes the Destination's circuit.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use ropeway_crds::{
    account::{Cause, CircuitRecord, CircuitState},
    condition::bounded,
    integration::State,
    names::proof_key,
    proof::{CredentialsProbe, ProofRecord, Shown, Verdict},
};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use super::Lane;
use crate::account::breaker::Sign;

/// The longest pause between two looks at the record, and the shortest one.
const LOOK: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_secs(1);

/// Refused credentials are tried again this soon: a rotated Secret is in use within 30 seconds.
const REFUSED: Duration = Duration::from_secs(15);

/// What was unclear is asked again this soon.
const UNCLEAR: Duration = Duration::from_secs(60);

/// What a probe may do, by the state of the circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    /// It is one request among others.
    Plain,
    /// It is the trial that may close the circuit.
    Trial,
    /// The destination is left alone for another reason.
    Not,
}

impl Lane {
    /// Proves the credentials until it is told to stop.
    pub(crate) async fn prove(
        self: Arc<Self>,
        probe: CredentialsProbe,
        state: watch::Receiver<Option<State>>,
        stop: CancellationToken,
    ) {
        loop {
            let runs = *state.borrow() == Some(State::Running);
            let pause = if runs { self.prove_if_due(&probe).await } else { SOON };
            if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Makes the probe if it is due and nobody else makes it. Answers when to look again.
    async fn prove_if_due(&self, probe: &CredentialsProbe) -> Duration {
        let key = proof_key(&self.config.account);
        let (Ok(()), Ok(read)) = (self.account.look().await, self.broker.shared::<ProofRecord>(&key).await) else {
            return LOOK;
        };
        let now = Timestamp::now();
        let wait = wait(read.value.as_ref(), probe, now);
        if !wait.is_zero() {
            return wait.min(LOOK);
        }
        let patience = self.config.delivery.timeout.std() * 2 + LOOK;
        let shown = read.value.and_then(|record| record.shown);
        let claim = ProofRecord { next: plus(now, patience), shown: shown.clone() };
        let Ok(Some(revision)) = self.broker.share(&key, &claim, read.revision).await else { return SOON };
        let (pause, made) = self.make(probe).await;
        let time = Timestamp::now();
        let made = made.map(|(verdict, message)| Shown { time, verdict, message: bounded(&message) });
        let record = ProofRecord { next: plus(time, pause), shown: made.or(shown) };
        // If that is lost, the claim runs out and another probe is made.
        let _ = self.broker.share(&key, &record, revision).await;
        pause.min(LOOK)
    }

    /// Makes a probe, and says what follows for the circuit. Answers the pause until the next one.
    async fn make(&self, probe: &CredentialsProbe) -> (Duration, Option<(Verdict, String)>) {
        let holder = format!("probe-{}", self.id);
        let circuit = self.account.circuit_changes().borrow().value.clone();
        let leave = leave(circuit.as_ref());
        let may = match leave {
            Leave::Plain => true,
            Leave::Trial => self.account.take_probe(&holder, self.config.delivery.timeout.std()).await,
            Leave::Not => false,
        };
        if !may {
            return (LOOK, None);
        }
        let permit = self.account.pace().permit(&self.account).await;
        let (verdict, message) = self.deliverer.probe(&self.account, probe).await;
        drop(permit);
        let sign = match verdict {
            Verdict::Accepted => Some(Sign::Answered),
            Verdict::Refused => Some(Sign::Blocked(Cause::Credentials, message.clone())),
            Verdict::Unclear => None,
        };
        match (leave, &sign) {
            (Leave::Trial, sign) => self.account.probed(&holder, sign.as_ref()).await,
            (_, Some(Sign::Blocked(..))) => {
                self.account.note(sign.as_ref().unwrap_or(&Sign::Answered), false).await;
            }
            _ => {}
        }
        let is_closed =
            leave == Leave::Plain || self.account.circuit(Timestamp::now()) == crate::account::Circuit::Closed;
        let pause = match verdict {
            // More successes are asked for.
            Verdict::Accepted if !is_closed => SOON,
            Verdict::Accepted => probe.interval(),
            Verdict::Refused => REFUSED.min(probe.interval()),
            Verdict::Unclear => UNCLEAR.min(probe.interval()),
        };
        (pause, Some((verdict, message)))
    }
}

fn leave(circuit: Option<&CircuitRecord>) -> Leave {
    match circuit.map(|circuit| (circuit.state, circuit.cause)) {
        None | Some((CircuitState::Closed, _)) => Leave::Plain,
        Some((_, Some(Cause::Credentials))) => Leave::Trial,
        Some(_) => Leave::Not,
    }
}

/// How long it is until the next probe. The record is other people's input: it can't put the next one off for ever.
fn wait(record: Option<&ProofRecord>, probe: &CredentialsProbe, now: Timestamp) -> Duration {
    let next = record.map_or(now, |record| record.next);
    let wait = Duration::try_from(next.duration_since(now)).unwrap_or(Duration::ZERO);
    wait.min(probe.interval())
}

fn plus(now: Timestamp, pause: Duration) -> Timestamp {
    let pause = SignedDuration::try_from(pause).unwrap_or(SignedDuration::MAX);
    now.checked_add(pause).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_that_is_left_alone_is_probed_only_for_its_credentials() {
        let circuit = |state, cause| CircuitRecord { state, cause, ..CircuitRecord::closed(Timestamp::UNIX_EPOCH) };
        assert_eq!(leave(None), Leave::Plain);
        assert_eq!(leave(Some(&circuit(CircuitState::Closed, Some(Cause::Errors)))), Leave::Plain);
        assert_eq!(leave(Some(&circuit(CircuitState::Open, Some(Cause::Credentials)))), Leave::Trial);
        for cause in [Cause::Errors, Cause::Manual, Cause::Gone] {
            assert_eq!(leave(Some(&circuit(CircuitState::Open, Some(cause)))), Leave::Not);
        }
    }

    #[test]
    fn a_record_can_not_put_the_next_probe_off_for_ever() {
        let probe: CredentialsProbe =
            serde_json::from_value(serde_json::json!({ "path": "/me", "interval": "1m" })).unwrap();
        let now = Timestamp::from_second(1_000).unwrap();
        let record = |next| ProofRecord { next, shown: None };
        assert_eq!(wait(None, &probe, now), Duration::ZERO);
        assert_eq!(wait(Some(&record(Timestamp::UNIX_EPOCH)), &probe, now), Duration::ZERO);
        assert_eq!(wait(Some(&record(plus(now, SOON))), &probe, now), SOON);
        assert_eq!(wait(Some(&record(Timestamp::MAX)), &probe, now), Duration::from_secs(60));
    }
}
