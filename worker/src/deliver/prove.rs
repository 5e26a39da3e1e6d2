//! Sending with credentials: what can be renewed is renewed once when the destination refuses it.

use std::{sync::Arc, time::Duration};

use ropeway_auth::{
    credentials::{CredentialError, Proof},
    http::{Request, Response, SendFailure},
    token::TokenError,
};
use ropeway_crds::account::Cause;

use super::{
    Deliverer,
    waits::{missing, unusable},
};
use crate::{
    account::Account,
    authenticate::{Refused, WISHED},
    fault,
    provider::{Failure, Outcome},
};

/// What came back for a request.
pub(super) type Answer = Result<Response, SendFailure>;

impl Deliverer {
    /// Sends a request with our credentials. A 401 to an access token is answered by a new token and the same request, which
    /// counts against the limit like any other; its answer is final.
    pub(super) async fn prove_and_send(
        &self,
        account: &Arc<Account>,
        request: Request,
        deadline: Duration,
    ) -> Result<Answer, Outcome> {
        let Some(authenticator) = self.authenticator.as_ref().filter(|_| self.shadow_of.is_none()) else {
            return Ok(self.door.send(request, deadline).await);
        };
        let credentials = authenticator.credentials();
        let again = credentials.can_renew().then(|| request.clone());
        let (answer, proof) = self.send_once(request, deadline).await?;
        // Whoever judges the record has taken the token.
        let judged = |code: u16| matches!(code, 200..=299 | 400 | 404 | 409 | 410 | 412 | 413 | 415 | 422);
        if answer.as_ref().is_ok_and(|response| judged(response.status.as_u16())) {
            credentials.accepted(&proof);
        }
        if !answer.as_ref().is_ok_and(|response| response.status == 401) {
            return Ok(answer);
        }
        match (authenticator.refused(&proof).await, again) {
            (Refused::Renewed, Some(again)) => {
                account.pace().again().await;
                Ok(self.send_once(again, deadline).await?.0)
            }
            // Until there is another token the event waits.
            (Refused::Wished, _) => {
                let failure = Failure { code: Some(401), message: WISHED.into() };
                Err(Outcome::Hold { cause: Cause::Token, failure })
            }
            (Refused::Finally | Refused::Renewed, _) => Ok(answer),
        }
    }

    /// The time that getting credentials takes is not the destination's.
    async fn send_once(&self, mut request: Request, deadline: Duration) -> Result<(Answer, Proof), Outcome> {
        let proof = match self.credentials() {
            Some(credentials) => credentials.apply(&mut request).await.map_err(without_credentials)?,
            None => Proof::default(),
        };
        fault::proved(&request);
        Ok((self.door.send(request, deadline).await, proof))
    }
}

/// Nothing is wrong with the event where there are no credentials, so it waits.
fn without_credentials(error: CredentialError) -> Outcome {
    let cause = match &error {
        CredentialError::Secret(error) | CredentialError::Token(TokenError::Secret(error)) => {
            return missing(error.clone());
        }
        CredentialError::Unusable(message) => return unusable(message.clone()),
        CredentialError::Token(TokenError::Unavailable { .. }) => Cause::Token,
        CredentialError::Token(TokenError::Address(_)) => Cause::Address,
        CredentialError::Token(TokenError::Refused(_) | TokenError::GrantRefused(_) | TokenError::Unusable(_)) => {
            Cause::Credentials
        }
    };
    Outcome::Hold { cause, failure: Failure::silent(error.to_string()) }
}
