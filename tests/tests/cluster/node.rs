//! The node itself: it runs pods, their names resolve, and admission is that of a real cluster.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    thread,
};

use k8s_openapi::{
    api::core::v1::{Node, Pod, Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::{Api, api::ObjectMeta};
use ropeway_tests::{Cluster, node::ADDRESS, wait::until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::pods::{PATIENCE, cluster, in_phase, log, namespace, probe};

#[tokio::test]
async fn a_node_is_ready() {
    let nodes: Api<Node> = Api::all(cluster().await.client().await.expect("a client"));
    let nodes = nodes.list(&Default::default()).await.expect("nodes");
    let ready = nodes.items.into_iter().filter_map(|node| node.status?.conditions).flatten();
    assert!(ready.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"));
}

#[tokio::test]
async fn a_pod_reaches_another_by_the_name_of_its_service_and_both_logs_can_be_read() {
    let client = cluster().await.client().await.expect("a client");
    namespace(&client, "by-name", "restricted").await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), "by-name");
    let service = Service {
        metadata: ObjectMeta { name: Some("front".to_owned()), ..ObjectMeta::default() },
        spec: Some(ServiceSpec {
            selector: Some(BTreeMap::from([("app".to_owned(), "server".to_owned())])),
            ports: Some(vec![ServicePort {
                port: 80,
                target_port: Some(IntOrString::Int(8080)),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    };
    Api::namespaced(client, "by-name").create(&Default::default(), &service).await.expect("a service");
    pods.create(&Default::default(), &probe("server", &["serve", ":8080"])).await.expect("a pod");
    pods.create(&Default::default(), &probe("caller", &["get", "http://front/asked"])).await.expect("a pod");
    in_phase(&pods, "caller", "Succeeded").await;
    assert_eq!(log(&pods, "caller").await, "hello from server\n");
    assert!(log(&pods, "server").await.contains("GET /asked"));
}

#[tokio::test]
async fn a_restricted_namespace_refuses_a_pod_that_says_nothing_about_security() {
    let client = cluster().await.client().await.expect("a client");
    namespace(&client, "refusing", "restricted").await;
    let pods: Api<Pod> = Api::namespaced(client, "refusing");
    let mut pod = probe("careless", &["serve", ":8080"]);
    let spec = pod.spec.as_mut().expect("a spec");
    spec.security_context = None;
    spec.containers[0].security_context = None;
    let refused = pods.create(&Default::default(), &pod).await.expect_err("admission refuses it");
    assert!(refused.to_string().contains("violates PodSecurity \"restricted"), "{refused}");
}

#[tokio::test]
async fn a_pod_reaches_the_api_server_with_its_service_account() {
    let client = cluster().await.client().await.expect("a client");
    namespace(&client, "to-the-api-server", "restricted").await;
    let pods: Api<Pod> = Api::namespaced(client, "to-the-api-server");
    let mut pod = probe("caller", &["get", "https://kubernetes.default.svc/api"]);
    pod.spec.as_mut().expect("a spec").automount_service_account_token = Some(true);
    pods.create(&Default::default(), &pod).await.expect("a pod");
    in_phase(&pods, "caller", "Succeeded").await;
    assert!(log(&pods, "caller").await.contains("APIVersions"));
}

#[tokio::test]
async fn a_port_of_a_pod_can_be_forwarded_through_the_api_server() {
    let client = cluster().await.client().await.expect("a client");
    namespace(&client, "forwarded", "restricted").await;
    let pods: Api<Pod> = Api::namespaced(client, "forwarded");
    let pod = probe("server", &["serve", ":8080"]);
    pods.create(&Default::default(), &pod).await.expect("a pod");
    in_phase(&pods, "server", "Running").await;
    // Running is before listening: the first connections may be refused.
    let answer = until("the pod answers", PATIENCE, async || {
        let mut ports = pods.portforward("server", &[8080]).await.map_err(|error| error.to_string())?;
        let mut stream = ports.take_stream(8080).ok_or("no stream")?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.map_err(|error| error.to_string())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.map_err(|error| error.to_string())?;
        if answer.is_empty() { Err("refused".to_owned()) } else { Ok(answer) }
    });
    assert!(answer.await.expect("an answer").ends_with("hello from server\n"));
}

#[tokio::test]
async fn a_pod_reaches_a_server_in_the_test_by_a_name_that_the_test_sets() {
    let Cluster::Node(node) = cluster().await else {
        // Only the node of the harness shares a network with the test; another cluster has nothing to show here.
        return;
    };
    let listener = node.listen().expect("a port");
    let port = listener.local_addr().expect("an address").port();
    node.set_hosts(&format!("{ADDRESS} vendor.example.com\n")).expect("a name");
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.expect("a connection");
            let _ = connection.read(&mut [0; 1024]);
            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nyes");
        }
    });
    let client = node.client().await.expect("a client");
    namespace(&client, "to-the-test", "restricted").await;
    let pods: Api<Pod> = Api::namespaced(client, "to-the-test");
    let address = format!("http://vendor.example.com:{port}/");
    pods.create(&Default::default(), &probe("caller", &["get", &address])).await.expect("a pod");
    in_phase(&pods, "caller", "Succeeded").await;
    assert_eq!(log(&pods, "caller").await, "yes");
}

#[tokio::test]
async fn the_test_reaches_a_pod_by_its_address() {
    let Cluster::Node(node) = cluster().await else { return };
    let client = node.client().await.expect("a client");
    namespace(&client, "from-the-test", "restricted").await;
    let pods: Api<Pod> = Api::namespaced(client, "from-the-test");
    pods.create(&Default::default(), &probe("server", &["serve", ":8080"])).await.expect("a pod");
    in_phase(&pods, "server", "Running").await;
    let status = pods.get("server").await.expect("the pod").status.expect("its status");
    let address: std::net::Ipv4Addr = status.pod_ip.expect("its address").parse().expect("an address");
    // Running is before listening.
    let answer = until("the pod answers", PATIENCE, async || {
        let mut connection = node.connect(address, 8080).map_err(|error| format!("{error:?}"))?;
        let mut answer = String::new();
        let asked = connection.write_all(b"GET / HTTP/1.0\r\n\r\n");
        asked.and_then(|()| connection.read_to_string(&mut answer)).map_err(|error| error.to_string())?;
        Ok(answer)
    });
    assert!(answer.await.expect("an answer").ends_with("hello from server\n"));
}
