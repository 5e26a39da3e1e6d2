//! Stage observe: an Integration comes in, [`Observed`] goes out: everything that the pure stages need to know. Of a
//! Secret only the names of its keys are kept.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret, ServiceAccount};
use kube::ResourceExt;
use ropeway_crds::{
    Destination, DestinationSpec, Integration, IntegrationSpec,
    azure::{AzureIdentity, AzureSettings},
    mapping::Mapping,
    reference::{destination_settings, source_settings},
    secret_ref::SecretKeyRef,
    source::{Poll, WebhookTls},
};

use crate::{
    args::{SecretAccess, Trust},
    io::kubernetes::{KubeError, Kubernetes},
};

/// The label by which a Secret may be named where the operator is told so, with the value `allowed`.
pub const USE_LABEL: &str = "ropeway.dev/use";

/// The annotation by which a service account allows that workers run under it, with the value `allowed`.
pub const WORKERS_ANNOTATION: &str = "ropeway.dev/workers";

/// An Integration and everything that it names, as they are now. What is named and missing is `None`.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The Integration.
    pub integration: Integration,
    /// UID of its namespace.
    pub namespace_uid: String,
    /// The Destinations that it names, and those whose access tokens these or its source use.
    pub destinations: BTreeMap<String, Option<Account>>,
    /// The Secrets that it or its Destinations name.
    pub secrets: BTreeMap<String, SecretFact>,
    /// The ConfigMaps that it or its Destinations name.
    pub config_maps: BTreeMap<String, Option<BTreeMap<String, String>>>,
    /// The service account that it names.
    pub service_account: Option<AccountFact>,
    /// The claim that a batch source reads from.
    pub claim: Option<ClaimFact>,
    /// What the administrator decided about Azure in its namespace.
    pub azure: AzureSettings,
}

/// Whether a PersistentVolumeClaim is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimFact {
    /// It is.
    There,
    /// It is not.
    Missing,
}

/// What is known of a Secret. Its values are not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SecretFact {
    /// There is none of that name.
    #[default]
    Missing,
    /// It is there, but lacks the label by which it may be used.
    NotAllowed,
    /// It has these keys.
    Keys(BTreeSet<String>),
}

/// A Destination that an Integration names.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// Its UID: what its workers share carries it.
    pub uid: String,
    /// What it says.
    pub spec: DestinationSpec,
}

impl Account {
    /// The part of a Destination that an Integration needs.
    pub fn of(destination: Destination) -> Self {
        Self { uid: destination.uid().unwrap_or_default(), spec: destination.spec }
    }

    /// The other Destination whose access token it uses.
    pub fn token_holder(&self) -> Option<String> {
        self.spec.auth.as_ref()?.token_holder(None).map(str::to_owned)
    }
}

/// Whether a service account may be used by workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountFact {
    /// It says so.
    Allowed,
    /// It does not say so.
    NotAllowed,
    /// There is none of that name.
    Missing,
}

/// The names of what an Integration refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Destinations.
    pub destinations: BTreeSet<String>,
    /// Secrets.
    pub secrets: BTreeSet<String>,
    /// ConfigMaps.
    pub config_maps: BTreeSet<String>,
}

