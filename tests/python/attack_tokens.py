"""Makes tokens that no rule may accept, with PyJWT and jwcrypto, and one of each rule that it must accept.

Reads the rules' keys as JSON from standard input; writes one JSON object a line: {"name", "token", "valid": rule or null}.
What it does not know are the private keys; tokens under "signed" were made with them, and are taken apart here.
"""

import base64
import json
import sys
import warnings

import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from jwcrypto import jwe, jwk, jws
from jwcrypto.common import json_encode

# The keys of these attacks are weak on purpose.
warnings.simplefilter("ignore")

given = json.load(sys.stdin)
NOW = given["now"]
CLAIMS = {"sub": "mallory", "iss": given["issuer"], "aud": "im", "iat": NOW - 10, "exp": NOW + 3600}
SECRET = given["secret"].encode()
made = []


def b64(data):
    if isinstance(data, dict | list):
        data = json.dumps(data)
    if isinstance(data, str):
        data = data.encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def attack(name, token):
    made.append({"name": name, "token": token if isinstance(token, str) else token.decode(), "valid": None})


def hs(secret, header, claims, algorithm="HS256"):
    """A compact token of exactly this header and these claims, each JSON or already text."""
    message = f"{b64(header)}.{b64(claims)}"
    digest = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}[algorithm]
    import hashlib
    import hmac

    return f"{message}.{b64(hmac.new(secret, message.encode(), getattr(hashlib, digest)).digest())}"


# --- the attacker's own keys -----------------------------------------------------------------------------------------
own_rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
own_ec = ec.generate_private_key(ec.SECP256R1())
own_ed = ed25519.Ed25519PrivateKey.generate()
own_secret = b"a secret that the attacker has thought of"
OWN = {"RS256": own_rsa, "PS256": own_rsa, "ES256": own_ec, "EdDSA": own_ed, "HS256": own_secret}


def own_jwk(algorithm):
    if algorithm == "HS256":
        return {"kty": "oct", "k": b64(own_secret)}
    pem = OWN[algorithm].public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return jwk.JWK.from_pem(pem).export_public(as_dict=True)


# --- none ------------------------------------------------------------------------------------------------------------
for alg in ["none", "None", "NONE", "nOnE", "NonE", " none", "none ", "", "null", "NULL", "\u0000none"]:
    message = f"{b64({'alg': alg, 'typ': 'JWT'})}.{b64(CLAIMS)}"
    for tail in ["", ".", "..", f".{b64('x')}", f".{b64(bytes(32))}"]:
        attack(f"none: {alg!r} {tail!r}", message + tail)
attack("none: PyJWT", jwt.encode(CLAIMS, None, algorithm="none"))
for rule, token in given["signed"].items():
    head, body, signature = token.split(".")
    attack(f"none: the signature of {rule} taken away", f"{head}.{body}.")
    attack(f"none: the alg of {rule} changed", f"{b64({'alg': 'none'})}.{body}.{signature}")
    attack(f"none: the alg of {rule} changed, no signature", f"{b64({'alg': 'none'})}.{body}.")

# --- alg that is none of the names ------------------------------------------------------------------------------------
for alg in [None, True, 0, 1, [], ["HS256"], {}, {"HS256": 1}, "hs256", "Hs256", "HS256\u0000", "HS256,none", "HMAC", "HS1",
            "HS128", "HS2560", "ES256K", "ES512", "RSA1_5", "RS1", "dir", "PBES2-HS256+A128KW", "A256GCM"]:
    attack(f"alg: {alg!r} under the attacker's secret", hs(own_secret, {"alg": alg}, CLAIMS))
    attack(f"alg: {alg!r} under the rule's secret", hs(SECRET, {"alg": alg}, CLAIMS))
attack("alg: missing", hs(SECRET, {"typ": "JWT"}, CLAIMS))
attack("alg: twice", hs(SECRET, '{"alg":"none","alg":"HS256"}', CLAIMS))
attack("alg: twice, other way", hs(SECRET, '{"alg":"HS256","alg":"none"}', CLAIMS))
for other in ["HS384", "HS512"]:
    attack(f"alg: {other}, which the rule does not list", hs(SECRET, {"alg": other}, CLAIMS, other))

