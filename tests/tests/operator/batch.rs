//! The CronJob of a batch source on a real API server: made, kept, suspended, and gone with its Integration.

use k8s_openapi::api::{
    batch::v1::CronJob,
    core::v1::{PersistentVolumeClaim, Service},
};
use kube::ResourceExt as _;
use ropeway_crds::Integration;
use ropeway_tests::wait::until;
use serde_json::{Value, json};

use crate::place::{PATIENCE, Place, destination, integration, shared_nats};

const NAME: &str = "accounts";

fn spec(change: impl FnOnce(&mut Value)) -> Value {
    let mut spec = json!({
        "source": { "batch": {
            "schedule": "30 3 * * *", "timeZone": "Europe/Berlin",
            "from": { "file": { "claimName": "exports", "path": "accounts.csv" } }, "format": { "csv": {} },
        } },
        "destinations": [{ "name": "crm", "ref": "crm" }],
        "deletionPolicy": "Delete",
    });
    change(&mut spec);
    spec
}

async fn cron_job(place: &Place, what: &str, is_it: impl Fn(&CronJob) -> bool) -> CronJob {
    until(what, PATIENCE, async || {
        let found = place.all::<CronJob>().get_opt("ropeway-accounts").await.map_err(|error| error.to_string())?;
        let found = found.ok_or("there is no CronJob")?;
        if is_it(&found) { Ok(found) } else { Err(format!("{:?}", found.spec)) }
    })
    .await
    .expect("it comes")
}

fn field<T>(of: impl Fn(&k8s_openapi::api::batch::v1::CronJobSpec) -> T) -> impl Fn(&CronJob) -> Option<T> {
    move |cron_job| cron_job.spec.as_ref().map(&of)
}

#[tokio::test]
async fn a_cron_job_follows_its_integration_from_the_claim_to_the_end() {
    let place = Place::new("batch", shared_nats().await).await;
    let _operator = place.operator(None);
    place.apply::<ropeway_crds::Destination>(destination("crm", "http://127.0.0.1:9/")).await;
    place.apply::<Integration>(integration(NAME, spec(|_| {}))).await;
    let message = place.condition(NAME, "SourceReady", "False", "ClaimNotFound").await;
    assert!(
        message.starts_with("spec.source.batch.from.file.claimName: there is no PersistentVolumeClaim \"exports\""),
        "{message}"
    );
    assert_eq!(place.all::<CronJob>().get_opt("ropeway-accounts").await.expect("an answer"), None);

    place
        .apply::<PersistentVolumeClaim>(json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "exports" },
            "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
        }))
        .await;
    let made = cron_job(&place, "the CronJob", |_| true).await;
    assert_eq!(field(|spec| spec.time_zone.clone())(&made), Some(Some("Europe/Berlin".into())));
    assert_eq!(made.owner_references()[0].name, NAME);
    assert!(place.all::<Service>().list(&Default::default()).await.expect("an answer").items.is_empty());
    let status = place.all::<Integration>().get(NAME).await.expect("an Integration").status.unwrap_or_default();
    assert_eq!(status.pattern.as_deref(), Some("Batch"));

    // Somebody else's change is undone, and a removed one comes again.
    place
        .kubectl()
        .args(["patch", "cronjob/ropeway-accounts", "--patch", r#"{"spec":{"suspend":true}}"#])
        .output()
        .expect("kubectl runs");
    cron_job(&place, "the suspension is undone", |it| field(|spec| spec.suspend)(it) == Some(Some(false))).await;
    place.kubectl().args(["delete", "cronjob/ropeway-accounts"]).output().expect("kubectl runs");
    cron_job(&place, "the CronJob again", |it| it.uid() != made.uid()).await;

    place.apply::<Integration>(integration(NAME, spec(|spec| spec["state"] = json!("Stopped")))).await;
    cron_job(&place, "a stopped one is suspended", |it| field(|spec| spec.suspend)(it) == Some(Some(true))).await;
    place
        .apply::<Integration>(integration(NAME, spec(|spec| spec["source"]["batch"]["schedule"] = json!("@daily"))))
        .await;
    let daily =
        |it: &CronJob| field(|spec| (spec.schedule.clone(), spec.suspend))(it) == Some(("@daily".into(), Some(false)));
    cron_job(&place, "another schedule", daily).await;
    until("the status says when it is read next", PATIENCE, async || {
        let found = place.all::<Integration>().get(NAME).await.map_err(|error| error.to_string())?;
        let source = found.status.and_then(|status| status.source).ok_or("no source")?;
        source.next_run_time.ok_or_else(|| "no time".to_owned())
    })
    .await
    .expect("it does");

    place.all::<Integration>().delete(NAME, &Default::default()).await.expect("it can be deleted");
    until("the CronJob is gone", PATIENCE, async || {
        match place.all::<CronJob>().get_opt("ropeway-accounts").await.map_err(|error| error.to_string())? {
            None => Ok(()),
            Some(_) => Err("it is still there".to_owned()),
        }
    })
    .await
    .expect("it goes");
}
