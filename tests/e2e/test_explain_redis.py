"""explain and live answers agree while Redis is away: `uncertain` by each policy, and `breaker`."""

import itertools

import pytest

from lib.cache import seen
from lib.explaining import ADMIN, as_explained, explain, live
from lib.nodes import start_node
from lib.ports import free_port
from lib.wait import eventually

CONF = ADMIN + """
workers 2
redis %REDIS% prefix=shop budget=100ms max_lag=400ms uncertain=%POLICY%
upstream main %ORIGIN%
route GET /a/{id}  { scope public; key a:{id}; ttl 60s; stale_if_error 60s }
"""
EXPECTED = {"revalidate": ("MISS", "uncertain"), "bypass": ("BYPASS", "uncertain"),
            "serve:10s": ("HIT", "uncertain")}


def node(larder, redis, origin, policy="revalidate"):
    return start_node(larder, redis, CONF, origin=origin.url, policy=policy, admin=free_port())


@pytest.mark.parametrize("policy", EXPECTED)
def test_uncertain(larder, redis, origin, policy):
    """What others did is not known here."""
    a, b = (node(larder, redis, origin, policy) for _ in range(2))
    eventually(lambda: a.get("/a/1").x_cache == "HIT", 15)
    redis.kill()

    def agree():
        said = explain(a, "/a/1")
        got = live(a, "/a/1")[:2]
        return (said["outcome"], said["reason"]) == got == EXPECTED[policy]
    eventually(agree, 15, f"explained and live are {EXPECTED[policy]}")
    assert b.process.alive()


def test_breaker(larder, redis, origin):
    """A name that only Redis could have: it was not asked, and that is why it did not hit."""
    a = node(larder, redis, origin)
    assert seen(a.get("/a/1")) == ("MISS", "miss")
    redis.kill()
    eventually(lambda: explain(a, "/a/2")["reason"] == "breaker", 15, "Redis is known to be away")
    said = as_explained(a, "/a/2")
    assert (said["outcome"], said["reason"]) == ("MISS", "breaker")
    assert (said["l1"]["state"], said["l2"]["state"]) == ("none", "unavailable")
    assert "Redis was not asked" in said["reason_help"]
    assert as_explained(a, "/a/2")["outcome"] == "HIT"
    redis.start()
    eventually(lambda: explain(a, "/a/0")["reason"] == "miss", 15, "Redis is back")
    numbers = itertools.count(3)
    eventually(lambda: seen(a.get(f"/a/{next(numbers)}")) == ("MISS", "miss"), 15, "it is asked")
