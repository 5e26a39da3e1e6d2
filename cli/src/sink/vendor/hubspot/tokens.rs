//! HubSpot's token endpoint, in its three forms. Source: its guide of OAuth v3 and its announcement of the end of v1, 2026.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::header;
use serde_json::{Value, json};

use super::super::{Asked, Reply};

/// The beginning of access tokens that were given here; others are taken as a private app's.
const GIVEN: &str = "hub-access-";

/// Consents and what was given for them.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// Access tokens that are good, with the refresh token of each.
    access: BTreeMap<String, String>,
    /// Refresh tokens of consents that were taken back.
    withdrawn: BTreeSet<String>,
    given: u64,
}

impl Tokens {
    /// Whether an access token is not one of ours that has been taken back.
    pub(super) fn takes(&self, token: &str) -> bool {
        !token.starts_with(GIVEN) || self.access.contains_key(token)
    }

    /// The answer, if it is asked for here.
    pub(super) fn answer(&mut self, asked: &Asked<'_>) -> Option<Reply> {
        let rest = asked.path.strip_prefix("/oauth/")?;
        match (asked.method, rest.split('/').collect::<Vec<_>>().as_slice()) {
            ("POST", [version, "token"]) if *version == "v1" || *version == "v3" || version.starts_with("20") => {
                Some(self.give(asked, *version == "v1"))
            }
            ("DELETE", ["v1", "refresh-tokens", token]) => {
                self.access.retain(|_, refresh| refresh != token);
                self.withdrawn.insert((*token).to_owned());
                Some(Reply { status: 204, body: Value::Null, ..Reply::default() })
            }
            _ => None,
        }
    }

    fn give(&mut self, asked: &Asked<'_>, is_first: bool) -> Reply {
        let kind = asked.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("application/x-www-form-urlencoded") {
            return refuse("BAD_REQUEST", "the body is no form");
        }
        let mut form: BTreeMap<String, String> = url::form_urlencoded::parse(asked.body).into_owned().collect();
        if is_first {
            form.extend(url::form_urlencoded::parse(asked.query.as_bytes()).into_owned());
        }
        let given = |name: &str| form.get(name).filter(|value| !value.is_empty());
        if given("client_id").is_none() || given("client_secret").is_none() {
            return refuse("BAD_CLIENT_SECRET", "missing or invalid client secret");
        }
        let refresh = match (given("grant_type").map(String::as_str), given("refresh_token"), given("code")) {
            (Some("refresh_token"), Some(token), _) if !self.withdrawn.contains(token) => token.clone(),
            (Some("refresh_token"), ..) => return refuse("BAD_REFRESH_TOKEN", "missing or invalid refresh token"),
            (Some("authorization_code"), _, Some(code)) if given("redirect_uri").is_some() => format!("refresh-{code}"),
            (Some("authorization_code"), ..) => return refuse("BAD_AUTH_CODE", "missing or unknown auth code"),
            _ => return refuse("BAD_GRANT_TYPE", "missing or unknown grant type"),
        };
        self.given += 1;
        let access = format!("{GIVEN}{}", self.given);
        self.access.insert(access.clone(), refresh.clone());
        // A refresh token stays the same.
        let body = json!({ "access_token": access, "refresh_token": refresh, "expires_in": 1800, "token_type": "bearer",
            "hub_id": 62_515, "scopes": ["oauth", "crm.objects.contacts.write"], "token_use": "access_token" });
        Reply::of(200, body)
    }
}

fn refuse(status: &str, message: &str) -> Reply {
    Reply::of(400, json!({ "status": status, "message": message, "correlationId": "c0ffee" }))
}
