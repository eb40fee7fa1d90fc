"""The head's deadline counts for every head, also for one that began behind another request."""

import threading
import time

from lib.origin import Wait, answer

CONF = """
limits head=1s idle=30s
upstream main %ORIGIN%
"""
REQUEST = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
PART = b"GET /b HTTP/1.1\r\nHo"


def refused_in_time(c, start):
    r = c.read_response()
    assert r.status == 408 and r.header("connection") == "close"
    assert 0.7 < time.monotonic() - start < 10
    assert c.closed()


def test_first_head(larder, origin):
    with larder(CONF, origin=origin.url).raw() as c:
        start = time.monotonic()
        c.send(PART)
        refused_in_time(c, start)


def test_behind_a_request(larder, origin):
    with larder(CONF, origin=origin.url).raw() as c:
        start = time.monotonic()
        c.send(REQUEST + PART)
        assert c.read_response().status == 200
        refused_in_time(c, start)


def test_while_a_request_is_answered(larder, origin):
    go = threading.Event()
    origin.route("/a", [Wait(go), answer(200, b"late")])
    with larder(CONF, origin=origin.url).raw() as c:
        c.send(REQUEST + PART)
        assert c.quiet(0.3)
        start = time.monotonic()
        go.set()
        assert c.read_response().body == b"late"
        refused_in_time(c, start)


def test_while_an_answer_is_sent(larder, origin):
    origin.route("/a", answer(200, b"x" * 2_000_000))
    with larder("workers 1\n" + CONF, origin=origin.url).raw(rcvbuf=16384) as c:
        c.send(REQUEST)
        c.read_until(b"\r\n\r\n")
        start = time.monotonic()
        c.send(PART)
        assert len(c.read_until(b"x" * 2_000_000)) == 2_000_000
        refused_in_time(c, start)
