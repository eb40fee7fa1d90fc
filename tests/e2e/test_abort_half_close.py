"""A client that ends its writing side after its requests gets every answer whole."""

import threading

import pytest

from lib.origin import Wait, answer
from lib.raw import Truncated

CONF = """
workers 1
memory 1gb
upstream main %ORIGIN%
defaults { upstream main; max_object 16mb }
route GET /hit { scope public; ttl 1m }
"""
BIG = bytes(range(251)) * 40000  # 10 MB: more than socket buffers take


def get(path, *fields):
    return "\r\n".join((f"GET {path} HTTP/1.1", "Host: x", *fields, "", "")).encode()


@pytest.fixture
def proxy(larder, origin):
    for path in ("/hit", "/pass"):
        origin.route(path, answer(200, BIG))
    proxy = larder(CONF, origin=origin.url)
    assert proxy.get("/hit", [("Host", "x")]).body == BIG
    return proxy


@pytest.mark.parametrize("path", ["/hit", "/pass"])
@pytest.mark.parametrize("fields", [[], ["Connection: close"]])
def test_while_the_answer_is_sent(proxy, path, fields):
    with proxy.raw(rcvbuf=16384) as c:
        c.send(get(path, *fields))
        c.read_until(b"\r\n\r\n")  # the answer is on its way, most of it is queued
        c.half_close()
        assert c.read_all() == BIG


@pytest.mark.parametrize("path", ["/hit", "/pass"])
def test_together_with_the_request(proxy, path):
    with proxy.raw() as c:
        c.send(get(path))
        c.half_close()
        assert c.read_response().body == BIG
        assert c.closed()


def test_behind_pipelined_requests(proxy):
    with proxy.raw(rcvbuf=16384) as c:
        c.send(b"".join(get(p) for p in ("/hit", "/pass", "/other", "/hit")))
        c.half_close()
        for body in (BIG, BIG, b"serial 1 /other", BIG):
            assert c.read_response().body == body
        assert c.closed()


def test_in_the_middle_of_a_head(proxy):
    with proxy.raw() as c:
        c.send(get("/other") + b"GET /a HTTP/1.1\r\nHos")
        c.half_close()
        assert c.read_response().status == 200
        assert c.closed(2)


def test_while_the_origin_thinks(proxy, origin):
    go = threading.Event()
    origin.route("/slow", [Wait(go), answer(200, b"late")])
    with proxy.raw() as c:
        c.send(get("/slow"))
        origin.wait_requests(1, "/slow")
        c.half_close()
        assert c.quiet()
        go.set()
        assert c.read_response().body == b"late"
        assert c.closed()


def test_in_the_middle_of_a_body(proxy, origin):
    with proxy.raw() as c:
        c.send(b"POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
        c.half_close()
        with pytest.raises(Truncated):
            c.read_response(timeout=5)
    assert proxy.get("/other").status == 200
