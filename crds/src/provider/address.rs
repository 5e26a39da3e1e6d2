//! The address of a vendor's API.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// An address, `https://…` or `http://…`, without credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HttpUrl(pub String);

impl HttpUrl {
    /// As it was written, without a slash at its end.
    pub fn as_str(&self) -> &str {
        self.0.trim_end_matches('/')
    }

    /// Its host.
    pub fn host(&self) -> &str {
        let rest = self.0.split_once("://").map_or(self.0.as_str(), |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.starts_with('[') {
            return authority.split_inclusive(']').next().unwrap_or_default();
        }
        authority.split(':').next().unwrap_or_default()
    }

    /// A sentence where its host is none of these: whole hosts, or endings that begin with a dot.
    pub(super) fn unlike(&self, hosts: &[&str], what: &str) -> Option<String> {
        let host = self.host().to_ascii_lowercase();
        let known = hosts
            .iter()
            .any(|known| host == known.trim_start_matches('.') || (known.starts_with('.') && host.ends_with(known)));
        (!known).then(|| format!("the host {host} is not {what}; that is right for a proxy or a sandbox only"))
    }
}

impl JsonSchema for HttpUrl {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HttpUrl".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "minLength": 8, "maxLength": 2048, "pattern": r"^https?://[^\s?#@]+$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_not_the_vendors_is_told() {
        for (url, told) in [
            ("https://rest.iad-01.braze.com", false),
            ("https://REST.fra-01.braze.eu/", false),
            ("https://braze.com:443/x", false),
            ("https://rest.iad-01.braze.com.evil.example", true),
            ("https://notbraze.com", true),
            ("http://[::1]:8080/x", true),
        ] {
            let found = HttpUrl(url.into()).unlike(&[".braze.com", ".braze.eu"], "one of Braze's");
            assert_eq!(found.is_some(), told, "{url}: {found:?}");
        }
        assert_eq!(
            (HttpUrl("http://[::1]:8080/x".into()).host(), HttpUrl("http://a.b/".into()).as_str()),
            ("[::1]", "http://a.b")
        );
    }
}
