"""Keys from a JWKS URL: fetched off the request path, kept, rotated."""

import pytest

from lib.cache import miss_then_hit, seen
from lib.origin import answer
from lib.tokens import SECRET, KeyPair, bearer, jwks, raw_jwt
from lib.wait import eventually

CONF = """
upstream main %ORIGIN%
jwt      main alg=%ALG% jwks=%KEYS%/jwks.json
identity org jwt=main claim=organizationId
route GET /mine { key mine:{org}; ttl 60s }
"""
CLAIMS = {"organizationId": "org-1"}
KINDS = [("RSA", "RS256"), ("RSA", "PS256"), ("EC", "ES256"), ("Ed25519", "EdDSA")]


def serve(origin, *pairs):
    origin.route("/jwks.json", answer(200, jwks(*pairs), {"Content-Type": "application/json"}))


@pytest.mark.parametrize("kind,alg", KINDS, ids=[k[1] for k in KINDS])
def test_keys_from_a_url(larder, origin, make_origin, kind, alg):
    keys, good, other = make_origin(), KeyPair(kind, "k1"), KeyPair(kind, "k1")
    serve(keys, good)
    proxy = larder(CONF, origin=origin.url, keys=keys.url, alg=alg)
    signed = bearer(good.sign(CLAIMS, alg))
    eventually(lambda: proxy.get("/mine", signed).x_cache == "HIT")
    answer_ = proxy.get("/mine", bearer(other.sign(CLAIMS, alg)))
    assert seen(answer_) == ("BYPASS", "bad-identity")


def test_the_public_key_is_no_secret(larder, origin, make_origin):
    """Key confusion: HS256 with the text of the public key."""
    keys, pair = make_origin(), KeyPair("RSA")
    serve(keys, pair)
    proxy = larder(CONF, origin=origin.url, keys=keys.url, alg="RS256")
    signed = bearer(pair.sign(CLAIMS, "RS256"))
    eventually(lambda: proxy.get("/mine", signed).x_cache == "HIT")
    for key in (pair.pem, pair.pem.strip(), pair.jwk["n"], SECRET, ""):
        for head in ({"alg": "HS256", "kid": "k1"}, {"alg": "RS256", "kid": "k1"}):
            forged = raw_jwt(head, dict(CLAIMS, exp=4102444800), key)
            assert seen(proxy.get("/mine", bearer(forged))) == ("BYPASS", "bad-identity")
    inline = {"alg": "RS256", "jwk": KeyPair("RSA").jwk, "jku": f"{keys.url}/evil.json"}
    forged = raw_jwt(inline, dict(CLAIMS, exp=4102444800))
    assert seen(proxy.get("/mine", bearer(forged))) == ("BYPASS", "bad-identity")
    assert keys.count("/evil.json") == 0


def test_no_keys_no_hits(larder, origin, make_origin):
    """While the keys cannot be had, requests are forwarded and nothing is stored."""
    keys, pair = make_origin(), KeyPair("EC")
    keys.route("/jwks.json", answer(503, b"away"))
    proxy = larder(CONF, origin=origin.url, keys=keys.url, alg="ES256")
    signed = bearer(pair.sign(CLAIMS, "ES256"))
    for _ in range(3):
        answer_ = proxy.get("/mine", signed)
        assert answer_.status == 200 and seen(answer_) == ("BYPASS", "identity-keys")


def test_rotation(larder, origin, make_origin):
    keys, old, new = make_origin(), KeyPair("EC", "old"), KeyPair("EC", "new")
    serve(keys, old)
    proxy = larder(CONF, origin=origin.url, keys=keys.url, alg="ES256")
    was, becomes = (bearer(p.sign(CLAIMS, "ES256")) for p in (old, new))
    eventually(lambda: proxy.get("/mine", was).x_cache == "HIT")
    # The authority changes its key; a token with the new kid makes Larder look.
    serve(keys, new)
    eventually(lambda: proxy.get("/mine", becomes).x_cache == "HIT", 15)
    # A key that is not there (any more) could still come: the reason says so.
    assert seen(proxy.get("/mine", was)) == ("BYPASS", "identity-keys")


def test_a_failed_fetch_keeps_the_keys(larder, origin, make_origin):
    keys, pair = make_origin(), KeyPair("EC", "k1")
    serve(keys, pair)
    proxy = larder(CONF, origin=origin.url, keys=keys.url, alg="ES256")
    signed = bearer(pair.sign(CLAIMS, "ES256"))
    eventually(lambda: proxy.get("/mine", signed).x_cache == "HIT")
    keys.route("/jwks.json", answer(200, b"{not json"))
    unknown = bearer(KeyPair("EC", "k2").sign(CLAIMS, "ES256"))
    assert seen(proxy.get("/mine", unknown))[0] == "BYPASS"
    assert proxy.get("/mine", signed).x_cache == "HIT"
    assert miss_then_hit(proxy, "/mine", bearer(pair.sign({"organizationId": "org-2"}, "ES256")))
