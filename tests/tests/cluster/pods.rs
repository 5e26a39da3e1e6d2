//! What the tests of this suite have in common: namespaces, and pods of the probe image.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use k8s_openapi::api::core::v1::{
    Capabilities, Container, Namespace, Pod, PodSecurityContext, PodSpec, SeccompProfile, SecurityContext,
};
use kube::{
    Api, Client,
    api::{LogParams, ObjectMeta},
};
use ropeway_tests::{Cluster, node::pack_image, programs, wait::until};
use tokio::sync::OnceCell;

const IMAGE: &str = "ropeway.test/probe:1";
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The shared cluster, with the probe image in it.
pub async fn cluster() -> &'static Cluster {
    static LOADED: OnceCell<()> = OnceCell::const_new();
    let cluster = Cluster::shared().await.expect("a cluster");
    LOADED
        .get_or_init(async || {
            let archive = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("probe.tar");
            let probe = programs::find("image/probe").expect("the probe");
            pack_image(&archive, IMAGE, &[(&probe, "/probe")]).expect("an archive");
            cluster.load_image(&archive).expect("the image is taken");
        })
        .await;
    cluster
}

/// Makes a namespace in which Pod Security enforces `level`, removed by nobody: the cluster is.
pub async fn namespace(client: &Client, name: &str, level: &str) {
    let labels = BTreeMap::from([("pod-security.kubernetes.io/enforce".to_owned(), level.to_owned())]);
    let metadata = ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    Api::all(client.clone()).create(&Default::default(), &namespace).await.expect("a namespace");
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::namespaced(client.clone(), name);
    until("the namespace has its service account", PATIENCE, async || match accounts.get_opt("default").await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err("absent".to_owned()),
        Err(error) => Err(error.to_string()),
    })
    .await
    .expect("a service account");
}

/// A pod of the probe, as Pod Security `restricted` wants it, labelled `app: <name>`.
pub fn probe(name: &str, arguments: &[&str]) -> Pod {
    let security = SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        read_only_root_filesystem: Some(true),
        ..SecurityContext::default()
    };
    let container = Container {
        name: "probe".to_owned(),
        image: Some(IMAGE.to_owned()),
        image_pull_policy: Some("Never".to_owned()),
        args: Some(arguments.iter().map(|&argument| argument.to_owned()).collect()),
        security_context: Some(security),
        ..Container::default()
    };
    let security = PodSecurityContext {
        run_as_non_root: Some(true),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..PodSecurityContext::default()
    };
    let labels = BTreeMap::from([("app".to_owned(), name.to_owned())]);
    Pod {
        metadata: ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() },
        spec: Some(PodSpec {
            containers: vec![container],
            restart_policy: Some("Never".to_owned()),
            security_context: Some(security),
            automount_service_account_token: Some(false),
            ..PodSpec::default()
        }),
        status: None,
    }
}

/// Waits until the pod is in `phase`.
pub async fn in_phase(pods: &Api<Pod>, name: &str, phase: &str) {
    let what = format!("{name} is {phase}");
    until(&what, PATIENCE, async || {
        let pod = pods.get(name).await.map_err(|error| error.to_string())?;
        let status = pod.status.unwrap_or_default();
        if status.phase.as_deref() == Some(phase) { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await
    .expect("the pod gets there");
}

/// What the pod has printed.
pub async fn log(pods: &Api<Pod>, name: &str) -> String {
    pods.logs(name, &LogParams::default()).await.expect("the log can be read")
}
