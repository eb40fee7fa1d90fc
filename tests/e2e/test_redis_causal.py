"""`causal=on`: whoever shows another node what his write's answer said is not served what is older."""

import threading

import pytest

from lib.cache import reason
from lib.nodes import start_node
from lib.origin import answer
from lib.redis import FaultProxy
from lib.wait import eventually

CONF = """
workers 2
redis %REDIS% prefix=shop budget=%BUDGET% max_lag=60s causal=%CAUSAL%
upstream main %ORIGIN%
log off
route GET  /a { scope public; key a; ttl 600s }
route POST /a { invalidate a }
route POST /nothing { }
"""


@pytest.fixture
def pair(larder, redis, origin):
    """Factory: (the node that takes the write, one behind a fault proxy, that proxy)."""
    proxies = []

    def start(budget="100ms", causal="on"):
        values = {"origin": origin.url, "budget": budget, "causal": causal}
        origin.route("/a", answer(200, b"old", {"X-Cache-Pos": "forged"}), method="GET")
        origin.route("/a", answer(200, b"done", {"X-Cache-Pos": "forged"}), method="POST")
        proxies.append(FaultProxy(redis.port))
        a = start_node(larder, redis, CONF, **values)
        b = start_node(larder, redis, CONF.replace("%REDIS%", proxies[0].url), **values)
        for node in (a, b):
            eventually(lambda: node.get("/a").x_cache == "HIT", 5)
        return a, b, proxies[0]

    yield start
    for proxy in proxies:
        proxy.stop()


def write(node, origin):
    """What the answer says."""
    origin.route("/a", answer(200, b"new"), method="GET")
    got = node.post("/a", b"x")
    assert got.body == b"done"
    return got.header("x-cache-pos")


def test_a_node_that_lags_asks_the_origin(pair, origin):
    a, b, faults = pair()
    faults.hold()
    position = write(a, origin)
    assert b.get("/a").body == b"old"
    got = b.get("/a", [("X-Cache-Pos", position)])
    assert (got.body, got.x_cache, reason(got)) == (b"new", "BYPASS", "uncertain")
    faults.release()
    eventually(lambda: b.get("/a", [("X-Cache-Pos", position)]).x_cache == "HIT", 10)
    assert b.get("/a").body == b"new"


def test_what_arrives_within_the_budget_is_waited_for(pair, origin):
    a, b, faults = pair(budget="10s")
    faults.hold()
    position = write(a, origin)
    got = []
    reader = threading.Thread(
        target=lambda: got.append(b.get("/a", [("X-Cache-Pos", position)], timeout=20)))
    eventually(lambda: b.clients() == 0, 15)
    reader.start()
    eventually(lambda: b.clients() == 1, 15)
    faults.release()
    reader.join(20)
    assert got[0].body == b"new" and got[0].x_cache != "BYPASS"


def test_the_node_of_the_write_has_it_at_once(pair, origin):
    a, _, _ = pair()
    first, second = write(a, origin), write(a, origin)
    assert first != second
    for position in (first, second, f"{first}, {second}"):
        got = a.get("/a", [("X-Cache-Pos", position)])
        assert got.body == b"new" and got.x_cache in ("MISS", "HIT")


@pytest.mark.parametrize("position", ["", "x", "0123456789abcdef", "0123456789abcdef-1",
                                      "0123456789abcdef-", "zzzzzzzzzzzzzzzz-1"])
def test_what_is_not_understood_is_not_trusted(pair, origin, position):
    a, _, _ = pair()
    assert a.get("/a", [("X-Cache-Pos", position)]).x_cache == "BYPASS"


def test_a_position_from_before_the_epoch_moved(pair, origin, redis):
    """Even where its record was applied: another node may have stored something older since."""
    a, b, _ = pair()
    before = write(a, origin)
    for node in (a, b):
        eventually(lambda: node.get("/a", [("X-Cache-Pos", before)]).x_cache == "HIT", 10)
    redis.call("DEL", "{shop}:epoch")
    for node in (a, b):
        eventually(lambda: node.get("/a", [("X-Cache-Pos", before)]).x_cache == "BYPASS", 10)
    eventually(lambda: (after := write(a, origin)) is not None and after[:16] != before[:16] and
               a.get("/a", [("X-Cache-Pos", after)]).x_cache != "BYPASS", 10)
    assert a.get("/a", [("X-Cache-Pos", f"{before}, {write(a, origin)}")]).x_cache == "BYPASS"


def test_nothing_is_said_where_nothing_was_invalidated(pair, origin):
    a, _, _ = pair()
    for got in (a.get("/a"), a.post("/nothing")):
        assert got.header("x-cache-pos") is None


def test_off(pair, origin):
    a, b, faults = pair(causal="off")
    assert write(a, origin) is None
    eventually(lambda: b.get("/a").body == b"new", 10)
    assert b.get("/a", [("X-Cache-Pos", "x")]).x_cache == "HIT"
