//! Where the programs come from, and what to do about a missing one.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::Error;

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests package is a folder of the repository").to_owned()
}

/// The folders of all examples: those with an `integration.yaml`, however deep.
///
/// # Panics
/// When a folder can't be read.
#[must_use]
pub fn examples() -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![repository().join("examples")]);
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).expect("a folder of examples can be read");
        folders.extend(entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir()));
        if folder.join("integration.yaml").is_file() {
            found.push(folder);
        }
    }
    found.sort();
    found
}

/// Finds `program` in `KUBEBUILDER_ASSETS`, in `.tools/`, then in `PATH`.
///
/// # Errors
/// `Error::MissingProgram`, with the command that installs it.
pub fn find(program: &str) -> Result<PathBuf, Error> {
    let assets = env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let tools = repository().join(".tools");
    // Folders that are not in everybody's PATH.
    let system = ["/usr/sbin", "/sbin", "/usr/lib/cni", "/opt/cni/bin"].map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = assets.into_iter().chain([tools]).chain(env::split_paths(&path)).chain(system);
    folders
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .ok_or_else(|| Error::MissingProgram { program: program.to_owned(), remedy: remedy(program) })
}

fn remedy(program: &str) -> String {
    let part = match program {
        "nats-server" => "nats",
        "helm" => "helm",
        "etcd" | "kube-apiserver" | "kube-controller-manager" | "kubectl" => "kubernetes",
        _ => "node",
    };
    format!("make tools TOOLS={part}")
}

/// The program of this package that runs inside a node and is the command line of `make cluster`.
///
/// # Errors
/// `Error::MissingProgram` when cargo has not built it beside the tests.
pub(crate) fn harness() -> Result<PathBuf, Error> {
    const NAME: &str = "ropeway-test-cluster";
    let missing =
        || Error::MissingProgram { program: NAME.to_owned(), remedy: "cargo build --package ropeway-tests".to_owned() };
    let current = env::current_exe().map_err(|_| missing())?;
    // A test binary is target/<profile>/deps/<suite>-<hash>, the programs are in target/<profile>/.
    let folders = current.ancestors().skip(1).take(2);
    folders.map(|folder| folder.join(NAME)).find(|file| file.is_file()).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_an_error_that_names_the_command_which_installs_it() {
        let error = find("no-such-program").expect_err("the program does not exist");
        assert_eq!(error.to_string(), "no-such-program is missing; run `make tools TOOLS=node`");
        assert_eq!(remedy("nats-server"), "make tools TOOLS=nats");
        assert_eq!(remedy("kube-apiserver"), "make tools TOOLS=kubernetes");
    }
}
