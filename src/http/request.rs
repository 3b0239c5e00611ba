//! Reads what a caller asks for, from the query or the body, alike in both: nothing unknown, nothing twice.

use std::fmt;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::{Method, header};
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt;
use serde::Deserialize;
use serde::de::value::{self, MapDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Unexpected, Visitor};

use super::problem::{Code, Problem};
use crate::ticket::{FieldError, Privileges, Room, SdkAppId};

/// The largest body that is read, in bytes.
pub const MAX_BODY: usize = 16 * 1024;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// What is asked of `/v1/usersig`.
#[derive(Debug, Default)]
pub(super) struct UserSigRequest {
    /// Which app; needed where several are configured.
    pub app: Option<SdkAppId>,
    /// The user that the caller believes to be.
    pub asserted_user: Option<String>,
    /// The lifetime asked for, in seconds; at least 1.
    pub expire: Option<u64>,
}

/// What is asked of `/v1/private-map-key`.
#[derive(Debug)]
pub(super) struct PrivateMapKeyRequest {
    /// What it shares with a `UserSig`.
    pub common: UserSigRequest,
    /// The room.
    pub room: Room,
    /// The privileges; the app's ceiling when there are none.
    pub privileges: Option<Privileges>,
}

/// A struct of parameters: the common ones, and its own. serde's `flatten` would let unknown names pass.
macro_rules! parameters {
    ($name:ident { $($own:tt)* }) => {
        #[derive(Deserialize, Default)]
        #[serde(deny_unknown_fields, default)]
        struct $name {
            #[serde(
                rename = "sdkAppId",
                alias = "sdkAppID",
                alias = "SDKAppID",
                alias = "sdkappid",
                deserialize_with = "some"
            )]
            app: Option<Whole>,
            #[serde(
                rename = "userId",
                alias = "userID",
                alias = "userid",
                alias = "identifier",
                deserialize_with = "some"
            )]
            user: Option<String>,
            #[serde(deserialize_with = "some")]
            expire: Option<Whole>,
            $($own)*
        }
    };
}

parameters!(RawUserSig {});
parameters!(RawPrivateMapKey {
    #[serde(rename = "roomId", deserialize_with = "some")]
    room_id: Option<Whole>,
    #[serde(rename = "roomStr", deserialize_with = "some")]
    room_str: Option<String>,
    #[serde(deserialize_with = "some")]
    privileges: Option<RawPrivileges>,
});

#[derive(Deserialize)]
#[serde(untagged, expecting = "privileges: expected a list of names or a mask from 1 to 255")]
enum RawPrivileges {
    Mask(f64),
    Names(Vec<String>),
}

/// A whole number, however it is written: to JSON, 1 and 1.0 are the same. One beyond 64 bits is the largest of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole(pub u64);

impl Whole {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the sign has been looked at")]
    fn of(number: f64) -> Option<Self> {
        (number.fract() == 0.0 && number >= 0.0).then_some(Self(number as u64))
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(WholeVisitor)
    }
}

struct WholeVisitor;

