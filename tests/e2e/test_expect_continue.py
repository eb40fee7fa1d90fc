"""Expect: 100-continue is answered by Larder once the origin is there to take the body."""

import threading

import pytest

from lib.origin import Wait, answer, chunk, LAST_CHUNK
from lib.ports import free_port

CONF = """
upstream main %ORIGIN%
upstream dead http://127.0.0.1:%DEAD%
defaults { upstream main }
limits body=2s
route POST /dead { upstream dead; retry 0 }
route POST /small { max_body 10b }
route POST /cached { invalidate all }
"""
HEAD = "POST {} HTTP/1.1\r\nHost: x\r\nExpect: {}\r\n{}\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.fixture
def proxy(larder, origin):
    return larder(CONF, origin=origin.url, dead=free_port())


def head(path="/up", framing="Content-Length: 4", expect="100-continue"):
    return HEAD.format(path, expect, framing).encode()


@pytest.mark.parametrize("framing,body", [("Content-Length: 4", b"body"),
                                          ("Transfer-Encoding: chunked",
                                           chunk(b"body") + LAST_CHUNK)])
@pytest.mark.parametrize("expect", ["100-continue", "100-Continue"])
def test_body_follows(proxy, origin, framing, body, expect):
    with proxy.raw() as c:
        for _ in range(2):
            c.send(head(framing=framing, expect=expect))
            assert c.read_until(CONTINUE) == CONTINUE
            assert c.quiet(0.1)
            c.send(body)
            r = c.read_response("POST")
            assert r.status == 200 and r.header("connection") is None and not r.interim
    for r in origin.requests:
        assert r.body == b"body" and r.header("expect") is None


def test_who_does_not_wait_is_not_told(proxy, origin):
    with proxy.raw() as c:
        c.send(head() + b"body")
        r = c.read_response("POST")
        assert r.status == 200 and r.interim == []
    assert origin.requests[0].body == b"body"


def test_the_origins_own_100_is_swallowed(proxy, origin):
    origin.route("/up", [b"HTTP/1.1 100 Continue\r\n\r\n" * 2, answer(200, b"ok")])
    with proxy.raw() as c:
        c.send(head())
        assert c.read_until(CONTINUE) == CONTINUE
        c.send(b"body")
        r = c.read_response("POST")
        assert (r.status, r.interim) == (200, [])


@pytest.mark.parametrize("path,framing,status", [
    ("/small", "Content-Length: 11", 413), ("/dead", "Content-Length: 4", 502),
    ("/up", "Content-Length: 4, 4", 400), ("/up\x80", "Content-Length: 4", 400),
])
def test_refused_before_the_body(proxy, origin, path, framing, status):
    with proxy.raw() as c:
        c.send(HEAD.format(path, "100-continue", framing).encode("latin-1"))
        r = c.read_response("POST")
        assert (r.status, r.interim) == (status, [])
        assert r.header("connection") == "close"
        assert c.closed()
    assert origin.count() == 0


def test_the_origin_refuses_before_the_body(proxy, origin):
    origin.route("/up", answer(401, b"who are you"), read_body=False)
    with proxy.raw() as c:
        c.send(head())
        r = c.read_response("POST")
        assert r.status == 401 and r.body == b"who are you"
        assert r.header("connection") == "close"
        assert c.closed()
    assert len(origin.connections) == 1


def test_no_body_comes(proxy, origin):
    with proxy.raw() as c:
        c.send(head())
        c.read_until(CONTINUE)
        r = c.read_response("POST", timeout=5)
        assert r.status == 408
        assert c.closed()
    assert proxy.get("/other").status == 200


@pytest.mark.parametrize("expect", [
    "y 100-continue", "100-continue, 100-continue", "100-continue;q=1", "100-continu", "200-ok",
    "", "100-continue\r\nExpect: 100-continue", "\"100-continue\"", "100-continue\x0b",
    "x\r\nExpect: 100-continue",
])
def test_obfuscated(proxy, origin, expect):
    with proxy.raw() as c:
        c.send(head(expect=expect) + b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
        r = c.read_response("POST")
        assert r.status in (400, 417) and r.header("connection") == "close"
        assert c.closed()
    assert origin.count() == 0


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_without_a_body_there_is_nothing_to_wait_for(proxy, origin, method):
    with proxy.raw() as c:
        for _ in range(2):
            r = c.request(method, "/a", [("Expect", "100-continue")])
            assert r.status == 200 and r.interim == []
    assert origin.requests[0].header("expect") is None


def test_a_get_with_a_body(proxy, origin):
    with proxy.raw() as c:
        c.send(head().replace(b"POST", b"GET"))
        assert c.read_until(CONTINUE) == CONTINUE
        c.send(b"body")
        assert c.read_response().status == 200
    assert origin.requests[0].body == b"body"


def test_told_only_once(larder, make_origin):
    """A connection over TLS, or one that is opened again, does not say it twice."""
    origin = make_origin()
    go = threading.Event()

    def tear(x):
        x.connection.reset()
    origin.script(tear, [Wait(go), answer(200)], read_body=False)
    proxy = larder("upstream main %ORIGIN%\nroute PUT /up { retry 3 }", origin=origin.url)
    with proxy.raw() as c:
        c.send(head().replace(b"POST", b"PUT"))
        assert c.read_until(CONTINUE) == CONTINUE
        origin.wait_requests(2)
        c.send(b"body")
        go.set()
        r = c.read_response("PUT")
        assert r.status == 200 and r.interim == []
    assert origin.requests[1].body == b"body"
