//! From manifests to what the operator would make of them: its own resolve and plan, on files instead of an API server.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use ropeway_crds::{Integration, condition::Finding};
use ropeway_operator::offline::{self, Plan, Resolved, Settings};

use crate::manifest::{Fault, Manifests, Origin, Place};

/// An Integration with what becomes of it.
#[derive(Clone, Debug)]
pub struct Staged {
    /// The Integration, with a made-up UID that stays the same.
    pub integration: Integration,
    /// What the operator makes of it.
    pub plan: Plan,
}

/// The namespace of an object in a file.
pub fn namespace_of(integration: &Integration) -> String {
    integration.namespace().unwrap_or_else(|| "default".into())
}

/// The UID that a namespace has in a local run.
pub fn namespace_uid(namespace: &str) -> String {
    format!("local/{namespace}")
}

/// Judges, resolves and plans every Integration.
///
/// # Errors
/// Everything that is wrong, with file and line.
pub fn stage(manifests: &Manifests, settings: &Settings) -> Result<Vec<Staged>, Vec<Fault>> {
    let broken = rules(manifests);
    match resolve(manifests, settings) {
        Ok(staged) if broken.is_empty() => Ok(staged),
        resolved => Err(broken.into_iter().chain(resolved.err().unwrap_or_default()).collect()),
    }
}

/// Resolves and plans every Integration.
///
/// # Errors
/// Everything that is missing or does not compile, with file and line.
pub fn resolve(manifests: &Manifests, settings: &Settings) -> Result<Vec<Staged>, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut staged = Vec::new();
    let references = references(manifests);
    for (integration, origin) in &manifests.integrations {
        match resolve_one(integration, &references) {
            Ok((integration, resolved)) => {
                staged.push(Staged { plan: offline::plan(&resolved, settings), integration })
            }
            Err(findings) => faults.extend(findings.iter().map(|finding| locate(finding, origin))),
        }
    }
    if faults.is_empty() { Ok(staged) } else { Err(faults) }
}

/// Resolves one Integration as the operator does.
fn resolve_one(
    integration: &Integration,
    references: &offline::Manifests,
) -> Result<(Integration, Resolved), Vec<Finding>> {
    let namespace = namespace_of(integration);
    let mut integration = integration.clone();
    integration.metadata.uid = Some(format!("local/{namespace}/{}", integration.name_any()));
    integration.metadata.namespace = Some(namespace.clone());
    integration.metadata.generation = Some(1);
    let resolved = offline::resolve_manifests(&integration, &namespace_uid(&namespace), references)?;
    Ok((integration, resolved))
}

/// What breaks the rules that the API server judges (CEL), judged here.
pub fn rules(manifests: &Manifests) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut judge = |origin: &Origin, verdict: Result<(), kube::core::cel::ValidationErrors>| {
        for error in verdict.err().into_iter().flatten() {
            faults
                .push(Fault::at(&origin.place(&error.field_path), format!("{}: {}", error.field_path, error.message)));
        }
    };
    for (integration, origin) in &manifests.integrations {
        judge(origin, integration.validate_cel());
    }
    for (destination, origin) in &manifests.destinations {
        judge(origin, destination.validate_cel());
    }
    faults
}

/// A finding at the line of the field that it names: its message begins with the field's path.
fn locate(finding: &Finding, origin: &Origin) -> Fault {
    let path = finding.message.split(": ").next().unwrap_or_default();
    let at_field = |path: &str| origin.place(path);
    let place: Place = if path.starts_with("spec") { at_field(path) } else { at_field("spec") };
    Fault::at(&place, finding.message.clone())
}

fn references(manifests: &Manifests) -> offline::Manifests {
    let keys = |secret: &Secret| {
        let data = secret.data.iter().flat_map(BTreeMap::keys);
        let text = secret.string_data.iter().flat_map(BTreeMap::keys);
        data.chain(text).cloned().collect::<BTreeSet<String>>()
    };
    offline::Manifests {
        destinations: manifests.destinations.iter().map(|(it, _)| (it.name_any(), it.clone())).collect(),
        secrets: manifests.secrets.iter().map(|secret| (secret.name_any(), keys(secret))).collect(),
        config_maps: manifests
            .config_maps
            .iter()
            .map(|map| (map.name_any(), map.data.clone().unwrap_or_default()))
            .collect(),
        azure: manifests.azure.clone(),
    }
}
