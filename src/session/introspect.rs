//! The `introspect` check: asks an authorization server about a token (RFC 7662).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use form_urlencoded::{Serializer, byte_serialize};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Request, request};
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use super::answer_cache::AnswerCache;
use super::credential::PresentedCredential;
use super::document::{Document, Pointer};
use super::error::{CheckError, Denial, Fault};
use super::jwt::claims::{ClaimRequirements, ends_at, named_time};
use super::session::Session;
use crate::client::{HttpClient, HttpSettings};
use crate::ticket::UnixTime;

/// How far the endpoint's clock may be ahead, in seconds.
const LEEWAY: u64 = 30;

/// Which introspection endpoint is asked, and what its answers must say.
#[derive(Debug, Clone, PartialEq)]
pub struct IntrospectSettings {
    /// The introspection endpoint.
    pub url: Url,
    /// Our own client's id there.
    pub client_id: String,
    /// Our own client's secret.
    pub client_secret: Zeroizing<String>,
    /// Whether both are given in the form (`client_secret_post`), and not in the `Authorization` header
    /// (`client_secret_basic`; RFC 6749, 2.3.1).
    pub secret_in_form: bool,
    /// What the answer must say.
    pub requirements: ClaimRequirements,
    /// Where the user is in the answer.
    pub user: Pointer,
    /// How the endpoint is reached.
    pub backend: HttpSettings,
    /// How long an active token is remembered; zero: not at all.
    pub cache: Duration,
}

/// Asks one introspection endpoint.
pub struct IntrospectCheck {
    settings: IntrospectSettings,
    client: HttpClient,
    cache: AnswerCache,
}

impl IntrospectCheck {
    /// A check that has asked nothing yet.
    ///
    /// # Errors
    /// As for [`HttpClient::new`].
    pub fn new(settings: IntrospectSettings) -> Result<Self, String> {
        let client = HttpClient::new(&settings.backend)?;
        Ok(Self { client, cache: AnswerCache::new(settings.cache), settings })
    }

    /// Asks whether `credential` is an active token, and whose.
    ///
    /// # Errors
    /// Denied when it is not active, or for somebody else; a fault when the endpoint does not say.
    pub async fn check(
        &self,
        credential: &PresentedCredential,
        now: UnixTime,
        request_id: &str,
    ) -> Result<Session, CheckError> {
        let ask = self.ask(credential.as_str(), request_id);
        self.cache.recognise(credential, ask, |answer| self.validate(answer, now)).await
    }

    /// How many questions may be under way at once.
    pub(super) const fn max_in_flight(&self) -> usize {
        self.settings.backend.max_in_flight
    }

    /// Whether the endpoint knows our client, by asking about a made-up token.
    ///
    /// # Errors
    /// When it cannot be reached, or refuses our client.
    pub async fn probe(&self) -> Result<String, Fault> {
        let answer = self.ask("usersig-probe", "probe").await;
        match answer.and_then(|answer| self.validate(&answer, UnixTime::from_secs(0))) {
            Err(CheckError::Fault(fault)) => Err(fault),
            Err(CheckError::Denied(Denial::Inactive)) => Ok("knows our client".to_owned()),
            Err(CheckError::Denied(_)) | Ok(_) => Err(Fault::AcceptsMadeUpToken),
        }
    }

    async fn ask(&self, token: &str, request_id: &str) -> Result<Vec<u8>, CheckError> {
        let (request, form) = self.question(token, request_id);
        Ok(self.client.ask(request, form).await?)
    }

    /// The request that asks about `token`, and its form.
    fn question(&self, token: &str, request_id: &str) -> (request::Builder, String) {
        let IntrospectSettings { url, client_id: id, client_secret: secret, .. } = &self.settings;
        let mut form = Serializer::new(String::new());
        form.append_pair("token", token).append_pair("token_type_hint", "access_token");
        let mut request = Request::post(url.as_str()).header("x-request-id", request_id);
        request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        if self.settings.secret_in_form {
            form.append_pair("client_id", id).append_pair("client_secret", secret);
        } else {
            // RFC 6749 wants both form-encoded first.
            let client = STANDARD.encode(format!("{}:{}", form_encoded(id), form_encoded(secret)));
            request = request.header(AUTHORIZATION, format!("Basic {client}"));
        }
        (request, form.finish())
    }

    fn validate(&self, answer: &[u8], now: UnixTime) -> Result<Session, CheckError> {
        let IntrospectSettings { requirements, user, .. } = &self.settings;
        let answer = Document::parse(answer).map_err(|_| Fault::NotJson)?;
        match answer.get("active") {
            Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) => return Err(Denial::Inactive.into()),
            _ => return Err(Fault::NoActive.into()),
        }
        let ends_at = ends_at(answer.get("exp"), now)?;
        if named_time(answer.get("nbf"), Fault::NotBefore)?.is_some_and(|time| time > now.plus(LEEWAY)) {
            return Err(Denial::NotYetValid.into());
        }
        requirements.verify_kind(&answer)?;
        requirements.verify(&answer, "client_id")?;
        Ok(Session { subject: answer.subject(user)?, ends_at, document: answer })
    }
}

/// `application/x-www-form-urlencoded`, but with `%20` for a space, which decodes alike.
fn form_encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}
