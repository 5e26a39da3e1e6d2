//! What a token endpoint's answer means (RFC 6749 §5). Pure.

use std::time::{Duration, Instant};

use http::header;
use jiff::{SignedDuration, Timestamp};
use ropeway_crds::auth::OAuth2;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    http::Response,
    token::{AccessToken, TokenError},
};

/// How long a token is used whose end the server does not tell.
const UNTOLD: Duration = Duration::from_secs(30 * 60);

/// A token lasts at most so long, whatever the server says.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// The most by which a token is renewed early where the user does not say.
const EARLY: Duration = Duration::from_secs(300);

/// A word of what a server says that is as long may be a secret in some code.
const LONGEST_WORD: usize = 24;

/// What a server may have rounded off.
const ROUNDING: Duration = Duration::from_secs(1);

/// How much is shown of what a server says.
const SHOWN: usize = 120;

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    token_type: Option<String>,
    expires_in: Option<Value>,
    instance_url: Option<String>,
    refresh_token: Option<String>,
    /// Under either name, by servers that tell it at all.
    #[serde(alias = "refresh_expires_in")]
    refresh_token_expires_in: Option<Value>,
}

/// A refusal (RFC 6749 §5.2), or as HubSpot has it: with `status` and `message`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Denied {
    error: Option<String>,
    error_description: Option<String>,
    status: Option<Value>,
    message: Option<String>,
}

impl Denied {
    fn code(&self) -> Option<&str> {
        self.error.as_deref().or_else(|| self.status.as_ref()?.as_str())
    }
}

/// An access token, and the refresh token that came with it.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The access token.
    pub access: AccessToken,
    /// The refresh token from now on, if the server gives one.
    pub refresh: Option<SecretString>,
    /// When the refresh token ends, if the server tells.
    pub consent_expires: Option<Timestamp>,
}

/// When a request was made, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// By the clock that only goes forward.
    pub instant: Instant,
    /// By the clock on the wall.
    pub time: Timestamp,
}

/// Reads an answer. `secrets` are what the request held: a server may echo them.
///
/// # Errors
/// If there is no token in it.
pub fn answer(
    spec: &OAuth2,
    response: &Response,
    asked: Asked,
    secrets: &[&SecretString],
) -> Result<Grant, TokenError> {
    if response.status.is_success() { granted(spec, response, asked) } else { Err(denied(spec, response, secrets)) }
}

fn granted(spec: &OAuth2, response: &Response, asked: Asked) -> Result<Grant, TokenError> {
    let without = |what: &str| TokenError::Unavailable {
        message: format!("the token endpoint {} answered {} {what}", host(spec), response.status.as_u16()),
        after: None,
    };
    let granted: Granted = serde_json::from_slice(&response.body).map_err(|_| without("without an access token"))?;
    let Granted { access_token, token_type, expires_in, instance_url, refresh_token, refresh_token_expires_in } =
        granted;
    if access_token.is_empty() || !access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(without("with an access token that no header may hold"));
    }
    // Left out by some, though it is required.
    if let Some(kind) = token_type.filter(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        let kind: String = kind.chars().filter(char::is_ascii_alphanumeric).take(20).collect();
        let message = format!("the token endpoint {} gives tokens of the type {kind}, not Bearer", host(spec));
        return Err(TokenError::Refused(message));
    }
    let told = expires_in.as_ref().and_then(seconds);
    let told = told.or_else(|| spec.max_age.map(|age| age.std())).map(|lasts| (lasts, told.is_some()));
    let token =
        lasting(access_token.into(), told.map(|(lasts, _)| lasts), spec.refresh_before.map(|it| it.std()), asked);
    let expires = token.expires.filter(|_| told.is_some_and(|(_, by_server)| by_server));
    let access = AccessToken { expires, instance_url, ..token };
    let lasts = refresh_token_expires_in.as_ref().and_then(seconds).filter(|lasts| !lasts.is_zero());
    let consent_expires = lasts.and_then(|lasts| asked.time.checked_add(SignedDuration::try_from(lasts).ok()?).ok());
    Ok(Grant {
        access,
        refresh: refresh_token.filter(|token| !token.is_empty()).map(SecretString::from),
        consent_expires,
    })
}

