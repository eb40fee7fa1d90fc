"""What happens right now: GET /log (the last requests) and GET /top, with two workers."""

import threading

from lib.figures import Figures
from lib.origin import Wait, answer
from lib.wait import eventually

CONF = """
workers 2
%ADMIN%
log off
upstream main %ORIGIN%
defaults { upstream main }
route GET /item/{n} { scope public; key item:{n}; ttl 1h }
route GET /slow     { scope public; key slow; ttl 1h }
route GET /quiet    { log off }
"""


def start(larder, origin):
    for n in range(4):
        origin.route(f"/item/{n}", answer(200, b"item"))
    figures = Figures()
    return larder(CONF, origin=origin.url, admin=figures.conf), figures


def logged(figures, n, target="/log"):
    """GET /log once it holds n requests."""
    return eventually(lambda: (log := figures.json(target))["requests"][n - 1:] and log, 15)


def test_the_last_requests_are_shown(larder, origin):
    proxy, figures = start(larder, origin)
    answers = [proxy.get("/item/1", {"User-Agent": "me"}) for _ in range(4)]
    log = logged(figures, 4)
    requests = sorted(log["requests"], key=lambda r: r["cache"], reverse=True)
    assert [r["cache"] for r in requests] == ["MISS", "HIT", "HIT", "HIT"]
    first = requests[0]
    assert (first["method"], first["path"], first["route"], first["reason"], first["status"],
            first["agent"], first["client"]) == (
        "GET", "/item/1", "GET /item/{n}", "miss", 200, "me", "127.0.0.1")
    assert sorted(r["bytes"] for r in requests) == sorted(len(a.raw) for a in answers)
    assert first["upstream_ms"] > 0 and first["ms"] >= first["upstream_ms"]
    assert requests[1]["tier"] == "l1"
    assert log["missed"] == 0


def test_a_cursor_goes_on(larder, origin):
    proxy, figures = start(larder, origin)
    proxy.get("/item/1")
    log = logged(figures, 1)
    after = f"/log?after={log['next']}"
    assert figures.json(after)["requests"] == []
    proxy.get("/item/2?x=1")
    proxy.get("/item/3")
    log = logged(figures, 2, after)
    assert {r["path"] for r in log["requests"]} == {"/item/2?x=1", "/item/3"}
    assert figures.json(f"/log?after={log['next']}")["requests"] == []
    for _ in range(600):                      # more than two workers keep
        proxy.get("/item/1")
    eventually(lambda: figures.stats()["total_requests"] == 603, 15)
    late = figures.json(f"/log?after={log['next']}")
    assert len(late["requests"]) + late["missed"] + late["skipped"] == 600
    assert late["missed"] + late["skipped"] > 0
    figures.get("/log?after=x", status=400)
    figures.get("/log?n=9999", status=400)
    figures.get("/log?route=", status=400)


def test_filters(larder, origin):
    proxy, figures = start(larder, origin)
    for target in ("/item/1", "/item/1", "/item/2", "/elsewhere", "/quiet"):
        proxy.get(target)
    logged(figures, 4)
    figures.stats(5)

    def paths(query):
        return sorted(r["path"] for r in figures.json(f"/log?{query}")["requests"])
    assert paths("cache=HIT") == ["/item/1"]
    assert paths("cache=hit&route=GET%20/item/%7Bn%7D") == ["/item/1"]
    assert paths("reason=no-route") == ["/elsewhere"]
    assert paths("route=GET%20/item/%7Bn%7D") == ["/item/1", "/item/1", "/item/2"]
    assert len(paths("route=GET%20/item/%7Bn%7D&n=2")) == 2
    assert "/quiet" not in paths("n=100")     # `log off` in the route


def test_no_secret_is_shown(larder, origin):
    proxy, figures = start(larder, origin)
    proxy.get("/item/1?token=s3cret&x=1", {"Authorization": "Bearer s3cret",
                                          "Cookie": "session=s3cret"})
    log = logged(figures, 1)
    assert log["requests"][0]["path"] == "/item/1?token=***&x=1"
    assert b"s3cret" not in figures.get("/log").body + figures.get("/top").body


def test_top(larder, origin):
    proxy, figures = start(larder, origin)
    go = threading.Event()
    origin.route("/slow", [Wait(go), answer(200, b"slow")])
    asking = threading.Thread(target=lambda: proxy.get("/slow", timeout=30))
    asking.start()
    origin.wait_requests(1, "/slow", timeout=15)
    for n, times in ((1, 9), (2, 5), (3, 2)):
        for _ in range(times):
            proxy.get(f"/item/{n}")
    proxy.get("/elsewhere")
    go.set()
    asking.join()
    figures.stats(18)
    top = figures.json("/top")
    assert [(k["name"], k["hits"]) for k in top["keys"][:3]] == [
        ("item:1", 9), ("item:2", 5), ("item:3", 2)]
    assert top["keys"][0]["route"] == "GET /item/{n}"
    assert top["slow"][0]["name"] == "slow" and len(top["slow"]) == 4
    assert top["slow"][0]["ms"] >= top["slow"][1]["ms"]
    assert [r["route"] for r in top["routes"]] == ["GET /slow", "GET /item/{n}"]
    assert top["routes"][1] == {"route": "GET /item/{n}", "hit_rate": 81.25, "requests": 16}
    assert len(figures.json("/top?n=1")["keys"]) == 1
