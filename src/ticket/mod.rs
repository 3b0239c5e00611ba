//! The TLS-sig v2 protocol: signs, decodes and verifies `UserSig`s and `PrivateMapKey`s.
//!
//! A ticket is JSON, zlib-compressed, in a URL-safe base64 of its own, with an HMAC-SHA256 over the fields. The format
//! is that of the official `tls-sig-api-v2` libraries. This room knows no HTTP, no clock, no configuration and no
//! session: times and keys are arguments.

mod deflate;
mod fields;
mod inspect;
mod key;
mod private_map;
mod sign;
mod verify;
mod zlib;

pub use fields::{FieldError, Lifetime, SdkAppId, UnixTime, UserId};
pub use inspect::{Expected, Fields, Inspection, KeyVerdict, PrivateMapFields, Verdict, inspect};
pub use key::SecretKey;
pub use private_map::{Privileges, Room};
pub use sign::Signer;
pub use verify::{MalformedTicket, UnverifiedTicket};

use base64::alphabet::Alphabet;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{NO_PAD, STANDARD as BASE64};

/// The base64 around a ticket, with `*` and `-` for `+` and `/`; then `_` for `=`, which it neither writes nor takes.
const TICKET_BASE64: GeneralPurpose = GeneralPurpose::new(
    &match Alphabet::new("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789*-") {
        Ok(alphabet) => alphabet,
        Err(_) => panic!("64 distinct characters"),
    },
    NO_PAD,
);

/// The version that every ticket of this protocol names in `TLS.ver`.
const VERSION: &str = "2.0";
