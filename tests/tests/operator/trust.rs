//! Who may write an Integration or a Destination may use what the namespace has and no more. One test for each limit.

use std::fs;

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Secret, Service, ServiceAccount},
};
use ropeway_crds::{Destination, Integration, names};
use ropeway_tests::{NatsServer, process::run, scene::webhook_to, wait::until};
use serde_json::{Value, json};

use crate::{
    place::{PATIENCE, Place, destination, integration, shared_nats},
    refusals::{refusal, with},
};

const NAME: &str = "signups";

/// The pod that the operator asks for.
async fn pod(place: &Place) -> Value {
    let deployment = place.all::<Deployment>().get(&names::child(NAME)).await.expect("the Deployment is there");
    serde_json::to_value(deployment.spec).expect("it is writable as JSON")["template"]["spec"].clone()
}

/// Waits until the pod has these Secrets and no others, beside that of NATS.
async fn mounts(place: &Place, wanted: &[&str]) {
    until(&format!("{wanted:?} are mounted"), PATIENCE, async || {
        let pod = pod(place).await;
        let volumes = pod["volumes"].as_array().into_iter().flatten();
        let mut found: Vec<String> =
            volumes.filter_map(|volume| volume["secret"]["secretName"].as_str()).map(str::to_owned).collect();
        found.retain(|name| name != "ropeway-nats");
        found.sort();
        if found == wanted { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await
    .expect("they are");
}

fn labelled(name: &str, key: &str, label: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "labels": { "ropeway.dev/use": label } },
        "stringData": { key: "x" } })
}

#[tokio::test]
async fn with_labelled_access_a_secret_without_the_label_is_told_and_not_mounted() {
    let place = Place::new("labelled", shared_nats().await).await;
    let _operator = place.operator_with(&["--secret-access", "Labelled"]);
    let mut crm = destination("crm", "http://127.0.0.1:9/");
    let token = json!({ "valueFrom": { "secretKeyRef": { "name": "crm-account", "key": "token" } } });
    crm["spec"]["auth"] = json!({ "bearer": { "token": token } });
    place.apply::<Secret>(labelled("hook", "token", json!("allowed"))).await;
    // Any other value is none.
    place.apply::<Secret>(labelled("crm-account", "token", json!("denied"))).await;
    place.apply::<Destination>(crm).await;
    place.apply::<Integration>(integration(NAME, webhook_to(&["crm"]))).await;
    let field = "spec.auth.bearer.token.valueFrom.secretKeyRef: the Secret \"crm-account\" may not be used";
    let message = place.condition(NAME, "DestinationsResolved", "False", "SecretNotAllowed").await;
    assert!(message.contains(field) && message.contains("label it ropeway.dev/use: allowed"), "{message}");
    place.condition(NAME, "Ready", "False", "SecretNotAllowed").await;
    let message = place.destination_condition("crm", "Ready", "False", "SecretNotAllowed").await;
    assert!(message.starts_with(field), "{message}");
    mounts(&place, &["hook"]).await;

    place.apply::<Secret>(labelled("crm-account", "token", json!("allowed"))).await;
    place.condition(NAME, "DestinationsResolved", "True", "Resolved").await;
    place.destination_condition("crm", "Ready", "True", "Resolved").await;
    mounts(&place, &["crm-account", "hook"]).await;
    // What is taken back leaves the workers that run.
    place.apply::<Secret>(labelled("crm-account", "token", json!("denied"))).await;
    place.condition(NAME, "DestinationsResolved", "False", "SecretNotAllowed").await;
    mounts(&place, &["hook"]).await;
}

