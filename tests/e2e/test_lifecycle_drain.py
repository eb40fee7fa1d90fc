"""SIGTERM and SIGINT: nothing that was asked is lost, everything has an end."""

import signal
import socket
import threading
import time

import pytest

from lib.origin import LAST_CHUNK, Hang, Wait, answer, chunk
from lib.raw import RawClient, Truncated
from lib.wait import eventually

CONF = """
limits drain=20s
upstream main %ORIGIN%
defaults { upstream main }
route GET /a { scope public; ttl 1m }
route POST /write { invalidate all }
"""


def ended(proxy, timeout=10):
    return proxy.wait(timeout)


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_request_under_way_is_finished(larder, origin, sig):
    go = threading.Event()
    origin.route("/slow", [Wait(go), answer(200, b"finished")])
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as c:
        c.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        origin.wait_requests(1, "/slow")
        proxy.signal(sig)
        eventually(lambda: "stopping" in proxy.stderr())
        assert proxy.alive()
        go.set()
        r = c.read_response()
        assert (r.status, r.body) == (200, b"finished")
        assert r.header("connection") == "close"
        assert c.closed()
    assert ended(proxy) == 0
    assert "stopped" in proxy.stderr()


def test_new_connections_are_refused_while_draining(larder, origin):
    go = threading.Event()
    origin.route("/slow", [Wait(go), answer(200, b"finished")])
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as c:
        c.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        origin.wait_requests(1, "/slow")
        proxy.signal(signal.SIGTERM)

        def refused():
            try:
                proxy.accepts()
            except ConnectionRefusedError:
                return True
        eventually(refused)
        go.set()
        assert c.read_response().body == b"finished"
    assert ended(proxy) == 0


