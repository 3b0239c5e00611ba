//! Errors as a caller sees them: RFC 9457 problems with a stable code.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;

use super::middleware::request_id::RequestId;
use crate::issue::{Refusal, Refused};
use crate::limit::RateLimited;
use crate::session::{CheckError, RuleError};
use crate::ticket::{SdkAppId, UserId};

/// Makes [`Code`] of a table: its text, its HTTP status, and one line for people, the same for every problem of this code.
macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $text:literal, $status:ident, $title:literal;)*) => {
        /// The code of a problem: what a program decides by. Each has one HTTP status.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code {
            $($(#[$doc])* $code,)*
        }

        impl Code {
            /// All codes, each at the place of its discriminant.
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            /// The code as callers, logs and metrics show it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$code => $text,)* }
            }

            /// The HTTP status that goes with the code.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$code => StatusCode::$status,)* }
            }

            const fn title(self) -> &'static str {
                match self { $(Self::$code => $title,)* }
            }
        }
    };
}

codes! {
    /// A malformed body or query.
    InvalidRequest = "invalid_request", BAD_REQUEST, "The request is malformed";
    /// No such path.
    NotFound = "not_found", NOT_FOUND, "There is nothing at this path";
    /// A method that the path does not take.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "This path does not take this method";
    /// A body slower than 5 s.
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, "The request took too long to arrive";
    /// A body over 16 KiB.
    PayloadTooLarge = "payload_too_large", PAYLOAD_TOO_LARGE, "The request body is too large";
    /// A body that is not declared as JSON.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The request body is not JSON";
    /// No rule's credential is present.
    MissingCredential = "missing_credential", UNAUTHORIZED, "There is no login session in this request";
    /// A credential that is not that of a session, or no longer.
    InvalidSession = "invalid_session", UNAUTHORIZED, "The login session is not valid";
    /// A `userId` that is not the session's user.
    UserMismatch = "user_mismatch", FORBIDDEN, "The session belongs to another user";
    /// An administrator or a denied user.
    UserNotPermitted = "user_not_permitted", FORBIDDEN, "No tickets are issued to this user";
    /// A cookie from a page that may not use it.
    OriginDenied = "origin_denied", FORBIDDEN, "This page may not use the cookie";
    /// A room or privileges outside the policy.
    RoomNotPermitted = "room_not_permitted", FORBIDDEN, "This room or privilege is not permitted";
    /// An app that is not configured.
    UnknownApp = "unknown_app", NOT_FOUND, "This SDKAppID is not served here";
    /// A subject that cannot be a user id.
    UnusableUserId = "unusable_user_id", UNPROCESSABLE_ENTITY, "The session's user cannot be a user of Chat";
    /// A user, or an address with failed credentials, that has asked too often.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "Too many requests";
    /// Our fault.
    InternalError = "internal_error", INTERNAL_SERVER_ERROR, "Something went wrong on our side";
    /// The back end behind the check failed or was too slow.
    SessionCheckUnavailable = "session_check_unavailable", SERVICE_UNAVAILABLE,
        "The login session cannot be checked at the moment";
}

/// Seconds after which a failed check may be tried again: back ends recover in about that.
const RETRY_AFTER_FAULT: u32 = 1;

/// Why a request is not answered with what it asks for. Handlers return it; the middleware answers and logs it.
#[derive(Debug)]
pub(crate) struct Problem {
    /// What a program decides by.
    pub(crate) code: Code,
    /// What a person reads: what to change, never a secret.
    pub(crate) detail: Cow<'static, str>,
    /// The header that goes with it.
    pub(crate) header: Option<ProblemHeader>,
    /// What the log holds beyond the code.
    pub(crate) cause: Option<Box<str>>,
    /// The step of the session check that refused.
    pub(crate) step: Option<&'static str>,
    /// Whose request it was.
    pub(crate) context: Context,
}

/// A header that goes with some problems.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ProblemHeader {
    /// Which methods the path takes, for a 405.
    Allow(&'static str),
    /// After how many seconds another try makes sense.
    RetryAfter(u32),
}

/// Whose request a problem is about, as far as that was known; for the log.
#[derive(Debug, Clone, Default)]
pub(crate) struct Context {
    /// The app asked for.
    pub(crate) app: Option<SdkAppId>,
    /// The rule whose credential was present.
    pub(crate) rule: Option<Arc<str>>,
    /// Whom the session names: the user, or else the subject.
    pub(crate) user: Option<Box<str>>,
}

