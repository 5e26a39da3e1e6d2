//! The destination: answers 200 `{}` to everything and keeps account of it. A process of its own, so that it can be
//! pinned, and so that its work is not taken for that of a worker.
//!
//! `POST /take/<n>` takes a record, or an array of records, for destination `n`. `POST /hang/<n>` never answers.
//! `POST /vendor/<name>/…` takes a vendor's request and answers as the vendor does when it takes everything.
//! `POST /begin` forgets everything; `GET /report` and `GET /latencies` say what arrived since.

use std::{
    convert::Infallible,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::{Error, args::SinkArgs, error::call};

pub mod account;
mod vendor;

use account::Account;
use vendor::Vendor;

type Shared = Arc<Mutex<Account>>;

/// Serves until it is killed.
///
/// # Errors
/// When the port can't be listened on.
pub async fn run(args: &SinkArgs) -> Result<(), Error> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port)).await.map_err(call("listen"))?;
    let account = Shared::default();
    loop {
        let (connection, _) = listener.accept().await.map_err(call("accept a connection"))?;
        // A connection without it is slower, not wrong.
        let _ = connection.set_nodelay(true);
        let account = Arc::clone(&account);
        let service = service_fn(move |request| answer(Arc::clone(&account), request));
        tokio::spawn(async move {
            // A client that goes away is none of our business.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
        });
    }
}

async fn answer(account: Shared, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Ok(plain(StatusCode::BAD_REQUEST, Bytes::new())) };
    let body = body.to_bytes();
    let lock = || account.lock().unwrap_or_else(PoisonError::into_inner);
    let path = parts.uri.path();
    if let Some(destination) = path.strip_prefix("/take/").and_then(|text| text.parse().ok()) {
        lock().take(destination, &body, now());
        return Ok(plain(StatusCode::OK, Bytes::from_static(b"{}")));
    }
    if let Some(vendor) = path.strip_prefix("/vendor/").and_then(|rest| rest.split('/').next()).and_then(Vendor::named)
    {
        let (items, answer) = vendor.answer(&body);
        lock().take_items(&items, now());
        return Ok(plain(StatusCode::OK, answer));
    }
    if path.starts_with("/hang/") {
        return std::future::pending().await;
    }
    Ok(match path {
        "/begin" => {
            *lock() = Account::default();
            plain(StatusCode::OK, Bytes::new())
        }
        "/report" => plain(StatusCode::OK, json(&lock().report())),
        "/latencies" => plain(StatusCode::OK, json(lock().latencies())),
        _ => plain(StatusCode::NOT_FOUND, Bytes::new()),
    })
}

fn plain(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

fn json<T: serde::Serialize + ?Sized>(value: &T) -> Bytes {
    serde_json::to_vec(value).expect("plain types are writable as JSON").into()
}

/// Nanoseconds since 1970, as events carry them.
#[must_use]
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
