//! Credentials that are not in a Secret of the user's alone: values of Azure Key Vault, tokens that workers, the operator and
//! `ropeway login` get, and what these are asked for with. Whatever was on the wire is marked, the servers and the vendor say
//! again what they were told, and the search looks for it in everything that anybody can read.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    process::{Child, Command},
};

use k8s_openapi::{
    api::{
        core::v1::{Secret, ServiceAccount},
        events::v1::Event,
    },
    jiff::Timestamp,
};
use ropeway_crds::{Destination, Integration};
use ropeway_tests::{
    NatsServer,
    azure::{APP_SECRET, Azure, EXCHANGE},
    oidc::{CLIENT_SECRET, OidcProvider},
    process::run,
    receiver::{Receiver, Reply},
    scene::{Worker, http_client, webhook_to},
    wait::until,
};
use serde_json::{Value, json};

use super::{
    PATIENCE, out,
    search::{Mark, NATS_PASSWORD, Search, found, guarded_nats, process_facts},
};
use crate::{
    kubelet::{run_pod_with, show_secrets},
    place::{Operator, Place, integration},
};

const NAME: &str = "signups";

/// The Destinations. The operator keeps the tokens of the first two.
const OUT: [&str; 9] = [
    "crm",
    "person",
    "statement",
    "signed",
    "vault-header",
    "vault-body",
    "vault-bearer",
    "entra-secret",
    "entra-certificate",
];

/// What stands in the vault, by the secret's name; `-next` is what it is changed to.
const VAULT: [(&str, &str); 9] = [
    ("hook", "canary-vault-hook-8c17e0"),
    ("tenant", "canary-vault-header-1d5b92"),
    ("tenant-next", "canary-vault-next-header-a6f013"),
    ("key", "canary-vault-key-77e3a4"),
    ("key-next", "canary-vault-next-key-0b62f8"),
    ("body", "canary-vault-body-93c0d1"),
    ("body-next", "canary-vault-next-body-5f2e77"),
    ("bearer", "canary-vault-bearer-c4a816"),
    ("bearer-next", "canary-vault-next-bearer-2290bd"),
];

struct Stage {
    nats: NatsServer,
    place: Place,
    receiver: Receiver,
    oidc: OidcProvider,
    azure: Azure,
}

fn idp(key: &str) -> Value {
    json!({ "valueFrom": { "secretKeyRef": { "name": "idp", "key": key } } })
}

/// Says again, in header and body, whatever it was told. Who is refused is refused once.
fn echo(receiver: &Receiver) {
    receiver.reply(|asked| {
        let status = match (asked.destination, asked.ids[0].as_str(), asked.times) {
            (_, "unfit", _) => 422,
            (_, "again", 1) => 503,
            (_, "refused", 1) | ("crm", "last", 1) => 401,
            _ => 200,
        };
        let values = asked.headers.values().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let told: Vec<String> = values.chain(VAULT.map(|(_, value)| value.to_owned())).collect();
        let headers = vec![("x-request-id", told[0].clone()), ("x-echo", told.join(","))];
        Reply { status, headers, body: json!({ "error": told }).to_string(), ..Reply::default() }
    });
}

impl Stage {
    async fn new() -> Self {
        let oidc = OidcProvider::start(600, "ES256").await.expect("an authorization server");
        let azure = Azure::start(600).await.expect("the double of Azure");
        azure.sign_token(EXCHANGE).expect("a token");
        for (name, value) in VAULT.iter().filter(|(name, _)| !name.ends_with("-next")) {
            azure.order("put", &json!({ "name": name, "value": value })).await;
        }
        let nats = guarded_nats().await;
        let place = Place::new("canary-tokens", &nats).await;
        place.secrets("ropeway-nats", json!({ "username": "ropeway", "password": NATS_PASSWORD })).await;
        let (refresh, _) = oidc.consent().await;
        let (secret, key) = (CLIENT_SECRET, oidc.assertion_key.as_str());
        let idp = json!({ "secret": secret, "refresh": refresh, "assertion": key, "ca.crt": oidc.authority });
        place.secrets("idp", idp).await;
        let app = json!({ "secret": APP_SECRET, "tls.crt": azure.certificate, "tls.key": azure.key });
        place.secrets("app", app).await;
        let receiver = Receiver::start().await.expect("the receiver starts");
        echo(&receiver);
        Self { nats, place, receiver, oidc, azure }
    }

