//! The providers that know their vendor: against the vendors that the sink plays, which the vendors' own client libraries
//! drive first; against Segment's own destinations; and against Mixpanel's specification. The programs are installed by
//! `scripts/tools.sh vendors`.

mod bulk;
mod clients;
mod delivery;
mod destinations;
mod segment;
mod specification;

use std::{net::SocketAddr, process::Command};

use ropeway_cli::sink::{Script, Sink};
use ropeway_crds::provider::Provider;
use ropeway_mapping::{
    Context, Data, EventAttributes, Input, IntegrationName, Limits, Purpose, compile, run_transform,
};
use ropeway_tests::{port::serve, programs::repository};
use ropeway_worker::{
    map::Record,
    provider::{self, Item, Known, Vendor},
};
use serde_json::{Value, json};

/// The vendors, with where their items carry an id.
const VENDORS: [(&str, &str, &str); 7] = [
    ("braze", "Braze", "/external_id"),
    ("segment", "Segment", "/userId"),
    ("hubspot", "HubSpot", "/properties/email"),
    ("salesforce", "Salesforce", "/Ext__c"),
    ("ga4", "Ga4", "/client_id"),
    ("mixpanel", "Mixpanel", "/properties/distinct_id"),
    ("amplitude", "Amplitude", "/user_id"),
];

/// A sink that plays all vendors, and refuses items whose id ends with `refused`.
async fn sink(refused: &str) -> (Sink, SocketAddr) {
    let destinations: serde_json::Map<String, Value> = VENDORS
        .iter()
        .map(|(name, vendor, id)| {
            let behaviour = json!({ "vendor": vendor, "id": id, "refuse": { "pointer": id, "endsWith": refused } });
            ((*name).to_owned(), behaviour)
        })
        .collect();
    let script: Script = serde_json::from_value(json!({ "destinations": destinations })).expect("a script");
    let sink = Sink::new(script, 0, false);
    let address = serve(sink.router()).await;
    (sink, address)
}

/// Runs a script of tests/peers/vendors; what it writes, a line each.
async fn script(arguments: Vec<String>) -> Vec<Value> {
    let folder = repository().join("tests/peers/vendors");
    assert!(
        folder.join("node_modules").is_dir(),
        "vendors' libraries are not installed; run `make tools TOOLS=vendors`"
    );
    let run = move || {
        let mut command = Command::new("node");
        let output = command.args(&arguments).current_dir(folder).output();
        let output = output.expect("node starts; `make tools TOOLS=vendors` says what is missing");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?} failed: {said}");
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    tokio::task::spawn_blocking(run).await.expect("it ends")
}

/// A vendor as a Destination describes it.
fn vendor(provider: Value) -> Box<dyn Vendor> {
    let provider: Provider = serde_json::from_value(provider).expect("a provider");
    provider::vendor(&provider).expect("a vendor")
}

/// What a mapping makes of events, checked and completed as the vendor wants it.
fn records(vendor: &dyn Vendor, transform: &str, events: &[Value]) -> Vec<Record> {
    let program = compile(transform, Purpose::Transform).expect("the mapping compiles");
    let context = Context::new(&EventAttributes::default(), &IntegrationName::default());
    let record = |event: &Value| {
        let data = Data::parse(event.to_string().as_bytes()).expect("an event");
        let mapped = run_transform(&program, Input { data: &data, context: &context }, &Limits::default());
        let mapped = mapped.unwrap_or_else(|error| panic!("{event}: {error}")).to_json_bytes();
        let key = event["messageId"].as_str().expect("an id").to_owned();
        let attributes = EventAttributes::default();
        let item = vendor.item(&mapped, Known { key: &key, attributes: &attributes });
        let Item { body, weight, apart } = item.unwrap_or_else(|invalid| panic!("{event}: {invalid}"));
        Record { body, key, attributes: attributes.into(), weight, apart }
    };
    events.iter().map(record).collect()
}
