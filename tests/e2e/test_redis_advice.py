"""What `larder check` and a starting node say about a Redis that is set up dangerously."""

import time

import pytest

from lib.larder import run_cli
from lib.nodes import start_node
from lib.ports import free_port
from lib.wait import eventually

CONF = """
listen 127.0.0.1:8080
redis %s prefix=shop
upstream main http://127.0.0.1:9
route GET /a { scope public; ttl 1m }
"""

NODE = """
workers 2
%HOSTS%
redis %REDIS% prefix=shop budget=2s
upstream main %ORIGIN%
route GET /a/{id} { scope public; ttl 60s }
"""

EVICTS = "may evict the invalidation journal {shop}:journal"
NO_LIMIT = "maxmemory is not set"
SHARED = "prefix=shop is in use by another site"


@pytest.fixture
def check(tmp_path):
    def run(url, extra="", args=()):
        path = tmp_path / "checked.conf"
        path.write_text(CONF % url + extra)
        r = run_cli("check", "-q", "-c", path, *args)
        assert r.returncode == 0, r.stderr
        return r.stderr
    return run


@pytest.mark.parametrize("policy,memory,warnings", [
    ("allkeys-lru", "100mb", [EVICTS]), ("allkeys-lru", "0", [EVICTS, NO_LIMIT]),
    ("volatile-lru", "100mb", []), ("noeviction", "100mb", []), ("volatile-ttl", "0", [NO_LIMIT])])
def test_check_warns_of_limits(redis, check, policy, memory, warnings):
    redis.call("CONFIG", "SET", "maxmemory-policy", policy)
    redis.call("CONFIG", "SET", "maxmemory", memory)
    said = check(redis.url)
    assert [text for text in (EVICTS, NO_LIMIT, SHARED) if text in said] == warnings
    assert f"ok, {len(warnings)} warning" in said
    if EVICTS in warnings:
        assert f"maxmemory-policy {policy}" in said
    assert redis.keys() == []


def test_check_of_a_redis_that_is_not_there(check):
    began = time.monotonic()
    said = check(f"redis://127.0.0.1:{free_port()}")
    assert "note: redis: could not be asked" in said and "Connection refused" in said
    assert "ok, 0 warnings" in said
    assert time.monotonic() - began < 15


def test_check_offline_opens_no_socket(redis, check, faults):
    redis.call("CONFIG", "SET", "maxmemory", "0")
    assert "ok, 0 warnings" in check(faults.url, args=["--offline"])
    assert faults.accepted == 0


def test_check_of_a_redis_that_hangs(redis, check):
    redis.pause()
    said = check(redis.url)
    assert "note: redis: could not be asked" in said and "ok, 0 warnings" in said


def test_check_says_what_the_server_refuses(make_redis, check):
    redis = make_redis(password="right")
    said = check(f"redis://:wr0ngsecret@127.0.0.1:{redis.port}")
    assert "note: redis: could not be asked" in said and "WRONGPASS" in said
    assert "wr0ngsecret" not in said


def test_check_with_an_acl_that_forbids_config(redis, check):
    redis.call("CONFIG", "SET", "maxmemory", "0")
    redis.call("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-config", "-dbsize")
    assert NO_LIMIT in check(f"redis://app:pw@127.0.0.1:{redis.port}")


def test_check_knows_who_uses_the_prefix(larder, redis, origin, check):
    start_node(larder, redis, NODE, origin=origin.url, hosts="hosts shop.example.com")
    sites = eventually(lambda: redis.call("ZRANGE", "{shop}:sites", 0, -1), 15)
    assert sites == [b"shop.example.com"]
    said = check(redis.url)
    assert SHARED in said and "shop.example.com" in said and "ok, 1 warning" in said
    assert SHARED not in check(redis.url, "hosts shop.example.com\n")


def test_a_node_says_each_once(larder, redis, origin):
    redis.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
    redis.call("CONFIG", "SET", "maxmemory", "0")
    a = start_node(larder, redis, NODE, origin=origin.url, hosts="hosts a.example.com")
    eventually(lambda: EVICTS in a.stderr() and NO_LIMIT in a.stderr(), 15, "a says it")
    assert SHARED not in a.stderr()
    b = start_node(larder, redis, NODE, origin=origin.url, hosts="hosts b.example.com")
    eventually(lambda: SHARED in b.stderr(), 15, "b knows of a")
    assert "a.example.com" in b.stderr()
    for text in (EVICTS, NO_LIMIT, SHARED):
        assert b.stderr().count(text) == 1
    # Who ends takes its name back.
    assert b.stop() == 0
    assert b.stop() == 0
    assert redis.call("ZRANGE", "{shop}:sites", 0, -1) == [b"a.example.com"]


def test_nodes_of_one_site_say_nothing(larder, redis, origin):
    nodes = [start_node(larder, redis, NODE, origin=origin.url, hosts="") for _ in range(2)]
    eventually(lambda: redis.call("ZCARD", "{shop}:sites") == 1, 15)
    began = redis.call("ZRANGE", "{shop}:sites", 0, -1, "WITHSCORES")
    eventually(lambda: redis.call("ZRANGE", "{shop}:sites", 0, -1, "WITHSCORES") != began, 15,
               "another round")
    assert not any(text in node.stderr() for node in nodes for text in (EVICTS, NO_LIMIT, SHARED))
