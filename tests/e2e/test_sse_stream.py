"""Server-Sent Events pass at once, are never stored, and end with their reader."""

import threading
import time

import pytest

from lib.origin import Wait, chunk
from lib.wait import eventually

CONF = """
workers 1
upstream main %ORIGIN%
defaults { upstream main; compress 1b }
route GET /hit { scope public; ttl 1m }
"""
TYPES = ["text/event-stream", "text/event-stream; charset=utf-8", "Text/Event-Stream"]


def stream(steps, content_type=TYPES[0], framing="chunked"):
    """An answering function: one event for each step (an event to wait for)."""
    def run(x):
        x.ended = x.origin.ended = threading.Event()
        line = "Transfer-Encoding: chunked\r\n" if framing == "chunked" else ""
        x.send(f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n"
               f"Cache-Control: no-cache\r\n{line}\r\n".encode())
        try:
            for i, step in enumerate(steps):
                x.run(Wait(step))
                data = b"data: %d\n\n" % i
                x.send(chunk(data) if framing == "chunked" else data)
            x.connection.recv()
        finally:
            x.ended.set()
    return run


@pytest.mark.parametrize("path", ["/pass", "/hit"])
@pytest.mark.parametrize("content_type", TYPES)
@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_each_event_at_once(larder, origin, path, content_type, framing):
    steps = [threading.Event() for _ in range(3)]
    origin.route(path, stream(steps, content_type, framing))
    with larder(CONF, origin=origin.url).raw() as c:
        c.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = c.read_until(b"\r\n\r\n")
        assert b"200 OK" in head and b"\r\ncontent-length" not in head.lower()
        for i, step in enumerate(steps):
            assert c.quiet(0.05)
            start = time.monotonic()
            step.set()
            c.read_until(b"data: %d\n\n" % i)
            assert time.monotonic() - start < 5
            c._pending = b""
    assert origin.ended.wait(3)


@pytest.mark.parametrize("leave", ["close", "reset", "half_close"])
@pytest.mark.parametrize("path", ["/pass", "/hit"])
def test_the_reader_leaves(larder, origin, leave, path):
    step = threading.Event()
    step.set()
    origin.route(path, stream([step]))
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as c:
        c.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        c.read_until(b"data: 0\n\n")
        getattr(c, leave)()
        assert origin.ended.wait(3), "nobody reads it, but the origin goes on"
        eventually(lambda: proxy.clients() == 0)


def test_the_reader_leaves_before_the_first_byte(larder, origin):
    go = threading.Event()
    origin.route("/pass", [Wait(go), stream([])])
    with larder(CONF, origin=origin.url).raw() as c:
        c.send(b"GET /pass HTTP/1.1\r\nHost: x\r\n\r\n")
        origin.wait_requests(1)
        c.half_close()
        go.set()
        assert c.read_all() == b""
    eventually(lambda: origin.ended.is_set())


def test_readers_do_not_share(larder, origin):
    """Each has a stream of its own, also where answers are cached, at once and afterwards."""
    step = threading.Event()
    origin.route("/hit", stream([step]))
    proxy = larder(CONF, origin=origin.url)
    clients = [proxy.raw() for _ in range(3)]
    for c in clients:
        c.send(b"GET /hit HTTP/1.1\r\nHost: x\r\n\r\n")
    for c in clients:
        assert b"HIT" not in c.read_until(b"\r\n\r\n")
    step.set()
    for c in clients:
        c.read_until(b"data: 0\n\n")
        c.close()
    assert origin.count("/hit") == 3


def test_the_origin_ends_it(larder, origin):
    def one(x):
        x.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: only\n\n")
        x.connection.sock.shutdown(1)
        x.connection.close()
    origin.route("/pass", one)
    with larder(CONF, origin=origin.url).raw() as c:
        r = c.get("/pass")
        assert r.body == b"data: only\n\n"
        assert r.header("cache-status").endswith("detail=stream")


def test_waiting_costs_nothing(larder, origin):
    origin.route("/pass", stream([threading.Event()]))
    proxy = larder(CONF, origin=origin.url)
    clients = [proxy.raw() for _ in range(20)]
    for c in clients:
        c.send(b"GET /pass HTTP/1.1\r\nHost: x\r\n\r\n")
        c.read_until(b"\r\n\r\n")
    cpu, start = proxy.cpu(), time.monotonic()
    threading.Event().wait(1)
    assert proxy.cpu() - cpu <= 0.05 * (time.monotonic() - start)
    for c in clients:
        c.close()