impl Problem {
    /// A problem with a sentence for the person who made the request.
    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), header: None, cause: None, step: None, context: Context::default() }
    }

    /// A malformed request.
    pub(crate) fn invalid_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidRequest, detail)
    }

    /// A path that takes only the methods in `allow`.
    pub(crate) fn method_not_allowed(allow: &'static str) -> Self {
        Self {
            header: Some(ProblemHeader::Allow(allow)),
            ..Self::new(Code::MethodNotAllowed, format!("this path takes {allow}"))
        }
    }

    /// The same problem, found after it was known whose request it is.
    pub(crate) fn within(self, context: Context) -> Self {
        let user = self.context.user.or(context.user);
        Self { context: Context { user, ..context }, ..self }
    }

    /// The same problem of a user who was recognised.
    pub(crate) fn of(mut self, user: &UserId) -> Self {
        self.context.user = Some(user.as_str().into());
        self
    }

    /// The response to the request with this id.
    pub(crate) fn response(&self, request_id: &RequestId) -> HttpResponse {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            r#type: &'static str,
            title: &'static str,
            status: u16,
            detail: &'a str,
            code: &'static str,
            request_id: &'a str,
        }
        let status = self.code.status();
        let mut response = HttpResponse::build(status);
        response.content_type(HeaderValue::from_static("application/problem+json"));
        match self.header {
            Some(ProblemHeader::Allow(methods)) => drop(response.insert_header((header::ALLOW, methods))),
            Some(ProblemHeader::RetryAfter(seconds)) => drop(response.insert_header((header::RETRY_AFTER, seconds))),
            None => {}
        }
        if status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, r#"Bearer realm="usersig""#));
        }
        response.json(Body {
            r#type: "about:blank",
            title: self.code.title(),
            status: status.as_u16(),
            detail: &self.detail,
            code: self.code.as_str(),
            request_id: request_id.as_str(),
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    /// An empty response: the middleware, which knows the request's id, takes the problem out of it and writes the body.
    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.code.status())
    }
}

impl From<RuleError> for Problem {
    fn from(error: RuleError) -> Self {
        match error {
            RuleError::Check(error) => error.into(),
            RuleError::ShareTaken(taken) => {
                let limited = Self::from(RateLimited { retry_after: RETRY_AFTER_FAULT });
                Self { cause: Some(taken.to_string().into()), ..limited }
            }
        }
    }
}

impl From<CheckError> for Problem {
    fn from(error: CheckError) -> Self {
        let cause = Some(error.to_string().into());
        match error {
            // The caller does not learn which check failed: that would help somebody who is guessing.
            CheckError::Denied(denial) => Self {
                cause,
                step: Some(denial.step()),
                ..Self::new(
                    Code::InvalidSession,
                    "sign in again; the operator finds the cause in the log by the requestId",
                )
            },
            CheckError::Fault(_) => Self {
                cause,
                step: Some("check"),
                header: Some(ProblemHeader::RetryAfter(RETRY_AFTER_FAULT)),
                ..Self::new(
                    Code::SessionCheckUnavailable,
                    "the session is neither valid nor invalid; try again shortly",
                )
            },
        }
    }
}

impl From<RateLimited> for Problem {
    fn from(limited: RateLimited) -> Self {
        let seconds = limited.retry_after;
        Self {
            header: Some(ProblemHeader::RetryAfter(seconds)),
            ..Self::new(Code::RateLimited, format!("try again in {seconds} s"))
        }
    }
}

impl From<Refused> for Problem {
    fn from(Refused { reason, user }: Refused) -> Self {
        let problem = Self::from(reason);
        Self { context: Context { user: Some(user.into()), ..problem.context }, ..problem }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (code, step) = match refusal {
            Refusal::SessionTooShort => (Code::InvalidSession, Some("check")),
            Refusal::UnusableUserId(_) => (Code::UnusableUserId, Some("user")),
            Refusal::UserNotPermitted | Refusal::RequirementUnmet => (Code::UserNotPermitted, Some("user")),
            Refusal::UserMismatch => (Code::UserMismatch, Some("user")),
            // The session and its user are recognised.
            Refusal::RoomNotPermitted(_) => (Code::RoomNotPermitted, None),
        };
        Self { cause: Some(refusal.to_string().into()), step, ..Self::new(code, refusal.to_string()) }
    }
}
