"""A hit needs a token that is valid now; the token that filled an entry does not shorten it."""

import time

from lib.cache import seen
from lib.tokens import SECRET, bearer, make_jwt
from lib.wait import eventually

CONF = f"""
upstream main %ORIGIN%
jwt      main alg=HS256 secret={SECRET}
identity org jwt=main claim=organizationId
route GET /mine {{ key mine:{{org}}; ttl 60s }}
"""


def ends_at(moment):
    return bearer(make_jwt({"organizationId": "org-1", "exp": moment}))


def test_token_expires_between_two_requests(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    short = ends_at(int(time.time()) + 2)
    first = proxy.get("/mine", short)
    assert seen(first) == ("MISS", "miss")
    assert proxy.get("/mine", short).x_cache == "HIT"
    after = eventually(lambda: (a := proxy.get("/mine", short)).x_cache != "HIT" and a, 5)
    assert seen(after) == ("BYPASS", "bad-identity") and after.body != first.body
    # The entry outlives it, for whoever has a valid one.
    colleague = proxy.get("/mine", ends_at(int(time.time()) + 300))
    assert colleague.x_cache == "HIT" and colleague.body == first.body


def test_token_becomes_valid(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    now = int(time.time())
    early = bearer(make_jwt({"organizationId": "org-1", "nbf": now + 2, "exp": now + 300}))
    assert seen(proxy.get("/mine", early)) == ("BYPASS", "bad-identity")
    eventually(lambda: proxy.get("/mine", early).x_cache == "HIT", 5)


def test_expired_token_on_a_connection_that_had_hits(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as c:
        for _ in range(3):
            c.get("/mine", ends_at(int(time.time()) + 300))
        assert seen(c.get("/mine", ends_at(1))) == ("BYPASS", "bad-identity")
        assert c.get("/mine", ends_at(int(time.time()) + 300)).x_cache == "HIT"