# --- confusion: public keys as secrets --------------------------------------------------------------------------------
for name, pem in given["public"].items():
    key = serialization.load_pem_public_key(pem.encode())
    public = jwk.JWK.from_pem(pem.encode())
    raw = {
        "PEM": pem.encode(),
        "PEM without newline": pem.strip().encode(),
        "PEM, CRLF": pem.replace("\n", "\r\n").encode(),
        "PEM, one line": "".join(pem.splitlines()).encode(),
        "DER": key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        "JWK": public.export_public().encode(),
        "thumbprint": public.thumbprint().encode(),
        "base64 of PEM": base64.b64encode(pem.encode()),
    }
    for form, secret in raw.items():
        for alg in ["HS256", "HS384", "HS512"]:
            attack(f"confusion: {name} as {form}, {alg}", hs(secret, {"alg": alg}, CLAIMS, alg))
for kid in given["kids"]:
    attack(f"confusion: the kid {kid} as a secret", hs(kid.encode(), {"alg": "HS256", "kid": kid}, CLAIMS))

# --- keys that a token brings along -----------------------------------------------------------------------------------
for alg, key in OWN.items():
    embedded = {
        "jwk": own_jwk(alg),
        "jwk with a known kid": own_jwk(alg) | {"kid": given["kids"][0]},
        "jku": f"{given['trap']}/jwks.json",
        "x5u": f"{given['trap']}/cert.pem",
        "x5c": ["MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"],
        "x5t": b64(bytes(20)),
        "nothing": None,
    }
    for what, value in embedded.items():
        header = {} if value is None else {what.split()[0]: value}
        for kid in [None, *given["kids"]]:
            extra = header | ({"kid": kid} if kid else {})
            attack(f"embedded: {what}, {alg}, kid {kid}", jwt.encode(CLAIMS, key, algorithm=alg, headers=extra))

# --- kid --------------------------------------------------------------------------------------------------------------
for kid in ["", "../../../../../../dev/null", "/dev/null", "/etc/hostname", "file:///dev/null", "0", "-1", "*", "' OR '1'='1",
            "x' UNION SELECT 'key';--", "| cat /etc/passwd", "$(id)", "%00", "\u0000", given["trap"], "a" * 5000, "\u202e",
            ["x"], {"x": 1}, 0, None, True]:
    for secret in [b"", b"\x00", own_secret]:
        attack(f"kid: {str(kid)[:30]!r} with {secret[:8]!r}", hs(secret, {"alg": "HS256", "kid": kid}, CLAIMS))

# --- guessed secrets --------------------------------------------------------------------------------------------------
for secret in [b"", b" ", b"secret", b"password", b"changeme", b"your-256-bit-secret", b"your_jwt_secret", b"key", b"\x00" * 32,
               b"null", b"undefined", SECRET[:-1], SECRET + b"\n", SECRET.upper(), base64.b64encode(SECRET), SECRET.hex().encode()]:
    attack(f"guessed: {secret[:24]!r}", hs(secret, {"alg": "HS256"}, CLAIMS))

# --- other serialisations ---------------------------------------------------------------------------------------------
for rule, token in given["signed"].items():
    head, body, signature = token.split(".")
    attack(f"serialised: {rule} flattened", json.dumps({"protected": head, "payload": body, "signature": signature}))
    attack(f"serialised: {rule} general",
           json.dumps({"payload": body, "signatures": [{"protected": head, "signature": signature}]}))
    attack(f"serialised: {rule} detached", f"{head}..{signature}")
    attack(f"serialised: {rule} swapped", f"{body}.{head}.{signature}")
    attack(f"serialised: {rule} and more", f"{token}.{signature}")
    attack(f"serialised: {rule} twice", f"{token},{token}")
    attack(f"serialised: {rule} nested", hs(own_secret, {"alg": "HS256", "cty": "JWT"}, json.dumps(token)))
    attack(f"serialised: {rule} padded", ".".join(part + "=" * (-len(part) % 4) for part in token.split(".")) + "=")
    attack(f"serialised: {rule} in the other alphabet", token.replace("-", "+").replace("_", "/") + "/")
    attack(f"serialised: {rule} with another user", f"{head}.{b64(CLAIMS | {'sub': 'administrator'})}.{signature}")
    attack(f"serialised: {rule} with a blank", f"{head}. {body}.{signature}")
    attack(f"serialised: {rule} cut", token[:-4])
    attack(f"serialised: {rule} longer", token + "AAAA")
    attack(f"serialised: {rule} with no signature but zeros", f"{head}.{body}.{b64(bytes(64))}")