    /// Operators must know where Entra ID and the vault are.
    fn operator(&self, panics: &str) -> Operator {
        let settings = ["--azure-authority-host", self.azure.url.as_str(), "--azure-vault-host", "127.0.0.1"];
        self.place.operator_told(&settings, &[("RUST_LOG", "trace"), ("ROPEWAY_PANIC", panics)])
    }

    async fn worker(&self, pod: &str, panics: &str) -> Worker {
        let (authority, token) = (self.azure.authority(), self.azure.token_file());
        let variables = [
            ("RUST_LOG", "trace"),
            ("SSL_CERT_FILE", authority.as_str()),
            ("AZURE_FEDERATED_TOKEN_FILE", token.as_str()),
            ("ROPEWAY_PANIC_SENDING", panics),
        ];
        run_pod_with(&self.place, NAME, pod, &variables).await
    }

    fn oauth2(&self, grant: &str, more: Value) -> Value {
        let mut oauth2 = json!({ "grant": grant, "issuer": self.oidc.url,
            "tls": { "caRef": { "name": "idp", "key": "ca.crt" } } });
        for (name, value) in more.as_object().expect("an object") {
            oauth2[name] = value.clone();
        }
        json!({ "oauth2": oauth2 })
    }

    fn ways_out(&self) -> Vec<Value> {
        let http = |name: &str| json!({ "http": { "url": self.receiver.url(name) } });
        let consent = |more: Value| {
            let mut all = json!({ "clientId": { "value": "consent" }, "clientSecret": idp("secret") });
            all.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            all
        };
        let person = consent(json!({ "scopes": ["openid", "offline_access"] }));
        let signs = json!({ "key": idp("assertion"), "algorithm": "ES256", "keyId": "one" });
        let mut about = signs.clone();
        (about["subject"], about["audience"]) =
            (json!({ "value": "user@example.com" }), json!(format!("{}/token", self.oidc.url)));
        let statement = json!({ "clientId": { "value": "bearer" }, "assertion": about });
        let signed = json!({ "clientId": { "value": "signed" }, "clientAssertion": signs });
        let secret = json!({ "clientSecret": { "valueFrom": { "secretKeyRef": { "name": "app", "key": "secret" } } } });
        let certificate = json!({ "certificateRef": { "name": "app" } });
        let entra = |client: &str, credential: &Value| {
            let mut identity = Azure::identity(client, credential.clone());
            identity["scope"] = json!("https://crm.example/.default");
            json!({ "azure": identity })
        };
        let key = |place: &str, name: &str| {
            let value = self.azure.secret(name);
            json!({ "apiKey": { "in": place, "name": "key", "value": value } })
        };
        let reads = |mut made: Value, client: &str, credential: &Value| {
            made["spec"]["keyVaultIdentity"] = Azure::identity(client, credential.clone());
            made
        };
        let mut tenant = self.azure.secret("tenant");
        tenant["name"] = json!("X-Tenant");
        let with_header = json!({ "http": { "url": self.receiver.url("vault-header"), "headers": [tenant] } });
        let bearer = json!({ "bearer": { "token": self.azure.secret("bearer") } });
        let workload = json!({ "workloadIdentity": {} });
        vec![
            out("crm", http("crm"), self.oauth2("RefreshToken", consent(json!({ "refreshToken": idp("refresh") })))),
            out("person", http("person"), self.oauth2("AuthorizationCode", person)),
            out("statement", http("statement"), self.oauth2("JwtBearer", statement)),
            out("signed", http("signed"), self.oauth2("ClientCredentials", signed)),
            reads(out("vault-header", with_header, key("Header", "key")), "app-secret", &secret),
            reads(out("vault-body", http("vault-body"), key("Body", "body")), "app-certificate", &certificate),
            reads(out("vault-bearer", http("vault-bearer"), bearer), "app-federated", &workload),
            out("entra-secret", http("entra-secret"), entra("app-secret", &secret)),
            out("entra-certificate", http("entra-certificate"), entra("app-certificate", &certificate)),
        ]
    }

