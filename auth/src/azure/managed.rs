//! Tokens of an identity that the node or the App Service has, through Microsoft's client.
//!
//! The metadata service is reached from here alone: it stays an address where no delivery may go.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use azure_core::{
    credentials::TokenCredential,
    error::ErrorKind,
    http::{AsyncRawResponse, HttpClient, Request},
};
use azure_identity::{ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId};
use jiff::Timestamp;
use secrecy::SecretString;

use super::through::{DEADLINE, Through, options, wished};
use crate::{
    address::AddressPolicy,
    http::HttpDoor,
    oauth2::answer::{Asked, lasting},
    secret::Secrets,
    token::{AccessToken, TokenError},
};

/// The metadata service of Azure's machines.
const METADATA: &str = "169.254.169.254/32";

/// By which an App Service names the address that its containers ask.
const APP_SERVICE: &str = "IDENTITY_ENDPOINT";

/// Asks for a token.
pub(crate) async fn ask(client_id: Option<&str>, scope: &str, asked: Asked) -> Result<AccessToken, TokenError> {
    ask_through(Through::new(door()), client_id, scope, asked).await
}

/// The door to the metadata service, or to whatever the process was told by its environment.
fn door() -> HttpDoor {
    let ranges = match std::env::var_os(APP_SERVICE) {
        None => vec![METADATA.to_owned()],
        Some(_) => vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()],
    };
    let addresses = AddressPolicy::new(&ranges).expect("the ranges are written as ranges");
    HttpDoor::new(None, Secrets::default(), Arc::new(addresses))
}

async fn ask_through(
    through: Arc<dyn HttpClient>,
    client_id: Option<&str>,
    scope: &str,
    asked: Asked,
) -> Result<AccessToken, TokenError> {
    let once = Arc::new(Once { through, told: Mutex::default() });
    let client: Arc<dyn HttpClient> = Arc::<Once>::clone(&once);
    let credential = ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
        user_assigned_id: client_id.map(|id| UserAssignedId::ClientId(id.to_owned())),
        client_options: options(client),
    }));
    let credential =
        credential.map_err(|error| TokenError::Unusable(format!("the node's identity can't be used: {error}")))?;
    let scopes = [scope];
    let got = tokio::time::timeout(DEADLINE, credential.get_token(&scopes, None)).await;
    let Ok(Ok(token)) = got else { return Err(once.failure()) };
    let lasts = token.expires_on.unix_timestamp().saturating_sub(asked.time.as_second());
    let lasts = Duration::from_secs(u64::try_from(lasts).unwrap_or_default());
    Ok(lasting(SecretString::from(token.token.secret().to_owned()), Some(lasts), None, asked))
}

/// Keeps Microsoft's client from asking again for more than a minute, while a lane waits: when it is asked again is decided
/// where tokens are kept.
#[derive(Debug)]
struct Once {
    through: Arc<dyn HttpClient>,
    /// The status of the answer and when it wants to be asked again; none where there was no answer.
    told: Mutex<Option<(u16, Option<Duration>)>>,
}

#[async_trait::async_trait]
impl HttpClient for Once {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let final_error = |what: String| azure_core::Error::with_message(ErrorKind::Other, what);
        let answer = self.through.execute_request(request).await;
        let answer = answer.map_err(|error| final_error(error.to_string()))?;
        let status = u16::from(answer.status());
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some((status, wished(answer.headers())));
        if answer.status().is_success() { Ok(answer) } else { Err(final_error(status.to_string())) }
    }
}

impl Once {
    /// What the failure means. 404 and 410 pass: the service is being updated. What it says is not shown.
    fn failure(&self) -> TokenError {
        let told = *self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let unavailable = |why: &str| TokenError::Unavailable {
            message: format!("the node's metadata service gives no token: {why}"),
            after: told.and_then(|(_, after)| after),
        };
        match told.map(|(code, _)| code) {
            Some(200..=299) => unavailable("its answer can't be read"),
            Some(code @ (404 | 408 | 410 | 429 | 500..=599)) => unavailable(&format!("it answered {code}")),
            Some(400) => TokenError::Refused(
                "the node's metadata service answered 400: the node lacks that identity, or there is no such scope"
                    .into(),
            ),
            Some(code) => TokenError::Refused(format!("the node's metadata service answered {code}")),
            None => unavailable("it does not answer; is the node one of Azure's, and may the pod reach it?"),
        }
    }
}

/// When a token is asked for.
pub(crate) fn now() -> Asked {
    Asked { instant: Instant::now(), time: Timestamp::now() }
}

#[cfg(test)]
mod tests;
