"""GET /keys over Redis: by SCAN, page by page, with what the entries say."""

import urllib.parse

from lib.explaining import ADMIN, ask, explain
from lib.nodes import start_node
from lib.ports import free_port
from lib.wait import eventually

CONF = ADMIN + """
redis %REDIS% prefix=shop budget=2s
upstream main %ORIGIN%
defaults { upstream main }
route GET  /a/{id} { scope public; key a:{id}; ttl 60s; tag one }
route GET  /b/{id} { scope public; key b:{id}; ttl 60s }
route POST /a/{id} { invalidate a:{id} }
"""


def node(larder, redis, origin):
    return start_node(larder, redis, CONF, origin=origin.url, admin=free_port())


def pages(proxy, **query):
    found, sizes = [], []
    while True:
        page = ask(proxy, "/keys?" + urllib.parse.urlencode(query))
        found += page["keys"]
        sizes.append(len(page["keys"]))
        if page["cursor"] is None:
            return found, sizes
        query["cursor"] = page["cursor"]


def names(items):
    return sorted(i["name"] for i in items)


def test_scan(larder, redis, origin):
    a = node(larder, redis, origin)
    for i in range(30):
        assert a.get(f"/a/{i}").x_cache == "MISS"
    a.get("/b/" + "x" * 600)
    redis.call("SET", "shop:a:not-ours", "x")
    redis.call("SET", "other:a:1", "x")
    eventually(lambda: len(pages(a, tier="l2")[0]) == 31, 15, "everything is in Redis")
    items, sizes = pages(a, tier="l2", pattern="a:*", limit=7)
    assert names(items) == sorted(f"a:{i}" for i in range(30)) and max(sizes) <= 7
    first = items[0]
    assert (first["tier"], first["state"], first["tags"], first["hits"]) == ("l2", "fresh", ["one"],
                                                                           None)
    assert names(pages(a, tier="l2", pattern="a:1?")[0]) == [f"a:1{i}" for i in range(10)]
    assert names(pages(a, tier="l2", pattern="b:*x")[0]) == ["b:" + "x" * 600]
    both = pages(a, pattern="a:7")[0]
    assert sorted(i["tier"] for i in both) == ["l1", "l2"]


def test_what_another_node_has_stored(larder, redis, origin):
    a, b = node(larder, redis, origin), node(larder, redis, origin)
    a.get("/a/1")
    eventually(lambda: names(pages(b, tier="l2")[0]) == ["a:1"], 15)
    assert pages(b, tier="l1")[0] == []
    said = explain(b, "/a/1")
    assert (said["outcome"], said["l1"]["state"], said["l2"]["state"]) == ("HIT", "none", "fresh")
    assert said["key"]["redis"] == "shop:a:1" and pages(b, tier="l1")[0] == []
    assert b.get("/a/1").x_cache == "HIT"
    assert explain(b, "/a/1")["l1"]["state"] == "fresh"
    a.post("/a/1", b"x")
    eventually(lambda: explain(b, "/a/1")["l2"]["state"] == "invalidated", 15)
    assert explain(b, "/a/1")["outcome"] == "MISS"
    assert pages(b, tier="l2")[0][0]["state"] == "invalidated"
