//! The `introspect` check: asks an authorization server about a token (RFC 7662).

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use zeroize::Zeroizing;

use super::backend::{Backend, MAX_ANSWER};
use super::cache::AnswerCache;
use super::claims::{Demands, ends_at, is_other_kind};
use super::{
    BackendError, BackendSettings, CheckContext, CheckError, Denial, Document, Fault, Pointer, PresentedCredential,
    Session,
};
use crate::ticket::UnixTime;

/// Whom to ask, and what the answer must say.
pub struct IntrospectSettings {
    /// The introspection endpoint.
    pub url: reqwest::Url,
    /// Our own client's id there.
    pub client_id: String,
    /// Our own client's secret.
    pub client_secret: Zeroizing<String>,
    /// How our own client says who it is.
    pub client_auth: ClientAuth,
    /// The `iss` that the answer must name.
    pub issuer: Option<String>,
    /// One of these must be in the answer's `aud`; empty: any or none.
    pub audience: Vec<String>,
    /// The answer's `client_id` must be one of these; empty: any or none.
    pub authorized_parties: Vec<String>,
    /// Where the user is in the answer.
    pub user: Pointer,
    /// Members that must have these values.
    pub require: Vec<(Pointer, Value)>,
    /// How long an active token is remembered; zero: not at all.
    pub cache: Duration,
}

/// How a client authenticates (RFC 6749, 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// `client_secret_basic`: in the `Authorization` header.
    Basic,
    /// `client_secret_post`: in the form.
    Post,
}

/// Asks one introspection endpoint.
pub struct IntrospectCheck {
    settings: IntrospectSettings,
    backend: Backend,
    cache: AnswerCache,
}

impl IntrospectCheck {
    /// A check by these settings, with a back end that is reached so.
    ///
    /// # Errors
    /// When no client can be made of them.
    pub fn new(settings: IntrospectSettings, backend: BackendSettings) -> Result<Self, BackendError> {
        Ok(Self { backend: Backend::new(backend)?, cache: AnswerCache::new(settings.cache), settings })
    }

    /// Asks whether `credential` is an active token, and whose.
    ///
    /// # Errors
    /// Denied when it is not active, or for somebody else; a fault when the endpoint does not say.
    pub async fn check(
        &self,
        credential: &PresentedCredential,
        context: &CheckContext<'_>,
    ) -> Result<Session, CheckError> {
        let ask = self.ask(credential.as_str(), context.request_id);
        self.cache.recognise(credential, ask, |answer| self.judge(answer, context.now)).await
    }

    /// Whether the endpoint knows our client, by asking about a token that is none.
    ///
    /// # Errors
    /// When it cannot be reached, or refuses our client.
    pub async fn probe(&self) -> Result<String, Fault> {
        let answer = self.ask("usersig-probe", "probe").await;
        match answer.and_then(|answer| self.judge(&answer, UnixTime::from_secs(0))) {
            Err(CheckError::Fault(fault)) => Err(fault),
            Err(CheckError::Denied(_)) => Ok("knows our client".to_owned()),
            Ok(_) => Err(Fault::Transport("says that a made-up token is active".to_owned())),
        }
    }

    async fn ask(&self, token: &str, request_id: &str) -> Result<Vec<u8>, CheckError> {
        let settings = &self.settings;
        let mut form = vec![("token", token), ("token_type_hint", "access_token")];
        if settings.client_auth == ClientAuth::Post {
            form.extend([
                ("client_id", settings.client_id.as_str()),
                ("client_secret", settings.client_secret.as_str()),
            ]);
        }
        let request = |client: &reqwest::Client| {
            let request = client
                .post(settings.url.clone())
                .header("accept", "application/json")
                .header("x-request-id", request_id);
            let request = match settings.client_auth {
                // RFC 6749 wants both form-encoded first.
                ClientAuth::Basic => {
                    request.basic_auth(form_encoded(&settings.client_id), Some(form_encoded(&settings.client_secret)))
                }
                ClientAuth::Post => request,
            };
            request.form(&form)
        };
        let reply = self.backend.ask(request, MAX_ANSWER).await?;
        if reply.status == 200 { Ok(reply.body) } else { Err(Fault::Status(reply.status).into()) }
    }

    fn judge(&self, answer: &[u8], now: UnixTime) -> Result<Session, CheckError> {
        let settings = &self.settings;
        let answer = Document::parse(answer).map_err(|_| Fault::NotJson)?;
        match answer.get("active") {
            Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) => return Err(Denial::Inactive.into()),
            _ => return Err(Fault::NoActive.into()),
        }
        let ends_at = ends_at(answer.get("exp"), now)?;
        if is_other_kind(&answer) {
            return Err(Denial::TokenType.into());
        }
        let demands = Demands {
            issuer: settings.issuer.as_deref(),
            audience: &settings.audience,
            parties: ("client_id", &settings.authorized_parties),
            require: &settings.require,
        };
        demands.hold(&answer)?;
        Ok(Session { subject: answer.subject(&settings.user)?, ends_at, document: answer })
    }
}

/// `application/x-www-form-urlencoded`, but with `%20` for a space, which decodes alike.
fn form_encoded(text: &str) -> String {
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');
    utf8_percent_encode(text, ESCAPED).to_string()
}