    async fn described(&self) {
        for destination in self.ways_out() {
            self.place.apply::<Destination>(destination).await;
        }
        let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": { "name": "robot", "annotations": { "ropeway.dev/workers": "allowed" } } });
        self.place.apply::<ServiceAccount>(account).await;
        let mut spec = webhook_to(&OUT);
        spec["source"]["webhook"]["verification"] = json!({ "bearer": { "tokens": [self.azure.secret("hook")] } });
        spec["keyVaultIdentity"] = Azure::identity("app-federated", json!({ "workloadIdentity": {} }));
        spec["template"] = json!({ "serviceAccountName": "robot" });
        self.place.apply::<Integration>(integration(NAME, spec)).await;
        self.place.condition(NAME, "WorkersAvailable", "False", "WorkersStarting").await;
    }

    /// Waits until these have taken an event.
    async fn taken(&self, id: &str, names: &[&str]) {
        until(&format!("{id} is taken by {names:?}"), PATIENCE, async || {
            let lack: Vec<_> = names.iter().filter(|name| !self.receiver.ids(name).contains(id)).collect();
            if lack.is_empty() { Ok(()) } else { Err(format!("not by {lack:?}")) }
        })
        .await
        .expect("it is");
    }

    async fn told(&self, name: &str, status: &str, reason: &str) -> String {
        let wanted = ("CredentialsValid", status, reason);
        self.place.condition_within::<Destination>(name, wanted, PATIENCE).await
    }

    /// A person logs in, with a server that echoes, a command that panics, and then as it should be.
    async fn logs_in(&self) -> Vec<(String, String)> {
        let mut seen = Vec::new();
        let echo = json!({ "kind": "echo", "status": 503 });
        for (number, panics, fails, ends) in
            [(1, "nowhere", echo, Some(1)), (2, "login", Value::Null, Some(101)), (3, "nowhere", Value::Null, Some(0))]
        {
            self.oidc.fail(&fails).await;
            let told = |name: &str| self.place.scratch.path().join(format!("login-{number}.{name}"));
            let to = |name: &str| File::create(told(name)).expect("a file");
            let text = |name: &str| fs::read_to_string(told(name)).expect("text");
            let mut command: Command =
                self.place.ropeway(&["login", "person", "--listen", "127.0.0.1:0", "--wait", "60"]);
            command.env("RUST_LOG", "trace").env("ROPEWAY_PANIC", panics).stdout(to("out")).stderr(to("errors"));
            let mut login: Child = command.spawn().expect("the command starts");
            let address = until("there is an address", PATIENCE, async || {
                let said = text("out");
                let found = said.lines().find(|line| line.starts_with("https://")).map(str::to_owned);
                found.filter(|_| said.ends_with("\n\n")).ok_or_else(|| text("errors"))
            })
            .await
            .expect("it is printed");
            seen.push((format!("the process of login {number}"), process_facts(login.id())));
            self.oidc.consent_at(&address).await;
            let code = login.wait().expect("the command ends").code();
            assert_eq!(code, ends, "{}", text("errors"));
            assert!(text("errors").contains("TRACE"), "the command is not traced");
            assert_eq!(text("errors").contains("this should not have happened"), panics == "login");
            seen.extend(["out", "errors"].map(|name| (format!("login-{number}.{name}"), text(name))));
        }
        seen
    }

    async fn token_of(&self, name: &str) -> Option<Value> {
        let found = self.place.all::<Secret>().get_opt(&format!("ropeway-token-{name}")).await.expect("an answer")?;
        let time = found.data?.remove("refreshed_at")?.0;
        Some(json!(String::from_utf8(time).expect("a text")))
    }

    async fn renewed(&self, name: &str, since: Option<Value>) -> Option<Value> {
        until(&format!("another token for {name}"), PATIENCE, async || {
            let time = self.token_of(name).await;
            if time.is_some() && time != since { Ok(time) } else { Err(format!("{time:?}")) }
        })
        .await
        .expect("it comes")
    }

