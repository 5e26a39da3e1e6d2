//! The vendors that the sink plays take what the vendors' own client libraries send, and answer what those understand. Of
//! Google there is no client of the Measurement Protocol, and Mixpanel's speaks to HTTPS only: see `specification`.

use serde_json::{Value, json};

use super::{script, sink};

/// What a library made of a vendor that the sink plays, and what the sink remembers of it.
async fn driven(vendor: &str) -> (Value, Value) {
    let (sink, address) = sink("nobody-is-refused").await;
    let lines = script(vec!["clients.mjs".into(), vendor.into(), format!("http://{address}/{vendor}")]).await;
    let [said] = lines.as_slice() else { panic!("{lines:?}") };
    let memory = serde_json::to_value(sink.memory(vendor)).expect("a memory is writable");
    (said.clone(), memory)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn braze() {
    let (said, memory) = driven("braze").await;
    let good =
        json!({ "message": "success", "attributes_processed": 1, "events_processed": 1, "purchases_processed": 1 });
    assert_eq!(said["good"], good);
    assert_eq!((&said["mixed"]["message"], &said["mixed"]["errors"][0]["index"]), (&json!("success"), &json!(1)));
    assert!(said["refused"].as_str().expect("an error").contains("Valid data must be provided"), "{said}");
    assert_eq!(memory["accepted"], json!({ "user-1": 2, "user-2": 1 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segment() {
    let (said, memory) = driven("segment").await;
    assert_eq!(said["errors"], json!([]));
    let calls: u64 = memory["accepted"].as_object().expect("ids").values().filter_map(Value::as_u64).sum();
    assert_eq!((calls, &memory["refused"]), (28, &json!({})));
    assert!(memory["requests"].as_u64().expect("a number") <= 4, "they come in batches: {memory}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hubspot() {
    let (said, _) = driven("hubspot").await;
    let expected = json!({
        "first": { "status": "COMPLETE", "traces": ["a@example.com", "b@example.com"], "news": [true, true] },
        // The same object, although its address is written otherwise.
        "again": [[false, true]],
        "mixed": { "numErrors": 1, "refused": [["nobody"]], "done": ["c@example.com"] },
        "created": 1, "conflict": [0, ["CONFLICT"]], "updated": "Eve", "untraced": 400, "twice": 400, "stranger": 401,
        "consent": { "expiresIn": 1800, "same": true, "through": "COMPLETE", "withdrawn": [401, 400] },
    });
    assert_eq!(said, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn salesforce() {
    let (said, _) = driven("salesforce").await;
    let expected = json!({
        "upserted": ["done", "REQUIRED_FIELD_MISSING"], "again": ["done", "done", "DUPLICATE_VALUE"], "same": true,
        "inserted": ["done", "REQUIRED_FIELD_MISSING"], "updated": ["done", "ENTITY_IS_DELETED"],
        "stranger": "INVALID_SESSION_ID",
        "bulk": {
            "taken": [["a", "false"], ["bulk-1", "true"]], "same": "Love, \"lace\"\nAda",
            "refused": [["bulk-2", "REQUIRED_FIELD_MISSING"]], "untouched": 0, "repeated": ["false"],
            // Where it expects CSV the library does not read the error.
            "early": "ERROR_HTTP_400", "opened": "Open", "closedTwice": "INVALIDJOBSTATE", "left": ["bulk-3"],
            "keyless": "INVALIDJOB", "unknown": "NOT_FOUND", "outsider": "INVALID_SESSION_ID",
        },
    });
    assert_eq!(said, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn amplitude() {
    let (said, memory) = driven("amplitude").await;
    // The library gives up the event that was listed and sends the other two again.
    assert_eq!(said["codes"], json!([200, 400, 200, 200]));
    assert_eq!((&memory["accepted"].as_object().expect("ids").len(), &memory["repeated"]), (&1, &json!(1)));
}
