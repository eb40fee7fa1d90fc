"""What explain says is what a live request then does: every reason that can be reached alone."""

import pytest

from lib.explaining import ADMIN, as_explained, explain
from lib.origin import answer
from lib.ports import free_port
from lib.tokens import SECRET, bearer, make_jwt
from lib.wait import eventually

CONF = ADMIN + """
upstream main %ORIGIN%
jwt main alg=HS256 secret=%SECRET%
jwt far  alg=RS256 jwks=http://127.0.0.1:1/keys
identity org  jwt=main claim=org
identity far  jwt=far claim=sub
identity edge header=X-Edge trusted=10.0.0.0/8
identity sid  credential cookie=sid
defaults { upstream main }
route GET  /page/{id}  { scope public; key page:{id}:{query}; query page size; ttl 60s }
route GET  /strip/{id} { scope public; key strip:{id}:{query}; query page unlisted=drop; ttl 60s }
route GET  /org/{id}   { key org:{org}:{id}; ttl 60s; tag org:{org} }
route GET  /far/{id}   { key far:{far}:{id}; ttl 60s }
route GET  /edge/{id}  { key edge:{edge}:{id}; ttl 60s }
route GET  /sid/{id}   { key sid:{sid}:{id}; ttl 60s }
route GET  /any/{id}   { scope authenticated; key any:{id}; ttl 60s }
route GET  /short/{id} { scope public; key short:{id}; ttl 50ms force }
route GET  /stale/{id} { scope public; key stale:{id}; ttl 50ms force; stale 1h }
route GET  /error/{id} { scope public; key error:{id}; ttl 50ms force; stale_if_error 1h }
route GET  /honor/{id} { scope public; key honor:{id}; ttl 60s; client_cache_control honor }
route GET  /cond/{id}  { scope public; key cond:{id}; ttl 60s; bypass if header x-fresh }
route GET  /cors/{id}  { scope public; key cors:{id}; ttl 60s; cors https://app.example }
route POST /graphql    { scope public; key gql:{body}; ttl 60s; method_body on }
route GET  /plain      { }
route GET  /ws         { upgrade websocket }
route POST /page/{id}  { invalidate page:{id}:* tag:org:1 }
"""

ORG = bearer(make_jwt({"org": "acme"}, key=SECRET))
PREFLIGHT = [("Origin", "https://app.example"), ("Access-Control-Request-Method", "GET")]
JSON = [("Content-Type", "application/json")]
SOCKET = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
          ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]


@pytest.fixture
def proxy(larder, origin):
    return larder(CONF, origin=origin.url, admin=free_port(), secret=SECRET)


# (outcome, reason, request) where one request is enough
ALONE = [
    ("PASS", "no-route", dict(target="/nowhere")),
    ("PASS", "not-cached", dict(target="/plain")),
    ("PASS", "not-cached", dict(target="/page/1", method="POST", body="x")),
    ("PASS", "no-route", dict(target="/page/1", method="DELETE")),
    ("PASS", "upgrade", dict(target="/ws", headers=SOCKET)),
    ("MISS", "miss", dict(target="/page/1?page=1")),
    ("MISS", "miss", dict(target="/page/2?page=1&utm_source=x&fbclid=1")),
    ("MISS", "miss", dict(target="/page/3", method="HEAD")),
    ("MISS", "miss", dict(target="/strip/1?page=1&other=2")),
    ("MISS", "miss", dict(target="/org/1", headers=ORG)),
    ("MISS", "miss", dict(target="/any/1", headers=ORG)),
    ("MISS", "miss", dict(target="/sid/1", headers=[("Cookie", "sid=s3cret")])),
    ("MISS", "miss", dict(target="/honor/1", headers=[("Cache-Control", "no-cache")])),
    ("MISS", "client-no-store", dict(target="/honor/3", headers=[("Cache-Control", "no-store")])),
    ("MISS", "miss", dict(target="/graphql", method="POST", headers=JSON,
                          body='{"query":"query { a }"}')),
    ("BYPASS", "mutation", dict(target="/graphql", method="POST", headers=JSON,
                                body='{"query":"mutation { a }"}')),
    ("BYPASS", "subscription", dict(target="/graphql", method="POST", headers=JSON,
                                    body='{"query":"subscription { a }"}')),
    ("BYPASS", "graphql", dict(target="/graphql", method="POST", headers=JSON,
                               body='{"query":"mutation {"}')),
    ("BYPASS", "query", dict(target="/page/1?page=1&other=2")),
    ("BYPASS", "semicolon", dict(target="/page/1;v=2")),
    ("BYPASS", "body", dict(target="/page/1", body="x")),
    ("BYPASS", "range", dict(target="/page/1", headers=[("Range", "items=0-9")])),
    ("BYPASS", "condition", dict(target="/cond/1", headers=[("X-Fresh", "1")])),
    ("BYPASS", "no-org", dict(target="/org/1")),
    ("BYPASS", "no-org", dict(target="/org/1", headers=bearer(make_jwt({"x": "y"}, key=SECRET)))),
    ("BYPASS", "no-edge", dict(target="/edge/1", headers=[("X-Edge", "spoofed")])),
    ("BYPASS", "no-sid", dict(target="/sid/1")),
    ("BYPASS", "no-identity", dict(target="/any/1")),
    ("BYPASS", "bad-identity", dict(target="/org/1", headers=bearer("a.b.c"))),
    ("BYPASS", "bad-identity", dict(target="/org/1", headers=bearer(
        make_jwt({"org": "acme"}, key=SECRET, expires_in=-10)))),
    ("BYPASS", "identity-keys", dict(target="/far/1", headers=ORG)),
    ("OWN", "only-if-cached", dict(target="/honor/9",
                                   headers=[("Cache-Control", "only-if-cached")])),
    ("OWN", "preflight", dict(target="/cors/1", method="OPTIONS", headers=PREFLIGHT)),
    ("OWN", "bad-request", dict(target="/page/%00")),
    ("OWN", "limit", dict(target="/page/1?" + "&".join(["page=1"] * 300))),
    ("OWN", "limit", dict(target="/page/" + "x" * 9000)),
    ("OWN", "method", dict(target="/page/1", method="TRACE")),
]


