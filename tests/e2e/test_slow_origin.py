"""Origins that do not keep pace: each phase has its deadline, and the client is told."""

import threading
import time

import pytest

from lib import flood
from lib.origin import Sleep, Wait, answer
from lib.raw import Truncated

CONF = """
workers 1
upstream main %ORIGIN%
defaults { upstream main; retry 0; max_body off; timeout first_byte=1s idle=1s }
route GET /hit/{n} { scope public; ttl 1m }
"""


def in_time(start, least=0.8, most=15.0):
    assert least < time.monotonic() - start < most


@pytest.mark.parametrize("path", ["/hit/1", "/pass"])
@pytest.mark.parametrize("what", ["nothing", "half a head", "a head byte by byte", "interim"])
def test_no_head_in_time(larder, origin, path, what):
    never = threading.Event()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    origin.route(path, {
        "nothing": [Wait(never)],
        "half a head": [head[:20], Wait(never)],
        "a head byte by byte": [[head[i:i + 1], Sleep(0.1)] for i in range(len(head))],
        "interim": [[b"HTTP/1.1 102 Processing\r\n\r\n", Sleep(0.2)] for _ in range(10)],
    }[what])
    with larder(CONF, origin=origin.url).raw() as c:
        start = time.monotonic()
        r = c.get(path)
        assert r.status == 504 and r.json()["status"] == 504
        in_time(start)
        assert c.get("/after").status == 200
    never.set()


@pytest.mark.parametrize("path", ["/hit/1", "/pass"])
def test_a_pause_within_the_body(larder, origin, path):
    never = threading.Event()
    origin.route(path, [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", Wait(never)])
    with larder(CONF, origin=origin.url).raw() as c:
        start = time.monotonic()
        with pytest.raises(Truncated):
            c.get(path)
        in_time(start)
    never.set()


def test_a_body_that_keeps_moving_may_take_long(larder, origin):
    origin.route("/pass", [b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n"] +
                 [[b"x", Sleep(0.4)] for _ in range(8)])
    with larder(CONF, origin=origin.url).raw() as c:
        start = time.monotonic()
        assert c.get("/pass").body == b"x" * 8
        in_time(start, 2.5, 30)


def test_a_slow_client_is_not_the_origins_fault(larder, origin):
    """While nobody reads, the origin is not waited for."""
    total = 20_000_000
    origin.route("/pass", lambda x: flood.give(x, total))
    with larder(CONF, origin=origin.url).raw(rcvbuf=16384) as c:
        c.send(b"GET /pass HTTP/1.1\r\nHost: x\r\n\r\n")
        c.read_until(b"\r\n\r\n")
        threading.Event().wait(2.2)
        assert flood.receive(c.sock, total, c._pending) == total


@pytest.mark.parametrize("framing", ["Content-Length: 30000000", "Transfer-Encoding: chunked"])
def test_it_does_not_take_the_body(larder, origin, framing):
    never = threading.Event()
    origin.route("/up", Wait(never), read_body=False)
    with larder(CONF, origin=origin.url).raw() as c:
        c.send(f"POST /up HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode())
        start = time.monotonic()

        def send():
            try:
                flood.send(c.sock, 30_000_000, "chunked" in framing)
            except OSError:
                pass
        sender = threading.Thread(target=send)
        sender.start()
        r = c.read_response("POST")
        assert r.status == 504 and r.header("connection") == "close"
        in_time(start)
        sender.join(5)
        assert not sender.is_alive()
    never.set()


def test_it_takes_the_body_slowly(larder, origin):
    def slowly(x):
        x.answer(200, b"%d" % flood.take_request_body(x, rate=3_000_000))
    origin.route("/up", slowly, read_body=False)
    with larder(CONF, origin=origin.url).raw() as c:
        c.send(b"POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n")
        flood.send(c.sock, 9_000_000)
        assert c.read_response("POST").body == b"9000000"


def test_a_late_answer_meets_nobody(larder, origin):
    """The connection of a request that was given up is not used again."""
    origin.route("/late", [Sleep(1.3), answer(200, b"late")])
    with larder(CONF, origin=origin.url).raw() as c:
        assert c.get("/late").status == 504
        for i in range(20):
            assert c.get(f"/after/{i}").body.endswith(b"/after/%d" % i)
            time.sleep(0.03)
