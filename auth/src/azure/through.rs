//! Requests of Microsoft's clients, through our door.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use azure_core::{
    Result,
    error::{Error, ErrorKind},
    http::{
        AsyncRawResponse, Body, ClientOptions, HttpClient, Method, Request as TheirRequest, RetryOptions, StatusCode,
        Transport, headers::Headers,
    },
};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use crate::http::{HttpDoor, Request, SendFailure};

/// How long a request may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// A door as Microsoft's clients know it.
#[derive(Debug)]
pub(crate) struct Through {
    door: HttpDoor,
    /// Why the last request could not be sent.
    failure: Mutex<Option<SendFailure>>,
}

impl Through {
    pub(crate) fn new(door: HttpDoor) -> Arc<Self> {
        Arc::new(Self { door, failure: Mutex::default() })
    }

    /// Why the last request could not be sent.
    pub(crate) fn failure(&self) -> Option<SendFailure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// How a client of Microsoft's goes through this. When something is asked again is decided by us.
pub(crate) fn options(through: Arc<dyn HttpClient>) -> ClientOptions {
    ClientOptions { transport: Some(Transport::new(through)), retry: RetryOptions::none(), ..ClientOptions::default() }
}

/// When a service of Azure's asks to be asked again: in milliseconds, or in seconds as RFC 9110 §10.2.3 has it.
pub(crate) fn wished(headers: &Headers) -> Option<Duration> {
    let number = |wanted: &str| -> Option<u64> {
        let found = headers.iter().find(|(name, _)| name.as_str().eq_ignore_ascii_case(wanted));
        found?.1.as_str().trim().parse().ok()
    };
    let milliseconds = number("retry-after-ms").or_else(|| number("x-ms-retry-after-ms")).map(Duration::from_millis);
    milliseconds.or_else(|| number("retry-after").map(Duration::from_secs))
}

#[async_trait::async_trait]
impl HttpClient for Through {
    async fn execute_request(&self, request: &TheirRequest) -> Result<AsyncRawResponse> {
        let request = ours(request)?;
        let answer = self.door.send(request, DEADLINE).await.map_err(|failure| {
            let message = match &failure {
                SendFailure::Address(refused) => refused.to_string(),
                SendFailure::Configuration(why) | SendFailure::Transport(why) => why.clone(),
            };
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
            Error::with_message(ErrorKind::Io, message)
        })?;
        let mut headers = Headers::new();
        for (name, value) in &answer.headers {
            if let Ok(value) = value.to_str() {
                headers.insert(name.as_str().to_owned(), value.to_owned());
            }
        }
        Ok(AsyncRawResponse::from_bytes(StatusCode::from(answer.status.as_u16()), headers, answer.body))
    }
}

fn ours(request: &TheirRequest) -> Result<Request> {
    let refuse = |what: &'static str| Error::with_message(ErrorKind::Other, what);
    let method = match request.method() {
        Method::Get => http::Method::GET,
        Method::Post => http::Method::POST,
        _ => return Err(refuse("only GET and POST are sent")),
    };
    let uri = Uri::try_from(request.url().as_str()).map_err(|_| refuse("the address can't be asked"))?;
    let mut headers = HeaderMap::new();
    for (name, value) in request.headers().iter() {
        let name = HeaderName::try_from(name.as_str()).map_err(|_| refuse("a header has no name"))?;
        let mut value = HeaderValue::try_from(value.as_str()).map_err(|_| refuse("a header can't be sent"))?;
        value.set_sensitive(name == header::AUTHORIZATION);
        headers.insert(name, value);
    }
    let Body::Bytes(body) = request.body() else { return Err(refuse("only plain bodies are sent")) };
    Ok(Request { method, uri, headers, body: body.clone() })
}
