//! A namespace on the API server that all tests share, and what a test does there.

use std::{
    fmt::Debug,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::{Namespace, Secret},
        rbac::v1::{ClusterRole, ClusterRoleBinding},
    },
};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams},
};
use ropeway_crds::{Destination, Integration};
use ropeway_tests::{
    ApiServer, Error, NatsServer,
    port::free_port,
    process::{Launch, Process, run},
    programs::repository,
    scene::{TOKEN, program},
    scratch::Scratch,
    wait::until,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// How long a test waits for what should happen within a second or two.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A namespace and the nats-server that its operator is told of.
pub struct Place {
    /// Its name.
    pub namespace: String,
    /// A client with all rights.
    pub client: Client,
    /// Where files of this place go.
    pub scratch: Scratch,
    api: &'static ApiServer,
    nats_url: String,
}

/// An operator of one namespace.
pub struct Operator {
    /// The process.
    pub process: Process,
    /// The address of /readyz and /metrics.
    pub admin: String,
}

/// The nats-server that tests share which do nothing to it.
pub async fn shared_nats() -> &'static NatsServer {
    static SHARED: OnceCell<NatsServer> = OnceCell::const_new();
    SHARED.get_or_init(async || NatsServer::start().await.expect("the nats-server starts")).await
}

/// The API server that tests share, with our kinds.
async fn shared_api() -> &'static ApiServer {
    static KINDS: OnceCell<()> = OnceCell::const_new();
    let api = ApiServer::shared().await.expect("the API server starts");
    let apply = async || {
        apply_crds(api).expect("the CRDs are accepted");
        let names = ["crd/integrations.ropeway.dev", "crd/destinations.ropeway.dev"];
        // kubectl does not wait for a definition that has no conditions at all yet; it fails.
        until("the kinds are established", PATIENCE, async || {
            let mut wait = api.kubectl().map_err(|error| error.to_string())?;
            let wait = wait.args(["wait", "--for=condition=Established", "--timeout=30s"]).args(names);
            run(wait).map(drop).map_err(|error| error.to_string())
        })
        .await
        .expect("established");
    };
    KINDS.get_or_init(apply).await;
    api
}

/// Applies the CRDs as they are in the repository.
pub fn apply_crds(api: &ApiServer) -> Result<String, Error> {
    run(api.kubectl()?.args(["apply", "--server-side", "-f"]).arg(crds()))
}

/// The folder with the CRDs.
pub fn crds() -> PathBuf {
    repository().join("crds/yaml")
}

/// Starts an operator. `crash` is a write around which it kills itself, such as `3:before`.
pub fn start_operator(
    api: &ApiServer,
    namespace: &str,
    nats_url: &str,
    crash: Option<&str>,
    scratch: &Scratch,
    settings: &[&str],
    variables: &[(&str, &str)],
) -> Operator {
    start_operator_as(api.kubeconfig(), namespace, nats_url, crash, scratch, settings, variables)
}

fn start_operator_as(
    kubeconfig: &Path,
    namespace: &str,
    nats_url: &str,
    crash: Option<&str>,
    scratch: &Scratch,
    settings: &[&str],
    variables: &[(&str, &str)],
) -> Operator {
    let admin = format!("127.0.0.1:{}", free_port().expect("there is a free port"));
    let mut launch = Launch::at(program("faulty-operator").expect("the operator is built"))
        .arguments(["--namespace", namespace, "--nats-url", nats_url, "--listen-admin", &admin])
        .arguments(["--allow-private-range", "127.0.0.0/8", "--status-seconds", "1"])
        .arguments(settings.iter().copied())
        .variable("KUBECONFIG", kubeconfig);
    for (name, value) in variables {
        launch = launch.variable(*name, *value);
    }
    if let Some(crash) = crash {
        launch = launch.variable("ROPEWAY_CRASH_AT_WRITE", crash);
    }
    let log = scratch.path().join("logs/operator.log");
    let process = Process::start("operator", launch, &log).expect("the operator starts");
    Operator { process, admin: format!("http://{admin}") }
}

/// A Destination of the scene's kind.
pub fn destination(name: &str, url: &str) -> Value {
    json!({
        "apiVersion": "ropeway.dev/v1alpha1", "kind": "Destination", "metadata": { "name": name },
        "spec": {
            "provider": { "http": { "url": url } },
            "delivery": { "timeout": "5s", "retry": { "maxAttempts": 2, "backoffDelay": "100ms", "backoffMax": "200ms" } },
        },
    })
}

/// An Integration with this spec.
pub fn integration(name: &str, spec: Value) -> Value {
    json!({ "apiVersion": "ropeway.dev/v1alpha1", "kind": "Integration", "metadata": { "name": name }, "spec": spec })
}

impl Place {
    /// A fresh namespace with the Secret that the scene's webhook needs.
    pub async fn new(namespace: &str, nats: &NatsServer) -> Self {
        let api = shared_api().await;
        let client = api.client().await.expect("a client can be made");
        let fresh: Namespace =
            serde_json::from_value(json!({ "metadata": { "name": namespace } })).expect("a namespace");
        Api::all(client.clone()).create(&Default::default(), &fresh).await.expect("the namespace is new");
        let scratch = Scratch::new(namespace).expect("a folder can be made");
        let place = Self { namespace: namespace.to_owned(), client, scratch, api, nats_url: nats.url() };
        place.secret("hook", "token", TOKEN).await;
        place
    }

