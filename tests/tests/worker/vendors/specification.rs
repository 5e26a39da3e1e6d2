//! Our requests to Mixpanel, judged by Mixpanel's own specification (tests/peers/vendors/mixpanel-import.openapi.yaml) in
//! Stoplight's Prism, which answers with each answer that the specification declares.

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use ropeway_auth::http::Response;
use ropeway_tests::{
    port::free_port,
    process::{Launch, Process},
    programs::repository,
    scene::http_client,
    scratch::Scratch,
};
use ropeway_worker::{
    map::Record,
    provider::{Fate, Outcome, Sending, Verdict},
};
use serde_json::{Value, json};

use super::{records, script, sink, vendor};

/// A running Prism. Dropping it ends it.
struct Prism {
    url: String,
    _process: Process,
    _scratch: Scratch,
}

impl Prism {
    async fn start() -> Self {
        let folder = repository().join("tests/peers/vendors");
        let program = folder.join("node_modules/@stoplight/prism-cli/dist/index.js");
        assert!(program.is_file(), "Prism is not installed; run `make tools TOOLS=vendors`");
        let (scratch, port) = (Scratch::new("prism").expect("a folder"), free_port().expect("a port"));
        let launch = Launch::at("node")
            .argument(program)
            .arguments(["mock", "--errors", "--host", "127.0.0.1", "--port", &port.to_string()])
            .argument(folder.join("mixpanel-import.openapi.yaml"));
        let log = Path::new(scratch.path()).join("prism.log");
        let mut process = Process::start("prism", launch, &log).expect("Prism starts");
        let url = format!("http://127.0.0.1:{port}");
        let client = http_client();
        let answers = async || client.get(&url).send().await.map(drop).map_err(|error| error.to_string());
        process.until("Prism answers", Duration::from_secs(60), answers).await.expect("Prism answers");
        Self { url, _process: process, _scratch: scratch }
    }
}

/// Sends a body as the worker does, and asks for one of the declared answers.
async fn sent(url: &str, body: Vec<u8>, wanted: Option<&str>) -> Response {
    let request = http_client().post(url).basic_auth("user", Some("secret")).header("content-type", "application/json");
    let request = match wanted {
        Some(code) => request.header("prefer", format!("code={code}")),
        None => request,
    };
    let answer = request.body(body).send().await.expect("an answer");
    Response { status: answer.status(), headers: answer.headers().clone(), body: answer.bytes().await.expect("a body") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mixpanels_specification_takes_our_requests_and_we_understand_its_answers() {
    let prism = Prism::start().await;
    let mixpanel = vendor(json!({ "mixpanel": { "projectId": 7, "url": prism.url } }));
    let lines = script(vec!["destinations.mjs".into(), "mixpanel".into(), "specification".into(), "2000".into()]).await;
    let events: Vec<Value> = lines.iter().flat_map(|line| line["events"].as_array().expect("events").clone()).collect();
    let transform = r#"
        properties = object!(.properties)
        properties.distinct_id = .userId
        properties.time = to_unix_timestamp(parse_timestamp!(.timestamp, "%+"))
        { "event": .event, "properties": properties }
    "#;
    // Our own key becomes `$insert_id`; it is 32 characters long, while these events' ids may be longer than Mixpanel takes.
    let events: Vec<Value> = events
        .into_iter()
        .enumerate()
        .map(|(index, mut event)| {
            event["messageId"] = json!(format!("key-{index}"));
            event
        })
        .collect();
    let records = records(&*mixpanel, transform, &events);
    let records: Vec<&Record> = records.iter().collect();
    let sending = Sending { now: Timestamp::UNIX_EPOCH, secrets: &[] };
    let request = mixpanel.request(&records, sending).expect("a request");
    let url = request.uri.to_string();
    for (wanted, status, expected) in [
        (None, 200, "delivered"),
        (Some("400"), 400, "unaccounted"),
        (Some("401"), 401, "hold"),
        (Some("413"), 413, "rejected"),
        (Some("429"), 429, "limited"),
    ] {
        let response = sent(&url, request.body.to_vec(), wanted).await;
        let said = String::from_utf8_lossy(&response.body).into_owned();
        assert_eq!(response.status, status, "{said}");
        assert!(!response.headers.contains_key("sl-violations"), "{:?}", response.headers);
        let Verdict { outcome, each, .. } = mixpanel.verdict(&response, &records, Timestamp::UNIX_EPOCH);
        let outcome = match each.into_iter().next_back() {
            Some(Fate::Known(outcome)) => outcome,
            _ => outcome,
        };
        let word = match outcome {
            Outcome::Delivered => "delivered",
            Outcome::Retry { limited: true, .. } => "limited",
            Outcome::Retry { .. } => "retry",
            Outcome::Rejected(_) => "rejected",
            // Its example of a 400 says that 999 were taken and one refused, of our 2000.
            Outcome::Unaccounted(_) => "unaccounted",
            Outcome::Hold { .. } => "hold",
            Outcome::Left(_) => "left",
        };
        assert_eq!(word, expected, "{status} {said}");
    }
}

/// What the sink plays as Mixpanel refuses what the specification refuses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mixpanel_that_the_sink_plays_agrees_with_the_specification() {
    let prism = Prism::start().await;
    let (_sink, address) = sink("nobody-is-refused").await;
    let good = json!({ "event": "e", "properties": { "time": 1, "distinct_id": "u", "$insert_id": "i" } });
    let mut bodies = vec![json!([good.clone()]), json!([]), json!({}), json!([good.clone(), good.clone()])];
    for (pointer, value) in [
        ("/event", json!(7)),
        ("/properties/time", json!("x")),
        ("/properties/time", json!(1.5)),
        ("/properties/distinct_id", json!(7)),
        ("/properties/$insert_id", json!([])),
        ("/properties/plan", json!({ "a": [1] })),
    ] {
        let mut event = good.clone();
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        event.pointer_mut(parent).expect("a place")[name] = value;
        bodies.push(json!([event]));
    }
    for name in ["event", "properties"] {
        let mut event = good.clone();
        event.as_object_mut().expect("an object").remove(name);
        bodies.push(json!([event]));
    }
    let mut more = good.clone();
    more["more"] = json!(1);
    bodies.push(json!([more]));
    for body in bodies {
        let query = "import?strict=1&project_id=7";
        let theirs = sent(&format!("{}/{query}", prism.url), body.to_string().into_bytes(), None).await;
        let ours = sent(&format!("http://{address}/mixpanel/{query}"), body.to_string().into_bytes(), None).await;
        assert_eq!(ours.status, theirs.status, "{body}: {:?}", ours.body);
    }
}