    /// Everything that was a credential.
    async fn marks(&self) -> Vec<Mark> {
        let mut marks: Vec<Mark> =
            VAULT.iter().map(|(name, value)| Mark::of(&format!("{name} of the vault"), value)).collect();
        let told = [("oidc", self.oidc.secrets().await), ("azure", self.azure.secrets().await)];
        let mut known = BTreeSet::new();
        for (server, secrets) in told {
            for it in secrets.into_iter().filter(|it| known.insert(it.value.clone())) {
                marks.push(Mark::of_token(&format!("{} of {server}", it.name), &it.value));
            }
        }
        for secret in [CLIENT_SECRET, APP_SECRET] {
            marks.push(Mark::of("a client secret", secret));
        }
        let encoded: String = url::form_urlencoded::byte_serialize(CLIENT_SECRET.as_bytes()).collect();
        marks.push(Mark::of("a pair of Basic", &format!("consent:{encoded}")));
        marks.push(Mark::of_key("the assertion key", &self.oidc.assertion_key));
        marks.push(Mark::of_key("the certificate's key", &self.azure.key));
        let federated = fs::read_to_string(self.azure.token_file()).expect("a token");
        marks.push(Mark::of_token("the federated token", federated.trim()));
        marks.push(Mark::of("the password of NATS", NATS_PASSWORD));
        marks
    }
}

/// Sends an event with the token that stands in the vault. None where nobody answers.
async fn send(worker: &Worker, id: &str) -> Option<u16> {
    let request = http_client().post(&worker.url).bearer_auth(VAULT[0].1).header("content-type", "application/json");
    let answer = request.body(json!({ "id": id }).to_string()).send().await;
    answer.ok().map(|answer| answer.status().as_u16())
}

