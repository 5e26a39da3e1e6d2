//! What each vendor signs, as data.

use ropeway_crds::{
    duration::Duration,
    secret_ref::SecretValue,
    source::{
        ApiKeyVerification, BasicVerification, BearerVerification, Hmac, HmacAlgorithm, HubSpotVersion,
        JwtVerification, SendGridVerification, SignatureEncoding, SignatureTimestamp, SignedBody, SignedBodyAndTime,
        SignedPart, StandardWebhooks, TimestampUnit, Verification,
    },
};

use super::{certificate::Certificates, jwt::Issuer};

/// A way to judge a request.
#[derive(Debug)]
pub enum Scheme {
    /// An HMAC over parts of the request.
    Hmac {
        /// The parts.
        scheme: Hmac,
        /// What else is known of the vendor.
        vendor: Vendor,
    },
    /// Standard Webhooks.
    Standard(StandardWebhooks),
    /// HubSpot v3: an HMAC over the address, which HubSpot writes in one of two ways.
    HubSpot(Hmac),
    /// HubSpot v1 and v2: a hash over secret and request.
    HubSpotDigest {
        /// The client secrets.
        secrets: Vec<SecretValue>,
        /// Which of the two.
        version: HubSpotVersion,
    },
    /// Segment: an HMAC over the body, or over the first event of a batch.
    Segment(Hmac),
    /// Lever: an HMAC that stands in the body.
    Lever(SignedBodyAndTime),
    /// SendGrid: an ECDSA signature.
    SendGrid(SendGridVerification),
    /// A bearer token.
    Bearer(BearerVerification),
    /// User name and password.
    Basic(BasicVerification),
    /// A key.
    ApiKey(ApiKeyVerification),
    /// A JSON Web Token.
    Jwt(Box<Issuer>),
    /// A client certificate.
    Certificate(Certificates),
    /// Nothing is configured, so nobody is let in.
    None,
}

/// What is known of a vendor beside its signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vendor {
    /// Where its events carry their ids.
    pub id: IdPlace,
    /// How it tries an address out.
    pub handshake: Option<Handshake>,
}

/// How a vendor tries an address out before it sends events. It is answered at once and makes no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// Slack's `url_verification`: the challenge comes back.
    SlackChallenge,
    /// Greenhouse's `ping`.
    GreenhousePing,
}

/// Where a vendor's events carry their ids, for requests whose headers carry none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdPlace {
    /// Nowhere that is known.
    #[default]
    Unknown,
    /// In this top-level field.
    Field(&'static str),
    /// In several fields together.
    HubSpot,
}

impl Scheme {
    /// What is known of the vendor beside its signature.
    pub fn vendor(&self) -> Vendor {
        match self {
            Self::Hmac { vendor, .. } => *vendor,
            Self::HubSpot(_) | Self::HubSpotDigest { .. } => with_id(IdPlace::HubSpot),
            Self::Segment(_) => with_id(IdPlace::Field("messageId")),
            Self::SendGrid(_) => with_id(IdPlace::Field("sg_event_id")),
            _ => Vendor::default(),
        }
    }
}

/// The way that an Integration names.
pub fn scheme(verification: &Verification, issuer: impl FnOnce(&JwtVerification) -> Issuer) -> Scheme {
    let Verification { standard_webhooks, github, stripe, shopify, hubspot, segment, greenhouse, lever, .. } =
        verification;
    let Verification { slack, sendgrid, hmac, bearer, basic, api_key, jwt, mtls, .. } = verification;
    let named = |scheme, vendor| Scheme::Hmac { scheme, vendor };
    let greenhouse_pings = Vendor { handshake: Some(Handshake::GreenhousePing), ..Vendor::default() };
    let slack_challenges = Vendor { id: IdPlace::Field("event_id"), handshake: Some(Handshake::SlackChallenge) };
    let candidates = [
        standard_webhooks.clone().map(Scheme::Standard),
        github.as_ref().map(|given| named(of_github(given), Vendor::default())),
        stripe.as_ref().map(|given| named(of_stripe(given), with_id(IdPlace::Field("id")))),
        shopify.as_ref().map(|given| named(of_shopify(given), Vendor::default())),
        hubspot.as_ref().map(|given| match given.version.unwrap_or_default() {
            HubSpotVersion::V3 => Scheme::HubSpot(of_hubspot(&given.secrets, given.tolerance)),
            version => Scheme::HubSpotDigest { secrets: given.secrets.clone(), version },
        }),
        segment.as_ref().map(|given| Scheme::Segment(of_segment(given))),
        greenhouse.as_ref().map(|given| named(of_greenhouse(given), greenhouse_pings)),
        lever.clone().map(Scheme::Lever),
        slack.as_ref().map(|given| named(of_slack(given), slack_challenges)),
        sendgrid.clone().map(Scheme::SendGrid),
        hmac.clone().map(|scheme| named(scheme, Vendor::default())),
        bearer.clone().map(Scheme::Bearer),
        basic.clone().map(Scheme::Basic),
        api_key.clone().map(Scheme::ApiKey),
        jwt.as_ref().map(|given| Scheme::Jwt(Box::new(issuer(given)))),
        mtls.clone().map(Certificates::new).map(Scheme::Certificate),
    ];
    candidates.into_iter().flatten().next().unwrap_or(Scheme::None)
}

