//! How those who send to an HTTP address prove who they are.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{
    hmac::Hmac,
    preset::{
        HubSpotVerification, HubSpotVersion, SendGridVerification, SignedBody, SignedBodyAndTime, StandardWebhooks,
    },
    token::{ApiKeyVerification, BasicVerification, BearerVerification, JwtVerification, MtlsVerification},
};
use crate::secret_ref::{SecretKeyRef, SecretValue, Value};

/// How senders prove who they are: exactly one way. Several keys allow rotation.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.standardWebhooks), has(self.github), has(self.stripe), has(self.shopify), has(self.hubspot), has(self.segment), has(self.greenhouse), has(self.lever), has(self.slack), has(self.sendgrid), has(self.hmac), has(self.bearer), has(self.basic), has(self.apiKey), has(self.jwt), has(self.mtls)].filter(given, given).size() == 1").message("give exactly one way of verification"))]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// Signatures as standardwebhooks.com describes them (`webhook-id`, `webhook-timestamp`, `webhook-signature`; Svix's
    /// names of them too).
    pub standard_webhooks: Option<StandardWebhooks>,
    /// GitHub: `X-Hub-Signature-256`.
    pub github: Option<SignedBody>,
    /// Stripe: `Stripe-Signature`.
    pub stripe: Option<SignedBodyAndTime>,
    /// Shopify: `X-Shopify-Hmac-SHA256`.
    pub shopify: Option<SignedBody>,
    /// HubSpot: `X-HubSpot-Signature-v3`, or the older `X-HubSpot-Signature`.
    pub hubspot: Option<HubSpotVerification>,
    /// Segment: `X-Signature`. Of a batch Segment signs the first event only: use TLS and a path that nobody can guess.
    pub segment: Option<SignedBody>,
    /// Greenhouse: `Signature`.
    pub greenhouse: Option<SignedBody>,
    /// Lever: `signature`, `token` and `triggeredAt` in the body. Lever does not sign the rest of the body: use TLS and a
    /// path that nobody can guess.
    pub lever: Option<SignedBodyAndTime>,
    /// Slack: `X-Slack-Signature`.
    pub slack: Option<SignedBodyAndTime>,
    /// Twilio SendGrid's event webhook: `X-Twilio-Email-Event-Webhook-Signature`.
    pub sendgrid: Option<SendGridVerification>,
    /// An HMAC over parts of the request, for senders with a form of their own.
    pub hmac: Option<Hmac>,
    /// A token in `Authorization: Bearer …`.
    pub bearer: Option<BearerVerification>,
    /// User name and password in `Authorization: Basic …`.
    pub basic: Option<BasicVerification>,
    /// A key in a header or a query parameter.
    pub api_key: Option<ApiKeyVerification>,
    /// A JSON Web Token in `Authorization: Bearer …`, signed by an issuer.
    pub jwt: Option<JwtVerification>,
    /// A client certificate.
    pub mtls: Option<MtlsVerification>,
}

impl Verification {
    /// Every Secret key that this verification needs.
    pub fn secret_keys(&self) -> Vec<&SecretKeyRef> {
        let Self { standard_webhooks, hubspot, sendgrid, hmac, bearer, basic, api_key, jwt, mtls, .. } = self;
        let Self { github, stripe, shopify, segment, greenhouse, lever, slack, .. } = self;
        let bodies = [github, shopify, segment, greenhouse].into_iter().flatten().flat_map(|it| &it.secrets);
        let timed = [stripe, lever, slack].into_iter().flatten().flat_map(|it| &it.secrets);
        let secrets = bodies
            .chain(timed)
            .chain(standard_webhooks.iter().filter_map(|it| it.secrets.as_ref()).flatten())
            .chain(hubspot.iter().flat_map(|it| &it.secrets))
            .chain(hmac.iter().flat_map(|it| &it.secrets))
            .chain(bearer.iter().flat_map(|it| &it.tokens))
            .chain(basic.iter().flat_map(|it| &it.passwords))
            .chain(api_key.iter().flat_map(|it| &it.values));
        let public = standard_webhooks.iter().filter_map(|it| it.public_keys.as_ref()).flatten();
        let values =
            public.chain(sendgrid.iter().flat_map(|it| &it.public_keys)).chain(basic.iter().map(|it| &it.username));
        let authorities = jwt.iter().filter_map(|it| it.ca_ref.as_ref()).chain(mtls.iter().map(|it| &it.ca_ref));
        secrets.filter_map(SecretValue::key).chain(values.filter_map(Value::key)).chain(authorities).collect()
    }

    /// Whether the address that the sender called is part of what is signed.
    pub fn signs_url(&self) -> bool {
        let hubspot = self.hubspot.as_ref().map(|it| it.version.unwrap_or_default());
        let parts = self.hmac.iter().filter_map(|it| it.signed.as_ref()).flatten();
        matches!(hubspot, Some(HubSpotVersion::V2 | HubSpotVersion::V3))
            || parts.into_iter().any(|it| it.url == Some(true))
    }
}