#[tokio::test]
async fn a_secret_of_another_namespace_can_not_be_named() {
    let place = Place::new("other-namespace", shared_nats().await).await;
    let _operator = place.operator(None);
    let crm = destination("crm", "http://127.0.0.1:9/");
    let token = |reference: Value| json!({ "bearer": { "token": { "valueFrom": { "secretKeyRef": reference } } } });
    let elsewhere = json!({ "namespace": "kube-system", "name": "admin", "key": "token" });
    let named = with(&crm, "/spec/auth", token(elsewhere));
    let said = refusal(&place, &named);
    assert!(said.contains("unknown field \"spec.auth.bearer.token.valueFrom.secretKeyRef.namespace\""), "{said}");
    for name in ["kube-system/admin", "../../kube-system/secrets/admin", "..", "admin?x", "../nats"] {
        let said = refusal(&place, &with(&crm, "/spec/auth", token(json!({ "name": name, "key": "token" }))));
        assert!(said.contains("spec.auth.bearer.token.valueFrom.secretKeyRef.name"), "{name}: {said:?}");
    }
    // Who asks for no validation has the field dropped: the Secret is looked for here.
    applied_without_validation(&place, &named);
    let message = place.destination_condition("crm", "Ready", "False", "SecretNotFound").await;
    assert!(message.contains("there is no Secret \"admin\" in this namespace"), "{message}");
}

fn applied_without_validation(place: &Place, manifest: &Value) {
    let file = place.scratch.path().join("unchecked.json");
    fs::write(&file, manifest.to_string()).expect("a file can be written");
    run(place.kubectl().args(["apply", "--validate=ignore", "-f"]).arg(&file)).expect("it is taken");
}

#[tokio::test]
async fn the_template_has_no_field_that_changes_what_runs() {
    let place = Place::new("template", shared_nats().await).await;
    let _operator = place.operator(None);
    place.apply::<Destination>(destination("crm", "http://127.0.0.1:9/")).await;
    let plain = integration(NAME, webhook_to(&["crm"]));
    let wishes = [
        ("image", json!("evil:1")),
        ("command", json!(["sh"])),
        ("args", json!(["-c"])),
        ("env", json!([{ "name": "LD_PRELOAD", "value": "/x" }])),
        ("volumes", json!([{ "name": "host", "hostPath": { "path": "/" } }])),
        ("volumeMounts", json!([{ "name": "host", "mountPath": "/host" }])),
        ("containers", json!([{ "name": "worker", "image": "evil:1" }])),
        ("initContainers", json!([{ "name": "first", "image": "evil:1" }])),
        ("securityContext", json!({ "privileged": true })),
        ("hostNetwork", json!(true)),
        ("hostPID", json!(true)),
        ("runtimeClassName", json!("other")),
        ("automountServiceAccountToken", json!(true)),
    ];
    for (field, value) in &wishes {
        let said = refusal(&place, &with(&plain, "/spec/template", json!({ *field: value })));
        assert!(said.contains(&format!("unknown field \"spec.template.{field}\"")), "{field}: {said:?}");
    }
    // Who asks for no validation has them dropped, silently: they are not stored and change nothing.
    let all: serde_json::Map<String, Value> =
        wishes.iter().map(|(field, value)| ((*field).to_owned(), value.clone())).collect();
    place.apply::<Integration>(plain.clone()).await;
    place.condition(NAME, "WorkersAvailable", "False", "WorkersStarting").await;
    let before = pod(&place).await;
    let mut template = Value::Object(all);
    template["labels"] = json!({ "team": "growth" });
    applied_without_validation(&place, &with(&plain, "/spec/template", template));
    let stored = place.all::<Integration>().get(NAME).await.expect("it is there");
    let stored = serde_json::to_value(stored.spec.template).expect("it is writable as JSON");
    assert_eq!(stored, json!({ "labels": { "team": "growth" } }));
    until("the label has reached the pod", PATIENCE, async || {
        let found = place.all::<Deployment>().get(&names::child(NAME)).await.map_err(|error| error.to_string())?;
        let template = serde_json::to_value(found.spec).map_err(|error| error.to_string())?["template"].clone();
        let team = template["metadata"]["labels"]["team"].clone();
        if team == "growth" { Ok(()) } else { Err(team.to_string()) }
    })
    .await
    .expect("it does");
    assert_eq!(pod(&place).await, before, "the pod itself must be what it was");
}