impl Visitor<'_> for WholeVisitor {
    type Value = Whole;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Whole, E> {
        Ok(Whole(number))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Whole, E> {
        Whole::of(number).ok_or_else(|| E::invalid_value(Unexpected::Float(number), &self))
    }

    /// Digits of the query. A JSON text does not come here, since it is asked for a number.
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Whole, E> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = is_number.then(|| Whole(text.parse().unwrap_or(u64::MAX)));
        number.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// A field that may be left out, but not be `null`.
pub(super) fn some<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl UserSigRequest {
    /// Reads the query of a GET, the body of a POST.
    pub(super) async fn read(request: &HttpRequest, payload: Payload) -> Result<Self, Problem> {
        let raw: RawUserSig = read(request, payload).await?;
        Self::new(raw.app, raw.user, raw.expire)
    }

    fn new(app: Option<Whole>, user: Option<String>, expire: Option<Whole>) -> Result<Self, Problem> {
        let app = app.map(|Whole(id)| SdkAppId::try_from(id)).transpose();
        let expire = expire.map(|Whole(seconds)| seconds);
        if user.as_ref().is_some_and(String::is_empty) {
            return Err(Problem::invalid_request("userId is empty; leave it out, or give the session's user"));
        }
        if expire == Some(0) {
            return Err(Problem::invalid_request("expire is whole seconds, at least 1"));
        }
        Ok(Self { app: app.map_err(|error| field("sdkAppId", error))?, asserted_user: user, expire })
    }
}

impl PrivateMapKeyRequest {
    /// Reads the body of a POST.
    pub(super) async fn read(request: &HttpRequest, payload: Payload) -> Result<Self, Problem> {
        let raw: RawPrivateMapKey = read(request, payload).await?;
        let room = match (raw.room_id, raw.room_str) {
            (Some(Whole(room)), None) => Room::number(room).map_err(|error| field("roomId", error))?,
            (None, Some(room)) => Room::text(&room).map_err(|error| field("roomStr", error))?,
            _ => return Err(Problem::invalid_request("give either roomId (a number) or roomStr (text)")),
        };
        let privileges = raw.privileges.map(|privileges| match privileges {
            RawPrivileges::Mask(mask) => {
                Whole::of(mask).map_or(Err(FieldError::Privileges), |Whole(mask)| mask.try_into())
            }
            RawPrivileges::Names(names) => Privileges::from_names(names.iter().map(String::as_str)),
        });
        Ok(Self {
            common: UserSigRequest::new(raw.app, raw.user, raw.expire)?,
            room,
            privileges: privileges.transpose().map_err(|error| field("privileges", error))?,
        })
    }
}

fn field(name: &str, error: FieldError) -> Problem {
    Problem::invalid_request(format!("{name} {error}"))
}

/// Reads parameters from the one place where the method has them.
async fn read<T: DeserializeOwned + Default>(request: &HttpRequest, payload: Payload) -> Result<T, Problem> {
    let query = request.query_string();
    if request.method() == Method::GET {
        let pairs = MapDeserializer::<_, value::Error>::new(form_urlencoded::parse(query.as_bytes()));
        return serde_path_to_error::deserialize(pairs).map_err(|error| unreadable("query", &error));
    }
    let json = read_json(request, payload).await?;
    if !query.is_empty() {
        return Err(Problem::invalid_request("a POST takes its parameters in a JSON body, not in the query"));
    }
    if json.is_empty() { Ok(T::default()) } else { parse_object(&json) }
}

/// The body of a POST; empty when there is none.
///
/// # Errors
/// 413, 408, 400 for a body that breaks off, then 415, in this order.
pub(super) async fn read_json(request: &HttpRequest, mut payload: Payload) -> Result<Bytes, Problem> {
    let headers = request.headers();
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.unwrap_or(0) == 0 && !headers.contains_key(header::TRANSFER_ENCODING) {
        return Ok(Bytes::new());
    }
    let too_large = || Problem::new(Code::PayloadTooLarge, format!("a body may have {MAX_BODY} bytes"));
    if length.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(too_large());
    }
    let collect = async {
        let mut body = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| Problem::invalid_request("the body broke off"))?;
            if body.len() + chunk.len() > MAX_BODY {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    };
    let body = tokio::time::timeout(BODY_TIMEOUT, collect)
        .await
        .unwrap_or_else(|_| Err(Problem::new(Code::RequestTimeout, "the body did not arrive within 5 s")))?;
    if !body.is_empty() && !is_json(headers.get(header::CONTENT_TYPE)) {
        return Err(Problem::new(Code::UnsupportedMediaType, "send the body as content-type: application/json"));
    }
    Ok(body)
}

/// A JSON object as parameters. serde would take an array for a struct too.
pub(super) fn parse_object<T: DeserializeOwned>(json: &[u8]) -> Result<T, Problem> {
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::invalid_request("the body is not a JSON object"));
    }
    let mut body = serde_json::Deserializer::from_slice(json);
    let asked = serde_path_to_error::deserialize(&mut body).map_err(|error| unreadable("body", &error))?;
    body.end().map_err(|error| Problem::invalid_request(format!("body: {error}")))?;
    Ok(asked)
}

/// Names the parameter, which serde's own messages leave out.
fn unreadable<E: fmt::Display>(place: &str, error: &serde_path_to_error::Error<E>) -> Problem {
    let message = match error.path().to_string() {
        path if path == "." => format!("{place}: {}", error.inner()),
        path => format!("{place}: {path}: {}", error.inner()),
    };
    Problem::invalid_request(message)
}

/// Whether a content type is `application/json`, whatever its parameters.
fn is_json(content_type: Option<&header::HeaderValue>) -> bool {
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}