/// A token that lasts so long, as far as that is known. It is renewed `early`, or a tenth of its life before its end.
pub(crate) fn lasting(
    value: SecretString,
    told: Option<Duration>,
    early: Option<Duration>,
    asked: Asked,
) -> AccessToken {
    let lasts = told.map_or(UNTOLD, |told| told.clamp(Duration::from_secs(1), LONGEST));
    // Servers count in whole seconds and round the time of issue down.
    let good_for = lasts.checked_sub(ROUNDING).filter(|left| *left >= ROUNDING).unwrap_or(lasts / 2);
    let early = early.unwrap_or_else(|| (lasts / 10).min(EARLY));
    // A token that would have to be renewed at once is used for half of its life.
    let use_for = good_for.checked_sub(early).filter(|left| !left.is_zero()).unwrap_or(good_for / 2);
    AccessToken {
        value,
        asked: asked.instant,
        renew: asked.instant + use_for,
        ends: asked.instant + good_for,
        expires: told.and_then(|_| asked.time.checked_add(SignedDuration::try_from(lasts).ok()?).ok()),
        instance_url: None,
    }
}

/// Some servers write numbers as text.
fn seconds(value: &Value) -> Option<Duration> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    number.filter(|number| *number >= 0.0).map(|number| {
        // A float to integer conversion keeps to the range of its target.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Duration::from_secs(number as u64)
    })
}

fn denied(spec: &OAuth2, response: &Response, secrets: &[&SecretString]) -> TokenError {
    let status = response.status.as_u16();
    let told = serde_json::from_slice::<Denied>(&response.body).ok();
    let code: Option<String> = told.as_ref().and_then(Denied::code).map(|code| {
        let plain: String = code.chars().filter(|letter| letter.is_ascii_graphic()).take(48).collect();
        // The names of errors are words with an underline between them (RFC 6749 §5.2).
        plain.split('_').map(|word| shown(word, secrets)).collect::<Vec<_>>().join("_")
    });
    let later = matches!(status, 408 | 425 | 429 | 500..=599)
        || matches!(code.as_deref(), Some("temporarily_unavailable" | "server_error" | "slow_down"));
    let said = match (&code, told.and_then(|told| told.error_description.or(told.message))) {
        (Some(code), Some(description)) => format!(": {code}: {}", shown(&description, secrets)),
        (Some(code), None) => format!(": {code}"),
        (None, _) => match status {
            300..=399 => ": it redirects; give the final address".to_owned(),
            404 => ": there is nothing at this address".to_owned(),
            _ => String::new(),
        },
    };
    let message = format!("the token endpoint {} answered {status}{said}", host(spec));
    if later {
        return TokenError::Unavailable { message, after: retry_after(response) };
    }
    match code.as_deref() {
        // The second is HubSpot's word for it.
        Some("invalid_grant" | "BAD_REFRESH_TOKEN") => TokenError::GrantRefused(message),
        _ => TokenError::Refused(message),
    }
}

/// What a server says, without what was told to it: neither as it is, nor in a code, of which a long word could be one.
fn shown(text: &str, secrets: &[&SecretString]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().map(|secret| secret.expose_secret()).filter(|secret| !secret.is_empty()) {
        let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        text = text.replace(secret, "…").replace(&encoded, "…");
    }
    let plain = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    let mut shown = String::new();
    let mut word = String::new();
    for letter in plain.chain([' ']) {
        if letter.is_ascii_alphanumeric() || "+/=_.~%".contains(letter) {
            word.push(letter);
            continue;
        }
        shown.push_str(if word.len() < LONGEST_WORD { &word } else { "…" });
        word.clear();
        shown.push(letter);
    }
    shown.trim_end().chars().take(SHOWN).collect()
}

fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    Some(Duration::from_secs(value.trim().parse().ok()?))
}

/// The host of the server, which is never a secret.
pub fn host(spec: &OAuth2) -> String {
    let url = url::Url::parse(spec.server()).ok();
    url.as_ref().and_then(|url| url.host_str()).unwrap_or("that is named").to_owned()
}
