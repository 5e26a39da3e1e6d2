//! Certificates that a proxy hands on, in every format, from the proxy and from somebody else.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
    date_time_ymd,
};
use serde_json::json;

use super::*;

const NOW: i64 = 1_700_000_000;
const PROXY: &str = "10.1.2.3:40000";
/// The proxy as a socket of both families sees it.
const PROXY_MAPPED: &str = "[::ffff:10.1.2.3]:40000";
const STRANGER: &str = "192.0.2.1:40000";

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

fn certificate(authority: &Authority, name: &str) -> rcgen::Certificate {
    let mut parameters = CertificateParams::default();
    parameters.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    (parameters.not_before, parameters.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2030, 1, 1));
    parameters.signed_by(&KeyPair::generate().unwrap(), authority).unwrap()
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// How each format writes a certificate.
fn written(format: &str, certificate: &rcgen::Certificate) -> String {
    let pem = encoded(&certificate.pem());
    match format {
        "UrlEncodedPem" => pem,
        "Xfcc" => format!(r#"By=spiffe://a/b,Hash=00;Hash=11;Subject="CN=x;y,z";Cert="{pem}";URI="#),
        _ => format!(":{}:", BASE64_STANDARD.encode(certificate.der())),
    }
}

struct Gate {
    _folder: TempDir,
    secrets: Secrets,
    format: &'static str,
}

impl Gate {
    fn new(format: &'static str, authority: &Authority) -> Self {
        let (folder, secrets) = secrets(&[("ca", &authority.pem())]);
        Self { _folder: folder, secrets, format }
    }

    fn lets_in(&self, from: &str, values: &[&str], now: i64) -> bool {
        let verification = scheme(
            "mtls",
            json!({
                "caRef": { "name": "hooks", "key": "ca" }, "allowedNames": ["crm.example.com"],
                "proxy": { "header": "x-cert", "format": self.format, "trustedRanges": ["10.0.0.0/8", "fd00::/8"] },
            }),
        );
        let peer = Peer { address: from.parse().unwrap(), secure: false, certificates: Arc::default() };
        let pairs: Vec<(&str, &str)> = values.iter().map(|value| ("x-cert", *value)).collect();
        let (method, path, headers) = (&Method::POST, "/hooks", &headers(&pairs));
        let request = SignedRequest { method, path, url: None, headers, body: b"{}", peer: &peer };
        let now = Timestamp::from_second(now).unwrap();
        super::super::judge(&scheme_of(&verification), &self.secrets, request, now).is_ok()
    }
}

#[test]
fn a_certificate_is_taken_from_the_header_of_a_trusted_proxy_in_each_format() {
    let (ours, other) = (authority(), authority());
    let good = certificate(&ours, "crm.example.com");
    for format in ["UrlEncodedPem", "Xfcc", "Rfc9440"] {
        let gate = Gate::new(format, &ours);
        let text = written(format, &good);
        assert!(gate.lets_in(PROXY, &[&text], NOW), "{format}");
        assert!(gate.lets_in(PROXY_MAPPED, &[&text], NOW), "{format}: from an address of both families");
        assert!(gate.lets_in("[fd00::1]:1", &[&text], NOW), "{format}: by IPv6");
        assert!(!gate.lets_in(STRANGER, &[&text], NOW), "{format}: from somebody else");
        assert!(!gate.lets_in("[fe80::1]:1", &[&text], NOW), "{format}: from somebody else by IPv6");
        assert!(!gate.lets_in(PROXY, &[], NOW), "{format}: without the header");
        assert!(!gate.lets_in(PROXY, &[&text], 1_400_000_000), "{format}: not valid yet");
        assert!(!gate.lets_in(PROXY, &[&text], 2_000_000_000), "{format}: expired");
        for wrong in [certificate(&other, "crm.example.com"), certificate(&ours, "x.example.com")] {
            assert!(!gate.lets_in(PROXY, &[&written(format, &wrong)], NOW), "{format}: wrong authority or name");
        }
        for nonsense in ["", "x", "::", ":AAAA:", "Cert=", "Cert=\"\"", "%", "By=a;Hash=b"] {
            assert!(!gate.lets_in(PROXY, &[nonsense], NOW), "{format}: {nonsense}");
        }
        for another in ["UrlEncodedPem", "Xfcc", "Rfc9440"].iter().filter(|another| **another != format) {
            assert!(!gate.lets_in(PROXY, &[&written(another, &good)], NOW), "{format}: written as {another}");
        }
    }
}

#[test]
fn a_header_that_a_sender_slipped_in_does_not_count() {
    let ours = authority();
    let (good, bad) = (certificate(&ours, "crm.example.com"), certificate(&ours, "x.example.com"));
    for format in ["UrlEncodedPem", "Rfc9440"] {
        let gate = Gate::new(format, &ours);
        let [slipped, real] = [&good, &bad].map(|certificate| written(format, certificate));
        assert!(!gate.lets_in(PROXY, &[&slipped, &real], NOW), "{format}: twice");
        assert!(!gate.lets_in(PROXY, &[&real, &slipped], NOW), "{format}: twice");
    }
    // Envoy appends: what the nearest proxy wrote is last.
    let gate = Gate::new("Xfcc", &ours);
    let element = |certificate: &rcgen::Certificate| format!(r#"Hash=1;Cert="{}""#, encoded(&certificate.pem()));
    let (good, bad) = (element(&good), element(&bad));
    assert!(gate.lets_in(PROXY, &[&format!("{bad},{good}")], NOW));
    assert!(gate.lets_in(PROXY, &[&bad, &good], NOW));
    assert!(!gate.lets_in(PROXY, &[&format!("{good},{bad}")], NOW));
    assert!(!gate.lets_in(PROXY, &[&good, &bad], NOW));
    assert!(!gate.lets_in(PROXY, &[&format!("{good},Hash=2")], NOW), "the nearest proxy saw no certificate");
    // A quote that a sender brings in a name must not hide the proxy's own element.
    assert!(!gate.lets_in(PROXY, &[&format!(r#"{good},Subject="CN=a,{bad}""#)], NOW));
}