impl References {
    /// What the Integration itself names; the Secrets and ConfigMaps of its Destinations come in addition.
    pub fn of(spec: &IntegrationSpec) -> Self {
        let maps = |mapping: Option<&Mapping>| {
            mapping.and_then(|mapping| mapping.config_map_key_ref.as_ref()).map(|key| key.name.clone())
        };
        let reply = maps(spec.source.request.as_ref().and_then(|request| request.reply.as_ref()));
        let schema = spec.schema.iter().filter_map(|schema| schema.config_map_key_ref.as_ref());
        let schema = schema.map(|key| key.name.clone());
        let settings = source_settings(spec).into_iter().map(|(_, key)| key.name);
        let transforms = spec.destinations.iter().filter_map(|destination| maps(destination.transform.as_ref()));
        let destinations = spec.destinations.iter().map(|destination| destination.r#ref.clone());
        Self {
            destinations: destinations.chain(source_token(spec).map(|(_, name)| name)).collect(),
            secrets: source_keys(spec).into_iter().map(|(_, key)| key.name).collect(),
            config_maps: transforms
                .chain(maps(spec.normalize.as_ref()))
                .chain(schema)
                .chain(reply)
                .chain(settings)
                .collect(),
        }
    }
}

/// The Destination whose access token the source is asked with, with the field that names it.
pub fn source_token(spec: &IntegrationSpec) -> Option<(&'static str, String)> {
    let poll = spec.source.poll.as_ref().and_then(|poll| Some(("spec.source.poll.auth", poll.auth.as_ref()?)));
    let http = spec.source.batch.as_ref().and_then(|batch| batch.from.http.as_ref());
    let file = http.and_then(|http| Some(("spec.source.batch.from.http.auth", http.auth.as_ref()?)));
    let (field, auth) = poll.or(file)?;
    Some((field, auth.token_holder(None)?.to_owned()))
}

/// The Secret keys that the source needs, each with the field that names it.
pub fn source_keys(spec: &IntegrationSpec) -> Vec<(&'static str, SecretKeyRef)> {
    let webhook = spec.source.webhook.iter();
    let verification = webhook.clone().flat_map(|webhook| webhook.verification.secret_keys()).cloned();
    let tls = webhook.filter_map(|webhook| webhook.tls.as_ref()).flat_map(WebhookTls::secret_keys);
    let verification = verification.map(|key| ("spec.source.webhook.verification", key));
    let tls = tls.map(|key| ("spec.source.webhook.tls.certificateRef", key));
    let request = spec.source.request.iter();
    let asked = request.clone().flat_map(|request| request.verification.secret_keys()).cloned();
    let asked = asked.map(|key| ("spec.source.request.verification", key));
    let asked_tls = request.filter_map(|request| request.tls.as_ref()).flat_map(WebhookTls::secret_keys);
    let request = asked.chain(asked_tls.map(|key| ("spec.source.request.tls.certificateRef", key)));
    let poll = spec.source.poll.iter().flat_map(Poll::secret_keys).map(|key| ("spec.source.poll", key));
    let batch = spec.source.batch.iter().flat_map(|batch| batch.secret_keys());
    let batch = batch.map(|key| ("spec.source.batch.from", key));
    let vaults = spec.key_vault_identity.iter().flat_map(AzureIdentity::secret_keys);
    let vaults = vaults.map(|key| ("spec.keyVaultIdentity", key));
    verification.chain(tls).chain(request).chain(poll).chain(batch).chain(vaults).collect()
}

impl Observed {
    /// Everything that is referred to.
    pub fn references(&self) -> References {
        let keys = |named: Vec<&String>| named.into_iter().cloned().collect();
        References {
            destinations: keys(self.destinations.keys().collect()),
            secrets: keys(self.secrets.keys().collect()),
            config_maps: keys(self.config_maps.keys().collect()),
        }
    }
}

/// Reads what an Integration refers to.
///
/// # Errors
/// If a read fails; what is missing is no error.
pub async fn observe(
    kubernetes: &Kubernetes,
    integration: &Integration,
    namespace_uid: &str,
    trust: Trust,
) -> Result<Observed, KubeError> {
    let namespace = integration.namespace().unwrap_or_default();
    let direct = References::of(&integration.spec);
    let mut destinations = BTreeMap::new();
    let (mut wanted_secrets, mut wanted_maps) = (direct.secrets, direct.config_maps);
    let mut wanted: Vec<String> = direct.destinations.into_iter().collect();
    while let Some(name) = wanted.pop() {
        if destinations.contains_key(&name) {
            continue;
        }
        let found = kubernetes.get::<Destination>(&namespace, &name).await?.map(Account::of);
        wanted.extend(found.iter().filter_map(Account::token_holder));
        wanted_secrets.extend(found.iter().flat_map(|account| account.spec.secret_keys()).map(|key| key.name));
        let settings = found.iter().flat_map(|account| destination_settings(&account.spec));
        wanted_maps.extend(settings.map(|(_, key)| key.name));
        destinations.insert(name, found);
    }
    let mut secrets = BTreeMap::new();
    for name in wanted_secrets {
        let fact = secret_fact(kubernetes, &namespace, &name, trust.secrets).await?;
        secrets.insert(name, fact);
    }
    let mut config_maps = BTreeMap::new();
    for name in wanted_maps {
        let found = kubernetes.get::<ConfigMap>(&namespace, &name).await?;
        config_maps.insert(name, found.map(|found| found.data.unwrap_or_default()));
    }
    let account = integration.spec.template.as_ref().and_then(|template| template.service_account_name.as_deref());
    let service_account = match account {
        None => None,
        Some(name) => Some(account_fact(kubernetes.get::<ServiceAccount>(&namespace, name).await?)),
    };
    let file = integration.spec.source.batch.as_ref().and_then(|batch| batch.from.file.as_ref());
    let claim = match file {
        None => None,
        Some(file) => match kubernetes.get::<PersistentVolumeClaim>(&namespace, &file.claim_name).await? {
            Some(_) => Some(ClaimFact::There),
            None => Some(ClaimFact::Missing),
        },
    };
    Ok(Observed {
        claim,
        azure: trust.azure,
        integration: integration.clone(),
        namespace_uid: namespace_uid.to_owned(),
        destinations,
        secrets,
        config_maps,
        service_account,
    })
}

/// What is known of a Secret. Its values are dropped here.
///
/// # Errors
/// If the read fails; a missing Secret is no error.
pub async fn secret_fact(
    kubernetes: &Kubernetes,
    namespace: &str,
    name: &str,
    access: SecretAccess,
) -> Result<SecretFact, KubeError> {
    let secret = kubernetes.get::<Secret>(namespace, name).await?;
    Ok(match secret {
        None => SecretFact::Missing,
        Some(secret)
            if access == SecretAccess::Labelled && secret.labels().get(USE_LABEL).is_none_or(|it| it != "allowed") =>
        {
            SecretFact::NotAllowed
        }
        Some(secret) => SecretFact::Keys(secret.data.unwrap_or_default().into_keys().collect()),
    })
}

fn account_fact(account: Option<ServiceAccount>) -> AccountFact {
    match account {
        None => AccountFact::Missing,
        Some(account) if account.annotations().get(WORKERS_ANNOTATION).is_some_and(|value| value == "allowed") => {
            AccountFact::Allowed
        }
        Some(_) => AccountFact::NotAllowed,
    }
}
