"""Several servers: shared out, and the dead ones left out."""

import socket
import threading
import time

import pytest

from lib.origin import Hang, Reset, Wait, answer
from lib.ports import free_port
from lib.wait import eventually

CONF = """
workers 1
upstream main %SERVERS% balance=%BALANCE% max_fails=2 fail_timeout=1s keepalive=16
defaults { upstream main; retry 1; timeout first_byte=1s }
"""


@pytest.fixture
def servers(make_origin):
    return [make_origin() for _ in range(3)]


@pytest.fixture
def start(larder):
    def begin(servers, balance="round_robin", extra=()):
        urls = [s.url for s in servers] + list(extra)
        return larder(CONF, servers=" ".join(urls), balance=balance)
    return begin


def test_round_robin(start, servers):
    proxy = start(servers)
    for i in range(30):
        assert proxy.get(f"/{i}").status == 200
    assert [s.count() for s in servers] == [10, 10, 10]


def test_least_connections(start, servers):
    """A server that is busy gets nothing while others are not."""
    go = threading.Event()
    servers[0].default = [Wait(go), answer(200, b"slow")]
    proxy = start(servers, "least_conn")
    with proxy.raw() as c:
        slow = []
        while servers[0].count() == 0:  # until one request is stuck there
            slow.append(proxy.raw())
            slow[-1].send(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
            eventually(lambda: sum(s.count() for s in servers) == len(slow))
        for i in range(20):
            assert c.get(f"/{i}").body != b"slow"
        assert servers[0].count() == 1
        go.set()
        for s in slow:
            assert s.read_response().status == 200
            s.close()


@pytest.mark.parametrize("balance", ["round_robin", "least_conn"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_one_is_dead(start, servers, balance, method):
    proxy = start(servers[:2], balance, [f"http://127.0.0.1:{free_port()}"])
    for i in range(20):
        assert proxy.request(method, f"/{i}").status == 200
    assert sum(s.count() for s in servers) == 20
    assert "is failing" in proxy.stderr()


def test_one_dies_and_comes_back(start, make_origin):
    a, b = make_origin(), make_origin()
    port = b.port
    proxy = start([a, b])
    b.stop()
    for i in range(20):
        assert proxy.get(f"/{i}").status == 200
    again = make_origin(port=port)
    eventually(lambda: proxy.get("/x").status == 200 and again.count() > 0, 5)
    assert "is back" in proxy.stderr()


def test_one_resets_everything(start, servers):
    servers[0].default = Reset()
    proxy = start(servers)
    for i in range(20):
        assert proxy.get(f"/{i}").status == 200
    assert servers[0].count() <= 3


def test_a_slow_one_is_left_for_another(start, servers):
    servers[0].default = Hang()
    proxy = start(servers[:2])
    start_time = time.monotonic()
    assert [proxy.get(f"/{i}").status for i in range(4)] == [200] * 4
    assert time.monotonic() - start_time < 4


def test_a_post_goes_to_one(start, servers):
    for s in servers:
        s.default = Reset()
    proxy = start(servers)
    assert proxy.post("/a", b"once").status == 502
    assert sum(s.count() for s in servers) == 1


def test_all_are_dead(start):
    proxy = start([], extra=[f"http://127.0.0.1:{free_port()}" for _ in range(3)])
    for _ in range(10):
        assert proxy.get("/a").status == 502


def test_over_a_unix_socket(larder, origin, tmp_path):
    path = f"{tmp_path}/backend.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(8)

        def serve():
            conn, _ = listener.accept()
            with conn:
                for _ in range(2):
                    data = b""
                    while b"\r\n\r\n" not in data:
                        data += conn.recv(4096)
                    conn.sendall(answer(200, b"by unix"))
        t = threading.Thread(target=serve)
        t.start()
        proxy = larder("workers 1\nupstream main unix:%PATH%", path=path)
        for _ in range(2):
            assert proxy.get("/a").body == b"by unix"
        t.join(5)
