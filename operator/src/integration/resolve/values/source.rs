//! What is wrong with a source, where a schema can't say it or no API server has judged it.

use std::str::FromStr;

use ipnet::IpNet;
use ropeway_crds::{
    IntegrationSpec,
    names::{STREAM_PREFIX, SUBJECT_ROOT},
    pointer::is_pointer,
    source::{Expose, RequestSource, StreamSource, Verification, Webhook},
};

use super::LARGEST_BODY;

/// The largest body in bytes that holds several events.
const LARGEST_SPLIT_BODY: u64 = 4 << 20;

/// What is wrong with the source, each with the field and the remedy.
pub(super) fn faults(spec: &IntegrationSpec) -> Vec<String> {
    let mut faults = Vec::new();
    if let Some(webhook) = &spec.source.webhook {
        check_webhook(webhook, &mut faults);
    }
    if let Some(request) = &spec.source.request {
        check_request(request, &mut faults);
    }
    if let Some(stream) = &spec.source.stream {
        check_stream(stream, &mut faults);
    }
    faults
}

fn check_webhook(webhook: &Webhook, faults: &mut Vec<String>) {
    let Webhook { verification, max_body_bytes, split, public_url, tls, expose, .. } = webhook;
    let (most, text) = match split {
        Some(_) => (LARGEST_SPLIT_BODY, "4Mi"),
        None => (LARGEST_BODY, "256Ki; more needs split"),
    };
    if max_body_bytes.is_some_and(|body| body.bytes() > most || body.bytes() == 0) {
        faults.push(format!("spec.source.webhook.maxBodyBytes: give at most {text}"));
    }
    if public_url.is_none() && expose.is_none() && verification.signs_url() {
        faults.push("spec.source.webhook.publicUrl: the address is part of what is signed; give it, or expose".into());
    }
    if let Some(pointer) = split
        && !is_pointer(pointer)
    {
        faults.push("spec.source.webhook.split: give a JSON pointer such as /items, or an empty text".into());
    }
    check_expose("spec.source.webhook", expose.as_ref(), faults);
    check_verification("spec.source.webhook", verification, tls.is_some(), faults);
}

fn check_request(request: &RequestSource, faults: &mut Vec<String>) {
    const FIELD: &str = "spec.source.request";
    let RequestSource { verification, max_body_bytes, public_url, tls, expose, .. } = request;
    if max_body_bytes.is_some_and(|body| body.bytes() > LARGEST_BODY || body.bytes() == 0) {
        faults.push(format!("{FIELD}.maxBodyBytes: give at most 256Ki"));
    }
    if public_url.is_none() && expose.is_none() && verification.signs_url() {
        faults.push(format!("{FIELD}.publicUrl: the address is part of what is signed; give it, or expose"));
    }
    check_expose(FIELD, expose.as_ref(), faults);
    check_verification(FIELD, verification, tls.is_some(), faults);
}

fn check_expose(source: &str, expose: Option<&Expose>, faults: &mut Vec<String>) {
    if expose.is_some_and(|expose| expose.ingress.is_some() == expose.http_route.is_some()) {
        faults.push(format!("{source}.expose: give exactly one of ingress and httpRoute"));
    }
}

fn check_verification(source: &str, verification: &Verification, ends_tls: bool, faults: &mut Vec<String>) {
    let field = format!("{source}.verification");
    if let Some(mtls) = &verification.mtls {
        for range in mtls.proxy.iter().flat_map(|proxy| &proxy.trusted_ranges) {
            if IpNet::from_str(&range.0).is_err() {
                let text = &range.0;
                faults.push(format!("{field}.mtls.proxy.trustedRanges: {text:?} is no range; write it as 10.0.0.0/8"));
            }
        }
        if mtls.proxy.is_none() && !ends_tls {
            faults.push(format!("{field}.mtls: give {source}.tls, or the proxy that hands the certificate on"));
        }
    }
    if let Some(jwt) = &verification.jwt
        && jwt.jwks_url.is_none()
        && !jwt.issuer.starts_with("http")
    {
        faults.push(format!("{field}.jwt.jwksUrl: the issuer is no address that its keys could be found at; give it"));
    }
}

fn check_stream(source: &StreamSource, faults: &mut Vec<String>) {
    if source.start_at.is_some() && source.start_time.is_some() {
        faults.push("spec.source.stream.startTime: give at most one of startAt and startTime".into());
    }
    // The bucket is a stream too.
    let name = source.stream.as_str();
    let name = name.strip_prefix("KV_").or_else(|| name.strip_prefix("OBJ_")).unwrap_or(name);
    if name.starts_with(STREAM_PREFIX) {
        faults.push("spec.source.stream.stream: name a stream of your own".into());
    }
    let ours = |subject: &str| subject.starts_with('$') || subject.split('.').next() == Some(SUBJECT_ROOT);
    if source.subjects.iter().flatten().any(|subject| ours(&subject.0)) {
        faults.push("spec.source.stream.subjects: subjects that begin with $ or ropeway. can't be a source".into());
    }
}
