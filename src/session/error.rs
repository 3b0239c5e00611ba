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
    pub const fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Denied(_) => None,
            Self::Fault(fault) => Some(fault),
        }
    }
}

/// Why we could not find out. Never the caller's fault, and no reason to log anybody out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each is")]
pub enum Fault {
    #[error("max_in_flight checks of this rule are under way already")]
    Busy,
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("{0}")]
    Transport(String),
    #[error("the back end answered with status {0}")]
    Status(u16),
    #[error("the back end's answer is longer than {0} bytes")]
    TooLarge(usize),
    #[error("the back end's answer is not a JSON object")]
    NotJson,
    /// A `require` of the rule is not met: the back end failed in an answer of status 200.
    #[error("the back end's answer does not meet a require of the rule")]
    Requirement,
    #[error("the session's end that the back end names is not a time in Unix seconds")]
    Expiry,
    #[error("the introspection answer has no active that is true or false")]
    NoActive,
    #[error("Redis: {0}")]
    Redis(String),
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
#[expect(missing_docs, reason = "the messages say what each is")]
pub enum Denial {
    #[error("the credential is there twice, with different values")]
    Ambiguous,
    #[error("the credential is longer than 8 KiB")]
    Oversized,
    #[error("the credential is not printable ASCII")]
    NotText,
    #[error("the credential is not wrapped as the rule's unwrap says")]
    Wrapping,
    #[error("the cookie's signature does not verify")]
    CookieSignature,
    #[error("the session id is not 16 to 512 characters of A-Z, a-z, 0-9, _ . ~ -")]
    SessionId,
    #[error("there is no such session in Redis")]
    UnknownSession,
    #[error("the session has less than min_ttl left")]
    AboutToExpire,
    #[error("the session's value is not what the rule's decode says")]
    WrongValue,
    #[error("the key of deny_if_exists exists")]
    Disabled,
    #[error("the back end denies the session")]
    BackendDenied,
    #[error("the token is not active")]
    Inactive,
    #[error("no key of the key set fits the token's kid and alg")]
    UnknownKey,
    #[error("not a JSON Web Token in compact form")]
    MalformedToken,
    /// The same name twice in one object: readers differ in which one counts.
    #[error("a name stands twice in the token")]
    DuplicateName,
    #[error("the token's alg is not one of the rule's algs")]
    Algorithm,
    /// A `crit` header: something we do not know must be understood.
    #[error("the token has a crit header")]
    CriticalHeader,
    #[error("the token is of a type that is not for access")]
    TokenType,
    #[error("the token's signature does not verify")]
    Signature,
    #[error("the token has no exp")]
    NoExpiry,
    #[error("the session has expired")]
    Expired,
    #[error("the token's exp is further away than max_lifetime (are they milliseconds?)")]
    TooLongLived,
    #[error("the token's nbf or iat is not a time that has come")]
    NotYetValid,
    #[error("the token's iss is not the rule's issuer")]
    Issuer,
    #[error("the token's aud is not in the rule's audience")]
    Audience,
    #[error("the token's azp (or client_id) is not in the rule's authorized_parties")]
    AuthorizedParty,
    #[error("a require of the rule is not met")]
    Requirement,
    #[error("there is no user where the rule's user points to")]
    NoUser,
    #[error("the user is neither text nor a whole number")]
    UserType,
    #[error("the subject is in the rule's deny_users")]
    DeniedSubject,
}

impl Denial {
    /// The step that refused.
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
