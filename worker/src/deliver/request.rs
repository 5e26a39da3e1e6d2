//! How records become one request: what the Destination's spec says, what Secrets hold, and credentials.

use jiff::Timestamp;
use ropeway_auth::http::Request;
use ropeway_crds::{
    provider::{HttpProvider, Provider},
    secret_ref::SecretValue,
};
use secrecy::ExposeSecret;

use super::{
    Deliverer,
    waits::{missing, unusable},
};
use crate::{
    map::Record,
    provider::{
        self, Outcome, Sending,
        http::{Frame, RequestError},
    },
};

impl Deliverer {
    pub(super) fn request(&self, records: &[&Record]) -> Result<Request, Outcome> {
        if let Some(vendor) = &self.vendor {
            let secrets = self.config.provider.vendor_secrets().map(|secret| match self.shadow_of {
                // What is kept for a look holds no secret.
                Some(_) => Ok("<redacted>".to_owned()),
                None => self.text(secret),
            });
            let secrets = secrets.collect::<Result<Vec<_>, _>>()?;
            let sending = Sending { now: Timestamp::now(), secrets: &secrets };
            return vendor.request(records, sending).map_err(|error| unusable(error.to_string()));
        }
        let Provider { http, webhook, .. } = &self.config.provider;
        let made = match (http, webhook, records) {
            (Some(http), _, _) => match self.frame.get() {
                Some(frame) => provider::http::request(frame, records),
                None => self.frame(http)?.and_then(|frame| provider::http::request(&frame, records)),
            },
            (_, Some(webhook), [record]) => {
                let keys = webhook.signing.keys.iter().map(|key| self.text(key));
                let keys = keys.collect::<Result<Vec<_>, _>>()?;
                provider::webhook::request(webhook, &keys, record, Timestamp::now())
            }
            _ => return Err(unusable("the Destination names no provider".into())),
        };
        made.map_err(|error| unusable(error.to_string()))
    }

    /// What all requests have in common; kept where nothing of it can change.
    fn frame(&self, http: &HttpProvider) -> Result<Result<Frame, RequestError>, Outcome> {
        let mut values = Vec::new();
        for header in http.headers.iter().flatten() {
            let value = self.secrets.value(header.value.as_deref(), header.value_from.as_ref());
            values.push(value.map_err(missing)?);
        }
        let made = provider::http::frame(http, &values, self.config.idempotency_header.as_deref());
        let changes = http.headers.iter().flatten().any(|header| header.value_from.is_some());
        if let (Ok(frame), false) = (&made, changes) {
            let _ = self.frame.set(frame.clone());
        }
        Ok(made)
    }

    fn text(&self, secret: &SecretValue) -> Result<String, Outcome> {
        self.secrets.secret(secret).map(|text| text.expose_secret().to_owned()).map_err(missing)
    }
}
