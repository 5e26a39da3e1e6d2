//! Objects in a storage that speaks S3: one object, and everything below a prefix. The storage here is a stand-in that
//! knows just enough; `ROPEWAY_S3_ENDPOINT` puts a real one in its place, whose bucket `exports` the test fills and empties.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::Response,
};
use ropeway_tests::{
    port::serve,
    scene::{PATIENCE, Scene, http_client},
    wait::until,
};
use serde_json::json;

use crate::batch::{last_run, lines};

type Objects = Arc<Mutex<BTreeMap<String, Bytes>>>;

/// A stand-in for S3: PUT, GET with a range, HEAD, DELETE, and the second version of the listing, ten names at a time.
async fn storage() -> String {
    if let Ok(endpoint) = std::env::var("ROPEWAY_S3_ENDPOINT") {
        return endpoint;
    }
    let address = serve(Router::new().fallback(answer).with_state(Objects::default())).await;
    format!("http://{address}")
}

async fn answer(State(objects): State<Objects>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let url = reqwest::Url::parse(&format!("http://storage{uri}")).expect("a request has a URL");
    let query = url.query_pairs().into_owned().collect();
    let mut objects = objects.lock().unwrap_or_else(PoisonError::into_inner);
    let key = uri.path().trim_start_matches("/exports").trim_start_matches('/').to_owned();
    let plain = |status: StatusCode, text: String| {
        Response::builder().status(status).body(Body::from(text)).expect("well formed")
    };
    match method {
        Method::PUT => {
            objects.insert(key, body);
            plain(StatusCode::OK, String::new())
        }
        Method::DELETE => {
            objects.remove(&key);
            plain(StatusCode::NO_CONTENT, String::new())
        }
        _ if key.is_empty() => plain(StatusCode::OK, listing(&objects, &query)),
        _ => match objects.get(&key) {
            None => plain(StatusCode::NOT_FOUND, String::new()),
            Some(content) => object(content, &headers),
        },
    }
}

fn etag(content: &Bytes) -> String {
    format!("\"{}\"", ropeway_crds::names::hash(content, 16))
}

fn object(content: &Bytes, headers: &HeaderMap) -> Response {
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let from = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let mut response = Response::builder()
        .header(header::ETAG, etag(content))
        .header(header::LAST_MODIFIED, "Wed, 25 Nov 2026 08:00:00 GMT");
    if let Some(from) = from {
        let of = format!("bytes {from}-{}/{}", content.len() - 1, content.len());
        response = response.status(StatusCode::PARTIAL_CONTENT).header(header::CONTENT_RANGE, of);
    }
    let part = content.slice(from.unwrap_or(0)..);
    response.header(header::CONTENT_LENGTH, part.len()).body(Body::from(part)).expect("well formed")
}

fn listing(objects: &BTreeMap<String, Bytes>, query: &BTreeMap<String, String>) -> String {
    let prefix = query.get("prefix").cloned().unwrap_or_default();
    let after = query.get("continuation-token").cloned().unwrap_or_default();
    let mut found: Vec<_> =
        objects.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after).take(11).collect();
    let more = found.len() > 10;
    found.truncate(10);
    let next = found.last().map(|(key, _)| format!("<NextContinuationToken>{key}</NextContinuationToken>"));
    let contents: String = found
        .iter()
        .map(|(key, content)| {
            format!(
                "<Contents><Key>{key}</Key><LastModified>2026-11-25T08:00:00.000Z</LastModified><ETag>{}</ETag><Size>{}</Size></Contents>",
                etag(content).replace('"', "&quot;"),
                content.len()
            )
        })
        .collect();
    format!(
        "<?xml version=\"1.0\"?><ListBucketResult><Name>exports</Name><IsTruncated>{more}</IsTruncated>{}{contents}</ListBucketResult>",
        next.filter(|_| more).unwrap_or_default()
    )
}

struct Bucket {
    client: reqwest::Client,
    endpoint: String,
}

impl Bucket {
    async fn make() -> Self {
        let bucket = Self { client: http_client(), endpoint: storage().await };
        bucket.send(reqwest::Method::PUT, "", String::new()).await;
        bucket
    }

    async fn put(&self, key: &str, content: String) {
        self.send(reqwest::Method::PUT, key, content).await;
    }

