//! The same made-up events, mappings and answers through Segment's own destinations and through ours: the requests are equal
//! but for what each test says, and so is what became of each record.

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use ropeway_auth::http::Response;
use ropeway_worker::{
    map::Record,
    provider::{Fate, Outcome, Sending, Vendor, Verdict},
};
use serde_json::{Map, Value, json};

use super::{records, script, vendor};

/// How many events go through each.
const COUNT: &str = "500";

/// One request as Segment's destination made it, with what it answered and made of it.
struct Case {
    events: Vec<Value>,
    uri: String,
    body: Value,
    answer: Response,
    statuses: Vec<u64>,
}

/// Ours of the same events.
struct Ours {
    uri: String,
    body: Value,
    /// In a word, for each record.
    became: Vec<&'static str>,
}

/// A seed that another run can be given again by `ROPEWAY_SEED`.
fn seed() -> String {
    let seed = std::env::var("ROPEWAY_SEED").unwrap_or_else(|_| ulid::Ulid::generate().to_string());
    println!("ROPEWAY_SEED={seed}");
    seed
}

async fn cases(name: &str) -> Vec<Case> {
    let lines = script(vec!["destinations.mjs".into(), name.into(), seed(), COUNT.into()]).await;
    let case = |line: Value| {
        let status = line["answer"]["status"].as_u64().and_then(|status| u16::try_from(status).ok());
        let status = status.and_then(|status| StatusCode::from_u16(status).ok()).expect("a status");
        let body = line["answer"]["body"].to_string().into_bytes().into();
        Case {
            events: line["events"].as_array().expect("events").clone(),
            uri: line["uri"].as_str().expect("a path").to_owned(),
            body: line["body"].clone(),
            answer: Response { status, headers: HeaderMap::new(), body },
            statuses: line["statuses"].as_array().expect("statuses").iter().filter_map(Value::as_u64).collect(),
        }
    };
    let cases: Vec<Case> = lines.into_iter().map(case).collect();
    let events: usize = cases.iter().map(|case| case.events.len()).sum();
    assert_eq!(events.to_string(), COUNT);
    assert!(cases.iter().all(|case| case.statuses.len() == case.events.len()), "a status is no number");
    cases
}

fn ours(vendor: &dyn Vendor, transform: &str, case: &Case) -> Ours {
    let records = records(vendor, transform, &case.events);
    let records: Vec<&Record> = records.iter().collect();
    let sending = Sending { now: Timestamp::UNIX_EPOCH, secrets: &[] };
    let request = vendor.request(&records, sending).expect("a request");
    let Verdict { outcome, each, .. } = vendor.verdict(&case.answer, &records, Timestamp::UNIX_EPOCH);
    let word = |outcome: &Outcome| match outcome {
        Outcome::Delivered => "delivered",
        Outcome::Rejected(_) => "rejected",
        Outcome::Retry { .. } => "retry",
        Outcome::Unaccounted(_) => "unaccounted",
        Outcome::Hold { .. } => "hold",
        Outcome::Left(_) => "left",
    };
    let became = if each.is_empty() {
        vec![word(&outcome); records.len()]
    } else {
        let fate = |fate: &Fate| match fate {
            Fate::Known(outcome) => word(outcome),
            Fate::Again => "again",
        };
        each.iter().map(fate).collect()
    };
    let uri = request.uri.path_and_query().expect("a path").to_string();
    Ours { uri, body: serde_json::from_slice(&request.body).expect("JSON"), became }
}

/// What Segment's destination made of each, in our words.
fn theirs(case: &Case) -> Vec<&'static str> {
    let word = |status: &u64| match status {
        200..=299 => "delivered",
        429 | 500..=599 => "retry",
        _ => "rejected",
    };
    case.statuses.iter().map(word).collect()
}

/// A member's elements without these members.
fn without(body: &Value, place: &str, names: &[&str]) -> Vec<Map<String, Value>> {
    let list = body.pointer(place).and_then(Value::as_array).expect("a list");
    let element = |element: &Value| {
        let mut element = element.as_object().expect("an object").clone();
        element.retain(|name, _| !names.contains(&name.as_str()));
        element
    };
    list.iter().map(element).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn braze() {
    let braze = vendor(json!({ "braze": { "url": "https://rest.iad-01.braze.com" } }));
    let transform = r#"{ "events": [{
        "external_id": .userId, "app_id": "app", "name": .event, "time": .timestamp, "properties": .properties,
        "_update_existing_only": false
    }] }"#;
    for case in cases("braze").await {
        let ours = ours(&*braze, transform, &case);
        assert_eq!((&ours.uri, &ours.body), (&case.uri, &case.body));
        assert_eq!(ours.became, theirs(&case), "{:?}", case.answer);
    }
}

