"""GET /keys and GET /keys/NAME over a real Redis Cluster: the names of every master, one after
the other, also when slots move or a master is away in between."""

import urllib.parse

from lib.cluster import cluster  # noqa: F401 - fixture
from lib.explaining import ADMIN, ask
from lib.larder import run_cli
from lib.ports import free_port
from lib.wait import eventually

CONF = ADMIN + """
workers 1
redis %REDIS% prefix=%PREFIX% budget=2s
upstream main %ORIGIN%
defaults { upstream main }
route GET  /a/{id} { scope public; key a:{id}; ttl 300s }
route GET  /b/{id} { scope public; key b:{id}; ttl 300s }
"""
SLOW = 30
COUNT = 60


def filled(larder, cluster, origin, prefix):
    """A proxy whose entries are on every master."""
    proxy = larder(CONF, redis=cluster.url, origin=origin.url, prefix=prefix, admin=free_port())
    eventually(lambda: proxy.stderr().count("Redis (entries)") >= 3, SLOW,
               "its worker is connected to all masters")
    keys = [f"{prefix}:a:{n}" for n in range(COUNT)]
    for n in range(COUNT):
        proxy.get(f"/a/{n}")
    eventually(lambda: sum(len(m.call("KEYS", f"{prefix}:a:*"))
                           for m in cluster.masters()) == COUNT, SLOW, "all is stored")
    assert len({cluster.owner(cluster.slot(k)).port for k in keys}) == 3
    return proxy


def page(proxy, cursor=None, **query):
    if cursor is not None:
        query["cursor"] = cursor
    return ask(proxy, "/keys?" + urllib.parse.urlencode({"tier": "l2", **query}))


def pages(proxy, cursor=None, **query):
    found, missing = [], set()
    while True:
        got = page(proxy, cursor, **query)
        found += [k["name"] for k in got["keys"]]
        missing.add(got["missing"])
        cursor = got["cursor"]
        if cursor is None:
            return found, missing - {None}


ALL = sorted(f"a:{n}" for n in range(COUNT))


def test_every_master(larder, cluster, origin):
    proxy = filled(larder, cluster, origin, "one")
    assert (sorted(pages(proxy)[0]), pages(proxy)[1]) == (ALL, set())
    assert sorted(pages(proxy, limit=7, pattern="a:*")[0]) == ALL
    assert sorted(pages(proxy, pattern="a:1?")[0]) == [f"a:1{n}" for n in range(10)]
    assert pages(proxy, pattern="nothing:*") == ([], set())
    r = run_cli("keys", "-c", proxy.conf_path, "--tier", "l2")
    assert (r.returncode, r.stderr) == (0, "") and len(r.stdout.splitlines()) == COUNT + 1
    for n in range(5):  # on whichever master
        e = ask(proxy, f"/keys/a%3A{n}?tier=l2")
        assert (e["name"], e["tier"], e["l2"]["state"]) == (f"a:{n}", "l2", "fresh")


def test_a_slot_moves_in_between(larder, cluster, origin):
    """What was not on its way is there; nothing ends early."""
    proxy = filled(larder, cluster, origin, "two")
    first = page(proxy, limit=5)
    assert len(first["keys"]) == 5 and first["cursor"].startswith("l2.0.")
    second = cluster.owner(cluster.slot("two:a:1"))
    slot = cluster.slot("two:a:1")
    cluster.move(slot, next(m for m in cluster.masters() if m is not second))
    rest, missing = pages(proxy, first["cursor"])
    names = {k["name"] for k in first["keys"]} | set(rest)
    assert names >= set(ALL) - {"a:1"} and missing == set()
    assert sorted(set(pages(proxy)[0])) == ALL


def test_a_cursor_of_another_server(larder, cluster, origin):
    """Nothing can be taken from it: its master is read from the beginning."""
    proxy = filled(larder, cluster, origin, "three")
    slot, _, cursor, after = page(proxy, limit=1)["cursor"].split(".")[1:]
    found, _ = pages(proxy, f"l2.{slot}.999999999.7.3")
    assert sorted(set(found)) == ALL
    assert (slot, cursor) == ("0", "0") and int(after) > 0


def test_a_master_is_away(larder, cluster, origin):
    """The others' names, and that some are missing; afterwards all of them again."""
    proxy = filled(larder, cluster, origin, "four")
    assert sorted(pages(proxy)[0]) == ALL
    away = cluster.owner(cluster.slot("four:a:3"))
    there = {f"a:{n}" for n in range(COUNT)
             if cluster.owner(cluster.slot(f"four:a:{n}")) is not away}
    pair = [away, cluster.replica_of(away)]  # nobody takes over
    for s in cluster.servers:
        s.call("CONFIG", "SET", "cluster-require-full-coverage", "no")
    for s in pair:
        s.pause()
    try:
        found, missing = pages(proxy)
        assert set(found) >= there and len(missing) == 1 and "master of slot" in missing.pop()
        r = run_cli("keys", "-c", proxy.conf_path, "--tier", "l2")
        assert r.returncode == 0 and "larder: the list lacks names of the master" in r.stderr
    finally:
        for s in pair:
            s.resume()
    cluster.settle()
    eventually(lambda: sorted(set(pages(proxy)[0])) == ALL, SLOW, "all is there again")
