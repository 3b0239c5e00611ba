//! The `http` check: asks the customer's own back end who it is, the way nginx's `auth_request` does.

use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE};
use http::{Method, Request};
use url::Url;

use super::answer_cache::AnswerCache;
use super::credential::{CredentialSource, PresentedCredential};
use super::document::{Conditions, Document, Pointer};
use super::error::{CheckError, Denial, Fault};
use super::jwt::claims::ends_at;
use super::session::Session;
use crate::client::{self, HttpClient, HttpSettings};
use crate::ticket::UnixTime;

/// What is asked of which back end, and what its answers mean.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpCheckSettings {
    /// What is asked; nothing of the caller's request gets into it.
    pub url: Url,
    /// GET or POST.
    pub method: Method,
    /// Where the user is in the answer.
    pub user: Pointer,
    /// Where the session's end is, in Unix seconds.
    pub expires: Option<Pointer>,
    /// Values without which the back end has failed.
    pub require: Conditions,
    /// Values that mean "not logged in".
    pub deny: Conditions,
    /// How the back end is reached.
    pub backend: HttpSettings,
    /// How long a recognised session is remembered; zero: not at all.
    pub cache: Duration,
}

/// Asks one back end.
pub struct HttpCheck {
    settings: HttpCheckSettings,
    client: HttpClient,
    cache: AnswerCache,
}

impl HttpCheck {
    /// A check that has asked nothing yet.
    ///
    /// # Errors
    /// As for [`HttpClient::new`].
    pub fn new(settings: HttpCheckSettings) -> Result<Self, String> {
        let client = HttpClient::new(&settings.backend)?;
        Ok(Self { client, cache: AnswerCache::new(settings.cache), settings })
    }

    /// Asks who presents `credential`, sending it on as it came in from `source`.
    ///
    /// # Errors
    /// Denied on 401, 403, a `deny` value or an absent user; a fault on everything else but an answer.
    pub async fn check(
        &self,
        source: &CredentialSource,
        credential: &PresentedCredential,
        now: UnixTime,
        request_id: &str,
    ) -> Result<Session, CheckError> {
        let ask = self.ask(Some((source, credential)), request_id);
        self.cache.recognise(credential, ask, |answer| self.validate(answer, now)).await
    }

    /// How many questions may be under way at once.
    pub(super) const fn max_in_flight(&self) -> usize {
        self.settings.backend.max_in_flight
    }

    /// Whether the back end answers a request without a credential, and denies it.
    ///
    /// # Errors
    /// When it does not.
    pub async fn probe(&self) -> Result<String, Fault> {
        match self.ask(None, "probe").await.and_then(|answer| self.validate(&answer, UnixTime::from_secs(0))) {
            Err(CheckError::Denied(_)) => Ok("denies a request without a credential, as it should".to_owned()),
            Err(CheckError::Fault(fault)) => Err(fault),
            Ok(_) => Err(Fault::AnswersWithoutCredential),
        }
    }

    /// The body of a 200.
    async fn ask(
        &self,
        credential: Option<(&CredentialSource, &PresentedCredential)>,
        request_id: &str,
    ) -> Result<Vec<u8>, CheckError> {
        let request = Request::builder().method(&self.settings.method).uri(self.settings.url.as_str());
        let mut request = request.header("x-request-id", request_id);
        if let Some((source, credential)) = credential {
            let credential = credential.as_str();
            request = match source {
                CredentialSource::Cookie(name) => request.header(COOKIE, format!("{name}={credential}")),
                CredentialSource::Header(name) => request.header(name, credential),
                CredentialSource::Bearer => request.header(AUTHORIZATION, format!("Bearer {credential}")),
            };
        }
        match self.client.ask(request, "").await {
            Ok(answer) => Ok(answer),
            Err(client::Error::Status(401 | 403)) => Err(Denial::BackendDenied.into()),
            Err(error) => Err(error.into()),
        }
    }

    fn validate(&self, answer: &[u8], now: UnixTime) -> Result<Session, CheckError> {
        let HttpCheckSettings { user, expires, require, deny, .. } = &self.settings;
        let document = Document::parse(answer).map_err(|_| Fault::NotJson)?;
        if deny.any_holds(&document) {
            return Err(Denial::BackendDenied.into());
        }
        if !require.all_hold(&document) {
            return Err(Fault::Requirement.into());
        }
        let subject = document.subject(user)?;
        let ends_at = ends_at(expires.as_ref().and_then(|expires| document.at(expires)), now)?;
        Ok(Session { subject, ends_at, document })
    }
}
