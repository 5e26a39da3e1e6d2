//! Fills events streams with orders, under the headers that a worker's webhook stores an event with.

use std::{collections::VecDeque, time::Duration};

use async_nats::{HeaderMap, jetstream};
use ropeway_crds::{headers as h, names::hash};

use crate::{Error, args::LoadArgs, error::call, event, sink::now};

/// Publications that the server has not confirmed yet.
const MOST_UNCONFIRMED: usize = 2_000;

/// When events of a filled stream occurred: the same in every run, so that their bytes are.
pub const OCCURRED_AT: u64 = 1_790_000_000_000_000_000;

/// Publishes the events, each to every subject.
///
/// # Errors
/// The first publication that the server did not confirm.
pub async fn run(args: &LoadArgs) -> Result<(), Error> {
    let client = async_nats::connect(&args.nats_url).await.map_err(call("connect to NATS"))?;
    let context = jetstream::new(client);
    let mut unconfirmed = VecDeque::new();
    let began = tokio::time::Instant::now();
    for number in 0..args.events {
        let occurred_at = match args.rate {
            None => OCCURRED_AT,
            Some(rate) => {
                // The event occurs when it is due, even if we are late: whoever waits in between has waited too.
                let due = began + Duration::from_secs(1) * u32::try_from(number).unwrap_or(u32::MAX) / rate;
                tokio::time::sleep_until(due).await;
                now() - u64::try_from(due.elapsed().as_nanos()).unwrap_or(u64::MAX)
            }
        };
        let body = bytes::Bytes::from(event::event(number, occurred_at));
        for subject in &args.subjects {
            let publishing = context.publish_with_headers(subject.clone(), headers(number), body.clone());
            unconfirmed.push_back(publishing.await.map_err(call("publish an event"))?);
        }
        while unconfirmed.len() > MOST_UNCONFIRMED {
            let oldest = unconfirmed.pop_front().expect("it is not empty");
            oldest.await.map_err(call("publish an event"))?;
        }
    }
    for publishing in unconfirmed {
        publishing.await.map_err(call("publish an event"))?;
    }
    Ok(())
}

fn headers(number: u64) -> HeaderMap {
    let id = event::id(number);
    let mut headers = HeaderMap::new();
    headers.insert(h::CONTENT_TYPE, "application/json");
    headers.insert("ce-id", id.as_str());
    headers.insert(h::DELIVERY, format!("DELIVERY{number:018}"));
    headers.insert(h::MESSAGE_ID, hash(format!("/bench\n{id}").as_bytes(), 32));
    headers
}
