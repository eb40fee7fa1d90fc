"""The bound of variants reaches Redis: what had to go is not left there, the marker knows."""

import itertools
import shutil
import socket

import pytest

from lib.process import Process, wait_ready
from lib.wait import eventually

pytestmark = pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server")

CONF = """
upstream main %ORIGIN%
redis unix:%SOCKET% prefix=vb
route GET /by { scope public; key by; ttl origin }
"""

BOUND = 32


def by_field(x):
    x.answer(200, "for " + (x.request.header("x-lang") or "nobody"), [
        ("Vary", "X-Lang"), ("Cache-Control", "max-age=300")])


@pytest.fixture
def redis(tmp_path):
    path = tmp_path / "r.sock"
    server = Process(["redis-server", "--port", "0", "--unixsocket", path, "--save", "",
                      "--dir", tmp_path, "--maxmemory-policy", "volatile-lru"],
                     str(tmp_path), "redis")

    def accepts():
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(path))
            return True

    wait_ready(server, accepts, 10)
    yield str(path)
    server.stop()


def variants(path):
    """The names of the variants in Redis (a test may ask for KEYS, the proxy never does)."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(5)
        s.connect(path)
        s.sendall(b"KEYS vb:by#*\r\nPING\r\n")
        data = b""
        while not data.endswith(b"+PONG\r\n"):
            data += s.recv(65536)
    return {line for line in data.split(b"\r\n") if line.startswith(b"vb:by#")}


def get(proxy, lang):
    r = proxy.get("/by", {"X-Lang": lang})
    assert (r.status, r.text) == (200, "for " + lang)
    return r.x_cache


def test_what_had_to_go_leaves_redis(larder, origin, redis):
    origin.route("/by", by_field)
    one = larder(CONF, origin=origin.url, socket=redis)
    # Until it is connected nothing is written; before it has read the journal nothing is sure.
    fresh = itertools.count()
    eventually(lambda: get(one, f"warm-{next(fresh)}") and variants(redis), 10, "Redis is used")
    eventually(lambda: get(one, "en") == "HIT", 5, "a hit")
    for i in range(100):
        assert get(one, f"v{i}") == "MISS"
    eventually(lambda: len(variants(redis)) == BOUND, 5, "as many in Redis as in memory")
    assert get(one, "en") == "HIT"

    # Another node finds them through the marker, and counts what it takes over.
    two = larder(CONF, origin=origin.url, socket=redis)
    eventually(lambda: get(two, "v99") == "HIT", 10, "found in Redis")
    asked = origin.count()
    for i in range(80, 99):
        assert get(two, f"v{i}") == "HIT"
    assert origin.count() == asked
    for i in range(200, 300):
        get(two, f"v{i}")
    hits = sum(two.request("HEAD", "/by", {"X-Lang": f"v{i}"}).x_cache == "HIT"
               for i in range(200, 300))
    assert 0 < hits <= BOUND
