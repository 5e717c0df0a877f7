//! Who sent a request, when it came through somebody we trust.

use std::net::IpAddr;
use std::str::FromStr;

use axum::http::HeaderMap;
use ipnet::IpNet;

/// Proxies whose `X-Forwarded-For` is believed: the setting `TRUSTED_PROXIES`, networks or addresses with commas
/// between. Anybody else's is a claim that anybody can make.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl FromStr for TrustedProxies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let networks = text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(|part| {
            part.parse::<IpNet>().or_else(|_| part.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
                format!("TRUSTED_PROXIES: '{part}' is neither an address nor a network such as 10.0.0.0/8")
            })
        });
        networks.collect::<Result<_, _>>().map(Self)
    }
}

impl TrustedProxies {
    /// The sender: the peer, or if that is a trusted proxy whoever it had the request from, and so on. Of what
    /// is not an address nothing is believed.
    #[must_use]
    pub fn source(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut source = peer.to_canonical();
        if self.0.is_empty() {
            return source;
        }
        // Each proxy appends the address that it saw, to the last of several such headers.
        let values = headers.get_all("x-forwarded-for").iter().rev();
        // Of a value that is not text nothing is believed, and nothing that stands before it.
        let hops = values.flat_map(|value| value.to_str().unwrap_or("not text").rsplit(','));
        for hop in hops {
            if !self.trusts(source) {
                break;
            }
            let Some(address) = address_of(hop.trim()) else { break };
            source = address;
        }
        source
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Some proxies add the port, and brackets to IPv6.
fn address_of(hop: &str) -> Option<IpAddr> {
    let address = hop
        .parse::<IpAddr>()
        .or_else(|_| hop.parse::<std::net::SocketAddr>().map(|address| address.ip()))
        .or_else(|_| hop.trim_start_matches('[').trim_end_matches(']').parse());
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(trusted: &str, peer: &str, forwarded: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            let value = axum::http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.append("x-forwarded-for", value);
        }
        trusted.parse::<TrustedProxies>().unwrap().source(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn nobodys_word_is_believed_unless_the_proxy_is_trusted() {
        assert_eq!(source("", "192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(source("10.0.0.0/8", "192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(source("10.0.0.0/8", "10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(source("10.0.0.0/8", "::ffff:10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
    }

    #[test]
    fn the_last_one_before_the_trusted_proxies_is_the_sender() {
        let proxies = "10.0.0.0/8, 2001:db8::/32,127.0.0.1";
        assert_eq!(source(proxies, "10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        // What the client itself wrote stands first.
        assert_eq!(source(proxies, "10.0.0.1", &["1.2.3.4, 203.0.113.9, 10.0.0.2"]), "203.0.113.9");
        assert_eq!(source(proxies, "10.0.0.1", &["1.2.3.4", "203.0.113.9,10.0.0.2"]), "203.0.113.9");
        assert_eq!(source(proxies, "127.0.0.1", &["203.0.113.9:4711"]), "203.0.113.9");
        assert_eq!(source(proxies, "2001:db8::5", &["[2606:4700::1]:443"]), "2606:4700::1");
        assert_eq!(source(proxies, "10.0.0.1", &["[2606:4700::1]"]), "2606:4700::1");
        assert_eq!(source(proxies, "10.0.0.1", &["1.2.3.4, garbage"]), "10.0.0.1");
        assert_eq!(source(proxies, "10.0.0.1", &["1.2.3.4", "\u{ff}, 203.0.113.9"]), "10.0.0.1");
    }

    #[test]
    fn a_wrong_setting_says_what_it_should_be() {
        let why = "10.0.0.0/8,proxy".parse::<TrustedProxies>().unwrap_err();
        assert_eq!(why, "TRUSTED_PROXIES: 'proxy' is neither an address nor a network such as 10.0.0.0/8");
    }
}