    /// Starts the operator of this namespace.
    pub fn operator(&self, crash: Option<&str>) -> Operator {
        start_operator(self.api, &self.namespace, &self.nats_url, crash, &self.scratch, &[], &[])
    }

    /// The same with settings that its administrator chose.
    pub fn operator_with(&self, settings: &[&str]) -> Operator {
        start_operator(self.api, &self.namespace, &self.nats_url, None, &self.scratch, settings, &[])
    }

    /// The same with variables in its environment.
    pub fn operator_in(&self, variables: &[(&str, &str)]) -> Operator {
        self.operator_told(&[], variables)
    }

    /// The same with both.
    pub fn operator_told(&self, settings: &[&str], variables: &[(&str, &str)]) -> Operator {
        start_operator(self.api, &self.namespace, &self.nats_url, None, &self.scratch, settings, variables)
    }

    /// Starts the operator of this namespace with these rights and no others.
    pub async fn operator_with_rights(&self, rules: Value) -> Operator {
        let name = format!("operator-of-{}", self.namespace);
        let role = json!({ "metadata": { "name": name }, "rules": rules });
        let role: ClusterRole = serde_json::from_value(role).expect("a role");
        Api::all(self.client.clone()).create(&Default::default(), &role).await.expect("the role is new");
        let binding: ClusterRoleBinding = serde_json::from_value(json!({
            "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name },
            "subjects": [{ "kind": "User", "name": name }],
        }))
        .expect("a binding");
        Api::all(self.client.clone()).create(&Default::default(), &binding).await.expect("the binding is new");
        let kubeconfig = self.api.kubeconfig_for(&name, &[]).expect("a kubeconfig can be made");
        start_operator_as(&kubeconfig, &self.namespace, &self.nats_url, None, &self.scratch, &[], &[])
    }

    /// kubectl in this namespace.
    pub fn kubectl(&self) -> Command {
        let mut command = self.api.kubectl().expect("kubectl is there");
        command.args(["--namespace", &self.namespace]);
        command
    }

    /// The command `ropeway` in this namespace. Its first argument may have subcommands, so the namespace comes last.
    pub fn ropeway(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("ropeway-under-test").expect("the command is built"));
        command.args(arguments).args(["--namespace", &self.namespace]).env("KUBECONFIG", self.api.kubeconfig());
        command.env_remove("ROPEWAY_NATS_URL");
        command
    }

    /// The objects of a kind.
    pub fn all<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Applies a manifest that is right.
    pub async fn apply<K>(&self, manifest: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let name = manifest["metadata"]["name"].as_str().expect("a manifest has a name").to_owned();
        let parameters = PatchParams::apply("test").force();
        self.all::<K>().patch(&name, &parameters, &Patch::Apply(manifest)).await.expect("the manifest is accepted")
    }

    /// Makes or changes a Secret with one key.
    pub async fn secret(&self, name: &str, key: &str, value: &str) {
        self.secrets(name, json!({ key: value })).await;
    }

    /// Makes or changes a Secret.
    pub async fn secrets(&self, name: &str, entries: Value) {
        self.apply::<Secret>(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "stringData": entries,
        }))
        .await;
    }

    /// Applies an Integration with this spec, whose Destinations of the same names lead to nobody, and waits until its
    /// workers were asked for.
    pub async fn ask_for_workers(&self, name: &str, spec: Value) {
        for reference in spec["destinations"].as_array().into_iter().flatten().filter_map(|it| it["ref"].as_str()) {
            self.apply::<Destination>(destination(reference, "http://127.0.0.1:9/")).await;
        }
        self.apply::<Integration>(integration(name, spec)).await;
        self.condition(name, "WorkersAvailable", "False", "WorkersStarting").await;
    }

    /// Waits for a condition of the current generation and gives its message.
    pub async fn condition(&self, name: &str, kind: &str, status: &str, reason: &str) -> String {
        self.condition_of::<Integration>(name, kind, status, reason).await
    }

    /// The same of a Destination.
    pub async fn destination_condition(&self, name: &str, kind: &str, status: &str, reason: &str) -> String {
        self.condition_of::<Destination>(name, kind, status, reason).await
    }

    async fn condition_of<K>(&self, name: &str, kind: &str, status: &str, reason: &str) -> String
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Serialize + DeserializeOwned + Debug,
    {
        self.condition_within::<K>(name, (kind, status, reason), PATIENCE).await
    }

    /// Waits for this kind, status and reason of a condition for so long, and gives its message.
    pub async fn condition_within<K>(
        &self,
        name: &str,
        (kind, status, reason): (&str, &str, &str),
        patience: Duration,
    ) -> String
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Serialize + DeserializeOwned + Debug,
    {
        let objects = self.all::<K>();
        until(&format!("{kind}={status}/{reason} of {name}"), patience, async || {
            let found = objects.get(name).await.map_err(|error| error.to_string())?;
            let found = serde_json::to_value(found).map_err(|error| error.to_string())?;
            let mut conditions = found["status"]["conditions"].as_array().into_iter().flatten();
            let condition = conditions.find(|condition| condition["type"] == kind).ok_or("no such condition")?;
            let is_it = condition["status"] == status && condition["reason"] == reason;
            let is_it = is_it && condition["observedGeneration"] == found["metadata"]["generation"];
            if is_it {
                Ok(condition["message"].as_str().unwrap_or_default().to_owned())
            } else {
                Err(condition.to_string())
            }
        })
        .await
        .expect("the condition comes")
    }
}
