"""Entries in Redis: shared by nodes, under names one can read, always with an expiry."""

import pytest

from lib.cache import reason
from lib.nodes import start_node
from lib.origin import answer
from lib.redis import JOURNAL_KEYS
from lib.wait import eventually

CONF = """
workers 2
redis %REDIS% prefix=shop budget=2s
upstream main %ORIGIN%
route GET /agents/{id}  { scope public; key agents:get:{id}; ttl 60s; stale 30s }
route GET /plain/{id}   { scope public; key plain:{id}; ttl 300s; stale_if_error 100s }
route GET /long/{id} { scope public; key long:{id}; ttl 60s }
route POST /agents/{id} { invalidate agents:get:{id} }
"""


def node(larder, redis, origin, conf=CONF, **kw):
    return start_node(larder, redis, conf, origin=origin.url, **kw)


def stored(redis, name, prefix="shop"):
    """Waits until the entry is there (answers do not wait for that) and returns its bytes."""
    return eventually(lambda: redis.call("GET", f"{prefix}:{name}"), 5, f"{name} in Redis")


def test_two_nodes_share_an_entry(larder, redis, origin):
    a, b = node(larder, redis, origin), node(larder, redis, origin)
    first = a.get("/agents/7")
    assert first.x_cache == "MISS"
    stored(redis, "agents:get:7")
    second = b.get("/agents/7")
    assert (second.status, second.x_cache) == (200, "HIT")
    assert second.body == first.body
    assert second.header("content-type") == first.header("content-type")
    assert reason(second) is None
    assert b.get("/agents/7").x_cache == "HIT"
    assert origin.count() == 1


def test_names_are_what_the_template_says(larder, redis, origin):
    proxy = node(larder, redis, origin)
    for target in ("/agents/7", "/agents/a%20b", "/plain/%C3%A9"):
        assert proxy.get(target).status == 200
    stored(redis, "agents:get:7")
    stored(redis, "agents:get:a%20b")
    eventually(lambda: len(redis.entries("shop")) == 3)
    assert set(redis.keys()) - set(redis.entries("shop")) <= {
        f"{{shop}}:{k}" for k in JOURNAL_KEYS}
    assert redis.call("TYPE", "{shop}:journal") == b"stream"
    assert redis.call("TYPE", "{shop}:epoch") == b"hash"


def test_the_body_is_in_the_value(larder, redis, origin):
    origin.route("/agents/7", answer(200, b'{"name": "readable"}'))
    node(larder, redis, origin).get("/agents/7")
    assert b'{"name": "readable"}' in stored(redis, "agents:get:7")


@pytest.mark.parametrize("target,name,window", [("/agents/1", "agents:get:1", 90),
                                                ("/plain/1", "plain:1", 400)])
def test_the_expiry_is_freshness_and_stale_windows(larder, redis, origin, target, name, window):
    node(larder, redis, origin).get(target)
    stored(redis, name)
    assert window * 1000 - 5000 < redis.call("PTTL", f"shop:{name}") <= window * 1000


def test_every_key_but_the_journal_expires(larder, redis, origin):
    proxy = node(larder, redis, origin)
    for n in range(20):
        proxy.get(f"/agents/{n}")
        proxy.get(f"/plain/{n}")
        proxy.post(f"/agents/{n}")
    eventually(lambda: len(redis.entries("shop")) >= 20)
    eternal = [k for k in redis.keys() if redis.call("PTTL", k) == -1]
    assert sorted(eternal) == ["{shop}:epoch", "{shop}:journal"]


def test_only_the_commands_that_do_not_block(larder, redis, origin):
    redis.call("CONFIG", "SET", "slowlog-log-slower-than", "100000")
    a, b = node(larder, redis, origin), node(larder, redis, origin)
    redis.call("CONFIG", "RESETSTAT")
    for n in range(30):
        a.get(f"/agents/{n}")
        b.get(f"/agents/{n}")
        b.post(f"/agents/{n}")
        a.get(f"/agents/{n}")
    used = {name for name in redis.commands() if "|" not in name}
    allowed = {"get", "set", "unlink", "eval", "evalsha", "xadd", "xtrim", "xread", "xrevrange",
               "xrange", "hget", "hmget", "hset", "hincrby", "exists", "time", "zadd",
               "zremrangebyscore", "zrangebyscore", "dbsize", "zcard", "zcount", "pexpire",
               "info", "ping", "auth", "select", "client", "role", "config", "script", "hello", "wait",
               "getrange", "append", "pttl"}
    assert used <= allowed, used - allowed
    assert {"get", "set", "xread"} <= used
    assert redis.call("SLOWLOG", "LEN") == 0


