//! A node leaves nothing behind, however its owner ends.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use ropeway_tests::wait::until;

/// A folder on the temporary one for a node of its own: `serve` keeps everything below `TMPDIR`.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from("/tmp").join(format!("ropeway-leftovers-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// What mentions the folder: processes by their command line, control groups by the name of a folder in it.
fn mentions(folder: &Path, nodes: &[String]) -> Vec<String> {
    let text = folder.display().to_string();
    let processes = fs::read_dir("/proc").expect("processes").flatten().filter_map(|entry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(&text).then_some(line)
    });
    let hierarchies = fs::read_dir("/sys/fs/cgroup").expect("control groups").flatten();
    let groups = hierarchies.flat_map(|hierarchy| nodes.iter().map(move |node| hierarchy.path().join(node)));
    let groups = groups.filter(|path| path.exists()).map(|path| path.display().to_string());
    processes.chain(groups).collect()
}

fn nodes(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder)
        .expect("the folder")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("ropeway-test-node")).collect()
}

async fn leaves_nothing_after(signal: &str) {
    let folder = folder(signal);
    fs::create_dir_all(folder.join("ropeway-test-cluster")).expect("a folder");
    let mut owner = Command::new(env!("CARGO_BIN_EXE_ropeway-test-cluster"))
        .arg("serve")
        .env("TMPDIR", &folder)
        .stdin(Stdio::null())
        .spawn()
        .expect("the owner starts");
    let kubeconfig = folder.join("ropeway-test-cluster/kubeconfig");
    let started = until("the node is ready", Duration::from_secs(180), async || {
        if kubeconfig.exists() { Ok(()) } else { Err("not yet".to_owned()) }
    });
    started.await.expect("a node");
    let nodes_before = nodes(&folder);
    assert!(mentions(&folder, &nodes_before).len() > 8, "the node's processes and groups are seen while it runs");

    let killed = Command::new("kill").args([format!("-{signal}"), owner.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    owner.wait().expect("it ends");
    until("nothing is left", Duration::from_secs(30), async || {
        let left = [mentions(&folder, &nodes_before), nodes(&folder)].concat();
        if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
    })
    .await
    .expect("everything ends and is removed");
    fs::remove_dir_all(folder).expect("only the folder of this test is left");
}

#[tokio::test]
async fn a_node_whose_owner_is_told_to_stop_leaves_nothing_behind() {
    leaves_nothing_after("TERM").await;
}

#[tokio::test]
async fn a_node_whose_owner_is_killed_leaves_nothing_behind() {
    leaves_nothing_after("KILL").await;
}
