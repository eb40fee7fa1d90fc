"""Figures that depend on age and on tiers: stale answers, refreshes, revalidations, hits from
Redis, failures that a stale copy hides; and a page of metrics that is made in many turns."""

import threading

from lib.fast import FastClient
from lib.figures import Figures
from lib.nodes import start_node
from lib.origin import Reset, Wait, answer
from lib.wait import eventually

CONF = """
workers 2
%ADMIN%
upstream main %ORIGIN%
defaults { upstream main; retry 0 }
route GET /r { scope public; key r; ttl origin }
"""


def old(control, **fields):
    return answer(200, b"old", {"Cache-Control": control, "Age": "61", "ETag": '"1"', **fields})


def start(larder, origin):
    figures = Figures()
    return larder(CONF, origin=origin.url, admin=figures.conf), figures


def test_stale_and_refreshed(larder, origin):
    proxy, figures = start(larder, origin)
    origin.script(old("max-age=60, stale-while-revalidate=3600"))
    assert proxy.get("/r").x_cache == "MISS"
    go = threading.Event()
    origin.route("/r", [Wait(go), answer(200, b"new", {"Cache-Control": "max-age=60"})])
    for _ in range(5):
        assert proxy.get("/r").x_cache == "STALE"
    go.set()
    eventually(lambda: figures.stats()["stored"] == 2, 15)
    stats = figures.stats(6)
    assert (stats["misses"], stats["stale"], stats["refreshes"]) == (1, 5, 1)
    assert stats["saved"]["requests"] == 4    # one of the five paid for the refresh
    assert stats["upstream_requests"] == origin.count("/r") == 2
    assert stats["latency_ms"]["hit"]["count"] == 5
    assert stats["upstream_ms"]["count"] == 2


def test_revalidated(larder, origin):
    proxy, figures = start(larder, origin)
    origin.script(old("max-age=60"), answer(304, headers={"ETag": '"1"'}, length=False))
    assert [proxy.get("/r").x_cache for _ in range(2)] == ["MISS", "REVALIDATED"]
    stats = figures.stats(2)
    assert (stats["misses"], stats["revalidated"], stats["hits"]) == (1, 1, 0)
    assert (stats["stored"], stats["saved"]["requests"]) == (2, 0)
    assert stats["reasons"]["revalidated"] == 1


def test_a_failure_that_a_stale_copy_hides(larder, origin):
    proxy, figures = start(larder, origin)
    origin.script(old("max-age=60, stale-if-error=3600"))
    origin.route("/r", [Reset()])
    assert [proxy.get("/r").x_cache for _ in range(2)] == ["MISS", "STALE"]
    stats = figures.stats(2)
    assert (stats["stale"], stats["errors"], stats["saved"]["requests"]) == (1, 1, 0)
    assert stats["latency_ms"]["miss"]["count"] == 2
    assert figures.metrics().sum("larder_upstream_failures_total", error="reset") == 1


def test_hits_from_redis(larder, redis, origin):
    conf = "redis %REDIS% prefix=shop budget=2s\n" + CONF
    figures = [Figures(), Figures()]
    nodes = [start_node(larder, redis, conf, origin=origin.url, admin=f.conf) for f in figures]
    origin.route("/r", answer(200, b"shared", {"Cache-Control": "max-age=600"}))
    assert nodes[0].get("/r").x_cache == "MISS"
    eventually(lambda: redis.entries("shop"), 15)
    assert [nodes[1].get("/r").x_cache for _ in range(3)] == ["HIT"] * 3
    first, second = figures[0].stats(1), figures[1].stats(3)
    assert first["tiers"]["l2"]["stores"] == 1 and first["tiers"]["l2"]["misses"] == 1
    assert second["tiers"]["l2"]["hits"] == 1 and second["tiers"]["l1"]["hits"] == 2
    assert second["backend"] == "redis+memory" and second["redis_connected"]
    assert {b["state"] for b in second["breakers"]} == {"closed"}
    assert second["redis"]["connected"] and not second["journal"]["uncertain"]
    m = figures[1].metrics()
    assert m.sum("larder_hits_total", tier="l2") == 1
    assert m.sum("larder_redis_reads_total", outcome="hit") == 1
    assert m.sum("larder_redis_connected") == 1
    assert m.all("larder_breaker_state", breaker="redis-data") == [
        ({"breaker": "redis-data"}, 0)]
    eventually(lambda: figures[1].stats()["redis_keys"], 15)


def test_a_page_of_many_routes(larder, origin):
    n = 80
    routes = "".join(f"route GET /many/{i} {{ scope public; key m:{i}; ttl 1h }}\n"
                     for i in range(n))
    figures = Figures()
    proxy = larder(CONF + routes, origin=origin.url, admin=figures.conf)
    client = FastClient(proxy.port)
    for i in range(n):
        client.get(f"/many/{i}")
        client.get(f"/many/{i}")
    figures.stats(2 * n)
    m = figures.metrics()
    assert len(m.all("larder_requests_total", result="hit")) == n
    assert m.sum("larder_requests_total", result="hit") == n
    assert m.sum("larder_requests_total", result="miss") == n
    assert m.sum("larder_hit_duration_seconds_count") == n
