//! Where the operator itself may go, as the keeper of tokens: not inside, and with nothing but what is that server's.

use ropeway_crds::Destination;
use ropeway_tests::{
    receiver::{Receiver, Reply},
    wait::until,
};
use serde_json::{Value, json};

use crate::place::{PATIENCE, Place, destination, shared_nats};

/// A Destination whose tokens the operator gets at this server.
fn kept(name: &str, server: Value) -> Value {
    let secret = |key: &str| json!({ "valueFrom": { "secretKeyRef": { "name": "idp", "key": key } } });
    let mut oauth2 = json!({ "grant": "RefreshToken", "clientId": { "value": "c" }, "clientSecret": secret("secret"),
        "refreshToken": secret("refresh") });
    oauth2.as_object_mut().expect("an object").extend(server.as_object().expect("an object").clone());
    let mut made = destination(name, "http://127.0.0.1:9/");
    made["spec"]["auth"] = json!({ "oauth2": oauth2 });
    made
}

#[tokio::test]
async fn the_operator_asks_no_server_at_an_address_inside() {
    let place = Place::new("token-addresses", shared_nats().await).await;
    place.secrets("idp", json!({ "secret": "a client's secret", "refresh": "a refresh token" })).await;
    let issuer = Receiver::start().await.expect("the receiver starts");
    let _operator = place.operator(None);
    // 127.0.0.0/8 is allowed here; these are not.
    for (number, url) in [
        "http://169.254.169.254/metadata/identity/oauth2/token",
        "https://[::ffff:10.0.0.1]/token",
        "http://0xa9fea9fe/token",
        "http://168.63.129.16/token",
    ]
    .iter()
    .enumerate()
    {
        let name = format!("inside-{number}");
        place.apply::<Destination>(kept(&name, json!({ "tokenUrl": url }))).await;
        let told = place.destination_condition(&name, "CredentialsValid", "False", "AddressRefused").await;
        assert!(told.contains("deliveries may not go"), "{url}: {told}");
    }
    place.apply::<Destination>(kept("issuer", json!({ "issuer": "http://169.254.169.254" }))).await;
    let told = place.destination_condition("issuer", "CredentialsValid", "Unknown", "TokenUnavailable").await;
    assert!(told.contains("deliveries may not go"), "{told}");

    // One that is outside and leads inside, by what it tells or by a redirect.
    let url = issuer.url("issuer");
    let leads = json!({ "issuer": url, "token_endpoint": "http://169.254.169.254/token" }).to_string();
    issuer.reply(move |asked| match asked.destination {
        "issuer" => Reply { status: 200, body: leads.clone(), ..Reply::default() },
        _ => Reply {
            status: 307,
            headers: vec![("location", "http://169.254.169.254/token".to_owned())],
            ..Reply::default()
        },
    });
    place.apply::<Destination>(kept("leading", json!({ "issuer": issuer.url("issuer") }))).await;
    let told = place.destination_condition("leading", "CredentialsValid", "False", "AddressRefused").await;
    assert!(told.contains("deliveries may not go"), "{told}");
    place.apply::<Destination>(kept("redirecting", json!({ "tokenUrl": issuer.url("token") }))).await;
    let told = place.destination_condition("redirecting", "CredentialsValid", "False", "CredentialsRefused").await;
    assert!(told.contains("it redirects; give the final address"), "{told}");
}

#[tokio::test]
async fn what_one_server_gave_is_not_shown_to_another_that_the_spec_is_changed_to() {
    let place = Place::new("token-servers", shared_nats().await).await;
    place.secrets("idp", json!({ "secret": "a client's secret", "refresh": "first" })).await;
    let server = Receiver::start().await.expect("the receiver starts");
    server.reply(|asked| {
        let given =
            json!({ "access_token": "a", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "rotated" });
        let body = if asked.destination == "fair" { given.to_string() } else { "{}".to_owned() };
        Reply { status: 200, body, ..Reply::default() }
    });
    let _operator = place.operator(None);
    let asked = |name: &str| {
        let arrivals = server.arrivals().into_iter().filter(|arrival| arrival.destination == name);
        arrivals.map(|arrival| String::from_utf8_lossy(&arrival.body).into_owned()).collect::<Vec<_>>()
    };
    let until_asked = async |name: &str| {
        until(&format!("{name} is asked"), PATIENCE, async || {
            let bodies = asked(name);
            if bodies.is_empty() { Err("not yet".to_owned()) } else { Ok(bodies) }
        })
        .await
        .expect("it is")
    };
    place.apply::<Destination>(kept("crm", json!({ "tokenUrl": server.url("fair") }))).await;
    until_asked("fair").await;
    place.destination_condition("crm", "CredentialsValid", "Unknown", "Pending").await;
    place.apply::<Destination>(kept("crm", json!({ "tokenUrl": server.url("other") }))).await;
    let bodies = until_asked("other").await;
    // It is shown what the user's own Secret holds, and nothing that the first gave.
    assert!(bodies.iter().all(|body| body.contains("refresh_token=first") && !body.contains("rotated")), "{bodies:?}");
}
