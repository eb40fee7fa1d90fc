"""What a client's own Cache-Control can do: nothing, unless the route honours it."""

import threading

import pytest

from lib.cache import seen
from lib.origin import Wait, answer
from lib.wait import eventually

CONF = """
upstream main %ORIGIN%
route GET /a      { scope public; key a; ttl 60s }
route GET /honour { scope public; key honour; ttl 60s; client_cache_control honor }
"""
WISHES = [("Cache-Control", v) for v in (
    "no-cache", "no-store", "max-age=0", "max-age=0, must-revalidate", "min-fresh=1000",
    "only-if-cached", "max-stale", "no-cache, no-store", "no-transform")]
WISHES += [("Pragma", "no-cache"), ("Expires", "0")]


@pytest.fixture
def proxy(larder, origin):
    p = larder(CONF, origin=origin.url)
    p.get("/a")
    p.get("/honour")
    origin.clear()
    return p


@pytest.mark.parametrize("wish", WISHES, ids=[f"{n}: {v}" for n, v in WISHES])
def test_ignored_by_default(proxy, origin, wish):
    for _ in range(2):
        assert proxy.get("/a", [wish]).x_cache == "HIT"
    assert origin.count() == 0


@pytest.mark.parametrize("value", ["no-cache", "max-age=0"])
def test_a_fresh_answer_replaces_the_entry(proxy, origin, value):
    fresh = proxy.get("/honour", {"Cache-Control": value})
    assert origin.count() == 1 and fresh.x_cache == "MISS"
    hit = proxy.get("/honour")
    assert hit.x_cache == "HIT" and hit.body == fresh.body


def test_many_who_want_it_fresh_are_one_fetch(proxy, origin):
    """Otherwise it would be a lever for loading the backend."""
    go = threading.Event()
    origin.route("/honour", [Wait(go), answer(200, b"fresh")])
    clients = [proxy.raw() for _ in range(10)]
    for c in clients:
        c.send(b"GET /honour HTTP/1.1\r\nHost: localhost\r\nCache-Control: no-cache\r\n\r\n")
    origin.wait_requests(1)
    assert clients[-1].quiet(0.1)
    go.set()
    assert {c.read_response().body for c in clients} == {b"fresh"}
    assert origin.count() == 1
    for c in clients:
        c.close()


def test_no_store_is_served_and_not_stored(proxy, origin):
    assert proxy.get("/honour", {"Cache-Control": "no-store"}).x_cache == "HIT"
    assert origin.count() == 0


def test_only_if_cached(proxy, origin):
    assert proxy.get("/honour", {"Cache-Control": "only-if-cached"}).x_cache == "HIT"
    proxy.post("/honour", b"x")
    got = proxy.get("/honour", {"Cache-Control": "only-if-cached"})
    assert got.status == 504 and got.header("content-type") == "application/problem+json"
    assert origin.count("/honour", "GET") == 0


def test_max_age_and_min_fresh(proxy, origin):
    eventually(lambda: int(proxy.get("/honour").header("age")) >= 1, 5)
    assert proxy.get("/honour", {"Cache-Control": "max-age=30"}).x_cache == "HIT"
    assert proxy.get("/honour", {"Cache-Control": "min-fresh=10"}).x_cache == "HIT"
    assert origin.count() == 0
    assert proxy.get("/honour", {"Cache-Control": "min-fresh=60"}).x_cache == "MISS"


def test_bodies_of_get_requests(proxy, origin):
    """No key holds them: forwarded, not looked up, not stored."""
    for _ in range(2):
        got = proxy.request("GET", "/a", [("Content-Length", "5")], b"hello")
        assert seen(got) == ("BYPASS", "body")
    assert [r.body for r in origin.requests] == [b"hello"] * 2
    assert proxy.get("/a").x_cache == "HIT"
