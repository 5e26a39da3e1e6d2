//! Senders with a client certificate, on TLS that the worker ends: who is let in, and that a renewed certificate of the
//! worker is shown without a restart.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType, date_time_ymd,
};
use ropeway_tests::{
    scene::{PATIENCE, Scene, http_client, webhook_to},
    wait::until,
};
use serde_json::json;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().expect("a key")).expect("an authority")
}

/// When a certificate is valid.
#[derive(Clone, Copy)]
enum Valid {
    Now,
    Past,
    Future,
}

/// Certificate and key of a sender with this name.
fn sender(authority: &Authority, name: SanType, valid: Valid) -> (String, String) {
    let mut parameters = CertificateParams::default();
    parameters.subject_alt_names = vec![name];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    (parameters.not_before, parameters.not_after) = match valid {
        Valid::Now => (date_time_ymd(2020, 1, 1), date_time_ymd(4000, 1, 1)),
        Valid::Past => (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1)),
        Valid::Future => (date_time_ymd(3900, 1, 1), date_time_ymd(4000, 1, 1)),
    };
    signed(parameters, authority)
}

/// Certificate and key of the worker.
fn server(authority: &Authority) -> (String, String) {
    let mut parameters = CertificateParams::default();
    parameters.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    signed(parameters, authority)
}

fn signed(parameters: CertificateParams, authority: &Authority) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    (parameters.signed_by(&key, authority).expect("a certificate").pem(), key.serialize_pem())
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("a name"))
}

/// A client that trusts this authority alone and shows this certificate.
fn client(trusted: &Authority, identity: Option<&(String, String)>) -> reqwest::Client {
    let _ = http_client();
    let trusted = reqwest::Certificate::from_pem(trusted.pem().as_bytes()).expect("an authority");
    let mut builder = reqwest::Client::builder().no_proxy().tls_certs_only([trusted]).timeout(Duration::from_secs(10));
    if let Some((certificate, key)) = identity {
        let pem = format!("{key}{certificate}");
        builder = builder.identity(reqwest::Identity::from_pem(pem.as_bytes()).expect("an identity"));
    }
    builder.build().expect("a client")
}

/// The status, or that there was no connection.
async fn send(client: &reqwest::Client, url: &str) -> Option<u16> {
    client.post(url).body(r#"{"id":"e"}"#).send().await.ok().map(|answer| answer.status().as_u16())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_is_let_in_by_its_certificate_and_a_renewed_one_of_ours_is_shown_without_a_restart() {
    let (ours, other) = (authority(), authority());
    let (certificate, key) = server(&ours);
    let mut spec = webhook_to(&["a"]);
    spec["source"]["webhook"]["tls"] = json!({ "certificateRef": { "name": "server" } });
    spec["source"]["webhook"]["verification"] = json!({ "mtls": {
        "caRef": { "name": "senders", "key": "ca.crt" }, "allowedNames": ["crm.example.com", "spiffe://example.com/crm"],
    } });
    let secrets = [
        ("server", "tls.crt", certificate.as_str()),
        ("server", "tls.key", key.as_str()),
        ("senders", "ca.crt", &ours.pem()),
    ];
    let scene = Scene::with_secrets(spec, &secrets).await.expect("a scene");
    let worker = scene.start_worker("worker", None).await.expect("a worker starts");
    let url = worker.url.replace("http://", "https://");
    let good = client(&ours, Some(&sender(&ours, dns("crm.example.com"), Valid::Now)));
    until("the webhook is open", PATIENCE, async || match send(&good, &url).await {
        Some(200) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await
    .expect("the right certificate is let in");
    let uri = SanType::URI("spiffe://example.com/crm".try_into().expect("a URI"));
    assert_eq!(send(&client(&ours, Some(&sender(&ours, uri, Valid::Now))), &url).await, Some(200), "by its URI");
    let wrong = [
        ("another authority", Some(sender(&other, dns("crm.example.com"), Valid::Now))),
        ("another name", Some(sender(&ours, dns("x.example.com"), Valid::Now))),
        ("part of a name", Some(sender(&ours, dns("crm.example.com.evil.example"), Valid::Now))),
        ("expired", Some(sender(&ours, dns("crm.example.com"), Valid::Past))),
        ("not valid yet", Some(sender(&ours, dns("crm.example.com"), Valid::Future))),
        ("a server's certificate", Some(server(&ours))),
        ("none", None),
    ];
    for (name, identity) in &wrong {
        assert_eq!(send(&client(&ours, identity.as_ref()), &url).await, Some(401), "{name}");
    }
    assert_eq!(send(&http_client(), &worker.url).await, Some(401), "without TLS");
    let shown = http_client().post(&worker.url).header("ssl-client-cert", "x").body("{}").send().await;
    assert_eq!(shown.expect("an answer").status().as_u16(), 401, "a header is no certificate");

    // Renewed by another authority: who trusts only that one gets through, and who trusted the old one no longer does.
    let renewed = client(&other, Some(&sender(&ours, dns("crm.example.com"), Valid::Now)));
    assert_eq!(send(&renewed, &url).await, None, "the new authority has signed nothing yet");
    let (certificate, key) = server(&other);
    scene.rotate("server", "tls.crt", &certificate).expect("a file");
    scene.rotate("server", "tls.key", &key).expect("a file");
    until("the new certificate is shown", PATIENCE, async || match send(&renewed, &url).await {
        Some(200) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await
    .expect("it is shown");
    let old = client(&ours, Some(&sender(&ours, dns("crm.example.com"), Valid::Now)));
    assert_eq!(send(&old, &url).await, None, "the old certificate is still shown");

    // The senders' authority is replaced: what it signed is let in, and what the one before signed is not.
    scene.rotate("senders", "ca.crt", &other.pem()).expect("a file");
    let next = client(&other, Some(&sender(&other, dns("crm.example.com"), Valid::Now)));
    until("the new authority is trusted", PATIENCE, async || match send(&next, &url).await {
        Some(200) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await
    .expect("it is trusted");
    assert_eq!(send(&renewed, &url).await, Some(401), "the authority before is trusted no more");
}
