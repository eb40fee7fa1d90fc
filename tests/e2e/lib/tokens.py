"""JSON Web Tokens: good ones, and bad ones on purpose."""

import base64
import hashlib
import hmac
import json
import time

import jwt

SECRET = "a-test-secret-of-more-than-32-bytes!"


def b64url(data):
    if isinstance(data, str):
        data = data.encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def make_jwt(claims=None, key=SECRET, alg="HS256", headers=None, expires_in=3600, **more):
    """A signed token; exp is added unless expires_in is None or the claims have one."""
    claims = dict(claims or {}, **more)
    if expires_in is not None:
        claims.setdefault("exp", int(time.time()) + expires_in)
    return jwt.encode(claims, key, algorithm=alg, headers=headers)


def bearer(token):
    return [("Authorization", f"Bearer {token}")]


def raw_jwt(header, payload, key=SECRET, digest=hashlib.sha256):
    """HMAC-signs exactly these texts (str, bytes, or something for json.dumps)."""
    parts = [p if isinstance(p, (str, bytes)) else json.dumps(p) for p in (header, payload)]
    signed = ".".join(b64url(p) for p in parts)
    key = key.encode() if isinstance(key, str) else key
    return f"{signed}.{b64url(hmac.new(key, signed.encode(), digest).digest())}"


def unsigned_jwt(claims):
    """alg: none."""
    return f"{b64url(json.dumps({'alg': 'none', 'typ': 'JWT'}))}.{b64url(json.dumps(claims))}."


def tamper(token, **claims):
    """The same header and signature with other claims."""
    head, body, sig = token.split(".")
    old = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return f"{head}.{b64url(json.dumps(dict(old, **claims)))}.{sig}"


class KeyPair:
    """An asymmetric key: .private (object for make_jwt), .pem (public, bytes), .jwk (dict)."""

    def __init__(self, kind, kid="k1"):
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
        if kind == "RSA":
            self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            numbers = self.private.public_key().public_numbers()
            self.jwk = {"kty": "RSA", "n": _uint(numbers.n), "e": _uint(numbers.e)}
        elif kind == "EC":
            self.private = ec.generate_private_key(ec.SECP256R1())
            numbers = self.private.public_key().public_numbers()
            self.jwk = {"kty": "EC", "crv": "P-256", "x": _uint(numbers.x, 32),
                        "y": _uint(numbers.y, 32)}
        elif kind == "Ed25519":
            self.private = ed25519.Ed25519PrivateKey.generate()
            raw = self.private.public_key().public_bytes(
                serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            self.jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64url(raw)}
        else:
            raise ValueError(kind)
        self.kid = kid
        self.jwk.update(kid=kid, use="sig")
        self.pem = self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def sign(self, claims, alg, **kw):
        return make_jwt(claims, self.private, alg, headers={"kid": self.kid}, **kw)


def jwks(*pairs):
    """Text of a JWKS document."""
    return json.dumps({"keys": [p.jwk for p in pairs]})


def _uint(n, size=None):
    return b64url(n.to_bytes(size or (n.bit_length() + 7) // 8, "big"))