def test_idle_connections_are_closed_at_once(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    clients = [proxy.raw() for _ in range(10)]
    for c in clients:
        assert c.get("/a").status == 200
    start = time.monotonic()
    proxy.signal(signal.SIGTERM)
    for c in clients:
        assert c.closed()
        c.close()
    assert ended(proxy) == 0
    assert time.monotonic() - start < 10  # far from the 20 s that a drain may take


def test_a_client_that_has_just_connected_is_served(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as first, proxy.raw() as c:
        assert first.get("/a").status == 200
        # Both connections are accepted: the second one waits with a request not yet sent.
        proxy.signal(signal.SIGTERM)
        assert first.closed()
        r = c.get("/a")
        assert r.status == 200 and r.header("connection") == "close"
    assert ended(proxy) == 0


def test_connections_in_the_queue_are_served(larder, origin):
    proxy = larder("workers 2\n" + CONF, origin=origin.url)
    assert proxy.get("/a").status == 200
    proxy.signal(signal.SIGSTOP)
    clients = [proxy.raw() for _ in range(40)]
    for c in clients:
        c.send(b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n")
    proxy.signal(signal.SIGTERM)
    proxy.signal(signal.SIGCONT)
    for c in clients:
        assert c.read_response().x_cache == "HIT"
        c.close()
    assert ended(proxy) == 0


def test_streaming_answer_is_finished_and_its_connection_closed(larder, origin):
    go = threading.Event()
    origin.route("/stream", [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk(b"one"),
                             Wait(go), chunk(b"two"), LAST_CHUNK])
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as c:
        c.send(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        head = c.read_until(b"one\r\n")
        assert b"close" not in head.lower()
        proxy.signal(signal.SIGTERM)
        eventually(lambda: "stopping" in proxy.stderr())
        go.set()
        c.read_until(LAST_CHUNK)
        assert c.closed()
    assert ended(proxy) == 0


def test_pipelined_requests_end_with_the_answer_that_says_close(larder, origin):
    go = threading.Event()
    origin.route("/slow", [Wait(go), answer(200, b"finished")])
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as c:
        c.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n")
        origin.wait_requests(1, "/slow")
        proxy.signal(signal.SIGTERM)
        eventually(lambda: "stopping" in proxy.stderr())
        go.set()
        assert c.read_response().header("connection") == "close"
        assert c.closed()
    assert ended(proxy) == 0


def test_upload_is_finished(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as c:
        c.send(b"POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello")
        origin.wait_requests(1, "/write")
        proxy.signal(signal.SIGTERM)
        eventually(lambda: "stopping" in proxy.stderr())
        c.send(b"world")
        assert c.read_response().status == 200
    assert origin.seen("/write")[0].body == b"helloworld"
    assert ended(proxy) == 0


def test_write_of_a_client_that_left_is_waited_for(larder, origin):
    go = threading.Event()
    origin.route("/write", [Wait(go), answer(204)])
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as c:
        c.send(b"POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
        origin.wait_requests(1, "/write")
    proxy.signal(signal.SIGTERM)
    eventually(lambda: "stopping" in proxy.stderr())
    time.sleep(0.2)
    assert proxy.alive()
    go.set()
    assert ended(proxy) == 0
    assert "cut" not in proxy.stderr()


@pytest.mark.parametrize("what", ["pass", "fill", "write"])
def test_the_limit_cuts_what_hangs(larder, origin, what):
    path = {"pass": "/hang", "fill": "/a", "write": "/write"}[what]
    method = "POST" if what == "write" else "GET"
    origin.route(path, [Hang()])
    proxy = larder(CONF.replace("drain=20s", "drain=300ms"), origin=origin.url)
    with proxy.raw() as c:
        c.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        origin.wait_requests(1, path)
        start = time.monotonic()
        proxy.signal(signal.SIGTERM)
        with pytest.raises(Truncated):
            c.read_response()
    assert ended(proxy) == 0
    assert 0.25 < time.monotonic() - start < 10
    assert "1 request cut" in proxy.stderr()


def test_the_limit_cuts_an_answer_visibly(larder, origin):
    origin.route("/stream", [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", b"half", Hang()])
    proxy = larder(CONF.replace("drain=20s", "drain=300ms"), origin=origin.url)
    with proxy.raw() as c:
        c.send(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        c.read_until(b"half")
        proxy.signal(signal.SIGTERM)
        with pytest.raises(ConnectionResetError):
            while c.read_some():
                pass
    assert ended(proxy) == 0


def test_second_signal_ends_at_once(larder, origin):
    origin.route("/hang", [Hang()])
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as c:
        c.send(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
        origin.wait_requests(1, "/hang")
        proxy.signal(signal.SIGTERM)
        eventually(lambda: "stopping" in proxy.stderr())
        assert proxy.alive()
        proxy.signal(signal.SIGTERM)
        assert ended(proxy, 3) == 0


def test_a_half_sent_head_does_not_hold_the_end(larder, origin):
    conf = CONF.replace("drain=20s", "drain=20s head=700ms")
    proxy = larder(conf, origin=origin.url)
    with proxy.raw() as c:
        c.send(b"GET /a HTTP/1.1\r\nHo")
        assert c.quiet(0.1)
        proxy.signal(signal.SIGTERM)
        assert c.read_response().status == 408
    assert ended(proxy, 5) == 0


def test_background_refresh_does_not_hold_the_end(larder, origin):
    origin.script(answer(200, b"old", {"Cache-Control": "max-age=1"}))
    proxy = larder("""
        upstream main %ORIGIN%
        route GET /a { upstream main; scope public; ttl origin; stale 60s }
    """, origin=origin.url)
    assert proxy.get("/a").body == b"old"
    origin.route("/a", [Hang()])
    eventually(lambda: proxy.get("/a").x_cache == "STALE")
    origin.wait_requests(2, "/a")
    start = time.monotonic()
    assert proxy.stop(timeout=10) == 0
    assert time.monotonic() - start < 10


def test_sighup_while_draining_is_harmless(larder, origin):
    go = threading.Event()
    origin.route("/slow", [Wait(go), answer(200, b"finished")])
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as c:
        c.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        origin.wait_requests(1, "/slow")
        proxy.signal(signal.SIGHUP)
        proxy.signal(signal.SIGTERM)
        proxy.signal(signal.SIGHUP)
        eventually(lambda: "stopping" in proxy.stderr())
        go.set()
        assert c.read_response().body == b"finished"
    assert ended(proxy) == 0


def test_start_and_stop_at_once(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    assert proxy.stop() == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port), 1)


def test_load_during_the_drain_loses_nothing(larder, origin):
    """Clients that open a connection for each request see answers, then refusals, never a reset."""
    proxy = larder(CONF, origin=origin.url)
    assert proxy.get("/a").status == 200
    results, go = [], threading.Event()

    def ask():
        while True:
            try:
                with RawClient(proxy.port) as c:
                    results.append(c.get("/a").status)
            except ConnectionRefusedError:
                results.append("refused")
                return
            except (OSError, AssertionError) as e:
                results.append(repr(e))
                return
            if len(results) > 200:
                go.set()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for t in threads:
        t.start()
    assert go.wait(20)
    proxy.signal(signal.SIGTERM)
    for t in threads:
        t.join(20)
    assert ended(proxy) == 0
    # A SYN that arrives between the last accept and close() is reset by the kernel: no proxy
    # with its own socket can do better, so a client may see one reset at connect.
    bad = [r for r in results if r not in (200, "refused") and "Reset" not in r]
    assert not bad, bad
    assert sum("Reset" in str(r) for r in results) <= len(threads)
