//! Events that kill the process that works on them. One that was handed out three times without an end is mapped in a child
//! process first; if that dies, the event goes to the dead letters instead of taking the lane with it again.
//!
//! The child is the calling program itself, started with the hidden argument [`CHILD_ARGUMENT`].

use std::{
    collections::BTreeMap,
    io::Read,
    process::{ExitCode, Stdio},
    sync::Arc,
    time::Duration,
};

use ropeway_crds::worker_config::IntegrationConfig;
use ropeway_mapping::{Data, EventAttributes};
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncWriteExt, process::Command, sync::Semaphore, time::timeout};

use crate::{
    decode::Event,
    map::{LaneMapping, Programs},
};

/// The hidden argument under which a binary calls [`child_main`].
pub const CHILD_ARGUMENT: &str = "map-event";

/// How long the child is waited for. One that takes longer is ended and says nothing about the event: what takes too
/// much time breaks a limit in this process too, and without dying of it.
const DEADLINE: Duration = Duration::from_secs(10);

/// Children at a time. A worker that was killed with thousands of events in hand must not die of what it asks about them.
static CHILDREN: Semaphore = Semaphore::const_new(4);

/// One event and the one lane that is to map it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) namespace: String,
    pub(crate) integration: IntegrationConfig,
    #[serde(default)]
    event: Attributes,
    #[serde(default)]
    data: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Attributes {
    id: String,
    source: String,
    r#type: String,
    time: Option<String>,
    subject: Option<String>,
    data_content_type: Option<String>,
    extensions: BTreeMap<String, String>,
}

impl Case {
    /// A case for the lane of a configuration, still without an event.
    pub(crate) fn of(namespace: &str, integration: &IntegrationConfig, lane: usize) -> Self {
        let lanes = integration.lanes.get(lane).cloned().into_iter().collect();
        let integration = IntegrationConfig { lanes, ..integration.clone() };
        Self { namespace: namespace.to_owned(), integration, event: Attributes::default(), data: String::new() }
    }
}

/// Whether a process that maps this event survives it.
pub async fn survives(mapping: &LaneMapping, event: &Event) -> bool {
    let EventAttributes { id, source, r#type, time, subject, data_content_type, extensions } = event.attributes.clone();
    let case = Case {
        event: Attributes { id, source, r#type, time, subject, data_content_type, extensions },
        data: String::from_utf8(event.data.to_json_bytes()).unwrap_or_default(),
        ..mapping.case()
    };
    match ask(&case).await {
        Ok(survived) => survived,
        Err(error) => {
            tracing::warn!(%error, "a suspicious event could not be tried in a child process");
            true
        }
    }
}

async fn ask(case: &Case) -> std::io::Result<bool> {
    let _one = CHILDREN.acquire().await.map_err(std::io::Error::other)?;
    let mut child = Command::new(std::env::current_exe()?)
        .arg(CHILD_ARGUMENT)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        let request = serde_json::to_vec(case)?;
        // A child that died takes no more input; how it ended is the answer.
        let _ = input.write_all(&request).await;
    }
    match timeout(DEADLINE, child.wait()).await {
        // Its own failures have a code; death by a signal or a panic has none or another.
        Ok(status) => Ok(matches!(status?.code(), Some(0 | UNREADABLE))),
        Err(_) => Ok(true),
    }
}

/// The exit code of a child that did not understand its request.
const UNREADABLE: i32 = 3;

/// The child's side: reads a case from standard input and maps it. Call it before anything else is started.
pub fn child_main() -> ExitCode {
    let mut request = Vec::new();
    let unreadable = ExitCode::from(3);
    if std::io::stdin().read_to_end(&mut request).is_err() {
        return unreadable;
    }
    let Ok(case) = serde_json::from_slice::<Case>(&request) else { return unreadable };
    let Ok(data) = Data::parse(case.data.as_bytes()) else { return unreadable };
    let Attributes { id, source, r#type, time, subject, data_content_type, extensions } = case.event;
    let attributes = EventAttributes { id, source, r#type, time, subject, data_content_type, extensions };
    let event = Event { attributes, data };
    let integration = Arc::new(case.integration);
    let compile = |lane| LaneMapping::compile(&case.namespace, &integration, lane, &mut Programs::default()).ok();
    let mapping = (0..integration.lanes.len()).next().and_then(compile);
    let Some(mapping) = mapping else { return unreadable };
    let worker = std::thread::Builder::new().stack_size(ropeway_mapping::STACK_SIZE);
    // An error of the mapping is an answer like any other: only dying counts.
    let map = move || drop((mapping.dedup_key(&event), mapping.order_key(&event), mapping.record(&event)));
    match worker.spawn(map).map(|thread| thread.join()) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(_)) => ExitCode::FAILURE,
        Err(_) => unreadable,
    }
}
