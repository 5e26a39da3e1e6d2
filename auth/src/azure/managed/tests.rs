use azure_core::http::{StatusCode, headers::Headers};
use secrecy::ExposeSecret;

use super::*;

/// A metadata service: answers as it is told, and keeps what it was asked.
#[derive(Debug, Default)]
struct Metadata {
    answers: Mutex<Vec<(u16, String)>>,
    asked: Mutex<Vec<(String, Option<String>)>>,
}

#[async_trait::async_trait]
impl HttpClient for Metadata {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let header = request.headers().iter().find(|(name, _)| name.as_str() == "metadata");
        let header = header.map(|(_, value)| value.as_str().to_owned());
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push((request.url().to_string(), header));
        let (status, body) = self.answers.lock().unwrap_or_else(PoisonError::into_inner).remove(0);
        let mut headers = Headers::new();
        if status == 429 {
            headers.insert("retry-after", "17");
        }
        Ok(AsyncRawResponse::from_bytes(StatusCode::from(status), headers, body))
    }
}

async fn asked(status: u16, body: &str, client_id: Option<&str>) -> (Result<AccessToken, TokenError>, Arc<Metadata>) {
    let metadata = Arc::new(Metadata { answers: Mutex::new(vec![(status, body.to_owned())]), ..Metadata::default() });
    let through: Arc<dyn HttpClient> = Arc::<Metadata>::clone(&metadata);
    (ask_through(through, client_id, "https://vault.azure.net/.default", now()).await, metadata)
}

#[tokio::test]
async fn a_token_is_asked_for_as_the_metadata_service_wants_it() {
    let ends = Timestamp::now().as_second() + 3600;
    // Numbers come as text.
    let body = format!(
        r#"{{"access_token":"t","expires_in":"3599","expires_on":"{ends}","resource":"r","token_type":"Bearer"}}"#
    );
    let (token, metadata) = asked(200, &body, Some("mine")).await;
    let token = token.unwrap();
    assert_eq!(token.value.expose_secret(), "t");
    assert_eq!(token.expires.unwrap().as_second(), ends);
    let (url, header) = metadata.asked.lock().unwrap().remove(0);
    let expected = "http://169.254.169.254/metadata/identity/oauth2/token?";
    assert!(url.starts_with(expected), "{url}");
    assert!(url.contains("resource=https%3A%2F%2Fvault.azure.net") && url.contains("client_id=mine"), "{url}");
    assert_eq!(header.as_deref(), Some("true"));
}

#[tokio::test]
async fn what_passes_is_told_from_what_does_not_and_nothing_of_the_answer_is_shown() {
    for (status, passes) in [(404, true), (410, true), (429, true), (503, true), (400, false), (403, false)] {
        let (token, metadata) = asked(status, r#"{"error":"s3cret"}"#, None).await;
        let error = token.unwrap_err();
        assert_eq!(matches!(error, TokenError::Unavailable { .. }), passes, "{status}: {error}");
        assert!(error.to_string().contains(&status.to_string()) && !error.to_string().contains("s3cret"), "{error}");
        let wish = if let TokenError::Unavailable { after, .. } = &error { *after } else { None };
        assert_eq!(wish, (status == 429).then(|| Duration::from_secs(17)), "{status}");
        assert_eq!(metadata.asked.lock().unwrap().len(), 1, "{status}: when it is asked again is our affair");
    }
    let (garbage, _) = asked(200, "<html>", None).await;
    assert!(matches!(garbage, Err(TokenError::Unavailable { .. })), "{garbage:?}");
}

#[tokio::test]
async fn the_metadata_service_is_reached_through_this_door_and_no_other() {
    let metadata = "169.254.169.254".parse().unwrap();
    assert!(AddressPolicy::default().check("metadata", metadata).is_err());
    let request = |uri: &str| crate::http::Request {
        method: http::Method::GET,
        uri: uri.parse().unwrap(),
        headers: http::HeaderMap::new(),
        body: bytes::Bytes::new(),
    };
    // This door goes nowhere else that is private.
    let refused = door().send(request("http://169.254.169.253/"), DEADLINE).await;
    assert!(matches!(refused, Err(crate::http::SendFailure::Address(_))), "{refused:?}");
}
