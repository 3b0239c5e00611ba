//! Any JSON pointer into any claims: leads where an independent implementation says, and to a user only if that is one.

#![no_main]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt;
use hmac::{Hmac, KeyInit, Mac};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use sha2::Sha256;
use usersig::session::{CheckError, Denial, JwtCheck, JwtSettings, Keys, Pointer, PresentedCredential, VerificationKey};
use usersig::ticket::UnixTime;

const SECRET: &[u8] = b"the secret of the customer's own back end";

// The pointer ends with the first line; the claims stand behind it.
fuzz_target!(|input: &str| {
    let Some((text, json)) = input.split_once('\n') else { return };
    let Ok(pointer) = text.parse::<Pointer>() else {
        let escapes_known = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        assert!(!text.starts_with('/') || !escapes_known, "{text} is a pointer");
        return;
    };
    // The member that makes a token of it.
    let Ok(Value::Object(mut object)) = serde_json::from_str(json) else { return };
    object.insert("exp".to_owned(), 1000.into());
    for name in ["nbf", "iat", "nonce", "at_hash", "c_hash", "typ", "token_use", "token_type", "type"] {
        object.remove(name);
    }
    // Read once more, since a float that serde_json writes is not always the one that it read.
    let json = Value::Object(object).to_string();
    let claims: Value = serde_json::from_str(&json).expect("it was written as JSON");
    let rule = |user: Pointer| {
        let key = VerificationKey::from_secret(SECRET).expect("a secret");
        let settings = JwtSettings { leeway: 0, max_lifetime: 10_000, user, ..JwtSettings::default() };
        JwtCheck::new(Keys::One(key), settings).expect("a key needs no client")
    };
    let Ok(credential) = PresentedCredential::new(signed(&json).as_bytes()) else { return };
    let check = |user: Pointer| {
        rule(user).check(&credential, UnixTime::from_secs(500)).now_or_never().expect("a key that is here")
    };
    let theirs = claims.pointer(text);
    let expected = match theirs {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        None | Some(Value::Null | Value::String(_)) => Err(Denial::NoUser),
        Some(Value::Number(number)) if !number.is_f64() => Ok(number.to_string()),
        Some(_) => Err(Denial::UserType),
    };
    match check(pointer.clone()) {
        Ok(session) => assert_eq!(Ok(session.subject), expected),
        Err(CheckError::Denied(denial)) => assert_eq!(Err(denial), expected),
        Err(CheckError::Fault(fault)) => panic!("{fault}"),
    }
    // `exp` is always there, so this yields the document whatever the user is.
    let session = check(Pointer::to("exp")).expect("a session");
    assert_eq!(session.document.at(&pointer), theirs);
});

fn signed(claims: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(claims));
    let mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("any key").chain_update(&message);
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}