def test_alone(proxy):
    wrong = []
    for outcome, reason, request in ALONE:
        said = as_explained(proxy, **request)
        if (said["outcome"], said["reason"]) != (outcome, reason):
            wrong.append((request, outcome, reason, said["outcome"], said["reason"]))
    assert not wrong


def warm(proxy, target, headers=()):
    first = proxy.get(target, headers)
    assert (first.status, first.x_cache) == (200, "MISS"), first


def test_what_memory_holds(proxy, origin):
    warm(proxy, "/page/1?page=1")
    said = as_explained(proxy, "/page/1?page=1")
    assert (said["outcome"], said["reason"], said["l1"]["state"]) == ("HIT", "-", "fresh")
    assert as_explained(proxy, "/page/1?page=1", method="HEAD")["outcome"] == "HIT"
    assert as_explained(proxy, "/page/1?page=1", [("Range", "bytes=0-3")])["outcome"] == "HIT"
    assert as_explained(proxy, "/page/1?page=2")["outcome"] == "MISS"
    for target, headers, status in (
            ("/page/1?page=1", [], 200), ("/page/1?page=1", [("Range", "bytes=0-3")], 206),
            ("/page/1?page=1", [("Range", "bytes=0-1,3-4")], 206),
            ("/page/1?page=1", [("Range", "bytes=0-3"), ("If-Range", '"other"')], 200)):
        said = as_explained(proxy, target, headers)
        assert (said["outcome"], said["status"]) == ("HIT", status), said
    said = as_explained(proxy, "/page/1?page=1", [("Range", "bytes=90000-")])
    assert (said["outcome"], said["reason"], said["status"]) == ("OWN", "range", 416)
    assert "outside of the body" in said["would"]

    said = as_explained(proxy, "/page/1", method="POST", body="x")
    assert "page:1:*" in said["invalidates"] and "tag:org:1" in said["invalidates"]
    said = as_explained(proxy, "/page/1?page=1")
    assert (said["outcome"], said["reason"]) == ("MISS", "invalidated")
    assert said["l1"]["state"] == "invalidated"


def test_a_copy_that_is_still_right(proxy, origin):
    origin.route("/page/e", answer(200, b"0123456789", {"ETag": '"e"'}))
    warm(proxy, "/page/e")
    for headers, status in (([("If-None-Match", '"e"')], 304), ([("If-None-Match", '"f"')], 200),
                            ([("If-None-Match", '"e"'), ("Range", "bytes=99-")], 304)):
        said = as_explained(proxy, "/page/e", headers)
        assert (said["outcome"], said["reason"], said["status"]) == ("HIT", "-", status), said
    assert "304" in as_explained(proxy, "/page/e", [("If-None-Match", '"e"')])["would"]


