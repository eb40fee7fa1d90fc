"""Request bodies that hardly move do not hold a place; those that wait for others may wait."""

import threading
import time

import pytest

from lib import flood
from lib.origin import Wait, answer
from lib.raw import Truncated

CONF = """
limits body=1s
upstream main %ORIGIN%
route POST /up { max_body off; timeout first_byte=10s idle=10s }
"""
HEAD = b"POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"POST /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def trickle(c, piece, seconds, pause=0.2):
    """Sends the piece again and again until the proxy ends it; how long that took."""
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        try:
            c.send(piece)
        except OSError:
            break
        if not c.quiet(pause):
            break
    return time.monotonic() - start


def refused(c):
    r = c.read_response()
    assert r.status == 408 and r.json()["instance"].startswith("urn:request:")
    assert r.header("connection") == "close"
    assert c.closed(3)


def test_no_byte(larder, origin):
    with larder(CONF, origin=origin.url).raw() as c:
        start = time.monotonic()
        c.send(HEAD % 10 + b"half")
        refused(c)
        assert 0.7 < time.monotonic() - start < 10


@pytest.mark.parametrize("head,piece", [(HEAD % 100000, b"x"), (CHUNKED, b"1\r\nx\r\n"),
                                        (CHUNKED, b"0")])
def test_a_byte_now_and_then(larder, origin, head, piece):
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as c:
        c.send(head)
        assert 0.7 < trickle(c, piece, 10) < 3
        refused(c)
    assert proxy.get("/other").status == 200


def test_a_steady_upload_may_take_longer(larder, origin):
    with larder(CONF, origin=origin.url).raw() as c:
        c.send(HEAD % 40000)
        for _ in range(20):
            assert c.quiet(0.12)
            c.send(b"x" * 2000)
        assert c.read_response().status == 200
    assert len(origin.requests[0].body) == 40000


def test_any_pace_where_the_configuration_says_so(larder, origin):
    with larder("limits min_rate=0\n" + CONF, origin=origin.url).raw() as c:
        c.send(HEAD % 1000)
        assert trickle(c, b"x", 2.0) >= 2.0
        c.send(b"x" * 1000)
        assert c.read_response().status == 200


def test_a_slow_origin_is_not_the_clients_fault(larder, origin):
    go = threading.Event()
    total = 20_000_000

    def read_late(x):
        assert go.wait(10)
        x.answer(200, b"%d" % flood.take_request_body(x))
    origin.route("/up", read_late, read_body=False)
    proxy = larder("workers 1\n" + CONF, origin=origin.url)
    with proxy.raw(timeout=20) as c:
        c.send(HEAD % total)
        sender = threading.Thread(target=flood.send, args=(c.sock, total))
        sender.start()
        sender.join(2.5)  # more than body=
        assert sender.is_alive()
        go.set()
        sender.join(20)
        assert c.read_response().body == b"%d" % total


def test_after_the_answer_has_begun_the_connection_is_cut(larder, origin):
    origin.route("/up", [answer(200, b"", [("Content-Length", "10")]), b"12345",
                         Wait(threading.Event())], read_body=False)
    with larder(CONF, origin=origin.url).raw() as c:
        c.send(CHUNKED + b"1\r\nx\r\n")
        with pytest.raises(Truncated):
            c.read_response()
