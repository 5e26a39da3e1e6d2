//! One read, through Microsoft's client.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use azure_core::{
    credentials::{AccessToken as TheirToken, Secret, TokenCredential, TokenRequestOptions},
    error::{Error, ErrorKind},
    http::RawResponse,
    time::OffsetDateTime,
};
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions, models::SecretClientGetSecretOptions};
use ropeway_crds::azure::{AzureIdentity, AzureSettings, VaultSecret, VaultSecretParts};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{VaultError, VaultTrouble};
use crate::{
    azure::through::{DEADLINE, Through, options, wished},
    http::SendFailure,
    keyring::Keyring,
    token::{AccessToken, TokenError},
    tokens::TokenSource,
};

/// Reads by one identity.
#[derive(Debug)]
pub(super) struct Reader {
    identity: AzureIdentity,
    keyring: Keyring,
    settings: Arc<AzureSettings>,
    /// One for each vault.
    clients: Mutex<BTreeMap<String, Arc<Client>>>,
}

struct Client {
    secrets: SecretClient,
    prover: Arc<Prover>,
    through: Arc<Through>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Reader {
    pub(super) fn new(identity: AzureIdentity, keyring: &Keyring) -> Self {
        let settings = Arc::clone(&keyring.azure);
        Self { identity, keyring: keyring.clone(), settings, clients: Mutex::default() }
    }

    /// Reads a secret.
    pub(super) async fn read(&self, secret: &VaultSecret) -> Result<SecretString, VaultError> {
        let parts = secret.parts().ok_or_else(|| {
            VaultError::refused("azureKeyVault is no identifier; give https://VAULT/secrets/NAME or …/NAME/VERSION")
        })?;
        let client = self.client(parts)?;
        let options = SecretClientGetSecretOptions {
            secret_version: parts.version.map(str::to_owned),
            ..SecretClientGetSecretOptions::default()
        };
        let asked = tokio::time::timeout(2 * DEADLINE, client.secrets.get_secret(parts.name, Some(options))).await;
        let late = |_| VaultError::passes(format!("the vault {} does not answer", parts.host), None);
        let answer = asked.map_err(late)?.map_err(|error| client.told(parts, &error))?;
        let unreadable =
            || VaultError::passes(format!("the vault {} gives an answer that can't be read", parts.host), None);
        let model = answer.into_model().map_err(|_| unreadable())?;
        let value = SecretString::from(model.value.ok_or_else(unreadable)?);
        if value.expose_secret().trim().is_empty() {
            return Err(VaultError::refused(format!("the secret {} in the vault {} is empty", parts.name, parts.host)));
        }
        Ok(value)
    }

    fn client(&self, parts: VaultSecretParts<'_>) -> Result<Arc<Client>, VaultError> {
        let host = parts.host;
        let resource = self.settings.vault_resource(host).ok_or_else(|| {
            VaultError::refused(format!(
                "{host} is no vault: none of Microsoft's, and none that the administrator allows (azure.vaultHosts)"
            ))
        })?;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(parts.vault) {
            return Ok(Arc::clone(client));
        }
        let scope = format!("{resource}/.default");
        let identity = AzureIdentity { scope: Some(scope.clone()), ..self.identity.clone() };
        let prover = Arc::new(Prover { source: self.keyring.identity(&identity), scope, state: Mutex::default() });
        let through = Through::new(self.keyring.door(None));
        let credential: Arc<dyn TokenCredential> = Arc::<Prover>::clone(&prover);
        let settings = SecretClientOptions {
            client_options: options(Arc::<Through>::clone(&through)),
            // Somebody who poses as a vault must not be given a token that is good at others.
            verify_challenge_resource: Some(!self.settings.is_added(host)),
            ..SecretClientOptions::default()
        };
        let secrets = SecretClient::new(parts.vault, credential, Some(settings))
            .map_err(|_| VaultError::refused(format!("the vault {host} can't be asked")))?;
        let client = Arc::new(Client { secrets, prover, through });
        clients.insert(parts.vault.to_owned(), Arc::clone(&client));
        Ok(client)
    }
}

impl Client {
    /// What an error means, and what helps.
    fn told(&self, parts: VaultSecretParts<'_>, error: &Error) -> VaultError {
        let VaultSecretParts { host, .. } = parts;
        // Reads at the same time have one cause.
        let unproved = matches!(error.kind(), ErrorKind::Credential).then(|| self.prover.state().failure.clone());
        if let Some(error) = unproved.flatten() {
            let trouble = match &error {
                TokenError::Unavailable { after, .. } => VaultTrouble::Passes(*after),
                TokenError::Address(_) => VaultTrouble::Address,
                _ => VaultTrouble::Refused,
            };
            return VaultError { trouble, message: format!("keyVaultIdentity: {error}") };
        }
        match self.through.failure() {
            Some(SendFailure::Address(refused)) => {
                return VaultError { trouble: VaultTrouble::Address, message: refused.to_string() };
            }
            Some(SendFailure::Configuration(why) | SendFailure::Transport(why)) => {
                return VaultError::passes(format!("the vault {host} can't be asked: {why}"), None);
            }
            None => {}
        }
        match error.kind() {
            ErrorKind::HttpResponse { status, raw_response, .. } => {
                // One that is too young to have ended was refused for good.
                if *status == 401 && self.prover.give_up() {
                    return VaultError::passes(
                        format!("the vault {host} does not take our token any more; another one is asked for"),
                        None,
                    );
                }
                answered(u16::from(*status), raw_response.as_deref(), parts)
            }
            // A read at the same time may have taken the cause that both had.
            ErrorKind::Io | ErrorKind::Connection | ErrorKind::Credential => {
                VaultError::passes(format!("the vault {host} can't be asked just now"), None)
            }
            ErrorKind::DataConversion => {
                VaultError::passes(format!("the vault {host} gives an answer that can't be read"), None)
            }
            _ => VaultError::refused(format!("{host} does not answer as a vault of its domain does")),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
struct Refusal {
    error: Said,
}

#[derive(Debug, Default, Deserialize)]
struct Said {
    code: Option<String>,
    innererror: Option<Inner>,
}

#[derive(Debug, Default, Deserialize)]
struct Inner {
    code: Option<String>,
}

/// What a vault's refusal means. Of what it says only the code is shown.
fn answered(status: u16, response: Option<&RawResponse>, parts: VaultSecretParts<'_>) -> VaultError {
    let VaultSecretParts { host, name, version, .. } = parts;
    let said = response.and_then(|response| response.body().json::<Refusal>().ok()).unwrap_or_default().error;
    let inner = said.innererror.and_then(|inner| inner.code);
    let code: String = inner.or(said.code).unwrap_or_default();
    let code: String = code.chars().filter(char::is_ascii_alphanumeric).take(48).collect();
    let which = version.map_or_else(|| name.to_owned(), |version| format!("{name} in version {version}"));
    match status {
        401 => VaultError::refused(format!(
            "the vault {host} does not take our token; keyVaultIdentity must be of the directory that the vault trusts"
        )),
        403 if code.contains("Disabled") => {
            VaultError::refused(format!("the secret {which} in the vault {host} is disabled; enable it"))
        }
        403 => VaultError::refused(format!(
            "keyVaultIdentity may not read the secret {which} in the vault {host} ({code}); give it the role Key Vault \
             Secrets User, and look at the vault's firewall"
        )),
        404 => VaultError::refused(format!(
            "there is no secret {which} in the vault {host}; create or recover it, or correct the identifier"
        )),
        408 | 429 | 500..=599 => VaultError::passes(
            format!("the vault {host} answered {status}"),
            response.and_then(|response| wished(response.headers())),
        ),
        _ => VaultError::refused(format!("the vault {host} answered {status} ({code}) for the secret {which}")),
    }
}

/// Shows a vault the tokens of an identity, and no other token.
struct Prover {
    source: Arc<TokenSource>,
    scope: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failure: Option<TokenError>,
    given: Option<Arc<AccessToken>>,
}

impl std::fmt::Debug for Prover {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Prover").field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl Prover {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives up the token that was refused. Says whether another one may do.
    fn give_up(&self) -> bool {
        let given = self.state().given.take();
        given.is_some_and(|given| self.source.refused(&given))
    }
}

#[async_trait::async_trait]
impl TokenCredential for Prover {
    async fn get_token(&self, scopes: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<TheirToken> {
        let refuse = |what: String| Error::with_message(ErrorKind::Credential, what);
        if scopes != [self.scope.as_str()] {
            return Err(Error::with_message(ErrorKind::Other, "a vault asks for tokens of another resource"));
        }
        match self.source.token().await {
            Ok(token) => {
                let left = token.ends.saturating_duration_since(Instant::now());
                let value = Secret::new(token.value.expose_secret().to_owned());
                self.state().given = Some(token);
                Ok(TheirToken::new(value, OffsetDateTime::now_utc() + left))
            }
            Err(error) => {
                let message = error.to_string();
                self.state().failure = Some(error);
                Err(refuse(message))
            }
        }
    }
}
