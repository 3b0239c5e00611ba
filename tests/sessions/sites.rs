//! The customers' back ends: Express, Flask and Django applications with their own logins, in front of a Redis.

use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::component::{Component, node, python};
use crate::support::redis::Redis;

/// An application with `/login`, `/logout` and `/visit`.
pub(crate) struct Site {
    /// Its HTTP.
    pub(crate) client: Client,
    _component: Component,
    cookie: &'static str,
}

/// The secret that the Express application signs cookies with, unless a test says otherwise.
pub(crate) const COOKIE_SECRET: &str = "signs the cookies of the customer";

impl Site {
    /// An Express application with the usual cookie.
    pub(crate) fn express(redis: &Redis) -> Self {
        Self::express_with(redis, "connect.sid", &[COOKIE_SECRET])
    }

    /// An Express application whose cookie has this name and is signed with the first of these secrets.
    pub(crate) fn express_with(redis: &Redis, cookie: &'static str, secrets: &[&str]) -> Self {
        let mut command = node("express.js");
        command.env("REDIS_URL", redis.url()).env("COOKIE", cookie).env("SESSION_SECRETS", json!(secrets).to_string());
        Self::start(Component::start_listening(&mut command), cookie)
    }

    /// A Flask application.
    pub(crate) fn flask(redis: &Redis) -> Self {
        let mut command = python("flask_app.py");
        command.env("REDIS_URL", redis.url()).env("SECRET_KEY", COOKIE_SECRET);
        Self::start(Component::start_listening(&mut command), "session")
    }

    /// A Django project, with a user `alice` whose password is `correct horse`, in this Redis' database 1.
    pub(crate) fn django(redis: &Redis) -> Self {
        let mut command = python("django_app.py");
        command.env("REDIS_URL", format!("redis://{}/1", redis.address())).env("SECRET_KEY", COOKIE_SECRET);
        command.env("DATABASE", redis.dir().join("django.sqlite"));
        Self::start(Component::start_listening(&mut command), "sessionid")
    }

    fn start((component, address): (Component, std::net::SocketAddr), cookie: &'static str) -> Self {
        Self { client: Client::new(address), _component: component, cookie }
    }

    /// Logs a user in, and returns the session's cookie.
    pub(crate) fn login(&self, user: &str) -> String {
        self.send("/login", json!({"user": user, "password": "correct horse"}))
    }

    /// Has a look around without logging in, and returns the session's cookie.
    pub(crate) fn visit(&self) -> String {
        self.send("/visit", json!({}))
    }

    /// Logs the owner of the cookie out.
    pub(crate) fn logout(&self, cookie: &str) {
        let answer = self.client.post("/logout").json(json!({})).cookie(self.cookie, cookie).send();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    fn send(&self, path: &str, body: Value) -> String {
        let answer = self.client.post(path).json(body).send();
        assert_eq!(answer.status, 200, "{}", answer.text());
        set_cookie(&answer, self.cookie).unwrap_or_else(|| panic!("no cookie {}: {answer:?}", self.cookie))
    }
}

/// The value that an answer gives a cookie.
pub(crate) fn set_cookie(answer: &Answer, name: &str) -> Option<String> {
    let mut set = answer.headers.iter().filter(|(header, _)| header == "set-cookie").map(|(_, value)| value.trim());
    let value = set.find_map(|value| value.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.split(';').next().unwrap_or_default().to_owned())
}
