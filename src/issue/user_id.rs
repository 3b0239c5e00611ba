//! How a session's subject becomes a user id of Chat and TRTC. No two subjects of one rule become one user.

use sha2::{Digest, Sha256};

use crate::ticket::{FieldError, UserId};

/// How a session's subject becomes a user id, before the rule's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserIdMapping {
    /// The subject unchanged.
    AsIs,
    /// A UUID without its hyphens, since 36 bytes are over the limit of 32; any other subject unchanged.
    StripHyphens,
    /// The hex digits of the subject's SHA-256, as many as fit behind the prefix.
    Sha256,
}

/// Why a subject cannot become a user id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnusableSubject {
    /// What the mapping makes of it is not a user id.
    #[error("the user id that the session yields {0}")]
    NotAUserId(#[from] FieldError),
    /// `strip-hyphens` would make the same user of a UUID with these digits.
    #[error("the subject is 32 hex digits, to which user_id = \"strip-hyphens\" shortens a UUID of another user")]
    LooksStripped,
}

impl UserIdMapping {
    /// The longest prefix beside a hash, which leaves it 25 hex digits, 100 bits: too many for two users to share.
    pub const MAX_PREFIX_BEFORE_HASH: usize = 7;

    /// The user id of `subject` in a rule whose users begin with `prefix`.
    ///
    /// # Errors
    /// When no user id can be made of it.
    pub fn map(self, subject: &str, prefix: &str) -> Result<UserId, UnusableSubject> {
        if subject.is_empty() {
            // No check yields one; behind a prefix it would be a user like any other.
            return Err(FieldError::UserIdLength.into());
        }
        let id = match self {
            Self::StripHyphens if is_uuid(subject) => format!("{prefix}{}", subject.replace('-', "")),
            Self::StripHyphens if is_stripped_uuid(subject) => return Err(UnusableSubject::LooksStripped),
            Self::AsIs | Self::StripHyphens => format!("{prefix}{subject}"),
            Self::Sha256 => {
                // Behind a longer prefix than the configuration admits, the id would be too long rather than ambiguous.
                let digits = UserId::MAX_LEN - prefix.len().min(Self::MAX_PREFIX_BEFORE_HASH);
                format!("{prefix}{}", &hex::encode(Sha256::digest(subject))[..digits])
            }
        };
        Ok(id.try_into()?)
    }

    /// Whether some subject becomes `user` in a rule whose users begin with `prefix`.
    pub fn can_yield(self, user: &str, prefix: &str) -> bool {
        let Some(mapped) = user.strip_prefix(prefix) else { return false };
        let is_user_id = !mapped.is_empty() && user.parse::<UserId>().is_ok();
        match self {
            Self::AsIs | Self::StripHyphens => is_user_id,
            Self::Sha256 => {
                let is_hash = mapped.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                is_user_id && is_hash && user.len() == UserId::MAX_LEN
            }
        }
    }
}