fn with_id(id: IdPlace) -> Vendor {
    Vendor { id, handshake: None }
}

/// An HMAC-SHA256 over the body, in hexadecimal, in this header.
fn over_body(secrets: &[SecretValue], header: &str) -> Hmac {
    Hmac {
        secrets: secrets.to_vec(),
        secret_encoding: None,
        algorithm: None,
        header: header.to_owned(),
        prefix: None,
        list_separator: None,
        encoding: None,
        signed: None,
        separator: None,
        timestamp: None,
        id_header: None,
    }
}

fn of_github(given: &SignedBody) -> Hmac {
    let (prefix, id_header) = (Some("sha256=".into()), Some("x-github-delivery".into()));
    Hmac { prefix, id_header, ..over_body(&given.secrets, "x-hub-signature-256") }
}

fn of_shopify(given: &SignedBody) -> Hmac {
    let (encoding, id_header) = (Some(SignatureEncoding::Base64), Some("x-shopify-webhook-id".into()));
    Hmac { encoding, id_header, ..over_body(&given.secrets, "x-shopify-hmac-sha256") }
}

fn of_greenhouse(given: &SignedBody) -> Hmac {
    let (prefix, id_header) = (Some("sha256 ".into()), Some("greenhouse-event-id".into()));
    Hmac { prefix, id_header, ..over_body(&given.secrets, "signature") }
}

fn of_segment(given: &SignedBody) -> Hmac {
    Hmac { algorithm: Some(HmacAlgorithm::Sha1), ..over_body(&given.secrets, "x-signature") }
}

fn of_stripe(given: &SignedBodyAndTime) -> Hmac {
    Hmac {
        prefix: Some("v1=".into()),
        list_separator: Some(",".into()),
        signed: Some(vec![timestamp(), body()]),
        separator: Some(".".into()),
        timestamp: seconds("stripe-signature", Some("t="), given.tolerance),
        ..over_body(&given.secrets, "stripe-signature")
    }
}

fn of_slack(given: &SignedBodyAndTime) -> Hmac {
    Hmac {
        prefix: Some("v0=".into()),
        signed: Some(vec![text("v0"), timestamp(), body()]),
        separator: Some(":".into()),
        timestamp: seconds("x-slack-request-timestamp", None, given.tolerance),
        ..over_body(&given.secrets, "x-slack-signature")
    }
}

fn of_hubspot(secrets: &[SecretValue], tolerance: Option<Duration>) -> Hmac {
    let method = SignedPart { method: Some(true), ..SignedPart::default() };
    let url = SignedPart { url: Some(true), ..SignedPart::default() };
    Hmac {
        encoding: Some(SignatureEncoding::Base64),
        signed: Some(vec![method, url, body(), timestamp()]),
        timestamp: Some(SignatureTimestamp {
            header: "x-hubspot-request-timestamp".into(),
            prefix: None,
            unit: Some(TimestampUnit::Milliseconds),
            tolerance,
        }),
        ..over_body(secrets, "x-hubspot-signature-v3")
    }
}

fn seconds(header: &str, prefix: Option<&str>, tolerance: Option<Duration>) -> Option<SignatureTimestamp> {
    Some(SignatureTimestamp { header: header.into(), prefix: prefix.map(str::to_owned), unit: None, tolerance })
}

fn body() -> SignedPart {
    SignedPart { body: Some(true), ..SignedPart::default() }
}

fn timestamp() -> SignedPart {
    SignedPart { timestamp: Some(true), ..SignedPart::default() }
}

fn text(text: &str) -> SignedPart {
    SignedPart { text: Some(text.into()), ..SignedPart::default() }
}