    async fn send(&self, method: reqwest::Method, key: &str, content: String) {
        let url = format!("{}/exports/{key}", self.endpoint);
        // Unsigned, as everybody may write here.
        let request = self.client.request(method, url).header("x-amz-acl", "public-read-write");
        let answer = request.body(content).send().await.expect("the storage answers");
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    fn spec(&self, url: &str) -> serde_json::Value {
        let secret = json!({ "valueFrom": { "secretKeyRef": { "name": "hook", "key": "token" } } });
        let keys = json!({ "accessKeyId": { "value": "AKIAEXAMPLE" }, "secretAccessKey": secret });
        let store = json!({
            "url": url, "endpoint": self.endpoint, "allowHttp": true, "credentials": { "s3": keys },
        });
        json!({
            "source": { "batch": {
                "schedule": "@daily", "from": { "objectStore": store }, "format": { "ndjson": {} },
            } },
            "destinations": [{ "name": "crm", "ref": "crm" }],
        })
    }
}

async fn run(scene: &Scene) -> (Option<i32>, String, i64) {
    let mut job = scene.start_batch("job", None).expect("a job starts");
    let code = job.ends(PATIENCE).await.expect("the job ends");
    let last = last_run(scene).await;
    println!("{code:?}: {last:?}");
    (code, last.outcome, last.rows.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_object_below_a_prefix_is_read_once_in_each_version_in_the_order_of_their_names() {
    let bucket = Bucket::make().await;
    let row = |day: usize, row: usize| format!("{{\"id\":\"day{day:02}-{row}\"}}\n");
    let file = |day: usize, rows: usize| (0..rows).map(|number| row(day, number)).collect::<String>();
    for day in (1..=12).rev() {
        bucket.put(&format!("days/{day:02}.ndjson"), file(day, 20)).await;
    }
    bucket.put("other.ndjson", lines(5)).await;
    let scene = Scene::new(bucket.spec("s3://exports/days/")).await.expect("a scene");
    assert_eq!(run(&scene).await, (Some(0), "Complete".into(), 240));
    assert_eq!(run(&scene).await, (Some(0), "Unchanged".into(), 0));
    bucket.put("days/13.ndjson", file(13, 7)).await;
    bucket.put("days/05.ndjson", file(5, 21)).await;
    assert_eq!(run(&scene).await, (Some(0), "Complete".into(), 28));
    let _worker = scene.start_worker("worker", None).await.expect("a worker starts");
    scene.drained().await.expect("everything is delivered");
    let accepted = scene.receiver.accepted("crm");
    assert_eq!(accepted.len(), 248, "13 files, and one row more in one of them");
    let twice = accepted.iter().filter(|(_, count)| **count == 2).count();
    assert_eq!(twice, 20, "what changed is another file, all of it");
    let first = scene.observe().await.expect("an answer").figures.last_sequence;
    assert_eq!(first, 268);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_object_is_read_on_where_a_killed_reader_ended() {
    let bucket = Bucket::make().await;
    bucket.put("one.ndjson", lines(3_000)).await;
    let scene = Scene::new(bucket.spec("s3://exports/one.ndjson")).await.expect("a scene");
    for step in ["RowsRecorded:2", "RowsStored:1", "FileRead:1"] {
        let mut job = scene.start_batch(&step[..6], Some(step)).expect("a job starts");
        assert_eq!(job.ends(PATIENCE).await.expect("the job ends"), None, "{step} was not reached");
    }
    assert_eq!(run(&scene).await, (Some(0), "Complete".into(), 3_000));
    assert_eq!(scene.observe().await.expect("an answer").figures.pending["crm"], 3_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_is_missing_is_waited_for_a_little_and_then_told() {
    let bucket = Bucket::make().await;
    let scene = Scene::new(bucket.spec("s3://exports/missing.ndjson")).await.expect("a scene");
    assert_eq!(run(&scene).await.0, Some(1));
    let message = last_run(&scene).await.message;
    assert_eq!(
        message.unwrap_or_default(),
        "s3://exports/missing.ndjson does not exist; is it there already, and is the URL right?"
    );
    until("the condition says so", PATIENCE, async || {
        let (status, reason) = scene.condition("SourceReady").await.map_err(|error| error.to_string())?;
        if (status.as_str(), reason.as_str()) == ("False", "BatchFailing") { Ok(()) } else { Err(reason) }
    })
    .await
    .expect("it does");
}
