//! What identifies a request in the log: its own id, and the trace it belongs to.

use std::hash::{BuildHasher, RandomState};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

/// The header that carries a request's id, in and out.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of one request: the caller's where it is sane, otherwise 32 random hex digits.
pub(super) struct RequestId(pub HeaderValue);

impl RequestId {
    /// Keeps or makes the id of a request.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        headers.get(X_REQUEST_ID).filter(|id| is_sane(id.as_bytes())).cloned().map_or_else(Self::random, Self)
    }

    fn random() -> Self {
        // SipHash under keys from the system's randomness, others each time.
        let keys = RandomState::new();
        let id = format!("{:016x}{:016x}", keys.hash_one(0), keys.hash_one(1));
        Self(HeaderValue::try_from(id).expect("hex digits are a header value"))
    }

    /// The id as text.
    pub(super) fn as_str(&self) -> &str {
        self.0.to_str().expect("a sane id is ASCII")
    }
}

fn is_sane(id: &[u8]) -> bool {
    (1..=64).contains(&id.len()) && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// The trace that a request belongs to, and its caller's span in it, in hex digits (W3C Trace Context, version 00); nothing
/// where `traceparent` is malformed.
pub(super) fn trace_of(headers: &HeaderMap) -> Option<(&str, &str)> {
    let mut parts = headers.get("traceparent")?.to_str().ok()?.split('-');
    let (version, trace_id, parent_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex =
        |text: &str, length| text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_id = |text: &str, length| is_hex(text, length) && text.bytes().any(|byte| byte != b'0');
    // Later versions may append parts; version ff is invalid.
    let version_known = is_hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
    let is_one = version_known && is_id(trace_id, 32) && is_id(parent_id, 16) && is_hex(flags, 2);
    is_one.then_some((trace_id, parent_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_kept_only_when_well_formed() {
        let trace_id = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static("traceparent"), HeaderValue::from_static(value));
            trace_of(&headers).map(|(trace_id, _)| trace_id.to_owned())
        };
        let trace = Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned());
        assert_eq!(trace_id("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), trace);
        assert_eq!(trace_id("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x"), trace);
        for bad in [
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00",
        ] {
            assert_eq!(trace_id(bad), None, "{bad}");
        }
    }

    #[test]
    fn ids_are_unlike_each_other() {
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| RequestId::random().as_str().to_owned()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| is_sane(id.as_bytes())));
    }
}
