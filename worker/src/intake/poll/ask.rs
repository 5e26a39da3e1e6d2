//! Asking with our credentials.

use http::StatusCode;
use ropeway_auth::{
    credentials::{CredentialError, Proof, Renewal},
    http::{Request, Response, SendFailure},
    secret::SecretError,
    token::TokenError,
    vault::VaultTrouble,
};
use ropeway_crds::report::Problem;

use super::{Poller, run::problem, work::Attempt};

impl Poller {
    /// Asks with our credentials, and once more with new ones if the server refuses what they gave.
    pub(super) async fn ask(&self, request: Request) -> Result<Result<Response, SendFailure>, Attempt> {
        let (answer, proof) = self.ask_once(request.clone()).await?;
        let refused = answer.as_ref().is_ok_and(|answer| answer.status == StatusCode::UNAUTHORIZED);
        let Some(credentials) = self.credentials.as_ref().filter(|_| refused) else { return Ok(answer) };
        let again = match credentials.refused(&proof) {
            Renewal::Own => true,
            Renewal::Vault => credentials.renew().await,
            Renewal::None | Renewal::Broker(_) => false,
        };
        if again { Ok(self.ask_once(request).await?.0) } else { Ok(answer) }
    }

    async fn ask_once(&self, mut request: Request) -> Result<(Result<Response, SendFailure>, Proof), Attempt> {
        let proof = match &self.credentials {
            Some(credentials) => credentials.apply(&mut request).await.map_err(unproved)?,
            None => Proof::default(),
        };
        Ok((self.door.send(request, self.plan.timeout).await, proof))
    }
}

/// Without credentials nothing is asked; whether that passes by itself depends on why.
fn unproved(error: CredentialError) -> Attempt {
    let why = problem("PollRefused", &format!("spec.source.poll.auth: {error}"));
    match error {
        CredentialError::Token(TokenError::Unavailable { after, .. }) => Attempt::Trouble { wish: after, why },
        CredentialError::Secret(error) | CredentialError::Token(TokenError::Secret(error)) => missing(error, why),
        _ => Attempt::Fatal(why),
    }
}

/// Without a value nothing is asked. A vault that is away comes back; the run goes on from where it is.
pub(super) fn missing(error: SecretError, why: Problem) -> Attempt {
    match error {
        SecretError::Vault(error) => match error.trouble {
            VaultTrouble::Passes(wish) => Attempt::Trouble { wish, why },
            VaultTrouble::Refused | VaultTrouble::Address => Attempt::Fatal(why),
        },
        _ => Attempt::Fatal(why),
    }
}
