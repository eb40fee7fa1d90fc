"""Clients that hardly read do not hold a place; slow lines are another matter."""

import threading
import time

import pytest

from lib.origin import Hang, answer, chunk
from lib.wait import eventually

CONF = """
workers 1
memory 1gb
limits write=1s idle=3s
upstream main %ORIGIN%
defaults { upstream main; max_object 16mb }
route GET /hit { scope public; ttl 1m }
"""
BIG = bytes(range(251)) * 40000  # 10 MB


def ask(proxy, path, **kw):
    c = proxy.raw(rcvbuf=4096, **kw)
    c.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return c


@pytest.fixture
def proxy(larder, origin):
    for path in ("/hit", "/pass"):
        origin.route(path, answer(200, BIG))
    proxy = larder(CONF, origin=origin.url)
    assert proxy.get("/hit", [("Host", "x")]).body == BIG
    return proxy


@pytest.mark.parametrize("path", ["/hit", "/pass"])
def test_no_byte(proxy, path):
    eventually(lambda: proxy.clients() == 0)
    with ask(proxy, path):
        start = time.monotonic()
        eventually(lambda: proxy.clients() == 1)
        eventually(lambda: proxy.clients() == 0, 6)
        assert time.monotonic() - start > 0.8
        assert proxy.get("/hit", [("Host", "x")]).body == BIG


@pytest.mark.parametrize("path", ["/hit", "/pass"])
def test_a_byte_now_and_then(proxy, path):
    eventually(lambda: proxy.clients() == 0)
    with ask(proxy, path) as c:
        eventually(lambda: proxy.clients() == 1)
        stop = threading.Event()

        def read():
            while not stop.wait(0.1) and c.sock.recv(1):
                pass
        reader = threading.Thread(target=read)
        reader.start()
        try:
            eventually(lambda: proxy.clients() == 0, 8)
        finally:
            stop.set()
            reader.join()
        assert proxy.get("/hit", [("Host", "x")]).body == BIG


@pytest.mark.parametrize("path", ["/hit", "/pass"])
def test_a_slow_line_gets_everything(proxy, path):
    """The kernel may call a socket writable only every few seconds then."""
    with ask(proxy, path, timeout=30) as c:
        head = c.read_until(b"\r\n\r\n")
        got, start = len(c._pending), time.monotonic()
        while got < len(BIG):
            data = c.sock.recv(65536)
            assert data, f"cut after {got} bytes, {time.monotonic() - start:.1f} s"
            got += len(data)
            time.sleep(max(0, start + got / 2_000_000 - time.monotonic()))  # 2 MB/s
        assert b"200" in head
        assert time.monotonic() - start > 4


def test_an_event_stream_that_nobody_reads(proxy, origin):
    ended = threading.Event()

    def events(x):
        x.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
               b"Transfer-Encoding: chunked\r\n\r\n")
        try:
            while True:  # small events that never stop
                x.send(chunk(b"data: " + b"e" * 50000 + b"\n\n"))
                time.sleep(0.01)
        finally:
            ended.set()
    origin.route("/events", events)
    with ask(proxy, "/events"):
        assert ended.wait(8)


def test_answers_that_pile_up(proxy, origin):
    """Pipelined requests whose answers nobody reads: reading stops, then it is over."""
    with proxy.raw(rcvbuf=4096) as c:
        c.sock.setblocking(False)
        data = b"GET /hit HTTP/1.1\r\nHost: x\r\n\r\n" * 100
        sent, deadline = 0, time.monotonic() + 1
        while time.monotonic() < deadline:
            try:
                sent += c.sock.send(data)
            except BlockingIOError:
                time.sleep(0.01)
            except OSError:
                break
        eventually(lambda: proxy.clients() == 0, 6)
    assert proxy.get("/hit", [("Host", "x")]).body == BIG


def test_waiting_for_the_origin_is_not_reading_slowly(proxy, origin):
    origin.route("/hang", [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", Hang()])
    with ask(proxy, "/hang") as c:
        c.read_until(b"ab")
        assert c.quiet(2.5)
