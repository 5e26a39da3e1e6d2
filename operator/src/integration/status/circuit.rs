//! What a Destination's circuit means for a condition.

use ropeway_crds::{
    account::{Cause, CircuitRecord, CircuitState},
    condition::{ConditionType, Finding, Reason},
};

/// What an open circuit means; none where it is closed. `whose` begins the message.
pub(crate) fn circuit_finding(kind: ConditionType, whose: &str, circuit: &CircuitRecord) -> Option<Finding> {
    if circuit.state == CircuitState::Closed {
        return None;
    }
    let said = circuit.reason.as_deref().unwrap_or("too many requests fail");
    let (reason, remedy) = match circuit.cause {
        None | Some(Cause::Errors) => (Reason::CircuitOpen, "it is tried again by itself"),
        Some(Cause::Credentials) => (Reason::CredentialsRefused, "renew the Secret that its Destination names"),
        Some(Cause::Token) => (Reason::TokenUnavailable, "it goes on by itself once a token can be had"),
        Some(Cause::Vault) => (Reason::KeyVaultRefused, "see its Destination"),
        Some(Cause::VaultAway) => (Reason::KeyVaultUnavailable, "it goes on by itself once the vault can be asked"),
        Some(Cause::Gone) => (Reason::DestinationGone, "correct the Destination's address or our rights there"),
        Some(Cause::Quota) => {
            (Reason::QuotaExhausted, "it goes on by itself when the vendor's day ends, or with a larger quota")
        }
        Some(Cause::Rule) => (Reason::HeldByRule, "see delivery.outcomes"),
        Some(Cause::Address) => (Reason::AddressRefused, "correct the address, or let the administrator allow it"),
        Some(Cause::Configuration) => (Reason::ConfigurationUnusable, "correct the Destination"),
        Some(Cause::Manual) => (Reason::HeldByHand, "take the annotation ropeway.dev/circuit away to go on"),
    };
    Some(Finding::fails(kind, reason, format!("{whose} is {}; {remedy}; {said}", circuit.state.as_str())))
}

/// What was said about our credentials when the circuit was opened for them, as the end of a sentence.
pub(crate) fn credentials_reason(circuit: &CircuitRecord) -> Option<String> {
    let open = circuit.state != CircuitState::Closed && circuit.cause == Some(Cause::Credentials);
    circuit.reason.as_ref().filter(|_| open).map(|reason| format!(": {reason}"))
}
