"""Waiting costs no CPU, whatever is waited for, and idle connections next to no memory."""

import ssl
import threading
import time

import pytest

from lib import ws
from lib.certs import Authority
from lib.origin import Wait
from lib.ports import free_port
from lib.wait import eventually

CONF = """
listen 127.0.0.1:%PORT%
listen 127.0.0.1:%TLS_PORT% tls
tls %CERT% %KEY%
workers 1
memory 1gb
upstream main %ORIGIN%
defaults { upstream main; max_body off; max_object 32mb }
route GET /ws { upgrade websocket }
route GET /hit { scope public; ttl 1m }
"""
BIG = b"b" * 20_000_000


def stuff(c, data):
    """Sends until the peer takes no more."""
    c.sock.setblocking(False)
    idle = 0
    while idle < 20:
        try:
            c.sock.send(data)
            idle = 0
        except (BlockingIOError, ssl.SSLWantWriteError):
            idle += 1
            time.sleep(0.005)


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


class Waits:
    """Ways to keep the proxy waiting; each leaves a client as it has to be."""

    def __init__(self, proxy, tls_port, ctx):
        self.proxy, self.tls_port, self.ctx = proxy, tls_port, ctx

    def client(self, **kw):
        return self.proxy.raw(**kw)

    def in_a_head(self):
        c = self.client()
        c.send(b"GET /x HTTP/1.1\r\nHos")
        return c

    def for_a_body(self):
        c = self.client()
        c.send(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n123")
        return c

    def for_the_origin(self):
        c = self.client()
        c.send(get("/hang"))
        return c

    def for_the_origin_with_more_behind(self):
        c = self.client()
        stuff(c, get("/hang") * 100)
        return c

    def for_the_origin_with_a_half_closed_client(self):
        c = self.client()
        c.send(get("/hang"))
        c.half_close()
        return c

    def for_an_origin_that_takes_no_body(self):
        c = self.client()
        c.send(b"POST /deaf HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
        stuff(c, b"u" * 65536)
        return c

    def for_a_client_that_reads_nothing(self):
        c = self.client(rcvbuf=4096)
        c.send(get("/big"))
        return c

    def for_a_client_that_reads_no_hits(self):
        c = self.client(rcvbuf=4096)
        c.send(get("/hit") * 3)
        return c

    def for_a_tls_client_that_reads_nothing(self):
        c = self.client(port=self.tls_port, tls=self.ctx, rcvbuf=4096)
        c.send(get("/big"))
        return c

    def for_a_tls_client_with_more_behind(self):
        c = self.client(port=self.tls_port, tls=self.ctx)
        stuff(c, get("/hang") * 100)
        return c

    def in_a_tls_handshake(self):
        c = self.client(port=self.tls_port)
        c.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        return c

    def in_a_tunnel_full_both_ways(self):
        c = self.client(rcvbuf=4096)
        ws.Client(c)
        stuff(c, b"w" * 65536)
        return c

    def in_a_tunnel_half_closed(self):
        c = self.client()
        ws.Client(c)
        c.half_close()
        return c

    def for_a_last_word_to_be_read(self):
        c = self.client()
        c.send(b"BAD\r\n\r\n")
        return c


WAITS = [name for name in dir(Waits) if name.startswith(("in_", "for_"))]


@pytest.mark.parametrize("wait", WAITS)
def test_no_cpu(larder, origin, tmp_path, wait):
    never = threading.Event()

    def full(x):
        ws.accept(x)
        x.connection.sock.settimeout(0.5)
        try:
            while True:
                x.connection.sock.sendall(b"f" * 65536)
        except OSError:
            pass
        never.wait(4)
    origin.route("/hang", Wait(never))
    origin.route("/deaf", Wait(never), read_body=False)
    origin.route("/ws", full)
    for path in ("/big", "/hit"):
        origin.route(path, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BIG) + BIG)
    authority = Authority(tmp_path)
    cert, key = authority.issue("localhost")
    tls_port = free_port()
    proxy = larder(CONF, origin=origin.url, tls_port=tls_port, cert=cert, key=key)
    waits = Waits(proxy, tls_port, authority.client_context())
    clients = [getattr(waits, wait)() for _ in range(3)]

    def idle():
        cpu, start = proxy.cpu(), time.monotonic()
        time.sleep(0.5)
        return proxy.cpu() - cpu <= 0.05 * (time.monotonic() - start)
    try:
        eventually(idle, 4, "no CPU used once all is full that fills up")
        assert idle()
    finally:
        never.set()
        for c in clients:
            c.sock.close()


def test_idle_connections_hold_no_buffers(larder, origin):
    proxy = larder("workers 1\nupstream main %ORIGIN%\nroute GET /hit { scope public; ttl 1m }",
                   origin=origin.url)
    n = 1500
    head = get("/hit")[:-2] + b"".join(b"X-%d: " % i + b"a" * 4000 + b"\r\n" for i in range(5))

    def use(count):
        clients = []
        for _ in range(count):
            c = proxy.raw()
            c.send(head[:9000])  # a part is kept until the rest comes
            c.send(head[9000:] + b"\r\n")
            assert c.read_until(b"serial 1 /hit")
            clients.append(c)
        return clients
    for c in use(20):
        c.close()
    base = proxy.rss()
    clients = use(n)
    each = (proxy.rss() - base) / n
    assert proxy.sanitized or each < 3000, f"{each:.0f} bytes for each"
    again = proxy.rss()
    for c in clients:
        c.send(head + b"\r\n")
        c.read_until(b"serial 1 /hit")
    assert proxy.sanitized or proxy.rss() - again < 300_000
    for c in clients:
        c.close()
