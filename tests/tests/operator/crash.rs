//! An operator that is killed before and after each of its writes, and started again, comes to the same as one that is not.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use futures::{StreamExt as _, stream};
use ropeway_crds::{Destination, Integration};
use ropeway_tests::{scene::webhook_to, wait::until};
use serde_json::{Value, json};

use crate::{
    place::{Operator, PATIENCE, Place, destination, integration, shared_nats},
    remains::{Identity, Remains, difference, look},
};

const NAME: &str = "signups";

/// So many runs go on at once: they wait more than they work.
const AT_ONCE: usize = 4;

/// An Integration makes more writes than this, from the finalizer to the first status, and about as many at its end.
const FEWEST_CRASHES: usize = 25;

/// Which way in an Integration has, and so which children.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// An address with a Service, and an Ingress before it.
    Webhook,
    /// Files that the Jobs of a CronJob read.
    Batch,
}

impl Kind {
    fn source(self) -> Value {
        match self {
            Self::Webhook => {
                let mut source = webhook_to(&["crm"])["source"].take();
                source["webhook"]["expose"] = json!({ "ingress": { "host": "hooks.example.com" } });
                source
            }
            Self::Batch => json!({ "batch": {
                "schedule": "30 3 * * *", "from": { "http": { "url": "https://files.example/accounts.csv" } },
                "format": { "csv": {} },
            } }),
        }
    }

    /// Of the namespaces of its runs.
    fn prefix(self) -> &'static str {
        match self {
            Self::Webhook => "crash",
            Self::Batch => "crash-batch",
        }
    }

    /// Deployment and configuration, and a Service and an Ingress or a CronJob.
    fn children(self) -> usize {
        match self {
            Self::Webhook => 4,
            Self::Batch => 3,
        }
    }
}

/// Applies an Integration in a fresh namespace.
async fn staged(kind: Kind, namespace: &str) -> (Place, Identity) {
    let place = Place::new(namespace, shared_nats().await).await;
    place.apply::<Destination>(destination("crm", "http://127.0.0.1:9/")).await;
    let mut spec = webhook_to(&["crm"]);
    spec["source"] = kind.source();
    spec["deletionPolicy"] = "Delete".into();
    place.apply::<Integration>(integration(NAME, spec)).await;
    let identity = Identity::of(&place, NAME).await;
    (place, identity)
}

/// Whether everything has been made and said that is made and said without workers.
async fn is_made(place: &Place) -> Result<(), String> {
    let integration = place.all::<Integration>().get(NAME).await.map_err(|error| error.to_string())?;
    let destination = place.all::<Destination>().get("crm").await.map_err(|error| error.to_string())?;
    let status = integration.status.unwrap_or_default();
    let reasons: BTreeMap<_, _> = status.conditions.iter().map(|it| (it.type_.as_str(), it.reason.as_str())).collect();
    let is_told = reasons.get("Ready") == Some(&"WorkersStarting") && status.replicas == Some(1);
    let is_used = destination.status.is_some_and(|status| status.used_by == Some(1));
    if is_told && is_used { Ok(()) } else { Err(format!("{reasons:?}, used: {is_used}, {:?}", status.replicas)) }
}

async fn is_gone(place: &Place) -> Result<(), String> {
    match place.all::<Integration>().get_opt(NAME).await {
        Ok(None) => Ok(()),
        Ok(Some(left)) => Err(format!("{:?}", left.status.unwrap_or_default().conditions.first())),
        Err(error) => Err(error.to_string()),
    }
}

/// Runs an operator with a crash until `look` is content or it is dead; then, if it is dead, one without. Answers whether
/// it died, and the one that lives.
async fn crashed_once(
    place: &Place,
    crash: &str,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<(), String>,
) -> (bool, Operator) {
    let mut operator = place.operator(Some(crash));
    let died = until(what, PATIENCE, async || match operator.process.check() {
        Err(_) => Ok(true),
        Ok(()) => look().await.map(|()| false),
    });
    if !died.await.unwrap_or_else(|error| panic!("crash {crash} that did not come: {error}")) {
        return (false, operator);
    }
    let mut operator = place.operator(None);
    let came = operator.process.until(what, PATIENCE, look).await;
    came.unwrap_or_else(|error| panic!("after crash {crash}: {error}"));
    (true, operator)
}

/// One namespace from apply to delete with a crash on each way. Answers whether one of them came.
async fn run(kind: Kind, crash: &str, wanted: &Remains) -> bool {
    let nats = shared_nats().await.connect().await.expect("a connection");
    let (place, identity) = staged(kind, &format!("{}-{}", kind.prefix(), crash.replace(':', "-"))).await;
    let made = async || {
        is_made(&place).await?;
        difference(wanted, &look(&place, &identity, &nats).await?).map_or(Ok(()), Err)
    };
    let (died_making, operator) = crashed_once(&place, crash, "the same is made as without a crash", made).await;
    drop(operator);

    place.all::<Integration>().delete(NAME, &Default::default()).await.expect("the deletion is accepted");
    let gone = async || {
        is_gone(&place).await?;
        let Remains { children, streams, .. } = look(&place, &identity, &nats).await?;
        let left = format!("{children:?} {:?}", streams.keys());
        if children.is_empty() && streams.is_empty() { Ok(()) } else { Err(left) }
    };
    let (died_deleting, _operator) = crashed_once(&place, crash, "nothing is left", gone).await;
    died_making || died_deleting
}

#[tokio::test]
async fn a_crash_around_any_write_changes_nothing_in_the_end() {
    sweep(Kind::Webhook).await;
}

#[tokio::test]
async fn a_crash_around_any_write_changes_nothing_for_a_source_that_jobs_read() {
    sweep(Kind::Batch).await;
}

async fn sweep(kind: Kind) {
    let nats = shared_nats().await.connect().await.expect("a connection");
    let (place, identity) = staged(kind, &format!("{}-none", kind.prefix())).await;
    let mut operator = place.operator(None);
    operator.process.until("everything is made", PATIENCE, async || is_made(&place).await).await.expect("made");
    let wanted = look(&place, &identity, &nats).await.expect("everything can be looked at");
    // A comparison with little would be content with little.
    assert_eq!((wanted.children.len(), wanted.resources.len()), (kind.children(), 2), "{wanted:#?}");
    assert!(wanted.streams.len() >= 6, "{:?}", wanted.streams.keys());
    drop(operator);

    let (reached, crashes) = (AtomicBool::new(true), AtomicUsize::new(0));
    let points = (1..).flat_map(|number| ["before", "after"].map(|moment| format!("{number}:{moment}")));
    let points = stream::iter(points).take_while(|_| std::future::ready(reached.load(Ordering::Relaxed)));
    let runs = points.map(|crash| {
        let (reached, crashes, wanted) = (&reached, &crashes, &wanted);
        async move {
            match run(kind, &crash, wanted).await {
                true => drop(crashes.fetch_add(1, Ordering::Relaxed)),
                false => reached.store(false, Ordering::Relaxed),
            }
        }
    });
    runs.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    let crashes = crashes.load(Ordering::Relaxed);
    assert!(crashes >= FEWEST_CRASHES, "only {crashes} crashes came");
}
