//! The one decision: a session, a request and an app's policy become a ticket, or a reason why not.

mod user_id;

pub use user_id::{UnusableSubject, UserIdMapping};

use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::Value;

use crate::session::{Conditions, Pointer, Session};
use crate::ticket::{Lifetime, Privileges, Room, SdkAppId, SecretKey, Signer, UnixTime, UserId};

/// Whether a user is the default administrator of an app, to whom nothing is issued, in whichever letter case: how
/// Tencent compares the names of administrators is not documented.
pub fn is_administrator(user: &str) -> bool {
    user.eq_ignore_ascii_case("administrator")
}

/// One `SDKAppID` with its key and its policy.
pub struct App {
    /// Which app.
    pub id: SdkAppId,
    /// What is issued, to whom and for how long.
    pub policy: Policy,
    signer: ArcSwap<Signer>,
}

/// What an app issues, to whom and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The lifetime when none is asked for.
    pub expire: Lifetime,
    /// The longest lifetime; what is asked beyond it is cut to it.
    pub max_expire: Lifetime,
    /// Whether a ticket must end with its session.
    pub within_session: bool,
    /// How a subject becomes a user id.
    pub user_id: UserIdMapping,
    /// Users to whom nothing is issued, beside the administrator.
    pub deny_users: Vec<String>,
    /// What must be in the document of the session check.
    pub require: Conditions,
    /// What `PrivateMapKey`s may open; `None` issues none.
    pub private_map_key: Option<RoomPolicy>,
}

impl Default for Policy {
    /// A day, and a week for who asks for it.
    fn default() -> Self {
        let days = |days: u64| Lifetime::try_from(days * 86_400).expect("a possible lifetime");
        Self {
            expire: days(1),
            max_expire: days(7),
            within_session: false,
            user_id: UserIdMapping::AsIs,
            deny_users: Vec::new(),
            require: Conditions::default(),
            private_map_key: None,
        }
    }
}

/// What an app's `PrivateMapKey`s may open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomPolicy {
    /// The most that may be granted, and what is granted when nothing is asked for.
    pub max_privileges: Privileges,
    /// Which rooms.
    pub rooms: Rooms,
}

/// The rooms that a `PrivateMapKey` may open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rooms {
    /// Whichever the caller names.
    Any,
    /// Those in the list to which this points in what the session check returned.
    InSession(Pointer),
}

/// Why a recognised session gets no ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `within_session`, and the session's end is unknown or less than a second away.
    #[error("the session has no known end, or less than a second left, and tickets must end with it")]
    SessionTooShort,
    /// The subject cannot be a user id.
    #[error(transparent)]
    UnusableUserId(#[from] UnusableSubject),
    /// The administrator or another denied user.
    #[error("the user is denied by the app's policy")]
    UserNotPermitted,
    /// The session check did not return what the app's `require` asks for.
    #[error("the session does not meet a require of this app")]
    RequirementUnmet,
    /// The caller names another user than the session does.
    #[error("userId is not the session's user")]
    UserMismatch,
    /// `PrivateMapKey`s are off, or the room or the privileges are outside the policy.
    #[error("{0}")]
    RoomNotPermitted(&'static str),
}

/// A refusal, and whom it concerns.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub reason: Refusal,
    /// The user, or the subject where that did not become a user.
    pub user: String,
}

/// A user to whom the app may issue.
pub struct Admitted {
    /// Who it is.
    pub user: UserId,
    session: Session,
}

/// A ticket of either kind.
pub enum Ticket {
    /// A `UserSig`.
    UserSig(String),
    /// A `PrivateMapKey`.
    PrivateMapKey(String),
}

/// A ticket and what it says.
pub struct Issued {
    /// The ticket.
    pub ticket: Ticket,
    /// For how long.
    pub lifetime: Lifetime,
    /// What signed it, and so with which key.
    pub signer: Arc<Signer>,
}

impl App {
    /// An app that signs with `secret` under `policy`.
    pub fn new(id: SdkAppId, secret: SecretKey, policy: Policy) -> Self {
        Self { id, policy, signer: ArcSwap::from_pointee(Signer::new(id, secret)) }
    }

    /// What signs now.
    pub fn signer(&self) -> Arc<Signer> {
        self.signer.load_full()
    }

    /// Signs with another secret from now on.
    pub fn replace_key(&self, secret: SecretKey) {
        self.signer.store(Arc::new(Signer::new(self.id, secret)));
    }

