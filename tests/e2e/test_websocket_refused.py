"""Upgrades that are not, and what may be hidden behind them."""

import threading

import pytest

from lib import ws
from lib.origin import answer
from lib.wait import eventually

CONF = """
workers 1
upstream main %ORIGIN%
defaults { upstream main }
route GET /ws { upgrade websocket }
route GET /hit { scope public; ttl 1m }
"""
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def proxy(larder, origin):
    return larder(CONF, origin=origin.url)


def switching(accept, upgrade="websocket", connection="Upgrade"):
    lines = ["HTTP/1.1 101 Switching Protocols"]
    lines += [f"Connection: {connection}"] if connection else []
    lines += [f"Upgrade: {upgrade}"] if upgrade else []
    lines += [f"Sec-WebSocket-Accept: {accept}"] if accept else []
    return "\r\n".join((*lines, "", "")).encode()


@pytest.mark.parametrize("what", [
    "wrong accept", "no accept", "other protocol", "no upgrade", "no connection", "two accepts"])
def test_a_101_that_is_not_valid(proxy, origin, what):
    key = ws.new_key()
    good = ws.accept_of(key)
    said = {
        "wrong accept": switching(ws.accept_of(ws.new_key())),
        "no accept": switching(None),
        "other protocol": switching(good, upgrade="h2c"),
        "no upgrade": switching(good, upgrade=None),
        "no connection": switching(good, connection=None),
        "two accepts": switching(good + "\r\nSec-WebSocket-Accept: x"),
    }[what]
    origin.route("/ws", [said, b"raw bytes of the backend"])
    with proxy.raw() as c:
        c.send(ws.handshake(key=key) + SMUGGLED)
        r = c.read_response()
        assert r.status == 502 and b"raw bytes" not in r.raw
        assert c.closed()
    assert origin.count("/smuggled") == 0
    assert b"smuggled" not in origin.connections[0].received
    assert proxy.get("/after").body == b"serial 1 /after"


@pytest.mark.parametrize("status", [200, 400, 401, 426, 500])
def test_not_granted_means_the_connection_ends(proxy, origin, status):
    """What the client sent early may not have been meant as a request (RFC 9931)."""
    origin.route("/ws", answer(status, b"no upgrade here"))
    with proxy.raw() as c:
        c.send(ws.handshake() + SMUGGLED)
        r = c.read_response()
        assert (r.status, r.body) == (status, b"no upgrade here")
        assert r.header("connection") == "close"
        assert c.closed()
    assert origin.count("/smuggled") == 0


KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ORDINARY = {
    "route without upgrade": ws.handshake("/other", KEY),
    "cached route": ws.handshake("/hit", KEY),
    "not GET": ws.handshake(key=KEY, method="DELETE"),
    "old version": ws.handshake(key=KEY, version="8"),
    "short key": ws.handshake(key="short"),
    "key that is not base64": ws.handshake(key="!" * 24),
    "two keys": ws.handshake(key=KEY, extra=[f"Sec-WebSocket-Key: {KEY}"]),
    "no connection": ws.handshake(key=KEY).replace(b"n: Upgrade", b"n: keep-alive"),
    "h2c": ws.handshake(key=KEY).replace(b": websocket", b": h2c"),
    "TLS": ws.handshake(key=KEY).replace(b": websocket", b": TLS/1.3"),
    "HTTP/1.0": ws.handshake(key=KEY).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "body": ws.handshake(key=KEY, extra=["Content-Length: 4"]) + b"body",
    "chunked body": ws.handshake(key=KEY, extra=["Transfer-Encoding: chunked"]) +
    b"4\r\nbody\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("what", ORDINARY)
def test_everything_else_is_an_ordinary_request(proxy, origin, what):
    with proxy.raw() as c:
        c.send(ORDINARY[what])
        r = c.read_response()
        assert r.status == (400 if what == "two keys" else 200)
    for r in origin.requests:
        assert r.header("upgrade") is None and r.header("connection") is None


@pytest.mark.parametrize("fields", [
    ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ"],
    ["Connection: Upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ"],
    ["Connection: Upgrade", "Upgrade: websocket, h2c"],
    ["Connection: Upgrade, X", "Upgrade: h2c\x09"],
])
@pytest.mark.parametrize("path", ["/ws", "/other", "/hit"])
def test_never_h2c(proxy, origin, fields, path):
    with proxy.raw() as c:
        c.send("\r\n".join((f"GET {path} HTTP/1.1", "Host: x", *fields, "", "")).encode())
        assert c.read_response().status == 200
    raw = origin.requests[0].raw_head.lower()
    assert b"h2c" not in raw and b"http2-settings" not in raw and b"upgrade" not in raw


def test_bytes_before_the_101_wait_for_it(proxy, origin):
    """They are not sent to the origin as long as it has not agreed."""
    go = threading.Event()
    seen = []

    def late(x):
        assert go.wait(5)
        x.connection.sock.setblocking(False)
        try:
            seen.append(x.connection.sock.recv(1000))
        except BlockingIOError:
            seen.append(b"")
        x.connection.sock.setblocking(True)
        ws.accept(x)
        seen.append(x.connection.read_exactly(5))
    origin.route("/ws", late)
    with proxy.raw() as c:
        key = ws.new_key()
        c.send(ws.handshake(key=key) + b"early")
        origin.wait_requests(1)
        assert c.quiet(0.2)
        go.set()
        assert c.read_response(upgrade=True).status == 101
    eventually(lambda: seen == [b"", b"early"])


def test_a_reused_connection_may_upgrade_but_never_goes_back(proxy, origin):
    assert proxy.get("/other").status == 200
    origin.route("/ws", ws.echo)
    with proxy.raw() as raw:
        c = ws.Client(raw)
        c.send(b"x")
        assert c.receive() == (ws.BINARY, b"x")
    assert len(origin.connections) == 1
    assert proxy.get("/other").status == 200
    assert len(origin.connections) == 2
