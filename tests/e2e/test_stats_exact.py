"""A scripted run, and every figure that it must lead to, exactly, with two workers: the
statistics are compared with what the answers themselves say and with what the script did."""

import threading

from lib.cache import reason
from lib.figures import Figures
from lib.origin import Hang, Wait, answer
from lib.ports import free_port
from lib.wait import eventually

CONF = """
workers 2
%ADMIN%
log off
upstream main %ORIGIN%
upstream dead http://127.0.0.1:%DEAD%
identity org header=X-Org trusted=127.0.0.1
defaults { upstream main; retry 0 }
type item { scope public; ttl 1h; cost 0.25 }
route GET /item/{n}  { type item; key item:{n}:{query}; query page }
route GET /org       { key org:{org}; ttl 1h }
route GET /slow      { scope public; key slow; ttl 1h }
route GET /never     { scope public; key never; ttl 1h }
route GET /dead      { upstream dead; scope public; key dead; ttl 1h }
route POST /item/{n} { invalidate item:{n}:* }
"""


class Script:
    """Sends requests and tallies what their answers say."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.answers = []
        self.sent = 0

    def keep(self, response, body=b""):
        self.answers.append(response)
        self.sent += len(body)
        return response

    def get(self, target, headers=()):
        return self.keep(self.proxy.get(target, headers))

    def post(self, target, body):
        return self.keep(self.proxy.post(target, body), body)

    def count(self, x_cache):
        return sum(a.x_cache == x_cache for a in self.answers)


def start(larder, origin):
    origin.route("/item/1", answer(200, b"one"))
    origin.route("/item/2", answer(404, b"none"))
    origin.route("/item/3", answer(500, b"broken"))
    origin.route("/org", answer(200, b"org"))
    origin.route("/never", answer(200, b"x", {"Cache-Control": "no-store"}))
    origin.route("/hang", [Hang()])
    figures = Figures()
    proxy = larder(CONF, origin=origin.url, admin=figures.conf, dead=free_port())
    return proxy, figures


def play(proxy, origin):
    """Everything but what needs several clients at once."""
    s = Script(proxy)
    for _ in range(10):
        s.get("/item/1")
    s.get("/item/1?page=2")
    s.get("/item/1?other=3")               # BYPASS query
    s.get("/item/2")                       # MISS status
    s.get("/item/3")                       # MISS status
    for _ in range(3):
        s.get("/org")                      # BYPASS no-org
    s.get("/org", {"X-Org": "a"})          # MISS
    s.get("/org", {"X-Org": "a"})          # HIT
    s.get("/never")                        # MISS no-store
    s.get("/dead")                         # 502, our own
    s.post("/item/1", b"12345")            # PASS, invalidates
    s.get("/item/1")                       # MISS invalidated
    s.get("/elsewhere")                    # PASS no-route
    with proxy.raw() as c:
        c.send(b"GET /x HTTP/1.1\r\nHost: bad host\r\n\r\n")
        s.keep(c.read_response())          # 400, our own
    return s


def coalesce(proxy, origin, n):
    """n requests for one answer that is on its way."""
    go = threading.Event()
    origin.route("/slow", [Wait(go), answer(200, b"slow")])
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(proxy.get("/slow", timeout=30)))
               for _ in range(n)]
    for t in threads:
        t.start()
    origin.wait_requests(1, "/slow", timeout=15)
    eventually(lambda: proxy.clients() >= n, 15, "all are connected")
    go.set()
    for t in threads:
        t.join()
    return answers


def by_label(stats, label):
    found = [r for r in stats["routes"] if r["route"] == label]
    assert len(found) == 1, stats["routes"]
    return found[0]


def test_everything_is_counted_once(larder, origin):
    proxy, figures = start(larder, origin)
    s = play(proxy, origin)
    stats = figures.stats(len(s.answers))
    assert (stats["hits"], stats["misses"], stats["bypass"], stats["pass"]) == (
        s.count("HIT"), s.count("MISS"), s.count("BYPASS"), s.count("PASS")) == (10, 7, 4, 2)
    assert (stats["own_answers"], stats["stale"], stats["revalidated"]) == (2, 0, 0)
    assert stats["total_requests"] == len(s.answers)
    assert stats["bytes_sent"] == sum(len(a.raw) for a in s.answers)
    assert stats["bytes_received"] == s.sent == 5
    assert stats["hit_rate"] == round(100 * 10 / 17, 3)
    assert stats["errors"] == 1                       # /dead
    words = [reason(a) for a in s.answers]
    assert stats["reasons"] == {w: words.count(w) for w in words if w is not None}
    assert stats["reasons"]["no-org"] == 3
    assert stats["tiers"]["l1"]["hits"] == 10
    assert stats["connections"]["accepted"] >= len(s.answers)
    item = by_label(stats, "GET /item/{n}")
    assert item["type"] == "item" and item["hits"] == 9 and item["misses"] == 5
    assert item["saved"] == {"requests": 9, "seconds": item["saved"]["seconds"], "money": 2.25}
    assert item["saved"]["seconds"] > 0
    types = {t["type"]: t for t in stats["types"]}
    assert types["item"]["hits"] == 9 and types["item"]["saved"]["money"] == 2.25
    assert stats["saved"]["requests"] == 10
    server = stats["upstreams"][0]["servers"][0]
    assert server["state"] == "up"
    eventually(lambda: figures.stats()["upstreams"][0]["servers"][0]["requests"] ==
               len(origin.requests), 15)
    assert stats["upstreams"][1]["servers"][0]["failures"] == 1


def test_coalesced_requests(larder, origin):
    proxy, figures = start(larder, origin)
    answers = coalesce(proxy, origin, 6)
    stats = figures.stats(6)
    hits = sum(a.x_cache == "HIT" for a in answers)   # who came after the answer was stored
    assert origin.count("/slow") == 1
    assert stats["misses"] == 6 - hits
    assert stats["coalesced"] == 5 - hits
    assert stats["saved"]["requests"] == 5
    assert by_label(stats, "GET /slow")["upstream_requests"] == 1


def test_abandoned_requests(larder, origin):
    proxy, figures = start(larder, origin)
    with proxy.raw() as c:
        c.send(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
        origin.wait_requests(1, "/hang", timeout=15)
        c.reset()
    stats = figures.stats(1)
    assert (stats["abandoned"], stats["pass"], stats["errors"]) == (1, 0, 0)
    assert stats["reasons"] == {"client-gone": 1}


def test_counters_survive_a_reload(larder, origin):
    proxy, figures = start(larder, origin)
    s = play(proxy, origin)
    before = figures.stats(len(s.answers))
    proxy.reload(CONF.replace("route GET /org ", "route GET /first { scope public; ttl 1h }\n"
                              "route GET /org "), wait="reload done")
    after = figures.stats()
    for field in ("hits", "misses", "bypass", "pass", "errors", "own_answers", "bytes_sent",
                  "bytes_received", "reasons", "total_requests", "saved", "upstreams"):
        assert after[field] == before[field], field
    assert {r["route"]: r for r in after["routes"]} == {r["route"]: r for r in before["routes"]}
    proxy.get("/item/1")
    last = figures.stats(len(s.answers) + 1)
    assert by_label(last, "GET /item/{n}")["hits"] == by_label(before, "GET /item/{n}")["hits"] + 1
    proxy.reload(CONF.replace("route GET /org   ", "route GET /gone  "), wait="reload done")
    gone = figures.stats()
    assert by_label(gone, "GET /org") == by_label(last, "GET /org")


def test_metrics_say_the_same(larder, origin):
    proxy, figures = start(larder, origin)
    s = play(proxy, origin)
    coalesce(proxy, origin, 2)
    stats = figures.stats(len(s.answers) + 2)
    m = figures.metrics()
    for field, result in (("hits", "hit"), ("misses", "miss"), ("bypass", "bypass"),
                          ("pass", "pass"), ("own_answers", "own"), ("stale", "stale")):
        assert m.sum("larder_requests_total", result=result) == stats[field], field
    for word, n in stats["reasons"].items():
        assert m.sum("larder_reasons_total", reason=word) == n
    for route in stats["routes"]:
        assert m.sum("larder_sent_bytes_total", route=route["route"]) == route["bytes_sent"]
        assert m.sum("larder_miss_duration_seconds_count",
                     route=route["route"]) == route["latency_ms"]["miss"]["count"]
    assert m.sum("larder_coalesced_requests_total") == stats["coalesced"]
    assert m.sum("larder_saved_money_total") == stats["saved"]["money"] == 2.25
    assert m.sum("larder_errors_total") == stats["errors"]
    assert m.sum("larder_upstream_failures_total", error="connect") == 1
    assert m.sum("larder_upstream_server_requests_total", upstream="main") == len(origin.requests)
    assert m.sum("larder_memory_entries") == stats["keys"]
    assert m.all("larder_requests_total", type="item")
    assert m.sum("larder_miss_duration_seconds_count") == stats["misses"]
