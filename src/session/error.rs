//! Why a check did not recognise a session. The log is told the reason, the caller is not.

use std::time::Duration;

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// We found out, and the answer is no.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// We could not find out.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl CheckError {
    /// Why we could not find out, if that is what it is.
    #[must_use]
    pub const fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Denied(_) => None,
            Self::Fault(fault) => Some(fault),
        }
    }
}

/// Why we could not find out. Never the caller's fault, and no reason to log anybody out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// As many checks of the rule are under way as it allows.
    #[error("max_in_flight checks of this rule are under way already")]
    Busy,
    /// No answer within the rule's timeout.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The back end could not be reached, or the connection broke.
    #[error("{0}")]
    Transport(String),
    /// A status that says neither who it is nor that it is no one.
    #[error("the back end answered with status {0}")]
    Status(u16),
    /// An answer of more bytes than an answer has.
    #[error("the back end's answer is longer than {0} bytes")]
    TooLarge(usize),
    /// An answer that is no JSON object, or holds a name twice.
    #[error("the back end's answer is not a JSON object")]
    NotJson,
    /// A `require` of the rule is not met: the back end failed in an answer of status 200.
    #[error("the back end's answer does not meet a require of the rule")]
    Requirement,
    /// `expires` leads to something that is no time in Unix seconds.
    #[error("the back end's expires is not a time in Unix seconds")]
    Expiry,
    /// The introspection endpoint's answer has no `active` that is true or false.
    #[error("the introspection answer has no active that is true or false")]
    NoActive,
    /// Redis refused, or is not ready.
    #[error("Redis: {0}")]
    Redis(String),
    /// There is no key set that could tell.
    #[error("no usable key set: {0}")]
    NoKeySet(String),
}

/// The step of from → unwrap → check → user that refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Taking the credential out of the request.
    From,
    /// Taking what it wraps out of it.
    Unwrap,
    /// Verifying it.
    Check,
    /// Reading the user from what the check returned.
    User,
}

impl Step {
    /// The step's name in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::From => "from",
            Self::Unwrap => "unwrap",
            Self::Check => "check",
            Self::User => "user",
        }
    }
}

/// The reasons to refuse a credential. None of them quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// Two different values of one credential.
    #[error("the credential is there twice, with different values")]
    Ambiguous,
    /// Longer than any credential.
    #[error("the credential is longer than 8 KiB")]
    Oversized,
    /// Control characters or bytes outside ASCII.
    #[error("the credential is not printable ASCII")]
    NotText,
    /// Not what the rule's `unwrap` expects.
    #[error("the credential is not wrapped as the rule's unwrap says")]
    Wrapping,
    /// A cookie whose signature none of the rule's secrets made.
    #[error("the cookie's signature does not verify")]
    CookieSignature,
    /// A session id that no framework makes, and that could name another key.
    #[error("the session id is not 16 to 512 characters of A-Z, a-z, 0-9, _ . ~ -")]
    SessionId,
    /// Redis has no such session.
    #[error("there is no such session in Redis")]
    UnknownSession,
    /// The session's key is about to go.
    #[error("the session has less than min_ttl left")]
    AboutToExpire,
    /// The value in Redis is not of the rule's `decode`.
    #[error("the session's value is not what the rule's decode says")]
    WrongValue,
    /// The key of the rule's `deny_if_exists` is there.
    #[error("the key of deny_if_exists exists")]
    Disabled,
    /// The back end says no.
    #[error("the back end denies the session")]
    BackendDenied,
    /// The introspection endpoint says that the token is not active.
    #[error("the token is not active")]
    Inactive,
    /// `client_id` is missing or another.
    #[error("the token's client_id is not in the rule's authorized_parties")]
    ClientId,
    /// No key of the set is the token's.
    #[error("no key of the key set fits the token's kid and alg")]
    UnknownKey,
    /// Not three parts of base64url with JSON objects in the first two.
    #[error("not a JSON Web Token in compact form")]
    MalformedToken,
    /// The same name twice in one object: readers differ in which one counts.
    #[error("a name stands twice in the token")]
    DuplicateName,
    /// An `alg` that the rule does not list.
    #[error("the token's alg is not one of the rule's algs")]
    Algorithm,
    /// A `crit` header: something we do not know must be understood.
    #[error("the token has a crit header")]
    CriticalHeader,
    /// A refresh token, an ID token or another kind that is no access token.
    #[error("the token is of a type that is not for access")]
    TokenType,
    /// A signature by another key, or none.
    #[error("the token's signature does not verify")]
    Signature,
    /// No `exp`, or one that is not a time.
    #[error("the token has no exp")]
    NoExpiry,
    /// `exp` is past.
    #[error("the session has expired")]
    Expired,
    /// `exp` is further away than the rule's `max_lifetime`.
    #[error("the token's exp is further away than max_lifetime (are they milliseconds?)")]
    TooLongLived,
    /// `nbf` or `iat` is in the future or no time.
    #[error("the token's nbf or iat is not a time that has come")]
    NotYetValid,
    /// `iss` is missing or another.
    #[error("the token's iss is not the rule's issuer")]
    Issuer,
    /// `aud` is missing or names others.
    #[error("the token's aud is not in the rule's audience")]
    Audience,
    /// `azp` is missing or another.
    #[error("the token's azp is not in the rule's authorized_parties")]
    AuthorizedParty,
    /// A `require` of the rule is not met.
    #[error("a require of the rule is not met")]
    Requirement,
    /// The user pointer leads to nothing, null or empty text.
    #[error("there is no user where the rule's user points to")]
    NoUser,
    /// The user pointer leads to neither text nor an exact integer.
    #[error("the user is neither text nor a whole number")]
    UserType,
    /// The subject is one of the rule's `deny_users`.
    #[error("the subject is in the rule's deny_users")]
    DeniedSubject,
}

impl Denial {
    /// The step that refused.
    #[must_use]
    pub const fn step(self) -> Step {
        match self {
            Self::Ambiguous | Self::Oversized | Self::NotText => Step::From,
            Self::Wrapping | Self::CookieSignature => Step::Unwrap,
            Self::SessionId
            | Self::UnknownSession
            | Self::AboutToExpire
            | Self::WrongValue
            | Self::Disabled
            | Self::BackendDenied
            | Self::Inactive
            | Self::ClientId
            | Self::UnknownKey
            | Self::MalformedToken
            | Self::DuplicateName
            | Self::Algorithm
            | Self::CriticalHeader
            | Self::TokenType
            | Self::Signature
            | Self::NoExpiry
            | Self::Expired
            | Self::TooLongLived
            | Self::NotYetValid
            | Self::Issuer
            | Self::Audience
            | Self::AuthorizedParty
            | Self::Requirement => Step::Check,
            Self::NoUser | Self::UserType | Self::DeniedSubject => Step::User,
        }
    }
}