    /// Decides whether the session's user may have tickets of this app. The users of the rule that recognised the session
    /// begin with `user_prefix`.
    ///
    /// # Errors
    /// The first [`Refusal`] in the order of the HTTP contract.
    pub fn admit(
        &self,
        session: Session,
        user_prefix: &str,
        asserted_user: Option<&str>,
        now: UnixTime,
    ) -> Result<Admitted, Refused> {
        let user = match self.map_user(&session, user_prefix, now) {
            Ok(user) => user,
            Err(reason) => return Err(Refused { reason, user: session.subject }),
        };
        match self.refusal(&user, &session, asserted_user) {
            Some(reason) => Err(Refused { reason, user: user.as_str().to_owned() }),
            None => Ok(Admitted { user, session }),
        }
    }

    fn map_user(&self, session: &Session, user_prefix: &str, now: UnixTime) -> Result<UserId, Refusal> {
        if self.policy.within_session && session.ends_at.is_none_or(|end| end.since(now) < 1) {
            return Err(Refusal::SessionTooShort);
        }
        Ok(self.policy.user_id.map(&session.subject, user_prefix)?)
    }

    fn refusal(&self, user: &UserId, session: &Session, asserted_user: Option<&str>) -> Option<Refusal> {
        let is_denied = self.policy.deny_users.iter().any(|denied| denied == user.as_str());
        if is_administrator(user.as_str()) || is_denied {
            Some(Refusal::UserNotPermitted)
        } else if !self.policy.require.all_hold(&session.document) {
            Some(Refusal::RequirementUnmet)
        } else if asserted_user.is_some_and(|asserted| asserted != user.as_str()) {
            Some(Refusal::UserMismatch)
        } else {
            None
        }
    }

    /// Signs a `UserSig` for an admitted user, or a `PrivateMapKey` for a room. It lives as long as asked for, or as usual, but
    /// no longer than the policy and the session's end allow.
    ///
    /// # Errors
    /// [`Refusal::RoomNotPermitted`] when the room or the privileges are outside the policy.
    pub fn issue(
        &self,
        admitted: &Admitted,
        room: Option<&(Room, Option<Privileges>)>,
        expire: Option<u64>,
        now: UnixTime,
    ) -> Result<Issued, Refusal> {
        let Admitted { user, session } = admitted;
        let policy = &self.policy;
        let asked = expire.map_or(policy.expire, |seconds| Lifetime::try_from(seconds).unwrap_or(Lifetime::MAX));
        let allowed = asked.min(policy.max_expire);
        // `admit` has seen that at least one second is left; more than a lifetime holds does not cut anything.
        let ends_at = session.ends_at.filter(|_| policy.within_session);
        let left = ends_at.and_then(|end| Lifetime::try_from(end.since(now)).ok());
        let lifetime = left.map_or(allowed, |left| allowed.min(left));
        let signer = self.signer();
        let ticket = match room {
            None => Ticket::UserSig(signer.user_sig(user, now, lifetime)),
            Some((room, privileges)) => {
                let privileges = self.privileges_in(room, *privileges, session)?;
                Ticket::PrivateMapKey(signer.private_map_key(user, room, privileges, now, lifetime))
            }
        };
        Ok(Issued { ticket, lifetime, signer })
    }

    /// What the policy lets the session's user do in a room: what is asked for, or else all that it grants.
    fn privileges_in(&self, room: &Room, asked: Option<Privileges>, session: &Session) -> Result<Privileges, Refusal> {
        let policy = self.policy.private_map_key.as_ref();
        let policy = policy.ok_or(Refusal::RoomNotPermitted("this app issues no PrivateMapKeys"))?;
        let privileges = asked.unwrap_or(policy.max_privileges);
        if !privileges.within(policy.max_privileges) {
            return Err(Refusal::RoomNotPermitted("the privileges go beyond what this app grants"));
        }
        let is_open = match &policy.rooms {
            Rooms::Any => true,
            Rooms::InSession(pointer) => {
                let rooms = session.document.at(pointer).and_then(Value::as_array);
                rooms.is_some_and(|rooms| rooms.iter().any(|listed| room.is(listed)))
            }
        };
        if is_open { Ok(privileges) } else { Err(Refusal::RoomNotPermitted("the session does not name this room")) }
    }
}

#[cfg(test)]
mod tests;
