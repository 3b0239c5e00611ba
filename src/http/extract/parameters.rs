//! What a caller asks for, in the query of a GET or the body of a POST: alike in both, nothing unknown, no duplicates.

use std::fmt::Display;

use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::{FromRequest, HttpRequest};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde::de::value::{self, MapDeserializer};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{body, describe};
use crate::http::problem::Problem;
use crate::ticket::{FieldError, Privileges, Room, SdkAppId};

/// A request for a ticket.
pub(crate) struct TicketRequest {
    /// Which app; needed where several are configured.
    pub(crate) app: Option<SdkAppId>,
    /// The user that the caller expects to be.
    pub(crate) asserted_user: Option<String>,
    /// The lifetime asked for, in seconds; at least 1.
    pub(crate) expire: Option<u64>,
    /// The room of a `PrivateMapKey`, and the privileges there; without them, all that the app grants.
    pub(crate) room: Option<(Room, Option<Privileges>)>,
}

/// The parameters of `/v1/usersig`.
pub(crate) struct UserSigParameters(pub(crate) TicketRequest);

/// The parameters of `/v1/private-map-key`.
pub(crate) struct PrivateMapKeyParameters(pub(crate) TicketRequest);

impl FromRequest for UserSigParameters {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        async move {
            let parameters = Parameters::read(&request, payload).await?;
            if let Some(room) = parameters.room_parameter() {
                let detail = format!("{room} is a parameter of /v1/private-map-key, and not of this path");
                return Err(Problem::invalid_request(detail));
            }
            Ok(Self(parameters.ticket_request(None)?))
        }
        .boxed_local()
    }
}

impl FromRequest for PrivateMapKeyParameters {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        async move {
            let parameters = Parameters::read(&request, payload).await?;
            let room = parameters.room()?;
            Ok(Self(parameters.ticket_request(Some(room))?))
        }
        .boxed_local()
    }
}

/// All parameters of both paths, as they came.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Parameters {
    #[serde(default, alias = "sdkAppID", alias = "SDKAppID", alias = "sdkappid")]
    sdk_app_id: Parameter,
    #[serde(default, alias = "userID", alias = "userid", alias = "identifier")]
    user_id: Parameter,
    #[serde(default)]
    expire: Parameter,
    #[serde(default)]
    room_id: Parameter,
    #[serde(default)]
    room_str: Parameter,
    #[serde(default)]
    privileges: Parameter,
}

impl Parameters {
    async fn read(request: &HttpRequest, payload: Payload) -> Result<Self, Problem> {
        let query = request.query_string();
        if request.method() == Method::GET {
            let pairs = MapDeserializer::<_, value::Error>::new(form_urlencoded::parse(query.as_bytes()));
            let parameters = Self::deserialize(pairs);
            let parameters =
                parameters.map_err(|error| Problem::invalid_request(format!("query: {}", describe(&error))))?;
            return Ok(parameters.in_query());
        }
        let parameters = body::json(request, payload).await?;
        if !query.is_empty() {
            return Err(Problem::invalid_request("a POST takes its parameters in a JSON body, not in the query"));
        }
        Ok(parameters)
    }

    fn in_query(mut self) -> Self {
        let Self { sdk_app_id, user_id, expire, room_id, room_str, privileges } = &mut self;
        for parameter in [sdk_app_id, user_id, expire, room_id, room_str, privileges] {
            parameter.in_query = true;
        }
        self
    }

    fn ticket_request(&self, room: Option<(Room, Option<Privileges>)>) -> Result<TicketRequest, Problem> {
        const APP: &str = "sdkAppId (or sdkAppID, SDKAppID, sdkappid)";
        const USER: &str = "userId (or userID, userid, identifier)";
        let app =
            self.sdk_app_id.parse(APP, FieldError::SdkAppId, |app| self.sdk_app_id.whole(app)?.try_into().ok())?;
        let is_positive = |seconds: &u64| *seconds > 0;
        let expire = self
            .expire
            .parse("expire", "is whole seconds, at least 1", |expire| self.expire.whole(expire).filter(is_positive))?;
        let asserted_user = self.user_id.parse(USER, "is the session's user, or left out", |user| {
            user.as_str().filter(|user| !user.is_empty()).map(str::to_owned)
        })?;
        Ok(TicketRequest { app, asserted_user, expire, room })
    }

