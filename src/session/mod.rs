//! Who is calling: recognises the login session that the customer's own back end issued.
//!
//! Each [`Rule`] is one way: *from* where the credential comes, which *check* it must pass, and which *user* that
//! yields. The kinds of check are a closed set, one file each: [`JwtCheck`], [`HttpCheck`], [`RedisCheck`],
//! [`IntrospectCheck`]. No check knows HTTP's server side or an app's policy. A refusal is a [`Denial`]; whatever keeps us
//! from finding out is a [`Fault`].

mod answer_cache;
mod cookie_encoding;
mod credential;
mod document;
mod error;
mod flights;
mod http;
mod instrumented;
mod introspect;
mod jwt;
mod redis;
mod rule;
#[expect(clippy::module_inception, reason = "a session is what this module yields")]
mod session;

pub use answer_cache::AnswerCache;
pub use cookie_encoding::CookieEncoding;
pub use credential::{CredentialSource, PresentedCredential};
pub use document::{Conditions, Document, Pointer};
pub use error::{CheckError, Denial, Fault, RuleError};
pub use flights::{QuestionKey, ShareTaken};
pub use http::{HttpCheck, HttpCheckSettings};
pub use instrumented::{InstrumentedRule, RuleHealth};
pub use introspect::{IntrospectCheck, IntrospectSettings};
pub use jwt::claims::ClaimRequirements;
pub use jwt::key_set::{KeySet, KeySetSettings, KeySource};
pub use jwt::keys::{VerificationKey, parse_algorithms};
pub use jwt::{JwtCheck, JwtSettings, Keys};
pub use redis::{Decode, KeyTemplate, RedisCheck, RedisCheckSettings};
pub use rule::{Check, CheckSettings, Rule, RuleSettings};
pub use session::Session;
