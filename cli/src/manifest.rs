//! Manifests from files: the same ones that a cluster gets. All problems are reported at once, each with file and line.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;
use ropeway_crds::{Destination, Integration, azure::AzureSettings};
use serde::{Serialize, de::DeserializeOwned};

use crate::located::Node;

/// Where a manifest stands.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The file.
    pub file: PathBuf,
    /// Its document.
    node: Node,
    /// The line before the document's first.
    offset: u64,
}

impl Origin {
    /// The place of a field.
    pub fn place(&self, field: &str) -> Place {
        Place { file: self.file.clone(), line: self.offset + self.node.line_of(field) }
    }
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// Something that is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file.
    pub file: String,
    /// The line, from 1; 0 where the file as a whole is meant.
    pub line: u64,
    /// What is wrong, and what to do about it.
    pub message: String,
}

impl Fault {
    /// Something wrong at this place.
    pub fn at(place: &Place, message: impl Into<String>) -> Self {
        Self { file: place.file.display().to_string(), line: place.line, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// Everything that was found in the files.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// The Integrations.
    pub integrations: Vec<(Integration, Origin)>,
    /// The Destinations.
    pub destinations: Vec<(Destination, Origin)>,
    /// The Secrets.
    pub secrets: Vec<Secret>,
    /// The ConfigMaps.
    pub config_maps: Vec<ConfigMap>,
    /// What an administrator would have decided about Azure.
    pub azure: AzureSettings,
}

/// The YAML files below these paths: files as they are, folders without what is below them, as `kubectl apply -f` does.
///
/// # Errors
/// Names a path that does not exist or a folder without manifests.
pub fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Fault> {
    let mut files = Vec::new();
    for path in paths {
        let fault = |message: String| Fault { file: path.display().to_string(), line: 0, message };
        if path.is_file() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).map_err(|error| fault(format!("can't be read: {error}")))?;
        let mut found: Vec<PathBuf> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|it| is_manifest(it)).collect();
        if found.is_empty() {
            return Err(fault("there is no .yaml, .yml or .json file in this folder".into()));
        }
        found.sort();
        files.append(&mut found);
    }
    Ok(files)
}

fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    path.is_file() && matches!(extension, Some("yaml" | "yml" | "json"))
}

/// Reads manifests.
///
/// # Errors
/// Everything that is wrong with them.
pub fn load(paths: &[PathBuf]) -> Result<Manifests, Vec<Fault>> {
    let mut manifests = Manifests::default();
    let mut faults = Vec::new();
    for file in files(paths).map_err(|fault| vec![fault])? {
        match std::fs::read_to_string(&file) {
            Ok(text) => read(&file, &text, &mut manifests, &mut faults),
            Err(error) => faults.push(Fault {
                file: file.display().to_string(),
                line: 0,
                message: format!("can't be read: {error}"),
            }),
        }
    }
    if faults.is_empty() { Ok(manifests) } else { Err(faults) }
}

