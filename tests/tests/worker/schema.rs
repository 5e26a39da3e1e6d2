//! Events that do not have the shape that the Integration expects.

use std::collections::BTreeSet;

use ropeway_tests::{
    scene::{PATIENCE, Scene, webhook_to},
    wait::until,
};
use serde_json::{Value, json};

fn expecting(reaction: &str) -> Value {
    let mut spec = webhook_to(&["a", "b"]);
    let shape = json!({ "type": "object", "required": ["id"], "properties": { "id": { "pattern": "^good" } } });
    spec["schema"] = json!({ "inline": shape, "onViolation": reaction });
    spec
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[tokio::test]
async fn an_event_of_another_shape_is_dead_lettered_dropped_or_passed_and_a_condition_says_so() {
    for (reaction, arrived, dead, discarded) in [
        ("DeadLetter", &["good-1", "good-2"][..], &["bad-1"][..], 0),
        ("Drop", &["good-1", "good-2"], &[], 1),
        ("Pass", &["bad-1", "good-1", "good-2"], &[], 0),
    ] {
        let scene = Scene::new(expecting(reaction)).await.expect("a scene");
        let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
        let conforms = async |wanted: &str| {
            until("the condition says so", PATIENCE, async || {
                let found = scene.condition("EventsConform").await.map_err(|error| error.to_string())?;
                if found.0 == wanted { Ok(found.1) } else { Err(format!("{found:?}")) }
            })
            .await
            .expect("the condition comes")
        };
        assert_eq!(conforms("True").await, "SchemaMatched");
        scene.store(["good-1", "bad-1", "good-2"].map(str::to_owned)).await.expect("events are stored");
        scene.drained().await.expect("everything is settled");
        assert_eq!(conforms("False").await, "SchemaViolated", "{reaction}");
        for destination in ["a", "b"] {
            assert_eq!(scene.receiver.ids(destination), set(arrived), "{reaction}");
            assert_eq!(scene.dead_letters(destination).await.expect("dead letters"), set(dead), "{reaction}");
        }
        let counted = until("the counts have arrived", PATIENCE, async || {
            let counts = scene.observe().await.map_err(|error| error.to_string())?.figures.counts;
            let counts = counts.get("a").copied().unwrap_or_default();
            if counts.settled == 3 { Ok(counts) } else { Err(format!("{counts:?}")) }
        });
        assert_eq!(counted.await.expect("counts").discarded, discarded, "{reaction}");
        let status = scene.status().await.expect("a status");
        let texts: Vec<String> = status.conditions.into_iter().map(|condition| condition.message).collect();
        assert!(!texts.iter().any(|text| text.contains("bad-1")), "a payload got into a status: {texts:?}");
    }
}

#[tokio::test]
async fn a_schema_that_can_not_be_used_says_what_is_wrong() {
    for (schema, told) in [
        (json!({ "inline": { "type": "objekt" } }), "spec.schema: it is no JSON Schema"),
        (json!({ "inline": { "$ref": "https://example.com/s" } }), "only references within the schema"),
        (json!({ "inline": { "$ref": "#" } }), "without going deeper"),
        (json!({}), "exactly one of inline and configMapKeyRef"),
        (json!({ "configMapKeyRef": { "name": "shapes", "key": "s.json" } }), "there is no ConfigMap"),
    ] {
        let mut spec = webhook_to(&["a"]);
        spec["schema"] = schema;
        let error = Scene::new(spec).await.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(told), "{error}");
    }
}
