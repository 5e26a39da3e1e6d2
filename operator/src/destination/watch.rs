//! Stage watch: what wakes the reconciler of Destinations.

use std::{future::Future, sync::Arc};

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{
    Resource, ResourceExt,
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::{
        Controller, WatchStreamExt,
        controller::Config,
        reflector::{self, ObjectRef},
        watcher,
    },
};
use ropeway_crds::Destination;
use tokio_util::sync::CancellationToken;

use super::{
    observe::Facts,
    reconcile::{after_failure, reconcile},
};
use crate::{
    context::Context,
    integration::watch::{CONCURRENCY, scoped, wakes},
};

type Guarded = DeserializeGuard<Destination>;

/// Runs the reconciler of one namespace, or of all, until told to stop.
pub fn run(context: Arc<Context>, namespace: Option<String>, stop: CancellationToken) -> impl Future<Output = ()> {
    let client = context.kubernetes.client();
    let scope = namespace.as_deref();
    let (reader, writer) = reflector::store();
    let objects = watcher(scoped::<Guarded>(&client, scope), watcher::Config::default())
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .applied_objects()
        .predicate_filter(wakes, Default::default());
    let config_maps = scoped::<PartialObjectMeta<ConfigMap>>(&client, scope);
    let mut controller = Controller::for_stream(objects, reader)
        .with_config(Config::default().concurrency(CONCURRENCY))
        .watches(config_maps, watcher::Config::default(), {
            naming(&context, |facts, name| facts.config_maps.contains_key(name))
        });
    if context.args.watch_secrets {
        let secrets = scoped::<PartialObjectMeta<Secret>>(&client, scope);
        controller = controller.watches(secrets, watcher::Config::default(), {
            naming(&context, |facts, name| facts.secrets.contains_key(name))
        });
    }
    controller
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(reconcile, after_failure, context)
        .for_each(|_| std::future::ready(()))
}

/// The Destinations that name an object.
fn naming<K: Resource>(
    context: &Arc<Context>,
    names: fn(&Facts, &str) -> bool,
) -> impl Fn(K) -> Vec<ObjectRef<Guarded>> + Send + Sync + 'static {
    let context = Arc::clone(context);
    move |object| {
        let meta = object.meta();
        let name = meta.name.as_deref().unwrap_or_default();
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let keys = context.destinations.touch_where(namespace, |facts| names(facts, name));
        keys.into_iter().map(|(namespace, name)| ObjectRef::<Guarded>::new(&name).within(&namespace)).collect()
    }
}
