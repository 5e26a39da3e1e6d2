//! The bare loop: pull, POST, acknowledge. It retries nothing, maps nothing and reports nothing; what it can't deliver
//! stops it. It says what the libraries cost, and with them everything that is faster than a worker can ever be.

use std::time::Duration;

use async_nats::jetstream::{self, Message};
use bytes::Bytes;
use futures::StreamExt as _;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use crate::{
    Error,
    args::FloorArgs,
    error::{Source, call},
};

/// How many messages are asked for at a time: all that the lane's consumer hands out.
const PULL: usize = 1_000;

type Http = Client<HttpConnector, Full<Bytes>>;

/// Delivers what is in the stream until it is killed.
///
/// # Errors
/// The first delivery that failed.
pub async fn run(args: &FloorArgs) -> Result<(), Error> {
    let client = async_nats::connect(&args.nats_url).await.map_err(call("connect to NATS"))?;
    let stream = jetstream::new(client).get_stream(&args.stream).await.map_err(call("find the stream"))?;
    let consumer: jetstream::consumer::PullConsumer = stream
        .get_consumer(&args.consumer)
        .await
        .map_err(|source| Error::Call { what: "find the consumer", source })?;
    let pulling = consumer.stream().max_messages_per_batch(PULL).expires(Duration::from_secs(30));
    let messages = pulling.heartbeat(Duration::from_secs(5)).messages().await.map_err(call("pull"))?;
    let messages = messages.map(|message| message.expect("the server of a measurement stays"));

    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let http: Http = Client::builder(TokioExecutor::new()).build(connector);
    let (http, url) = (&http, args.url.as_str());
    if args.batch == 1 {
        let deliveries = messages.for_each_concurrent(args.in_flight, async |message| {
            let body = message.payload.clone();
            deliver(http, url, body, &[message]).await.expect("the sink of a measurement takes everything");
        });
        deliveries.await;
    } else {
        let deliveries = messages.chunks(args.batch).for_each_concurrent(args.in_flight, async |messages| {
            let body = array(&messages);
            deliver(http, url, body, &messages).await.expect("the sink of a measurement takes everything");
        });
        deliveries.await;
    }
    Ok(())
}

async fn deliver(http: &Http, url: &str, body: Bytes, messages: &[Message]) -> Result<(), Source> {
    let request = Request::post(url).header(header::CONTENT_TYPE, "application/json").body(Full::new(body))?;
    let answer = http.request(request).await?;
    let status = answer.status();
    answer.into_body().collect().await?;
    if !status.is_success() {
        return Err(format!("the sink answered {status}").into());
    }
    for message in messages {
        message.ack().await?;
    }
    Ok(())
}

/// The bodies as one JSON array.
fn array(messages: &[Message]) -> Bytes {
    let size: usize = messages.iter().map(|message| message.payload.len() + 1).sum();
    let mut body = Vec::with_capacity(size + 2);
    for message in messages {
        body.push(if body.is_empty() { b'[' } else { b',' });
        body.extend_from_slice(&message.payload);
    }
    body.push(b']');
    body.into()
}
