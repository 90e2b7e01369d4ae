//! Where a request comes from: the other end of the connection or, behind a proxy that is trusted, what that proxy says.

use axum::extract::ConnectInfo;
use axum::extract::Request;
use axum::http::HeaderMap;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// Where proxies forward who they speak for, the nearest last.
const FORWARDED: &str = "x-forwarded-for";

/// The proxies whose word is taken.
#[derive(Debug, Default)]
pub(crate) struct Proxies(Vec<IpNet>);

impl Proxies {
    pub(crate) fn new(trusted: Vec<IpNet>) -> Self {
        Self(trusted)
    }

    /// The address of who made the request; `None` where the connection has none (a request that never was on a network).
    pub(crate) fn client_of(&self, request: &Request) -> Option<IpAddr> {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>()?.0.ip().to_canonical();
        Some(self.client(peer, request.headers()))
    }

    /// The nearest address of the chain that is not a trusted proxy's. Whatever stands before it, anybody could have written.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut nearest = peer;
        let said: Vec<&str> = headers
            .get_all(FORWARDED)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|line| line.split(','))
            .collect();
        for hop in said.iter().rev() {
            if !self.0.iter().any(|proxy| proxy.contains(&nearest)) {
                break;
            }
            let Ok(address) = hop.trim().parse::<IpAddr>() else { break };
            nearest = address.to_canonical();
        }
        nearest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &[&str], peer: &str, said: &[&str]) -> String {
        let proxies = Proxies::new(trusted.iter().map(|net| net.parse().unwrap()).collect());
        let mut headers = HeaderMap::new();
        for line in said {
            headers.append(FORWARDED, line.parse().unwrap());
        }
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_about_its_own_client() {
        assert_eq!(client(&[], "203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        let proxy = ["10.0.0.0/8"];
        assert_eq!(client(&proxy, "203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(client(&proxy, "10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client(&proxy, "10.0.0.1", &["198.51.100.1, 203.0.113.9"]), "203.0.113.9");
        assert_eq!(client(&proxy, "10.0.0.1", &["198.51.100.1", "203.0.113.9, 10.0.0.2"]), "203.0.113.9");
        assert_eq!(client(&proxy, "10.0.0.1", &["nonsense"]), "10.0.0.1");
        assert_eq!(client(&proxy, "10.0.0.1", &[]), "10.0.0.1");
    }
}
