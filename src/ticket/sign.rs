//! Signs tickets: one signer for each app and key, prepared once and used for every request.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::layout::{Layout, Variables};
use super::private_map::userbuf;
use super::scratch::Scratch;
use super::{Lifetime, Privileges, Room, SdkAppId, SecretKey, UnixTime, UserId};

/// Signs tickets of one app with one secret.
///
/// What an app's tickets have in common is prepared here: the HMAC has taken in the key, and the JSON's constant parts
/// are compressed. A `UserSig` then costs about twice its HMAC, and one allocation: the ticket itself.
pub struct Signer {
    /// The secret that it signs with.
    pub key: SecretKey,
    app: SdkAppId,
    mac: Hmac<Sha256>,
    /// The signed text between user and time.
    signed_app: String,
    layout: Layout,
}

impl Signer {
    /// A signer for the tickets of `app`.
    pub fn new(app: SdkAppId, key: SecretKey) -> Self {
        let signed_app = format!("\nTLS.sdkappid:{app}\nTLS.time:");
        Self { app, mac: key.mac(), key, signed_app, layout: Layout::new(app) }
    }

    /// A `UserSig`: proof to Chat and TRTC that its holder is `user`, for `lifetime` from `issued_at` on.
    pub fn user_sig(&self, user: &UserId, issued_at: UnixTime, lifetime: Lifetime) -> String {
        self.ticket(user, issued_at, lifetime, None)
    }

    /// A `PrivateMapKey`: a ticket that also lets `user` do in `room` what `privileges` say.
    pub fn private_map_key(
        &self,
        user: &UserId,
        room: &Room,
        privileges: Privileges,
        issued_at: UnixTime,
        lifetime: Lifetime,
    ) -> String {
        let expires_at = issued_at.plus(lifetime.as_secs().into());
        let userbuf = userbuf(user, self.app, room, expires_at, privileges);
        self.ticket(user, issued_at, lifetime, Some(userbuf.as_bytes()))
    }

    /// Signs what `signed_text` says, put together without formatting: that alone would take as long as the rest.
    #[inline]
    fn ticket(&self, user: &UserId, issued_at: UnixTime, lifetime: Lifetime, userbuf: Option<&[u8]>) -> String {
        let mut text = Scratch::<128>::new();
        text.push(b"TLS.identifier:");
        text.push(user.as_str().as_bytes());
        text.push(self.signed_app.as_bytes());
        let time = text.push_decimal(issued_at.as_secs());
        text.push(b"\nTLS.expire:");
        let expire = text.push_decimal(lifetime.as_secs().into());
        text.push(b"\n");
        let mut mac = self.mac.clone();
        mac.update(&text);
        if let Some(userbuf) = userbuf {
            mac.update(b"TLS.userbuf:");
            mac.update(userbuf);
            mac.update(b"\n");
        }
        let mac = mac.finalize().into_bytes().into();
        self.layout.ticket(&Variables { user, mac: &mac, expire: &text[expire], time: &text[time], userbuf })
    }
}
