//! Access tokens that the operator keeps, and who uses them. Pure.

use std::collections::BTreeSet;

use ropeway_crds::{
    condition::{ConditionType, Finding, Reason},
    names::ShortUid,
    worker_config::TokenOf,
};

use crate::integration::observe::{Account, Observed, source_token};

/// The Destinations whose tokens workers need.
pub(super) fn holders(observed: &Observed) -> BTreeSet<String> {
    let spec = &observed.integration.spec;
    let lanes = spec.destinations.iter().filter_map(|destination| {
        let account = observed.destinations.get(&destination.r#ref)?.as_ref()?;
        account.spec.auth.as_ref()?.token_holder(Some(&destination.r#ref)).map(str::to_owned)
    });
    lanes.chain(source_token(spec).map(|(_, name)| name)).collect()
}

/// Whose token a lane sends; what is wrong with it is a finding.
pub(super) fn of_lane(
    observed: &Observed,
    own: &str,
    account: &Account,
    findings: &mut Vec<Finding>,
) -> Option<TokenOf> {
    let holder = account.spec.auth.as_ref()?.token_holder(Some(own))?;
    of(observed, &format!("Destination {own}: spec.auth"), holder, findings)
}

/// Whose token the source is asked with; what is wrong with it is a finding.
pub(super) fn of_source(observed: &Observed, findings: &mut Vec<Finding>) -> Option<TokenOf> {
    let (field, name) = source_token(&observed.integration.spec)?;
    of(observed, field, &name, findings)
}

fn of(observed: &Observed, field: &str, name: &str, findings: &mut Vec<Finding>) -> Option<TokenOf> {
    let holder = observed.destinations.get(name).and_then(Option::as_ref);
    findings.extend(unusable_token(field, name, holder));
    holder.map(|holder| TokenOf { destination: name.to_owned(), account: ShortUid::of(&holder.uid) })
}

/// What is wrong with `destinationRef` in the credentials at `field`; `holder` is the Destination, if there is one.
pub fn unusable_token(field: &str, name: &str, holder: Option<&Account>) -> Option<Finding> {
    let field = format!("{field}.destinationRef");
    let (reason, message) = match holder {
        None => (
            Reason::DestinationNotFound,
            format!("{field}: there is no Destination {name:?} in this namespace; apply it or correct the name"),
        ),
        Some(holder) if !holder.spec.auth.as_ref().is_some_and(|auth| auth.is_brokered()) => (
            Reason::InvalidSpec,
            format!(
                "{field}: no access token is kept for the Destination {name:?}; name one with auth.oauth2 and the grant \
                 RefreshToken or AuthorizationCode, or give the credentials here"
            ),
        ),
        Some(_) => return None,
    };
    Some(Finding::fails(ConditionType::DestinationsResolved, reason, message))
}
