"""File descriptors run out: no spinning, no flood in the log, and it passes."""

import os
import resource
import socket
import subprocess
import time

from lib.larder import binary
from lib.ports import free_port
from lib.wait import eventually

CONF = """
workers 1
limits idle=30s head=30s
upstream main %ORIGIN%
defaults { upstream main }
route GET /a { scope public; ttl 1m }
"""


def limit_files(proxy, n):
    hard = resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (n, hard))


def limit_to_now(proxy):
    """The process gets no further descriptor: the limit is the lowest number that is free."""
    used = {int(n) for n in os.listdir(f"/proc/{proxy.pid}/fd")}
    limit_files(proxy, min(set(range(len(used) + 1)) - used))


def connect(proxy):
    s = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
    s.sendall(b"GET /a HTTP/1.1\r\nHost: localhost\r\n")  # a head that is not complete
    return s


def test_running_out_of_descriptors(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    assert proxy.get("/a").status == 200
    limit_files(proxy, 64)
    clients = [connect(proxy) for _ in range(200)]
    eventually(lambda: "cannot accept connections" in proxy.stderr())
    # Full, with a queue of a hundred: it waits instead of spinning.
    cpu, start = proxy.cpu(), time.monotonic()
    lines = len(proxy.stderr().splitlines())
    time.sleep(1.5)
    span = time.monotonic() - start
    assert (proxy.cpu() - cpu) / span <= 0.05
    assert len(proxy.stderr().splitlines()) - lines <= 2
    # Those that got in are served,
    clients[0].sendall(b"\r\n")
    assert clients[0].recv(65536).startswith(b"HTTP/1.1 200")
    # and as they leave, the others are.
    start = time.monotonic()
    for c in clients[:190]:
        c.close()
    for c in clients[190:]:
        c.sendall(b"\r\n")
        assert c.recv(65536).startswith(b"HTTP/1.1 200")
        c.close()
    assert time.monotonic() - start < 10


def test_idle_connections_give_way_to_new_ones(larder, origin):
    """Keep-alive connections that carry nothing are closed, oldest first, for those that wait."""
    proxy = larder(CONF, origin=origin.url)
    limit_files(proxy, 64)
    room = 64 - proxy.fds()
    idle = []
    for _ in range(room + 10):
        c = proxy.raw()
        assert c.get("/a").status == 200
        idle.append(c)
    assert idle[0].closed()
    assert idle[-1].get("/a").x_cache == "HIT"
    for c in idle:
        c.close()


def test_upstream_connections_give_way_too(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    # The first client stays: its number is lower than the upstream connection's, and a limit at a
    # number that it left would make what the upstream's gives back useless.
    with proxy.raw() as first:
        assert first.get("/miss").status == 200
        eventually(lambda: any(c.open for c in origin.connections))
        limit_to_now(proxy)
        # Accepting needs one, and gets that of the idle upstream connection.
        with proxy.raw() as c:
            assert c.get("/a").status in (200, 502)
            eventually(lambda: not origin.connections[0].open)


def test_a_miss_without_descriptors_is_an_answer(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    assert proxy.get("/a").status == 200
    with proxy.raw() as c:
        assert c.get("/a").x_cache == "HIT"
        eventually(lambda: any(k.open for k in origin.connections))
        proxy.reload(wait="reload done")  # closes the idle upstream connection
        limit_to_now(proxy)
        for _ in range(5):
            assert c.get("/other").status in (502, 503)
        assert "is failing" not in proxy.stderr()  # it is us, not the server
        assert c.get("/a").x_cache == "HIT"
        limit_files(proxy, 64)
        assert c.get("/other").status == 200


def test_an_idle_upstream_connection_gives_way_to_another_upstream(larder, make_origin):
    one, two = make_origin(), make_origin()
    proxy = larder("""
        workers 1
        upstream one %ONE%
        upstream two %TWO%
        defaults { upstream one }
        route GET /two { upstream two }
    """, one=one.url, two=two.url)
    with proxy.raw() as c:
        assert c.get("/one").status == 200
        limit_to_now(proxy)
        assert c.get("/two").status == 200
        assert two.count("/two") == 1
        eventually(lambda: not one.connections[0].open)


def test_a_low_limit_is_said_at_start(larder, origin, tmp_path):
    path = tmp_path / "low.conf"
    port = free_port()
    path.write_text(f"listen 127.0.0.1:{port}\nupstream main {origin.url}\n"
                    "limits connections=5000\n")
    p = subprocess.Popen(["prlimit", "--nofile=256:256", binary(), "run", "-c", str(path)],
                         stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        first = p.stderr.readline()
        assert "connections=5000" in first and "256 open files" in first
    finally:
        p.terminate()
        assert p.wait(10) == 0
        p.stderr.close()


def test_the_admin_address_waits_for_descriptors(larder, origin):
    port = free_port()
    proxy = larder(f"admin 127.0.0.1:{port}\n" + CONF, origin=origin.url)
    eventually(lambda: "admin on " in proxy.stderr(), 15)
    limit_files(proxy, proxy.fds() + 3)
    clients = [socket.create_connection(("127.0.0.1", port), timeout=15) for _ in range(20)]
    eventually(lambda: "admin: cannot accept" in proxy.stderr(), 15)
    cpu, start = proxy.cpu(), time.monotonic()
    time.sleep(1)
    assert (proxy.cpu() - cpu) / (time.monotonic() - start) <= 0.05
    assert proxy.stderr().count("admin: cannot accept") <= 2
    for c in clients[:-1]:
        c.close()
    clients[-1].sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert clients[-1].recv(65536).startswith(b"HTTP/1.1 200")
    clients[-1].close()
