//! A kubelet for one pod: what the Deployment mounts is written to a folder, and the worker is started with the arguments
//! of its container, its paths and addresses replaced.

use std::{collections::BTreeMap, fs, time::Duration};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, PodSpec, Secret, Volume},
};
use ropeway_crds::names;
use ropeway_tests::{
    port::free_port,
    process::{Launch, Process},
    scene::{Worker, http_client, program},
};

use crate::place::Place;

/// Runs one pod of an Integration's Deployment as it is now.
pub async fn run_pod(place: &Place, integration: &str, pod: &str) -> Worker {
    run_pod_with(place, integration, pod, &[]).await
}

/// The same with variables in its environment.
pub async fn run_pod_with(place: &Place, integration: &str, pod: &str, variables: &[(&str, &str)]) -> Worker {
    let deployment = place.all::<Deployment>().get(&names::child(integration)).await.expect("the Deployment is there");
    let spec = deployment.spec.and_then(|spec| spec.template.spec).expect("a Deployment has a pod template");
    let root = place.scratch.path().join(pod);
    let folder = |volume: &str| root.join(volume);
    for volume in spec.volumes.iter().flatten() {
        fs::create_dir_all(folder(&volume.name)).expect("a folder can be made");
        for (key, content) in content(place, volume).await {
            fs::write(folder(&volume.name).join(key), content).expect("a file can be written");
        }
    }
    let PodSpec { containers, .. } = spec;
    let container = containers.into_iter().next().expect("a pod has a container");
    // Secrets are one mount each below a folder that is named as a whole.
    for mount in container.volume_mounts.iter().flatten() {
        let target = root.join("mounted").join(mount.mount_path.trim_start_matches('/'));
        fs::create_dir_all(target.parent().unwrap_or(&target)).expect("a folder can be made");
        std::os::unix::fs::symlink(folder(&mount.name), &target).expect("a link can be made");
    }
    let (port, admin) = (free_port().expect("a free port"), free_port().expect("a free port"));
    let argument = |argument: &String| {
        let addressed = argument
            .replace("0.0.0.0:8080", &format!("127.0.0.1:{port}"))
            .replace("0.0.0.0:8081", &format!("127.0.0.1:{admin}"))
            .replace("$(POD_NAME)", pod);
        match addressed.split_once("=/") {
            Some((flag, path)) => format!("{flag}={}", root.join("mounted").join(path).display()),
            None => addressed,
        }
    };
    let arguments: Vec<String> = container.args.iter().flatten().map(argument).collect();
    let launch = Launch::at(program("faulty-worker").expect("the worker is built")).arguments(arguments);
    let launch = variables.iter().fold(launch, |launch, (name, value)| launch.variable(*name, *value));
    let log = place.scratch.path().join(format!("logs/{pod}.log"));
    let mut process = Process::start(pod, launch, &log).expect("the worker starts");
    let (client, health) = (http_client(), format!("http://127.0.0.1:{admin}/healthz"));
    let alive = async || client.get(&health).send().await.map(drop).map_err(|error| error.to_string());
    process.until("the worker answers", Duration::from_secs(20), alive).await.expect("the worker lives");
    Worker { process, url: format!("http://127.0.0.1:{port}/hook"), admin: format!("http://127.0.0.1:{admin}") }
}

/// Shows a pod what Secrets hold now, as the kubelet does after a while.
pub async fn show_secrets(place: &Place, integration: &str, pod: &str) {
    let deployment = place.all::<Deployment>().get(&names::child(integration)).await.expect("the Deployment is there");
    let spec = deployment.spec.and_then(|spec| spec.template.spec).expect("a Deployment has a pod template");
    for volume in spec.volumes.iter().flatten().filter(|volume| volume.secret.is_some()) {
        for (key, content) in content(place, volume).await {
            let path = place.scratch.path().join(pod).join(&volume.name).join(key);
            let new = path.with_extension("new");
            fs::write(&new, content).expect("a file can be written");
            fs::rename(&new, &path).expect("a file can be renamed");
        }
    }
}

/// The files of a volume; an optional Secret that is missing has none.
async fn content(place: &Place, volume: &Volume) -> BTreeMap<String, Vec<u8>> {
    if let Some(source) = &volume.config_map {
        let map = place.all::<ConfigMap>().get(&source.name).await.expect("the ConfigMap is there");
        return map.data.into_iter().flatten().map(|(key, text)| (key, text.into_bytes())).collect();
    }
    if volume.projected.is_some() {
        // A token of the service account, which only a real kubelet can get.
        return BTreeMap::new();
    }
    let source = volume.secret.as_ref().expect("a volume is a ConfigMap, a Secret or a token");
    let name = source.secret_name.as_deref().expect("a Secret is named");
    let secret = place.all::<Secret>().get_opt(name).await.expect("the API server answers");
    let data = secret.and_then(|secret| secret.data).unwrap_or_default();
    let wanted = |key: &String| match &source.items {
        None => true,
        Some(items) => items.iter().any(|item| item.key == *key),
    };
    data.into_iter().filter(|(key, _)| wanted(key)).map(|(key, value)| (key, value.0)).collect()
}
