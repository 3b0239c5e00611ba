//! Errors as a caller sees them: RFC 9457 problems with a stable code.

use std::borrow::Cow;

use actix_web::http::StatusCode;
use serde::Serialize;

use crate::issue::Refusal;
use crate::limit::TooOften;
use crate::session::{CheckError, Denial, Step};

/// The code of a problem: what a program decides by. Each has one HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// A malformed body or query.
    InvalidRequest,
    /// No such path.
    NotFound,
    /// A method that the path does not take.
    MethodNotAllowed,
    /// A body slower than 5 s.
    RequestTimeout,
    /// A body over 16 KiB.
    PayloadTooLarge,
    /// A body that is not declared as JSON.
    UnsupportedMediaType,
    /// No rule's credential is present.
    MissingCredential,
    /// A credential that is not that of a session, or no longer.
    InvalidSession,
    /// A `userId` that is not the session's user.
    UserMismatch,
    /// An administrator or a denied user.
    UserNotPermitted,
    /// A cookie from a page that may not use it.
    OriginDenied,
    /// A room or privileges outside the policy.
    RoomNotPermitted,
    /// An app that is not configured.
    UnknownApp,
    /// A subject that cannot be a user id.
    UnusableUserId,
    /// A user, or an address with failed credentials, that has asked too often.
    RateLimited,
    /// Our fault.
    InternalError,
    /// The back end behind the check failed or was too slow.
    SessionCheckUnavailable,
}

impl Code {
    /// All codes, each at the place of its discriminant.
    pub const ALL: [Self; 17] = [
        Self::InvalidRequest,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::MissingCredential,
        Self::InvalidSession,
        Self::UserMismatch,
        Self::UserNotPermitted,
        Self::OriginDenied,
        Self::RoomNotPermitted,
        Self::UnknownApp,
        Self::UnusableUserId,
        Self::RateLimited,
        Self::InternalError,
        Self::SessionCheckUnavailable,
    ];

    /// The code as callers, logs and metrics show it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status that goes with the code.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.row().1
    }

    /// One line for people, the same for every problem of this code.
    const fn title(self) -> &'static str {
        self.row().2
    }

    const fn row(self) -> (&'static str, StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::InvalidRequest => ("invalid_request", S::BAD_REQUEST, "The request is malformed"),
            Self::NotFound => ("not_found", S::NOT_FOUND, "There is nothing at this path"),
            Self::MethodNotAllowed => {
                ("method_not_allowed", S::METHOD_NOT_ALLOWED, "This path does not take this method")
            }
            Self::RequestTimeout => ("request_timeout", S::REQUEST_TIMEOUT, "The request took too long to arrive"),
            Self::PayloadTooLarge => ("payload_too_large", S::PAYLOAD_TOO_LARGE, "The request body is too large"),
            Self::UnsupportedMediaType => {
                ("unsupported_media_type", S::UNSUPPORTED_MEDIA_TYPE, "The request body is not JSON")
            }
            Self::MissingCredential => {
                ("missing_credential", S::UNAUTHORIZED, "There is no login session in this request")
            }
            Self::InvalidSession => ("invalid_session", S::UNAUTHORIZED, "The login session is not valid"),
            Self::UserMismatch => ("user_mismatch", S::FORBIDDEN, "The session belongs to another user"),
            Self::UserNotPermitted => ("user_not_permitted", S::FORBIDDEN, "No tickets are issued to this user"),
            Self::OriginDenied => ("origin_denied", S::FORBIDDEN, "This page may not use the cookie"),
            Self::RoomNotPermitted => ("room_not_permitted", S::FORBIDDEN, "This room or privilege is not permitted"),
            Self::UnknownApp => ("unknown_app", S::NOT_FOUND, "This SDKAppID is not served here"),
            Self::UnusableUserId => {
                ("unusable_user_id", S::UNPROCESSABLE_ENTITY, "The session's user cannot be a user of Chat")
            }
            Self::RateLimited => ("rate_limited", S::TOO_MANY_REQUESTS, "Too many requests"),
            Self::InternalError => ("internal_error", S::INTERNAL_SERVER_ERROR, "Something went wrong on our side"),
            Self::SessionCheckUnavailable => (
                "session_check_unavailable",
                S::SERVICE_UNAVAILABLE,
                "The login session cannot be checked at the moment",
            ),
        }
    }
}

/// Seconds after which a failed check may be tried again: back ends recover in about that.
const RETRY_AFTER_FAULT: u32 = 1;

/// An answer that is no ticket.
#[derive(Debug)]
pub struct Problem {
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
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), allow: None, retry_after: None, cause: None, step: None }
    }

    /// A malformed request.
    pub fn invalid_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidRequest, detail)
    }

    /// A path that takes only the methods in `allow`.
    #[must_use]
    pub fn method_not_allowed(allow: &'static str) -> Self {
        Self { allow: Some(allow), ..Self::new(Code::MethodNotAllowed, format!("this path takes {allow}")) }
    }

    /// The body of the answer.
    pub(super) fn body(&self, request_id: &str) -> Vec<u8> {
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
        let body = Body {
            r#type: "about:blank",
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: &self.detail,
            code: self.code.as_str(),
            request_id,
        };
        serde_json::to_vec(&body).expect("text and numbers are JSON")
    }
}

impl From<CheckError> for Problem {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Denied(denial) => denial.into(),
            CheckError::Fault(fault) => Self {
                cause: Some(fault.to_string()),
                step: Some(Step::Check.as_str()),
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

impl From<Denial> for Problem {
    /// The caller is not told which check failed: that would help who is guessing.
    fn from(denial: Denial) -> Self {
        Self {
            cause: Some(denial.to_string()),
            step: Some(denial.step().as_str()),
            ..Self::new(Code::InvalidSession, "sign in again; the log tells the operator why, by the requestId")
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (code, step) = match refusal {
            Refusal::SessionTooShort => (Code::InvalidSession, Some(Step::Check)),
            Refusal::UnusableUserId(_) => (Code::UnusableUserId, Some(Step::User)),
            Refusal::UserNotPermitted => (Code::UserNotPermitted, Some(Step::User)),
            Refusal::UserMismatch => (Code::UserMismatch, Some(Step::User)),
            // The session and its user are recognised.
            Refusal::RoomNotPermitted(_) => (Code::RoomNotPermitted, None),
        };
        Self { cause: Some(refusal.to_string()), step: step.map(Step::as_str), ..Self::new(code, refusal.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn every_code_stands_at_its_place() {
        for (place, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, place, "{code:?}");
        }
    }
}