def test_prefixes_do_not_see_each_other(larder, redis, origin):
    one = node(larder, redis, origin)
    two = node(larder, redis, origin, conf=CONF.replace("prefix=shop", "prefix=shop2"),
               prefix="shop2")
    one.get("/agents/7")
    stored(redis, "agents:get:7")
    assert two.get("/agents/7").x_cache == "MISS"
    stored(redis, "agents:get:7", "shop2")
    assert one.post("/agents/7").status == 200
    assert two.get("/agents/7").x_cache == "HIT"
    assert one.get("/agents/7").x_cache == "MISS"


def test_a_restarted_node_serves_from_redis(larder, redis, origin):
    first = node(larder, redis, origin)
    body = first.get("/agents/7").body
    stored(redis, "agents:get:7")
    assert first.stop() == 0
    second = node(larder, redis, origin)
    got = second.get("/agents/7")
    assert (got.x_cache, got.body) == ("HIT", body)
    assert origin.count() == 1


def test_the_tier_is_in_the_log(larder, redis, origin):
    a, b = node(larder, redis, origin), node(larder, redis, origin)
    a.get("/agents/7")
    stored(redis, "agents:get:7")
    b.get("/agents/7")
    b.get("/agents/7")
    # Two workers, so in any order.
    assert sorted((line["cache"], line.get("tier")) for line in b.access_log(2)) == [
        ("HIT", "l1"), ("HIT", "l2")]
    assert a.access_log(1)[0]["cache"] == "MISS"


def test_age_goes_on_from_node_to_node(larder, redis, origin):
    origin.route("/agents/7", answer(200, b"x", {"Age": "20"}))
    a, b = node(larder, redis, origin), node(larder, redis, origin)
    a.get("/agents/7")
    stored(redis, "agents:get:7")
    got = b.get("/agents/7")
    assert got.x_cache == "HIT"
    assert 20 <= int(got.header("age")) <= 25


def test_long_names(larder, redis, origin):
    """Names over 512 bytes keep a readable head; two that share it stay apart."""
    a, b = node(larder, redis, origin), node(larder, redis, origin)
    base = "/long/" + "x" * 700
    for target in (base + "1", base + "2"):
        assert a.get(target).x_cache == "MISS"
    eventually(lambda: len(redis.entries("shop")) == 2)
    assert all(k.startswith("shop:long:xxx") and len(k) <= 512 for k in redis.entries("shop"))
    for target in (base + "1", base + "2"):
        got = b.get(target)
        assert got.x_cache == "HIT" and target.encode() in got.body
    assert b.get(base + "3").x_cache == "MISS"


def test_hosts_stay_apart(larder, redis, origin):
    """Without `hosts` each Host has entries of its own, though their name in Redis is one."""
    a, b = node(larder, redis, origin), node(larder, redis, origin)
    origin.default = lambda x: x.answer(200, x.request.header("host").encode())
    assert a.get("/agents/7", [("Host", "one.example")]).body == b"one.example"
    stored(redis, "agents:get:7")
    got = b.get("/agents/7", [("Host", "two.example")])
    assert (got.x_cache, got.body) == ("MISS", b"two.example")


def test_writes_from_a_background_refresh_reach_redis(larder, redis, origin):
    conf = CONF.replace("ttl 60s; stale 30s", "ttl 100ms; stale 30s")
    a, b = node(larder, redis, origin, conf), node(larder, redis, origin, conf)
    a.get("/agents/7")
    eventually(lambda: a.get("/agents/7").x_cache == "STALE", 5)
    origin.wait_requests(2, "/agents/7")
    eventually(lambda: b"serial 2" in stored(redis, "agents:get:7"), 5)
    assert b.get("/agents/7").body != b"serial 1 /agents/7"
