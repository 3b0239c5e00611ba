//! Why a check did not recognise a session. The log has the reason, the caller has not.

use super::flights::ShareTaken;
use crate::client;

/// Why there is no session.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CheckError {
    /// We found out, and the answer is no.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// We could not find out.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Why a rule yields no session to a caller.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// The check did not recognise one.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// It was not asked.
    #[error(transparent)]
    ShareTaken(#[from] ShareTaken),
}

/// Why we could not find out. Never the caller's fault, and no reason to log anybody out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each is")]
pub enum Fault {
    #[error("max_in_flight checks of this rule are under way already")]
    Busy,
    #[error(transparent)]
    Client(client::Error),
    #[error("answers with a user although no credential was sent")]
    AnswersWithoutCredential,
    #[error("says that a made-up token is active")]
    AcceptsMadeUpToken,
    #[error("the back end's answer is not a JSON object")]
    NotJson,
    /// A `require` of the rule is not met: the back end failed in an answer of status 200.
    #[error("the back end's answer does not meet a require of the rule")]
    Requirement,
    #[error("the session's end that the back end names is not a time in Unix seconds")]
    Expiry,
    #[error("the introspection answer's nbf is not a time in Unix seconds")]
    NotBefore,
    #[error("the introspection answer has no active that is true or false")]
    NoActive,
    #[error("the session's value in Redis is longer than {0} bytes")]
    LongValue(usize),
    #[error("no usable key set: {0}")]
    NoKeySet(String),
}

impl From<client::Error> for Fault {
    fn from(error: client::Error) -> Self {
        match error {
            client::Error::Busy => Self::Busy,
            other => Self::Client(other),
        }
    }
}

impl From<client::Error> for CheckError {
    fn from(error: client::Error) -> Self {
        Self::Fault(error.into())
    }
}

/// Makes [`Denial`] of a table: for each step of from → unwrap → check → user, the reasons why it refuses.
macro_rules! denials {
    ($($step:literal { $($denial:ident = $message:literal,)* })*) => {
        /// The reasons to refuse a credential. None of them quotes it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
        #[expect(missing_docs, reason = "the messages say what each is")]
        pub enum Denial {
            $($(#[error($message)] $denial,)*)*
        }

        impl Denial {
            /// The step that refused, as the log names it.
            pub const fn step(self) -> &'static str {
                match self { $($(Self::$denial)|* => $step,)* }
            }
        }
    };
}

denials! {
    "from" {
        Ambiguous = "the credential is there twice, with different values",
        Oversized = "the credential is longer than 8 KiB",
        NotText = "the credential is not printable ASCII",
        NotACookie = "the cookie's value holds a space, a quote, a comma or a backslash, which none may (RFC 6265, 4.1.1)",
    }
    "unwrap" {
        Wrapping = "the credential is not wrapped as the rule's unwrap says",
        CookieSignature = "the cookie's signature does not verify",
    }
    "check" {
        SessionId = "the session id is not 16 to 512 characters of A-Z, a-z, 0-9, _ . ~ -",
        UnknownSession = "there is no such session in Redis",
        AboutToExpire = "the session has less than min_ttl left",
        WrongValue = "the session's value is not what the rule's decode says",
        Disabled = "the key of deny_if_exists exists",
        BackendDenied = "the back end denies the session",
        Inactive = "the token is not active",
        UnknownKey = "no key of the key set fits the token's kid and alg",
        MalformedToken = "not a JSON Web Token in compact form",
        // The same name twice in one object: readers differ in which one counts.
        DuplicateName = "the token has a duplicate name",
        Algorithm = "the token's alg is not one of the rule's algs",
        // A `crit` header: something we do not know must be understood.
        CriticalHeader = "the token has a crit header",
        TokenType = "the token is of a type that is not for access",
        // A `cnf` claim: it is worth nothing without a proof, which is not read here.
        BoundToken = "the token is bound to a key (cnf), and nothing proves that the caller has it",
        Signature = "the token's signature does not verify",
        NoExpiry = "the token has no exp",
        Expired = "the session has expired",
        TooLongLived = "the token's exp is further away than max_lifetime (are they milliseconds?)",
        NotYetValid = "the token's nbf or iat is not a time that has come",
        Issuer = "the token's iss is not the rule's issuer",
        Audience = "the token's aud is not in the rule's audience",
        AuthorizedParty = "the token's azp (or client_id) is not in the rule's authorized_parties",
        Requirement = "a require of the rule is not met",
    }
    "user" {
        NoUser = "there is no user where the rule's user points to",
        UserType = "the user is neither text nor a whole number",
        DeniedSubject = "the subject is in the rule's deny_users",
    }
}
