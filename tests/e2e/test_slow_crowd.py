"""A crowd of slow clients of every kind: they go when their time is over, others notice nothing."""

import threading
import time

from lib import flood
from lib.wait import eventually

CONF = """
workers 2
limits connections=400 head=1s body=1s write=1s idle=1s
upstream main %ORIGIN%
defaults { upstream main; max_body off; max_object 16mb }
route GET /hit { scope public; ttl 1m }
route GET /big { scope public; ttl 1m }
"""
HEADS = b"GET /hit HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"a" * 1000
BODY = b"POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
CHUNKS = b"POST /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 99
BIG = b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n"


class Crowd(threading.Thread):
    """Sends a byte to each connection now and then, or reads one."""

    def __init__(self, proxy, kinds, each):
        super().__init__()
        self.stop = threading.Event()
        self.clients = []
        for kind in kinds * each:
            c = proxy.raw(rcvbuf=4096 if kind is BIG else None)
            c.rest = kind
            if kind in (BODY, CHUNKS):
                head = kind.index(b"\r\n\r\n") + 4
                c.send(kind[:head])
                c.rest = kind[head:] or b"x" * 1000
            elif kind is BIG:
                c.send(kind)
                c.rest = b""
            self.clients.append(c)

    def run(self):
        i = 0
        while not self.stop.wait(0.1):
            for c in self.clients:
                try:
                    c.sock.setblocking(False)
                    if c.rest:
                        c.sock.send(c.rest[i:i + 1] or b"x")
                    else:
                        c.sock.recv(1)
                except OSError:
                    pass
            i += 1

    def end(self):
        self.stop.set()
        self.join()
        for c in self.clients:
            c.close()


def test_others_notice_nothing(larder, origin):
    origin.route("/big", lambda x: flood.give(x, 8_000_000))
    proxy = larder(CONF, origin=origin.url)
    host = [("Host", "x")]
    assert proxy.get("/hit", host).status == 200
    with proxy.raw() as c:
        c.send(BIG)
        c.read_until(b"\r\n\r\n")
        flood.receive(c.sock, 8_000_000, c._pending)
    crowd = Crowd(proxy, [HEADS, BODY, CHUNKS, BIG], 75)
    start = time.monotonic()
    crowd.start()
    try:
        longest = 0
        while proxy.clients() > 5:
            before = time.monotonic()
            assert proxy.get("/hit", host).x_cache == "HIT"
            assert proxy.post("/write", b"x").status == 200
            longest = max(longest, time.monotonic() - before)
            assert time.monotonic() - start < 10, f"{proxy.clients()} are still there"
        assert longest < 1.5
    finally:
        crowd.end()
    eventually(lambda: proxy.clients() == 0)


def status(proxy):
    with proxy.raw() as c:
        return c.get("/hit").status


def test_a_full_house_is_free_again(larder, origin):
    """With every place taken by slow clients newcomers are refused, for so long only."""
    conf = CONF.replace("connections=400 head=1s body=1s write=1s idle=1s",
                        "connections=100 head=4s idle=4s")
    proxy = larder(conf, origin=origin.url)
    crowd = Crowd(proxy, [HEADS], 110)  # some are refused, whoever asks in between
    crowd.start()
    try:
        eventually(lambda: status(proxy) == 503)
        eventually(lambda: status(proxy) == 200, 15)
    finally:
        crowd.end()
