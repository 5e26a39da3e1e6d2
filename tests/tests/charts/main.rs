//! The chart as `helm template` renders it. Runs with `make test-charts`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    process::Command,
};

use ropeway_tests::{Error, process::run, programs};
use serde_json::{Value, json};

/// What turns on every template.
const EVERYTHING: [&str; 5] = [
    "alerts.enabled=true",
    "nats.enabled=true",
    "nats.persistence.enabled=true",
    "networkPolicy.enabled=true",
    "allowPrivateRanges={10.0.0.0/8}",
];

fn chart() -> PathBuf {
    programs::repository().join("charts/ropeway")
}

fn template(settings: &[&str]) -> Result<String, Error> {
    let mut helm = Command::new(programs::find("helm").expect("helm"));
    helm.args(["template", "ropeway"]).arg(chart()).args(["--namespace", "ropeway-system", "--kube-version", "1.34.0"]);
    for setting in settings {
        helm.args(["--set", setting]);
    }
    run(&mut helm)
}

fn objects(settings: &[&str]) -> Vec<Value> {
    let text = template(settings).expect("it renders");
    let documents = text.split("\n---").filter(|document| document.contains("apiVersion:"));
    documents.map(|document| serde_saphyr::from_str(document.trim_start_matches("---")).expect("YAML")).collect()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

#[test]
fn rendering_twice_gives_equal_bytes() {
    assert_eq!(template(&EVERYTHING).expect("it renders"), template(&EVERYTHING).expect("it renders"));
    for entry in fs::read_dir(chart().join("templates")).expect("templates") {
        let path = entry.expect("a template").path();
        let text = fs::read_to_string(&path).expect("text");
        for word in ["lookup", "rand", "now", "genCA", "genSelfSigned", "uuidv4"] {
            let called = text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}"));
            let mut words = called.flat_map(|(call, _)| call.split(|letter: char| !letter.is_alphanumeric()));
            assert!(!words.any(|found| found.starts_with(word)), "{} calls {word}", path.display());
        }
    }
}

#[test]
fn the_crds_are_those_of_the_types_and_outlive_an_uninstall() {
    let names = |folder: PathBuf| -> BTreeMap<String, String> {
        let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path());
        let read =
            |path: PathBuf| (path.file_name().unwrap().to_string_lossy().into(), fs::read_to_string(path).unwrap());
        entries.map(read).collect()
    };
    let generated = names(programs::repository().join("crds/yaml"));
    let copied = names(chart().join("crds-files"));
    assert!(generated == copied, "charts/ropeway/crds-files is out of date: run `make crds`");

    let policy = "/metadata/annotations/helm.sh~1resource-policy";
    for (setting, expected) in [("crds.keep=true", Some(&json!("keep"))), ("crds.keep=false", None)] {
        let objects = objects(&["nats.enabled=true", setting]);
        let crds = of_kind(&objects, "CustomResourceDefinition");
        assert_eq!(crds.len(), generated.len());
        for crd in crds {
            assert_eq!(crd.pointer(policy), expected);
            let file = format!("{}.yaml", crd["spec"]["names"]["plural"].as_str().expect("a name"));
            let original: Value = serde_saphyr::from_str(&generated[&file]).expect("YAML");
            assert_eq!(crd["spec"], original["spec"], "{file} has changed on its way");
        }
    }
    assert!(of_kind(&objects(&["nats.enabled=true", "crds.enabled=false"]), "CustomResourceDefinition").is_empty());
}

#[test]
fn a_value_that_the_chart_does_not_know_is_refused_and_so_is_a_wrong_one() {
    for setting in [
        "nope=1",
        "nats.nope=1",
        "nats.persistence.nope=1",
        "image.nope=1",
        "operator.replicas=2",
        "operator.resources.nope=1",
        "watchNamespaces={Upper}",
        "secretAccess=Some",
        "azure.managedIdentityNamespaces={Upper}",
        "azure.authorityHost=http://login.example.com",
        "azure.vaultHosts={https://vault.example.com}",
        "allowPrivateRanges={10.0.0.0}",
        "nats.streamReplicas=6",
        "nats.url=nats://user:secret@example.com",
        "timing.statusSeconds=0",
        "image.pullPolicy=Sometimes",
        "alerts.nope=1",
    ] {
        let refused = template(&["nats.enabled=true", setting]).expect_err(setting).to_string();
        assert!(refused.contains("don't meet the specifications of the schema"), "{setting}: {refused}");
    }
    let without_nats = template(&[]).expect_err("nobody said where NATS is").to_string();
    assert!(without_nats.contains("nats.enabled=true"), "{without_nats}");
    assert!(
        template(&["nats.url=nats://nats.example.com:4222"])
            .expect("an address is enough")
            .contains("--nats-url=nats://nats.example.com:4222")
    );
}