    /// The room, and the privileges in it.
    fn room(&self) -> Result<(Room, Option<Privileges>), Problem> {
        let number =
            self.room_id.parse("roomId", FieldError::RoomId, |id| Room::number(self.room_id.whole(id)?).ok())?;
        let text = self.room_str.parse("roomStr", FieldError::RoomStr, |name| Room::text(name.as_str()?).ok())?;
        let privileges = self.privileges.parse("privileges", FieldError::Privileges, |value| match value {
            // What is not text is not the name of a privilege either.
            Value::Array(names) => {
                Privileges::from_names(names.iter().map(|name| name.as_str().unwrap_or_default())).ok()
            }
            mask => self.privileges.whole(mask)?.try_into().ok(),
        })?;
        let room = number.xor(text);
        let room = room.ok_or_else(|| Problem::invalid_request("give either roomId (a number) or roomStr (text)"))?;
        Ok((room, privileges))
    }

    /// The name of a parameter that says something about a room.
    fn room_parameter(&self) -> Option<&'static str> {
        let named = [("roomId", &self.room_id), ("roomStr", &self.room_str), ("privileges", &self.privileges)];
        named.into_iter().find(|(_, parameter)| parameter.value.is_some()).map(|(name, _)| name)
    }
}

/// A parameter's value, if it was given.
#[derive(Default)]
pub(crate) struct Parameter {
    value: Option<Value>,
    /// Whether it is from a query, where all is text.
    in_query: bool,
}

impl<'de> Deserialize<'de> for Parameter {
    /// A null is a value too.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|value| Self { value: Some(value), in_query: false })
    }
}