#[tokio::test]
async fn a_service_account_must_allow_its_use_and_its_token_stays_out() {
    let place = Place::new("accounts", shared_nats().await).await;
    let _operator = place.operator(None);
    place.apply::<Destination>(destination("crm", "http://127.0.0.1:9/")).await;
    let mut spec = webhook_to(&["crm"]);
    spec["template"] = json!({ "serviceAccountName": "powerful" });
    place.apply::<Integration>(integration(NAME, spec)).await;
    let message = place.condition(NAME, "WorkersAvailable", "False", "ServiceAccountNotAllowed").await;
    assert!(message.starts_with("spec.template.serviceAccountName: "), "{message}");
    let account = |annotations: Value| json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "powerful", "annotations": annotations } });
    // Any other value is none.
    place.apply::<ServiceAccount>(account(json!({ "ropeway.dev/workers": "yes" }))).await;
    until("the condition speaks of the annotation", PATIENCE, async || {
        let message = place.condition(NAME, "WorkersAvailable", "False", "ServiceAccountNotAllowed").await;
        if message.contains("may not be used by workers") { Ok(()) } else { Err(message) }
    })
    .await
    .expect("it does");
    let there = place.all::<Deployment>().get_opt(&names::child(NAME)).await.expect("the API server answers");
    assert!(there.is_none(), "workers were asked for under an account that does not allow it");

    place.apply::<ServiceAccount>(account(json!({ "ropeway.dev/workers": "allowed" }))).await;
    place.condition(NAME, "WorkersAvailable", "False", "WorkersStarting").await;
    let pod = pod(&place).await;
    assert_eq!((&pod["serviceAccountName"], &pod["automountServiceAccountToken"]), (&json!("powerful"), &json!(false)));
    assert!(!pod.to_string().contains("serviceAccountToken\":{"), "no token is projected: {pod}");
}

#[tokio::test]
async fn streams_and_subjects_of_nats_and_of_ropeway_are_refused() {
    let place = Place::new("subjects", shared_nats().await).await;
    let signups = integration(NAME, webhook_to(&["crm"]));
    let stream = |stream: &str, subjects: &[&str]| json!({ "stream": { "stream": stream, "subjects": subjects } });
    assert_eq!(refusal(&place, &with(&signups, "/spec/source", stream("ORDERS", &["orders.>"]))), "");
    for name in ["ROPEWAY_EVENTS_x", "ROPEWAY_DEAD_x", "KV_ROPEWAY_STATE_x", "OBJ_ROPEWAY_x"] {
        let said = refusal(&place, &with(&signups, "/spec/source", stream(name, &["a"])));
        assert!(said.contains("Ropeway's own"), "{name}: {said:?}");
    }
    for subject in ["$JS.API.>", "$SYS.>", "$KV.ROPEWAY.>", "ropeway", "ropeway.>", "ropeway.x.dead.>"] {
        let said = refusal(&place, &with(&signups, "/spec/source", stream("ORDERS", &[subject])));
        assert!(said.contains("can't be a source"), "{subject}: {said:?}");
    }
    let crm = destination("crm", "http://127.0.0.1:9/");
    let nats = |subject: &str| json!({ "nats": { "subject": subject } });
    assert_eq!(refusal(&place, &with(&crm, "/spec/provider", nats("orders.new"))), "");
    for subject in ["$JS.API.STREAM.DELETE.X", "$KV.x", "_INBOX.x", "ropeway", "ropeway.x.again.y"] {
        let said = refusal(&place, &with(&crm, "/spec/provider", nats(subject)));
        assert!(said.contains("NATS' or Ropeway's own"), "{subject}: {said:?}");
    }
    for subject in ["orders.*", "orders.>", ">"] {
        let said = refusal(&place, &with(&crm, "/spec/provider", nats(subject)));
        assert!(said.contains("spec.provider.nats.subject"), "{subject}: {said:?}");
    }
}

