//! What is said of a Destination's credentials: by its destination, by the server of its tokens, and by those who hold them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use ropeway_crds::{
    DestinationSpec,
    account::{Cause, CircuitRecord, CircuitState},
    condition::{ConditionType, Finding, Reason, bounded},
    proof::{Shown, Verdict},
    status::{CredentialsStatus, DestinationStatus},
};

use super::Event;
use crate::{
    destination::broker::{Outlook, View, ends_soon},
    integration::{status::credentials_reason, visits::LaneView},
};

/// That they are refused.
pub(super) fn refused(kind: ConditionType, circuit: Option<&CircuitRecord>) -> Finding {
    let said = circuit.and_then(credentials_reason).unwrap_or_default();
    let message = format!("our credentials are refused; renew the Secret in spec.auth{said}");
    Finding::fails(kind, Reason::CredentialsRefused, message)
}

/// Whether they are valid, as far as that is known.
pub(super) fn credentials(
    spec: &DestinationSpec,
    lanes: &[LaneView],
    circuit: Option<&CircuitRecord>,
    tokens: Option<&View>,
    now: Timestamp,
) -> Finding {
    let kind = ConditionType::CredentialsValid;
    if let Some(found) = tokens.and_then(|view| brokered(view, now)) {
        return found;
    }
    let mut reports = lanes.iter().flat_map(|lane| &lane.reports).peekable();
    if reports.peek().is_none() {
        return Finding::unknown(kind, Reason::Pending, "no worker sends here");
    }
    if reports.any(|report| report.credentials_refused) {
        return refused(kind, circuit);
    }
    let proofs = lanes.iter().filter(|_| spec.probe.is_some()).filter_map(|lane| lane.proof.as_ref()?.shown.as_ref());
    match proofs.max_by_key(|shown| shown.time) {
        Some(Shown { verdict: Verdict::Refused, message, .. }) => {
            let message = format!("{message}; renew the Secret in spec.auth");
            return Finding::fails(kind, Reason::CredentialsRefused, message);
        }
        Some(Shown { verdict: Verdict::Accepted, message, .. }) => {
            return Finding::holds(kind, Reason::CredentialsProven, message);
        }
        _ => {}
    }
    let open = circuit.filter(|circuit| circuit.state != CircuitState::Closed);
    let said = |otherwise: &'static str| open.and_then(|circuit| circuit.reason.as_deref()).unwrap_or(otherwise);
    match open.and_then(|circuit| circuit.cause) {
        // Whether they are valid can't be said by anybody just now.
        Some(Cause::Token) => Finding::unknown(kind, Reason::TokenUnavailable, said("no access token can be had")),
        Some(Cause::VaultAway) => Finding::unknown(kind, Reason::KeyVaultUnavailable, said("the vault can't be asked")),
        Some(Cause::Vault) => Finding::fails(kind, Reason::KeyVaultRefused, said("a secret can't be read")),
        _ => Finding::holds(kind, Reason::CredentialsAccepted, "credentials are accepted, or were not refused yet"),
    }
}

/// What is wrong with tokens that the operator keeps.
fn brokered(view: &View, now: Timestamp) -> Option<Finding> {
    let kind = ConditionType::CredentialsValid;
    let (message, outlook) = view.trouble.as_ref()?;
    let good = view.refreshed.is_some() && view.expires.is_none_or(|ends| ends > now);
    Some(match outlook {
        Outlook::Consent => Finding::fails(kind, Reason::ConsentNeeded, message.clone()),
        Outlook::Credentials => Finding::fails(kind, Reason::CredentialsRefused, message.clone()),
        Outlook::Address => Finding::fails(kind, Reason::AddressRefused, message.clone()),
        Outlook::Rights => Finding::fails(kind, Reason::Forbidden, message.clone()),
        Outlook::Passes if good => {
            let message = format!("the access token is good still, but could not be renewed: {message}");
            Finding::holds(kind, Reason::CredentialsAccepted, message)
        }
        Outlook::Passes => Finding::unknown(kind, Reason::TokenUnavailable, message.clone()),
    })
}

/// The access token that is in use; absent where there is none to be had or none is needed.
pub(super) fn access_token(lanes: &[LaneView], kept: Option<&View>, now: Timestamp) -> Option<CredentialsStatus> {
    if let Some(view) = kept {
        return Some(CredentialsStatus {
            expires_at: view.expires.map(Time),
            last_refresh_time: view.refreshed.map(Time),
            refresh_failures: i32::try_from(view.failures).ok(),
            consent_expires_at: view.consent_expires.map(Time),
            consent_ends_soon: ends_soon(view, now).then_some(true),
        });
    }
    let tokens = || lanes.iter().flat_map(|lane| &lane.reports).filter_map(|report| report.token.as_ref());
    tokens().next()?;
    // Each worker has one of its own: told is the one that ends first, and the trouble of the one that has most.
    Some(CredentialsStatus {
        expires_at: tokens().filter_map(|token| token.expires).min().map(Time),
        last_refresh_time: tokens().filter_map(|token| token.granted).max().map(Time),
        refresh_failures: tokens().map(|token| token.failures).max().and_then(|most| i32::try_from(most).ok()),
        ..CredentialsStatus::default()
    })
}

/// What a person should hear of: that a consent is needed, and before it is.
pub(super) fn credential_events(previous: &DestinationStatus, next: &DestinationStatus) -> Vec<Event> {
    let needed = |status: &DestinationStatus| {
        let mut conditions = status.conditions.iter().filter(|condition| condition.type_ == "CredentialsValid");
        let found = conditions.find(|condition| condition.reason == Reason::ConsentNeeded.as_str());
        found.map(|condition| condition.message.clone())
    };
    let soon = |status: &DestinationStatus| {
        status.credentials.as_ref().is_some_and(|credentials| credentials.consent_ends_soon == Some(true))
    };
    let mut events = Vec::new();
    match (needed(previous), needed(next)) {
        (None, Some(note)) => events.push(Event { warning: true, reason: "ConsentNeeded", note: bounded(&note) }),
        (Some(_), None) => {
            let note = "there is an access token again".to_owned();
            events.push(Event { warning: false, reason: "CredentialsAccepted", note });
        }
        _ => {}
    }
    if soon(next) && !soon(previous) {
        let ends = next.credentials.as_ref().and_then(|credentials| credentials.consent_expires_at.as_ref());
        let when = ends.map(|ends| ends.0.to_string()).unwrap_or_default();
        let note = format!("the consent ends at {when}; run ropeway login, or renew the refresh token, before");
        events.push(Event { warning: true, reason: "ConsentEnds", note });
    }
    events
}
