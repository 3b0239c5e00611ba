//! What a token's claims and a back end's answer have in common: times, kinds of token, and whom one is for.

use std::time::Duration;

use serde_json::Value;

use crate::session::document::{Conditions, Document};
use crate::session::error::{CheckError, Denial, Fault};
use crate::ticket::UnixTime;

/// Unix seconds beyond this, the year 5138, are milliseconds.
const LATEST: UnixTime = UnixTime::from_secs(100_000_000_000);

/// The end that a back end names for a session; absent or null, it names none.
pub(in crate::session) fn ends_at(time: Option<&Value>, now: UnixTime) -> Result<Option<UnixTime>, CheckError> {
    match named_time(time, Fault::Expiry)? {
        Some(end) if end <= now => Err(Denial::Expired.into()),
        end => Ok(end),
    }
}

/// The time that a back end names; absent or null, it names none.
pub(in crate::session) fn named_time(time: Option<&Value>, unreadable: Fault) -> Result<Option<UnixTime>, Fault> {
    match time {
        None | Some(Value::Null) => Ok(None),
        Some(time) => numeric_date(time).filter(|time| *time < LATEST).map(Some).ok_or(unreadable),
    }
}

/// A `NumericDate`: seconds since the epoch, a fraction cut off.
pub(in crate::session) fn numeric_date(value: &Value) -> Option<UnixTime> {
    let fraction = || Duration::try_from_secs_f64(value.as_f64()?).ok().map(|time| time.as_secs());
    value.as_u64().or_else(fraction).map(UnixTime::from_secs)
}

/// The kinds of token that are accepted, in lower case and without `-` and `_`. All but `jwt` say that it is for access.
const KINDS: [&str; 6] = ["jwt", "at+jwt", "application/at+jwt", "bearer", "access", "accesstoken"];

/// Claims by which issuers name the kind: Keycloak's `typ`, Cognito's `token_use`, and the `token_type` of simplejwt, which
/// is Casdoor's `TokenType`.
const KIND_CLAIMS: [&str; 3] = ["typ", "tokenuse", "tokentype"];

/// Words in a `type` (flask-jwt-extended) of tokens that are not for access. The claim means many other things as well, so
/// it has no list of what is accepted.
const OTHER_TYPES: [&str; 9] =
    ["refresh", "refreshtoken", "reset", "mfa", "2fa", "id", "idtoken", "registration", "logout"];

/// What a rule requires of those who issued a token and whom it is for. An empty list admits any or none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClaimRequirements {
    /// The `iss` that must be named.
    pub issuer: Option<String>,
    /// One of these must be in `aud`.
    pub audience: Vec<String>,
    /// The client must be one of these: a token's `azp`, or the `client_id` of an introspection answer.
    pub authorized_parties: Vec<String>,
    /// Members that must have these values.
    pub require: Conditions,
}

impl ClaimRequirements {
    /// Checks claims that name the client in `party`.
    ///
    /// # Errors
    /// The first that is not met.
    pub(in crate::session) fn verify(&self, claims: &Document, party: &str) -> Result<(), Denial> {
        if self.issuer.as_deref().is_some_and(|issuer| claims.get("iss").and_then(Value::as_str) != Some(issuer)) {
            Err(Denial::Issuer)
        } else if !is_for_one_of(claims, &self.audience) {
            Err(Denial::Audience)
        } else if !self.authorizes(claims.get(party)) {
            Err(Denial::AuthorizedParty)
        } else if !self.require.all_hold(claims) {
            Err(Denial::Requirement)
        } else {
            Ok(())
        }
    }

    /// Refuses claims of a token that is not for access, or that is worth nothing without a proof.
    ///
    /// # Errors
    /// [`Denial::BoundToken`] or [`Denial::TokenType`].
    pub(in crate::session) fn verify_kind(&self, claims: &Document) -> Result<(), Denial> {
        // RFC 7800: whoever presents the token must prove that a key is theirs (RFC 8705, 9449).
        if claims.get("cnf").is_some_and(|key| !key.is_null()) {
            return Err(Denial::BoundToken);
        }
        // Security event and logout tokens (RFC 8417).
        if claims.get("events").is_some() {
            return Err(Denial::TokenType);
        }
        let is_required = |name: &str| self.require.0.iter().any(|(pointer, _)| pointer.is_member(name));
        for (name, value) in claims.members() {
            let is_accepted = if is_kind_claim(name) {
                is_token_kind(value)
            } else if spells(name, "type") {
                value.as_str().is_some_and(|text| !has_word(text, &OTHER_TYPES))
            } else {
                true
            };
            if !is_accepted && !is_required(name) {
                return Err(Denial::TokenType);
            }
        }
        Ok(())
    }

    fn authorizes(&self, party: Option<&Value>) -> bool {
        self.authorized_parties.is_empty()
            || self.authorized_parties.iter().any(|one| party.is_some_and(|it| it == one))
    }
}

/// Whether the audience is, or lists, one of `allowed`; an empty list admits any or none.
fn is_for_one_of(claims: &Document, allowed: &[String]) -> bool {
    let is_one = |value: &Value| allowed.iter().any(|one| value == one);
    let lists_one = |audience: &Value| audience.as_array().is_some_and(|values| values.iter().any(is_one));
    allowed.is_empty() || claims.get("aud").is_some_and(|audience| is_one(audience) || lists_one(audience))
}

/// Whether this names a kind of token that is accepted.
pub(in crate::session) fn is_token_kind(value: &Value) -> bool {
    value.as_str().is_some_and(|text| KINDS.iter().any(|kind| spells(text, kind)))
}

/// Whether this names a token for access.
pub(in crate::session) fn is_access_kind(value: &Value) -> bool {
    value.as_str().is_some_and(|text| KINDS.iter().any(|kind| *kind != "jwt" && spells(text, kind)))
}

/// Whether a claim says that the token is for access.
pub(in crate::session) fn declares_access(claims: &Document) -> bool {
    claims.members().any(|(name, value)| (is_kind_claim(name) || spells(name, "type")) && is_access_kind(value))
}

fn is_kind_claim(name: &str) -> bool {
    KIND_CLAIMS.iter().any(|claim| spells(name, claim))
}

/// Whether `text` is `word`, in any letter case and with `-` and `_` anywhere.
fn spells(text: &str, word: &str) -> bool {
    let letters = text.bytes().filter(|byte| !matches!(byte, b'-' | b'_'));
    letters.map(|byte| byte.to_ascii_lowercase()).eq(word.bytes())
}

/// Whether one of `words` is in `text`, whose words end at what is no letter or digit, and before a capital behind a small
/// letter.
fn has_word(text: &str, words: &[&str]) -> bool {
    let mut spaced = String::new();
    for letter in text.chars() {
        if letter.is_uppercase() && spaced.ends_with(char::is_lowercase) {
            spaced.push(' ');
        }
        spaced.push(letter);
    }
    spaced.to_lowercase().split(|letter: char| !letter.is_alphanumeric()).any(|word| words.contains(&word))
}
