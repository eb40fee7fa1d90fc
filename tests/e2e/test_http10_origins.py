"""Origins that speak HTTP/1.0."""

import pytest

from lib.origin import Close, Reset
from lib.raw import Truncated

CONF = """
upstream main %ORIGIN%
defaults { upstream main }
route GET /hit { scope public; ttl 1m }
"""
CLOSE = [b"HTTP/1.0 200 OK\r\n\r\nuntil the end", Close()]
LENGTH = [b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"]
KEEP = [b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello"]


def test_the_end_is_the_end(larder, origin):
    origin.route("/hit", CLOSE)
    proxy = larder(CONF, origin=origin.url)
    for _ in range(2):  # never stored: nobody can tell whether it was all
        with proxy.raw() as c:
            r = c.get("/hit")
            assert r.body == b"until the end" and r.x_cache == "MISS"
            assert r.header("transfer-encoding") == "chunked"
            assert r.version == "1.1"
            assert c.get("/other").status == 200
    assert origin.count("/hit") == 2


def test_a_reset_is_not_the_end(larder, origin):
    origin.route("/hit", [CLOSE[0], Reset()])
    with larder(CONF, origin=origin.url).raw() as c:
        with pytest.raises(Truncated):
            c.get("/hit")


@pytest.mark.parametrize("what,connections", [(LENGTH, 3), (KEEP, 1)])
def test_the_connection_is_used_again_only_if_said(larder, origin, what, connections):
    origin.route("/pass", what)
    proxy = larder("workers 1\n" + CONF, origin=origin.url)
    for _ in range(3):
        assert proxy.get("/pass").body == b"hello"
    assert len(origin.connections) == connections


def test_with_a_length_it_is_stored(larder, origin):
    origin.route("/hit", LENGTH)
    proxy = larder(CONF, origin=origin.url)
    assert [proxy.get("/hit").x_cache for _ in range(2)] == ["MISS", "HIT"]
