//! An `OpenID` Connect provider at `https://idp.example.com/realms/a`, and a browser that logs in there.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::support::client::{Answer, Call, Client};
use crate::support::component::{Component, node};

/// What tokens name as their issuer.
pub(crate) const ISSUER: &str = "https://idp.example.com/realms/a";

/// The secret of all clients there. It has what must be escaped in a header.
pub(crate) const CLIENT_SECRET: &str = "s3cret:with/odd+chars%";

/// The audience of JWTs in the rules.
pub(crate) const IM: &str = "https://im.example.com";

/// JWTs for another audience, `account`.
pub(crate) const ACCOUNT: &str = "https://other.example.com";

/// Opaque tokens.
pub(crate) const OPAQUE: &str = "https://opaque.example.com";

/// The provider.
pub(crate) struct Issuer {
    /// Its HTTP, which a proxy with TLS stands in front of.
    pub(crate) client: Client,
    /// Its process.
    pub(crate) component: Component,
}

/// What a login yields.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) id: String,
}

impl Issuer {
    /// A provider that calls itself [`ISSUER`].
    pub(crate) fn start() -> Self {
        Self::start_as(ISSUER)
    }

    /// A provider that calls itself something else.
    pub(crate) fn start_as(issuer: &str) -> Self {
        let mut command = node("issuer.mjs");
        command.env("ISSUER", issuer).env("CLIENT_SECRET", CLIENT_SECRET);
        let (component, address) = Component::start_listening(&mut command);
        Self { client: Client::new(address), component }
    }

    /// Logs a user in by the code flow at the client `web`, for one resource.
    pub(crate) fn login(&self, user: &str, resource: &str) -> Tokens {
        let mut cookies = BTreeMap::new();
        let mut path = format!(
            "/realms/a/auth?client_id=web&response_type=code&redirect_uri=https://app.example.com/cb&prompt=consent\
             &scope=openid%20offline_access%20chat&resource={resource}&login_hint={user}&nonce=n-0S6_WzA2Mj"
        );
        // The login page and the way back, each a redirect.
        let mut redirects = 0;
        let code = loop {
            redirects += 1;
            assert!(redirects < 10, "in circles: {path}");
            let answer = browse(self.client.get(&path), &mut cookies);
            let location = answer.header("location").unwrap_or_else(|| panic!("{path}: {}", answer.text()));
            if let Some(query) = location.strip_prefix("https://app.example.com/cb?") {
                let code = query.split('&').find_map(|pair| pair.strip_prefix("code="));
                break code.unwrap_or_else(|| panic!("no code: {location}")).to_owned();
            }
            path = location.trim_start_matches("https://idp.example.com").to_owned();
        };
        let form = format!(
            "grant_type=authorization_code&code={code}&redirect_uri=https://app.example.com/cb&resource={resource}"
        );
        let answer = self.post("/realms/a/token", "web", &form);
        let token = |name: &str| answer[name].as_str().unwrap_or_else(|| panic!("no {name}: {answer}")).to_owned();
        Tokens { access: token("access_token"), refresh: token("refresh_token"), id: token("id_token") }
    }

    /// Revokes a token of the client `web`, as a logout does.
    pub(crate) fn revoke(&self, token: &str) {
        self.post("/realms/a/token/revocation", "web", &format!("token={token}"));
    }

    /// Signs with another key from now on; the old one stays in the set.
    pub(crate) fn rotate(&self) {
        assert_eq!(self.client.post("/test/rotate").send().status, 200);
    }

    /// How often a path was asked for.
    pub(crate) fn count(&self, path: &str) -> u64 {
        self.client.get("/test/counts").send().json()[path].as_u64().unwrap_or_default()
    }

    fn post(&self, path: &str, client: &str, form: &str) -> Value {
        let secret = CLIENT_SECRET.replace('%', "%25").replace(':', "%3A").replace('/', "%2F").replace('+', "%2B");
        let basic = STANDARD.encode(format!("{client}:{secret}"));
        let call = self.client.post(path).header("authorization", &format!("Basic {basic}"));
        let call = call.body("application/x-www-form-urlencoded", form);
        let answer = browse(call, &mut BTreeMap::new());
        assert_eq!(answer.status, 200, "{}", answer.text());
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }
}

/// A request as the proxy with TLS passes it on, with the cookies that earlier answers have set.
fn browse(call: Call<'_>, cookies: &mut BTreeMap<String, String>) -> Answer {
    let jar: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let call = call.header("host", "idp.example.com").header("x-forwarded-proto", "https");
    let answer = call.header("cookie", &jar.join("; ")).send();
    for (_, cookie) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
        let (name, value) = cookie.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
        cookies.insert(name.to_owned(), value.to_owned());
    }
    answer
}
