"""Invalidation by hand: what is named goes, nothing else, on every node that was waited for."""

import os
import signal
import threading

import pytest

from lib.admin import Admin, TOKEN, is_problem, start_admin
from lib.nodes import registered, start_node, times_up
from lib.ports import free_port
from lib.wait import eventually

ROUTES = """
workers 2
upstream main %ORIGIN%
defaults { upstream main }
log off
type product { ttl 60s }
type search  { ttl 60s }
route GET /products/{id} { scope public; type product; key products:item:{id}; tag shelf:{id} }
route GET /search name=finder { scope public; type search; key search:{query}; query q; stale 60s }
"""
REDIS = "redis %REDIS% prefix=shop budget=2s\n"
ALL = ("/products/1", "/products/2", "/search?q=a")


@pytest.fixture
def pair(larder, origin):
    return start_admin(larder, ROUTES, origin=origin.url)


def states(proxy, targets=ALL):
    return [proxy.get(t).x_cache for t in targets]


def warm(proxy):
    states(proxy)
    assert states(proxy) == ["HIT"] * 3


CASES = {
    "type": (("POST", "/invalidate/product"), "type:product", ["MISS", "MISS", "HIT"]),
    "pattern": (("POST", "/invalidate-pattern", {"pattern": "products:*"}), "products:*",
                ["MISS", "MISS", "HIT"]),
    "exact pattern": (("POST", "/invalidate-pattern", {"pattern": "products:item:1"}),
                      "products:item:1", ["MISS", "HIT", "HIT"]),
    "key": (("POST", "/invalidate-pattern", {"key": "products:item:2"}), "products:item:2",
            ["HIT", "MISS", "HIT"]),
    "key is no pattern": (("POST", "/invalidate-pattern", {"key": "*"}), "*", ["HIT", "HIT", "HIT"]),
    "tag": (("POST", "/invalidate-pattern", {"tag": "shelf:1"}), "tag:shelf:1",
            ["MISS", "HIT", "HIT"]),
    "route": (("POST", "/invalidate-pattern", {"route": "finder"}), "route:finder",
              ["HIT", "HIT", "MISS"]),
    "type in a body": (("POST", "/invalidate-pattern", {"type": "search"}), "type:search",
                       ["HIT", "HIT", "MISS"]),
    "type as a pattern": (("POST", "/invalidate-pattern", {"pattern": "type:search"}),
                          "type:search", ["HIT", "HIT", "MISS"]),
    "all": (("POST", "/clear-all"), "all", ["MISS"] * 3),
    "all, empty object": (("POST", "/clear-all", {}), "all", ["MISS"] * 3),
    "DELETE pattern": (("DELETE", "/cache?pattern=products%3Aitem%3A*"), "products:item:*",
                       ["MISS", "MISS", "HIT"]),
    "DELETE tag": (("DELETE", "/cache?tag=shelf:2"), "tag:shelf:2", ["HIT", "MISS", "HIT"]),
    "DELETE all": (("DELETE", "/cache?all=yes"), "all", ["MISS"] * 3),
    "Flask type": (("POST", "/api/cache/invalidate/search", {}), "type:search",
                   ["HIT", "HIT", "MISS"]),
    "Flask pattern": (("POST", "/api/cache/invalidate-pattern", {"pattern": "search:*"}),
                      "search:*", ["HIT", "HIT", "MISS"]),
    "Flask all": (("POST", "/api/cache/clear-all"), "all", ["MISS"] * 3),
    "FastAPI pattern": (("DELETE", "/api/cache/clear?pattern=products:*"), "products:*",
                        ["MISS", "MISS", "HIT"]),
    "FastAPI all": (("DELETE", "/api/cache/clear"), "all", ["MISS"] * 3),
    "Express all": (("DELETE", "/api/cache"), "all", ["MISS"] * 3),
}


def test_what_is_named_goes_and_nothing_else(pair):
    proxy, plane = pair
    last = 0
    for case, (request, cleared, after) in CASES.items():
        warm(proxy)
        r = plane.request(*request)
        assert r.status == 200, (case, r)
        doc = r.json()
        assert doc["success"] is True and doc["cleared"] == cleared, (case, doc)
        assert doc["applied"] == {"here": True, "nodes": 1, "waiting": 0}
        assert doc["count"] is None and len(doc["epoch"]) == 16
        assert int(doc["position"]) > last
        last = int(doc["position"])
        assert states(proxy) == after, case


def test_soft_leaves_it_stale(pair):
    proxy, plane = pair
    warm(proxy)
    assert plane.post("/invalidate/search?soft=on").status == 200
    assert proxy.get("/search?q=a").x_cache == "STALE"
    eventually(lambda: proxy.get("/search?q=a").x_cache == "HIT", 15)
    assert plane.post("/invalidate/search?soft=off").status == 200
    assert proxy.get("/search?q=a").x_cache == "MISS"


