"""Bytes that an origin sends beyond its answer never reach another request (F22)."""

import threading

import pytest

from lib.origin import Sleep, Wait, answer
from lib.wait import eventually

CONF = """
workers 1
upstream main %ORIGIN%
defaults { upstream main; retry 0; timeout first_byte=2s }
route GET /hit { scope public; ttl 1m }
"""
POISON = answer(200, b"poison")
HEAD_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
CASES = {
    "a second answer": ("GET", 200, answer(200, b"hello") + POISON),
    "a few bytes": ("GET", 200, answer(200, b"hello") + b"!"),
    "an empty line": ("GET", 200, answer(200, b"hello") + b"\r\n"),
    "after chunks": ("GET", 200, answer(200, b"hello", chunked=True) + POISON),
    "after an empty answer": ("GET", 200, answer(200, b"") + POISON),
    "a body of 204": ("GET", 204, b"HTTP/1.1 204 No\r\n\r\nhello"),
    "a body of 204 with a length": ("GET", 204,
                                    b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nhello"),
    "chunks of 204": ("GET", 204, b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n"
                                  b"5\r\nhello\r\n0\r\n\r\n"),
    "a body of 304": ("GET", 304, b"HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\nhello"),
    "a body for HEAD": ("HEAD", 200, HEAD_OK + b"hello"),
    "an answer for HEAD": ("HEAD", 200, HEAD_OK + POISON),
    "a late 100": ("GET", 200, answer(200, b"hello") + b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("path", ["/hit", "/pass"])
@pytest.mark.parametrize("case", CASES)
def test_at_once(larder, origin, path, case):
    method, status, said = CASES[case]
    origin.route(path, said)
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as c:
        for i in range(3):
            r = c.request(method, path)
            assert r.status == status
            assert r.body in (b"", b"hello")
            assert c.get("/after").body == b"serial %d /after" % (i + 1)
    assert origin.count(path) == 3, "it was stored"
    assert len([c for c in origin.connections if c.received.count(b"HTTP/1.1") > 2]) == 0


@pytest.mark.parametrize("what", [POISON, b"!", b"HTTP/1.1 100 Continue\r\n\r\n",
                                  POISON * 1000], ids=["answer", "byte", "100", "many"])
def test_a_moment_later(larder, origin, what):
    """An unsolicited answer waits in the idle connection for somebody's request."""
    sent = threading.Event()
    origin.route("/pass", [answer(200, b"hello"), Sleep(0.01), what, lambda x: sent.set()])
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as c:
        for i in range(5):
            sent.clear()
            assert c.get("/pass").body == b"hello"
            assert sent.wait(5)
            threading.Event().wait(0.002 * i)  # at once, and a little later
            assert b"poison" not in c.get("/after").body
    assert all(c.received.count(b"GET /pass") <= 1 for c in origin.connections)


def test_it_closes_the_connection(larder, origin):
    go = threading.Event()
    origin.route("/pass", [answer(200, b"hello"), Wait(go), POISON])
    proxy = larder(CONF, origin=origin.url)
    assert proxy.get("/pass").body == b"hello"
    eventually(lambda: len(origin.connections) == 1)
    eventually(lambda: proxy.clients() == 0)
    base = proxy.fds()
    go.set()
    eventually(lambda: proxy.fds() < base)


def test_a_304_that_says_too_much_confirms_nothing(larder, origin):
    fields = [("ETag", '"1"'), ("Cache-Control", "max-age=0, stale-if-error=60")]
    origin.script(answer(200, b"first", fields),
                  b'HTTP/1.1 304 Not\r\nETag: "1"\r\n\r\nsurplus', answer(200, b"second"))
    proxy = larder(CONF, origin=origin.url)
    assert proxy.get("/hit").body == b"first"
    assert proxy.get("/hit").body == b"second"
    assert origin.requests[1].header("if-none-match") == '"1"'
    assert origin.requests[2].header("if-none-match") is None
