"""Entries in a Redis Cluster through whole proxies: found by the other node, on all masters, and
found again after a master has died under load. Slots that move: test_redis_cluster.py."""

from lib.cache import reason
from lib.cluster import cluster  # noqa: F401 - fixture
from lib.load import Load, canary, serve
from lib.nodes import delay_until, times_up
from lib.origin import answer
from lib.redis import RedisError
from lib.wait import eventually

CONF = """
workers 2
memory 1mb
redis %REDIS% prefix=%PREFIX% budget=200ms
upstream main %ORIGIN%
log off
route GET /a/{n}  { scope public; key a:{n}; ttl 300s }
route POST /a/{n} { invalidate a:{n} }
"""
SLOW = 30
MASTERS = 3


def at_master(cluster, *command):
    """Sends a command to the master of its key; AssertionError while there is none."""
    master = cluster.owner(cluster.slot(command[1]))
    assert master is not None, command
    try:
        return master.call(*command)
    except RedisError as e:  # MOVED, CLUSTERDOWN
        raise AssertionError(f"{command}: {e}") from e


def registered(cluster, prefix):
    return at_master(cluster, "ZCARD", f"{{{prefix}}}:nodes")


def start(larder, cluster, origin, prefix, n=2):
    nodes = [larder(CONF, redis=cluster.url, origin=origin.url, prefix=prefix) for _ in range(n)]
    for node in nodes:
        eventually(lambda: times_up(node) > 0, SLOW, "it follows the journal")
        # All nodes of the cluster can be asked for entries, by each worker.
        eventually(lambda: node.stderr().count("Redis (entries)") >= MASTERS, SLOW, "connected")
    eventually(lambda: registered(cluster, prefix) == n, SLOW, "all are registered")
    return nodes


def hits_from_redis(cluster, prefix, writer, reader, origin, first, count=12):
    """One fills, the other one finds at its first question; the names are on all masters."""
    hits, number, wrong = 0, first, []

    def one():
        nonlocal hits, number
        number += 1
        path, key = f"/a/{number}", f"{prefix}:a:{number}"
        wrong.extend(got for got in [writer.get(path)] if got.body != canary(path))
        eventually(lambda: at_master(cluster, "EXISTS", key), 2, f"{key} is stored")
        before = origin.count()
        got = reader.get(path)
        wrong.extend([got] if got.body != canary(path) else [])
        hits += got.x_cache == "HIT" and origin.count() == before
        return hits == count
    eventually(one, SLOW, f"{count} hits from Redis", interval=0.001)
    assert not wrong, wrong


def test_an_entry_of_another_node(larder, cluster, origin):
    serve(origin)
    a, b = start(larder, cluster, origin, "one")
    fetched = origin.count()
    for n in range(30):
        assert a.get(f"/a/{n}").x_cache == "MISS"
    eventually(lambda: all(at_master(cluster, "EXISTS", f"one:a:{n}") for n in range(30)), SLOW)
    assert len({cluster.owner(cluster.slot(f"one:a:{n}")).port for n in range(30)}) == MASTERS
    for n in range(30):
        got = b.get(f"/a/{n}")
        assert (got.x_cache, got.body, reason(got)) == ("HIT", canary(f"/a/{n}"), None)
        assert at_master(cluster, "PTTL", f"one:a:{n}") > 0
    assert origin.count() - fetched == 30


def test_a_master_dies(larder, cluster, origin):
    """The one that has the journal: the worst of the three."""
    serve(origin)
    a, b = start(larder, cluster, origin, "two")
    hits_from_redis(cluster, "two", a, b, origin, 0)
    before = [times_up(node) for node in (a, b)]
    with Load([a, b]) as load:
        cluster.crash(cluster.owner(cluster.slot("{two}:journal")))
        for node, ups in zip((a, b), before):
            eventually(lambda: times_up(node) > ups, SLOW, "it follows the journal again")
        eventually(lambda: registered(cluster, "two") == 2, SLOW, "both are registered again")
    load.check(slowest=10)
    # All as before, with whom is left.
    hits_from_redis(cluster, "two", a, b, origin, 1000)
    hits_from_redis(cluster, "two", b, a, origin, 2000)
    origin.route("/a/1000", answer(200, b"new"), method="GET")
    assert eventually(lambda: a.post("/a/1000"), SLOW).status == 200
    assert a.get("/a/1000").body == b"new"
    delay_until(b, "/a/1000", b"new", SLOW)