general = jws.JWS(json_encode(CLAIMS))
general.add_signature(jwk.JWK(kty="oct", k=b64(own_secret)), None, json_encode({"alg": "HS256"}), None)
general.add_signature(jwk.JWK.from_pyca(own_ec), None, json_encode({"alg": "ES256"}), None)
attack("serialised: two signatures of the attacker's", general.serialize(compact=False))
unencoded = jws.JWS("mallory")
unencoded.add_signature(jwk.JWK(kty="oct", k=b64(SECRET)), None, json_encode({"alg": "HS256", "b64": False, "crit": ["b64"]}), None)
attack("serialised: unencoded payload (RFC 7797)", unencoded.serialize(compact=True))

# --- encryption -------------------------------------------------------------------------------------------------------
for name, pem in given["public"].items():
    key = jwk.JWK.from_pem(pem.encode())
    alg = {"RSA": "RSA-OAEP", "EC": "ECDH-ES"}.get(key["kty"])
    if alg:
        for zipped in [{}, {"zip": "DEF"}]:
            token = jwe.JWE(json_encode(CLAIMS), json_encode({"alg": alg, "enc": "A256GCM"} | zipped), recipient=key)
            attack(f"encrypted: to {name} {zipped}", token.serialize(compact=True))
secret_key = jwk.JWK(kty="oct", k=b64((SECRET + bytes(32))[:32]))
for alg in ["dir", "A256KW"]:
    token = jwe.JWE(json_encode(CLAIMS), json_encode({"alg": alg, "enc": "A256GCM"}), recipient=secret_key)
    attack(f"encrypted: {alg}", token.serialize(compact=True))
attack("encrypted: PBES2 with a million rounds", f"{b64({'alg': 'PBES2-HS256+A128KW', 'enc': 'A128GCM', 'p2c': 1_000_000, 'p2s': b64(bytes(16))})}.{b64(bytes(24))}.{b64(bytes(12))}.{b64(bytes(16))}.{b64(bytes(16))}")

# --- headers and types, rightly signed --------------------------------------------------------------------------------
for crit in [["exp"], ["b64"], [], ["x"], "exp", None, {}]:
    attack(f"crit: {crit!r}", hs(SECRET, {"alg": "HS256", "crit": crit, "b64": True, "x": 1}, CLAIMS))
for typ in ["logout+jwt", "secevent+jwt", "dpop+jwt", "JOSE+JSON", "id_token", "refresh", "", None, 1, ["JWT"]]:
    attack(f"typ: {typ!r}", hs(SECRET, {"alg": "HS256", "typ": typ}, CLAIMS))
for kind in [{"typ": "Refresh"}, {"typ": "ID"}, {"typ": "Offline"}, {"token_use": "id"}, {"token_type": "refresh"}, {"type": "refresh"},
             {"nonce": "x"}, {"at_hash": "x"}]:
    attack(f"kind: {kind}", hs(SECRET, {"alg": "HS256"}, CLAIMS | kind))
for header in ["", "{}", "null", "[]", "x", '"HS256"', '{"alg":"HS256"', '{"alg":"HS256"}x', "\ufeff" + '{"alg":"HS256"}']:
    attack(f"header: {header!r}", hs(SECRET, header, CLAIMS))

# --- claims, rightly signed -------------------------------------------------------------------------------------------
wrong = {
    "exp": [None, "", str(NOW + 3600), NOW - 31, 0, -1, (NOW + 3600) * 1000, 1e300, True, [NOW + 3600], {"x": 1}],
    "nbf": [NOW + 3600, str(NOW), None, True, [0]],
    "iat": [NOW + 3600, str(NOW), None, True, [0]],
    "iss": [None, "", given["issuer"] + "/", given["issuer"].upper(), [given["issuer"]], {"x": 1}, "https://evil.example"],
    "aud": [None, "", "IM", "im ", "imx", "account", [], ["x"], [["im"]], {"im": 1}, True],
    "sub": [None, "", True, 1.5, [], ["alice"], {}, {"id": "alice"}, "administrator", "a b", "a\n", "a" * 33, "\u202ealice", "al\u0000ice"],
}
for claim, values in wrong.items():
    for value in values:
        attack(f"claims: {claim} {str(value)[:30]!r}", hs(SECRET, {"alg": "HS256"}, CLAIMS | {claim: value}))
    missing = {name: value for name, value in CLAIMS.items() if name != claim}
    if claim not in ("nbf", "iat"):
        attack(f"claims: no {claim}", hs(SECRET, {"alg": "HS256"}, missing))
