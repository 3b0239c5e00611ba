//! Reads what a caller asks for, from the query or the body, alike in both: nothing unknown, nothing twice.

use std::fmt::{self, Display};
use std::time::Duration;
use std::{array, mem};

use actix_web::http::{Method, header};
use actix_web::web::{BytesMut, Payload};
use actix_web::{HttpMessage, HttpRequest};
use futures_util::TryStreamExt;
use serde::de::value::{self, MapDeserializer};
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

use super::problem::{Code, Problem};
use crate::ticket::{FieldError, Privileges, Room, SdkAppId};

/// The largest body that is read, in bytes.
const MAX_BODY: usize = 16 * 1024;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// What is asked of both routes.
pub(super) struct Asked {
    /// Which app; needed where several are configured.
    pub app: Option<SdkAppId>,
    /// The user that the caller believes to be.
    pub asserted_user: Option<String>,
    /// The lifetime asked for, in seconds; at least 1.
    pub expire: Option<u64>,
    /// The room of a `PrivateMapKey`, and the privileges there; without them it is the app's ceiling.
    pub room: Option<(Room, Option<Privileges>)>,
}

/// How a parameter may be spelled; the first is the one to tell people of.
type Spellings = &'static [&'static str];

const APP: Spellings = &["sdkAppId", "sdkAppID", "SDKAppID", "sdkappid"];
const USER: Spellings = &["userId", "userID", "userid", "identifier"];
const EXPIRE: Spellings = &["expire"];

impl Asked {
    /// What is asked of `/v1/usersig`.
    pub(super) async fn user_sig(request: &HttpRequest, payload: Payload) -> Result<Self, Problem> {
        let [app, user, expire] = read(request, payload, [APP, USER, EXPIRE]).await?;
        Self::new(&app, &user, &expire)
    }

    /// What is asked of `/v1/private-map-key`.
    pub(super) async fn private_map_key(request: &HttpRequest, payload: Payload) -> Result<Self, Problem> {
        let known = [APP, USER, EXPIRE, &["roomId"], &["roomStr"], &["privileges"]];
        let [app, user, expire, room_id, room_str, privileges] = read(request, payload, known).await?;
        let number = room_id.read(FieldError::RoomId, |id| Room::number(id.whole()?).ok())?;
        let text = room_str.read(FieldError::RoomStr, |name| Room::text(name.text()?).ok())?;
        let room = number.xor(text);
        let room = room.ok_or_else(|| Problem::invalid_request("give either roomId (a number) or roomStr (text)"))?;
        let privileges = privileges.read(FieldError::Privileges, |given| match &given.value {
            // What is no text is no privilege's name either.
            Some(Value::Array(names)) => {
                Privileges::from_names(names.iter().map(|name| name.as_str().unwrap_or_default())).ok()
            }
            _ => given.whole()?.try_into().ok(),
        })?;
        Ok(Self { room: Some((room, privileges)), ..Self::new(&app, &user, &expire)? })
    }

    fn new(app: &Given, user: &Given, expire: &Given) -> Result<Self, Problem> {
        let not_empty = |user: &Given| user.text().filter(|user| !user.is_empty()).map(str::to_owned);
        Ok(Self {
            app: app.read(FieldError::SdkAppId, |app| app.whole()?.try_into().ok())?,
            asserted_user: user.read("is the session's user, or left out", not_empty)?,
            expire: expire
                .read("is whole seconds, at least 1", |expire| expire.whole().filter(|expire| *expire > 0))?,
            room: None,
        })
    }
}

/// A parameter as the caller gave it, or did not.
#[derive(Default)]
pub(super) struct Given {
    /// The name as the caller spelled it.
    name: String,
    value: Option<Value>,
    in_query: bool,
}

impl Given {
    /// What `parse` makes of it, unless it was not given; `accepted` says what `parse` takes.
    pub(super) fn read<'a, T>(
        &'a self,
        accepted: impl Display,
        parse: impl FnOnce(&'a Self) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = &self.value else { return Ok(None) };
        parse(self).map(Some).ok_or_else(|| {
            // Cut where it is long: an answer is no echo.
            let got = match value {
                // Nobody writes quotes into a query.
                Value::String(text) if self.in_query && !text.is_empty() => text.clone(),
                value => value.to_string(),
            };
            Problem::invalid_request(format!("{} {accepted}; got {got:.60}", self.name))
        })
    }

