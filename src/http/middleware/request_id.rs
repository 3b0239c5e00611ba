//! The id of a request, by which its answer, its log line and the back end's log are found.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpMessage, HttpRequest};

/// The header that carries a request's id, in and out.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of one request: the caller's where it is valid, otherwise 32 random hex digits.
#[derive(Clone)]
pub(crate) struct RequestId(pub(crate) HeaderValue);

impl RequestId {
    /// Keeps or makes the id of a request.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        headers.get(X_REQUEST_ID).filter(|id| is_valid(id.as_bytes())).cloned().map_or_else(Self::random, Self)
    }

    fn random() -> Self {
        let id = format!("{:032x}", fastrand::u128(..));
        Self(HeaderValue::try_from(id).expect("hex digits are a header value"))
    }

    /// The id that the middleware gave the request.
    pub(crate) fn of_request(request: &HttpRequest) -> Self {
        request.extensions().get().cloned().unwrap_or_else(|| Self::of(request.headers()))
    }

    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().expect("a valid id is ASCII")
    }
}

fn is_valid(id: &[u8]) -> bool {
    (1..=64).contains(&id.len()) && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_differ_and_are_valid() {
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| RequestId::random().as_str().to_owned()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.len() == 32 && is_valid(id.as_bytes())));
    }

    #[test]
    fn only_short_ids_of_plain_characters_are_kept() {
        for id in ["1", "abc-DEF_0.9", &"x".repeat(64)] {
            assert!(is_valid(id.as_bytes()), "{id}");
        }
        for id in ["", "a b", "a\"b", "ü", &"x".repeat(65)] {
            assert!(!is_valid(id.as_bytes()), "{id}");
        }
    }
}
