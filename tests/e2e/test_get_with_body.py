"""A GET or HEAD with a body: an origin may read it, no key holds it, so it is never cached.

Its bytes are consumed exactly, or the connection ends: they must not become the next request.
"""

import pytest

from lib.origin import answer, chunk
from lib.raw import encode_request

CONF = """
upstream main %ORIGIN%
route GET /a { scope public; key a; ttl 60s; stale 60s }
"""
# A body that looks like a request.
EVIL = b"GET /evil HTTP/1.1\r\nHost: x\r\n\r\n"


def detail(r):
    return r.header("cache-status").rsplit("detail=", 1)[-1]


def framed(method, body, chunked):
    if chunked:
        return (f"{method} /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
                .encode() + chunk(body) + b"0\r\n\r\n")
    return encode_request(method, "/a", (), body)


@pytest.fixture
def proxy(larder, origin):
    def echo(x):
        body = x.request.body + b"|" + b"%d" % len(origin.requests)
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
        x.send(head if x.request.method == "HEAD" else head + body)
    origin.route("/a", echo)
    return larder(CONF, origin=origin.url)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_never_cached(proxy, origin, method, chunked):
    with proxy.raw() as c:
        for n in range(2):  # on a cold cache
            c.send(framed(method, b"one", chunked))
            r = c.read_response(method)
            assert (r.status, r.x_cache, detail(r)) == (200, "BYPASS", "body")
            assert "stored" not in r.header("cache-status")
        assert [q.body for q in origin.requests] == [b"one", b"one"]
        cold = c.get("/a")
        assert (cold.x_cache, cold.body) == ("MISS", b"|3")
        c.send(framed(method, EVIL, chunked))  # on a warm one
        r = c.read_response(method)
        assert (r.x_cache, detail(r)) == ("BYPASS", "body")
        warm = c.get("/a")
        assert (warm.x_cache, warm.body) == ("HIT", b"|3")
        assert c.quiet()
    assert origin.count("/evil") == 0


@pytest.mark.parametrize("chunked", [False, True])
def test_pipelined(proxy, origin, chunked):
    """One answer for each request, in order, whatever the body looks like."""
    with proxy.raw() as c:
        c.send(encode_request("GET", "/a") + framed("GET", EVIL, chunked)
               + encode_request("GET", "/a"))
        got = [c.read_response() for _ in range(3)]
        assert [r.x_cache for r in got] == ["MISS", "BYPASS", "HIT"]
        assert got[1].body == EVIL + b"|2"
        assert got[0].body == got[2].body == b"|1"
        assert c.quiet()
    assert origin.count("/evil") == 0


def test_an_empty_body_is_none(proxy):
    for n, headers in enumerate(([("Content-Length", "0")], [])):
        assert proxy.get("/a", headers).x_cache == ("HIT" if n else "MISS")


def test_an_early_answer_ends_the_connection(proxy, origin):
    """What is left of the body cannot be taken for a request."""
    origin.script(answer(200, b"early"), read_body=False)
    with proxy.raw() as c:
        c.send(b"GET /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n" + EVIL)
        r = c.read_response()
        assert (r.body, r.header("connection")) == (b"early", "close")
        c.read_all()
    assert origin.count("/evil") == 0
