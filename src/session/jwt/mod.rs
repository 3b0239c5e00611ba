//! The `jwt` check: a JSON Web Token (RFC 7519, 8725) that the customer's back end signed, verified here.

pub(super) mod claims;
mod jwks;
pub(super) mod key_set;
pub(super) mod keys;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::Value;

use super::credential::PresentedCredential;
use super::document::{Document, Pointer};
use super::error::{CheckError, Denial};
use super::session::Session;
use crate::ticket::UnixTime;
use claims::{ClaimRequirements, declares_access, is_access_kind, is_token_kind, numeric_date};
use key_set::{KeySet, KeySetSettings};
use keys::VerificationKey;

/// What one rule requires of tokens, beside their signature.
#[derive(Debug, Clone, PartialEq)]
pub struct JwtSettings {
    /// What the claims must say.
    pub requirements: ClaimRequirements,
    /// How far the clocks may differ, in seconds.
    pub leeway: u64,
    /// How far away `exp` may be, in seconds.
    pub max_lifetime: u64,
    /// Where the user is in the claims.
    pub user: Pointer,
}

impl Default for JwtSettings {
    fn default() -> Self {
        let requirements = ClaimRequirements::default();
        Self { requirements, leeway: 30, max_lifetime: 400 * 86_400, user: Pointer::to("sub") }
    }
}

/// What verifies the signatures of a rule's tokens; `S` is a key set, or the settings of one.
#[derive(Debug, Clone, PartialEq)]
pub enum Keys<S> {
    /// One key, from the configuration.
    One(VerificationKey),
    /// Those of an issuer.
    Set(S),
}

/// Verifies tokens.
pub struct JwtCheck {
    pub(super) keys: Keys<Arc<KeySet>>,
    settings: JwtSettings,
}

impl JwtCheck {
    /// A check that has fetched no keys yet.
    ///
    /// # Errors
    /// As for [`KeySet::new`].
    pub fn new(keys: Keys<KeySetSettings>, settings: JwtSettings) -> Result<Self, String> {
        let keys = match keys {
            Keys::One(key) => Keys::One(key),
            Keys::Set(set) => Keys::Set(Arc::new(KeySet::new(set)?)),
        };
        Ok(Self { keys, settings })
    }

    /// Verifies `credential` as a token.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub async fn check(&self, credential: &PresentedCredential, now: UnixTime) -> Result<Session, CheckError> {
        let token = UnverifiedToken::parse(credential.as_str())?;
        match &self.keys {
            Keys::One(key) => token.verify(key)?,
            Keys::Set(keys) => keys.verify(&token).await?,
        }
        let claims = decode(token.claims)?;
        self.verify_kind(&token.header, &claims)?;
        let ends_at = self.validate(&claims, now)?;
        Ok(Session { subject: claims.subject(&self.settings.user)?, ends_at: Some(ends_at), document: claims })
    }

    /// Refuses a token that is not for access, by its header or its claims.
    fn verify_kind(&self, header: &Document, claims: &Document) -> Result<(), Denial> {
        let typ = header.get("typ");
        if !typ.is_none_or(is_token_kind) {
            return Err(Denial::TokenType);
        }
        self.settings.requirements.verify_kind(claims)?;
        // OpenID Connect puts these claims into ID tokens, older Keycloaks and Azure AD B2C into access tokens as well. A
        // token that is signed with a customer's own secret may have a nonce of any meaning.
        let has_one_of = |names: &[&str]| names.iter().any(|name| claims.get(name).is_some());
        let is_of_provider = self.settings.requirements.issuer.is_some() || matches!(self.keys, Keys::Set(_));
        let looks_like_id_token = has_one_of(&["nonce", "at_hash", "c_hash"]) && !has_one_of(&["scope", "scp"]);
        if is_of_provider && looks_like_id_token && !typ.is_some_and(is_access_kind) && !declares_access(claims) {
            return Err(Denial::TokenType);
        }
        Ok(())
    }

    /// Holds verified claims against what is demanded; returns when the token expires.
    fn validate(&self, claims: &Document, now: UnixTime) -> Result<UnixTime, Denial> {
        let expires_at = claims.get("exp").and_then(numeric_date).ok_or(Denial::NoExpiry)?;
        if now >= expires_at.plus(self.settings.leeway) {
            return Err(Denial::Expired);
        }
        if expires_at.since(now) > self.settings.max_lifetime {
            return Err(Denial::TooLongLived);
        }
        let has_come = |time: &Value| numeric_date(time).is_some_and(|time| time <= now.plus(self.settings.leeway));
        if !["nbf", "iat"].into_iter().filter_map(|name| claims.get(name)).all(has_come) {
            return Err(Denial::NotYetValid);
        }
        self.settings.requirements.verify(claims, "azp").map(|()| expires_at)
    }
}

/// A token taken apart, its signature not yet verified.
pub(in crate::session) struct UnverifiedToken<'a> {
    algorithm: Algorithm,
    header: Document,
    /// Header and claims as they were signed.
    message: &'a str,
    claims: &'a str,
    signature: &'a str,
}

impl<'a> UnverifiedToken<'a> {
    /// Takes a token apart; `jku`, `x5u`, `x5c` and `jwk` are never read.
    pub(in crate::session) fn parse(token: &'a str) -> Result<Self, Denial> {
        let (message, signature) = token.rsplit_once('.').ok_or(Denial::MalformedToken)?;
        let (header, claims) = message.split_once('.').ok_or(Denial::MalformedToken)?;
        let header = decode(header)?;
        let algorithm =
            header.get("alg").and_then(Value::as_str).and_then(|name| name.parse().ok()).ok_or(Denial::Algorithm)?;
        if header.get("crit").is_some() {
            return Err(Denial::CriticalHeader);
        }
        Ok(Self { algorithm, header, message, claims, signature })
    }

    /// Whether it may be signed with this key, by the algorithm and the name of the key that it gives.
    pub(in crate::session) fn may_be_of(&self, key: &VerificationKey) -> bool {
        let kid = self.header.get("kid").and_then(Value::as_str);
        key.admits(self.algorithm) && kid.is_none_or(|kid| key.id.as_deref() == Some(kid))
    }

    /// Verifies the signature with this key.
    pub(in crate::session) fn verify(&self, key: &VerificationKey) -> Result<(), Denial> {
        key.verify(self.algorithm, self.message.as_bytes(), self.signature)
    }
}

/// base64url of a JSON object → the object.
fn decode(part: &str) -> Result<Document, Denial> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| Denial::MalformedToken)?;
    Document::parse(&json)
}

#[cfg(test)]
mod tests;
