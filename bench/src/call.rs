//! Callers of an HTTP address in an open loop: requests are sent when they are due, whatever became of the earlier ones, and
//! an answer's latency counts from then. A process of its own, so that its work is not taken for that of a worker.

use std::{
    ffi::OsString,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use clap::ValueEnum;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    Error,
    args::CallArgs,
    error::{call, file},
    event::{event, record},
    figures::percentile,
    paced::{Latency, Pace, WARM_UP},
    process::{Launch, SURROUNDINGS},
    sink::now,
};

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Content {
    /// The order, as a shop has it.
    Event,
    /// What the mapping makes of it, as the destination takes it.
    Record,
}

type Http = Client<HttpConnector, Full<Bytes>>;

/// Calls, and writes how long each answer took in microseconds, in the order in which they were due.
///
/// # Errors
/// The first call that was not answered with a 200.
pub async fn run(args: &CallArgs) -> Result<(), Error> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let http: Http = Client::builder(TokioExecutor::new()).build(connector);
    let (calls, rate) = (args.calls, args.rate);
    let (becomes_due, mut due) = mpsc::unbounded_channel();
    // The runtime's own timers are a millisecond coarse, which is more than what is measured.
    std::thread::spawn(move || {
        let began = Instant::now();
        for number in 0..calls {
            let due = began + Duration::from_secs(1) * u32::try_from(number).unwrap_or(u32::MAX) / rate;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if becomes_due.send((number, due)).is_err() {
                return;
            }
        }
    });
    let mut calls = JoinSet::new();
    while let Some((number, due)) = due.recv().await {
        let body = match args.content {
            Content::Event => event(number, now()),
            Content::Record => record(number, now()),
        };
        let answer = one(http.clone(), args.url.clone(), body.into(), due);
        calls.spawn(async move { answer.await.map(|latency| (number, latency)) });
    }
    let mut latencies = Vec::new();
    while let Some(ended) = calls.join_next().await {
        latencies.push(ended.map_err(call("wait for a call"))??);
    }
    latencies.sort_unstable();
    let latencies: Vec<u64> = latencies.into_iter().map(|(_, latency)| latency).collect();
    let text = serde_json::to_vec(&latencies).expect("numbers are writable as JSON");
    fs::write(&args.out, text).map_err(file("write", &args.out))
}

/// One call. Answers how long it took since it was due, in microseconds.
async fn one(http: Http, url: String, body: Bytes, due: Instant) -> Result<u64, Error> {
    let request = Request::builder().method(Method::POST).uri(url).header(header::CONTENT_TYPE, "application/json");
    let request = request.header(header::AUTHORIZATION, "Bearer bench").body(Full::new(body));
    let answer = http.request(request.map_err(call("make a request"))?).await.map_err(call("call"))?;
    let status = answer.status();
    let body = answer.into_body().collect().await.map_err(call("read an answer"))?.to_bytes();
    let latency = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
    match status {
        StatusCode::OK => Ok(latency),
        other => {
            let found = format!("{other} {}", String::from_utf8_lossy(&body[..body.len().min(200)]));
            Err(Error::Delivery { variant: "a caller", found })
        }
    }
}

/// Calls an address at this pace, and says what the answers took.
///
/// # Errors
/// When a call is not answered with a 200.
pub async fn latency(url: &str, content: Content, pace: Pace, folder: &Path) -> Result<Latency, Error> {
    let Pace { rate, seconds } = pace;
    let out = folder.join("latencies.json");
    let calls = u64::from(rate) * (seconds + WARM_UP);
    let content = content.to_possible_value().expect("no content is hidden").get_name().to_owned();
    let launch = Launch::own("call", SURROUNDINGS)?.arguments(["--url", url, "--content", &content]);
    let launch = launch.arguments(["--calls", &calls.to_string(), "--rate", &rate.to_string()]);
    let launch = launch.arguments([OsString::from("--out"), out.clone().into()]);
    launch.start(folder)?.finish().await?;
    let bytes = fs::read(&out).map_err(file("read", &out))?;
    let latencies: Vec<u64> = serde_json::from_slice(&bytes).map_err(call("understand the latencies"))?;
    let warm_up = usize::try_from(u64::from(rate) * WARM_UP).unwrap_or(usize::MAX);
    #[allow(clippy::cast_precision_loss)] // Microseconds of one run are far below 2^52.
    let counted: Vec<f64> = latencies.iter().skip(warm_up).map(|latency| *latency as f64 / 1_000.0).collect();
    let at = |share| percentile(&counted, share).unwrap_or_default();
    Ok(Latency { p50: at(0.5), p99: at(0.99) })
}
