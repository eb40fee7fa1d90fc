"""Listeners: addresses of every kind, connection limits, fairness."""

import os
import socket
import stat
import threading
import time

import pytest

from lib.ports import free_port
from lib.raw import RawClient
from lib.wait import eventually

CONF = """
upstream main %ORIGIN%
defaults { upstream main }
route GET /a { scope public; ttl 1m }
"""


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


def start(larder, origin, conf):
    """A proxy that listens on all its addresses: the harness waits for the first one only."""
    proxy = larder(conf, origin=origin.url)
    eventually(lambda: "listening on" in proxy.stderr())
    return proxy


def fill(proxy, n):
    """n connections that are served. Those of the harness, or of a test's previous step, may
    not have been noticed as closed yet."""
    def attempt():
        clients = [proxy.raw() for _ in range(n)]
        if all(c.get("/a").status == 200 for c in clients):
            return clients
        for c in clients:
            c.close()
    return eventually(attempt)


def test_several_addresses_share_one_cache(larder, origin):
    second = free_port()
    proxy = start(larder, origin, f"listen 127.0.0.1:%PORT%\nlisten 127.0.0.2:{second}\n" + CONF)
    assert proxy.get("/a", [("Host", "h")]).x_cache == "MISS"
    with RawClient(second, host="127.0.0.2") as c:
        assert c.get("/a", [("Host", "h")]).x_cache == "HIT"


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
def test_ipv6(larder, origin):
    port = free_port()
    proxy = start(larder, origin, f"listen 127.0.0.1:%PORT%\nlisten [::1]:{port}\n" + CONF)
    with RawClient(port, host="::1") as c:
        assert c.get("/a").status == 200
    assert proxy.access_log(1)[0]["client"] == "::1"


def test_unix_socket(larder, origin, tmp_path):
    path = str(tmp_path / "larder.sock")
    proxy = start(larder, origin, f"listen 127.0.0.1:%PORT%\nlisten unix:{path}\n" + CONF)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    with RawClient(0, unix=path) as c:
        assert [c.get("/a").x_cache for _ in range(2)] == ["MISS", "HIT"]
    assert proxy.access_log(2)[0]["client"] == "unix"
    assert proxy.stop() == 0
    assert not os.path.exists(path)


def test_unix_socket_is_shared_by_all_workers(larder, origin, tmp_path):
    path = str(tmp_path / "larder.sock")
    proxy = start(larder, origin, f"workers 4\nlisten 127.0.0.1:%PORT%\nlisten unix:{path}\n" + CONF)
    clients = [RawClient(0, unix=path) for _ in range(50)]
    for c in clients:
        assert c.get("/a").status == 200
    for c in clients:
        c.close()
    before = proxy.cpu()
    with RawClient(0, unix=path) as c:
        assert c.get("/a").status == 200
        assert c.quiet(0.5)
    assert proxy.cpu() - before <= 0.1


def test_unix_socket_comes_and_goes_with_a_reload(larder, origin, tmp_path):
    path = str(tmp_path / "larder.sock")
    proxy = larder(CONF, origin=origin.url)
    proxy.reload(f"listen 127.0.0.1:%PORT%\nlisten unix:{path}\n" + CONF, wait="reload done")
    with RawClient(0, unix=path) as c:
        assert c.get("/a").status == 200
    proxy.reload(CONF, wait="reload done")
    assert not os.path.exists(path)


def test_too_many_connections_get_503(larder, origin):
    proxy = larder("limits connections=5\n" + CONF, origin=origin.url)
    clients = fill(proxy, 5)
    with proxy.raw() as extra:
        r = extra.get("/a")
        assert r.status == 503 and r.header("retry-after") == "1"
        assert r.header("content-type") == "application/problem+json"
        assert r.json()["status"] == 503
        assert extra.closed()
    assert "connections= is reached" in proxy.stderr()
    for c in clients:
        assert c.get("/a").status == 200
    clients[0].close()
    eventually(lambda: proxy.get("/a").status == 200)
    for c in clients:
        c.close()


def test_refused_clients_hold_nothing(larder, origin):
    proxy = larder("workers 1\nlimits connections=1\n" + CONF, origin=origin.url)
    with fill(proxy, 1)[0] as c:
        before = proxy.fds()
        # They never close their side, and send more than anybody reads.
        refused = [proxy.raw() for _ in range(100)]
        assert all(r.read_response().status == 503 for r in refused)
        eventually(lambda: proxy.fds() <= before, 3)
        for r in refused:
            r.close()
        assert len(proxy.stderr().splitlines()) <= 5
        assert c.get("/a").status == 200


def test_connections_of_one_address_are_limited(larder, origin):
    proxy = larder("workers 4\nlimits connections_per_ip=3\n" + CONF, origin=origin.url)
    mine = [proxy.raw(source="127.0.0.7") for _ in range(3)]
    assert all(c.get("/a").status == 200 for c in mine)
    with proxy.raw(source="127.0.0.7") as extra:
        assert extra.get("/a").status == 503
    with proxy.raw(source="127.0.0.8") as other:
        assert other.get("/a").status == 200
    mine[1].reset()

    def again():
        with proxy.raw(source="127.0.0.7") as c:
            return c.get("/a").status == 200
    eventually(again)
    for c in mine:
        c.close()


def test_limit_by_address_can_come_and_go(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    limited = "limits connections_per_ip=2\n" + CONF
    with proxy.raw() as uncounted:
        assert uncounted.get("/a").status == 200
        proxy.reload(limited, wait="reload done")
        a, b = fill(proxy, 2)
        with proxy.raw() as c:
            assert c.get("/a").status == 503
    # Its end must not be taken for the end of a counted one.
    with proxy.raw() as c:
        assert c.get("/a").status == 503
    proxy.reload(CONF, wait="reload done")
    with proxy.raw() as c:
        assert c.get("/a").status == 200
    a.close()
    b.close()
    proxy.reload(limited, wait="reload done")

    def two():
        with proxy.raw() as c, proxy.raw() as d:
            return c.get("/a").status == d.get("/a").status == 200
    eventually(two)


def test_a_burst_of_connections_does_not_stop_others(larder, origin):
    proxy = larder("workers 1\n" + CONF, origin=origin.url)
    worst = []
    with proxy.raw() as c:
        c.get("/a")
        stop = threading.Event()

        def knock():
            while not stop.is_set():
                conns = [proxy.raw() for _ in range(100)]
                for k in conns:
                    k.close()
        t = threading.Thread(target=knock)
        t.start()
        for _ in range(200):
            start = time.monotonic()
            assert c.get("/a").x_cache == "HIT"
            worst.append(time.monotonic() - start)
        stop.set()
        t.join()
    worst.sort()
    assert worst[len(worst) // 2] < 0.1


def test_connections_that_say_nothing_do_no_harm(larder, origin):
    proxy = larder("limits head=500ms\n" + CONF, origin=origin.url)
    silent = [proxy.raw() for _ in range(100)]
    assert proxy.get("/a").status == 200
    for c in silent:
        assert c.closed(5)
        c.close()
