//! Tokens that an operator would keep: there is none here.

use kube::ResourceExt;
use ropeway_auth::brokered::ACCESS_TOKEN;
use ropeway_crds::{auth::Auth, names::token_secret};

use crate::manifest::{Fault, Manifests};

/// The Destinations whose access token nobody here would get. One with a Secret of the right name in the files has a token.
pub(super) fn missing(manifests: &Manifests) -> Vec<Fault> {
    let brokered = manifests.destinations.iter().filter(|(destination, _)| {
        let has_token =
            manifests.secrets.iter().any(|secret| secret.name_any() == token_secret(&destination.name_any()));
        destination.spec.auth.as_ref().is_some_and(Auth::is_brokered) && !has_token
    });
    brokered
        .map(|(destination, origin)| {
            let secret = token_secret(&destination.name_any());
            let message = format!(
                "spec.auth.oauth2.grant: the operator exchanges such tokens, and there is none here; put an access token into a Secret {secret:?} with the key {ACCESS_TOKEN:?} in these files, or run with --sink"
            );
            Fault::at(&origin.place("spec.auth.oauth2.grant"), message)
        })
        .collect()
}
