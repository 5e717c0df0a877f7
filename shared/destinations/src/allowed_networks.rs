//! Which addresses a webhook may go to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The setting `ALLOWED_NETWORKS`: networks that webhooks may go to besides public addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedNetworks(Vec<IpNet>);

impl AllowedNetworks {
    /// Whether a webhook may go to this address: it is public, or inside an allowed network.
    pub fn permits(&self, ip: IpAddr) -> bool {
        // ::ffff:127.0.0.1 leads where 127.0.0.1 leads.
        let ip = ip.to_canonical();
        self.0.iter().any(|network| network.contains(&ip)) || is_public(ip)
    }
}

/// Networks and single addresses, separated by commas; empty means none.
///
/// # Errors
/// Names the first part that is neither a network nor an address.
impl FromStr for AllowedNetworks {
    type Err = String;

    fn from_str(setting: &str) -> Result<Self, String> {
        setting
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| {
                part.parse::<IpNet>().or_else(|_| part.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
                    format!("ALLOWED_NETWORKS: `{part}` is neither a network like 10.0.0.0/8 nor an address")
                })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    !NOT_PUBLIC_V4.iter().any(|network| network.contains(&ip))
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    // On a network with IPv6 only, DNS64 writes every IPv4 address like this.
    if NAT64.contains(&ip) {
        let [.., a, b, c, d] = ip.octets();
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    GLOBAL_UNICAST_V6.contains(&ip) && !NOT_PUBLIC_V6.iter().any(|network| network.contains(&ip))
}

/// The special-purpose registry of RFC 6890, multicast, and one address that is special on one cloud.
const NOT_PUBLIC_V4: [Ipv4Net; 17] = [
    v4(0, 0, 0, 0, 8),
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    // Link-local: the metadata service of most clouds, which hands out credentials.
    v4(169, 254, 0, 0, 16),
    v4(172, 16, 0, 0, 12),
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 88, 99, 0, 24),
    v4(192, 168, 0, 0, 16),
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
    v4(255, 255, 255, 255, 32),
    // Looks public, but is Azure's own service inside every virtual machine.
    v4(168, 63, 129, 16, 32),
];

/// All that IANA has given out for global unicast: what lies outside is refused without a list of it.
const GLOBAL_UNICAST_V6: Ipv6Net = v6(0x2000, 0, 3);

const NAT64: Ipv6Net = v6(0x0064, 0xff9b, 96);

/// The exceptions inside [`GLOBAL_UNICAST_V6`].
const NOT_PUBLIC_V6: [Ipv6Net; 4] = [
    // Protocol assignments, Teredo among them: an IPv4 address hides inside.
    v6(0x2001, 0, 23),
    v6(0x2001, 0x0db8, 32),
    // 6to4, where an IPv4 address hides too.
    v6(0x2002, 0, 16),
    v6(0x3fff, 0, 20),
];

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

const fn v6(first: u16, second: u16, bits: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0), bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(setting: &str, ip: &str) -> bool {
        let allowed: AllowedNetworks = setting.parse().unwrap();
        allowed.permits(ip.parse().unwrap())
    }

    #[test]
    fn public_addresses_are_permitted() {
        for ip in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:200::1",
            "2a00:1450:4001::8a",
            "3ffe:ffff::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ] {
            assert!(permits("", ip), "{ip}");
        }
    }

    #[test]
    fn special_ipv4_addresses_are_refused() {
        for ip in [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
        ] {
            assert!(!permits("", ip), "{ip}");
        }
    }

    #[test]
    fn special_ipv6_addresses_are_refused() {
        for ip in [
            "::",
            "::1",
            "::8.8.8.8",
            "::127.0.0.1",
            "::ffff:0:8.8.8.8",
            "100::1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:1ff::1",
            "2001:db8::1",
            "2002:0a00:0001::1",
            "2002:0808:0808::1",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!permits("", ip), "{ip}");
        }
    }

    #[test]
    fn an_ipv4_address_inside_ipv6_is_judged_by_itself() {
        for ip in [
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::1.1.1.1",
        ] {
            assert!(!permits("", ip), "{ip}");
        }
    }

    #[test]
    fn an_allowed_network_is_permitted_and_its_neighbour_is_not() {
        assert!(permits("127.0.0.0/8, fd00::/8", "127.0.0.1"));
        assert!(permits("127.0.0.0/8, fd00::/8", "::ffff:127.0.0.1"));
        assert!(permits("127.0.0.0/8, fd00::/8", "fd00::5"));
        assert!(!permits("127.0.0.0/8, fd00::/8", "::1"));
        assert!(!permits("127.0.0.0/8, fd00::/8", "10.0.0.1"));
        assert!(!permits("::/0", "::ffff:10.0.0.1"));
    }

    #[test]
    fn a_single_address_is_a_network_of_one() {
        assert!(permits("10.1.2.3,::1", "10.1.2.3"));
        assert!(permits("10.1.2.3,::1", "::1"));
        assert!(!permits("10.1.2.3,::1", "10.1.2.4"));
    }

    #[test]
    fn an_empty_setting_allows_nothing_more() {
        assert_eq!(" ".parse(), Ok(AllowedNetworks::default()));
        assert_eq!(",".parse(), Ok(AllowedNetworks::default()));
    }

    #[test]
    fn a_bad_setting_is_named() {
        for bad in ["10.0.0.0/33", "localhost", "10.0.0", "10.0.0.0/"] {
            let error = format!("10.0.0.0/8, {bad}").parse::<AllowedNetworks>().unwrap_err();
            assert!(error.contains(&format!("`{bad}`")), "{error}");
        }
    }
}
