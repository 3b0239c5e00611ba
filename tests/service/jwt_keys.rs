//! Keys of a `jwt` rule that are not fit for use: the service does not start with them, and repeats none.

use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair};

use crate::support::keys::{ED25519, P256, P384, RSA};
use crate::support::setup::{Setup, parts};

/// An RSA key of 1024 bits, as they were usual before 2010.
const SHORT_RSA: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDCFhOPNYsQ7Ki3sXIPIxHVShvU
e4KQLR+GiJ0gxoruBxtRrDuA/xMfVMPGoMPQaUd3iObm92psWmNZg6RjcjiaiExq
6dhWECQui9pEXA27nedvoxBV18qQ2girJ2xqNQeSGuAuBbuKOQF98XfaUwjptw5i
VD3hEGtBKz2H4a4jVwIDAQAB
-----END PUBLIC KEY-----
";

/// A rule with this key, which `check` refuses for exactly one reason, told under this name.
#[track_caller]
fn assert_unfit(rule: &str, key: &str, about: &str, advice: &str) {
    let config = [parts::ONE_APP, "[[session]]\nname = \"token\"\nfrom = \"bearer\"\ncheck = \"jwt\"\n", rule].concat();
    let setup = Setup::new(config).file("key", key);
    for finished in [setup.check(), setup.refuse()] {
        assert_eq!(finished.code, Some(1), "{finished:?}");
        let problems: Vec<_> = finished.stderr.lines().filter(|line| line.starts_with("session[0].")).collect();
        assert_eq!(problems.len(), 1, "{}", finished.stderr);
        assert!(problems[0].starts_with(&format!("session[0].{about}:")), "{}", finished.stderr);
        assert!(problems[0].contains(advice), "{advice:?} in {}", finished.stderr);
        for line in key.lines().filter(|line| line.len() > 8 && !line.starts_with("-----")) {
            assert!(!finished.stderr.contains(line), "repeats the key: {}", finished.stderr);
        }
    }
}

const SECRET: &str = "secret = \"file:{dir}/key\"\n";
const PUBLIC_KEY: &str = "public_key = \"file:{dir}/key\"\n";

#[test]
fn an_empty_or_short_secret() {
    for secret in ["", " \n"] {
        assert_unfit(SECRET, secret, "secret", "empty");
    }
    for secret in ["x", "only 31 bytes, which is too few", &"\u{e9}".repeat(15)] {
        assert_unfit(SECRET, secret, "secret", "32");
    }
    assert_unfit(&[SECRET, "secret_encoding = \"base64\"\n"].concat(), "c2hvcnQ=", "secret", "32");
    assert_unfit(&[SECRET, "secret_encoding = \"hex\"\n"].concat(), &"ab".repeat(31), "secret", "32");
}

#[test]
fn a_secret_of_another_encoding() {
    let long = "this is not hex and, with its spaces, not base64 either";
    assert_unfit(&[SECRET, "secret_encoding = \"base64\"\n"].concat(), long, "secret", "secret_encoding");
    assert_unfit(&[SECRET, "secret_encoding = \"hex\"\n"].concat(), long, "secret", "secret_encoding");
}

#[test]
fn a_pem_in_place_of_a_secret() {
    for key in [&*RSA, &*P256] {
        assert_unfit(SECRET, &key.public_pem, "secret", "public_key");
        assert_unfit(SECRET, &key.private_pem, "secret", "public_key");
    }
}

#[test]
fn a_private_key_in_place_of_a_public_one() {
    for key in [&*RSA, &*P256, &*P384, &*ED25519] {
        assert_unfit(PUBLIC_KEY, &key.private_pem, "public_key", "private");
    }
}

#[test]
fn what_is_no_public_key() {
    let certificate = RSA.public_pem.replace("PUBLIC KEY", "CERTIFICATE");
    assert_unfit(PUBLIC_KEY, &certificate, "public_key", "certificate");
    for text in [
        "a secret in place of a key, long enough for one",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
    ] {
        assert_unfit(PUBLIC_KEY, text, "public_key", "PEM");
    }
    assert_unfit(PUBLIC_KEY, "", "public_key", "empty");
}

#[test]
fn a_key_of_a_kind_or_size_that_is_not_used() {
    assert_unfit(PUBLIC_KEY, SHORT_RSA, "public_key", "2048");
    let random = aws_lc_rs::rand::SystemRandom::new();
    let p521 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P521_SHA512_FIXED_SIGNING, &random).expect("a key");
    let p521 = EcdsaKeyPair::from_pkcs8(&ECDSA_P521_SHA512_FIXED_SIGNING, p521.as_ref()).expect("a key");
    assert_unfit(PUBLIC_KEY, &crate::support::keys::public_pem(&p521), "public_key", "P-256");
}

#[test]
fn algorithms_that_do_not_fit_the_key() {
    let secret = "a secret that is long enough for HS256";
    for algs in ["[\"RS256\"]", "[\"HS256\", \"RS256\"]", "[\"ES256\"]", "[\"none\"]", "[\"\"]", "[\"hs256\"]", "[]"] {
        assert_unfit(&format!("{SECRET}algs = {algs}\n"), secret, "algs", "");
    }
    for algs in ["[\"HS256\"]", "[\"RS256\", \"HS256\"]", "[\"ES256\"]", "[\"EdDSA\"]", "[\"none\"]"] {
        assert_unfit(&format!("{PUBLIC_KEY}algs = {algs}\n"), &RSA.public_pem, "algs", "");
    }
    assert_unfit(&format!("{PUBLIC_KEY}algs = [\"ES384\"]\n"), &P256.public_pem, "algs", "ES256");
    assert_unfit(&format!("{PUBLIC_KEY}algs = [\"ES256\"]\n"), &P384.public_pem, "algs", "ES384");
}

#[test]
fn no_key_or_several() {
    assert_unfit("", "", "secret", "missing");
    let both = [SECRET, "public_key = \"file:{dir}/app.key\"\n"].concat();
    assert_unfit(&both, "a secret that is long enough for HS256", "public_key", "one of");
}
