//! The `http` check: asks the customer's own back end who it is, the way nginx's `auth_request` does.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, COOKIE};
use serde_json::Value;

use super::backend::{Backend, Reply};
use super::cache::SessionCache;
use super::{
    BackendError, BackendSettings, CheckContext, CheckError, CredentialSource, Denial, Document, Fault, Pointer,
    PresentedCredential, Session,
};
use crate::ticket::UnixTime;

/// The longest answer that is read, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// Unix seconds beyond this, the year 5138, are milliseconds.
const LATEST: u64 = 100_000_000_000;

/// What to ask, and how to read the answer.
#[derive(Debug)]
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
    /// How long a recognised session is remembered.
    pub cache: Option<Duration>,
}

/// Asks one back end.
#[derive(Debug)]
pub struct HttpCheck {
    settings: HttpSettings,
    backend: Backend,
    cache: Option<SessionCache>,
}

impl HttpCheck {
    /// A check by these settings, with a back end that is reached so.
    ///
    /// # Errors
    /// When no client can be made of them.
    pub fn new(settings: HttpSettings, backend: BackendSettings) -> Result<Self, BackendError> {
        Ok(Self { backend: Backend::new(backend)?, cache: settings.cache.map(SessionCache::new), settings })
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
        if let Some(session) = self.cache.as_ref().and_then(|cache| cache.get(credential, context.now)) {
            return Ok(session);
        }
        let session = self.judge(&self.ask(source, credential, context.request_id).await?, context.now)?;
        if let Some(cache) = &self.cache {
            cache.put(credential, &session);
        }
        Ok(session)
    }

    /// Whether the back end answers at all, to a request without a credential.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn probe(&self) -> Result<String, Fault> {
        let request = |client: &reqwest::Client| self.request(client, "probe");
        let reply = self.backend.ask(request, MAX_BODY).await?;
        match reply.status {
            401 | 403 => Ok(format!("answers {} without a credential, as it should", reply.status)),
            200 => match self.judge(&reply, UnixTime::from_secs(0)) {
                Err(CheckError::Denied(_)) => Ok("denies a request without a credential, as it should".to_owned()),
                Err(CheckError::Fault(fault)) => Err(fault),
                Ok(_) => Err(Fault::Transport("answers with a user although no credential was sent".to_owned())),
            },
            status => Err(Fault::Status(status)),
        }
    }

    async fn ask(&self, source: &CredentialSource, credential: &PresentedCredential, id: &str) -> Result<Reply, Fault> {
        let credential = credential.as_str();
        let request = |client: &reqwest::Client| {
            let request = self.request(client, id);
            match source {
                CredentialSource::Cookie(name) => request.header(COOKIE, format!("{name}={credential}")),
                CredentialSource::Header(name) => request.header(name, credential),
                CredentialSource::Bearer => request.header(AUTHORIZATION, format!("Bearer {credential}")),
            }
        };
        self.backend.ask(request, MAX_BODY).await
    }

    fn request(&self, client: &reqwest::Client, request_id: &str) -> reqwest::RequestBuilder {
        let Self { settings, .. } = self;
        let request = client.request(settings.method.clone(), settings.url.clone());
        request.header("accept", "application/json").header("x-request-id", request_id)
    }

    fn judge(&self, reply: &Reply, now: UnixTime) -> Result<Session, CheckError> {
        match reply.status {
            200 => {}
            401 | 403 => return Err(Denial::BackendDenied.into()),
            status => return Err(Fault::Status(status).into()),
        }
        let settings = &self.settings;
        let document = Document::parse(&reply.body).map_err(|_| Fault::NotJson)?;
        if document.meets_any(&settings.deny) {
            return Err(Denial::BackendDenied.into());
        }
        if !document.meets(&settings.require) {
            return Err(Fault::Requirement.into());
        }
        let subject = document.subject(&settings.user)?;
        let ends_at = match settings.expires.as_ref().and_then(|expires| document.at(expires)) {
            None | Some(Value::Null) => None,
            Some(time) => {
                let seconds = time.as_u64().filter(|seconds| *seconds < LATEST).ok_or(Fault::Expiry)?;
                Some(UnixTime::from_secs(seconds))
            }
        };
        if ends_at.is_some_and(|end| end <= now) {
            return Err(Denial::Expired.into());
        }
        Ok(Session { subject, ends_at, document })
    }
}
