//! Asking with our credentials.

use http::StatusCode;
use ropeway_auth::{
    credentials::{CredentialError, Proof},
    http::{Request, Response, SendFailure},
    secret::SecretError,
    token::TokenError,
    vault::VaultTrouble,
};
use ropeway_crds::{
    poll::{Run, Validators},
    report::Problem,
};
use url::Url;

use super::{
    Poller,
    request::{PageRequest, request},
    run::problem,
    work::Attempt,
};
use crate::authenticate::{Refused, WISHED};

/// What came back for a page.
pub(super) struct Asked {
    pub(super) answer: Result<Response, SendFailure>,
    /// What was asked.
    pub(super) url: Url,
    /// What stands for the request.
    pub(super) stands_for: String,
}

impl Poller {
    /// Asks for a page, and once more where values out of Key Vault were refused that have changed since.
    pub(super) async fn ask_for_page(
        &self,
        run: &Run,
        until: Option<&str>,
        validators: Option<&Validators>,
    ) -> Result<Asked, Attempt> {
        self.secrets.ready(&self.vaulted).await;
        let asked = self.ask_with_values(run, until, validators).await?;
        let refused = asked.answer.as_ref().is_ok_and(|answer| answer.status == StatusCode::UNAUTHORIZED);
        if refused && !self.vaulted.is_empty() && self.secrets.renew(&self.vaulted).await {
            return self.ask_with_values(run, until, validators).await;
        }
        Ok(asked)
    }

    async fn ask_with_values(
        &self,
        run: &Run,
        until: Option<&str>,
        validators: Option<&Validators>,
    ) -> Result<Asked, Attempt> {
        let values = self.values().map_err(|attempt| *attempt)?;
        let PageRequest { request, url, stands_for } =
            request(&self.plan, run, until, &values, validators).map_err(Attempt::Fatal)?;
        let answer = self.ask(request).await?;
        Ok(Asked { answer, url, stands_for })
    }

    /// Asks with our credentials, and once more with new ones if the server refuses what they gave.
    async fn ask(&self, request: Request) -> Result<Result<Response, SendFailure>, Attempt> {
        let (answer, proof) = self.ask_once(request.clone()).await?;
        let (Some(authenticator), Ok(Response { status, .. })) = (&self.authenticator, &answer) else {
            return Ok(answer);
        };
        if status.is_success() {
            authenticator.credentials().accepted(&proof);
        }
        if *status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        match authenticator.refused(&proof).await {
            Refused::Finally => Ok(answer),
            Refused::Renewed => Ok(self.ask_once(request).await?.0),
            Refused::Wished => {
                let why = problem("PollRefused", &format!("spec.source.poll.auth: {WISHED}"));
                Err(Attempt::Trouble { wish: None, why })
            }
        }
    }

    async fn ask_once(&self, mut request: Request) -> Result<(Result<Response, SendFailure>, Proof), Attempt> {
        let proof = match &self.authenticator {
            Some(authenticator) => authenticator.credentials().apply(&mut request).await.map_err(unproved)?,
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
