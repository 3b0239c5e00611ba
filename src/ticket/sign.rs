//! Signs tickets: one signer for each app, prepared once and used for every request.

use std::io::Write;

use base64::Engine;
use flate2::{Compression, write::ZlibEncoder};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::private_map::userbuf;
use super::{
    BASE64, Fingerprint, Lifetime, Privileges, Room, SdkAppId, SecretKey, UnixTime, UserId, VERSION, signed_text,
};

/// Signs tickets of one app with one secret.
pub struct Signer {
    app: SdkAppId,
    mac: Hmac<Sha256>,
    fingerprint: Fingerprint,
}

impl Signer {
    /// A signer for the tickets of `app`.
    #[must_use]
    pub fn new(app: SdkAppId, key: &SecretKey) -> Self {
        Self { app, mac: key.mac(), fingerprint: key.fingerprint() }
    }

    /// Which key this signer holds.
    #[must_use]
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// A `UserSig`: proof to Chat and TRTC that its holder is `user`, for `lifetime` from `issued_at` on.
    #[must_use]
    pub fn user_sig(&self, user: &UserId, issued_at: UnixTime, lifetime: Lifetime) -> String {
        self.ticket(user, issued_at, lifetime, None)
    }

    /// A `PrivateMapKey`: a ticket that also lets `user` do in `room` what `privileges` say.
    #[must_use]
    pub fn private_map_key(
        &self,
        user: &UserId,
        room: &Room,
        privileges: Privileges,
        issued_at: UnixTime,
        lifetime: Lifetime,
    ) -> String {
        let expires_at = issued_at.plus(lifetime.as_secs().into()).as_secs();
        let buf = userbuf(user.as_str(), self.app.get(), room, expires_at, privileges);
        self.ticket(user, issued_at, lifetime, Some(&BASE64.encode(buf)))
    }

    fn ticket(&self, user: &UserId, issued_at: UnixTime, lifetime: Lifetime, userbuf: Option<&str>) -> String {
        let (app, time, expire) = (self.app.get(), issued_at.as_secs(), u64::from(lifetime.as_secs()));
        let text = signed_text(user.as_str(), app, time, expire, userbuf);
        let mac = BASE64.encode(self.mac.clone().chain_update(text).finalize().into_bytes());
        let userbuf = userbuf.map(|buf| format!(r#","TLS.userbuf":"{buf}""#)).unwrap_or_default();
        let json = format!(
            r#"{{"TLS.ver":"{VERSION}","TLS.identifier":"{user}","TLS.sdkappid":{app},"TLS.time":{time},"TLS.expire":{expire}{userbuf},"TLS.sig":"{mac}"}}"#,
        );
        let mut zlib = ZlibEncoder::new(Vec::with_capacity(256), Compression::default());
        zlib.write_all(json.as_bytes()).and_then(|()| zlib.finish()).map_or_else(
            |_| unreachable!("a Vec takes all that is written to it"),
            |zlib| BASE64.encode(zlib).replace('+', "*").replace('/', "-").replace('=', "_"),
        )
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer(app {}, key {})", self.app, self.fingerprint)
    }
}
