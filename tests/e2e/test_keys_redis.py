"""GET /keys and GET /keys/NAME over Redis: by SCAN, page by page, and one entry in full."""

import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

from lib.explaining import ADMIN, ask, explain
from lib.larder import run_cli
from lib.listing import names, pages
from lib.nodes import start_node
from lib.origin import answer
from lib.ports import free_port
from lib.raw import RawClient, fetch
from lib.sentinel import Sentinels
from lib.wait import eventually

CONF = ADMIN + """
redis %REDIS% prefix=shop budget=2s
upstream main %ORIGIN%
defaults { upstream main }
route GET  /a/{id} { scope public; key a:{id}; ttl 60s; tag one; compress 1kb; store set-cookie }
route GET  /b/{id} { scope public; key b:{id}; ttl 60s }
route POST /a/{id} { invalidate a:{id} }
"""


def node(larder, redis, origin):
    return start_node(larder, redis, CONF, origin=origin.url, admin=free_port())


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


def one(proxy, name, status=200, **query):
    target = "/keys/" + urllib.parse.quote(name, safe="")
    target += "?" + urllib.parse.urlencode(query) if query else ""
    got = fetch(proxy.values["admin"], "GET", target, timeout=20)
    assert got.status == status, (got.status, got.body)
    return got.json() if status == 200 else got.json()["detail"]


def stored(redis, *keys):
    eventually(lambda: all(redis.call("EXISTS", k) for k in keys), 15, f"{keys} are in Redis")


def test_one_in_full_from_redis(larder, redis, origin):
    """What another node has stored, as GET /keys/NAME shows what is in memory."""
    a, b = node(larder, redis, origin), node(larder, redis, origin)
    origin.route("/a/1", answer(200, "käse ".encode() * 1000, {
        "Content-Type": "text/plain; charset=utf-8", "Set-Cookie": "sid=s3cret"}))
    origin.route("/a/2", answer(200, bytes(range(256)), {"Content-Type": "image/x"}))
    origin.route("/a/3", answer(200, b"x" * 100_000, {"Content-Type": "image/x"}))
    origin.route("/a/v", answer(200, b"hello", {"Vary": "X-Kind"}))
    for target in ("/a/1", "/a/2", "/a/3"):
        assert a.get(target).x_cache == "MISS"
    a.get("/a/v", [("X-Kind", "k")])
    a.get("/b/" + "x" * 600)
    stored(redis, "shop:a:1", "shop:a:2", "shop:a:3", "shop:a:v")
    before = redis.commands()
    e = one(b, "a:1")
    fields = {name.lower(): value for name, value in e["headers"]}
    assert (e["tier"], e["hits"], e["state"], e["coding"]) == ("l2", None, "fresh", "gzip")
    assert fields["set-cookie"] == "***" and "s3cret" not in str(e)
    assert e["body"] == "käse " * 1000 and e["body_complete"] and e["tags"] == ["one"]
    assert (e["l1"], e["l2"]["state"]) == ({"state": "none"}, "fresh")
    assert one(b, "a:2")["body_base64"].startswith("AAECAwQF")
    large = one(b, "a:3")
    assert len(large["body"]) == 65536 and large["body_bytes"] == 100_000
    assert one(b, "b:" + "x" * 600)["l2"]["state"] == "fresh"
    marker = one(b, "a:v")
    assert (marker["state"], marker["vary"], marker["body"]) == ("marker", "x-kind", None)
    variant = next(n for n in names(pages(b, pattern="a:v")[0]) if n.startswith("a:v#"))
    assert one(b, variant)["body"] == "hello"
    # Looking stores nothing here, and asks with nothing that could stop Redis.
    assert pages(b, tier="l1")[0] == []
    after = redis.commands()
    assert after["getrange"] > before.get("getrange", 0) and "keys" not in after
    assert one(a, "a:1")["tier"] == "l1" and one(a, "a:1", tier="l2")["tier"] == "l2"
    assert one(a, "a:1", tier="l1")["l2"] == {"state": "not-asked"}
    assert one(b, "a:1", host="localhost")["tier"] == "l2"
    assert "another host" in one(b, "a:1", 404, host="other.example")
    one(b, "a:99", 404)
    one(b, "a:1", 404, tier="l1")


def test_garbage_in_redis(larder, redis, origin):
    a = node(larder, redis, origin)
    a.get("/a/1")
    stored(redis, "shop:a:1")
    whole = redis.call("GET", "shop:a:1")
    values = {"text": b"x", "short": whole[:100], "flipped": whole[:-9] + b"\xff" + whole[-8:],
              "huge": b"\x00" * 3_000_000}
    for name, value in values.items():
        redis.call("SET", f"shop:a:{name}", value)
        assert "not an entry of Larder's" in one(a, f"a:{name}", 502)
    redis.call("RPUSH", "shop:a:list", "x")
    assert "not an entry of Larder's" in one(a, "a:list", 502, tier="l2")
    redis.call("SET", "shop:a:other", whole)
    assert "another host or name" in one(a, "a:other", 404)
    redis.call("SET", "shop:a:1", b"x")  # memory is as good as before
    e = one(a, "a:1")
    assert (e["tier"], e["l2"]["state"]) == ("l1", "damaged") and e["body"] is not None
    assert a.process.alive()
    r = run_cli("keys", "-c", a.conf_path, "--show", "a:text")
    assert r.returncode == 1 and r.stdout == "" and "not an entry of Larder's" in r.stderr
    r = run_cli("keys", "-c", a.conf_path, "--show", "a:1")
    assert r.returncode == 0 and "redis    damaged: " in r.stdout


