//! A JSON Web Token that an issuer signed: the issuer's keys are fetched when they are needed, kept, and fetched again for a
//! key that is not known or after an hour. While they can't be fetched, those that are known are used.

use std::{
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    jwk::{AlgorithmParameters, Jwk},
};
use ropeway_auth::{
    discovery::{DiscoveryError, discover, fetch},
    http::HttpDoor,
};
use ropeway_crds::source::{JwtAlgorithm, JwtVerification};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use super::{Verified, VerifyError, token::credentials};

/// How long keys are used before they are looked at again.
const FRESH: SignedDuration = SignedDuration::from_hours(1);

/// Two attempts to fetch keys lie at least this far apart: a sender that makes keys up can't make us ask for each.
const BETWEEN: SignedDuration = SignedDuration::from_secs(10);

/// How long the issuer may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// How far the issuer's clock may be off where the Integration does not say.
const SKEW: SignedDuration = SignedDuration::from_mins(1);

/// The most keys of one issuer that are kept.
const MOST_KEYS: usize = 64;

/// The length of an Ed25519 key in bytes.
const ED25519_KEY: usize = 32;

/// The issuer's keys can't be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to fetch the keys of the issuer {issuer}: {why}")]
pub struct KeysError {
    issuer: String,
    why: String,
}

/// An issuer with its keys.
#[derive(Debug)]
pub struct Issuer {
    spec: JwtVerification,
    door: HttpDoor,
    keys: RwLock<Arc<Keys>>,
    /// Held by the one who fetches.
    fetching: Mutex<()>,
}

#[derive(Debug, Default)]
struct Keys {
    keys: Vec<Jwk>,
    fetched: Option<Timestamp>,
    tried: Option<Timestamp>,
}

/// What became of a wish to see the issuer's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// They are as they were after the request came.
    Done,
    /// They were fetched, or that was tried, so short a time ago that it is not done again yet.
    TooSoon,
}

/// The claims that are judged here; the rest of the token is nobody's business.
#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    exp: Option<f64>,
    nbf: Option<f64>,
}

impl Issuer {
    /// An issuer whose keys are fetched through this door.
    pub fn new(spec: JwtVerification, door: HttpDoor) -> Self {
        Self { spec, door, keys: RwLock::default(), fetching: Mutex::default() }
    }

    /// An issuer whose keys were fetched at that moment. What is no key that is known here is left out.
    pub fn with_keys(spec: JwtVerification, door: HttpDoor, keys: Vec<Value>, fetched: Timestamp) -> Self {
        let keys = Keys { keys: usable(keys), fetched: Some(fetched), tried: Some(fetched) };
        Self { keys: RwLock::new(Arc::new(keys)), ..Self::new(spec, door) }
    }

    /// Judges the token of a request.
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub async fn verify(&self, headers: &HeaderMap, now: Timestamp) -> Result<Verified, VerifyError> {
        let token = credentials(headers, "bearer")?;
        let header = decode_header(token).map_err(|_| VerifyError::Refused("not a token"))?;
        if !self.algorithms().contains(&header.alg) {
            return Err(VerifyError::Refused("the token's algorithm is not allowed"));
        }
        let keys = self.keys_for(header.kid.as_deref(), now).await?;
        let claims = keys
            .iter()
            .find_map(|key| {
                let key = DecodingKey::from_jwk(key).ok()?;
                decode::<Claims>(token, &key, &self.validation(header.alg)).ok()
            })
            .ok_or(VerifyError::Refused("no key of the issuer fits, or issuer or audience are others"))?
            .claims;
        self.judge(&claims, now)
    }

