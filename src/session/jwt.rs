//! The `jwt` check: a JSON Web Token (RFC 7519, 8725) that the customer's back end signed, verified here.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::document::DocumentError;
use super::{Denial, Document, Pointer, PresentedCredential, Session, VerificationKey, keys};
use crate::ticket::UnixTime;

/// What a rule demands of a token.
#[derive(Debug)]
pub struct JwtSettings {
    /// What verifies the signature.
    pub key: VerificationKey,
    /// The `iss` that the token must name.
    pub issuer: Option<String>,
    /// One of these must be in the token's `aud`; empty: any or none.
    pub audience: Vec<String>,
    /// The token's `azp` must be one of these; empty: any or none.
    pub authorized_parties: Vec<String>,
    /// How far the clocks may differ, in seconds.
    pub leeway: u64,
    /// How far away `exp` may be, in seconds.
    pub max_lifetime: u64,
    /// Where the user is in the claims.
    pub user: Pointer,
    /// Claims that must have these values.
    pub require: Vec<(Pointer, Value)>,
}

/// Verifies tokens by one rule's settings.
#[derive(Debug)]
pub struct JwtCheck(JwtSettings);

impl JwtCheck {
    /// A check by these settings.
    #[must_use]
    pub fn new(settings: JwtSettings) -> Self {
        Self(settings)
    }

    /// Verifies `credential` as a token.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub fn check(&self, credential: &PresentedCredential, now: UnixTime) -> Result<Session, Denial> {
        let token = UnverifiedToken::parse(credential.as_str())?;
        let claims = token.verify(&self.0.key)?;
        let ends_at = self.judge(&claims, now)?;
        Ok(Session { subject: claims.subject(&self.0.user)?, ends_at: Some(ends_at), document: claims })
    }

    /// Holds verified claims against the settings; returns when the token expires.
    fn judge(&self, claims: &Document, now: UnixTime) -> Result<UnixTime, Denial> {
        let settings = &self.0;
        let expires_at = claims.get("exp").and_then(numeric_date).ok_or(Denial::NoExpiry)?;
        if now >= expires_at.plus(settings.leeway) {
            return Err(Denial::Expired);
        }
        if expires_at.since(now) > settings.max_lifetime {
            return Err(Denial::TooLongLived);
        }
        let has_come = |time: &Value| numeric_date(time).is_some_and(|time| time <= now.plus(settings.leeway));
        if !["nbf", "iat"].into_iter().filter_map(|name| claims.get(name)).all(has_come) {
            return Err(Denial::NotYetValid);
        }
        let named = |name: &str, allowed: &[String]| claims.get(name).is_some_and(|value| names_one_of(value, allowed));
        if settings.issuer.as_ref().is_some_and(|issuer| claims.get("iss").and_then(Value::as_str) != Some(issuer)) {
            return Err(Denial::Issuer);
        }
        if !settings.audience.is_empty() && !named("aud", &settings.audience) {
            return Err(Denial::Audience);
        }
        if !settings.authorized_parties.is_empty() && !named("azp", &settings.authorized_parties) {
            return Err(Denial::AuthorizedParty);
        }
        if !claims.meets(&settings.require) {
            return Err(Denial::Requirement);
        }
        Ok(expires_at)
    }
}

/// A token taken apart, its signature not yet verified.
struct UnverifiedToken<'a> {
    algorithm: jsonwebtoken::Algorithm,
    header: Document,
    /// Header and claims as they were signed.
    message: &'a str,
    claims: &'a str,
    signature: &'a str,
}

impl<'a> UnverifiedToken<'a> {
    fn parse(token: &'a str) -> Result<Self, Denial> {
        let (message, signature) = token.rsplit_once('.').ok_or(Denial::MalformedToken)?;
        let (header, claims) = message.split_once('.').ok_or(Denial::MalformedToken)?;
        let header = decode(header)?;
        let algorithm = header.get("alg").and_then(Value::as_str).and_then(keys::named).ok_or(Denial::Algorithm)?;
        Ok(Self { algorithm, header, message, claims, signature })
    }

    /// Verifies the signature, then the kind of token; `jku`, `x5u`, `x5c` and `jwk` are never looked at.
    fn verify(&self, key: &VerificationKey) -> Result<Document, Denial> {
        if !key.admits(self.algorithm) {
            return Err(Denial::Algorithm);
        }
        if self.header.get("crit").is_some() {
            return Err(Denial::CriticalHeader);
        }
        if !key.verifies(self.algorithm, self.message, self.signature) {
            return Err(Denial::Signature);
        }
        let claims = decode(self.claims)?;
        if is_for_access(&self.header, &claims) { Ok(claims) } else { Err(Denial::TokenType) }
    }
}

/// base64url of a JSON object → the object.
fn decode(part: &str) -> Result<Document, Denial> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| Denial::MalformedToken)?;
    Document::parse(&json).map_err(|error| match error {
        DocumentError::NotAnObject => Denial::MalformedToken,
        DocumentError::DuplicateName => Denial::DuplicateName,
    })
}

/// Whether a token is one for access: neither by its header nor by its claims a refresh, ID or logout token.
fn is_for_access(header: &Document, claims: &Document) -> bool {
    let text =
        |document: &Document, name: &str| document.get(name).map(|value| value.as_str().map(str::to_ascii_lowercase));
    let declared = match text(header, "typ") {
        None => false,
        Some(Some(typ)) => match typ.strip_prefix("application/").unwrap_or(&typ) {
            "at+jwt" => true, // RFC 9068
            "jwt" => false,
            _ => return false,
        },
        Some(None) => return false,
    };
    // How Keycloak (`typ`), Cognito (`token_use`), simplejwt (`token_type`) and flask-jwt-extended (`type`) tell kinds apart.
    let kinds = ["typ", "token_use", "token_type", "type"].map(|name| text(claims, name).flatten());
    let is = |kinds_of: &[&str]| kinds.iter().flatten().any(|kind| kinds_of.contains(&kind.as_str()));
    if is(&["refresh", "offline", "id", "logout"]) {
        return false;
    }
    // Claims that OpenID Connect puts into ID tokens; older Keycloaks put `nonce` into access tokens as well.
    let looks_like_id_token = ["nonce", "at_hash", "c_hash"].into_iter().any(|name| claims.get(name).is_some());
    declared || is(&["bearer", "access"]) || !looks_like_id_token
}

/// A `NumericDate`: seconds since the epoch, a fraction cut off.
fn numeric_date(value: &Value) -> Option<UnixTime> {
    let whole = value.as_u64();
    let fraction = || std::time::Duration::try_from_secs_f64(value.as_f64()?).ok().map(|time| time.as_secs());
    whole.or_else(fraction).map(UnixTime::from_secs)
}

/// Whether `value` is, or lists, one of `allowed`.
fn names_one_of(value: &Value, allowed: &[String]) -> bool {
    let is_allowed = |value: &Value| value.as_str().is_some_and(|text| allowed.iter().any(|allowed| allowed == text));
    match value {
        Value::Array(values) => values.iter().any(is_allowed),
        value => is_allowed(value),
    }
}
