//! The search for marks is searched itself: what is planted is found, in whatever form and at each place.

use std::fs;

use async_nats::{HeaderMap, jetstream};
use base64::{Engine, prelude::BASE64_STANDARD};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Patch, PatchParams};
use ropeway_crds::Destination;
use ropeway_tests::{
    process::{Launch, Process},
    receiver::{Receiver, Reply},
    wait::until,
};
use serde_json::json;

use super::{
    PATIENCE,
    search::{Mark, Search, guarded_nats, jetstream_of},
};
use crate::place::{Place, destination};

const TEXT: &str = "canary-planted-3f81d2";

fn search() -> Search {
    Search::new(vec![Mark::of("the mark", TEXT)], vec![Mark::of("a payload", "canary-planted-payload-60c2")])
}

fn only(search: Search, place: &str) {
    assert_eq!(search.leaks(), [format!("{place}: the mark")]);
}

#[test]
fn a_mark_is_found_in_each_form_and_a_token_by_its_parts() {
    let hex = TEXT.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let shown = format!("{:?}", TEXT.as_bytes());
    for text in [TEXT, &BASE64_STANDARD.encode(TEXT), &hex, &shown, &format!("Some(\"{TEXT}\")")] {
        let mut search = search();
        search.text("here", text);
        only(search, "here");
    }
    let mut search = search();
    search.text("here", "canary-planted-3f81d");
    assert!(search.leaks().is_empty());
    let token = format!("{}{}{}", "a1".repeat(20), "b2".repeat(20), "c3".repeat(20));
    let marks = [Mark::of_token("token", &token), Mark::of("secret", "pass @ word")];
    for (text, what) in [(&token[..30], "token"), (&token[90..], "token"), ("x=pass+%40+word&y", "secret")] {
        assert_eq!(super::found(text, &marks), [what]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_planted_in_a_log_an_event_a_status_a_stream_or_a_process_is_found_there() {
    let nats = guarded_nats().await;
    let place = Place::new("canary-planted", &nats).await;
    place.apply::<Destination>(destination("crm", "http://127.0.0.1:9/")).await;
    let receiver = Receiver::start().await.expect("the receiver starts");
    let file = place.scratch.path().join(TEXT);
    fs::write(&file, "").expect("a file");
    let start = |arguments: &[&str], variable: &str| {
        let launch = Launch::at("tail").arguments(["-f", "--", "/dev/null"]).arguments(arguments.iter().copied());
        let launch = launch.variable("RUST_LOG", "trace").variable("PLANTED", variable);
        Process::start("planted", launch, &place.scratch.path().join("tail")).expect("tail starts")
    };
    let logs = place.scratch.path().join("logs");
    let log = |message: &str| json!({ "level": "TRACE", "target": "planted", "message": message }).to_string() + "\n";
    fs::create_dir_all(&logs).expect("a folder");
    fs::write(logs.join("worker.log"), log("nothing")).expect("a log");
    let plain = start(&[], "nothing");
    runs(&plain).await;

    // Where nothing is planted nothing is found, so what is found below was planted.
    let mut clean = search();
    clean.logs(&logs);
    clean.objects(&place);
    clean.metrics("the receiver", &receiver.url("admin")).await;
    clean.processes(&[plain.id()]);
    clean.streams(&nats).await;
    assert_eq!(clean.leaks(), Vec::<String>::new());

    fs::write(logs.join("worker.log"), log("nothing") + &log(&format!("Token({TEXT})"))).expect("a log");
    let mut looked = search();
    looked.logs(&logs);
    only(looked, "worker.log: \"planted\" says \"Token(canary-planted-3f81d2)\"");
    in_the_api_server(&place).await;
    let body = format!("ropeway_worker_delivered_total{{destination=\"{TEXT}\"}} 1\n");
    receiver.reply(move |_| Reply { status: 200, body: body.clone(), ..Reply::default() });
    let mut looked = search();
    looked.metrics("the receiver", &receiver.url("admin")).await;
    only(looked, "metrics of the receiver");
    for process in [start(&[], TEXT), start(&[file.to_str().expect("a path")], "nothing")] {
        runs(&process).await;
        let mut looked = search();
        looked.processes(&[process.id()]);
        only(looked, "the process tail");
    }
    in_streams(&nats).await;
}

async fn runs(process: &Process) {
    until("tail runs", PATIENCE, async || {
        let name = fs::read_to_string(format!("/proc/{}/comm", process.id())).map_err(|error| error.to_string())?;
        if name.trim() == "tail" { Ok(()) } else { Err(name) }
    })
    .await
    .expect("it does");
}

/// An Event and a status, one after the other.
async fn in_the_api_server(place: &Place) {
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": { "name": "planted" },
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "planted", "reportingInstance": "planted",
        "action": "Plant", "reason": "Planted", "type": "Normal", "note": format!("it says {TEXT}"),
        "regarding": { "kind": "Destination", "name": "crm", "namespace": place.namespace },
    });
    place.apply::<Event>(event).await;
    let mut looked = search();
    looked.objects(place);
    only(looked, "objects in the API server");
    place.all::<Event>().delete("planted", &Default::default()).await.expect("it goes");
    let mut looked = search();
    looked.objects(place);
    assert_eq!(looked.leaks(), Vec::<String>::new());
    let condition = json!({
        "type": "Ready", "status": "False", "reason": "Planted", "lastTransitionTime": "2026-01-01T00:00:00Z",
        "message": format!("the server said {}", BASE64_STANDARD.encode(TEXT)),
    });
    let status = json!({ "status": { "conditions": [condition] } });
    let patched = place.all::<Destination>().patch_status("crm", &PatchParams::default(), &Patch::Merge(status)).await;
    patched.expect("the status is taken");
    let mut looked = search();
    looked.objects(place);
    only(looked, "objects in the API server");
}

/// The header of a message, and an entry of a bucket.
async fn in_streams(nats: &ropeway_tests::NatsServer) {
    let context = jetstream_of(nats).await;
    let config = jetstream::stream::Config {
        name: "ROPEWAY_EVENTS_PLANTED".into(),
        subjects: vec!["planted.>".into()],
        ..Default::default()
    };
    context.create_stream(config).await.expect("a stream");
    let mut headers = HeaderMap::new();
    headers.insert("Ropeway-Error", format!("the answer was {TEXT}").as_str());
    let sent = context.publish_with_headers("planted.one", headers, "canary-planted-payload-60c2".into()).await;
    sent.expect("it is sent").await.expect("it is stored");
    let mut looked = search();
    // A payload may be there, a credential may not.
    assert_eq!(looked.streams(nats).await.len(), 1);
    only(looked, "ROPEWAY_EVENTS_PLANTED");
    context.delete_stream("ROPEWAY_EVENTS_PLANTED").await.expect("it goes");
    let config = jetstream::kv::Config { bucket: "PLANTED".into(), ..Default::default() };
    let bucket = context.create_key_value(config).await.expect("a bucket");
    bucket.put("token.crm", format!("{{\"refused\":\"{TEXT}\"}}").into()).await.expect("it is stored");
    let mut looked = search();
    looked.streams(nats).await;
    only(looked, "KV_PLANTED");
}
