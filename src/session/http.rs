//! The `http` check: asks the customer's own back end who it is, the way nginx's `auth_request` does.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, COOKIE};
use serde_json::Value;

use super::backend::{Backend, MAX_ANSWER};
use super::cache::AnswerCache;
use super::claims::ends_at;
use super::{
    BackendError, BackendSettings, CheckContext, CheckError, CredentialSource, Denial, Document, Fault, Pointer,
    PresentedCredential, Session,
};
use crate::ticket::UnixTime;

/// What to ask, and how to read the answer.
pub struct HttpSettings {
    /// What is asked; nothing of the caller's request gets into it.
    pub url: reqwest::Url,
    /// GET or POST.
    pub method: Method,
    /// Where the user is in the answer.
    pub user: Pointer,
    /// Where the session's end is, in Unix seconds.
    pub expires: Option<Pointer>,
    /// Values without which the back end has failed.
    pub require: Vec<(Pointer, Value)>,
    /// Values that mean "not logged in".
    pub deny: Vec<(Pointer, Value)>,
    /// How long a recognised session is remembered; zero: not at all.
    pub cache: Duration,
}

/// Asks one back end.
pub struct HttpCheck {
    settings: HttpSettings,
    backend: Backend,
    cache: AnswerCache,
}

impl HttpCheck {
    /// A check by these settings, with a back end that is reached so.
    ///
    /// # Errors
    /// When no client can be made of them.
    pub fn new(settings: HttpSettings, backend: BackendSettings) -> Result<Self, BackendError> {
        Ok(Self { backend: Backend::new(backend)?, cache: AnswerCache::new(settings.cache), settings })
    }

    /// Asks who presents `credential`, sending it on as it came in from `source`.
    ///
    /// # Errors
    /// Denied on 401, 403, a `deny` value or an absent user; a fault on everything else but an answer.
    pub async fn check(
        &self,
        source: &CredentialSource,
        credential: &PresentedCredential,
        context: &CheckContext<'_>,
    ) -> Result<Session, CheckError> {
        let ask = self.ask(Some((source, credential)), context.request_id);
        self.cache.recognise(credential, ask, |answer| self.judge(answer, context.now)).await
    }

    /// Whether the back end answers a request without a credential, and denies it.
    ///
    /// # Errors
    /// When it does not.
    pub async fn probe(&self) -> Result<String, Fault> {
        match self.ask(None, "probe").await.and_then(|answer| self.judge(&answer, UnixTime::from_secs(0))) {
            Err(CheckError::Denied(_)) => Ok("denies a request without a credential, as it should".to_owned()),
            Err(CheckError::Fault(fault)) => Err(fault),
            Ok(_) => Err(Fault::Transport("answers with a user although no credential was sent".to_owned())),
        }
    }

    /// The body of a 200.
    async fn ask(
        &self,
        credential: Option<(&CredentialSource, &PresentedCredential)>,
        request_id: &str,
    ) -> Result<Vec<u8>, CheckError> {
        let request = |client: &reqwest::Client| {
            let request = client.request(self.settings.method.clone(), self.settings.url.clone());
            let request = request.header("accept", "application/json").header("x-request-id", request_id);
            let Some((source, credential)) = credential else { return request };
            let credential = credential.as_str();
            match source {
                CredentialSource::Cookie(name) => request.header(COOKIE, format!("{name}={credential}")),
                CredentialSource::Header(name) => request.header(name, credential),
                CredentialSource::Bearer => request.header(AUTHORIZATION, format!("Bearer {credential}")),
            }
        };
        let reply = self.backend.ask(request, MAX_ANSWER).await?;
        match reply.status {
            200 => Ok(reply.body),
            401 | 403 => Err(Denial::BackendDenied.into()),
            status => Err(Fault::Status(status).into()),
        }
    }

    fn judge(&self, answer: &[u8], now: UnixTime) -> Result<Session, CheckError> {
        let settings = &self.settings;
        let document = Document::parse(answer).map_err(|_| Fault::NotJson)?;
        if document.meets_any(&settings.deny) {
            return Err(Denial::BackendDenied.into());
        }
        if !document.meets(&settings.require) {
            return Err(Fault::Requirement.into());
        }
        let subject = document.subject(&settings.user)?;
        let ends_at = ends_at(settings.expires.as_ref().and_then(|expires| document.at(expires)), now)?;
        Ok(Session { subject, ends_at, document })
    }
}
