//! A client for well-formed requests; [`super::raw`] has one for the others.

use std::net::SocketAddr;

use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::{Method, Request};

use super::clock::DEADLINE;
use super::raw::{Connection, raw};

/// Sends requests to one listener, each on its own merits: no redirect is followed, no cookie kept, no proxy used.
#[derive(Clone)]
pub(crate) struct Client {
    /// Where the listener is.
    pub(crate) address: SocketAddr,
    agent: Agent,
}

/// A request that is being put together.
#[must_use]
pub(crate) struct Call<'a> {
    client: &'a Client,
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// Every header in the order it came, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .allow_non_standard_methods(true)
            .timeout_global(Some(DEADLINE))
            .user_agent("")
            .accept("")
            .build();
        Self { address, agent: config.into() }
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A GET.
    pub(crate) fn get(&self, path: impl Into<String>) -> Call<'_> {
        self.call("GET", path)
    }

    /// A POST, without a body unless one is given.
    pub(crate) fn post(&self, path: impl Into<String>) -> Call<'_> {
        self.call("POST", path)
    }

    /// A request of any method.
    pub(crate) fn call(&self, method: &str, path: impl Into<String>) -> Call<'_> {
        let method = Method::from_bytes(method.as_bytes()).expect("a method's name");
        Call { client: self, method, path: path.into(), headers: Vec::new(), body: Vec::new() }
    }

    /// Sends these very bytes on a connection of their own, and reads one answer.
    pub(crate) fn raw(&self, request: impl AsRef<[u8]>) -> Answer {
        raw(self.address, request.as_ref())
    }

    /// A connection to send bytes on, one request after another.
    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.address)
    }
}

impl Call<'_> {
    /// Adds a header; a name may stand several times.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Presents a token as `Authorization: Bearer`.
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Presents a cookie. Browsers' own `Sec-Fetch-Site` is not added: see [`Call::same_origin`].
    pub(crate) fn cookie(self, name: &str, value: &str) -> Self {
        self.header("cookie", &format!("{name}={value}"))
    }

    /// What browsers add to requests of a page of the same origin.
    pub(crate) fn same_origin(self) -> Self {
        self.header("sec-fetch-site", "same-origin")
    }

    /// What browsers add to requests of a page of another origin.
    pub(crate) fn origin(self, origin: &str) -> Self {
        self.header("sec-fetch-site", "cross-site").header("origin", origin)
    }

    /// A JSON body.
    #[expect(clippy::needless_pass_by_value, reason = "what stands in the parentheses is json!")]
    pub(crate) fn json(self, body: Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// A body of these bytes, under this content type.
    pub(crate) fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("content-type", content_type)
    }

    /// Sends it and reads the answer.
    pub(crate) fn send(self) -> Answer {
        let mut request = Request::builder().method(self.method).uri(self.client.url(&self.path));
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let request = request.body(self.body).expect("a well-formed request");
        let agent = &self.client.agent;
        let request = agent.configure_request(request).allow_non_standard_methods(true).build();
        let mut response = agent.run(request).expect("an answer");
        let headers = response.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        Answer {
            status: response.status().as_u16(),
            headers: headers.collect(),
            body: response.body_mut().read_to_vec().expect("a whole body"),
        }
    }
}

impl Answer {
    /// The value of a header that stands at most once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} stands twice: {self:?}");
        value
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("text")
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    /// The id that the service gave the request.
    pub(crate) fn request_id(&self) -> &str {
        self.header("x-request-id").expect("every answer has an X-Request-Id")
    }

    /// The JSON of a 200, which carries all that every answer must.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.assert_guarded();
        assert_eq!(self.header("content-type"), Some("application/json"));
        self.json()
    }

    /// The problem of this status and code, which is complete and carries all that every answer must.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "expected {code}: {}", self.text());
        self.assert_guarded();
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["type"], "about:blank", "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["requestId"], self.request_id(), "{problem}");
        for text in ["title", "detail"] {
            assert!(problem[text].as_str().is_some_and(|text| !text.is_empty()), "{text}: {problem}");
        }
        let mut names: Vec<_> = problem.as_object().expect("an object").keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["code", "detail", "requestId", "status", "title", "type"]);
        assert_eq!(self.header("www-authenticate").is_some(), status == 401, "a 401 says how to authenticate");
        assert_eq!(self.header("allow").is_some(), status == 405, "a 405 says which methods there are");
        assert_eq!(self.header("retry-after").is_some(), status == 429 || status == 503, "when to come again");
        problem
    }

    /// Asserts the headers that every answer carries.
    #[track_caller]
    pub(crate) fn assert_guarded(&self) {
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"), "{self:?}");
        assert_eq!(self.header("cross-origin-resource-policy"), Some("same-origin"), "{self:?}");
        assert_eq!(self.header("referrer-policy"), Some("no-referrer"), "{self:?}");
        assert!(!self.request_id().is_empty(), "{self:?}");
    }
}

/// A 200's JSON without the members that differ from call to call.
pub(crate) fn without_times(mut answer: Value) -> Value {
    for name in ["userSig", "privateMapKey", "issuedAt", "expiresAt", "renewAt"] {
        if let Some(value) = answer.get_mut(name) {
            *value = json!(null);
        }
    }
    answer
}
