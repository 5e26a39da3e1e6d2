//! Asking with our credentials.

use http::StatusCode;
use ropeway_auth::{
    credentials::{CredentialError, Proof, Renewal},
    http::{Request, Response, SendFailure},
    token::TokenError,
};

use super::{Poller, run::problem, work::Attempt};

impl Poller {
    /// Asks with our credentials, and once more with new ones if the server refuses what they gave.
    pub(super) async fn ask(&self, request: Request) -> Result<Result<Response, SendFailure>, Attempt> {
        let (answer, proof) = self.ask_once(request.clone()).await?;
        let refused = answer.as_ref().is_ok_and(|answer| answer.status == StatusCode::UNAUTHORIZED);
        match &self.credentials {
            Some(credentials) if refused && credentials.refused(&proof) == Renewal::Own => {
                Ok(self.ask_once(request).await?.0)
            }
            _ => Ok(answer),
        }
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
        _ => Attempt::Fatal(why),
    }
}
