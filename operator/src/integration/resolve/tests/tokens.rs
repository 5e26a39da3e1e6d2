//! One consent for several Destinations and for sources.

use super::*;

fn destination(name: &str, auth: Value) -> Account {
    let destination: Destination = serde_json::from_value(json!({
        "apiVersion": "ropeway.dev/v1alpha1", "kind": "Destination", "metadata": { "name": name, "uid": format!("uid-{name}") },
        "spec": { "provider": { "http": { "url": "https://api.example.com/contacts" } }, "auth": auth },
    }))
    .unwrap();
    Account::of(destination)
}

fn kept() -> Value {
    let refresh = json!({ "valueFrom": { "secretKeyRef": { "name": "keys", "key": "token" } } });
    json!({ "oauth2": { "grant": "RefreshToken", "tokenUrl": "https://id.example.com/t", "clientId": { "value": "c" },
        "refreshToken": refresh } })
}

/// The Destination `hubspot` uses the token that is kept for `app`, or for nobody.
fn borrowed(holder: Option<Value>) -> Observed {
    let mut observed = observed(integration());
    let reference = json!({ "destinationRef": { "name": "app" } });
    observed.destinations.insert("hubspot".into(), Some(destination("hubspot", reference)));
    observed.destinations.insert("app".into(), holder.map(|auth| destination("app", auth)));
    observed
}

fn token_of_app() -> Option<ropeway_crds::worker_config::TokenOf> {
    Some(ropeway_crds::worker_config::TokenOf { destination: "app".into(), account: ShortUid::of("uid-app") })
}

#[test]
fn a_token_that_is_kept_for_another_destination_is_mounted_and_asked_for_there() {
    let resolved = resolved(&borrowed(Some(kept()))).unwrap();
    assert_eq!(resolved.config.lanes[0].token_of, token_of_app());
    assert_eq!(resolved.config.lanes[0].account, ShortUid::of("uid-hubspot"));
    let keys = ["access_token", "expires_at"].map(String::from);
    assert_eq!(resolved.mounts.secrets["ropeway-token-app"], keys.into());
    assert!(!resolved.mounts.secrets.contains_key("ropeway-token-hubspot"));
}

#[test]
fn a_source_may_be_asked_with_it_too() {
    let mut observed = observed(integration());
    observed.destinations.insert("app".into(), Some(destination("app", kept())));
    let auth = json!({ "destinationRef": { "name": "app" } });
    for source in [
        json!({ "poll": { "interval": "1m", "request": { "url": "https://api.example.com/x" }, "auth": auth } }),
        json!({ "batch": { "schedule": "@daily", "format": { "ndjson": {} },
            "from": { "http": { "url": "https://api.example.com/x", "auth": auth } } } }),
    ] {
        observed.integration.spec.source = serde_json::from_value(source.clone()).unwrap();
        let resolved = resolved(&observed).unwrap();
        assert_eq!(
            (&resolved.config.token_of, &resolved.config.lanes[0].token_of),
            (&token_of_app(), &None),
            "{source}"
        );
        assert!(resolved.mounts.secrets.contains_key("ropeway-token-app"));
    }
}

#[test]
fn what_is_wrong_with_the_reference_is_told_with_its_field() {
    let field = "Destination hubspot: spec.auth.destinationRef: ";
    let chain = json!({ "destinationRef": { "name": "hubspot" } });
    for (holder, reason, words) in [
        (None, Reason::DestinationNotFound, "there is no Destination \"app\""),
        (Some(chain), Reason::InvalidSpec, "no access token is kept for the Destination \"app\""),
    ] {
        let findings = resolved(&borrowed(holder)).unwrap_err();
        let told = findings
            .iter()
            .any(|it| it.reason == reason && it.message.starts_with(field) && it.message.contains(words));
        assert!(told, "{findings:?}");
    }
}
