//! Which pages may use a cookie, and the CORS headers by which browsers know.
//!
//! A policy of our own: a ready-made CORS layer runs the handler for a foreign origin and only leaves out its headers,
//! while a cookie from a foreign page must not even be checked.

use std::str::FromStr;

use actix_web::http::Method;
use actix_web::http::header::{
    self, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    HeaderMap, HeaderName, HeaderValue,
};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use crate::http::State;
use crate::http::problem::{Code, Problem};
use crate::session::{CredentialSource, Rule};

/// A web origin as browsers send it: scheme, host and perhaps a port, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(HeaderValue);

impl FromStr for Origin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const NO_ORIGIN: &str = "is not an origin as browsers send it: scheme and host in lower case, no path, \
            no default port, as in \"https://m.example.com\"";
        let (scheme, authority) = text.split_once("://").ok_or(NO_ORIGIN)?;
        let has_default = |of: &str, port| scheme == of && authority.ends_with(port);
        let names_default_port = has_default("https", ":443") || has_default("http", ":80");
        let is_made_of = |text: &str, signs: &[u8]| {
            text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || signs.contains(&byte))
        };
        // Apps' web views have schemes of their own, as capacitor://localhost.
        let scheme_is_one = scheme.starts_with(|first: char| first.is_ascii_lowercase()) && is_made_of(scheme, b"+-.");
        let host_is_one = !authority.is_empty() && is_made_of(authority, b".-_:[]");
        if !scheme_is_one || !host_is_one || names_default_port {
            return Err(NO_ORIGIN);
        }
        HeaderValue::from_str(text).map(Self).map_err(|_| NO_ORIGIN)
    }
}

/// The pages of other hosts that may use the service with the user's cookie.
pub(crate) struct OriginPolicy {
    allowed: Vec<Origin>,
    /// The headers that such a page may send: the rules' own among them.
    request_headers: String,
}

impl OriginPolicy {
    /// A policy that lets in `allowed`, with the credential headers of `rules`.
    pub(crate) fn new(allowed: Vec<Origin>, rules: &[Rule]) -> Self {
        let mut request_headers = String::from("authorization, content-type, x-request-id, traceparent");
        for rule in rules {
            if let CredentialSource::Header(name) = &rule.source {
                request_headers.push_str(", ");
                request_headers.push_str(name);
            }
        }
        Self { allowed, request_headers }
    }

    /// Whether a request may use a cookie: it comes from the service's own origin, or from an allowed one.
    pub(crate) fn admits_cookie(&self, headers: &HeaderMap) -> bool {
        headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "same-origin") || self.listed(headers).is_some()
    }

    /// The allowed origin from which a request comes.
    pub(crate) fn listed(&self, headers: &HeaderMap) -> Option<&Origin> {
        let origin = headers.get(header::ORIGIN)?;
        // Two Origin headers are no browser's.
        let only = headers.get_all(header::ORIGIN).nth(1).is_none();
        self.allowed.iter().find(|Origin(allowed)| allowed == origin).filter(|_| only)
    }

    /// Adds what lets `reader`, the page of an allowed origin, read the answer.
    pub(super) fn expose(&self, reader: Option<Origin>, answer: &mut HeaderMap) {
        if self.allowed.is_empty() {
            return;
        }
        answer.insert(header::VARY, HeaderValue::from_static("origin"));
        if let Some(Origin(origin)) = reader {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after, x-request-id"));
        }
    }
}

/// Answers every method that a route does not take: a browser that asks whether a page of another origin may call, with what
/// it may; everything else with a 405.
pub(crate) fn preflight(
    state: &Data<State>,
    request: &HttpRequest,
    methods: &'static str,
) -> Result<HttpResponse, Problem> {
    let headers = request.headers();
    let is_question = [header::ORIGIN, ACCESS_CONTROL_REQUEST_METHOD].iter().all(|name| headers.contains_key(name));
    if *request.method() != Method::OPTIONS || !is_question {
        return Err(Problem::method_not_allowed(methods));
    }
    if state.origins.listed(headers).is_none() {
        return Err(Problem::new(Code::OriginDenied, "this origin is not in allowed_origins"));
    }
    let mut response = HttpResponse::NoContent();
    response.insert_header((ACCESS_CONTROL_ALLOW_METHODS, methods));
    response.insert_header((ACCESS_CONTROL_ALLOW_HEADERS, state.origins.request_headers.as_str()));
    response.insert_header((ACCESS_CONTROL_MAX_AGE, 600));
    Ok(response.finish())
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_as_browsers_send_them() {
        for text in ["https://m.example.com", "http://127.0.0.1:5173", "http://[::1]:8080", "capacitor://localhost"] {
            assert!(text.parse::<Origin>().is_ok(), "{text}");
        }
        for text in [
            "*",
            "null",
            "m.example.com",
            "https://",
            "https://M.example.com",
            "https://m.example.com/",
            "https://m.example.com:443",
            "http://a:80",
            "https://*.example.com",
            "https://a b",
            "https://u@a",
            "HTTPS://a",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }
}
