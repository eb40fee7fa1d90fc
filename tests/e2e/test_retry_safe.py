"""A request is repeated only where nobody can notice, and only so often."""

import socket
import threading

import pytest

from lib.origin import Close, Gone, Hang, Reset, answer
from lib.ports import free_port
from lib.raw import Truncated
from lib.wait import eventually

CONF = """
workers 1
upstream main %ORIGIN%
defaults { upstream main; retry 2; timeout first_byte=1s idle=1s connect=1s }
route GET /hit { scope public; ttl 1m }
route GET,PUT,DELETE /never { retry 0 }
"""
OK = answer(200, b"fine")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("end", [Reset(), Close()], ids=["RST", "FIN"])
def test_idempotent_ones_are(larder, origin, method, end):
    good = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" if method == "HEAD" else OK
    origin.script(end, end, good)
    with larder(CONF, origin=origin.url).raw() as c:
        assert c.request(method, "/a").status == 200
    assert origin.count() == 3
    assert len({r.raw for r in origin.requests}) == 1  # the very same bytes


@pytest.mark.parametrize("method", ["POST", "PATCH", "LOCK"])
@pytest.mark.parametrize("end", [Reset(), Close()], ids=["RST", "FIN"])
def test_others_never(larder, origin, method, end):
    origin.script(end, OK, OK)
    with larder(CONF, origin=origin.url).raw() as c:
        r = c.request(method, "/a", body=b"order one")
        assert r.status == 502
        assert origin.count() == 1
        assert c.get("/b").status == 200


def test_only_so_often(larder, origin):
    origin.script(*[Reset()] * 10)
    assert larder(CONF, origin=origin.url).get("/a").status == 502
    assert origin.count() == 3


def test_not_where_the_route_says_so(larder, origin):
    origin.script(Reset(), OK)
    assert larder(CONF, origin=origin.url).get("/never").status == 502
    assert origin.count() == 1


@pytest.mark.parametrize("said", [b"H", b"HTTP/1.1 200 OK\r\n",
                                  b"HTTP/1.1 100 Continue\r\n\r\n",
                                  b"HTTP/1.1 103 Early Hints\r\n\r\n"])
def test_not_after_a_byte_of_an_answer(larder, origin, said):
    origin.script([said, Reset()], OK)
    assert larder(CONF, origin=origin.url).get("/a").status == 502
    assert origin.count() == 1


def test_not_in_the_middle_of_a_body(larder, origin):
    origin.script([b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", Reset()], OK)
    with larder(CONF, origin=origin.url).raw() as c:
        with pytest.raises(Truncated):
            c.get("/a")
    assert origin.count() == 1


def test_a_slow_origin_is_not_asked_twice(larder, origin):
    origin.script(Hang(), OK)
    assert larder(CONF, origin=origin.url).get("/a").status == 504
    assert origin.count() == 1


def test_a_bad_answer_is_an_answer(larder, origin):
    origin.script(b"garbage\r\n\r\n", OK)
    assert larder(CONF, origin=origin.url).get("/a").status == 502
    assert origin.count() == 1


def test_an_error_is_an_answer(larder, origin):
    origin.script(answer(503, b"later"), OK)
    assert larder(CONF, origin=origin.url).get("/a").body == b"later"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_where_nothing_was_sent_everything_may_be(larder, make_origin, method):
    """An origin that is starting: refused at first, there a moment later."""
    port = free_port()
    proxy = larder(CONF.replace("retry 2", "retry 8"), origin=f"http://127.0.0.1:{port}")
    started = []
    starter = threading.Timer(0.15, lambda: started.append(make_origin(port=port)))
    starter.start()
    r = proxy.request(method, "/a", body=b"once" if method == "POST" else b"")
    starter.join()
    assert r.status == 200
    assert started[0].count() == 1


def test_there_is_a_budget(larder, origin):
    """When everything fails, repeating makes it worse: most requests are sent once then."""
    origin.default = lambda x: x.run(Reset())
    proxy = larder(CONF, origin=origin.url)
    n = 300
    with proxy.raw() as c:
        assert all(c.get("/a").status == 502 for _ in range(n))
    assert origin.count() < 1.5 * n


@pytest.mark.parametrize("method,requests", [("GET", 1), ("PUT", 1), ("POST", 1)])
def test_stale_keep_alive_connections_are_found_out(larder, origin, method, requests):
    """The origin ends idle connections; nobody notices."""
    def once(x):
        x.answer(200, b"fine")
        x.connection.close()
        raise Gone("idle for too long")
    origin.default = once
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as c:
        for i in range(20):
            # Found closed before it is used. A POST that goes out into the close itself may
            # have been carried out: it is not repeated, so it must not meet that moment here.
            if i % 2 or method == "POST":
                eventually(lambda: not any(x.open for x in origin.connections))
            assert c.request(method, "/a", body=b"" if method == "GET" else b"x").status == 200
    assert origin.count() == 20


def test_a_connection_that_dies_under_the_request(larder, origin):
    """It looks alive, and ends only when the next request comes: the usual race."""
    def deaf(x):
        x.answer(200, b"fine")
        x.connection.read_until(b"\r\n\r\n")
        x.connection.reset()
        raise Gone("too late")
    origin.default = deaf
    proxy = larder(CONF.replace("retry 2", "retry 0"), origin=origin.url)
    with proxy.raw() as c:
        assert [c.get("/a").status for _ in range(10)] == [200] * 10
        r = c.request("POST", "/a", body=b"x")
        assert r.status == 502  # it may have been done


def test_fills_too(larder, origin):
    origin.script(Reset(), OK)
    proxy = larder(CONF, origin=origin.url)
    assert proxy.get("/hit").body == b"fine"
    assert proxy.get("/hit").x_cache == "HIT"
    assert origin.count() == 2


def test_a_client_that_leaves_ends_it(larder, origin):
    """Between two attempts there is nobody to ask for."""
    origin.default = lambda x: x.run(Reset())
    proxy = larder(CONF.replace("retry 2", "retry 10"), origin=origin.url)
    with proxy.raw() as c:
        c.send(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
        origin.wait_requests(1)
        c.reset()
    eventually(lambda: len(proxy.access_log()) == 1)
    count = origin.count()
    threading.Event().wait(0.3)
    assert origin.count() - count <= 1


def test_a_black_hole_is_a_timeout(larder):
    """A port whose queue is full takes no connection and refuses none."""
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        port = hole.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for s in fillers:
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", port))
        proxy = larder(CONF.replace("retry 2", "retry 0"), origin=f"http://127.0.0.1:{port}")
        assert proxy.get("/a").status == 504
        for s in fillers:
            s.close()
