"""Scheduled refreshes: readers never wait, failures never cost the stored answer, nobody's
credential is replayed."""

import json

from lib.admin import Admin
from lib.origin import Hang, Reset, answer
from lib.ports import free_port
from lib.raw import fetch
from lib.tokens import bearer, make_jwt
from lib.wait import eventually

CONF = """
workers 2
hosts api.test
admin 127.0.0.1:%ADMIN%
upstream main %ORIGIN%
defaults { upstream main }
route GET /pools { scope public; ttl 1h; refresh 1s }
route GET /items/{id} name=items { scope public; ttl 1h; refresh 1h /items/1 /items/2?x=y }
route GET /plain { scope public; ttl 1h }
"""
HOST = [("Host", "api.test")]


def start(larder, origin, conf=CONF, **values):
    proxy = larder(conf, origin=origin.url, admin=free_port(), **values)
    # The data port may be open a moment before the admin address.
    eventually(Admin(proxy.values["admin"]).accepts, 15)
    return proxy


def jobs(proxy):
    r = fetch(proxy.values["admin"], "GET", "/metadata")
    assert r.status == 200
    return {j["path"]: j for j in r.json()["routes"]}


def refresh(proxy, body=None):
    text = b"" if body is None else json.dumps(body).encode()
    fields = [("Content-Type", "application/json")] if text else []
    return fetch(proxy.values["admin"], "POST", "/refresh", fields, text)


def test_it_is_there_before_anybody_asks(larder, origin):
    proxy = start(larder, origin)
    eventually(lambda: all(j["runs"] for j in jobs(proxy).values()), 15)
    for path in ("/pools", "/items/1", "/items/2?x=y"):
        assert proxy.get(path, HOST).x_cache == "HIT", path
    assert jobs(proxy)["/items/1"]["last_result"] == "stored"
    request = origin.seen("/items/1")[0]
    assert request.header("host") == "api.test" and request.header("authorization") is None


def test_again_and_again(larder, origin):
    proxy = start(larder, origin)
    first = eventually(lambda: origin.count("/pools"), 15)
    eventually(lambda: origin.count("/pools") >= first + 2, 15)
    old = proxy.get("/pools", HOST)
    assert old.x_cache == "HIT"
    eventually(lambda: proxy.get("/pools", HOST).body != old.body, 15)
    assert origin.count("/items/1") == 1


def test_a_failure_costs_nothing(larder, origin):
    proxy = start(larder, origin)
    eventually(lambda: jobs(proxy)["/pools"]["runs"], 15)
    good = proxy.get("/pools", HOST)
    for bad, why in ((answer(500, b"no"), "status"), (answer(404, b"no"), "status"),
                     ([Reset()], "reset"),
                     (answer(200, b"no", {"Cache-Control": "no-store"}), "no-store")):
        origin.route("/pools", bad)
        eventually(lambda: jobs(proxy)["/pools"].get("reason") == why, 30)
        now = proxy.get("/pools", HOST)
        assert now.x_cache == "HIT" and now.status == 200, bad
    assert good.status == 200
    assert proxy.stderr().count("refresh of /pools fails") == 1
    origin.route("/pools", answer(200, b"well again"))
    eventually(lambda: proxy.get("/pools", HOST).body == b"well again", 20)
    assert "refresh of /pools works again" in proxy.stderr()


def test_a_backend_that_hangs_delays_nobody(larder, origin):
    proxy = start(larder, origin)
    eventually(lambda: jobs(proxy)["/pools"]["runs"], 15)
    origin.route("/pools", [Hang()])
    eventually(lambda: jobs(proxy)["/pools"]["running"], 15)
    assert proxy.get("/pools", HOST).x_cache == "HIT"


