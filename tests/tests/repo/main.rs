//! The rules of the house, as ordinary tests: which package may use what, who opens which door, how large a file may be.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository is there")
}

/// The source files of a package, with their path from the repository's root and their text.
fn sources(package: &str) -> Vec<(String, String)> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a source folder can be read").flatten() {
            let path = entry.path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    collect(&root().join(package).join("src"), &mut found);
    let name = |path: &Path| path.strip_prefix(root()).expect("it is below the root").display().to_string();
    found.iter().map(|path| (name(path), fs::read_to_string(path).expect("a source file can be read"))).collect()
}

const PACKAGES: [&str; 10] =
    ["crds", "auth", "mapping", "nats", "operator", "worker", "cli", "tests", "bench", "fuzz/targets"];

#[test]
fn packages_depend_in_one_direction() {
    let allowed = BTreeMap::from([
        ("crds", vec![]),
        ("auth", vec!["ropeway-crds"]),
        ("mapping", vec!["ropeway-allocator"]),
        ("nats", vec![]),
        ("operator", vec!["ropeway-auth", "ropeway-crds", "ropeway-mapping", "ropeway-nats"]),
        ("worker", vec!["ropeway-auth", "ropeway-crds", "ropeway-mapping", "ropeway-nats"]),
    ]);
    for (package, allowed) in allowed {
        let manifest = fs::read_to_string(root().join(package).join("Cargo.toml")).expect("a manifest can be read");
        for line in manifest.lines().filter(|line| line.starts_with("ropeway-")) {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            assert!(allowed.contains(&name), "{package} must not depend on {name}");
        }
    }
}

#[test]
fn every_door_has_one_keeper() {
    let doors = [
        ("operator", "kube::Api", vec!["operator/src/io/"]),
        ("operator", "async_nats::Client", vec!["operator/src/io/"]),
        ("auth", "hyper_util::", vec!["auth/src/http.rs", "auth/src/connect.rs"]),
        ("worker", "hyper_util::", vec!["worker/src/intake/listen.rs"]),
        ("worker", "reqwest::", vec![]),
        ("worker", "async_nats::jetstream::context", vec!["worker/src/io/"]),
        ("worker", "kube::", vec![]),
        ("crds", "tokio::", vec![]),
        ("crds", "std::fs", vec!["crds/src/bin/", "crds/src/definition/tests.rs"]),
        ("mapping", "tokio::", vec![]),
        ("mapping", "std::fs", vec![]),
    ];
    for (package, door, keepers) in doors {
        for (path, text) in sources(package) {
            let opens = text.lines().any(|line| line.contains(door) && !line.trim_start().starts_with("//"));
            let may = keepers.iter().any(|keeper| path.starts_with(keeper));
            assert!(!opens || may, "{path} opens {door}, which belongs to {keepers:?}");
        }
    }
}

#[test]
fn pure_stages_neither_wait_nor_read() {
    let pure = [
        "decide.rs",
        "decode.rs",
        "map.rs",
        "order.rs",
        "order/queue.rs",
        "cloud_event.rs",
        "provider.rs",
        "provider/http.rs",
    ];
    for (path, text) in sources("worker") {
        let name = path.trim_start_matches("worker/src/");
        if pure.contains(&name) {
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for word in ["async ", ".await", "Timestamp::now", "Instant::now", "std::fs", "rand::"] {
                assert!(!code.contains(word), "{path} is pure, but holds {word:?}");
            }
        }
    }
}

/// Files that are longer than the aim, each with its reason.
const LONGER: [(&str, &str); 1] =
    [("operator/src/integration/status/tests.rs", "one table with every reason; apart they could not be compared")];

#[test]
fn files_stay_readable() {
    const MOST: usize = 300;
    let mut long = Vec::new();
    for package in PACKAGES {
        for (path, text) in sources(package) {
            let is_test = path.contains("tests");
            let code = if is_test { &text } else { text.split("#[cfg(test)]").next().unwrap_or_default() };
            let lines = code.lines().count();
            let most = if is_test { 500 } else { MOST };
            if lines > most && !LONGER.iter().any(|(known, _)| *known == path) {
                long.push(format!("{path}: {lines}"));
            }
        }
    }
    assert!(long.is_empty(), "split these, or give a reason in LONGER: {long:#?}");
}

#[test]
fn nothing_that_was_built_or_installed_is_committed() {
    let listed = std::process::Command::new("git").arg("ls-files").current_dir(root()).output();
    let listed = listed.expect("git lists what is committed; install it: apt-get install git");
    assert!(listed.status.success(), "run this in a clone: {}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let made = ["target", "node_modules", "corpus", "artifacts", "coverage", ".tools", ".ropeway"];
    let is_made = |path: &&str| path.split('/').any(|part| made.contains(&part));
    let found: Vec<&str> = listed.lines().filter(is_made).take(10).collect();
    assert!(found.is_empty(), "take these out of git and name their folder in .gitignore: {found:#?}");
}

#[test]
fn there_is_no_mod_rs_and_no_catch_all_module() {
    for package in PACKAGES {
        for (path, _) in sources(package) {
            let name = path.rsplit('/').next().unwrap_or_default();
            assert!(
                !["mod.rs", "utils.rs", "util.rs", "types.rs", "helpers.rs", "common.rs"].contains(&name),
                "{path}"
            );
        }
    }
}

#[test]
fn every_reason_is_explained_in_the_documentation() {
    let page = fs::read_to_string(root().join("docs/reasons.md")).expect("docs/reasons.md is there");
    for reason in ropeway_crds::condition::Reason::ALL {
        assert!(
            page.contains(&format!("| `{}` |", reason.as_str())),
            "docs/reasons.md does not explain {}",
            reason.as_str()
        );
    }
}

#[test]
fn every_reason_of_a_dead_letter_is_explained_in_the_runbook() {
    let page = fs::read_to_string(root().join("docs/dead-letters.md")).expect("docs/dead-letters.md is there");
    for reason in ropeway_operator::io::reports::KNOWN_REASONS {
        assert!(page.contains(&format!("| `{reason}` |")), "docs/dead-letters.md does not explain {reason}");
    }
}

#[test]
fn every_benchmark_has_a_figure_or_says_why_not() {
    let file = fs::read(root().join("bench/results/latest.json")).expect("the results are committed");
    let figures: Vec<serde_json::Value> = serde_json::from_slice(&file).expect("the results are a list");
    for (workload, variants) in [
        ("T1", ["floor", "ropeway", "node", "go"].as_slice()),
        ("T2", &["floor", "ropeway", "node", "go"]),
        ("T5", &["floor", "ropeway", "node", "go"]),
        ("O1", &["1 lane", "1000 lanes"]),
        ("F4", &["all well", "one hangs"]),
        ("I1", &["calm", "abused"]),
        ("R1", &["direct", "ropeway"]),
        ("V1", &["http", "braze", "segment", "hubspot", "salesforce", "ga4", "mixpanel", "amplitude"]),
    ] {
        for variant in variants {
            let mut of = figures.iter().filter(|it| it["workload"] == workload && it["variant"] == *variant);
            let said = of.any(|it| it["median"].is_f64() || it["note"].as_str().is_some_and(|note| !note.is_empty()));
            assert!(said, "{workload} says nothing of {variant}; run `make bench`");
        }
    }
    for figure in figures {
        for field in ["metric", "unit", "date", "command"] {
            assert!(figure[field].as_str().is_some_and(|text| !text.is_empty()), "{field} is missing in {figure}");
        }
        assert!(figure["versions"]["nats-server"].is_string(), "{figure}");
    }
}