for text in ["", "null", "[]", '"x"', "1", "{", json.dumps(CLAIMS) + "x", json.dumps(CLAIMS)[:-1] + ',"sub":"alice"}',
             json.dumps(CLAIMS)[:-1] + ',"\\u0073ub":"alice"}', json.dumps(CLAIMS)[:-1] + ',"x":{"y":1,"y":2}}',
             json.dumps(CLAIMS).replace(str(NOW + 3600), "NaN"), "\ufeff" + json.dumps(CLAIMS), "[" * 5000]:
    attack(f"claims: {text[:20]!r}…", hs(SECRET, {"alg": "HS256"}, text))
attack("claims: UTF-16", hs(SECRET, {"alg": "HS256"}, json.dumps(CLAIMS).encode("utf-16-le")))
attack("claims: Latin-1", hs(SECRET, {"alg": "HS256"}, json.dumps(CLAIMS | {"sub": "é"}, ensure_ascii=False).encode("latin-1")))

# --- signatures that are nearly right ---------------------------------------------------------------------------------
order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
head, body, signature = given["signed"]["ec"].split(".")
point = base64.urlsafe_b64decode(signature + "==")
r, s = int.from_bytes(point[:32]), int.from_bytes(point[32:])
pair = lambda r, s: b64(r.to_bytes(32) + s.to_bytes(32))
for what, (one, other) in {
    "0, 0": (0, 0), "0, s": (0, s), "r, 0": (r, 0), "n, n": (order, order), "n, s": (order, s), "r, n": (r, order), "1, 1": (1, 1),
    "swapped": (s, r), "r + 1": (r + 1, s), "s + 1": (r, s + 1), "n - 1, n - 1": (order - 1, order - 1),
}.items():
    attack(f"signature: ES256 {what}", f"{head}.{body}.{pair(one, other)}")
    attack(f"signature: ES256 {what}, other claims", f"{head}.{b64(CLAIMS)}.{pair(one, other)}")
attack("signature: ES256 in ASN.1", f"{head}.{body}.{b64(encode_dss_signature(r, s))}")
attack("signature: ES256 in ASN.1, no integers", f"{head}.{body}.{b64(encode_dss_signature(0, 0))}")
message = f"{b64({'alg': 'ES256'})}.{b64(CLAIMS)}"
attack("signature: ES256 by SHA-1", f"{message}.{pair(*decode_dss_signature(own_ec.sign(message.encode(), ec.ECDSA(hashes.SHA1()))))}")
head, body, signature = given["signed"]["ed"].split(".")
point = base64.urlsafe_b64decode(signature + "==")
group = 2**252 + 27742317777372353535851937790883648493
malleable = (int.from_bytes(point[32:], "little") + group).to_bytes(33, "little")[:32]
attack("signature: Ed25519, S + L", f"{head}.{body}.{b64(point[:32] + malleable)}")
for what, data in {"zeros": bytes(64), "identity": b"\x01" + bytes(63), "ones": b"\xff" * 64, "short": point[:63], "long": point + b"\0"}.items():
    attack(f"signature: Ed25519 {what}", f"{head}.{body}.{b64(data)}")
head, body, signature = given["signed"]["rsa"].split(".")
size = len(base64.urlsafe_b64decode(signature + "=="))
for what, data in {"zeros": bytes(size), "one": (1).to_bytes(size), "ones": b"\xff" * size, "empty": b"", "short": b"\1" * 100}.items():
    attack(f"signature: RS256 {what}", f"{head}.{body}.{b64(data)}")
message = f"{b64({'alg': 'RS256'})}.{b64(CLAIMS)}"
for what, scheme, digest in [("PSS under the name RS256", padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()),
                             ("SHA-1", padding.PKCS1v15(), hashes.SHA1()), ("SHA-512", padding.PKCS1v15(), hashes.SHA512())]:
    attack(f"signature: RS256, {what}", f"{message}.{b64(own_rsa.sign(message.encode(), scheme, digest))}")
tiny = rsa.generate_private_key(public_exponent=3, key_size=1024)
attack("signature: RS256 by a short key", jwt.encode(CLAIMS, tiny, algorithm="RS256"))

# --- what must be accepted, so that the refusals mean something -------------------------------------------------------
for rule, token in given["signed"].items():
    made.append({"name": f"right: {rule}", "token": token, "valid": rule})
for line in made:
    print(json.dumps(line))
