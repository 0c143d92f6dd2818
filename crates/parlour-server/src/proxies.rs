//! Where a client is, if a proxy stands between.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The proxies that are believed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies(Vec<IpNet>);

impl Proxies {
    pub(crate) fn new(texts: &[String]) -> Result<Self, String> {
        let read = |text: &String| {
            let address = text.parse::<IpAddr>().map(IpNet::from);
            address.or_else(|_| text.parse::<IpNet>()).map_err(|_| {
                format!("{text:?} is no address and no network; write `10.0.0.1` or `10.0.0.0/8`")
            })
        };
        texts.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client of a request that came from `peer`: of those that are named, the last one that no proxy of ours is.
    /// What stands before it is what a stranger said.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        let named = headers
            .get_all(FORWARDED_FOR)
            .iter()
            .flat_map(|value| value.to_str().unwrap_or("?").split(',').map(str::trim).collect::<Vec<_>>());
        let mut client = peer;
        for text in named.collect::<Vec<_>>().into_iter().rev() {
            if !self.trusts(client) {
                break;
            }
            let Some(address) = address(text) else { break };
            client = address;
        }
        client
    }
}

/// An address, also with a port.
fn address(text: &str) -> Option<IpAddr> {
    let plain = text.strip_prefix('[').and_then(|text| text.split_once(']')).map_or(text, |(inner, _)| inner);
    let address = plain.parse::<IpAddr>().ok();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    address.or_else(with_port).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn client(trusted: &[&str], peer: &str, said: &[&str]) -> String {
        let trusted: Vec<String> = trusted.iter().map(|text| (*text).to_owned()).collect();
        let mut headers = HeaderMap::new();
        for value in said {
            headers.append(FORWARDED_FOR, value.parse().unwrap());
        }
        Proxies::new(&trusted).unwrap().client(ip(peer), &headers).to_string()
    }

    #[test]
    fn a_stranger_is_believed_nothing() {
        assert_eq!(client(&[], "9.9.9.9", &["1.1.1.1"]), "9.9.9.9");
        assert_eq!(client(&["10.0.0.0/8"], "9.9.9.9", &["1.1.1.1"]), "9.9.9.9");
    }

    #[test]
    fn a_proxy_is_believed_its_own_client_and_not_what_that_one_says() {
        let trusted = ["10.0.0.0/8", "fd00::/8", "192.168.0.1"];
        for (peer, said, expected) in [
            ("10.1.2.3", &["7.7.7.7"][..], "7.7.7.7"),
            ("10.1.2.3", &["1.1.1.1, 7.7.7.7"], "7.7.7.7"),
            ("10.1.2.3", &["1.1.1.1", "7.7.7.7"], "7.7.7.7"),
            // Two proxies, one behind the other.
            ("10.1.2.3", &["1.1.1.1, 7.7.7.7, 192.168.0.1"], "7.7.7.7"),
            ("fd00::1", &["2001:db8::7"], "2001:db8::7"),
            ("10.1.2.3", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.1.2.3", &["7.7.7.7:4711"], "7.7.7.7"),
            ("::ffff:10.1.2.3", &["::ffff:7.7.7.7"], "7.7.7.7"),
            // What cannot be read ends it: the proxy itself is what is known.
            ("10.1.2.3", &["7.7.7.7, unknown"], "10.1.2.3"),
            ("10.1.2.3", &["10.0.0.9"], "10.0.0.9"),
            ("10.1.2.3", &[], "10.1.2.3"),
        ] {
            assert_eq!(client(&trusted, peer, said), expected, "{peer} {said:?}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused_by_name() {
        for bad in ["", "10.0.0.0/40", "proxy", "10.0.0"] {
            assert!(Proxies::new(&[bad.to_owned()]).unwrap_err().contains(bad), "{bad}");
        }
    }
}
