//! What keeps events waiting, whatever they hold. Pure.

use ropeway_auth::{http::SendFailure, secret::SecretError, vault::VaultTrouble};
use ropeway_crds::account::Cause;

use crate::provider::{Failure, Outcome};

/// Waits until a Secret, a ConfigMap or a vault is mended.
pub(super) fn missing(error: SecretError) -> Outcome {
    let cause = match error {
        SecretError::Setting { .. } => Cause::Configuration,
        SecretError::Vault(ref error) => match error.trouble {
            VaultTrouble::Refused => Cause::Vault,
            VaultTrouble::Passes(_) => Cause::VaultAway,
            VaultTrouble::Address => Cause::Address,
        },
        _ => Cause::Credentials,
    };
    Outcome::Hold { cause, failure: Failure::silent(error.to_string()) }
}

/// The configuration can't be used at all. Nothing is wrong with the event, so it waits.
pub(super) fn unusable(message: String) -> Outcome {
    Outcome::Hold { cause: Cause::Configuration, failure: Failure::silent(message) }
}

/// What it means that no answer came.
pub(super) fn unsent(failure: SendFailure) -> Outcome {
    match failure {
        SendFailure::Address(refused) => {
            Outcome::Hold { cause: Cause::Address, failure: Failure::silent(refused.to_string()) }
        }
        SendFailure::Configuration(message) => {
            Outcome::Hold { cause: Cause::Credentials, failure: Failure::silent(message) }
        }
        SendFailure::Transport(message) => {
            Outcome::Retry { after: None, limited: false, failure: Failure::silent(message) }
        }
    }
}
