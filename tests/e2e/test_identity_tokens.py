"""Tokens that are not good: forwarded, but never looked up, never stored, never joined.

The origin answers everybody, so only the proxy can tell who gets what.
"""

import base64
import json
import time

import pytest

from lib.cache import miss_then_hit, seen
from lib.tokens import (SECRET, KeyPair, b64url, bearer, make_jwt, raw_jwt, tamper, unsigned_jwt)

CONF = f"""
upstream main %ORIGIN%
jwt      main alg=HS256 secret={SECRET} iss=https://login.example.com aud=api
identity org  jwt=main claim=organizationId
identity user jwt=main claim=profile.id
route GET /mine  {{ key mine:{{org}}; ttl 60s }}
route GET /user  {{ key user:{{user}}; ttl 60s }}
route GET /any   {{ scope authenticated; key any; ttl 60s }}
"""
CLAIMS = {"organizationId": "org-1", "profile": {"id": "ann"}, "iss": "https://login.example.com",
          "aud": "api"}
RSA = KeyPair("RSA")


def token(**changes):
    """A good token, but for these claims; None leaves one out."""
    claims = {k: v for k, v in dict(CLAIMS, **changes).items() if v is not None}
    return make_jwt(claims, expires_in=None if "exp" in changes else 300)


def signature_changed():
    head, body, signature = token().split(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
    raw[0] ^= 1
    return f"{head}.{body}.{b64url(bytes(raw))}"


HS = {"alg": "HS256", "typ": "JWT"}
LATER = int(time.time()) + 3600
GOOD_BODY = dict(CLAIMS, exp=LATER)
REFUSED = {
    "unsigned": unsigned_jwt(GOOD_BODY),
    "unsigned, None": raw_jwt({"alg": "None"}, GOOD_BODY).rsplit(".", 1)[0] + ".",
    "signature left out": token().rsplit(".", 1)[0] + ".",
    "two parts": token().rsplit(".", 1)[0],
    "signature changed": signature_changed(),
    "claims changed": tamper(token(), organizationId="org-2"),
    "another secret": make_jwt(CLAIMS, "another-secret-of-more-than-32-bytes!"),
    "another algorithm": make_jwt(CLAIMS, alg="HS512"),
    "another kind of key": RSA.sign(CLAIMS, "RS256"),
    "expired": token(exp=int(time.time()) - 1),
    "expired long ago": token(exp=1),
    "no expiry": token(exp=None),
    "expiry as text": raw_jwt(HS, dict(CLAIMS, exp=str(LATER))),
    "not yet valid": token(nbf=int(time.time()) + 600),
    "another issuer": token(iss="https://evil.example"),
    "no issuer": token(iss=None),
    "another audience": token(aud="other"),
    "no audience": token(aud=None),
    "critical extension": raw_jwt(dict(HS, crit=["x"], x=1), GOOD_BODY),
    "duplicate claim": raw_jwt(HS, '{"organizationId":"org-1","organizationId":"org-2","iss":'
                               f'"https://login.example.com","aud":"api","exp":{LATER}}}'),
    "not base64url": token().replace(".", ".=", 1),
    "empty": "",
    "nonsense": "abc",
    "huge": token(padding="x" * 20000),
}


def ask(proxy, target, value):
    return proxy.get(target, bearer(value))


@pytest.mark.parametrize("case", [c for c in REFUSED if c != "huge"])
def test_refused_token_gets_nothing(larder, origin, case):
    bad = REFUSED[case]
    proxy = larder(CONF, origin=origin.url)
    for target in ("/mine", "/user", "/any"):
        # Nothing is stored under it …
        for _ in range(2):
            answer = ask(proxy, target, bad)
            assert answer.status == 200 and seen(answer) == ("BYPASS", "bad-identity"), target
        good = miss_then_hit(proxy, target, bearer(token()))
        # … and nothing that is stored is shown to it.
        answer = ask(proxy, target, bad)
        assert answer.body != good.body and seen(answer) == ("BYPASS", "bad-identity")
    assert proxy.stderr().count("organizationId") == 0


def test_oversized_token_gets_nothing(larder, origin):
    """Refused by the limits on the head, or by that on tokens."""
    proxy = larder(CONF + "limits header_bytes=64kb header_line=64kb\n", origin=origin.url)
    good = miss_then_hit(proxy, "/mine", bearer(token()))
    answer = ask(proxy, "/mine", REFUSED["huge"])
    assert seen(answer) == ("BYPASS", "bad-identity") and answer.body != good.body


@pytest.mark.parametrize("fields,reasons", [
    ([], ("no-org", "no-user", "no-identity")),
    ([("Authorization", "Basic YW5uOnNlY3JldA==")], ("no-org", "no-user", "no-identity")),
    ([("Authorization", "")], ("no-org", "no-user", "no-identity")),
    ([("Cookie", "token=x; Authorization=y")], ("no-org", "no-user", "no-identity")),
    ([("X-Org-Id", "org-1"), ("X-User", "ann"), ("organizationId", "org-1")],
     ("no-org", "no-user", "no-identity")),
    ([("Proxy-Authorization", "Bearer " + token())], ("no-org", "no-user", "no-identity")),
])
def test_no_token(larder, origin, fields, reasons):
    proxy = larder(CONF, origin=origin.url)
    for target, why in zip(("/mine", "/user", "/any"), reasons):
        assert seen(proxy.get(target, fields)) == ("BYPASS", why)
        good = miss_then_hit(proxy, target, bearer(token()))
        answer = proxy.get(target, fields)
        assert seen(answer) == ("BYPASS", why) and answer.body != good.body


@pytest.mark.parametrize("claims,target,word", [
    ({"organizationId": None}, "/mine", "no-org"),
    ({"organizationId": ""}, "/mine", "no-org"),
    ({"organizationId": True}, "/mine", "no-org"),
    ({"organizationId": ["org-1"]}, "/mine", "no-org"),
    ({"organizationId": {"id": "org-1"}}, "/mine", "no-org"),
    ({"organizationId": 1.5}, "/mine", "no-org"),
    ({"organizationId": 2 ** 53}, "/mine", "no-org"),
    ({"profile": None}, "/user", "no-user"),
    ({"profile": "ann"}, "/user", "no-user"),
    ({"profile": {}}, "/user", "no-user"),
    ({"profile": None, "profile.id": "ann"}, "/user", "no-user"),
])
def test_valid_token_without_the_claim(larder, origin, claims, target, word):
    proxy = larder(CONF, origin=origin.url)
    good = miss_then_hit(proxy, target, bearer(token()))
    for _ in range(2):
        answer = proxy.get(target, bearer(token(**claims)))
        assert seen(answer) == ("BYPASS", word) and answer.body != good.body
    # Signed in it is all the same.
    assert proxy.get("/any", bearer(token(**claims))).x_cache in ("MISS", "HIT")


def test_two_authorization_fields(larder, origin):
    """Which one would the backend read?"""
    proxy = larder(CONF, origin=origin.url)
    good = miss_then_hit(proxy, "/mine", bearer(token()))
    both = bearer(token()) + bearer(token(organizationId="org-2"))
    for fields in (both, both[::-1], bearer(token()) * 2):
        answer = proxy.get("/mine", fields)
        assert answer.status == 400 or seen(answer) == ("BYPASS", "bad-identity")
        assert answer.body != good.body


def test_identities_that_look_alike_are_different(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    names = ["org-1", "org-1 ", "ORG-1", "org-1:", "org-1*", "*", "org%2D1", "org-1#x", "org-1\n",
             "~a", "~e", "é", "{org}", 1, "1x", "a" * 200, "a" * 201]
    bodies = [miss_then_hit(proxy, "/mine", bearer(token(organizationId=n))).body for n in names]
    assert len(set(bodies)) == len(names)


def test_the_scheme_is_not_case_sensitive(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    good = miss_then_hit(proxy, "/mine", bearer(token()))
    for scheme in ("bearer", "BEARER", "Bearer "):
        assert proxy.get("/mine", [("Authorization", f"{scheme} {token()}")]).body == good.body


def test_no_token_is_ever_in_the_log(larder, origin):
    proxy = larder(CONF + "error_log level=debug\n", origin=origin.url)
    sent = [token(), REFUSED["expired"], REFUSED["claims changed"]]
    for value in sent:
        ask(proxy, "/mine", value)
    proxy.access_log(len(sent))
    for value in sent:
        for part in value.split("."):
            assert part not in proxy.stdout() + proxy.stderr()
    assert json.dumps("org-2") not in proxy.stdout()
