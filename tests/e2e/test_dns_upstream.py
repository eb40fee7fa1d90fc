"""Upstreams by name: resolved off the request path, again and again."""

import time

from lib.ports import free_port

CONF = """
upstream main http://localhost:%PORT_OF_ORIGIN%
defaults { upstream main; timeout connect=2s }
route GET /hit { scope public; ttl 1m }
"""


def test_localhost(larder, origin):
    proxy = larder(CONF, port_of_origin=origin.port)
    for i in range(5):  # also right after the start
        assert proxy.get(f"/{i}").status == 200
    assert [proxy.get("/hit").x_cache for _ in range(2)] == ["MISS", "HIT"]
    assert origin.requests[0].header("host") == "localhost"


def test_the_first_request_comes_at_once(larder, origin):
    for _ in range(5):
        proxy = larder(CONF, port_of_origin=origin.port)
        assert proxy.get("/a").status == 200
        assert proxy.stop() == 0


def test_a_name_that_does_not_exist(larder, origin):
    proxy = larder("""
upstream bad http://name.invalid:8000
upstream main %ORIGIN%
defaults { upstream main; timeout connect=1s }
route GET /bad { upstream bad }
""", origin=origin.url)
    start = time.monotonic()
    r = proxy.get("/bad", timeout=8)
    assert r.status in (502, 503, 504) and r.json()["status"] == r.status
    assert time.monotonic() - start < 5
    assert b"name.invalid" not in r.raw
    assert "name.invalid" in proxy.stderr()
    assert proxy.get("/good").status == 200


def test_others_do_not_wait_for_it(larder, origin):
    proxy = larder("""
workers 1
upstream bad http://name.invalid:8000
upstream main %ORIGIN%
defaults { upstream main; timeout connect=3s }
route GET /bad { upstream bad }
""", origin=origin.url)
    clients = [proxy.raw() for _ in range(10)]
    for c in clients:
        c.send(b"GET /bad HTTP/1.1\r\nHost: x\r\n\r\n")
    start = time.monotonic()
    for i in range(20):
        assert proxy.get(f"/{i}").status == 200
    assert time.monotonic() - start < 2.5  # the name takes 3 s to fail
    for c in clients:
        c.close()


def test_nobody_listens_there(larder):
    proxy = larder(CONF, port_of_origin=free_port())
    assert proxy.get("/a").status == 502


def test_by_ipv6(larder, make_origin):
    origin = make_origin(host="::1")
    proxy = larder("upstream main %ORIGIN%", origin=origin.url)
    assert proxy.get("/a").status == 200
    assert origin.requests[0].header("x-forwarded-for") == "127.0.0.1"