def test_identities_share_nothing(proxy):
    warm(proxy, "/org/1", ORG)
    assert as_explained(proxy, "/org/1", ORG)["outcome"] == "HIT"
    other = bearer(make_jwt({"org": "other"}, key=SECRET))
    assert as_explained(proxy, "/org/1", other)["outcome"] == "MISS"


def test_time_passes(proxy, origin):
    for path, outcome, reason, state in (("/short/1", "MISS", "expired", "expired"),
                                         ("/stale/1", "STALE", "stale", "stale"),
                                         ("/error/1", "MISS", "expired", "stale")):
        warm(proxy, path)
        eventually(lambda path=path, state=state: explain(proxy, path)["l1"]["state"] == state,
                   15, f"{path} is {state}")
        if path == "/stale/1":  # live, it is refreshed: nothing more to compare
            said = as_explained(proxy, path)
        else:
            said = explain(proxy, path)
        assert (said["outcome"], said["reason"]) == (outcome, reason), said


def test_an_origin_that_fails(proxy, origin):
    warm(proxy, "/error/1")
    eventually(lambda: explain(proxy, "/error/1")["l1"]["state"] == "stale", 15, "it is stale")
    said = explain(proxy, "/error/1")
    assert said["reason"] == "expired" and "if it fails" in said["would"], said
    origin.route("/error/1", answer(503, b"no"))

    def left_alone():  # for two seconds after each failure
        failed = proxy.get("/error/1")
        assert (failed.status, failed.x_cache) == (200, "STALE")
        said = explain(proxy, "/error/1")
        return said["reason"] == "stale-error" and said
    said = eventually(left_alone, 15, "the origin is left alone after a failure")
    assert said["outcome"] == "STALE" and "has just failed" in said["would"]


def test_what_could_not_be_stored(proxy, origin):
    origin.route("/page/9", answer(200, b"mine", {"Cache-Control": "no-store"}))
    said = as_explained(proxy, "/page/9", answer="no-store")
    assert (said["outcome"], said["reason"]) == ("MISS", "miss")
    said = as_explained(proxy, "/page/9", answer="no-store")
    assert (said["reason"], said["l1"]["state"]) == ("hit-for-miss", "marker")
    said = as_explained(proxy, "/page/9", [("Range", "bytes=0-1")])
    assert (said["outcome"], said["reason"]) == ("PASS", "range")


def test_client_directives(proxy):
    warm(proxy, "/honor/1")
    said = as_explained(proxy, "/honor/1", [("Cache-Control", "no-cache")])
    assert (said["outcome"], said["reason"]) == ("MISS", "client-no-cache")
    assert said["l1"]["state"] == "fresh"
    assert as_explained(proxy, "/honor/1", [("Cache-Control", "only-if-cached")])["outcome"] == "HIT"
    said = as_explained(proxy, "/honor/2", [("Cache-Control", "no-store")])
    assert "not stored" in said["would"]


def test_variants(proxy, origin):
    origin.route("/page/v", answer(200, b"hello", {"Vary": "X-Kind"}))
    warm(proxy, "/page/v", [("X-Kind", "a")])
    same = as_explained(proxy, "/page/v", [("X-Kind", "a")])
    assert same["outcome"] == "HIT" and same["key"]["vary"] == "x-kind"
    assert same["key"]["name"].startswith("page:v:~e#")
    assert as_explained(proxy, "/page/v", [("X-Kind", "b")])["outcome"] == "MISS"


def test_hosts_and_https(larder, origin):
    conf = ADMIN + """
upstream main %ORIGIN%
defaults { upstream main }
hosts a.example b.example
route GET /x { scope public; key x; ttl 60s }
"""
    proxy = larder(conf, origin=origin.url, admin=free_port())
    said = as_explained(proxy, "/x", [("Host", "c.example")])
    assert (said["outcome"], said["reason"], said["status"]) == ("OWN", "no-route", 421)
    assert as_explained(proxy, "/x", [("Host", "a.example")])["outcome"] == "MISS"
    assert as_explained(proxy, "/x", [("Host", "b.example")])["outcome"] == "HIT"
    proxy.reload(conf.replace("hosts", "redirect https\nhosts"), wait="reload done")
    said = as_explained(proxy, "/x", [("Host", "a.example")])
    assert (said["outcome"], said["reason"], said["status"]) == ("OWN", "-", 308)