/// Theirs adds three properties of its own, and takes a partial success for a failure of all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mixpanel() {
    let mixpanel = vendor(json!({ "mixpanel": {} }));
    let transform = r#"
        properties = object!(.properties)
        properties.distinct_id = .userId
        properties."$insert_id" = .messageId
        properties.time = to_unix_timestamp(parse_timestamp!(.timestamp, "%+"), unit: "milliseconds")
        { "event": .event, "properties": properties }
    "#;
    for case in cases("mixpanel").await {
        let ours = ours(&*mixpanel, transform, &case);
        assert_eq!(ours.uri, case.uri);
        let expected: Vec<Value> = case
            .body
            .as_array()
            .expect("events")
            .iter()
            .map(|event| {
                let mut event = event.clone();
                for name in ["id", "$source", "segment_source_name"] {
                    event["properties"].as_object_mut().expect("properties").remove(name).expect("they add it");
                }
                event
            })
            .collect();
        assert_eq!(ours.body, json!(expected));
        let answer: Value = serde_json::from_slice(&case.answer.body).expect("JSON");
        let failed = answer["failed_records"].as_array().map_or(0, Vec::len);
        assert_eq!(ours.became.iter().filter(|word| **word == "rejected").count(), failed);
        assert_eq!(ours.became.iter().filter(|word| **word == "delivered").count(), case.events.len() - failed);
        assert_eq!(theirs(&case).iter().all(|word| *word == "delivered"), failed == 0, "they have learned it");
    }
}

/// The key is put in with the credentials; theirs adds the name of its library.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn amplitude() {
    let amplitude = vendor(json!({ "amplitude": {} }));
    let transform = r#"{
        "user_id": .userId, "device_id": .anonymousId, "event_type": .event, "insert_id": .messageId,
        "event_properties": .properties,
        "time": to_unix_timestamp(parse_timestamp!(.timestamp, "%+"), unit: "milliseconds")
    }"#;
    for case in cases("amplitude").await {
        let ours = ours(&*amplitude, transform, &case);
        assert_eq!(ours.uri, case.uri);
        assert_eq!(without(&ours.body, "/events", &[]), without(&case.body, "/events", &["library"]));
        assert_eq!(ours.became, theirs(&case), "{:?}", case.answer);
    }
}

/// The secret is put into the query with the credentials.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ga4() {
    let ga4 = vendor(json!({ "ga4": { "measurementId": "G-A1" } }));
    let transform = r#"{
        "client_id": .anonymousId, "user_id": .userId,
        "timestamp_micros": to_unix_timestamp(parse_timestamp!(.timestamp, "%+"), unit: "microseconds"),
        "events": [{ "name": "order", "params": .properties }]
    }"#;
    for case in cases("ga4").await {
        let ours = ours(&*ga4, transform, &case);
        assert_eq!((&ours.uri, &ours.body), (&case.uri.replace("api_secret=s&", ""), &case.body));
        assert_eq!(ours.became, theirs(&case), "{:?}", case.answer);
    }
}

/// Theirs reads, then creates what is new, and trims texts; ours upserts in one request and sends texts, as HubSpot's specification says. The
/// objects and their properties are the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hubspot() {
    let hubspot = vendor(json!({ "hubspot": { "object": "contacts", "idProperty": "email" } }));
    let transform = r#"
        properties = object!(.properties)
        properties.email = .traits.email
        { "properties": properties }
    "#;
    let as_text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), |text| text.trim().to_owned());
    for case in cases("hubspot").await {
        let ours = ours(&*hubspot, transform, &case);
        assert_eq!(
            (ours.uri.as_str(), case.uri.as_str()),
            ("/crm/v3/objects/contacts/batch/upsert", "/crm/v3/objects/contacts/batch/create")
        );
        let properties = |body: &Value| {
            let inputs = body["inputs"].as_array().expect("inputs").iter();
            let of = |input: &Value| {
                let given = input["properties"].as_object().expect("properties");
                given
                    .iter()
                    .map(|(name, value)| (name.clone(), as_text(value)))
                    .collect::<std::collections::BTreeMap<_, _>>()
            };
            inputs.map(of).collect::<Vec<_>>()
        };
        let texts =
            ours.body["inputs"].as_array().expect("inputs").iter().flat_map(|input| input["properties"].as_object());
        assert!(texts.flat_map(Map::values).all(Value::is_string));
        for (ours, theirs) in properties(&ours.body).iter().zip(properties(&case.body)) {
            assert_eq!(*ours, theirs);
        }
        assert_eq!(properties(&ours.body).len(), case.events.len());
        assert_eq!(ours.became, theirs(&case), "{:?}", case.answer);
    }
}

/// Theirs sends single records to `sobjects/Lead`; ours sends collections, whose records say their type.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn salesforce() {
    let salesforce = vendor(json!({ "salesforce": {
        "object": "Lead", "operation": "Insert", "instanceUrl": "https://acme.my.salesforce.com",
    } }));
    let transform = r#"
        lead = object!(.properties)
        lead.LastName = .event
        lead.Email = .traits.email
        lead.Company = .userId
        lead
    "#;
    for case in cases("salesforce").await {
        let ours = ours(&*salesforce, transform, &case);
        assert!(case.uri.ends_with("/sobjects/Lead") && ours.uri.ends_with("/composite/sobjects"));
        let mut records = without(&ours.body, "/records", &[]);
        assert_eq!(records[0].remove("attributes"), Some(json!({ "type": "Lead" })));
        assert_eq!(Value::Object(records.remove(0)), case.body);
    }
}
