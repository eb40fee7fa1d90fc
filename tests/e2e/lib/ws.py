"""WebSocket (RFC 6455) by hand: enough to talk, and to break every rule on purpose."""

import base64
import hashlib
import os
import struct

from .origin import Gone

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def accept_of(key):
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def new_key():
    return base64.b64encode(os.urandom(16)).decode()


def frame(payload, opcode=BINARY, mask=False):
    n = len(payload)
    head = bytes([0x80 | opcode])
    bit = 0x80 if mask else 0
    if n < 126:
        head += bytes([bit | n])
    elif n < 65536:
        head += bytes([bit | 126]) + struct.pack(">H", n)
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", n)
    if not mask:
        return head + payload
    key = os.urandom(4)
    return head + key + apply_mask(payload, key)


def apply_mask(data, key):
    n = len(data)
    repeated = (key * (n // 4 + 1))[:n]
    return (int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")).to_bytes(n, "big")


def read_frame(read):
    """read(n) -> exactly n bytes. Returns (opcode, payload)."""
    first, second = read(2)
    n = second & 0x7F
    if n == 126:
        n = struct.unpack(">H", read(2))[0]
    elif n == 127:
        n = struct.unpack(">Q", read(8))[0]
    key = read(4) if second & 0x80 else None
    payload = read(n)
    return first & 0x0F, apply_mask(payload, key) if key else payload


def handshake(path="/ws", key=None, extra=(), method="GET", version="13"):
    """The bytes of a client's opening request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: Upgrade",
             "Upgrade: websocket", f"Sec-WebSocket-Version: {version}",
             f"Sec-WebSocket-Key: {key or new_key()}", *extra, "", ""]
    return "\r\n".join(lines).encode()


class Client:
    """Speaks WebSocket on a lib.raw.RawClient after a handshake."""

    def __init__(self, raw, path="/ws", early=b"", extra=()):
        self.raw = raw
        self.key = new_key()
        raw.send(handshake(path, self.key, extra) + early)
        self.answer = raw.read_response(upgrade=True)
        assert self.answer.status == 101, self.answer
        assert self.answer.header("sec-websocket-accept") == accept_of(self.key)

    def send(self, payload, opcode=BINARY):
        self.raw.send(frame(payload, opcode, mask=True))

    def _read(self, n):
        data = b""
        while len(data) < n:
            more = self.raw.read_some()
            assert more, f"ended after {len(data)} of {n} bytes"
            data += more
        self.raw._pending = data[n:]
        return data[:n]

    def receive(self):
        return read_frame(self._read)


def accept(exchange, extra=()):
    """For an origin's answering function: agrees to the upgrade."""
    lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket",
             "Sec-WebSocket-Accept: " + accept_of(exchange.request.header("sec-websocket-key")),
             *extra, "", ""]
    exchange.send("\r\n".join(lines).encode())


def echo(exchange):
    """An origin's answering function: sends every message back until it is asked to close."""
    accept(exchange)
    while True:
        opcode, payload = read_frame(exchange.connection.read_exactly)
        if opcode == PING:
            exchange.send(frame(payload, PONG))
        elif opcode == CLOSE:
            exchange.send(frame(payload, CLOSE))
            exchange.connection.close()
            raise Gone("closed")
        else:
            exchange.send(frame(payload, opcode))
