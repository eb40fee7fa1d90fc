"""Bodies of 200 MB go through, both ways, in little memory, whoever is the slower side."""

import threading

import pytest

from lib import flood

CONF = """
workers 1
upstream main %ORIGIN%
defaults { upstream main; max_body off; max_object 1mb; timeout idle=20s }
route GET /cached { scope public; ttl 1m }
"""
ROOM = 12_000_000  # bytes of memory that streaming may take
LARGE = 200_000_000
MUCH = 15_000_000  # where somebody is slow


@pytest.fixture
def start(larder, origin):
    def begin(total, chunked=False, rate=None):
        def down(x):
            flood.give(x, total, chunked, rate)

        def up(x):
            x.answer(200, b"%d" % flood.take_request_body(x, rate))
        origin.route("/down", down)
        origin.route("/cached", down)
        origin.route("/up", up, read_body=False)
        proxy = larder(CONF, origin=origin.url)
        assert proxy.get("/warm").status == 200
        proxy.base = proxy.rss()
        return proxy
    return begin


def download(proxy, path, total, chunked=False, rate=None):
    with proxy.raw() as c:
        c.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        c.read_until(b"\r\n\r\n")
        if chunked:
            assert flood.receive_chunked(c.sock, c._pending, rate) == total
        else:
            assert flood.receive(c.sock, total, c._pending, rate) == total
        assert proxy.sanitized or proxy.rss() - proxy.base < ROOM
        c._pending = b""
        assert c.get("/again").status == 200  # on the same connection


def upload(proxy, total, chunked=False, rate=None):
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {total}"
    with proxy.raw() as c:
        c.send(f"POST /up HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode())
        flood.send(c.sock, total, chunked, rate)
        assert proxy.sanitized or proxy.rss() - proxy.base < ROOM
        r = c.read_response("POST")
        assert r.body == b"%d" % total
        assert c.get("/again").status == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_download(start, chunked):
    download(start(LARGE, chunked), "/down", LARGE, chunked)


@pytest.mark.parametrize("chunked", [False, True])
def test_upload(start, chunked):
    upload(start(LARGE), LARGE, chunked)


def test_slow_reader(start):
    download(start(MUCH), "/down", MUCH, rate=10_000_000)


def test_slow_origin_reads(start):
    upload(start(MUCH, rate=10_000_000), MUCH)


def test_slow_writers(start):
    proxy = start(MUCH, rate=10_000_000)
    download(proxy, "/down", MUCH)
    upload(proxy, MUCH, rate=10_000_000)


def test_too_large_for_the_cache(start):
    """A fill that outgrows max_object passes at the speed of who reads it."""
    proxy = start(MUCH)
    download(proxy, "/cached", MUCH, rate=10_000_000)
    assert proxy.get("/cached", timeout=20).x_cache == "MISS"


def test_many_slow_readers(start):
    proxy = start(MUCH)
    clients = [proxy.raw(rcvbuf=4096) for _ in range(40)]
    for c in clients:
        c.send(b"GET /down HTTP/1.1\r\nHost: x\r\n\r\n")
    for c in clients:
        c.read_until(b"\r\n\r\n")
    assert proxy.sanitized or proxy.rss() - proxy.base < 40 * 400_000 + ROOM
    ended = threading.Thread(target=lambda: [c.close() for c in clients])
    ended.start()
    assert proxy.get("/after").status == 200
    ended.join()
