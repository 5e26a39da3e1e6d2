//! The provider `http`: any API that takes one JSON record a request. The record is the body.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use ropeway_crds::provider::{HttpMethod, HttpProvider};
use url::Url;

use super::Request;
use crate::map::Record;

/// A request can't be made from the Destination's spec.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// `url` is none.
    #[error("provider.http.url is not a URL: {0}")]
    Url(#[source] url::ParseError),
    /// A header can't be sent.
    #[error("the header {name} of provider.http.headers holds what no header may hold")]
    Header {
        /// Its name.
        name: String,
    },
}

/// How a record becomes a request. `header_values` holds the values of the provider's headers, in their order.
///
/// # Errors
/// If the URL or a header is unusable.
pub fn request(provider: &HttpProvider, header_values: &[String], record: &Record) -> Result<Request, RequestError> {
    let url = Url::parse(&provider.url).map_err(RequestError::Url)?;
    let method = match provider.method.unwrap_or_default() {
        HttpMethod::Post => Method::POST,
        HttpMethod::Put => Method::PUT,
        HttpMethod::Patch => Method::PATCH,
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    for (given, value) in provider.headers.iter().flatten().zip(header_values) {
        let refuse = || RequestError::Header { name: given.name.clone() };
        let name = HeaderName::try_from(&given.name).map_err(|_| refuse())?;
        let mut value = HeaderValue::try_from(value).map_err(|_| refuse())?;
        value.set_sensitive(given.value_from.is_some());
        headers.insert(name, value);
    }
    Ok(Request { method, url, headers, body: record.body.clone() })
}
