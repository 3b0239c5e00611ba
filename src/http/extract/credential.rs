//! Takes credentials out of a request's headers. Reads, and does no I/O.

use std::sync::Arc;

use actix_web::http::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderValue};

use crate::session::{CredentialSource, Denial, InstrumentedRule, PresentedCredential};

/// The first of an app's rules whose credential is present, with that credential; an empty credential is an absent one.
///
/// `None` when no rule's is present. A credential that cannot be one is the rule's all the same: it never falls through
/// to the next.
pub fn find<'a>(
    mut rules: impl Iterator<Item = &'a Arc<InstrumentedRule>>,
    headers: &HeaderMap,
) -> Option<(&'a Arc<InstrumentedRule>, Result<PresentedCredential, Denial>)> {
    rules.find_map(|watched| Some((watched, present(&watched.rule.source, headers)?)))
}

fn present(source: &CredentialSource, headers: &HeaderMap) -> Option<Result<PresentedCredential, Denial>> {
    match source {
        CredentialSource::Cookie(name) => {
            let cookie = single_value(headers.get_all(COOKIE).flat_map(|value| cookies(value.as_bytes(), name)))?;
            Some(cookie.and_then(|cookie| {
                let is_cookie = cookie.as_str().bytes().all(is_cookie_octet);
                if is_cookie { Ok(cookie) } else { Err(Denial::NotACookie) }
            }))
        }
        CredentialSource::Header(name) => single_value(headers.get_all(name.as_str()).map(HeaderValue::as_bytes)),
        CredentialSource::Bearer => {
            single_value(headers.get_all(AUTHORIZATION).filter_map(|value| bearer(value.as_bytes())))
        }
    }
}

/// The one value of a credential that may be there several times, if it says the same each time.
fn single_value<'a>(values: impl Iterator<Item = &'a [u8]>) -> Option<Result<PresentedCredential, Denial>> {
    let mut present = values.filter(|value| !value.is_empty());
    let first = present.next()?;
    let is_only = present.all(|other| other == first);
    Some(if is_only { PresentedCredential::new(first) } else { Err(Denial::Ambiguous) })
}

/// The values of a cookie in one `Cookie` header (RFC 6265, 4.2.1).
fn cookies<'a>(header: &'a [u8], name: &str) -> impl Iterator<Item = &'a [u8]> {
    header.split(|byte| *byte == b';').filter_map(move |pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        Some(unquoted.unwrap_or(value))
    })
}

/// Whether a cookie's value may hold this byte of printable ASCII (`cookie-octet` of RFC 6265, 4.1.1). Servers differ in
/// what they make of the remaining ones: behind a comma or a space some see another cookie.
fn is_cookie_octet(byte: u8) -> bool {
    !matches!(byte, b' ' | b'"' | b',' | b';' | b'\\')
}

/// The token of an `Authorization: Bearer` header (RFC 6750, 2.1); the scheme's case does not matter.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked("bearer".len())?;
    let separated = token.is_empty() || token.starts_with(b" ");
    (scheme.eq_ignore_ascii_case(b"bearer") && separated).then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let header = b"xsid=1; sid=2;sid=\"3\"; sidx=4; sid";
        let found: Vec<_> = cookies(header, "sid").collect();
        assert_eq!(found, [b"2", b"3"]);
    }

    #[test]
    fn bearer_is_a_scheme_and_not_a_prefix() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bEARER  abc "), Some(&b"abc"[..]));
        assert_eq!(bearer(b"Bearer"), Some(&b""[..]));
        assert_eq!(bearer(b"Bearerabc"), None);
        assert_eq!(bearer(b"Basic abc"), None);
    }
}