def test_by_hand(larder, origin):
    proxy = start(larder, origin)
    eventually(lambda: all(j["runs"] for j in jobs(proxy).values()), 15)
    before = proxy.get("/items/1", HOST).body
    r = refresh(proxy, {"route": "items"})
    assert r.status == 200
    assert sorted((x["path"], x["result"]) for x in r.json()["refreshed"]) == \
        [("/items/1", "stored"), ("/items/2?x=y", "stored")]
    after = proxy.get("/items/1", HOST)
    assert after.x_cache == "HIT" and after.body != before

    r = refresh(proxy, {"path": "/plain"})
    assert r.status == 200 and r.json()["refreshed"][0]["result"] == "stored"
    assert proxy.get("/plain", HOST).x_cache == "HIT"
    assert len(refresh(proxy).json()["refreshed"]) == 3


def test_what_cannot_be_refreshed_says_why(larder, origin):
    proxy = start(larder, origin, CONF + """
        jwt main alg=HS256 secret=a-test-secret-of-more-than-32-bytes!
        identity org jwt=main claim=org
        route GET /mine { key mine:{org}; ttl 1h }
    """)
    for body, why in [({"route": "nothing"}, "no route of this name"),
                      ({"path": "/mine"}, "kept by identity"),
                      ({"path": "/nowhere"}, "no cached GET route"),
                      ({"path": "no path"}, ""),
                      ({"path": "/a b\r\nX: y"}, ""),
                      ({"path": "/plain", "host": "x\r\nX: y"}, "host"),
                      ({"path": "/plain", "host": "other.test"}, "host is not served"),
                      ({"path": "/plain", "route": "items"}, "say which"),
                      ({"file": "x"}, "only")]:
        r = refresh(proxy, body)
        assert r.status == 422 and why in r.json()["detail"], (body, r)


def test_as_a_credential(larder, origin):
    token = make_jwt({"org": "o-1"})
    proxy = start(larder, origin, """
        hosts api.test
        admin 127.0.0.1:%ADMIN%
        upstream main %ORIGIN%
        jwt main alg=HS256 secret=a-test-secret-of-more-than-32-bytes!
        identity org jwt=main claim=org
        credential service value=${SERVICE}
        route GET /report { upstream main; key report:{org}; ttl 1h; refresh 1h credential=service }
    """, env={"SERVICE": f"Bearer {token}"})
    eventually(lambda: jobs(proxy)["/report"]["runs"], 15)
    assert jobs(proxy)["/report"]["last_result"] == "stored"
    assert proxy.get("/report", HOST + bearer(token)).x_cache == "HIT"
    other = HOST + bearer(make_jwt({"org": "o-2"}))
    assert proxy.get("/report", other).x_cache == "MISS"
    assert proxy.get("/report", HOST).x_cache == "BYPASS"


def test_a_reload_keeps_what_was_learnt(larder, origin):
    proxy = start(larder, origin)
    eventually(lambda: all(j["runs"] for j in jobs(proxy).values()), 15)
    count = origin.count("/items/1")
    proxy.reload(CONF.replace("/items/2?x=y", "/items/3"), wait="reload done")
    eventually(lambda: jobs(proxy)["/items/3"]["runs"], 15)
    known = jobs(proxy)
    assert "/items/2?x=y" not in known and known["/items/1"]["runs"] == 1
    assert origin.count("/items/1") == count


def test_nodes_share_the_work(larder, origin, redis):
    conf = CONF.replace("admin", "redis %REDIS% prefix=r\nadmin").replace("refresh 1s", "refresh 2s")
    first = start(larder, origin, conf, redis=redis.url)
    eventually(lambda: jobs(first)["/items/1"]["last_result"] == "stored", 15)
    eventually(lambda: redis.call("EXISTS", "r:items:/items/1:") or redis.call("DBSIZE") > 3, 10)
    second = start(larder, origin, conf, redis=redis.url)
    eventually(lambda: jobs(second)["/items/1"]["runs"], 15)
    assert jobs(second)["/items/1"]["last_result"] == "shared"
    assert second.get("/items/1", HOST).x_cache == "HIT"
    assert origin.count("/items/1") == 1
