//! Services with one rule, `victim`, in front of one back end: what most tests begin with.

use crate::support::client::Call;
use crate::support::clock::eventually;
use crate::support::redis::Redis;
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};
use crate::verdict::ask;

/// A session id as Express makes them.
pub(crate) const ID: &str = "J7NtoFxydheXskmww0KBwc_lwMDU1u-7";

/// A rule by the name `victim` that reads plain session ids from this Redis.
pub(crate) fn redis_rule(address: impl std::fmt::Display) -> Setup {
    let rule = "[[session]]\nname = \"victim\"\nfrom = \"header:x-session\"\ncheck = \"redis\"\nkey = \"sess:{id}\"\nuser = \"/user\"\n";
    Setup::new([parts::ONE_APP, rule, &format!("url = \"redis://{address}/0\"\n")].concat())
}

/// A rule by the name `victim` that asks this back end.
pub(crate) fn http_rule(address: impl std::fmt::Display) -> Setup {
    let rule = "[[session]]\nname = \"victim\"\nfrom = \"header:x-session\"\ncheck = \"http\"\nuser = \"/user\"\n";
    Setup::new([parts::ONE_APP, rule, &format!("url = \"http://{address}/me\"\n")].concat())
}

/// Presents [`ID`].
pub(crate) fn present(call: Call<'_>) -> Call<'_> {
    call.header("x-session", ID)
}

/// Makes [`ID`] a session of alice.
pub(crate) fn remember(redis: &Redis) {
    redis.set(&format!("sess:{ID}"), r#"{"user":"alice"}"#);
}

/// Waits until alice gets tickets again.
pub(crate) fn back(service: &Service) {
    eventually("the service is back by itself", || (ask(service, present).status == 200).then_some(()));
}
