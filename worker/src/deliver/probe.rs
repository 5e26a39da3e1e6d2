//! The request that proves a Destination's credentials. It carries what a delivery carries, but for the record.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use ropeway_auth::http::{Request, Response, SendFailure};
use ropeway_crds::{
    account::Cause,
    proof::{CredentialsProbe, ProbeMethod, Verdict},
    provider::HttpProvider,
};
use url::Url;

use super::{
    Deliverer,
    waits::{missing, unusable},
};
use crate::{account::Account, provider::Outcome};

impl Deliverer {
    /// Makes the request. Answers what it showed, in a sentence without credential and URL query.
    pub async fn probe(&self, account: &Arc<Account>, probe: &CredentialsProbe) -> (Verdict, String) {
        self.secrets.ready(&self.vaulted).await;
        let request = match self.proving(probe) {
            Ok(request) => request,
            Err(outcome) => return not_made(outcome),
        };
        let shown = format!("the probe {} {}", request.method, without_query(&request.uri));
        match self.prove_and_send(account, request, self.config.delivery.timeout.std()).await {
            Err(outcome) => not_made(outcome),
            Ok(Ok(response)) => judge(probe, &response, &shown),
            Ok(Err(SendFailure::Configuration(message))) => (Verdict::Refused, message),
            Ok(Err(SendFailure::Address(refused))) => (Verdict::Unclear, format!("{shown}: {refused}")),
            Ok(Err(SendFailure::Transport(message))) => (Verdict::Unclear, format!("{shown}: {message}")),
        }
    }

    fn proving(&self, probe: &CredentialsProbe) -> Result<Request, Outcome> {
        let Some(http) = &self.config.provider.http else {
            return Err(unusable("spec.probe is for the http provider".into()));
        };
        let uri = address(http, probe).ok_or_else(|| unusable("spec.probe: path or url is no address".into()))?;
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        for given in http.headers.iter().flatten() {
            let value = self.secrets.value(given.value.as_deref(), given.value_from.as_ref()).map_err(missing)?;
            let refuse = || unusable(format!("the header {} holds what no header may hold", given.name));
            let name = HeaderName::try_from(&given.name).map_err(|_| refuse())?;
            let mut value = HeaderValue::try_from(value).map_err(|_| refuse())?;
            value.set_sensitive(given.value_from.is_some());
            headers.insert(name, value);
        }
        let method = match probe.method.unwrap_or_default() {
            ProbeMethod::Get => Method::GET,
            ProbeMethod::Head => Method::HEAD,
            ProbeMethod::Post => Method::POST,
        };
        Ok(Request { method, uri, headers, body: bytes::Bytes::new() })
    }
}

/// Where the probe goes.
fn address(http: &HttpProvider, probe: &CredentialsProbe) -> Option<Uri> {
    let url = match (&probe.url, &probe.path) {
        (Some(url), _) => Url::parse(url).ok()?,
        (None, path) => {
            let base = Url::parse(&http.url).ok()?;
            // A path with two slashes in front would lead to another host.
            let joined = base.join(path.as_deref()?).ok()?;
            (joined.origin() == base.origin()).then_some(joined)?
        }
    };
    Uri::try_from(url.as_str()).ok()
}

fn without_query(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or_default();
    format!("{scheme}://{}{}", uri.authority().map_or("", |authority| authority.as_str()), uri.path())
}

fn judge(probe: &CredentialsProbe, response: &Response, shown: &str) -> (Verdict, String) {
    let code = response.status.as_u16();
    let verdict = match code {
        code if probe.proves(code) => Verdict::Accepted,
        // It did not look, or could not.
        408 | 425 | 429 | 500..=599 => Verdict::Unclear,
        _ => Verdict::Refused,
    };
    (verdict, format!("{shown} answered {code}"))
}

/// What could not even be sent.
fn not_made(outcome: Outcome) -> (Verdict, String) {
    match outcome {
        Outcome::Hold { cause: Cause::Credentials | Cause::Vault, failure } => (Verdict::Refused, failure.message),
        Outcome::Hold { failure, .. }
        | Outcome::Rejected(failure)
        | Outcome::Unaccounted(failure)
        | Outcome::Left(failure) => (Verdict::Unclear, failure.message),
        Outcome::Retry { failure, .. } => (Verdict::Unclear, failure.message),
        Outcome::Delivered => (Verdict::Unclear, "nothing was sent".into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_stays_at_the_providers_host() {
        let http: HttpProvider =
            serde_json::from_value(json!({ "url": "https://api.example.com/v1/contacts" })).unwrap();
        let at = |probe: serde_json::Value| {
            let uri = address(&http, &serde_json::from_value(probe).unwrap());
            uri.map(|uri| (uri.to_string(), without_query(&uri)))
        };
        let (whole, shown) = at(json!({ "path": "/v1/me?token=x" })).unwrap();
        assert_eq!(
            (whole.as_str(), shown.as_str()),
            ("https://api.example.com/v1/me?token=x", "https://api.example.com/v1/me")
        );
        assert_eq!(at(json!({ "path": "//evil.example/me" })), None);
        assert_eq!(at(json!({ "url": "https://login.example.com/me" })).unwrap().0, "https://login.example.com/me");
    }
}
