use std::{collections::BTreeMap, time::Duration};

use async_nats::jetstream::stream::{DiscardPolicy, RetentionPolicy};
use ropeway_crds::{
    azure::AzureSettings, duration::ByteSize, duration::Duration as Span, source::Beginning, template::Template,
    worker_config::EventDefaults, worker_config::IntegrationConfig, worker_config::SourceConfig,
};
use serde_json::{Value, json};

use super::{
    streams::{changed_consumer, changed_stream},
    *,
};
use crate::integration::resolve::{Address, Mounts, ResolvedLane};

mod expose;

pub fn settings() -> Settings {
    Settings {
        worker_image: "registry/worker:1".into(),
        nats_url: "nats://nats:4222".into(),
        allowed_private_ranges: vec!["10.0.0.0/8".into()],
        stream_replicas: 3,
    }
}

pub fn resolved() -> Resolved {
    let uid = ShortUid::of("iu");
    Resolved {
        identity: Identity {
            name: "signups".into(),
            namespace: "crm".into(),
            namespace_uid: "nu".into(),
            uid: "iu".into(),
        },
        config: IntegrationConfig {
            name: "signups".into(),
            uid: uid.clone(),
            source: SourceConfig::Stream { stream: "ORDERS".into() },
            token_of: None,
            key_vault_identity: None,
            event: EventDefaults { r#type: "t".into(), source: "/s".into(), id: None },
            schema: None,
            dedup: None,
            ordering: None,
            normalize: None,
            lanes: Vec::new(),
            dead_letter_retention: Span::from_secs(60),
            mode: ropeway_crds::integration::Mode::Send,
            hold: ropeway_crds::integration::DeadLetterHold::resolve(None),
            retain: Span::from_secs(0),
        },
        source: ResolvedSource::Events { max_bytes: ByteSize::mebibytes(2), replicas: 1, address: Some(address(None)) },
        lanes: vec![ResolvedLane {
            lane: LaneId::new(&uid, "hubspot"),
            destination: "hubspot".into(),
            account: None,
            start_at: LaneStart::New,
            timeout: Span::from_secs(15),
            portion: 1,
        }],
        mounts: Mounts {
            secrets: BTreeMap::from([("keys".into(), ["a", "b"].map(String::from).into())]),
            config_maps: BTreeMap::from([("settings".into(), ["user".to_owned()].into())]),
            azure_token: false,
        },
        azure: AzureSettings::default(),
        withheld: Vec::new(),
        state: State::Running,
        replicas: 2,
        template: Template {
            labels: Some(BTreeMap::from([
                ("team".into(), "growth".into()),
                ("ropeway.dev/uid".into(), "forged".into()),
            ])),
            annotations: Some(BTreeMap::new()),
            ..Template::default()
        },
    }
}

/// The address of the Integration that is planned here.
pub fn address(expose: Option<Value>) -> Address {
    let expose = expose.map(|expose| serde_json::from_value(expose).unwrap());
    Address { path: "/in".into(), public_url: None, expose }
}

#[test]
fn the_deployment_is_as_it_should_be_to_the_last_field() {
    let plan = plan(&resolved(), &settings());
    let labels = json!({
        "app.kubernetes.io/name": "ropeway-worker", "app.kubernetes.io/managed-by": "ropeway-operator",
        "ropeway.dev/integration": "signups", "ropeway.dev/uid": "iu",
    });
    let selector = json!({ "app.kubernetes.io/name": "ropeway-worker", "ropeway.dev/uid": "iu" });
    let mut pod_labels = labels.clone();
    pod_labels["team"] = json!("growth");
    let map = format!("ropeway-signups-{}", plan.fingerprint);
    let volume = format!("secret-{}", ropeway_crds::names::hash(b"keys", 10));
    let settings_volume = format!("config-map-{}", ropeway_crds::names::hash(b"settings", 10));
    let probe = |path: &str, period: i32, failures: i32| {
        json!({ "httpGet": { "path": path, "port": "admin" },
            "periodSeconds": period, "timeoutSeconds": 2, "failureThreshold": failures })
    };
    let expected: Value = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "ropeway-signups", "namespace": "crm", "labels": labels, "ownerReferences": [{
            "apiVersion": "ropeway.dev/v1alpha1", "kind": "Integration", "name": "signups", "uid": "iu",
            "controller": true, "blockOwnerDeletion": false }] },
        "spec": {
            "replicas": 2, "revisionHistoryLimit": 2, "selector": { "matchLabels": selector },
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } },
            "template": { "metadata": { "labels": pod_labels }, "spec": {
                "automountServiceAccountToken": false, "enableServiceLinks": false, "terminationGracePeriodSeconds": 45,
                "securityContext": { "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532,
                    "seccompProfile": { "type": "RuntimeDefault" } },
                "containers": [{
                    "name": "worker", "image": "registry/worker:1", "imagePullPolicy": "IfNotPresent",
                    "command": ["ropeway-worker"],
                    "args": ["--config=/etc/ropeway/config.json", "--secrets=/var/run/ropeway/secrets",
                        "--config-maps=/var/run/ropeway/config-maps", "--nats-credentials=/var/run/ropeway/nats", "--nats-url=nats://nats:4222",
                        "--listen=0.0.0.0:8080", "--listen-admin=0.0.0.0:8081", "--worker-name=$(POD_NAME)"],
                    "env": [{ "name": "POD_NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }],
                    "ports": [{ "name": "http", "containerPort": 8080, "protocol": "TCP" },
                        { "name": "admin", "containerPort": 8081, "protocol": "TCP" }],
                    "livenessProbe": probe("/healthz", 10, 6), "readinessProbe": probe("/readyz", 3, 3),
                    "resources": { "requests": { "cpu": "20m", "memory": "64Mi" }, "limits": { "memory": "512Mi" } },
                    "securityContext": { "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                        "runAsNonRoot": true, "capabilities": { "drop": ["ALL"] } },
                    "volumeMounts": [
                        { "name": "config", "mountPath": "/etc/ropeway", "readOnly": true },
                        { "name": "nats", "mountPath": "/var/run/ropeway/nats", "readOnly": true },
                        { "name": volume, "mountPath": "/var/run/ropeway/secrets/keys", "readOnly": true },
                        { "name": settings_volume, "mountPath": "/var/run/ropeway/config-maps/settings",
                            "readOnly": true }],
                }],
                "volumes": [
                    { "name": "config", "configMap": { "name": map } },
                    { "name": "nats", "secret": { "secretName": "ropeway-nats", "optional": true } },
                    { "name": volume, "secret": { "secretName": "keys", "optional": true,
                        "items": [{ "key": "a", "path": "a" }, { "key": "b", "path": "b" }] } },
                    { "name": settings_volume, "configMap": { "name": "settings", "optional": true,
                        "items": [{ "key": "user", "path": "user" }] } }],
            } },
        },
    });
    assert_eq!(serde_json::to_value(&plan.deployment).unwrap(), expected);
}

