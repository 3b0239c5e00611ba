//! The JSON body of a POST, of bounded size and time.

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::BytesMut;
use actix_web::{HttpMessage, HttpRequest};
use futures_util::TryStreamExt;
use serde::de::DeserializeOwned;

use super::describe;
use crate::http::problem::{Code, Problem};

/// The largest body that is read, in bytes.
const MAX_BODY: usize = 16 * 1024;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// What the body holds, a JSON object; where there is no body, what an empty object is.
///
/// # Errors
/// As for [`read`], and 400 for a body that is not that.
pub(crate) async fn json<T: DeserializeOwned>(request: &HttpRequest, payload: Payload) -> Result<T, Problem> {
    let body = read(request, payload).await?;
    let json = if body.is_empty() { b"{}" } else { &*body };
    // serde reads an array into a struct as well, by the order of its fields.
    if !json.trim_ascii_start().starts_with(b"{") {
        return Err(Problem::invalid_request("body: expected a JSON object"));
    }
    serde_json::from_slice(json).map_err(|error| Problem::invalid_request(format!("body: {}", describe(&error))))
}

/// The body of a POST; empty when there is none.
///
/// # Errors
/// 413, 408, 400 for a body that breaks off, then 415, in this order.
async fn read(request: &HttpRequest, payload: Payload) -> Result<BytesMut, Problem> {
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