    /// The text that it is.
    pub(super) fn text(&self) -> Option<&str> {
        self.value.as_ref()?.as_str()
    }

    /// The whole number that it is, however it is written: to JSON, 1 and 1.0 are the same, and in a query all is text. One
    /// beyond 64 bits is the largest of them.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the sign has been looked at")]
    pub(super) fn whole(&self) -> Option<u64> {
        match self.value.as_ref()? {
            Value::Number(number) => number.as_u64().or_else(|| {
                let number = number.as_f64()?;
                (number.fract() == 0.0 && number >= 0.0).then_some(number as u64)
            }),
            Value::String(digits) if self.in_query => {
                let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                is_number.then(|| digits.parse().unwrap_or(u64::MAX))
            }
            _ => None,
        }
    }
}

/// Reads parameters from the one place where the method has them, each to its place in `known`.
async fn read<const N: usize>(
    request: &HttpRequest,
    payload: Payload,
    known: [Spellings; N],
) -> Result<[Given; N], Problem> {
    let query = request.query_string();
    if request.method() == Method::GET {
        let pairs = MapDeserializer::<_, value::Error>::new(form_urlencoded::parse(query.as_bytes()));
        let given = pairs.deserialize_map(Sorted { known, in_query: true });
        return given.map_err(|error| Problem::invalid_request(format!("query: {error}")));
    }
    let given = read_body(request, payload, known).await?;
    if !query.is_empty() {
        return Err(Problem::invalid_request("a POST takes its parameters in a JSON body, not in the query"));
    }
    Ok(given)
}

/// Reads parameters from the JSON body of a POST, each to its place in `known`; none where there is no body.
pub(super) async fn read_body<const N: usize>(
    request: &HttpRequest,
    payload: Payload,
    known: [Spellings; N],
) -> Result<[Given; N], Problem> {
    let body = collect(request, payload).await?;
    let mut json = serde_json::Deserializer::from_slice(if body.is_empty() { b"{}" } else { &body });
    let given = json.deserialize_map(Sorted { known, in_query: false });
    let given = given.and_then(|given| json.end().map(|()| given));
    given.map_err(|error| Problem::invalid_request(format!("body: {error}")))
}

/// Sorts parameters: nothing unknown, and nothing twice, be it spelled differently.
struct Sorted<const N: usize> {
    known: [Spellings; N],
    in_query: bool,
}

impl<'de, const N: usize> Visitor<'de> for Sorted<N> {
    type Value = [Given; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<[Given; N], A::Error> {
        let mut all = array::from_fn(|_| Given::default());
        while let Some(name) = map.next_key::<String>()? {
            let Some(place) = self.known.iter().position(|spellings| spellings.contains(&name.as_str())) else {
                let known = self.known.map(|spellings| spellings[0]).join(", ");
                return Err(A::Error::custom(format_args!("there is no parameter {name:?}; there are {known}")));
            };
            let given = Given { name, value: Some(map.next_value()?), in_query: self.in_query };
            let before = mem::replace(&mut all[place], given);
            if before.value.is_some() {
                let message = format_args!("a parameter is given twice: {}, {}", before.name, all[place].name);
                return Err(A::Error::custom(message));
            }
        }
        Ok(all)
    }
}

/// The body of a POST; empty when there is none.
///
/// # Errors
/// 413, 408, 400 for a body that breaks off, then 415, in this order.
async fn collect(request: &HttpRequest, payload: Payload) -> Result<BytesMut, Problem> {
    let headers = request.headers();
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.unwrap_or(0) == 0 && !headers.contains_key(header::TRANSFER_ENCODING) {
        return Ok(BytesMut::new());
    }
    let too_large = || Problem::new(Code::PayloadTooLarge, format!("a body may have {MAX_BODY} bytes"));
    if length.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(too_large());
    }
    let chunks = payload.map_err(|_| Problem::invalid_request("the body broke off"));
    let collect = chunks.try_fold(BytesMut::new(), async |mut body, chunk| {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
        Ok(body)
    });
    let body = tokio::time::timeout(BODY_TIMEOUT, collect)
        .await
        .unwrap_or_else(|_| Err(Problem::new(Code::RequestTimeout, "the body did not arrive within 5 s")))?;
    if !body.is_empty() && !request.content_type().eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(Code::UnsupportedMediaType, "send the body as content-type: application/json"));
    }
    Ok(body)
}
