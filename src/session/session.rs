//! What a check yields.

use super::document::Document;
use crate::ticket::UnixTime;

/// A login that a check has recognised.
#[derive(Clone)]
pub struct Session {
    /// Whose it is, as the customer's back end knows the user.
    pub subject: String,
    /// When it ends, where that is known.
    pub ends_at: Option<UnixTime>,
    /// All that the check returned, for policies that read more than the subject.
    pub document: Document,
}
