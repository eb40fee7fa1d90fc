"""explain looks at who fetches: a flight of this node, another node's lease. It joins nothing."""

import threading
from concurrent.futures import ThreadPoolExecutor

from lib.explaining import ADMIN, explain
from lib.lease import gated
from lib.nodes import start_node
from lib.origin import Wait, answer
from lib.ports import free_port
from lib.swarm import QuickOrigin
from lib.wait import eventually

TOKEN = "debug-token-of-enough-bytes"
FLIGHTS = ADMIN + """
debug_token %TOKEN%
workers 2
upstream main %ORIGIN%
defaults { upstream main }
route GET /a/{id} { scope public; key a:{id}; ttl 60s }
route GET /s/{id} { scope public; key s:{id}; ttl 50ms force; stale 1h }
"""

LEASES = ADMIN + """
workers 2
redis %REDIS% prefix=shop budget=5s
upstream main %ORIGIN% max_fails=0
defaults { upstream main; timeout connect=10s first_byte=20s; retry 0 }
route GET /a/{id} { scope public; key a:{id}; ttl 60s }
"""


def gate_at(origin, path):
    """The origin answers nothing there until the event is set."""
    event = threading.Event()
    origin.route(path, [Wait(event), answer(200, b"hello")])
    return event


def test_a_fetch_under_way(larder, origin):
    proxy = larder(FLIGHTS, origin=origin.url, admin=free_port(), token=TOKEN)
    said = explain(proxy, "/a/1")
    assert said["flight"] is None and said["lease"] == {"state": "not-asked"}
    gate = gate_at(origin, "/a/1")
    with ThreadPoolExecutor(2) as pool:
        try:
            first = pool.submit(proxy.get, "/a/1")
            said = eventually(lambda: (s := explain(proxy, "/a/1"))["flight"] and s, 15)
            assert said["flight"]["state"] == "waiting" and said["flight"]["readers"] == 1
            assert (said["outcome"], said["reason"]) == ("MISS", "miss")
            assert "joins the fetch under way since " in said["would"]
            second = pool.submit(proxy.get, "/a/1", [("X-Larder-Debug", TOKEN)])
            eventually(lambda: explain(proxy, "/a/1")["flight"]["readers"] == 2, 15, "it joined")
            assert explain(proxy, "/a/2")["flight"] is None
            since = explain(proxy, "/a/1")["flight"]["since_ms"]
            eventually(lambda: explain(proxy, "/a/1")["flight"]["since_ms"] > since, 15)
            assert explain(proxy, "/a/1")["flight"]["readers"] == 2  # explaining joined nothing
        finally:
            gate.set()
        assert first.result().x_cache == "MISS"
        told = second.result().header("x-larder-explain")
    assert told.startswith("MISS, miss") and "of a fetch that was under way" in told
    assert origin.count("/a/1") == 1
    said = explain(proxy, "/a/1")
    assert said["outcome"] == "HIT" and said["flight"] is None


def test_a_refresh_under_way(larder, origin):
    proxy = larder(FLIGHTS, origin=origin.url, admin=free_port(), token=TOKEN)
    origin.route("/s/1", answer(200, b"hello"))
    proxy.get("/s/1")
    eventually(lambda: explain(proxy, "/s/1")["outcome"] == "STALE", 15)
    gate = gate_at(origin, "/s/1")
    try:
        assert proxy.get("/s/1").x_cache == "STALE"
        said = eventually(lambda: (s := explain(proxy, "/s/1"))["flight"] and s, 15)
        assert said["outcome"] == "STALE" and "refreshed" in said["would"]
        assert "which is under way since" in said["would"]
    finally:
        gate.set()


def test_the_lease_of_another_node(larder, redis):
    respond, gate = gated(answer(200, b"body"))
    origin = QuickOrigin(respond)
    try:
        a, b = (start_node(larder, redis, LEASES, origin=origin.url, admin=free_port())
                for _ in range(2))
        eventually(lambda: explain(b, "/a/9")["lease"] == {"state": "none"}, 15, "both are known")
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(a.get, "/a/1")
            said = eventually(lambda: (s := explain(b, "/a/1"))["lease"]["state"] == "held" and s,
                              15, "a's lease")
            assert 0 < said["lease"]["left_ms"] <= 60_000 and said["flight"] is None
            assert "another node is fetching it" in said["would"]
            (name,) = redis.leases()  # nobody waits for it: it was only looked at
            assert not redis.call("GET", name).endswith(b"w")
            gate.open()
            assert first.result().status == 200
        eventually(lambda: explain(b, "/a/1")["outcome"] == "HIT", 15)
    finally:
        origin.stop()
