"""WebSocket through a route that allows it."""

import os
import threading

import pytest

from lib import ws
from lib.certs import Authority
from lib.wait import eventually

CONF = """
workers 1
upstream main %ORIGIN%
route GET /ws { upgrade websocket }
"""


@pytest.fixture
def proxy(larder, origin):
    origin.route("/ws", ws.echo)
    return larder(CONF, origin=origin.url)


def test_messages_of_all_sizes(proxy):
    with proxy.raw() as raw:
        c = ws.Client(raw)
        for n in (0, 1, 125, 126, 65535, 65536, 1_000_000):
            payload = os.urandom(n)
            c.send(payload)
            assert c.receive() == (ws.BINARY, payload)
        c.send(b"are you there", ws.PING)
        assert c.receive() == (ws.PONG, b"are you there")
        c.send(b"\x03\xe8bye", ws.CLOSE)
        assert c.receive() == (ws.CLOSE, b"\x03\xe8bye")
        assert raw.closed()


def test_what_the_origin_sees(proxy, origin):
    with proxy.raw() as raw:
        ws.Client(raw, extra=["Sec-WebSocket-Protocol: chat", "Origin: http://app",
                              "Sec-WebSocket-Extensions: permessage-deflate", "Cookie: s=1"])
    r = origin.requests[0]
    assert (r.header("connection").lower(), r.header("upgrade")) == ("upgrade", "websocket")
    for name, value in (("sec-websocket-protocol", "chat"), ("origin", "http://app"),
                        ("cookie", "s=1"), ("sec-websocket-version", "13"),
                        ("sec-websocket-extensions", "permessage-deflate")):
        assert r.header(name) == value
    assert r.header("x-forwarded-for") == "127.0.0.1"


def test_fields_of_the_answer(larder, origin):
    origin.route("/ws", lambda x: ws.accept(x, ["Sec-WebSocket-Protocol: chat", "X-A: 1",
                                                "Keep-Alive: 5", "Set-Cookie: a=1"]))
    with larder(CONF, origin=origin.url).raw() as raw:
        a = ws.Client(raw).answer
        assert a.header("sec-websocket-protocol") == "chat" and a.header("x-a") == "1"
        assert a.header("set-cookie") == "a=1" and a.header("keep-alive") is None


def test_messages_in_the_segment_of_the_handshake(larder, origin):
    """Both sides may speak at once; nothing of it is lost or doubled."""
    def eager(x):
        ws.accept(x)
        x.send(ws.frame(b"welcome"))
        assert ws.read_frame(x.connection.read_exactly) == (ws.TEXT, b"early")
        x.send(ws.frame(b"got it"))
    origin.route("/ws", lambda x: eager(x))
    with larder(CONF, origin=origin.url).raw() as raw:
        c = ws.Client(raw, early=ws.frame(b"early", ws.TEXT, mask=True))
        assert c.receive() == (ws.BINARY, b"welcome")
        assert c.receive() == (ws.BINARY, b"got it")


def test_much_with_a_slow_reader(larder, origin):
    """The tunnel holds little, whoever is slow."""
    total = 30_000_000
    block = bytes(range(256)) * 256

    def pour(x):
        ws.accept(x)
        for _ in range(total // len(block)):
            x.send(block)
        x.connection.recv()
    origin.route("/ws", pour)
    proxy = larder(CONF, origin=origin.url)
    assert proxy.get("/warm").status == 200
    base = proxy.rss()
    with proxy.raw(rcvbuf=16384) as raw:
        ws.Client(raw)
        threading.Event().wait(0.3)  # it is full now
        assert proxy.sanitized or proxy.rss() - base < 2_000_000
        got = 0
        while got < total // len(block) * len(block):
            data = raw.read_some()
            assert data == (block * 3)[got % len(block):][:len(data)]
            got += len(data)


def test_half_close_both_ways(larder, origin):
    """What is said after the other side has ended still arrives, to the last byte."""
    said = []

    def last_words(x):
        ws.accept(x)
        try:
            while True:
                said.append(x.connection.recv())
        except Exception:
            pass
        x.send(b"z" * 5_000_000)
    origin.route("/ws", last_words)
    with larder(CONF, origin=origin.url).raw(rcvbuf=16384) as raw:
        ws.Client(raw)
        raw.send(b"a" * 300_000)
        raw.half_close()
        assert raw.read_all() == b"z" * 5_000_000
    assert b"".join(said) == b"a" * 300_000


def test_the_origin_ends_first(larder, origin):
    got = []

    def listen(x):
        ws.accept(x)
        x.connection.sock.shutdown(1)
        while True:
            got.append(x.connection.recv())
    origin.route("/ws", listen)
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as raw:
        ws.Client(raw)
        assert raw.read_some() == b""
        raw.send(b"still here")
        eventually(lambda: b"".join(got) == b"still here")
    eventually(lambda: proxy.clients() == 0 and not origin.connections[-1].open)


@pytest.mark.parametrize("who", ["client", "origin"])
def test_a_reset_ends_both(larder, origin, who):
    go, ended = threading.Event(), threading.Event()

    def serve(x):
        ws.accept(x)
        if who == "origin":
            go.wait(5)
            x.connection.reset()
        else:
            try:
                x.connection.recv()
            finally:
                ended.set()
    origin.route("/ws", serve)
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as raw:
        ws.Client(raw)
        if who == "origin":
            go.set()
            assert raw.closed()
        else:
            raw.reset()
            assert ended.wait(5)


def test_through_tls_on_both_sides(larder, make_origin, tmp_path):
    authority = Authority(tmp_path)
    cert, key = authority.issue("localhost")
    origin = make_origin(tls=authority.server_context("127.0.0.1"))
    origin.route("/ws", ws.echo)
    proxy = larder("""
listen 127.0.0.1:%PORT% tls
tls %CERT% %KEY%
upstream main %ORIGIN% tls_ca=%CA_FILE%
route GET /ws { upgrade websocket }
""", origin=origin.url, cert=cert, key=key, ca_file=authority.ca_file)
    with proxy.raw(tls=authority.client_context()) as raw:
        c = ws.Client(raw)
        for n in (1, 100_000):
            payload = os.urandom(n)
            c.send(payload)
            assert c.receive() == (ws.BINARY, payload)


def test_many_at_once(proxy):
    clients = [ws.Client(proxy.raw()) for _ in range(50)]
    for i, c in enumerate(clients):
        c.send(b"%d" % i)
    for i, c in enumerate(clients):
        assert c.receive() == (ws.BINARY, b"%d" % i)
        c.raw.close()


def test_an_idle_tunnel_has_an_end(larder, origin):
    origin.route("/ws", ws.echo)
    with larder("limits tunnel=1s\n" + CONF, origin=origin.url).raw() as raw:
        c = ws.Client(raw)
        for _ in range(4):
            assert raw.quiet(0.5)
            c.send(b"tick")
            assert c.receive() == (ws.BINARY, b"tick")
        assert raw.closed(4)


def test_a_reader_that_stopped_has_an_end(larder, origin):
    ended = threading.Event()

    def pour(x):
        ws.accept(x)
        try:
            while True:
                x.send(b"x" * 100_000)
        finally:
            ended.set()
    origin.route("/ws", pour)
    with larder("limits write=1s\n" + CONF, origin=origin.url).raw(rcvbuf=4096) as raw:
        ws.Client(raw)
        assert ended.wait(6)
