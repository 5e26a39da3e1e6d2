//! The harness itself: an API server that keeps, refuses and collects as a real one does.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::{
        core::v1::{ConfigMap, Namespace},
        rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleRef, Subject},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{Api, Resource as _, api::ObjectMeta};
use ropeway_tests::{ApiServer, wait::until};

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

#[tokio::test]
async fn an_api_server_keeps_what_it_stored_over_a_crash() {
    let mut server = ApiServer::start().await.expect("the API server starts");
    let namespaces: Api<Namespace> = Api::all(server.client().await.expect("a client"));
    let namespace = Namespace { metadata: named("kept"), ..Namespace::default() };
    namespaces.create(&Default::default(), &namespace).await.expect("created");
    server.kill();
    assert!(namespaces.get("kept").await.is_err(), "a killed server still answers");
    server.restart().await.expect("the API server starts again");
    namespaces.get("kept").await.expect("the namespace is there");
}

#[tokio::test]
async fn a_user_may_do_what_a_role_allows_and_nothing_else() {
    let server = ApiServer::shared().await.expect("the API server starts");
    let admin = server.client().await.expect("a client");
    let user = server.client_for("reader", &[]).await.expect("a client");
    let namespaces: Api<Namespace> = Api::all(user);
    let refused = namespaces.list(&Default::default()).await.expect_err("no role allows it");
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused}");

    let rule = PolicyRule {
        api_groups: Some(vec![String::new()]),
        resources: Some(vec!["namespaces".to_owned()]),
        verbs: vec!["list".to_owned()],
        ..PolicyRule::default()
    };
    let role = ClusterRole { metadata: named("reader"), rules: Some(vec![rule]), ..ClusterRole::default() };
    Api::all(admin.clone()).create(&Default::default(), &role).await.expect("created");
    let binding = ClusterRoleBinding {
        metadata: named("reader"),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "ClusterRole".to_owned(),
            name: "reader".to_owned(),
        },
        subjects: Some(vec![Subject { kind: "User".to_owned(), name: "reader".to_owned(), ..Subject::default() }]),
    };
    Api::all(admin).create(&Default::default(), &binding).await.expect("created");
    // The authorizer learns of the binding by its watch.
    until("the role counts", Duration::from_secs(10), async || {
        namespaces.list(&Default::default()).await.map(drop).map_err(|error| error.to_string())
    })
    .await
    .expect("allowed");
    let refused = namespaces.delete("default", &Default::default()).await.expect_err("the role does not allow it");
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused}");
}

#[tokio::test]
async fn an_object_goes_with_its_owner() {
    let server = ApiServer::shared().await.expect("the API server starts");
    let maps: Api<ConfigMap> = Api::namespaced(server.client().await.expect("a client"), "default");
    let owner = ConfigMap { metadata: named("owner"), ..ConfigMap::default() };
    let owner = maps.create(&Default::default(), &owner).await.expect("created");
    let reference = OwnerReference {
        api_version: ConfigMap::api_version(&()).into_owned(),
        kind: ConfigMap::kind(&()).into_owned(),
        name: "owner".to_owned(),
        uid: owner.metadata.uid.expect("the API server gives a uid"),
        ..OwnerReference::default()
    };
    let owned = ConfigMap {
        metadata: ObjectMeta { owner_references: Some(vec![reference]), ..named("owned") },
        data: Some(BTreeMap::new()),
        ..ConfigMap::default()
    };
    maps.create(&Default::default(), &owned).await.expect("created");
    maps.delete("owner", &Default::default()).await.expect("deleted");
    until("the owned object is gone", Duration::from_secs(60), async || match maps.get_opt("owned").await {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err("still there".to_owned()),
        Err(error) => Err(error.to_string()),
    })
    .await
    .expect("collected");
}
