"""Clients that leave, at any moment and in any way: nothing is left behind."""

import random
import threading
import time

import pytest

from lib.origin import Hang, Wait, answer, chunk
from lib.wait import eventually

CONF = """
workers 2
upstream main %ORIGIN%
defaults { upstream main; max_body off; retry 0 }
route GET /hit/{n} { scope public; ttl 1m }
route GET /fill { scope public; ttl 1m }
"""


def ask(c, path, method="GET"):
    c.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_a_pass_ends_with_its_client(larder, origin, leave):
    ended = threading.Event()

    def pour(x):
        x.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                x.send(chunk(b"x" * 10000))
        finally:
            ended.set()
    origin.route("/pass", pour)
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as c:
        ask(c, "/pass")
        c.read_until(b"xxx")
        getattr(c, leave)()
        assert ended.wait(5)
    log = proxy.access_log(1)[0]
    assert log["status"] == 200


def test_a_reset_while_the_origin_thinks(larder, origin):
    origin.route("/pass", Hang())
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as c:
        ask(c, "/pass")
        origin.wait_requests(1)
        c.reset()
        eventually(lambda: not origin.connections[0].open)
    assert proxy.access_log(1)[0]["status"] == 499


def test_a_fill_goes_on_without_its_client(larder, origin):
    go = threading.Event()
    origin.route("/fill", [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", Wait(go),
                           b"67890"])
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as c:
        ask(c, "/fill")
        c.read_until(b"12345")
        c.reset()
    go.set()
    eventually(lambda: proxy.get("/fill", [("Host", "x")]).x_cache == "HIT")
    assert origin.count() == 1


def test_followers_stay_when_the_leader_leaves(larder, origin):
    go = threading.Event()
    origin.route("/fill", [Wait(go), answer(200, b"shared")])
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as leader, proxy.raw() as follower:
        ask(leader, "/fill")
        origin.wait_requests(1)
        ask(follower, "/fill")
        assert follower.quiet(0.1)
        leader.reset()
        assert follower.quiet(0.1)
        go.set()
        assert follower.read_response().body == b"shared"
    assert origin.count() == 1


@pytest.mark.parametrize("framing", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_an_upload_that_stops_reaches_nobody_whole(larder, origin, framing):
    whole = []

    def take(x):
        x.read_body()
        whole.append(x.request.body)
    origin.route("/up", take, read_body=False)
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as c:
        c.send(f"POST /up HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode() + chunk(b"x" * 500))
        origin.wait_requests(1)
        c.close()
    eventually(lambda: not origin.connections[0].open)
    assert not whole


def test_a_storm(larder, origin):
    """Hundreds leave at random moments; afterwards everything is as before."""
    def some(x):
        x.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            x.send(chunk(b"x" * 20000))
            time.sleep(0.001)
        x.send(b"0\r\n\r\n")
    origin.default = some
    proxy = larder(CONF, origin=origin.url)
    assert proxy.get("/warm").status == 200
    base, rng = proxy.fds(), random.Random(7)

    def one(i):
        c = proxy.raw()
        path = rng.choice([f"/hit/{i % 5}", "/pass", "/pass"])
        data = (f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() if i % 3 else
                b"POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n" + b"x" * 49000)
        c.send(data[:rng.randrange(1, len(data) + 1)])
        if i % 2:
            try:
                c.sock.settimeout(0.02)
                c.sock.recv(rng.choice([1, 1000, 60000]))
            except OSError:
                pass
        (c.reset if i % 4 else c.close)()
    threads = [threading.Thread(target=lambda k=k: [one(k * 60 + i) for i in range(60)])
               for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    eventually(lambda: proxy.fds() <= base + 4, 5)
    assert proxy.get("/hit/1").status == 200
    cpu, start = proxy.cpu(), time.monotonic()
    threading.Event().wait(0.7)
    assert proxy.cpu() - cpu <= 0.05 * (time.monotonic() - start)