#[tokio::test]
async fn equal_paths_of_two_integrations_are_two_addresses() {
    let place = Place::new("equal-paths", shared_nats().await).await;
    let _operator = place.operator(None);
    place.ask_for_workers("first", webhook_to(&["crm"])).await;
    place.ask_for_workers("second", webhook_to(&["crm"])).await;
    let mut selectors = Vec::new();
    for name in ["first", "second"] {
        let service = place.all::<Service>().get(&names::child(name)).await.expect("the Service is there");
        selectors.push(service.spec.and_then(|spec| spec.selector).expect("a selector"));
        let status = place.all::<Integration>().get(name).await.expect("it is there").status.expect("a status");
        let expected = format!("http://{}.equal-paths.svc/hook", names::child(name));
        assert_eq!(status.endpoint.as_deref(), Some(expected.as_str()));
    }
    assert_ne!(selectors[0], selectors[1], "one Service would lead to the other's workers");
}

#[tokio::test]
async fn credentials_of_one_nats_account_do_not_reach_the_streams_of_another() {
    let accounts = r#"
        accounts {
          GUESTS: { users: [{ user: guest, password: guest }] }
          CRM: { jetstream: enabled, users: [{ user: crm, password: "of-crm" }] }
          SHOP: { jetstream: enabled, users: [{ user: shop, password: "of-shop" }] }
        }
        no_auth_user: guest
    "#;
    let nats = NatsServer::start_with(accounts).await.expect("the nats-server starts");
    let connect = async |user: &str, password: &str| {
        let options = async_nats::ConnectOptions::with_user_and_password(user.into(), password.into());
        async_nats::jetstream::new(options.connect(nats.url()).await.expect("the server takes it"))
    };
    let (crm, shop) = (connect("crm", "of-crm").await, connect("shop", "of-shop").await);
    let orders = async_nats::jetstream::stream::Config {
        name: "ORDERS".into(),
        subjects: vec!["orders.>".into()],
        ..Default::default()
    };
    crm.create_stream(orders).await.expect("a stream");

    let of_crm = Place::new("of-crm", &nats).await;
    of_crm.secrets("ropeway-nats", json!({ "username": "crm", "password": "of-crm" })).await;
    let of_shop = Place::new("of-shop", &nats).await;
    of_shop.secrets("ropeway-nats", json!({ "username": "shop", "password": "of-shop" })).await;
    let _operators = (of_crm.operator(None), of_shop.operator(None));
    let source = json!({ "stream": { "stream": "ORDERS" } });
    for place in [&of_crm, &of_shop] {
        place.apply::<Destination>(destination("crm", "http://127.0.0.1:9/")).await;
        let mut spec = webhook_to(&["crm"]);
        spec["source"] = source.clone();
        place.apply::<Integration>(integration(NAME, spec)).await;
    }
    of_crm.condition(NAME, "SourceReady", "True", "StreamReady").await;
    of_shop.condition(NAME, "SourceReady", "False", "StreamNotFound").await;
    // Whatever the operator made for the one is out of the other's reach.
    let names = async |context: &async_nats::jetstream::Context| {
        use futures::TryStreamExt as _;
        context.stream_names().try_collect::<Vec<String>>().await.expect("names")
    };
    let (of_crm, of_shop) = (names(&crm).await, names(&shop).await);
    assert!(of_crm.iter().any(|name| name.starts_with("ROPEWAY_RETRIES_")), "{of_crm:?}");
    assert!(!of_crm.iter().any(|name| of_shop.contains(name)), "{of_crm:?} and {of_shop:?}");
    for name in &of_crm {
        assert!(shop.get_stream(name).await.is_err(), "{name} is seen by the other account");
    }
}

fn entra(credential: Value) -> Value {
    let mut azure = json!({ "scope": "https://crm.example/.default", "credential": credential });
    if azure["credential"].get("managedIdentity").is_none() {
        (azure["tenantId"], azure["clientId"]) = (json!("t"), json!("c"));
    }
    let mut crm = destination("crm", "http://127.0.0.1:9/");
    crm["spec"]["auth"] = json!({ "azure": azure });
    crm
}

