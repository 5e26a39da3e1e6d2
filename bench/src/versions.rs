//! What was measured with: without it, no figure can be compared with another.

use std::{collections::BTreeMap, fs, process::Command};

use crate::{golden, server};

/// The version of everything that takes part, by name. What is missing has none.
#[must_use]
pub fn versions() -> BTreeMap<String, String> {
    let node = "require('./bench/peers/node/package-lock.json').packages";
    let script = format!(
        "const p = {node}; console.log(['@nats-io/jetstream', 'undici'].map(n => n + ' ' + p['node_modules/' + n].version).join(', '))"
    );
    let nats = server::program();
    let place = golden::place();
    let asked: [(&str, &str, &[&str]); 7] = [
        ("file system", "stat", &["--file-system", "--format=%T", place.to_str().unwrap_or(".")]),
        ("nats-server", nats.to_str().unwrap_or("nats-server"), &["--version"]),
        ("rustc", "rustc", &["--version"]),
        ("node", "node", &["--version"]),
        ("node packages", "node", &["--eval", &script]),
        ("go", "go", &["version"]),
        ("kernel", "uname", &["--kernel-release", "--machine"]),
    ];
    let mut versions: BTreeMap<String, String> = asked
        .into_iter()
        .filter_map(|(name, program, arguments)| Some((name.to_owned(), output(program, arguments)?)))
        .collect();
    versions.insert("ropeway".into(), format!("{} ({})", env!("CARGO_PKG_VERSION"), commit()));
    versions.insert("profile".into(), "measured".into());
    versions.insert("sync_interval".into(), "2m (the server's default)".into());
    let line = |path: &str, part: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().find(|line| line.contains(part)).map(str::to_owned)
    };
    if let Some(line) = line("bench/peers/go/go.mod", "nats.go") {
        versions.insert("go packages".into(), line.trim_start_matches("require ").trim().to_owned());
    }
    if let Some(line) = line("/proc/cpuinfo", "model name") {
        let model = line.split_once(": ").map_or(line.as_str(), |(_, model)| model);
        versions.insert("processor".into(), model.to_owned());
    }
    versions
}

fn commit() -> String {
    let revision = output("git", &["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "unknown".into());
    match output("git", &["status", "--porcelain", "worker", "crds", "mapping", "nats"]) {
        Some(changes) if !changes.is_empty() => format!("{revision}, changed"),
        _ => revision,
    }
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
