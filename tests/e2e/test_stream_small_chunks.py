"""Chunks of one byte are no lever: what is sent on is cut by what was read, not by the peer."""

import threading

from lib.origin import LAST_CHUNK, Wait, chunk

CONF = """
workers 1
upstream main %ORIGIN%
defaults { upstream main }
route GET /hit { scope public; ttl 1m }
"""
N = 300_000
TINY = b"1\r\nx\r\n" * N + LAST_CHUNK
CPU = 1.0  # seconds; a system call for each chunk would take several


def sizes(raw):
    """Number of chunks in a chunked body."""
    count, at = 0, 0
    while True:
        end = raw.index(b"\r\n", at)
        n = int(raw[at:end], 16)
        if n == 0:
            return count
        count, at = count + 1, end + 2 + n + 2


def test_in_requests(larder, origin):
    got = []

    def take(x):
        body, buffer = b"", x.connection._buffer
        while not buffer.endswith(LAST_CHUNK):
            buffer += x.connection.sock.recv(1 << 20)
        x.request.complete = True
        got.append(buffer)
        x.answer(200, body)
    origin.route("/up", take, read_body=False)
    proxy = larder(CONF, origin=origin.url)
    cpu = proxy.cpu()
    with proxy.raw(timeout=30) as c:
        c.send(b"POST /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + TINY)
        assert c.read_response("POST").status == 200
    assert got[0].count(b"x") == N and sizes(got[0]) < N / 20
    assert proxy.sanitized or proxy.cpu() - cpu < CPU


def test_in_answers(larder, origin):
    for path in ("/pass", "/hit"):
        origin.route(path, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + TINY)
        proxy = larder(CONF, origin=origin.url)
        cpu = proxy.cpu()
        with proxy.raw(timeout=30) as c:
            c.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            c.read_until(b"\r\n\r\n")
            raw, c._pending = c._pending, b""
            while not raw.endswith(LAST_CHUNK):
                raw += c.read_some()
            assert raw.count(b"x") == N and sizes(raw) < N / 20
        assert proxy.sanitized or proxy.cpu() - cpu < CPU


def test_but_nothing_waits_for_more(larder, origin):
    go = threading.Event()
    origin.route("/pass", [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk(b"a"),
                           Wait(go), chunk(b"b"), LAST_CHUNK])
    with larder(CONF, origin=origin.url).raw() as c:
        c.send(b"GET /pass HTTP/1.1\r\nHost: x\r\n\r\n")
        c.read_until(chunk(b"a"))
        go.set()
        c.read_until(LAST_CHUNK)
