//! Stage watch: what wakes the reconciler of Integrations. The object itself wakes it by anything but its status; a child,
//! a Destination, a Secret or a ConfigMap makes the next visit a full one.

use std::{collections::HashMap, fmt::Debug, future::Future, sync::Arc};

use futures::{Stream, StreamExt};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        batch::v1::CronJob,
        core::v1::{ConfigMap, Secret, Service},
        networking::v1::Ingress,
    },
};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::{
        Controller, WatchStreamExt,
        controller::Config,
        reflector::{self, ObjectRef},
        watcher,
    },
};
use ropeway_crds::{Destination, Integration};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::{
    context::Context,
    destination::observe::Facts,
    integration::{
        observe::References,
        plan::{expose::HttpRoute, meta::UID_LABEL},
        reconcile::{after_failure, reconcile},
        visits::{Key, Mark},
    },
};

/// So many objects are visited at once.
pub const CONCURRENCY: u16 = 16;

type Guarded = DeserializeGuard<Integration>;

/// Runs the reconciler of one namespace, or of all, until told to stop.
pub fn run(context: Arc<Context>, namespace: Option<String>, stop: CancellationToken) -> impl Future<Output = ()> {
    let client = context.kubernetes.client();
    let scope = namespace.as_deref();
    let (reader, writer) = reflector::store();
    let errors = Arc::clone(&context);
    let objects = watcher(scoped::<Guarded>(&client, scope), watcher::Config::default())
        .inspect(move |event| {
            if event.is_err() {
                errors.metrics.watch_failed();
            }
        })
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .applied_objects()
        .predicate_filter(wakes, Default::default());
    let owned = watcher::Config::default().labels(UID_LABEL);
    let all = watcher::Config::default();
    let mut controller = Controller::for_stream(objects, reader)
        .with_config(Config::default().concurrency(CONCURRENCY))
        .watches(scoped::<Deployment>(&client, scope), owned.clone(), owner(&context))
        .watches(scoped::<Service>(&client, scope), owned.clone(), owner(&context))
        .watches(scoped::<CronJob>(&client, scope), owned, owner(&context))
        .watches_stream(where_allowed(scoped::<PartialObjectMeta<Ingress>>(&client, scope)), owner(&context))
        .watches_stream(where_allowed(scoped::<PartialObjectMeta<HttpRoute>>(&client, scope)), owner(&context))
        .watches_stream(changes(scoped::<DeserializeGuard<Destination>>(&client, scope)), {
            let (context, referring) =
                (Arc::clone(&context), referring(&context, |references, name| references.destinations.contains(name)));
            move |destination: DeserializeGuard<Destination>| {
                // Those that use its access token look again on their next visit.
                let (namespace, name) = key(&destination);
                let uses = |facts: &Facts| facts.holder.as_ref().is_some_and(|(holder, _)| *holder == name);
                context.destinations.touch_where(&namespace, uses);
                referring(destination)
            }
        })
        .watches(scoped::<PartialObjectMeta<ConfigMap>>(&client, scope), all.clone(), {
            let owner = owner(&context);
            let referring = referring(&context, |references, name| references.config_maps.contains(name));
            move |map: PartialObjectMeta<ConfigMap>| {
                owner(map.clone()).into_iter().chain(referring(map)).collect::<Vec<_>>()
            }
        });
    if context.args.watch_secrets {
        controller = controller.watches(scoped::<PartialObjectMeta<Secret>>(&client, scope), all, {
            referring(&context, |references, name| {
                references.secrets.contains(name) || name == crate::integration::plan::deployment::NATS_SECRET
            })
        });
    }
    controller
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(reconcile, after_failure, context)
        .for_each(|_| std::future::ready(()))
}

/// An API of one namespace, or of all.
pub fn scoped<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope>,
    K::DynamicType: Default,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Objects that were deleted or changed in more than their status. A predicate on a plain watch would hide deletions.
fn changes<K>(api: Api<K>) -> impl Stream<Item = watcher::Result<K>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut seen: HashMap<Key, Mark> = HashMap::new();
    watcher(api, watcher::Config::default()).default_backoff().filter_map(move |event| {
        let changed = event.map(|event| match event {
            watcher::Event::Apply(object) | watcher::Event::InitApply(object) => {
                let mark = Mark::of(&object);
                let before = seen.insert(key(&object), mark.clone());
                (before.as_ref() != Some(&mark)).then_some(object)
            }
            watcher::Event::Delete(object) => {
                seen.remove(&key(&object));
                Some(object)
            }
            watcher::Event::Init | watcher::Event::InitDone => None,
        });
        std::future::ready(changed.transpose())
    })
}

/// Children of a kind that a cluster may lack or that the operator may have no right to watch. Such a watch is tried again
/// for ever with pauses of its own: as an error it would slow all other watches down.
fn where_allowed<K>(api: Api<K>) -> impl Stream<Item = watcher::Result<K>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let watch = watcher(api, watcher::Config::default().labels(UID_LABEL)).default_backoff();
    watch.touched_objects().filter(|object| std::future::ready(object.is_ok()))
}

fn key<K: Resource>(object: &K) -> Key {
    let meta = object.meta();
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

/// What of an object wakes its reconciler: everything but its status.
pub fn wakes<K: Resource>(object: &K) -> Option<u64> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    Mark::of(object).hash(&mut hasher);
    Some(hasher.finish())
}

fn reference((namespace, name): Key) -> ObjectRef<Guarded> {
    ObjectRef::new(&name).within(&namespace)
}

/// The Integration that owns a child.
fn owner<K: Resource>(context: &Arc<Context>) -> impl Fn(K) -> Vec<ObjectRef<Guarded>> + Send + Sync + 'static {
    let context = Arc::clone(context);
    move |child| {
        let namespace = child.meta().namespace.clone().unwrap_or_default();
        let owners = child.meta().owner_references.iter().flatten();
        let ours =
            owners.filter(|owner| owner.kind == "Integration" && owner.api_version.starts_with(ropeway_crds::GROUP));
        let keys: Vec<Key> = ours.map(|owner| (namespace.clone(), owner.name.clone())).collect();
        keys.iter().cloned().for_each(|key| context.visits.touch(key));
        keys.into_iter().map(reference).collect()
    }
}

/// The Integrations that refer to an object.
fn referring<K: Resource + DeserializeOwned + Debug>(
    context: &Arc<Context>,
    refers: fn(&References, &str) -> bool,
) -> impl Fn(K) -> Vec<ObjectRef<Guarded>> + Send + Sync + 'static {
    let context = Arc::clone(context);
    move |object| {
        let namespace = object.meta().namespace.clone().unwrap_or_default();
        let name = object.meta().name.clone().unwrap_or_default();
        let keys = context.visits.touch_where(&namespace, |references| refers(references, &name));
        keys.into_iter().map(reference).collect()
    }
}
