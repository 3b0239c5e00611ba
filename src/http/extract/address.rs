//! From which address a request comes, as far as the proxies in front can be believed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderMap, HeaderValue, X_FORWARDED_FOR};
use tracing::warn;

use crate::http::State;

/// The caller's address: the peer's, or what the outermost of `trusted_hops` proxies says of its own.
pub(crate) fn of(request: &HttpRequest, trusted_hops: usize) -> IpAddr {
    let peer = request.peer_addr().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip());
    forwarded(request.headers(), trusted_hops).unwrap_or(peer)
}

/// What a caller is known by where each address has a share of something; `None` where that would be a proxy's: its callers
/// would take each other's share.
pub(crate) fn share(state: &State, request: &HttpRequest, address: IpAddr) -> Option<IpAddr> {
    if state.trusted_hops == 0 && request.headers().contains_key(X_FORWARDED_FOR) {
        state.untrusted_proxy.call_once(|| {
            let peer = address.to_string();
            warn!(
                peer,
                "X-Forwarded-For comes from a peer that trusted_hops does not cover; shares by address are off for it"
            );
        });
        return None;
    }
    state.limiter.share_of(address)
}

/// Each proxy appends the address of its client; entries before those of the trusted proxies can be made up.
fn forwarded(headers: &HeaderMap, trusted_hops: usize) -> Option<IpAddr> {
    let nth_from_right = trusted_hops.checked_sub(1)?;
    // As bytes: an entry that is no text must not take those behind it along.
    let lines: Vec<_> = headers.get_all(X_FORWARDED_FOR).map(HeaderValue::as_bytes).collect();
    let entry = lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b',')).nth(nth_from_right)?;
    parse(str::from_utf8(entry).ok()?.trim())
}

/// An address; some proxies write its port behind it, some write the brackets of IPv6 without one.
fn parse(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse().map(|address: SocketAddr| address.ip()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_trusted_proxies_wrote_is_believed() {
        let mut headers = HeaderMap::new();
        headers.append(X_FORWARDED_FOR, HeaderValue::from_static("6.6.6.6, 192.0.2.1"));
        headers.append(X_FORWARDED_FOR, HeaderValue::from_static("10.0.0.1"));
        let at = |hops| forwarded(&headers, hops).map(|address| address.to_string());
        assert_eq!(at(0), None);
        assert_eq!(at(1).as_deref(), Some("10.0.0.1"));
        assert_eq!(at(2).as_deref(), Some("192.0.2.1"));
        assert_eq!(at(4), None);
    }

    #[test]
    fn bytes_that_are_no_text_hide_no_entry() {
        let mut headers = HeaderMap::new();
        headers.append(X_FORWARDED_FOR, HeaderValue::from_static("6.6.6.6"));
        headers.append(X_FORWARDED_FOR, HeaderValue::from_bytes(b"\xff, 192.0.2.1").expect("a value"));
        let at = |hops| forwarded(&headers, hops).map(|address| address.to_string());
        assert_eq!((at(1).as_deref(), at(2).as_deref()), (Some("192.0.2.1"), None));
    }

    #[test]
    fn an_address_may_have_a_port_or_brackets() {
        for (text, address) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
        ] {
            assert_eq!(parse(text), Some(address.parse().expect("an address")), "{text}");
        }
        for text in ["", "unknown", "_hidden", "192.0.2.1:", "[192.0.2.1", "192.0.2.1, 192.0.2.2"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