#[test]
fn every_value_is_explained_in_the_readme() {
    let values: Value = serde_saphyr::from_str(&fs::read_to_string(chart().join("values.yaml")).unwrap()).unwrap();
    let readme = fs::read_to_string(chart().join("README.md")).expect("a README");
    let mut missing = Vec::new();
    leaves("", &values, &mut |path| {
        if !readme.contains(&format!("| `{path}` |")) {
            missing.push(path.to_owned());
        }
    });
    assert!(missing.is_empty(), "not in charts/ropeway/README.md: {missing:#?}");
}

/// Calls `found` with the path of every value that is no section. Resources are one value.
fn leaves(path: &str, value: &Value, found: &mut dyn FnMut(&str)) {
    match value {
        Value::Object(section) if !section.is_empty() && !path.ends_with("resources") => {
            for (name, inner) in section {
                leaves(&format!("{path}.{name}"), inner, found);
            }
        }
        _ => found(path.trim_start_matches('.')),
    }
}

#[test]
fn every_pod_passes_pod_security_restricted() {
    let objects = objects(&EVERYTHING);
    let pods: Vec<&Value> = objects.iter().filter_map(|object| object.pointer("/spec/template/spec")).collect();
    assert_eq!(pods.len(), 2);
    for pod in pods {
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        for field in ["hostNetwork", "hostPID", "hostIPC"] {
            assert_eq!(pod.get(field), None);
        }
        for container in pod["containers"].as_array().expect("containers") {
            let security = &container["securityContext"];
            assert_eq!(security["allowPrivilegeEscalation"], false);
            assert_eq!(security["readOnlyRootFilesystem"], true);
            assert_eq!(security["capabilities"], json!({ "drop": ["ALL"] }));
            assert!(container["resources"]["limits"]["memory"].is_string());
        }
    }
}

/// The rules of a role as `group/resource: verbs`.
fn rules(role: &Value) -> BTreeSet<String> {
    let words = |list: &Value| -> Vec<String> {
        list.as_array().expect("a list").iter().map(|word| word.as_str().expect("a word").to_owned()).collect()
    };
    let rules = role["rules"].as_array().expect("rules").iter();
    rules
        .flat_map(|rule| {
            let (groups, verbs) = (words(&rule["apiGroups"]), words(&rule["verbs"]).join(" "));
            words(&rule["resources"])
                .into_iter()
                .map(move |resource| format!("{}/{resource}: {verbs}", groups.join(",")))
        })
        .collect()
}

#[test]
fn the_rights_are_what_the_operator_calls_and_nothing_else() {
    let all = objects(&["nats.enabled=true"]);
    let expected = BTreeSet::from(
        [
            "/configmaps: get list watch create patch delete",
            "/namespaces: get",
            "/persistentvolumeclaims: get",
            "/secrets: get list watch",
            "/serviceaccounts: get",
            "/services: get list watch create patch delete",
            "apps/deployments: get list watch create patch delete",
            "batch/cronjobs: get list watch create patch delete",
            "events.k8s.io/events: create patch",
            "gateway.networking.k8s.io/httproutes: get list watch create patch delete",
            "networking.k8s.io/ingresses: get list watch create patch delete",
            "ropeway.dev/destinations/status: patch",
            "ropeway.dev/destinations: get list watch patch",
            "ropeway.dev/integrations/status: patch",
            "ropeway.dev/integrations: get list watch patch",
        ]
        .map(str::to_owned),
    );
    let roles = of_kind(&all, "ClusterRole");
    assert_eq!(roles.len(), 1);
    assert_eq!(rules(roles[0]), expected);
    assert!(of_kind(&all, "Role").is_empty());
}