def test_mistakes_clear_nothing(pair):
    proxy, plane = pair
    warm(proxy)
    for request, status in (
            (("POST", "/invalidate/products"), 404), (("POST", "/invalidate/"), 404),
            (("POST", "/invalidate"), 404), (("POST", "/invalidate/*"), 404),
            (("POST", "/invalidate-pattern"), 400), (("POST", "/invalidate-pattern", {}), 400),
            (("POST", "/invalidate-pattern", {"patern": "*"}), 400),
            (("POST", "/invalidate-pattern", {"pattern": ""}), 400),
            (("POST", "/invalidate-pattern", {"pattern": None}), 400),
            (("POST", "/invalidate-pattern", {"pattern": ["*"]}), 400),
            (("POST", "/invalidate-pattern", {"pattern": "*", "tag": "x"}), 400),
            (("POST", "/invalidate-pattern", ["*"]), 400),
            (("POST", "/invalidate-pattern", b'{"pattern":"*"'), 400),
            (("POST", "/invalidate-pattern", b'{"pattern":"*","pattern":"*"}'), 400),
            (("POST", "/invalidate-pattern", b'{"pattern":"\\u0000"}'), 400),
            (("POST", "/invalidate-pattern?pattern=*"), 400),
            (("POST", "/clear-all", {"pattern": "search:*"}), 400),
            (("POST", "/clear-all?pattern=search:*"), 400),
            (("DELETE", "/cache"), 400), (("DELETE", "/cache?patern=search:*"), 400),
            (("DELETE", "/api/cache?patern=search:*"), 400),
            (("DELETE", "/api/cache/clear?pattern="), 400),
            (("DELETE", "/cache?type=nothing"), 404),
            (("POST", "/invalidate/product%zz"), 400), (("POST", "/invalidate/%00"), 400)):
        is_problem(plane.request(*request), status)
    assert states(proxy) == ["HIT"] * 3


# ---- several nodes


@pytest.fixture
def nodes(larder, redis, origin):
    out = []
    for _ in range(2):
        port = free_port()
        node = start_node(larder, redis, f"admin 127.0.0.1:{port} token={TOKEN}\n" + REDIS + ROUTES,
                          origin=origin.url)
        eventually(lambda: times_up(node) == 1, 15)
        out.append((node, Admin(port)))
    eventually(lambda: all(plane.accepts() for _, plane in out), 15)
    return out


def freeze(node):
    """SIGSTOP, and until every thread stands still."""
    def states():
        for task in os.listdir(f"/proc/{node.pid}/task"):
            with open(f"/proc/{node.pid}/task/{task}/stat", encoding="utf-8") as f:
                yield f.read().rsplit(")", 1)[1].split()[0]
    node.signal(signal.SIGSTOP)
    eventually(lambda: set(states()) == {"T"}, 15, "the node is stopped")


def test_wait_all_is_true_everywhere(nodes, redis):
    (a, plane), (b, other) = nodes
    for proxy in (a, b):
        warm(proxy)
    for _ in range(5):
        doc = plane.post("/invalidate/product?wait=all").json()
        assert doc["applied"] == {"here": True, "nodes": 2, "waiting": 0}
        assert "pending" not in doc
        assert states(b) == ["MISS", "MISS", "HIT"]
        warm(a)
        later = other.delete("/cache?pattern=products:*&wait=all").json()
        assert later["applied"] == doc["applied"]
        assert later["epoch"] == doc["epoch"] and int(later["position"]) > int(doc["position"])
        assert states(a) == ["MISS", "MISS", "HIT"]
        warm(b)
    assert redis.call("PTTL", "{shop}:applied") > 0


def test_wait_all_sees_the_node_that_lags(nodes, redis):
    (a, plane), (b, _) = nodes
    warm(b)
    assert len(registered(redis)) == 2
    answers = []
    thread = threading.Thread(
        target=lambda: answers.append(plane.post("/clear-all?wait=all", timeout=30)))
    freeze(b)
    try:
        thread.start()
        # True here at once, but the other one has not said that it knows.
        eventually(lambda: redis.call("XREVRANGE", "{shop}:journal", "+", "-", "COUNT", 1)
                   [0][1][-1].endswith(b"!"), 15)
        thread.join(0.3)
        assert not answers and plane.get("/livez").status == 200
    finally:
        b.signal(signal.SIGCONT)
    thread.join(30)
    assert answers[0].status == 200
    assert answers[0].json()["applied"] == {"here": True, "nodes": 2, "waiting": 0}
    assert states(b) == ["MISS"] * 3


def test_without_redis_it_is_pending(nodes, redis):
    (a, plane), _ = nodes
    warm(a)
    redis.stop()
    eventually(lambda: "not following" in a.stderr(), 15)
    for query in ("", "?wait=all"):
        r = plane.post(f"/invalidate/product{query}")
        assert r.status == 202, r
        assert r.json()["pending"] is True and r.json()["applied"]["here"] is True
    assert a.get("/products/1").x_cache == "MISS"
    assert "pending for other nodes" in a.stderr()


def test_a_client_that_does_not_wait(nodes, redis):
    (a, plane), (b, _) = nodes
    freeze(b)
    try:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                plane.post("/clear-all?wait=all", timeout=0.3)
        assert plane.get("/livez").status == 200
    finally:
        b.signal(signal.SIGCONT)
    eventually(lambda: a.stderr().count("audit: 127.0.0.1 POST /clear-all 503") == 3, 15)


# ---- under load


def test_it_answers_while_the_workers_are_busy(larder, origin):
    proxy, plane = start_admin(larder, ROUTES, origin=origin.url)
    warm(proxy)
    stop = threading.Event()
    counts = []

    def load():
        n = 0
        with proxy.raw() as c:
            while not stop.is_set():
                assert c.get("/products/1").status == 200
                n += 1
        counts.append(n)

    threads = [threading.Thread(target=load) for _ in range(6)]
    for t in threads:
        t.start()
    try:
        for i in range(40):
            assert plane.get("/livez").status == 200
            assert plane.post("/invalidate/product").status == 200
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert len(counts) == 6 and sum(counts) > 0
