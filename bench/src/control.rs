//! What the conductor asks of the sink.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::de::DeserializeOwned;

use crate::{
    Error,
    error::{Source, call},
    process::{Launch, Process, SURROUNDINGS, free_port},
    sink::account::Report,
};

/// A sink in a process of its own.
#[derive(Debug)]
pub struct Sink {
    /// Its process.
    pub process: Process,
    http: Client<HttpConnector, Full<Bytes>>,
    address: String,
}

impl Sink {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn start(folder: &Path) -> Result<Self, Error> {
        let port = free_port()?;
        let launch = Launch::own("sink", SURROUNDINGS)?.arguments(["--port", &port.to_string()]);
        let mut process = launch.start(folder)?;
        let http = Client::builder(TokioExecutor::new()).build_http();
        let address = format!("http://127.0.0.1:{port}");
        let answers = async || ask::<Report>(&http, Method::GET, format!("{address}/report")).await.map(drop);
        process.until("an answer of the sink", Duration::from_secs(10), answers).await?;
        Ok(Self { process, http, address })
    }

    /// The address of a destination that takes everything.
    #[must_use]
    pub fn takes(&self, destination: usize) -> String {
        format!("{}/take/{destination}", self.address)
    }

    /// The address that stands for this vendor's.
    #[must_use]
    pub fn vendor(&self, name: &str) -> String {
        format!("{}/vendor/{name}", self.address)
    }

    /// The address of a destination that never answers.
    #[must_use]
    pub fn hangs(&self, destination: usize) -> String {
        format!("{}/hang/{destination}", self.address)
    }

    /// Begins a new account.
    ///
    /// # Errors
    /// When the sink does not answer.
    pub async fn begin(&self) -> Result<(), Error> {
        send(&self.http, Method::POST, format!("{}/begin", self.address)).await.map(drop).map_err(call("begin"))
    }

    /// The account.
    ///
    /// # Errors
    /// When the sink does not answer.
    pub async fn report(&self) -> Result<Report, Error> {
        ask(&self.http, Method::GET, format!("{}/report", self.address)).await.map_err(call("ask the sink"))
    }

    /// For each destination the latencies in microseconds.
    ///
    /// # Errors
    /// When the sink does not answer.
    pub async fn latencies(&self) -> Result<Vec<Vec<u64>>, Error> {
        ask(&self.http, Method::GET, format!("{}/latencies", self.address)).await.map_err(call("ask the sink"))
    }
}

type Http = Client<HttpConnector, Full<Bytes>>;

async fn send(http: &Http, method: Method, url: String) -> Result<Bytes, Source> {
    let request = Request::builder().method(method).uri(url).body(Full::default())?;
    Ok(http.request(request).await?.into_body().collect().await?.to_bytes())
}

async fn ask<T: DeserializeOwned>(http: &Http, method: Method, url: String) -> Result<T, Source> {
    Ok(serde_json::from_slice(&send(http, method, url).await?)?)
}
