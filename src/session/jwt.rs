//! The `jwt` check: a JSON Web Token (RFC 7519, 8725) that the customer's back end signed, verified here.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::claims::{Demands, is_kind, is_other_kind, numeric_date};
use super::document::DocumentError;
use super::key_set::KeySet;
use super::{CheckError, Denial, Document, Pointer, PresentedCredential, Session, VerificationKey, keys};
use crate::ticket::UnixTime;

/// What a rule demands of a token.
pub struct JwtSettings {
    /// What verifies the signature.
    pub keys: Keys,
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

/// The keys of a rule.
pub enum Keys {
    /// One, from the configuration.
    One(VerificationKey),
    /// Those of an issuer.
    Set(Arc<KeySet>),
}

/// Verifies tokens by one rule's settings.
pub struct JwtCheck(JwtSettings);

impl JwtCheck {
    /// A check by these settings.
    pub fn new(settings: JwtSettings) -> Self {
        Self(settings)
    }

    /// Verifies `credential` as a token.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub async fn check(&self, credential: &PresentedCredential, now: UnixTime) -> Result<Session, CheckError> {
        let token = UnverifiedToken::parse(credential.as_str())?;
        match &self.0.keys {
            Keys::One(key) => token.verify(key)?,
            Keys::Set(keys) => keys.verify(&token).await?,
        }
        let claims = token.claims()?;
        let ends_at = self.judge(&claims, now)?;
        Ok(Session { subject: claims.subject(&self.0.user)?, ends_at: Some(ends_at), document: claims })
    }

    /// The key set that must be kept fresh, if there is one.
    pub fn key_set(&self) -> Option<&Arc<KeySet>> {
        match &self.0.keys {
            Keys::One(_) => None,
            Keys::Set(keys) => Some(keys),
        }
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
        let demands = Demands {
            issuer: settings.issuer.as_deref(),
            audience: &settings.audience,
            parties: ("azp", &settings.authorized_parties),
            require: &settings.require,
        };
        demands.hold(claims).map(|()| expires_at)
    }
}

/// A token taken apart, its signature not yet verified.
pub(super) struct UnverifiedToken<'a> {
    algorithm: jsonwebtoken::Algorithm,
    header: Document,
    /// Header and claims as they were signed.
    message: &'a str,
    claims: &'a str,
    signature: &'a str,
}

impl<'a> UnverifiedToken<'a> {
    /// Takes a token apart; `jku`, `x5u`, `x5c` and `jwk` are never looked at.
    fn parse(token: &'a str) -> Result<Self, Denial> {
        let (message, signature) = token.rsplit_once('.').ok_or(Denial::MalformedToken)?;
        let (header, claims) = message.split_once('.').ok_or(Denial::MalformedToken)?;
        let header = decode(header)?;
        let algorithm = header.get("alg").and_then(Value::as_str).and_then(keys::named).ok_or(Denial::Algorithm)?;
        if header.get("crit").is_some() {
            return Err(Denial::CriticalHeader);
        }
        Ok(Self { algorithm, header, message, claims, signature })
    }

    /// Verifies the signature with the one key that there is.
    fn verify(&self, key: &VerificationKey) -> Result<(), Denial> {
        match (self.fits(key), self.is_signed_by(key)) {
            (false, _) => Err(Denial::Algorithm),
            (true, false) => Err(Denial::Signature),
            (true, true) => Ok(()),
        }
    }

    /// The name of the key, as the token gives it.
    pub(super) fn kid(&self) -> Option<&str> {
        self.header.get("kid").and_then(Value::as_str)
    }

    /// Whether the rule lets this key verify the token's algorithm.
    pub(super) fn fits(&self, key: &VerificationKey) -> bool {
        key.admits(self.algorithm)
    }

    /// Whether this key signed the token.
    pub(super) fn is_signed_by(&self, key: &VerificationKey) -> bool {
        key.verifies(self.algorithm, self.message.as_bytes(), self.signature)
    }

    /// The claims, once the signature is verified, of a token that is one for access.
    fn claims(&self) -> Result<Document, Denial> {
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
    let typ = match (header.get("typ"), header.lower_case("typ")) {
        (None, _) => "jwt".to_owned(),
        (Some(_), Some(typ)) => typ,
        (Some(_), None) => return false,
    };
    let declared = match typ.strip_prefix("application/").unwrap_or(&typ) {
        "at+jwt" => true, // RFC 9068
        "jwt" => false,
        _ => return false,
    };
    // Claims that OpenID Connect puts into ID tokens; older Keycloaks put `nonce` into access tokens as well.
    let looks_like_id_token = ["nonce", "at_hash", "c_hash"].into_iter().any(|name| claims.get(name).is_some());
    !is_other_kind(claims) && (declared || is_kind(claims, &["bearer", "access"]) || !looks_like_id_token)
}
