//! Stage watch: what wakes the reconciler of Destinations.

use std::{future::Future, sync::Arc};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    ResourceExt,
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

use super::reconcile::{after_failure, reconcile};
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
    let mut controller =
        Controller::for_stream(objects, reader).with_config(Config::default().concurrency(CONCURRENCY));
    if context.args.watch_secrets {
        let context = Arc::clone(&context);
        let secrets = scoped::<PartialObjectMeta<Secret>>(&client, scope);
        controller = controller.watches(secrets, watcher::Config::default(), move |secret| {
            let keys = context.destinations.touch_users_of(&secret.namespace().unwrap_or_default(), &secret.name_any());
            keys.into_iter()
                .map(|(namespace, name)| ObjectRef::<Guarded>::new(&name).within(&namespace))
                .collect::<Vec<_>>()
        });
    }
    controller
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(reconcile, after_failure, context)
        .for_each(|_| std::future::ready(()))
}