/// The documents of a file with the line before each.
fn documents(text: &str) -> Vec<(u64, String)> {
    let mut documents = vec![(0, String::new())];
    for (number, line) in (1u64..).zip(text.lines()) {
        if line == "---" || line.starts_with("--- ") {
            documents.push((number, String::new()));
        } else if let Some((_, document)) = documents.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    let has_content =
        |text: &str| text.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    documents.retain(|(_, document)| has_content(document));
    documents
}

fn read(file: &Path, text: &str, manifests: &mut Manifests, faults: &mut Vec<Fault>) {
    for (offset, document) in documents(text) {
        let node: Node = match serde_saphyr::from_str(&document) {
            Ok(node) => node,
            Err(error) => {
                let line = offset + error.location().map_or(1, |location| location.line());
                let message = error.to_string();
                let message = format!("is not YAML: {}", message.lines().next().unwrap_or_default());
                faults.push(Fault { file: file.display().to_string(), line, message });
                continue;
            }
        };
        let origin = Origin { file: file.to_owned(), node, offset };
        if let Err(fault) = sort_in(origin, &document, manifests) {
            faults.push(fault);
        }
    }
}

fn sort_in(origin: Origin, document: &str, manifests: &mut Manifests) -> Result<(), Fault> {
    let value = origin.node.json();
    let text = |field: &str| value[field].as_str().unwrap_or_default();
    match (text("apiVersion"), text("kind")) {
        ("", _) | (_, "") => Err(Fault::at(&origin.place(""), "is no manifest: it lacks apiVersion or kind")),
        ("ropeway.dev/v1alpha1", "Integration") => {
            let integration: Integration = typed(&origin, document)?;
            manifests.integrations.push((integration, origin));
            Ok(())
        }
        ("ropeway.dev/v1alpha1", "Destination") => {
            let destination: Destination = typed(&origin, document)?;
            manifests.destinations.push((destination, origin));
            Ok(())
        }
        (version, kind) if version.starts_with("ropeway.dev/") => Err(Fault::at(
            &origin.place("kind"),
            format!(
                "there is no kind {kind} in {version}; there are Integration and Destination in ropeway.dev/v1alpha1"
            ),
        )),
        ("v1", "Secret") => {
            manifests.secrets.push(untyped(&origin)?);
            Ok(())
        }
        ("v1", "ConfigMap") => {
            manifests.config_maps.push(untyped(&origin)?);
            Ok(())
        }
        // Deployments, Services and the like are for the cluster.
        _ => Ok(()),
    }
}

/// Reads an object of ours: every field must be known, and every rule of the schema that can be judged here must hold.
fn typed<T>(origin: &Origin, document: &str) -> Result<T, Fault>
where
    T: DeserializeOwned + Serialize + ResourceExt,
{
    let object: T = serde_saphyr::from_str(document).map_err(|error| {
        let line = origin.offset + error.location().map_or(1, |location| location.line());
        let text = error.to_string();
        let message = text.lines().next().unwrap_or_default().to_owned();
        Fault { file: origin.file.display().to_string(), line, message }
    })?;
    if object.name_any().is_empty() {
        return Err(Fault::at(&origin.place("metadata"), "metadata.name is missing"));
    }
    let known = serde_json::to_value(&object)
        .map_err(|error| Fault::at(&origin.place(""), format!("can't be written as JSON: {error}")))?;
    if let Some((path, line)) = origin.node.unknown_field(&known, "") {
        let place = Place { file: origin.file.clone(), line: origin.offset + line };
        return Err(Fault::at(&place, format!("there is no field {path}; `kubectl explain` lists what there is")));
    }
    Ok(object)
}

fn untyped<T: DeserializeOwned>(origin: &Origin) -> Result<T, Fault> {
    serde_json::from_value(origin.node.json()).map_err(|error| Fault::at(&origin.place(""), error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let (mut manifests, mut faults) = (Manifests::default(), Vec::new());
        read(Path::new("x.yaml"), text, &mut manifests, &mut faults);
        faults.iter().map(ToString::to_string).collect()
    }

    const HEAD: &str = "apiVersion: ropeway.dev/v1alpha1\nkind: Destination\nmetadata:\n  name: crm\n";

    #[test]
    fn each_fault_names_its_file_and_line() {
        let comment = "# one\n---\n# two\n---\n";
        let unknown =
            format!("{comment}{HEAD}spec:\n  provider:\n    http:\n      url: https://a.example\n      uri: x\n");
        assert_eq!(
            faults(&unknown),
            ["x.yaml:13: there is no field spec.provider.http.uri; `kubectl explain` lists what there is"]
        );
        let missing = format!("{HEAD}spec: {{}}\n");
        let found = faults(&missing);
        assert!(found[0].starts_with("x.yaml:5: ") && found[0].contains("provider"), "{found:?}");
        assert!(faults("a: [1\n")[0].starts_with("x.yaml:"), "{:?}", faults("a: [1\n"));
        assert!(faults("a: 1\n")[0].contains("lacks apiVersion or kind"));
        assert!(faults("apiVersion: ropeway.dev/v1alpha1\nkind: Flow\n")[0].contains("there is no kind Flow"));
    }

    #[test]
    fn what_belongs_to_the_cluster_is_left_alone() {
        assert_eq!(faults("apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: x }\n"), Vec::<String>::new());
    }
}