impl Parameter {
    /// What `parse` makes of the parameter of this name, unless it was not given; `accepted` says what `parse` takes.
    pub(crate) fn parse<'a, T>(
        &'a self,
        name: &str,
        accepted: impl Display,
        parse: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = &self.value else { return Ok(None) };
        parse(value).map(Some).ok_or_else(|| {
            let shown = match value {
                // Nobody writes quotes into a query.
                Value::String(text) if self.in_query && !text.is_empty() => text.clone(),
                value => value.to_string(),
            };
            // Cut where it is long: an answer does not echo.
            Problem::invalid_request(format!("{name} {accepted}; got {shown:.60}"))
        })
    }

    /// The whole number that the value is: to JSON, 1 and 1.0 are the same, and in a query it is text of its digits. One
    /// beyond 64 bits is the largest of them.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole and not negative")]
    pub(crate) fn whole(&self, value: &Value) -> Option<u64> {
        match value {
            Value::String(digits) if self.in_query => {
                let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                is_number.then(|| digits.parse().unwrap_or(u64::MAX))
            }
            value => value.as_u64().or_else(|| {
                let number = value.as_f64()?;
                (number.fract() == 0.0 && number >= 0.0).then_some(number as u64)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use serde_json::json;

    use super::*;

    async fn in_query(query: &str) -> Result<TicketRequest, String> {
        let (request, mut payload) = TestRequest::with_uri(&format!("/v1/usersig?{query}")).to_http_parts();
        let parameters = UserSigParameters::from_request(&request, &mut payload).await;
        parameters.map(|UserSigParameters(wanted)| wanted).map_err(|problem| problem.to_string())
    }

    fn post(body: &str) -> (HttpRequest, Payload) {
        let json = ("content-type", "application/json");
        TestRequest::post().insert_header(json).set_payload(body.to_owned()).to_http_parts()
    }

    async fn in_body(body: Value) -> Result<TicketRequest, String> {
        let (request, mut payload) = post(&body.to_string());
        let parameters = UserSigParameters::from_request(&request, &mut payload).await;
        parameters.map(|UserSigParameters(wanted)| wanted).map_err(|problem| problem.to_string())
    }

    async fn room_in_body(body: Value) -> Result<(Room, Option<Privileges>), String> {
        let (request, mut payload) = post(&body.to_string());
        let parameters = PrivateMapKeyParameters::from_request(&request, &mut payload).await;
        let wanted = parameters.map(|PrivateMapKeyParameters(wanted)| wanted).map_err(|problem| problem.to_string())?;
        Ok(wanted.room.expect("a room"))
    }

    #[tokio::test]
    async fn query_and_body_are_read_alike_under_every_alias() {
        for (app, user) in
            [("sdkAppId", "userId"), ("sdkAppID", "userID"), ("SDKAppID", "userid"), ("sdkappid", "identifier")]
        {
            let query = in_query(&format!("{app}=1400000000&{user}=alice&expire=60")).await;
            let body = in_body(json!({app: 1_400_000_000, user: "alice", "expire": 60.0})).await;
            for wanted in [query, body] {
                let wanted = wanted.expect("parameters");
                assert_eq!(wanted.app.map(SdkAppId::get), Some(1_400_000_000));
                assert_eq!((wanted.asserted_user.as_deref(), wanted.expire), (Some("alice"), Some(60)));
                assert!(wanted.room.is_none());
            }
        }
    }

    #[tokio::test]
    async fn what_is_not_given_is_absent() {
        for wanted in [in_query("").await, in_body(json!({})).await] {
            let wanted = wanted.expect("no parameters");
            assert!(wanted.app.is_none() && wanted.asserted_user.is_none() && wanted.expire.is_none());
        }
    }

    #[tokio::test]
    async fn a_lifetime_beyond_64_bits_is_the_longest() {
        let expire = in_query("expire=18446744073709551616").await.map(|wanted| wanted.expire);
        assert_eq!(expire, Ok(Some(u64::MAX)));
        let expire = in_body(json!({"expire": 1e300})).await.map(|wanted| wanted.expire);
        assert_eq!(expire, Ok(Some(u64::MAX)));
    }

    #[tokio::test]
    async fn unknown_and_duplicate_names_are_refused_by_name() {
        for (query, named) in [
            ("token=x", "`token`"),
            ("sdkAppId=1&SDKAppID=1", "duplicate field `sdkAppId`"),
            ("userId=a&identifier=b", "duplicate field `userId`"),
            ("roomId=7", "roomId is a parameter of /v1/private-map-key"),
        ] {
            let detail = in_query(query).await.err().expect("refused");
            assert!(detail.contains(named), "{query}: {detail}");
        }
    }

    #[tokio::test]
    async fn a_wrong_value_is_named_with_what_would_be_accepted() {
        for (body, accepted) in [
            (json!({"sdkAppId": "1400000000"}), "sdkAppId"),
            (json!({"sdkAppId": 0}), "sdkAppId"),
            (json!({"userId": 7}), "the session's user"),
            (json!({"userId": ""}), "the session's user"),
            (json!({"userId": null}), "the session's user"),
            (json!({"expire": 0}), "whole seconds, at least 1"),
            (json!({"expire": -1}), "whole seconds, at least 1"),
            (json!({"expire": 60.5}), "whole seconds, at least 1"),
            (json!({"expire": "60"}), "whole seconds, at least 1"),
        ] {
            let value = body.as_object().and_then(|body| body.values().next()).expect("a value").to_string();
            let detail = in_body(body).await.err().expect("refused");
            assert!(detail.contains(accepted) && detail.ends_with(&format!("; got {value}")), "{detail}");
        }
    }

    #[tokio::test]
    async fn an_array_is_not_taken_for_an_object() {
        assert_eq!(in_body(json!([1_400_000_000])).await.err().as_deref(), Some("body: expected a JSON object"));
    }

    #[tokio::test]
    async fn a_room_is_a_number_or_text_with_names_or_a_mask_of_privileges() {
        let join = Privileges::from_names(["join"]).expect("a privilege");
        let seven = || Room::number(7).expect("a room");
        assert!(room_in_body(json!({"roomId": 7})).await == Ok((seven(), None)));
        assert!(room_in_body(json!({"roomId": 7, "privileges": ["join"]})).await == Ok((seven(), Some(join))));
        assert!(room_in_body(json!({"roomId": 7, "privileges": 2})).await == Ok((seven(), Some(join))));
        let hall = Room::text("hall").expect("a room");
        assert!(room_in_body(json!({"roomStr": "hall"})).await == Ok((hall, None)));
        for body in [
            json!({}),
            json!({"roomId": 7, "roomStr": "hall"}),
            json!({"roomId": "7"}),
            json!({"roomId": 0}),
            json!({"roomStr": 7}),
            json!({"roomId": 7, "privileges": ["fly"]}),
            json!({"roomId": 7, "privileges": [1]}),
            json!({"roomId": 7, "privileges": 256}),
        ] {
            assert!(room_in_body(body.clone()).await.is_err(), "{body}");
        }
    }
}
