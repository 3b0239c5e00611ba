//! What a token's claims and a back end's answer have in common: times, kinds of token, and whom one is for.

use std::time::Duration;

use serde_json::Value;

use super::{CheckError, Denial, Document, Fault, Pointer};
use crate::ticket::UnixTime;

/// Unix seconds beyond this, the year 5138, are milliseconds.
const LATEST: UnixTime = UnixTime::from_secs(100_000_000_000);

/// The end that a back end names for a session; absent or null, it names none.
pub(super) fn ends_at(time: Option<&Value>, now: UnixTime) -> Result<Option<UnixTime>, CheckError> {
    let Some(time) = time.filter(|time| !time.is_null()) else { return Ok(None) };
    let end = numeric_date(time).filter(|end| *end < LATEST).ok_or(Fault::Expiry)?;
    if end > now { Ok(Some(end)) } else { Err(Denial::Expired.into()) }
}

/// A `NumericDate`: seconds since the epoch, a fraction cut off.
pub(super) fn numeric_date(value: &Value) -> Option<UnixTime> {
    let fraction = || Duration::try_from_secs_f64(value.as_f64()?).ok().map(|time| time.as_secs());
    value.as_u64().or_else(fraction).map(UnixTime::from_secs)
}

/// What a rule demands of those who issued a token and whom it is for. An empty list admits any or none.
#[derive(Default)]
pub struct Demands {
    /// The `iss` that must be named.
    pub issuer: Option<String>,
    /// One of these must be in `aud`.
    pub audience: Vec<String>,
    /// The client must be one of these: a token's `azp`, or the `client_id` of an introspection answer.
    pub authorized_parties: Vec<String>,
    /// Members that must have these values.
    pub require: Vec<(Pointer, Value)>,
}

impl Demands {
    /// Holds them against claims that name the client in `party`.
    ///
    /// # Errors
    /// The first that is not met.
    pub(super) fn hold(&self, claims: &Document, party: &str) -> Result<(), Denial> {
        if self.issuer.as_deref().is_some_and(|issuer| claims.get("iss").and_then(Value::as_str) != Some(issuer)) {
            Err(Denial::Issuer)
        } else if !names_one_of(claims, "aud", &self.audience) {
            Err(Denial::Audience)
        } else if !names_one_of(claims, party, &self.authorized_parties) {
            Err(Denial::AuthorizedParty)
        } else if !claims.meets(&self.require) {
            Err(Denial::Requirement)
        } else {
            Ok(())
        }
    }
}

/// Whether the claim of this name is, or lists, one of `allowed`; an empty list admits any or none.
fn names_one_of(claims: &Document, name: &str, allowed: &[String]) -> bool {
    let is_one = |value: &Value| allowed.iter().any(|one| value == one);
    let lists_one = |claim: &Value| claim.as_array().is_some_and(|values| values.iter().any(is_one));
    allowed.is_empty() || claims.get(name).is_some_and(|claim| is_one(claim) || lists_one(claim))
}

/// Whether the claims name a kind of token that is not for access.
pub(super) fn is_other_kind(claims: &Document) -> bool {
    is_kind(claims, &["refresh", "refresh_token", "offline", "id", "id_token", "logout"])
}

/// Whether the claims name one of these kinds, the way Keycloak (`typ`), Cognito (`token_use`), simplejwt (`token_type`)
/// or flask-jwt-extended (`type`) do.
pub(super) fn is_kind(claims: &Document, kinds: &[&str]) -> bool {
    let mut claims =
        ["typ", "token_use", "token_type", "type"].into_iter().filter_map(|name| claims.get(name)?.as_str());
    claims.any(|claim| kinds.iter().any(|kind| kind.eq_ignore_ascii_case(claim)))
}
