//! Errors as a caller sees them: RFC 9457 problems with a stable code.

use std::borrow::Cow;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use serde::Serialize;

use crate::issue::Refusal;
use crate::limit::TooOften;
use crate::session::CheckError;

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

/// An answer that is no ticket.
pub(super) struct Problem {
    /// What a program decides by.
    pub code: Code,
    /// What a person reads: what to change, never a secret.
    pub detail: Cow<'static, str>,
    /// Which methods the path takes, for a 405.
    pub allow: Option<&'static str>,
    /// After how many seconds another try makes sense.
    pub retry_after: Option<u32>,
    /// What the log is told beyond the code.
    pub cause: Option<String>,
    /// The step of the session check that refused.
    pub step: Option<&'static str>,
}

impl Problem {
    /// A problem with a sentence for the person who made the request.
    pub(super) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), allow: None, retry_after: None, cause: None, step: None }
    }

    /// A malformed request.
    pub(super) fn invalid_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidRequest, detail)
    }

    /// A path that takes only the methods in `allow`.
    pub(super) fn method_not_allowed(allow: &'static str) -> Self {
        Self { allow: Some(allow), ..Self::new(Code::MethodNotAllowed, format!("this path takes {allow}")) }
    }

    /// The answer to the request with this id.
    pub(super) fn answer(&self, request_id: &str) -> HttpResponse {
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
        let mut answer = HttpResponse::build(status);
        answer.content_type(HeaderValue::from_static("application/problem+json"));
        if let Some(allow) = self.allow {
            answer.insert_header((header::ALLOW, allow));
        }
        if let Some(seconds) = self.retry_after {
            answer.insert_header((header::RETRY_AFTER, seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            answer.insert_header((header::WWW_AUTHENTICATE, r#"Bearer realm="usersig""#));
        }
        answer.json(Body {
            r#type: "about:blank",
            title: self.code.title(),
            status: status.as_u16(),
            detail: &self.detail,
            code: self.code.as_str(),
            request_id,
        })
    }
}

impl From<CheckError> for Problem {
    fn from(error: CheckError) -> Self {
        let cause = Some(error.to_string());
        match error {
            // The caller is not told which check failed: that would help who is guessing.
            CheckError::Denied(denial) => Self {
                cause,
                step: Some(denial.step()),
                ..Self::new(Code::InvalidSession, "sign in again; the log tells the operator why, by the requestId")
            },
            CheckError::Fault(_) => Self {
                cause,
                step: Some("check"),
                retry_after: Some(RETRY_AFTER_FAULT),
                ..Self::new(
                    Code::SessionCheckUnavailable,
                    "the session is neither valid nor invalid; try again shortly",
                )
            },
        }
    }
}

impl From<TooOften> for Problem {
    fn from(too_often: TooOften) -> Self {
        let seconds = too_often.retry_after;
        Self { retry_after: Some(seconds), ..Self::new(Code::RateLimited, format!("try again in {seconds} s")) }
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
        Self { cause: Some(refusal.to_string()), step, ..Self::new(code, refusal.to_string()) }
    }
}