#[test]
fn the_configuration_names_its_map_and_only_sources_with_an_address_get_a_service() {
    let webhook = plan(&resolved(), &settings());
    assert_eq!(webhook.config_map.metadata.name, Some(format!("ropeway-signups-{}", webhook.fingerprint)));
    assert_eq!(webhook.config_map.immutable, Some(true));
    assert_eq!(webhook.endpoint.as_deref(), Some("http://ropeway-signups.crm.svc/in"));
    let stream = ResolvedSource::Stream { stream: "ORDERS".into(), subjects: Vec::new(), beginning: Beginning::New };
    let stream = plan(&Resolved { source: stream, ..resolved() }, &settings());
    assert!(stream.service.is_none() && stream.endpoint.is_none());
    let other = plan(&resolved(), &Settings { allowed_private_ranges: Vec::new(), ..settings() });
    assert_ne!(other.config_map.metadata.name, webhook.config_map.metadata.name);
}

#[test]
fn streams_follow_the_layout() {
    let plan = plan(&resolved(), &settings()).jetstream;
    let shared = |part: &str| plan.shared.iter().find(|config| config.name.contains(part)).unwrap();
    let retries = shared("RETRIES");
    assert_eq!((retries.retention, retries.discard), (RetentionPolicy::WorkQueue, DiscardPolicy::Old));
    assert!(retries.allow_message_schedules && retries.max_bytes == -1 && retries.max_consumers == 10_000);
    let dead = shared("DEAD");
    assert!(dead.allow_message_ttl && dead.allow_direct && dead.discard == DiscardPolicy::New);
    assert!(shared("COUNTS").allow_message_counter && shared("COUNTS").max_messages_per_subject == 1);
    assert!(shared("SEEN").allow_message_ttl && shared("SEEN").max_messages_per_subject == 1);
    assert!(shared("KV_").subjects[0].starts_with("$KV.") && shared("KV_").allow_rollup);
    assert!(
        plan.shared.iter().all(|config| config.num_replicas == 3 && config.metadata["ropeway-namespace-uid"] == "nu")
    );
    let SourcePlan::Own(events) = &plan.source else { panic!("a webhook has a stream of its own") };
    assert_eq!((events.max_bytes, events.discard, events.num_replicas), (2 << 20, DiscardPolicy::New, 1));
    assert_eq!(events.metadata["ropeway-integration-uid"], "iu");
    let lane = &plan.lanes[0];
    assert_eq!((lane.events.ack_wait, lane.events.max_deliver), (Duration::from_secs(40), -1));
    assert!(lane.events.backoff.is_empty() && lane.events.filter_subjects.is_empty());
    assert_eq!(lane.retries.filter_subjects, [plan.names.again(&lane.lane)]);
}

