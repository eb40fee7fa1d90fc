"""Several ranges of a stored answer: multipart/byteranges, coalesced and bounded."""

import pytest

from lib.cache import miss_then_hit
from lib.origin import answer
from lib.ranges import body_of, parts

CONF = """
upstream main %ORIGIN%
route GET /data { scope public; key data; ttl 60s }
route GET /zip  { scope public; key zip; ttl 60s; compress 100 }
"""

BODY = body_of(300_000)


@pytest.fixture
def proxy(larder, origin):
    for path in ("/data", "/zip"):
        origin.route(path, answer(200, BODY, {"Content-Type": "text/plain; charset=utf-8"}))
    proxy = larder(CONF, origin=origin.url)
    for path in ("/data", "/zip"):
        miss_then_hit(proxy, path)
    return proxy


@pytest.mark.parametrize("path", ["/data", "/zip"])
@pytest.mark.parametrize("value,expected", [
    ("0-9,20-29", [(0, 9), (20, 29)]),
    ("20-29,0-9", [(20, 29), (0, 9)]),                      # the client's order
    ("-5,0-4", [(299_995, 299_999), (0, 4)]),
    ("0-9,5-14,100-109", [(0, 14), (100, 109)]),            # overlapping ones become one
    ("0-99999,200000-299999", [(0, 99_999), (200_000, 299_999)]),
    ("0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14", [(i, i) for i in range(0, 16, 2)]),
    ("400000-,1-2,5-6", [(1, 2), (5, 6)]),                  # one of them is outside
])
def test_parts(proxy, path, value, expected):
    r = proxy.get(path, {"Range": "bytes=" + value})
    assert parts(r) == [("text/plain; charset=utf-8", a, b, 300_000, BODY[a:b + 1])
                        for a, b in expected]
    assert int(r.header("content-length")) == len(r.body)
    assert r.x_cache == "HIT"


def test_what_becomes_one_range_is_sent_as_one(proxy):
    r = proxy.get("/data", {"Range": "bytes=0-9,10-19"})
    assert (r.status, r.header("content-range")) == (206, "bytes 0-19/300000")
    assert r.body == BODY[:20]


def test_boundaries_cannot_be_foreseen(proxy):
    types = {proxy.get("/data", {"Range": "bytes=0-0,2-2"}).header("content-type")
             for _ in range(20)}
    assert len(types) == 20


def test_a_slow_reader_gets_the_parts_whole(proxy):
    with proxy.raw(rcvbuf=4096) as c:
        c.send(b"GET /data HTTP/1.1\r\nHost: x\r\nRange: bytes=0-99999,150000-249999\r\n\r\n"
               b"GET /zip HTTP/1.1\r\nHost: x\r\nRange: bytes=0-99999,150000-249999\r\n\r\n")
        for _ in range(2):
            found = parts(c.read_response())
            assert [p[4] for p in found] == [BODY[:100_000], BODY[150_000:250_000]]


def test_a_client_that_leaves_in_the_middle(proxy):
    for _ in range(5):
        with proxy.raw(rcvbuf=4096) as c:
            c.send(b"GET /zip HTTP/1.1\r\nHost: x\r\nRange: bytes=0-99999,150000-\r\n\r\n")
            c.read_until(b"multipart/byteranges")
            c.reset()
    assert proxy.get("/zip").body == BODY