#[tokio::test]
async fn an_identity_of_the_node_is_the_administrators_to_give() {
    let place = Place::new("nodes", shared_nats().await).await;
    place.apply::<Destination>(entra(json!({ "managedIdentity": {} }))).await;
    place.apply::<Integration>(integration(NAME, webhook_to(&["crm"]))).await;
    {
        let _operator = place.operator_with(&["--azure-managed-identity-namespace", "another"]);
        let message = place.condition(NAME, "DestinationsResolved", "False", "IdentityNotAllowed").await;
        assert!(message.contains("spec.auth.azure.credential.managedIdentity: the administrator"), "{message}");
        place.destination_condition("crm", "Ready", "False", "IdentityNotAllowed").await;
        assert!(!configuration(&place).await.contains("managedIdentity\":true"), "workers must be told too");
    }
    let _operator = place.operator_with(&["--azure-managed-identity-namespace", "*"]);
    place.condition(NAME, "DestinationsResolved", "True", "Resolved").await;
    place.destination_condition("crm", "Ready", "True", "Resolved").await;
    until("workers are told", PATIENCE, async || {
        let told = configuration(&place).await;
        if told.contains("\"azure\":{\"managedIdentity\":true") { Ok(()) } else { Err(told) }
    })
    .await
    .expect("they are");
}

/// What workers are told.
async fn configuration(place: &Place) -> String {
    let pod = pod(place).await;
    let volumes = pod["volumes"].as_array().into_iter().flatten();
    let name = volumes.filter(|volume| volume["name"] == "config").find_map(|it| it["configMap"]["name"].as_str());
    let map = place.all::<ConfigMap>().get(name.expect("a configuration")).await.expect("it is there");
    map.data.unwrap_or_default().into_values().collect()
}

#[tokio::test]
async fn a_workload_identity_is_that_of_an_account_which_allows_it_and_no_token_for_the_api_server() {
    let place = Place::new("workload", shared_nats().await).await;
    let _operator = place.operator(None);
    place.apply::<Destination>(entra(json!({ "workloadIdentity": {} }))).await;
    let mut spec = webhook_to(&["crm"]);
    place.apply::<Integration>(integration(NAME, spec.clone())).await;
    let message = place.condition(NAME, "DestinationsResolved", "False", "ServiceAccountNotAllowed").await;
    assert!(message.contains("name one in spec.template.serviceAccountName"), "{message}");
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": { "name": "robot", "annotations": { "ropeway.dev/workers": "allowed" } } });
    place.apply::<ServiceAccount>(account).await;
    spec["template"] = json!({ "serviceAccountName": "robot" });
    place.apply::<Integration>(integration(NAME, spec)).await;
    place.condition(NAME, "WorkersAvailable", "False", "WorkersStarting").await;
    let pod = pod(&place).await;
    let volumes = pod["volumes"].as_array().into_iter().flatten();
    let projected: Vec<&Value> = volumes.filter_map(|volume| volume.get("projected")).collect();
    assert_eq!(projected.len(), 1, "{pod}");
    let sources = projected[0]["sources"].as_array().expect("sources");
    assert_eq!(sources.len(), 1);
    assert_eq!(sources[0]["serviceAccountToken"]["audience"], "api://AzureADTokenExchange");
    assert_eq!(pod["automountServiceAccountToken"], false);
}

#[tokio::test]
async fn a_value_comes_from_one_place_and_an_identifier_is_one_of_a_vault() {
    let place = Place::new("vaults", shared_nats().await).await;
    let crm = destination("crm", "http://127.0.0.1:9/");
    let bearer = |from: Value| with(&crm, "/spec/auth", json!({ "bearer": { "token": { "valueFrom": from } } }));
    let (secret, vault) = (json!({ "name": "s", "key": "k" }), "https://crm.vault.azure.net/secrets/token");
    assert_eq!(refusal(&place, &bearer(json!({ "secretKeyRef": secret }))), "");
    assert_eq!(refusal(&place, &bearer(json!({ "azureKeyVault": vault }))), "");
    assert_ne!(refusal(&place, &bearer(json!({ "azureKeyVault": vault, "secretKeyRef": secret }))), "");
    assert_ne!(refusal(&place, &bearer(json!({}))), "");
    for bad in
        ["http://crm.vault.azure.net/secrets/token", "https://u@crm.vault.azure.net/secrets/t", "https://x/keys/t"]
    {
        let said = refusal(&place, &bearer(json!({ "azureKeyVault": bad })));
        assert!(said.contains("azureKeyVault"), "{bad}: {said:?}");
    }
}