#[test]
fn only_what_ropeway_decides_is_changed_back() {
    let plan = plan(&resolved(), &settings()).jetstream;
    let SourcePlan::Own(wished) = plan.source else { panic!("a webhook has a stream of its own") };
    let mut existing = (*wished).clone();
    existing.metadata.insert("_nats.level".into(), "1".into());
    existing.description = Some("an administrator's note".into());
    assert_eq!(changed_stream(&existing, &wished), None);
    existing.max_bytes = 1;
    let next = changed_stream(&existing, &wished).unwrap();
    assert_eq!((next.max_bytes, next.description), (2 << 20, Some("an administrator's note".into())));
    let wished = &plan.lanes[0].retries;
    let mut existing = wished.clone();
    existing.filter_subject = existing.filter_subjects.remove(0);
    existing.num_replicas = 3;
    assert_eq!(changed_consumer(&existing, wished), None);
    existing.backoff = vec![Duration::from_secs(1)];
    assert!(changed_consumer(&existing, wished).unwrap().backoff.is_empty());
}

#[test]
fn a_lane_waits_for_two_deliveries_but_at_least_half_a_minute() {
    for (timeout, wait) in [(1, 30), (15, 40), (120, 250)] {
        let mut resolved = resolved();
        resolved.lanes[0].timeout = Span::from_secs(timeout);
        let plan = plan(&resolved, &settings());
        assert_eq!(plan.jetstream.lanes[0].events.ack_wait, Duration::from_secs(wait));
    }
}

#[test]
fn labels_hold_long_names_and_children_are_owned() {
    let identity = Identity { name: "a".repeat(200), ..resolved().identity };
    let labels = meta::labels(&identity);
    assert!(labels[meta::NAME_LABEL].len() <= 63);
    let owner = &meta::child(&identity, "x".into()).owner_references.unwrap()[0];
    assert_eq!((owner.kind.as_str(), owner.uid.as_str()), ("Integration", "iu"));
}