    /// Signature, issuer and audience are judged by the library; times are judged here, by the clock that is handed in.
    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[&self.spec.issuer]);
        let audiences: Vec<&String> = self.spec.audiences.iter().map(|text| &text.0).collect();
        validation.set_audience(&audiences);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_exp = false;
        validation
    }

    fn judge(&self, claims: &Claims, now: Timestamp) -> Result<Verified, VerifyError> {
        let skew = self.spec.clock_skew.and_then(|skew| SignedDuration::try_from(skew.std()).ok()).unwrap_or(SKEW);
        let (now, skew) = (now.as_millisecond() as f64 / 1000.0, skew.as_secs_f64());
        if !claims.exp.is_some_and(|expires| now - skew < expires) {
            return Err(VerifyError::Refused("the token has expired"));
        }
        if !claims.nbf.is_none_or(|begins| begins <= now + skew) {
            return Err(VerifyError::Refused("the token is not valid yet"));
        }
        let allowed = |subject: &str| self.spec.subjects.iter().flatten().any(|text| text.0 == subject);
        if self.spec.subjects.is_some() && !claims.sub.as_deref().is_some_and(allowed) {
            return Err(VerifyError::Refused("the token's subject is not allowed"));
        }
        // A token may be used for many events, so its id says nothing about one of them.
        Ok(Verified::default())
    }

    fn algorithms(&self) -> Vec<Algorithm> {
        let given = self.spec.algorithms.as_deref().unwrap_or(&[JwtAlgorithm::Rs256, JwtAlgorithm::Es256]);
        given.iter().map(|given| algorithm(*given)).collect()
    }

    /// The keys that may have signed: the one with this id, or all where the token names none.
    async fn keys_for(&self, id: Option<&str>, now: Timestamp) -> Result<Vec<Jwk>, VerifyError> {
        let known = self.known();
        let found = known.of(id);
        let stale = known.fetched.is_none_or(|fetched| now.duration_since(fetched) > FRESH);
        if !found.is_empty() && !stale {
            return Ok(found);
        }
        let fetched = self.fetch_once(&known, now).await;
        let found = self.known().of(id);
        match (fetched, found.is_empty()) {
            (Err(error), true) => Err(error.into()),
            // The issuer may have made the key since.
            (Ok(Look::TooSoon), true) => Err(VerifyError::NotYet),
            _ => Ok(found),
        }
    }

    /// Fetches the keys unless somebody else just did, or tried.
    async fn fetch_once(&self, seen: &Arc<Keys>, now: Timestamp) -> Result<Look, KeysError> {
        let _alone = self.fetching.lock().await;
        let known = self.known();
        if !Arc::ptr_eq(&known, seen) && known.fetched != seen.fetched {
            return Ok(Look::Done);
        }
        let error = |why: String| KeysError { issuer: self.spec.issuer.clone(), why };
        if known.tried.is_some_and(|tried| now.duration_since(tried) < BETWEEN) {
            return match known.fetched {
                Some(_) => Ok(Look::TooSoon),
                None => Err(error("the last attempt failed a moment ago".into())),
            };
        }
        let fetched = self.fetch().await.map_err(|why| error(why.to_string()));
        let next = match &fetched {
            Ok(keys) => Keys { keys: keys.clone(), fetched: Some(now), tried: Some(now) },
            Err(error) => {
                tracing::warn!(%error, "an issuer's keys could not be fetched; those that are known are used");
                Keys { keys: known.keys.clone(), fetched: known.fetched, tried: Some(now) }
            }
        };
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        fetched.map(|_| Look::Done)
    }

    async fn fetch(&self) -> Result<Vec<Jwk>, DiscoveryError> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let address = match &self.spec.jwks_url {
            Some(address) => address.clone(),
            None => {
                let found = discover(&self.door, &self.spec.issuer, DEADLINE).await?;
                found.jwks_uri.ok_or_else(|| DiscoveryError("its configuration names no keys".into()))?
            }
        };
        let set: Set = fetch(&self.door, &address, DEADLINE).await?;
        Ok(usable(set.keys))
    }

    fn known(&self) -> Arc<Keys> {
        let kept: RwLockReadGuard<'_, Arc<Keys>> = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&kept)
    }
}

impl Keys {
    fn of(&self, id: Option<&str>) -> Vec<Jwk> {
        let fits = |key: &&Jwk| id.is_none_or(|id| key.common.key_id.as_deref() == Some(id));
        self.keys.iter().filter(fits).cloned().collect()
    }
}

/// The keys of a set, which may hold some for other purposes and of kinds that nobody here knows.
fn usable(keys: Vec<Value>) -> Vec<Jwk> {
    let keys = keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
    keys.filter(is_whole).take(MOST_KEYS).collect()
}

/// Whether a key is as long as it must be: the library cuts Ed25519 keys at 32 bytes without a look at their length.
fn is_whole(key: &Jwk) -> bool {
    match &key.algorithm {
        AlgorithmParameters::OctetKeyPair(pair) => {
            BASE64_URL_SAFE_NO_PAD.decode(&pair.x).is_ok_and(|bytes| bytes.len() == ED25519_KEY)
        }
        _ => true,
    }
}

fn algorithm(given: JwtAlgorithm) -> Algorithm {
    match given {
        JwtAlgorithm::Rs256 => Algorithm::RS256,
        JwtAlgorithm::Rs384 => Algorithm::RS384,
        JwtAlgorithm::Rs512 => Algorithm::RS512,
        JwtAlgorithm::Ps256 => Algorithm::PS256,
        JwtAlgorithm::Ps384 => Algorithm::PS384,
        JwtAlgorithm::Ps512 => Algorithm::PS512,
        JwtAlgorithm::Es256 => Algorithm::ES256,
        JwtAlgorithm::Es384 => Algorithm::ES384,
        JwtAlgorithm::EdDsa => Algorithm::EdDSA,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// One that is too short made the library panic while it judged a token.
    #[test]
    fn keys_of_another_length_than_they_must_have_are_left_out() {
        let key = |x: &str| json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
        let whole = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let keys = vec![key(whole), key(&whole[..40]), key(&whole.repeat(2)), key("*"), key("")];
        let found = usable(keys);
        assert_eq!(found.len(), 1, "{found:?}");
    }
}
