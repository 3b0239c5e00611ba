//! Why a check did not recognise a session. The log is told the reason, the caller is not.

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// We found out, and the answer is no.
    #[error(transparent)]
    Denied(#[from] Denial),
}

/// The step of from → unwrap → check → user that refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Taking the credential out of the request.
    From,
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
            Self::MalformedToken
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
