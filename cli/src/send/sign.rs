//! How requests prove who sent them: as the vendors do it.

use base64::{Engine, prelude::BASE64_STANDARD};
use clap::ValueEnum;
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde_json::Value;
use sha2::Sha256;

use super::SendError;

/// How requests prove who sent them.
#[derive(Clone)]
pub enum Proof {
    /// Signed as this vendor signs, with this secret as it is written.
    Signed(Signer, String),
    /// A bearer token.
    Bearer(String),
    /// User name and password.
    Basic(String, String),
    /// Nothing.
    None,
}

/// Whose way of signing is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Signer {
    /// Standard Webhooks, v1; the secret is `whsec_…`.
    #[default]
    StandardWebhooks,
    /// GitHub.
    Github,
    /// Stripe.
    Stripe,
    /// Shopify.
    Shopify,
    /// HubSpot, v3; the address is signed, so send to the public one.
    Hubspot,
    /// Greenhouse.
    Greenhouse,
    /// Lever; what it signs is put into each event.
    Lever,
    /// Slack.
    Slack,
}

/// A request that proves who sent it.
pub(super) struct Signed {
    /// Its headers.
    pub(super) headers: Vec<(&'static str, String)>,
    /// Its body.
    pub(super) body: String,
}

/// Signs an event. `id` is that of the request, equal for its repeats.
pub(super) fn sign(proof: &Proof, url: &str, id: &str, body: &str, now: Timestamp) -> Result<Signed, SendError> {
    let headers = match proof {
        Proof::None => Vec::new(),
        Proof::Bearer(token) => vec![("authorization", format!("Bearer {token}"))],
        Proof::Basic(username, password) => {
            vec![("authorization", format!("Basic {}", BASE64_STANDARD.encode(format!("{username}:{password}"))))]
        }
        Proof::Signed(Signer::Lever, secret) => return lever(secret, id, body, now),
        Proof::Signed(signer, secret) => vendor(*signer, secret, Letter { url, id, body }, now)?,
    };
    Ok(Signed { headers, body: body.to_owned() })
}

struct Letter<'a> {
    url: &'a str,
    id: &'a str,
    body: &'a str,
}

fn vendor(
    signer: Signer,
    secret: &str,
    letter: Letter<'_>,
    now: Timestamp,
) -> Result<Vec<(&'static str, String)>, SendError> {
    let Letter { url, id, body } = letter;
    let (seconds, millis) = (now.as_second(), now.as_millisecond());
    let hex = |signed: &str| HEXLOWER.encode(&mac(secret.as_bytes(), signed));
    let base64 = |key: &[u8], signed: &str| BASE64_STANDARD.encode(mac(key, signed));
    Ok(match signer {
        Signer::StandardWebhooks => {
            let key = BASE64_STANDARD.decode(secret.trim().strip_prefix("whsec_").unwrap_or(secret.trim()));
            let key = key.ok().filter(|key| !key.is_empty()).ok_or(SendError::Secret)?;
            vec![
                ("webhook-id", id.to_owned()),
                ("webhook-timestamp", seconds.to_string()),
                ("webhook-signature", format!("v1,{}", base64(&key, &format!("{id}.{seconds}.{body}")))),
            ]
        }
        Signer::Github => {
            vec![("x-hub-signature-256", format!("sha256={}", hex(body))), ("x-github-delivery", id.to_owned())]
        }
        Signer::Stripe => {
            vec![("stripe-signature", format!("t={seconds},v1={}", hex(&format!("{seconds}.{body}"))))]
        }
        Signer::Shopify => {
            vec![("x-shopify-hmac-sha256", base64(secret.as_bytes(), body)), ("x-shopify-webhook-id", id.to_owned())]
        }
        Signer::Hubspot => vec![
            ("x-hubspot-request-timestamp", millis.to_string()),
            ("x-hubspot-signature-v3", base64(secret.as_bytes(), &format!("POST{url}{body}{millis}"))),
        ],
        Signer::Greenhouse => {
            vec![("signature", format!("sha256 {}", hex(body))), ("greenhouse-event-id", id.to_owned())]
        }
        Signer::Slack => vec![
            ("x-slack-request-timestamp", seconds.to_string()),
            ("x-slack-signature", format!("v0={}", hex(&format!("v0:{seconds}:{body}")))),
        ],
        Signer::Lever => Vec::new(),
    })
}

/// Lever's proof stands in the body.
fn lever(secret: &str, id: &str, body: &str, now: Timestamp) -> Result<Signed, SendError> {
    let mut event: Value = serde_json::from_str(body).map_err(|_| SendError::NotAnObject)?;
    let members = event.as_object_mut().ok_or(SendError::NotAnObject)?;
    let time = now.as_millisecond();
    let signature = HEXLOWER.encode(&mac(secret.as_bytes(), &format!("{id}{time}")));
    for (name, value) in [("token", Value::from(id)), ("triggeredAt", time.into()), ("signature", signature.into())] {
        members.insert(name.to_owned(), value);
    }
    Ok(Signed { headers: Vec::new(), body: event.to_string() })
}

fn mac(key: &[u8], signed: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("an HMAC takes a key of any length");
    mac.update(signed.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
