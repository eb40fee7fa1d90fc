"""X-Larder-Debug: the right token explains the answer, and nobody else sees anything of it."""

import pytest

from lib.cache import miss_then_hit
from lib.origin import answer
from lib.tokens import SECRET, bearer, make_jwt

TOKEN = "debug-token-of-enough-bytes"
DEBUG = [("X-Larder-Debug", TOKEN)]
CONF = """
debug_token %TOKEN%
upstream main %ORIGIN%
jwt main alg=HS256 secret=%SECRET%
identity org jwt=main claim=org
defaults { upstream main }
route GET  /a/{id}   { scope public; key a:{id}:{query}; query page; ttl 60s; stale 5s; tag one a:{id} }
route GET  /org/{id} { key org:{org}:{id}; ttl 60s }
route GET  /free/{id} { scope public; key free:{id}; ttl origin }
route POST /a/{id}   { invalidate a:{id}:* }
"""


@pytest.fixture
def proxy(larder, origin):
    return larder(CONF, origin=origin.url, secret=SECRET, token=TOKEN)


def told(response):
    """The debug fields of an answer."""
    return {name.lower()[len("x-larder-"):]: value for name, value in response.headers
            if name.lower().startswith("x-larder-")}


def test_miss_and_hit(proxy, origin):
    first = proxy.get("/a/1?page=2&utm_source=x", DEBUG)
    said = told(first)
    assert said["key"] == "a:1:page=2" and said["route"] == "GET /a/{id} (larder.conf:8)"
    assert said["tags"] == "one, a:1" and said["identity"] == "-"
    assert said["ttl"] == "1m where the origin gives none; stale 5s"
    assert said["explain"] == ("MISS, miss: no entry under this name; dropped: utm_source")
    second = proxy.get("/a/1?page=2", DEBUG)
    assert second.x_cache == "HIT" and second.body == first.body
    assert told(second)["explain"] == "HIT; from memory"
    assert 'key="a:1:page=2"' in second.header("cache-status")
    assert origin.count() == 1


def test_the_rest_of_the_ways(proxy):
    assert told(proxy.get("/a/1?other=2", DEBUG))["explain"].startswith("BYPASS, query: ")
    assert told(proxy.get("/a/1?other=2", DEBUG))["explain"].endswith("; unlisted: other")
    no_route = told(proxy.get("/nowhere", DEBUG))
    assert no_route["key"] == "-" and no_route["explain"].startswith("PASS, no-route")
    assert told(proxy.post("/a/1", b"x", DEBUG))["explain"].startswith("PASS, not-cached")
    refused = proxy.request("TRACE", "/a/1", DEBUG)
    assert refused.status == 405 and told(refused)["explain"].startswith("OWN, method")
    head = proxy.request("HEAD", "/a/9", DEBUG)
    assert told(head)["key"] == "a:9:~e"


def test_identities(proxy):
    good = proxy.get("/org/1", DEBUG + bearer(make_jwt({"org": "acme"}, key=SECRET)))
    assert told(good)["identity"] == "org=ok (jwt main (HS256), claim org)"
    assert told(good)["key"] == "org:acme:1"
    assert told(proxy.get("/org/1", DEBUG))["identity"] == "org=missing (jwt main, claim org)"
    old = proxy.get("/org/1", DEBUG + bearer(make_jwt({"org": "acme"}, key=SECRET, expires_in=-9)))
    assert "org=invalid" in told(old)["identity"] and "it has expired" in told(old)["identity"]


@pytest.mark.parametrize("wrong", [
    [], [("X-Larder-Debug", "")], [("X-Larder-Debug", TOKEN + "x")], [("X-Larder-Debug", TOKEN[:-1])],
    [("X-Larder-Debug", "x" * len(TOKEN))], [("X-Larder-Debug", TOKEN), ("x-larder-debug", "other")],
], ids=["none", "empty", "longer", "shorter", "other", "two"])
def test_a_wrong_token_is_none(proxy, origin, wrong):
    for target in ("/a/1", "/a/1", "/nowhere", "/free/1"):
        response = proxy.get(target, wrong)
        assert told(response) == {} and "key=" not in response.header("cache-status")
    assert all(r.header("x-larder-debug") is None for r in origin.requests)


def test_it_never_reaches_an_origin_nor_an_entry(proxy, origin):
    """Not on a pass, a write, a fill that follows the origin's Vary, nor in what is stored."""
    origin.route("/free/1", answer(200, b"free", {"Cache-Control": "max-age=60",
                                                  "Vary": "X-Larder-Debug"}))
    assert proxy.get("/free/1", DEBUG).x_cache == "MISS"
    plain = proxy.get("/free/1")
    assert plain.x_cache == "HIT" and told(plain) == {}
    proxy.post("/a/1", b"x", DEBUG)
    proxy.get("/nowhere", DEBUG)
    assert proxy.get("/a/2", DEBUG).x_cache == "MISS"
    assert told(proxy.get("/a/2")) == {}
    assert len(origin.requests) == 4
    assert all(r.header("x-larder-debug") is None for r in origin.requests)


def test_what_a_client_sends_cannot_break_the_head(proxy):
    answer_ = proxy.get("/a/%22%5c%0d%0aX-Evil:%201", DEBUG)
    if answer_.status == 200:
        assert answer_.header("x-evil") is None
    long = proxy.get("/a/" + "k" * 4000, DEBUG)
    assert long.status == 200
    assert len(told(long)["key"]) < 530 and told(long)["key"].endswith("...")
    strange = proxy.get("/a/1?%FF%0d%0a=1", DEBUG)
    assert "%FF%0D%0A" in told(strange)["explain"]


def test_without_a_debug_token_nobody_is_told(larder, origin):
    proxy = larder(CONF.replace("debug_token %TOKEN%", ""), origin=origin.url, secret=SECRET)
    assert told(proxy.get("/a/1", DEBUG)) == {}
    miss_then_hit(proxy, "/a/3", DEBUG)
    assert all(r.header("x-larder-debug") is None for r in origin.requests)