#[test]
fn with_namespaces_given_no_right_reaches_beyond_them() {
    let objects =
        objects(&["nats.enabled=true", "watchNamespaces={crm,shop}", "watchSecrets=false", "secretAccess=Labelled"]);
    for kind in ["ClusterRole", "ClusterRoleBinding"] {
        assert!(of_kind(&objects, kind).is_empty(), "a {kind}");
    }
    for kind in ["Role", "RoleBinding"] {
        let namespaces: Vec<_> =
            of_kind(&objects, kind).into_iter().map(|it| it["metadata"]["namespace"].clone()).collect();
        assert_eq!(namespaces, ["crm", "shop"]);
    }
    for role in of_kind(&objects, "Role") {
        assert!(rules(role).contains("/secrets: get"));
    }
    let operator =
        of_kind(&objects, "Deployment")[0].pointer("/spec/template/spec/containers/0/args").expect("arguments");
    let arguments = operator.as_array().expect("a list");
    for expected in ["--namespace=crm", "--namespace=shop", "--watch-secrets=false", "--secret-access=Labelled"] {
        assert!(arguments.contains(&json!(expected)), "{expected}");
    }
}

#[test]
fn what_is_decided_about_azure_reaches_the_operator_and_is_nothing_by_default() {
    let arguments = |values: &[&str]| {
        let objects = objects(values);
        let operator = of_kind(&objects, "Deployment")[0].pointer("/spec/template/spec/containers/0/args").cloned();
        let all: Vec<String> = serde_json::from_value(operator.expect("arguments")).expect("texts");
        all.into_iter().filter(|it| it.starts_with("--azure")).collect::<Vec<_>>()
    };
    assert!(arguments(&["nats.enabled=true"]).is_empty());
    let given = arguments(&[
        "nats.enabled=true",
        "azure.managedIdentityNamespaces={crm,*}",
        "azure.authorityHost=https://login.example.com",
        "azure.vaultHosts={vault.example.com}",
    ]);
    let expected = [
        "--azure-managed-identity-namespace=crm",
        "--azure-managed-identity-namespace=*",
        "--azure-authority-host=https://login.example.com",
        "--azure-vault-host=vault.example.com",
    ];
    assert_eq!(given, expected);
    assert!(
        <ropeway_operator::args::Args as clap::Parser>::try_parse_from(
            ["operator"].into_iter().chain(given.iter().map(String::as_str))
        )
        .is_ok()
    );
}

#[test]
fn alerts_are_made_on_request_and_ask_for_metrics_that_the_operator_has() {
    assert!(of_kind(&objects(&["nats.enabled=true"]), "PrometheusRule").is_empty());
    let objects = objects(&["nats.enabled=true", "alerts.enabled=true", "alerts.labels.release=prometheus"]);
    let [rule] = of_kind(&objects, "PrometheusRule")[..] else { panic!("not one PrometheusRule") };
    assert_eq!(rule["metadata"]["labels"]["release"], "prometheus");
    let rules = rule.pointer("/spec/groups/0/rules").and_then(Value::as_array).expect("rules");
    let names: Vec<_> = rules.iter().map(|rule| rule["alert"].as_str().expect("a name")).collect();
    assert_eq!(names, ["RopewayDeadLetters", "RopewayDeadLettersGrowing", "RopewayDeadLettersOld"]);

    let metrics = ropeway_operator::metrics::Metrics::new();
    let figures =
        ropeway_operator::io::reports::Figures { dead_letters: [("crm".to_owned(), 1)].into(), ..Default::default() };
    metrics.saw_dead_letters("sales", "signups", &figures, jiff::Timestamp::now());
    let text = metrics.text();
    for rule in rules {
        let (expression, annotations) = (rule["expr"].as_str().expect("text"), rule["annotations"].to_string());
        let by = "by (integration_namespace, integration, destination)";
        assert!(expression.contains(by), "{expression}");
        let words = expression.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
        let asked: Vec<_> = words.filter(|word| word.starts_with("ropeway_")).collect();
        assert_eq!(asked.len(), 1, "{expression}");
        for word in asked {
            let series = format!(r#"{word}{{integration_namespace="sales",integration="signups",destination="crm"}}"#);
            assert!(text.contains(&series), "{expression}: the operator has no {word}");
        }
        // Prometheus fills these in, not helm.
        assert!(annotations.contains("{{ $labels.integration }}"), "{annotations}");
    }
}
