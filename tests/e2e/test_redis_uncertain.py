"""Redis is gone: a node that has others beside it cannot know what they did, and says so.

A node that is alone on the prefix knows everything, and goes on as without Redis.
"""

import itertools

import pytest

from lib.cache import seen
from lib.nodes import start_nodes
from lib.origin import answer
from lib.wait import eventually

CONF = """
workers 2
redis %REDIS% prefix=shop budget=100ms max_lag=400ms uncertain=%POLICY%
upstream main %ORIGIN%
route GET /a/{id}  { scope public; key a:{id}; ttl 60s; stale_if_error 60s }
route GET /s/{id}  { scope public; key s:{id}; ttl 100ms; stale 60s; stale_if_error 60s }
route POST /a/{id} { invalidate a:{id} }
"""
GONE = {"stopped": lambda redis: redis.pause(), "killed": lambda redis: redis.kill()}
BACK = {"stopped": lambda redis: redis.resume(), "killed": lambda redis: redis.start()}


@pytest.fixture(params=GONE)
def gone(request, redis):
    yield request.param
    if redis.process.alive():
        redis.resume()


def two(larder, redis, origin, policy):
    nodes = start_nodes(larder, redis, 2, CONF, origin=origin.url, policy=policy)
    for node in nodes:
        eventually(lambda: seen(node.get("/a/1")) == ("HIT", None), 15)
    return nodes


def asks_origin(node, origin, target="/a/1"):
    before = origin.count(target)
    got = node.get(target)
    assert got.status == 200, got
    return origin.count(target) > before and got


def test_revalidate(larder, redis, origin, gone):
    """The default: the origin is asked, once per max_lag and node."""
    nodes = two(larder, redis, origin, "revalidate")
    GONE[gone](redis)
    for node in nodes:
        got = eventually(lambda: asks_origin(node, origin), 15)
        assert seen(got)[1] == "uncertain", got
        # Its answer is good for max_lag, and marked.
        assert seen(node.get("/a/1")) == ("HIT", "uncertain")
        eventually(lambda: asks_origin(node, origin), 15)
    before = origin.count("/a/1")
    answers = [nodes[0].get("/a/1") for _ in range(50)]
    assert all(a.status == 200 and seen(a)[1] == "uncertain" for a in answers)
    assert origin.count("/a/1") - before <= 10
    BACK[gone](redis)
    for node in nodes:
        eventually(lambda: seen(node.get("/a/1")) == ("HIT", None), 15, "certain again")


def test_revalidate_confirms_by_etag(larder, redis, origin, gone):
    def reply(x):
        if x.request.header("if-none-match") == '"1"':
            x.answer(304, headers={"ETag": '"1"'})
        else:
            x.answer(200, b"v1", {"ETag": '"1"'})
    origin.default = reply
    a, _ = two(larder, redis, origin, "revalidate")
    GONE[gone](redis)
    got = eventually(lambda: asks_origin(a, origin), 15)
    assert got.x_cache == "REVALIDATED" and got.body == b"v1"
    assert origin.seen("/a/1")[-1].header("if-none-match") == '"1"'


def test_a_failing_origin_gets_no_answer_replaced(larder, redis, origin, gone):
    """What nobody can vouch for is not served, not even instead of an error."""
    a, _ = two(larder, redis, origin, "revalidate")
    GONE[gone](redis)
    eventually(lambda: asks_origin(a, origin), 15)
    origin.default = lambda x: x.answer(503, b"away")
    got = eventually(lambda: (lambda r: r.status == 503 and r)(a.get("/a/1")), 15)
    assert got.body == b"away"


def test_bypass(larder, redis, origin, gone):
    nodes = two(larder, redis, origin, "bypass")
    GONE[gone](redis)
    for node in nodes:
        eventually(lambda: seen(node.get("/a/1")) == ("BYPASS", "uncertain"), 15)
        for _ in range(3):
            assert asks_origin(node, origin).x_cache == "BYPASS"
    BACK[gone](redis)
    for node in nodes:
        eventually(lambda: seen(node.get("/a/1")) == ("HIT", None), 15, "certain again")


def test_serve_for_a_while(larder, redis, origin, gone):
    nodes = two(larder, redis, origin, "serve:2s")
    GONE[gone](redis)
    before = origin.count("/a/1")
    for node in nodes:
        eventually(lambda: seen(node.get("/a/1")) == ("HIT", "uncertain"), 15)
    assert origin.count("/a/1") == before
    for node in nodes:
        eventually(lambda: asks_origin(node, origin), 15)
    BACK[gone](redis)
    for node in nodes:
        eventually(lambda: seen(node.get("/a/1")) == ("HIT", None), 15, "certain again")


def test_stale_ones_are_marked_too(larder, redis, origin, gone):
    a, _ = two(larder, redis, origin, "serve:60s")
    a.get("/s/1")
    GONE[gone](redis)
    eventually(lambda: seen(a.get("/a/1")) == ("HIT", "uncertain"), 15)
    eventually(lambda: a.get("/s/1").x_cache == "STALE", 15)


def test_a_node_alone_goes_on(larder, redis, origin, gone):
    """With one node nothing changes for its clients: hits stay hits, writes take effect."""
    (a,) = start_nodes(larder, redis, 1, CONF, origin=origin.url, policy="revalidate")
    eventually(lambda: seen(a.get("/a/1")) == ("HIT", None), 15)
    GONE[gone](redis)
    until_down = eventually(lambda: "not following Redis" in a.stderr(), 15)
    assert until_down
    for _ in range(20):
        assert seen(a.get("/a/1")) == ("HIT", None)
    old = a.get("/a/1").body
    got = a.post("/a/1")
    assert got.status == 200
    assert a.get("/a/1").body != old
    assert a.get("/a/1").x_cache == "HIT"
    assert a.get("/a/new").x_cache == "MISS"
    assert a.get("/a/new").x_cache == "HIT"
    BACK[gone](redis)
    eventually(lambda: seen(a.get("/a/1")) == ("HIT", None), 15)


def test_start_without_redis(larder, redis, origin):
    """A node that has never seen Redis cannot know whether it is alone: it asks, and serves."""
    redis.kill()
    node = larder(CONF, redis=redis.url, origin=origin.url, policy="revalidate")
    for n in range(5):
        assert node.get(f"/a/{n}").status == 200
    assert node.post("/a/1").status == 200
    redis.start()
    eventually(lambda: seen(node.get("/a/1")) == ("HIT", None), 15)
    names = itertools.count(100)  # what was fetched before is in memory only

    def shared():
        n = next(names)
        node.get(f"/a/{n}")
        return eventually(lambda: redis.call("EXISTS", f"shop:a:{n}"), 0.5)
    eventually(shared, 15, "entries get into Redis")


def test_a_newcomer_is_known_at_once(larder, redis, origin):
    """Redis dies right after a second node has come: the first one is not alone any more."""
    (a,) = start_nodes(larder, redis, 1, CONF, origin=origin.url, policy="revalidate")
    eventually(lambda: seen(a.get("/a/1")) == ("HIT", None), 15)
    b = larder(CONF, redis=redis.url, origin=origin.url, policy="revalidate")
    # The first answer that is not marked: it counts as certain.
    eventually(lambda: b.get("/a/1").status == 200 and seen(b.get("/a/1")) == ("HIT", None), 10,
               interval=0.001)
    redis.kill()
    eventually(lambda: seen(a.get("/a/1"))[1] == "uncertain", 15)
