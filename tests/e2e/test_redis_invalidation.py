"""An answered write is true on the node it came through at once, on the others within max_lag."""

import threading

import pytest

from lib.fast import FastClient
from lib.nodes import delay_until, start_nodes
from lib.origin import answer
from lib.race import race
from lib.versions import Versions
from lib.wait import eventually

CONF = """
workers 2
redis %REDIS% prefix=shop budget=2s
upstream main %ORIGIN%
log off
type thing { ttl 60s }
route GET /r/{key}      { scope public; key r:{key}; ttl 60s; tag t:{key} }
route GET /list/{org} name=lists { scope public; key list:{org}:{query}; query page; ttl 60s }
route GET /typed/{key}  { scope public; key typed:{key}; ttl 60s; type thing }
route POST,PUT,DELETE /r/{key} { invalidate r:{key} }
route POST /list/{org}  { invalidate list:{org}:* }
route POST /typed/{key} { invalidate type:thing }
route POST /tag/{key}   { invalidate tag:t:{key} }
route POST /named       { invalidate route:lists }
route POST /everything  { invalidate all }
"""
MAX_LAG = 1.0


@pytest.fixture
def nodes(larder, redis, origin):
    return start_nodes(larder, redis, 2, CONF, origin=origin.url)


def warm(nodes, origin, *targets):
    """Each node has the targets in its own memory."""
    for target in targets:
        for node in nodes:
            eventually(lambda: node.get(target).x_cache == "HIT", 5)


CASES = {
    "exact name": ("/r/1", "/r/1"),
    "tag": ("/r/1", "/tag/1"),
    "glob": ("/list/org?page=2", "/list/org"),
    "type": ("/typed/1", "/typed/1"),
    "route": ("/list/org?page=2", "/named"),
    "everything": ("/r/1", "/everything"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_write_is_seen_by_all(nodes, origin, case):
    read, write = CASES[case]
    a, b = nodes
    warm(nodes, origin, read, "/r/other")
    old = b.get(read).body
    assert a.post(write).status == 200
    assert a.get(read).body != old
    new = a.get(read).body
    assert delay_until(b, read, new, 5) < MAX_LAG
    if write != "/everything":
        for node in nodes:
            assert node.get("/r/other").x_cache == "HIT"


def test_the_answer_says_nothing_special(nodes, origin):
    got = nodes[0].post("/r/1")
    assert got.status == 200 and got.header("cache-invalidation") is None


def test_a_write_without_a_route_of_its_own(nodes, origin):
    """RFC 9111 4.4: what is stored of the same target goes."""
    a, b = nodes
    warm(nodes, origin, "/typed/1")
    old = b.get("/typed/1").body
    assert a.request("PATCH", "/typed/1").status == 200
    assert a.get("/typed/1").body != old
    assert delay_until(b, "/typed/1", a.get("/typed/1").body, 5) < MAX_LAG


def test_an_entry_stored_by_a_late_fetch_is_refused_everywhere(nodes, origin):
    """The fetch began before the write and ends after it: its entry is in Redis and useless."""
    a, b = nodes
    go = threading.Event()

    def slow_old(exchange):
        go.wait(10)
        exchange.answer(200, b"old")

    origin.route("/r/1", slow_old, method="GET")
    reader = threading.Thread(target=b.get, args=("/r/1",))
    reader.start()
    origin.wait_requests(1, "/r/1")
    origin.route("/r/1", answer(200, b"written"), method="POST")
    assert a.post("/r/1").status == 200
    origin.route("/r/1", answer(200, b"new"), method="GET")
    go.set()
    reader.join(10)
    assert a.get("/r/1").body == b"new"
    assert delay_until(b, "/r/1", b"new", 5) < MAX_LAG    # what it fetched late was its own
    for node in (a, b, a, b):
        assert node.get("/r/1").body == b"new"


@pytest.mark.parametrize("writer", [0, 1])
def test_thousands_of_reads_beside_writes(nodes, origin, writer):
    """Read-your-writes on the node that takes the writes, while the other one fills Redis."""
    versions = Versions(origin)
    stop = threading.Event()

    def disturb():
        with FastClient(nodes[1 - writer].port) as c:
            n = 0
            while not stop.is_set():
                n += 1
                c.get(f"/r/k{n % 6}")

    others = [threading.Thread(target=disturb) for _ in range(2)]
    for t in others:
        t.start()
    try:
        counts = race(nodes[writer], versions, readers=6, writes=150)
    finally:
        stop.set()
        for t in others:
            t.join(20)
    assert sum(counts.values()) >= 1500, counts
    assert counts["HIT"] >= 300 and counts["MISS"] >= 50, counts


def test_a_write_through_one_node_then_a_read_through_the_other(nodes, origin):
    """Hundreds of times; each within max_lag, and most at once."""
    versions = Versions(origin, delay=0)
    a, b = nodes
    delays = []
    for n in range(200):
        key = f"k{n % 5}"
        writer, reader = (a, b) if n % 2 else (b, a)
        reader.get(f"/r/{key}")
        new = writer.post(f"/r/{key}").body
        delays.append(delay_until(reader, f"/r/{key}", new, 5))
    delays.sort()
    assert delays[-1] < MAX_LAG, delays[-5:]
    assert delays[len(delays) // 2] < 0.1, delays[len(delays) // 2]
    assert versions.reads["k0"] > 0


def test_soft_invalidation_is_validated_everywhere(larder, redis, origin):
    conf = CONF.replace("{ invalidate r:{key} }", "{ invalidate r:{key} soft=on }")
    nodes = start_nodes(larder, redis, 2, conf, origin=origin.url)
    a, b = nodes
    origin.route("/r/1", answer(200, b"v1", {"ETag": '"1"'}), method="GET")
    warm(nodes, origin, "/r/1")
    a.post("/r/1")
    origin.route("/r/1", answer(200, b"v2", {"ETag": '"2"'}), method="GET")
    assert delay_until(b, "/r/1", b"v2", 5) < MAX_LAG + 1
