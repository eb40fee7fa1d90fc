"""`stale_if_error … unverified`: what only the origin could confirm replaces its errors, marked."""

import pytest

from lib.cache import seen
from lib.nodes import start_nodes
from lib.origin import Reset
from lib.wait import eventually

CONF = """
workers 2
redis %REDIS% prefix=shop budget=100ms max_lag=300ms
upstream main %ORIGIN%
defaults { retry 0 }
route GET /yes/{id} { scope public; key yes:{id}; ttl 60s; stale_if_error 60s unverified }
route GET /no/{id}  { scope public; key no:{id}; ttl 60s; stale_if_error 60s }
route POST /yes/{id} { invalidate yes:{id} }
"""


@pytest.fixture
def nodes(larder, redis, origin):
    nodes = start_nodes(larder, redis, 2, CONF, origin=origin.url)
    for node in nodes:
        for target in ("/yes/1", "/yes/2", "/no/1"):
            eventually(lambda: seen(node.get(target)) == ("HIT", None), 15)
    return nodes


def fail(origin):
    for target in ("/yes/1", "/yes/2", "/no/1"):
        origin.route(target, Reset(), method="GET")


def served(node):
    """Once the node is uncertain: what it does with each."""
    return eventually(lambda: node.get("/no/1").status == 502 and seen(node.get("/yes/1")), 15)


def test_while_redis_is_gone(redis, origin, nodes):
    fail(origin)
    redis.kill()
    for node in nodes:
        assert served(node) == ("STALE", "uncertain")
    # What this node knows to be invalidated is not served, whatever the route says.
    assert nodes[0].post("/yes/1").status == 200
    assert nodes[0].get("/yes/1").status == 502
    assert seen(nodes[0].get("/yes/2")) == ("STALE", "uncertain")


def test_after_redis_lost_its_journal(redis, origin, nodes):
    fail(origin)
    redis.call("FLUSHALL")
    for node in nodes:
        assert served(node) == ("STALE", "uncertain")


def test_what_memory_keeps_gives_way_to_what_redis_has(larder, redis, origin):
    """Memory's entry can only validate, that of Redis may be served stale: both are let go."""
    conf = CONF + "route GET /s/{id} { scope public; key s:{id}; ttl 1s; stale 60s }\n"
    a, b = start_nodes(larder, redis, 2, conf, origin=origin.url)
    eventually(lambda: seen(a.get("/s/1")) == ("HIT", None), 15)
    redis.call("FLUSHALL")
    eventually(lambda: seen(a.get("/no/9"))[0] == "HIT" and "a new epoch" in a.stderr(), 15)
    eventually(lambda: b.get("/s/1") and redis.call("EXISTS", "shop:s:1"), 15)
    eventually(lambda: seen(b.get("/s/1"))[0] == "STALE", 15)
    assert a.get("/s/1").status == 200
    eventually(lambda: seen(a.get("/s/1"))[0] in ("HIT", "STALE"), 15)
