"""Ranges of a stored answer: single, suffix, open, out of bounds, and what is ignored."""

import gzip

import pytest

from lib.cache import miss_then_hit, reason, seen
from lib.origin import answer
from lib.ranges import body_of, part

CONF = """
upstream main %ORIGIN%
route GET /data { scope public; key data; ttl 60s }
route GET /zip  { scope public; key zip; ttl 60s; compress 100 }
route GET /gone { scope public; key gone; ttl 60s; status 200 404 }
"""

BODY = body_of(1000)
HEAD = {"ETag": '"v1"', "Content-Type": "text/plain", "X-Own": "kept"}


@pytest.fixture
def proxy(larder, origin):
    origin.route("/data", answer(200, BODY, HEAD))
    origin.route("/zip", answer(200, BODY, HEAD))
    origin.route("/gone", answer(404, BODY, HEAD))
    return larder(CONF, origin=origin.url)


@pytest.mark.parametrize("value,first,last", [
    ("bytes=0-0", 0, 0), ("bytes=0-9", 0, 9), ("bytes=990-", 990, 999), ("bytes=-10", 990, 999),
    ("bytes=990-5000", 990, 999), ("bytes=-5000", 0, 999), ("bytes=0-", 0, 999),
    ("BYTES=5-9", 5, 9), ("bytes= 5-9 ,", 5, 9), ("bytes=0-4,5-9", 0, 9), ("bytes=3-9,0-4", 0, 9),
    ("bytes=2000-3000,1-2", 1, 2),
])
@pytest.mark.parametrize("path", ["/data", "/zip"])
def test_one_part(proxy, origin, path, value, first, last):
    miss_then_hit(proxy, path)
    r = proxy.get(path, {"Range": value})
    assert part(r) == (first, last, 1000, BODY[first:last + 1])
    assert seen(r) == ("HIT", None)
    assert r.all("content-type") == ["text/plain"]
    assert r.header("x-own") == "kept"
    assert r.header("etag") == '"v1"'
    assert r.header("age") == "0"
    assert origin.count(path) == 1


@pytest.mark.parametrize("value", [
    "bytes=5-2", "bytes=a-b", "bytes=", "bytes=-", "bytes=5", "bytes=1-2-3",
    "bytes=0-600,0-600",                                        # more than there is
    "bytes=" + ",".join(f"{i}-{i}" for i in range(0, 18, 2)),   # nine
    "bytes=" + ",".join("0-" for _ in range(1000)),
])
def test_what_makes_no_sense_or_costs_too_much_gets_the_whole(proxy, value):
    miss_then_hit(proxy, "/data")
    r = proxy.get("/data", {"Range": value})
    assert (r.status, r.body, r.x_cache) == (200, BODY, "HIT")


@pytest.mark.parametrize("path", ["/data", "/zip"])
@pytest.mark.parametrize("value", ["bytes=1000-", "bytes=5000-6000", "bytes=-0",
                                   "bytes=1000-1001,2000-"])
def test_outside_of_the_body(proxy, path, value):
    miss_then_hit(proxy, path)
    with proxy.raw() as c:
        r = c.request("GET", path, {"Range": value})
        assert r.status == 416
        assert r.header("content-range") == "bytes */1000"
        assert r.header("content-type") == "application/problem+json"
        assert r.header("cache-control") == "no-store"
        assert reason(r) == "range"
        assert r.json()["status"] == 416
        assert c.request("GET", path).body == BODY  # the connection goes on


def test_entries_say_that_they_have_ranges(proxy, origin):
    origin.route("/data", answer(200, BODY, {**HEAD, "Accept-Ranges": "none"}))
    first = proxy.get("/data")
    assert first.all("accept-ranges") == ["bytes"]
    assert proxy.get("/data").all("accept-ranges") == ["bytes"]
    assert proxy.request("HEAD", "/data").all("accept-ranges") == ["bytes"]
    proxy.get("/gone")
    assert proxy.get("/gone").header("accept-ranges") is None


def test_head_ignores_range(proxy):
    miss_then_hit(proxy, "/data")
    r = proxy.request("HEAD", "/data", {"Range": "bytes=0-9"})
    assert (r.status, r.header("content-length"), r.body) == (200, "1000", b"")


def test_only_a_200_has_ranges(proxy):
    proxy.get("/gone")
    r = proxy.get("/gone", {"Range": "bytes=0-9"})
    assert (r.status, r.body, r.x_cache) == (404, BODY, "HIT")


def test_gzipped_entry_serves_identity(proxy):
    miss_then_hit(proxy, "/zip")
    whole = proxy.get("/zip", {"Accept-Encoding": "gzip"})
    assert (whole.header("content-encoding"), gzip.decompress(whole.body)) == ("gzip", BODY)
    r = proxy.get("/zip", {"Accept-Encoding": "gzip", "Range": "bytes=10-19"})
    assert part(r) == (10, 19, 1000, BODY[10:20])
    assert r.header("content-encoding") is None
    assert "Accept-Encoding" in r.header("vary")


def test_other_units_are_the_origins(proxy, origin):
    miss_then_hit(proxy, "/data")
    origin.route("/data", lambda x: x.answer(206, b"page", {
        "Content-Range": "items 0-9/90", "X-Asked": x.request.header("range")}))
    for value in ("items=0-9", "0-9"):
        r = proxy.get("/data", {"Range": value})
        assert (r.status, r.body, r.header("x-asked")) == (206, b"page", value)
        assert seen(r) == ("BYPASS", "range")
    assert proxy.get("/data").body == BODY


def test_empty_body(proxy, origin):
    origin.route("/data", answer(200, b"", HEAD))
    miss_then_hit(proxy, "/data")
    assert proxy.get("/data", {"Range": "bytes=0-"}).status == 416
    assert proxy.get("/data", {"Range": "bytes=-5"}).status == 200


def test_pipelined_ranges_keep_their_order(proxy):
    miss_then_hit(proxy, "/data")
    with proxy.raw() as c:
        for i in range(20):
            c.send(b"GET /data HTTP/1.1\r\nHost: x\r\nRange: bytes=%d-%d\r\n\r\n" % (i, i + 3))
        for i in range(20):
            assert part(c.read_response()) == (i, i + 3, 1000, BODY[i:i + 4])
