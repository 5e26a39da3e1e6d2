use ropeway_crds::auth::OAuth2;
use serde_json::json;

use super::*;

const NOW: i64 = 10_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn spec() -> OAuth2 {
    serde_json::from_value(json!({
        "grant": "AuthorizationCode", "issuer": "https://login.example.com", "clientId": { "value": "id" },
        "maxAge": "20m",
    }))
    .unwrap()
}

fn token(text: &str) -> SecretString {
    text.to_owned().into()
}

/// Tokens that were got a minute ago and are good for an hour.
fn held() -> Held {
    Held {
        access: Some(token("access")),
        refreshed: Some(at(NOW - 60)),
        expires: Some(at(NOW + 3_540)),
        refresh: Some(token("kept")),
        server: Some(server_of(&spec())),
        ..Held::default()
    }
}

fn step(held: &Held, given: Option<&str>, refused: Option<&str>) -> String {
    let (spec, given) = (spec(), given.map(token));
    let refused = refused.map(|refused| stands_for(&token(refused)));
    let facts = Facts { spec: &spec, given: given.as_ref(), refused: refused.as_deref(), me: "me", now: at(NOW) };
    match decide(held, &facts) {
        Step::Wait(wait) => format!("wait {}", wait.as_secs()),
        Step::NoConsent => "no consent".into(),
        Step::Busy => "busy".into(),
        Step::Refresh { token, anew } => {
            format!("refresh {}{}", token.expose_secret(), if anew.is_some() { " anew" } else { "" })
        }
    }
}

#[test]
fn tokens_are_renewed_early_and_when_they_are_refused() {
    let (held, in_use) = (held, held());
    let ending = Held { expires: Some(at(NOW + 300)), refreshed: Some(at(NOW - 3_300)), ..held() };
    let short = Held { expires: Some(at(NOW + 40)), refreshed: Some(at(NOW - 40)), ..held() };
    let endless = Held { expires: None, ..held() };
    let old = Held { expires: None, refreshed: Some(at(NOW - 1_200)), ..held() };
    let fresh = Held { refreshed: Some(at(NOW - 4)), ..held() };
    for (name, held, refused, expected) in [
        ("in use", &in_use, None, "wait 3240"),
        ("five minutes before its end", &ending, None, "refresh kept"),
        ("half of a short life", &short, None, "refresh kept"),
        ("without an end", &endless, None, "wait 1140"),
        ("without an end, old", &old, None, "refresh kept"),
        ("refused", &in_use, Some("access"), "refresh kept"),
        ("another one was refused", &in_use, Some("older"), "wait 3240"),
        ("refused a moment after it was got", &fresh, Some("access"), "wait 6"),
        ("nothing got yet", &Held { access: None, refreshed: None, ..held() }, None, "refresh kept"),
    ] {
        assert_eq!(step(held, None, refused), expected, "{name}");
    }
}

#[test]
fn a_refresh_token_of_the_users_own_is_used_when_it_is_new() {
    let began = |with: &str| Held { began_with: Some(stands_for(&token(with))), ..held() };
    assert_eq!(step(&Held::default(), None, None), "no consent");
    assert_eq!(step(&Held::default(), Some("given"), None), "refresh given anew");
    assert_eq!(step(&began("given"), Some("given"), None), "wait 3240");
    assert_eq!(step(&began("given"), Some("given"), Some("access")), "refresh kept");
    assert_eq!(step(&began("given"), Some("changed"), None), "refresh changed anew");
    let elsewhere = Held { server: Some("another".into()), ..began("given") };
    assert_eq!(step(&elsewhere, Some("given"), None), "refresh given anew");
    assert_eq!(step(&elsewhere, None, None), "no consent", "what another server gave is not shown");
    let lost = Held { refresh: None, ..began("given") };
    assert_eq!(step(&lost, Some("given"), Some("access")), "refresh given anew");
}

#[test]
fn one_alone_refreshes_unless_it_is_no_more() {
    let by = |who: &str, since: i64| Held { refreshing: Some((who.to_owned(), at(NOW - since))), ..held() };
    for (held, expected) in [
        (by("other", 1), "busy"),
        (by("other", 39), "busy"),
        (by("other", -39), "busy"),
        (by("other", 40), "refresh kept"),
        (by("me", 1), "refresh kept"),
    ] {
        assert_eq!(step(&held, None, Some("access")), expected);
    }
}

#[test]
fn what_a_secret_holds_is_read_as_it_was_written() {
    let all = Held {
        consent_expires: Some(at(NOW + 90_000)),
        began_with: Some("x".into()),
        refreshing: Some(("op".into(), at(NOW))),
        ..held()
    };
    let mut secret = Secret { data: Some(all.data()), ..Secret::default() };
    secret.metadata.annotations = Some([(REFRESHING.to_owned(), format!("op {}", at(NOW)))].into());
    let read = Held::of(&secret);
    assert_eq!(read.data(), all.data());
    assert_eq!(read.refreshing, all.refreshing);
    assert_eq!(read.expires, all.expires);
    // Whoever may write Secrets may write anything.
    let odd = |text: &str| Some(ByteString(text.as_bytes().to_vec()));
    let data = [(EXPIRES_AT, odd("soon")), (REFRESH_TOKEN, Some(ByteString(vec![0xff]))), (ACCESS_TOKEN, odd(""))];
    let data = data.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
    let read = Held::of(&Secret { data: Some(data), ..Secret::default() });
    assert!(read.access.is_none() && read.refresh.is_none() && read.expires.is_none());
    assert!(Held::of(&Secret::default()).access.is_none());
}