async fn accepted(worker: &Worker, id: &str) {
    until(&format!("{id} is accepted"), PATIENCE, async || match send(worker, id).await {
        Some(200) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await
    .expect("it is");
}

/// An operator panics with a refresh token in its words.
async fn panics(stage: &Stage) {
    stage.oidc.fail(&json!({ "kind": "echo", "status": 503 })).await;
    stage.azure.order("fail", &json!({ "status": 503, "echo": true, "times": 2 })).await;
    let mut operator = stage.operator("token");
    stage.place.apply::<Destination>(stage.ways_out().swap_remove(0)).await;
    operator.process.ends(PATIENCE).await.expect("the operator panics");
    let log = fs::read_to_string(operator.process.log()).expect("a log");
    assert!(log.contains("a panic was caught or ends the process"), "it ended for another reason");
}

/// Refusals of tokens and values, by vendor and servers that say again what they were told, and all that renews them.
async fn renewals(stage: &Stage, worker: &Worker) {
    let kept = [stage.token_of("crm").await, stage.token_of("person").await];
    for name in ["tenant", "key", "body", "bearer"] {
        let (_, value) = VAULT.iter().find(|(known, _)| *known == format!("{name}-next")).expect("a value");
        stage.azure.order("put", &json!({ "name": name, "value": value })).await;
    }
    let given = Timestamp::now();
    until("what was got is old enough to be given up", PATIENCE, async || {
        let age = Timestamp::now().duration_since(given).as_secs();
        if age > 6 { Ok(()) } else { Err(format!("{age} s")) }
    })
    .await
    .expect("time passes");
    stage.oidc.fail(&json!({ "kind": "echo", "status": 503 })).await;
    stage.azure.order("fail-tokens", &json!({ "status": 503, "echo": true })).await;
    for id in ["refused", "again", "unfit"] {
        accepted(worker, id).await;
    }
    for name in ["statement", "signed", "entra-secret", "entra-certificate"] {
        let told = stage.told(name, "Unknown", "TokenUnavailable").await;
        assert!(told.contains("answered 503: temporarily_unavailable: …"), "{name}: {told}");
    }
    until("the operator was told as well", PATIENCE, async || {
        let found = stage.place.all::<Destination>().get("crm").await.map_err(|error| error.to_string())?;
        let told = found.status.and_then(|status| status.credentials).unwrap_or_default();
        if told.refresh_failures > Some(0) { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await
    .expect("it is");
    stage.oidc.fail(&Value::Null).await;
    stage.azure.order("fail-tokens", &Value::Null).await;
    for (name, before) in ["crm", "person"].into_iter().zip(kept) {
        stage.renewed(name, before).await;
    }
    show_secrets(&stage.place, NAME, "pod-2").await;
    stage.taken("refused", &OUT).await;
    stage.taken("again", &OUT).await;
    // And one whose consent is taken back.
    stage.oidc.fail(&json!({ "kind": "echo", "status": 400, "error": "invalid_grant" })).await;
    accepted(worker, "last").await;
    stage.told("crm", "False", "ConsentNeeded").await;
    let events = stage.place.all::<Event>().list(&Default::default()).await.expect("events");
    assert!(events.items.iter().any(|event| event.reason.as_deref() == Some("ConsentNeeded")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_got_from_a_server_or_a_vault_is_found_where_it_does_not_belong() {
    let stage = Stage::new().await;
    panics(&stage).await;
    let operator = stage.operator("nowhere");
    let told = stage.told("crm", "Unknown", "TokenUnavailable").await;
    assert!(told.contains("temporarily_unavailable"), "{told}");
    stage.described().await;
    stage.told("person", "False", "ConsentNeeded").await;
    let said = stage.logs_in().await;
    for name in ["crm", "person"] {
        stage.renewed(name, None).await;
    }
    let mut panicking = stage.worker("pod-1", "/entra-secret").await;
    until("the worker panics", PATIENCE, async || match panicking.process.check() {
        Ok(()) => Err(format!("{:?}", send(&panicking, "one").await)),
        Err(_) => Ok(()),
    })
    .await
    .expect("it does");
    let log = fs::read_to_string(panicking.process.log()).expect("a log");
    assert!(log.contains("a panic was caught or ends the process"), "it ended for another reason");
    let worker = stage.worker("pod-2", "/nowhere").await;
    accepted(&worker, "two").await;
    stage.taken("one", &OUT).await;
    stage.taken("two", &OUT).await;
    renewals(&stage, &worker).await;

    let marks = stage.marks().await;
    let names: BTreeSet<&str> = marks.iter().map(|mark| mark.what.as_str()).collect();
    for kind in ["client_assertion", "assertion", "refresh_token", "code", "code_verifier", "access_token"] {
        assert!(names.contains(format!("{kind} of oidc").as_str()), "{kind} was not on the wire: {names:?}");
    }
    for kind in ["client_secret", "client_assertion", "access_token"] {
        assert!(names.contains(format!("{kind} of azure").as_str()), "{kind} was not on the wire: {names:?}");
    }
    let count = |what: &str| marks.iter().filter(|mark| mark.what == what).count();
    assert!(count("refresh_token of oidc") >= 5, "nothing was rotated: {}", count("refresh_token of oidc"));
    // The search itself: on the wire and in Secrets it finds them.
    for name in OUT {
        let arrivals = stage.receiver.arrivals().into_iter().filter(|it| it.destination == name);
        let text: String =
            arrivals.map(|it| format!("{:?} {}\n", it.headers, String::from_utf8_lossy(&it.body))).collect();
        assert!(!found(&text, &marks).is_empty(), "{name} was sent nothing that is marked");
    }
    let secrets = run(stage.place.kubectl().args(["get", "secrets", "--output", "json"])).expect("kubectl reads");
    let seen = found(&secrets, &marks);
    assert!(["access_token of oidc", "refresh_token of oidc"].iter().all(|it| seen.iter().any(|what| what == it)));

    let mut search = Search::new(marks, Vec::new());
    for (place, text) in &said {
        search.text(place, text);
    }
    search.logs(&stage.place.scratch.path().join("logs"));
    search.objects(&stage.place);
    search.metrics("the operator", &operator.admin).await;
    search.metrics("the worker", &worker.admin).await;
    search.processes(&[operator.process.id(), worker.process.id()]);
    search.dead_letters(&stage.place, &stage.nats, NAME, OUT.len());
    search.streams(&stage.nats).await;
    let leaks = search.leaks();
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
}
