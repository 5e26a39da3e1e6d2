//! A client certificate: the one that the connection was made with, or the one that a proxy hands on.

use std::{str::FromStr, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::HeaderMap;
use ipnet::IpNet;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use ropeway_crds::source::{CertificateFormat, CertificateProxy, MtlsVerification};
use rustls::{
    RootCertStore,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, UnixTime, pem::PemObject};
use secrecy::ExposeSecret;

use super::{SignedRequest, Verified, VerifyError, single};
use ropeway_auth::secret::{Made, Secrets};

/// The authorities that an Integration trusts, and how their certificates reach us.
#[derive(Debug)]
pub struct Certificates {
    spec: MtlsVerification,
    verifier: Made<Arc<dyn ClientCertVerifier>, 1>,
}

impl Certificates {
    /// As the Integration says.
    pub fn new(spec: MtlsVerification) -> Self {
        Self { spec, verifier: Made::default() }
    }
}

/// Judges the certificate of a request.
pub(super) fn verify(
    Certificates { spec: scheme, verifier }: &Certificates,
    secrets: &Secrets,
    request: SignedRequest<'_>,
    now: Timestamp,
) -> Result<Verified, VerifyError> {
    let chain = match &scheme.proxy {
        Some(proxy) => handed_on(proxy, request)?,
        None => request.peer.certificates.to_vec(),
    };
    let (certificate, between) = chain.split_first().ok_or(VerifyError::Refused("no certificate was shown"))?;
    let authorities = secrets.bytes(&scheme.ca_ref)?;
    let verifier = verifier.of([Some(Arc::clone(&authorities))], |_| trusting(authorities.expose_secret()))?;
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    verifier.verify_client_cert(certificate, between, time).map_err(|_| {
        VerifyError::Refused("the certificate is not signed by an authority that is trusted, or not valid now")
    })?;
    match &scheme.allowed_names {
        Some(names) if !names.iter().any(|name| has_name(certificate, &name.0)) => {
            Err(VerifyError::Refused("the certificate is for another name"))
        }
        _ => Ok(Verified::default()),
    }
}

/// Judges by these authorities.
fn trusting(authorities: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, VerifyError> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(authorities).flatten() {
        // One that can't be used trusts nobody.
        let _ = roots.add(authority);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|_| VerifyError::Refused("the Secret of caRef holds no usable authority"))
}

/// Whether a name is among the certificate's subject alternative names.
fn has_name(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else { return false };
    let dns = certificate.valid_dns_names().any(|dns| dns.eq_ignore_ascii_case(name));
    dns || certificate.valid_uri_names().any(|uri| uri == name)
}

/// The certificate in a proxy's header, if it comes from the proxy.
fn handed_on(
    proxy: &CertificateProxy,
    request: SignedRequest<'_>,
) -> Result<Vec<CertificateDer<'static>>, VerifyError> {
    let address = request.peer.address.ip().to_canonical();
    let trusted = |range: &str| IpNet::from_str(range).is_ok_and(|range| range.contains(&address));
    if !proxy.trusted_ranges.iter().any(|range| trusted(&range.0)) {
        return Err(VerifyError::Refused(
            "the header with the certificate comes from somebody who is no trusted proxy",
        ));
    }
    let chain = match proxy.format {
        CertificateFormat::UrlEncodedPem => pem(single(request.headers, &proxy.header)?),
        CertificateFormat::Xfcc => xfcc(&last(request.headers, &proxy.header)?),
        CertificateFormat::Rfc9440 => {
            let text = single(request.headers, &proxy.header)?.trim();
            let inside = text.strip_prefix(':').and_then(|text| text.strip_suffix(':'));
            let der = inside.and_then(|text| BASE64_STANDARD.decode(text).ok());
            der.map(|der| vec![CertificateDer::from(der)])
        }
    };
    chain.filter(|chain| !chain.is_empty()).ok_or(VerifyError::Refused("the header holds no certificate"))
}

fn pem(text: &str) -> Option<Vec<CertificateDer<'static>>> {
    let decoded: Vec<u8> = percent_decode_str(text).collect();
    CertificateDer::pem_slice_iter(&decoded).collect::<Result<_, _>>().ok()
}

/// The last element of a list that may be spread over several headers: the nearest proxy wrote it.
fn last(headers: &HeaderMap, name: &str) -> Result<String, VerifyError> {
    let header = headers.get_all(name).iter().next_back().and_then(|value| value.to_str().ok());
    let header = header.ok_or(VerifyError::Refused("a header is missing"))?;
    let mut quoted = false;
    let start = header.char_indices().filter(|(_, character)| {
        quoted ^= *character == '"';
        *character == ',' && !quoted
    });
    let start = start.last().map_or(0, |(index, _)| index + 1);
    Ok(header[start..].trim().to_owned())
}

/// `Cert` of an element of Envoy's `x-forwarded-client-cert`.
fn xfcc(element: &str) -> Option<Vec<CertificateDer<'static>>> {
    let mut quoted = false;
    let pairs = element.split(|character| {
        quoted ^= character == '"';
        character == ';' && !quoted
    });
    let value = pairs.filter_map(|pair| pair.split_once('=')).find(|(name, _)| name.eq_ignore_ascii_case("cert"));
    pem(value?.1.trim_matches('"'))
}