def test_redis_is_away(larder, redis, origin):
    """What memory has, and that Redis was not asked; the plane goes on answering meanwhile."""
    a = node(larder, redis, origin)
    a.get("/a/1")
    stored(redis, "shop:a:1")
    assert one(a, "a:1")["l2"]["state"] == "fresh"
    redis.pause()
    try:
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(one, a, "a:2", 503)
            eventually(lambda: asking.running(), 15)
            assert ask(a, "/stats")["status"]
        assert "in memory" in asking.result() and "Redis does not answer" in asking.result()
        redis.kill()
    finally:
        if redis.process.alive():
            redis.resume()
    e = one(a, "a:1")
    assert (e["tier"], e["l2"]["state"]) == ("l1", "unavailable") and "Redis" in e["l2"]["why"]
    assert "Redis" in one(a, "a:1", 503, tier="l2")
    listed = ask(a, "/keys?limit=50")
    assert names(listed["keys"]) == ["a:1"] and listed["cursor"]
    rest = ask(a, "/keys?cursor=" + listed["cursor"])
    assert rest["keys"] == [] and rest["cursor"] is None and "Redis" in rest["missing"]
    assert fetch(a.values["admin"], "GET", "/keys?tier=l2", timeout=20).status == 503
    r = run_cli("keys", "-c", a.conf_path)
    assert r.returncode == 0 and "a:1" in r.stdout and "the list lacks names in Redis" in r.stderr
    r = run_cli("keys", "-c", a.conf_path, "--show", "a:1")
    assert r.returncode == 0 and "redis    unavailable: " in r.stdout


def test_the_end_does_not_wait_for_redis(larder, redis, origin):
    """Nobody gets the answer, and nothing is left of the question (the sanitizers look)."""
    a = node(larder, redis, origin)
    redis.pause()
    try:
        with RawClient(a.values["admin"]) as page, RawClient(a.values["admin"]) as one_name:
            page.send(b"GET /keys?tier=l2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            one_name.send(b"GET /keys/a:1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert ask(a, "/stats")["status"]  # so that the plane has seen both
            assert a.stop() == 0
    finally:
        redis.resume()


def test_a_hundred_thousand_names(larder, redis, origin):
    """Each call ends within its time whatever the pattern, in steps that Redis hardly feels."""
    a = node(larder, redis, origin)
    redis.call("DEBUG", "POPULATE", 100_000, "shop:z", 20)
    a.get("/a/1")
    stored(redis, "shop:a:1")
    redis.call("CONFIG", "SET", "slowlog-log-slower-than", "20000")
    redis.call("SLOWLOG", "RESET")
    for pattern in ("nothing:*", "*nothing"):
        calls, cursor = 0, None
        while calls == 0 or cursor is not None:
            began = time.monotonic()
            page = ask(a, "/keys?" + urllib.parse.urlencode(
                {"tier": "l2", "pattern": pattern, **({"cursor": cursor} if cursor else {})}))
            assert time.monotonic() - began < 15
            assert page["keys"] == [] and page["missing"] is None
            cursor, calls = page["cursor"], calls + 1
            assert calls < 200
    slow = [entry[3][0] for entry in redis.call("SLOWLOG", "GET", 10)]
    assert b"SCAN" not in slow and b"GETRANGE" not in slow
    assert "keys" not in redis.commands() and a.get("/a/1").x_cache == "HIT"
    # Not on the connections that requests use: those of listings have come on top.
    ours = [c for c in redis.call("CLIENT", "LIST").splitlines() if b"name=larder" in c]
    assert sum(b"cmd=scan" in c or b"cmd=getrange" in c for c in ours) == 1


def test_behind_sentinel(larder, tmp_path, origin):
    """Also after a failover: a cursor of the old master begins anew at the new one."""
    group = Sentinels(tmp_path)
    try:
        a = larder(CONF.replace("%REDIS%", group.url), origin=origin.url, admin=free_port())
        eventually(lambda: "journal: following" in a.stderr() and "(entries)" in a.stderr(), 30)
        for n in range(9):
            a.get(f"/a/{n}")
        stored(group, *(f"shop:a:{n}" for n in range(9)))
        everything = sorted(f"a:{n}" for n in range(9))
        assert names(pages(a, tier="l2")[0]) == everything
        assert one(a, "a:1", tier="l2")["tier"] == "l2"
        group.failover()
        eventually(lambda: names(pages(a, tier="l2")[0]) == everything, 30, "the new master")
        assert one(a, "a:1", tier="l2")["tier"] == "l2"
    finally:
        group.stop()


def test_names_that_go_in_between_cost_no_others(larder, redis, origin):
    """Pages of one name each; what was given out is removed at once."""
    a = node(larder, redis, origin)
    wanted = {f"a:{i}" for i in range(20)}
    for i in range(20):
        a.get(f"/a/{i}")
    stored(redis, *(f"shop:{name}" for name in wanted))
    seen, query = [], {"tier": "l2", "limit": 1}
    while True:
        page = ask(a, "/keys?" + urllib.parse.urlencode(query))
        seen += names(page["keys"])
        if page["cursor"] is None:
            break
        if len(seen) > 1 and len(seen) % 2:  # not the last one: its place would be lost
            redis.call("DEL", f"shop:{seen[-2]}")
        query["cursor"] = page["cursor"]
    assert set(seen) == wanted