#[test]
fn a_batch_source_has_a_cron_job_whose_pod_is_that_of_the_workers_with_another_command() {
    let batch = |extra: Value| {
        let mut source = json!({
            "schedule": "0 2 * * *", "timeZone": "Europe/Berlin", "format": { "csv": {} },
            "from": { "file": { "claimName": "exports", "path": "a.csv" } },
        });
        source.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let mut resolved = resolved();
        resolved.config.source = SourceConfig::Batch(Box::new(serde_json::from_value(source).unwrap()));
        resolved
    };
    assert_eq!(plan(&resolved(), &settings()).cron_job, None);
    let plan_of = |resolved: &Resolved| plan(resolved, &settings());
    let plan = plan_of(&batch(json!({})));
    let job = serde_json::to_value(plan.cron_job.unwrap()).unwrap();
    let spec = &job["spec"];
    assert_eq!(job["metadata"]["name"], "ropeway-signups");
    for (field, value) in [
        ("schedule", json!("0 2 * * *")),
        ("timeZone", json!("Europe/Berlin")),
        ("concurrencyPolicy", json!("Forbid")),
        ("suspend", json!(false)),
        ("startingDeadlineSeconds", json!(3600)),
    ] {
        assert_eq!(spec[field], value, "{field}");
    }
    let job = &spec["jobTemplate"]["spec"];
    let rule = &job["podFailurePolicy"]["rules"][0];
    assert_eq!((&job["backoffLimit"], &rule["onExitCodes"]["values"]), (&json!(5), &json!([3, 4])));
    let labels = job["template"]["metadata"]["labels"].as_object().unwrap();
    assert!(!labels.contains_key("ropeway.dev/uid"), "the workers' selector must not find it: {labels:?}");
    assert_eq!(labels["app.kubernetes.io/name"], "ropeway-worker", "NATS lets pods with this name in");
    let pod = &job["template"]["spec"];
    let deployment = serde_json::to_value(plan.deployment).unwrap();
    let worker = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["restartPolicy"], "Never");
    assert_eq!(pod["securityContext"], worker["securityContext"]);
    assert_eq!(pod["automountServiceAccountToken"], false);
    let (reads, serves) = (&pod["containers"][0], &worker["containers"][0]);
    for same in ["name", "image", "command", "env", "securityContext", "resources"] {
        assert_eq!(reads[same], serves[same], "{same}");
    }
    let arguments = reads["args"].as_array().unwrap();
    assert_eq!(arguments[..8], serves["args"].as_array().unwrap()[..]);
    assert_eq!(arguments[8..], [json!("batch"), json!("--claim=/var/run/ropeway/claim")]);
    assert!(reads["ports"].is_null() && reads["livenessProbe"].is_null() && reads["readinessProbe"].is_null());
    let claim = pod["volumes"].as_array().unwrap().last().unwrap();
    assert_eq!(claim["persistentVolumeClaim"], json!({ "claimName": "exports", "readOnly": true }));
    assert!(!worker.to_string().contains("persistentVolumeClaim"), "only the Jobs' pods have the claim");
    assert_eq!(pod["volumes"][0]["configMap"]["optional"], true);
    let suspended = |resolved: &Resolved| plan_of(resolved).cron_job.unwrap().spec.unwrap().suspend;
    assert_eq!(suspended(&batch(json!({ "suspend": true }))), Some(true));
    assert_eq!(suspended(&Resolved { state: State::Stopped, ..batch(json!({})) }), Some(true));
    assert_eq!(suspended(&Resolved { state: State::Paused, ..batch(json!({})) }), Some(false));
}

#[test]
fn a_token_for_entra_id_is_mounted_where_a_workload_identity_is_named_and_for_nobody_else() {
    let pod = |resolved: &Resolved| {
        let deployment = plan(resolved, &settings()).deployment;
        serde_json::to_value(deployment.spec.unwrap().template.spec.unwrap()).unwrap()
    };
    let mut resolved = resolved();
    assert!(!pod(&resolved).to_string().contains("serviceAccountToken\""));
    resolved.mounts.azure_token = true;
    let pod = pod(&resolved);
    let volume = pod["volumes"].as_array().unwrap().iter().find(|it| it["name"] == "azure-identity-token").unwrap();
    assert_eq!(
        volume["projected"]["sources"],
        json!([{ "serviceAccountToken": {
            "audience": "api://AzureADTokenExchange", "expirationSeconds": 3600, "path": "azure-identity-token",
        } }])
    );
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    let mount = mounts.iter().find(|it| it["name"] == "azure-identity-token").unwrap();
    assert_eq!(mount["mountPath"], "/var/run/secrets/azure/tokens");
    // It is no token for the API server.
    assert_eq!(pod["automountServiceAccountToken"], false);
}