/// Whether `text` has the form 8-4-4-4-12 of a UUID (RFC 9562).
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_stripped_uuid(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const UUID: &str = "7d444840-9dc0-11d1-b245-5ffdce74fad2";
    const MAPPINGS: [UserIdMapping; 3] = [UserIdMapping::AsIs, UserIdMapping::StripHyphens, UserIdMapping::Sha256];

    fn map(mapping: UserIdMapping, subject: &str, prefix: &str) -> Result<String, UnusableSubject> {
        mapping.map(subject, prefix).map(|user| user.as_str().to_owned())
    }

    #[test]
    fn strip_hyphens_changes_uuids_only() {
        let strip = |subject| map(UserIdMapping::StripHyphens, subject, "");
        assert_eq!(strip(UUID), Ok("7d4448409dc011d1b2455ffdce74fad2".into()));
        assert_eq!(strip("a-b"), Ok("a-b".into()));
        assert_eq!(map(UserIdMapping::StripHyphens, UUID, "u_"), Err(FieldError::UserIdLength.into()));
        assert_eq!(map(UserIdMapping::AsIs, UUID, ""), Err(FieldError::UserIdLength.into()));
    }

    #[test]
    fn strip_hyphens_refuses_what_a_uuid_is_shortened_to() {
        let strip = |subject: &str| map(UserIdMapping::StripHyphens, subject, "");
        for subject in ["7d4448409dc011d1b2455ffdce74fad2", "7D4448409DC011D1B2455FFDCE74FAD2", &"0".repeat(32)] {
            assert_eq!(strip(subject), Err(UnusableSubject::LooksStripped), "{subject}");
            assert_eq!(map(UserIdMapping::AsIs, subject, ""), Ok(subject.into()));
        }
        assert_eq!(strip(&"0".repeat(31)), Ok("0".repeat(31)));
        assert_eq!(strip(&"g".repeat(32)), Ok("g".repeat(32)));
    }

    #[test]
    fn sha256_takes_as_many_digits_as_fit() {
        // sha256("1001") = fe675fe7aaee830b6fed09b64e034f84…
        assert_eq!(map(UserIdMapping::Sha256, "1001", ""), Ok("fe675fe7aaee830b6fed09b64e034f84".into()));
        assert_eq!(map(UserIdMapping::Sha256, "1001", "u234567"), Ok("u234567fe675fe7aaee830b6fed09b64".into()));
        assert_eq!(map(UserIdMapping::Sha256, "1001", "u2345678"), Err(FieldError::UserIdLength.into()));
    }

    #[test]
    fn a_user_that_no_subject_becomes_is_recognised() {
        for (mapping, user, prefix, can) in [
            (UserIdMapping::AsIs, "boss", "", true),
            (UserIdMapping::AsIs, "boss", "u_", false),
            (UserIdMapping::AsIs, "u_", "u_", false),
            (UserIdMapping::AsIs, "a b", "", false),
            (UserIdMapping::StripHyphens, UUID, "", false),
            (UserIdMapping::StripHyphens, "7d4448409dc011d1b2455ffdce74fad2", "", true),
            (UserIdMapping::Sha256, "boss", "", false),
            (UserIdMapping::Sha256, "fe675fe7aaee830b6fed09b64e034f84", "", true),
            (UserIdMapping::Sha256, "fe675fe7aaee830b6fed09b64e034f84", "u_", false),
            (UserIdMapping::Sha256, "FE675FE7AAEE830B6FED09B64E034F84", "", false),
            (UserIdMapping::Sha256, "fe675fe7aaee830b6fed09b64e034f8", "", false),
        ] {
            assert_eq!(mapping.can_yield(user, prefix), can, "{mapping:?} {user} {prefix}");
        }
    }

    /// Subjects as back ends have them, and those that a mapping could confuse with each other: the same digits with
    /// hyphens and without, and in both cases.
    fn subjects() -> impl Strategy<Value = Vec<String>> {
        let subject = prop_oneof!["[0-9a-fA-F]{32}", "[A-Za-z0-9_-]{1,36}", "[ -~]{1,40}"];
        subject.prop_map(|subject| {
            let mut all =
                vec![subject.clone(), subject.to_lowercase(), subject.to_uppercase(), subject.replace('-', "")];
            if is_stripped_uuid(&subject) {
                let uuid = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| &subject[range]).join("-");
                all.extend([uuid.to_lowercase(), uuid.to_uppercase(), uuid]);
            }
            all
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_mapping_makes_one_user_of_two_subjects(subjects in subjects(), prefix in "[A-Za-z0-9_-]{0,31}") {
            for mapping in MAPPINGS {
                let mut subject_of = HashMap::new();
                for subject in &subjects {
                    let Ok(user) = map(mapping, subject, &prefix) else { continue };
                    prop_assert!(mapping.can_yield(&user, &prefix), "{mapping:?} yields {user}");
                    let first = subject_of.entry(user).or_insert(subject);
                    prop_assert_eq!(*first, subject, "{:?} makes one user of both", mapping);
                }
            }
        }
    }
}
