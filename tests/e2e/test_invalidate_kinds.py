"""What a write route may name: globs, types, tags, routes, everything; hard and soft."""

import pytest

from lib.cache import seen
from lib.origin import answer
from lib.wait import eventually

CONF = """
upstream main %ORIGIN%
type shelf { ttl 60s; scope public }
route GET /a/{id}  name=things { type shelf; key a:{id}; tag t:{id} all-a }
route GET /b/{id}              { type shelf; key b:{id} }
route GET /c/{id}              { scope public; ttl 60s; key c:{id} }

route POST /one/{id}       { invalidate a:{id} }
route POST /glob           { invalidate a:* }
route POST /set            { invalidate [ab]:? }
route POST /type           { invalidate type:shelf }
route POST /tag/{id}       { invalidate tag:t:{id} }
route POST /origin-tag     { invalidate tag:from-origin }
route POST /route          { invalidate route:things }
route POST /all            { invalidate all }
route POST /several        { invalidate a:1 b:2 tag:t:3 }
route POST /query          { invalidate a:{query.id} }
route POST /header         { invalidate a:{header.X-Thing} }
route POST /nothing        { }
"""
TARGETS = [f"/{letter}/{n}" for letter in "abc" for n in (1, 2, 3)] + ["/a/10"]


@pytest.fixture
def proxy(larder, origin):
    origin.route("/c/3", answer(200, b"tagged", {"Cache-Tag": "x, from-origin"}))
    p = larder(CONF, origin=origin.url)
    assert gone(p) == set(TARGETS)
    assert gone(p) == set()
    return p


def gone(proxy):
    """What is not a hit any more. Asking fills it again."""
    return {target for target in TARGETS if proxy.get(target).x_cache != "HIT"}


def of(letters):
    return {t for t in TARGETS if t[1] in letters}


CASES = [
    ("/one/1", {"/a/1"}),
    ("/one/x", set()),
    ("/one/*", set()),
    ("/glob", of("a")),
    ("/set", of("ab") - {"/a/10"}),
    ("/type", of("ab")),
    ("/tag/1", {"/a/1"}),
    ("/origin-tag", {"/c/3"}),
    ("/route", of("a")),
    ("/all", set(TARGETS)),
    ("/several", {"/a/1", "/b/2", "/a/3"}),
    ("/query?id=2", {"/a/2"}),
    ("/query?id=a*", set()),
    ("/query", of("a")),          # not resolved: any
    ("/nothing", set()),
]


@pytest.mark.parametrize("target,cleared", CASES, ids=[c[0] for c in CASES])
def test_what_goes(proxy, target, cleared):
    assert proxy.post(target).status == 200
    assert gone(proxy) == cleared
    assert gone(proxy) == set()


def test_header_of_the_write(proxy):
    proxy.post("/header", headers={"X-Thing": "2"})
    assert gone(proxy) == {"/a/2"}
    proxy.post("/header")
    assert gone(proxy) == of("a")


def test_what_is_not_resolved_is_logged(proxy):
    proxy.post("/query")
    assert "widened" in proxy.stderr()


def test_the_answer_of_the_write_names_tags(proxy, origin):
    said = {"Cache-Group-Invalidation": '"all-a", "other"'}
    origin.route("/nothing", answer(200, b"ok", said), method="POST")
    assert proxy.post("/nothing").status == 200
    assert gone(proxy) == of("a")
    origin.route("/nothing", answer(500, b"no", said), method="POST")
    assert proxy.post("/nothing").status == 500
    assert gone(proxy) == set()
    origin.route("/nothing", answer(200, b"ok", said), method="GET")
    assert proxy.get("/nothing").status == 200
    assert gone(proxy) == set()


SOFT = """
upstream main %ORIGIN%
route GET  /a    { scope public; key a; ttl 60s; stale 60s; stale_if_error 60s }
route POST /soft { invalidate a soft=on }
route POST /hard { invalidate a }
"""


def test_soft_makes_stale(larder, origin):
    proxy = larder(SOFT, origin=origin.url)
    first = proxy.get("/a").body
    proxy.post("/soft")
    stale = proxy.get("/a")
    assert stale.body == first and seen(stale) == ("STALE", "stale")
    origin.wait_requests(2, "/a")
    eventually(lambda: proxy.get("/a").x_cache == "HIT")
    assert proxy.get("/a").body != first


def test_soft_never_replaces_hard(larder, origin):
    proxy = larder(SOFT, origin=origin.url)
    first = proxy.get("/a").body
    proxy.post("/hard")
    proxy.post("/soft")
    again = proxy.get("/a")
    assert again.body != first and again.x_cache == "MISS"


def test_hard_is_not_served_even_for_an_error(larder, origin):
    proxy = larder(SOFT, origin=origin.url)
    first = proxy.get("/a").body
    origin.route("/a", answer(503, b"away"))
    proxy.post("/soft")
    assert proxy.get("/a").body == first
    proxy.post("/hard")
    for _ in range(3):
        answer_ = proxy.get("/a")
        assert (answer_.status, answer_.body) == (503, b"away")
