//! The rules of batch sources.

use serde_json::{Value, json};

use super::{check, integration, integration_errors, secret, with};
use crate::Integration;

#[test]
fn rules_of_batch_sources() {
    let batch =
        |from: Value, format: Value| json!({ "batch": { "schedule": "0 2 * * *", "from": from, "format": format } });
    let ndjson = || json!({ "ndjson": {} });
    let http = |extra: Value| {
        let mut http = json!({ "url": "https://a.example/export" });
        http.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        batch(json!({ "http": http }), ndjson())
    };
    let store = |store: Value| batch(json!({ "objectStore": store }), ndjson());
    let s3 = json!({ "s3": { "accessKeyId": { "value": "A" }, "secretAccessKey": secret() } });
    let file = |path: &str| batch(json!({ "file": { "claimName": "c", "path": path } }), ndjson());
    let formatted = |format: Value| batch(json!({ "http": { "url": "https://a.example/" } }), format);
    let key = |place: &str| json!({ "auth": { "apiKey": { "in": place, "name": "k", "value": secret() } } });
    let mut late = http(json!({}));
    late["batch"]["startingDeadline"] = json!("25h");
    check(
        integration,
        integration_errors,
        &[
            ("/spec/source", http(json!({})), batch(json!({}), ndjson()), "exactly one of http, objectStore and file"),
            ("/spec/source", http(json!({})), formatted(json!({})), "exactly one of ndjson, csv and jsonArray"),
            ("/spec/source", http(json!({})), late, "at most 24h"),
            ("/spec/source", http(key("Query")), http(key("Body")), "a GET has no body"),
            ("/spec/source", http(json!({})), http(json!({ "url": "https://u:p@a.example/" })), "must not hold"),
            ("/spec/source", file("a/b.csv"), file("a/../b.csv"), "inside the claim"),
            (
                "/spec/source",
                store(json!({ "url": "s3://b/k", "credentials": s3 })),
                store(json!({ "url": "gs://b/k", "credentials": s3 })),
                "another kind of storage",
            ),
            (
                "/spec/source",
                store(json!({ "url": "az://c/k", "account": "abc" })),
                store(json!({ "url": "az://c/k" })),
                "account is needed",
            ),
            (
                "/spec/source",
                store(json!({ "url": "s3://b/k", "endpoint": "http://minio:9000", "allowHttp": true })),
                store(json!({ "url": "s3://b/k", "endpoint": "http://minio:9000" })),
                "needs allowHttp",
            ),
            (
                "/spec/source",
                store(json!({ "url": "s3://b/k", "credentials": s3 })),
                store(json!({ "url": "s3://b/k", "credentials": {} })),
                "exactly one of s3, azure and gcs",
            ),
            (
                "/spec/source",
                store(
                    json!({ "url": "az://b/k", "account": "abc", "credentials": { "azure": { "sasToken": secret() } } }),
                ),
                store(json!({ "url": "az://b/k", "account": "abc", "credentials": { "azure": {} } })),
                "exactly one of accessKey",
            ),
            (
                "/spec/source",
                formatted(json!({ "csv": { "header": "Absent", "columns": ["a"] } })),
                formatted(json!({ "csv": { "header": "Absent" } })),
                "needs columns",
            ),
            (
                "/spec/source",
                formatted(json!({ "csv": { "delimiter": ";", "quote": "'" } })),
                formatted(json!({ "csv": { "delimiter": ";", "quote": ";" } })),
                "must differ",
            ),
        ],
    );
    let parse = |object: Value| serde_json::from_value::<Integration>(object).unwrap();
    let (stream, batch) = (
        parse(with(integration(), "/spec/source", json!({ "stream": { "stream": "O" } }))),
        parse(with(integration(), "/spec/source", http(json!({})))),
    );
    assert!(batch.validate_cel_update(&batch).is_ok());
    assert!(batch.validate_cel_update(&stream).unwrap_err().to_string().contains("kind of source"));
}
