//! Which addresses deliveries may go to. Whoever may write a Destination must not thereby reach into the cluster, the
//! node or the cloud's metadata service. The check is made on the addresses that a connection would really use.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use ipnet::IpNet;

/// A range that is no CIDR.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not an address range; write it as 10.0.0.0/8")]
pub struct RangeError {
    text: String,
}

/// A destination resolves to an address that deliveries may not go to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{host} is at the {kind} address {address}, where deliveries may not go unless the operator's administrator allows the range"
)]
pub struct AddressRefused {
    host: String,
    kind: &'static str,
    address: IpAddr,
}

/// The addresses that deliveries may go to: all public ones, and the private ranges that the operator's administrator allows.
#[derive(Clone, Debug, Default)]
pub struct AddressPolicy {
    allowed: Vec<IpNet>,
}

impl AddressPolicy {
    /// A policy that allows these ranges beside all public addresses.
    ///
    /// # Errors
    /// Names the range that is none.
    pub fn new(ranges: &[String]) -> Result<Self, RangeError> {
        let parse = |text: &String| IpNet::from_str(text).map_err(|_| RangeError { text: text.clone() });
        Ok(Self { allowed: ranges.iter().map(parse).collect::<Result<_, _>>()? })
    }

    /// Those addresses of a host that deliveries may go to.
    ///
    /// # Errors
    /// If there are addresses, but none of that kind.
    pub fn allowed(
        &self,
        host: &str,
        found: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, AddressRefused> {
        let mut allowed = Vec::new();
        let mut refused = None;
        for address in found {
            match self.check(host, address.ip()) {
                Ok(()) => allowed.push(address),
                Err(error) => refused = Some(error),
            }
        }
        match (allowed.is_empty(), refused) {
            (true, Some(refused)) => Err(refused),
            _ => Ok(allowed),
        }
    }

    /// Whether deliveries may go to this address of this host.
    ///
    /// # Errors
    /// Says what kind of address it is.
    pub fn check(&self, host: &str, address: IpAddr) -> Result<(), AddressRefused> {
        let real = embedded(address);
        let Some(kind) = special(real) else { return Ok(()) };
        if self.allowed.iter().any(|range| range.contains(&real) || range.contains(&address)) {
            return Ok(());
        }
        Err(AddressRefused { host: host.to_owned(), kind, address })
    }
}

/// The IPv4 address inside an IPv6 one, where there is one: mapped, compatible, 6to4 and NAT64.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return v4.into();
    }
    let segments = v6.segments();
    let from = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        [0x2002, high, low, ..] => from(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => from(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => from(high, low),
        _ => address,
    }
}

/// What makes an address special; `None` for a public one. Sources: the IANA special-purpose registries (RFC 6890).
fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => special_v6(v6),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, d] = address.octets();
    match (a, b, c) {
        // Azure's WireServer: public in form, and only the host answers at it.
        (168, 63, 129) if d == 16 => Some("metadata"),
        _ if address.is_loopback() => Some("loopback"),
        _ if address.is_link_local() => Some("link-local or metadata"),
        _ if address.is_private() => Some("private"),
        (0, ..) => Some("unspecified"),
        (100, 64..=127, _) => Some("shared (carrier-grade NAT)"),
        (192, 0, 0) | (192, 0, 2) | (198, 18..=19, _) | (198, 51, 100) | (203, 0, 113) => Some("reserved"),
        (224.., ..) => Some("multicast or reserved"),
        _ => None,
    }
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let [first, second, ..] = address.segments();
    match (first, second) {
        _ if address.is_loopback() => Some("loopback"),
        _ if address.is_unspecified() => Some("unspecified"),
        (0xfe80..=0xfebf, _) => Some("link-local"),
        (0xfc00..=0xfdff, _) => Some("private"),
        (0xfec0..=0xfeff, _) => Some("site-local"),
        (0xff00.., _) => Some("multicast"),
        (0x2001, 0x0db8) | (0x0100, 0) | (0x64, 0xff9b) => Some("reserved"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_refused_in_every_spelling() {
        let policy = AddressPolicy::default();
        for text in [
            "127.0.0.1",
            "127.8.8.8",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "fec0::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "2002:a00:1::",
            "64:ff9b::a00:1",
            "::10.0.0.1",
            "2001:db8::1",
        ] {
            let address: IpAddr = text.parse().unwrap();
            assert!(policy.check("h", address).is_err(), "{text} was let through");
        }
    }

    #[test]
    fn public_addresses_pass() {
        for text in ["1.1.1.1", "93.184.216.34", "172.32.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
        {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(AddressPolicy::default().check("h", address), Ok(()), "{text}");
        }
    }

    #[test]
    fn an_allowed_range_opens_itself_and_nothing_else() {
        let policy = AddressPolicy::new(&["10.96.0.0/12".into(), "127.0.0.1/32".into()]).unwrap();
        assert!(policy.check("h", "10.100.1.1".parse().unwrap()).is_ok());
        assert!(policy.check("h", "::ffff:10.100.1.1".parse().unwrap()).is_ok());
        assert!(policy.check("h", "127.0.0.2".parse().unwrap()).is_err());
        let refused = policy.check("vault.internal", "10.0.0.1".parse().unwrap()).unwrap_err().to_string();
        assert!(refused.contains("vault.internal is at the private address 10.0.0.1"), "{refused}");
        assert!(AddressPolicy::new(&["10.0.0.0".into()]).is_err());
    }
}
