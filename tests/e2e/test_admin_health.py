"""Health, probes, what is configured, and reloading through the admin plane."""

import signal
import threading
import time

from lib.admin import TOKEN, Admin, is_problem, start_admin
from lib.origin import Wait, answer
from lib.ports import free_port
from lib.wait import eventually

CONF = """
workers 2
hash_key value=a-secret-of-more-than-32-bytes-0123
upstream main %ORIGIN% max_fails=1 fail_timeout=1s
jwt login alg=HS256 secret=another-secret-of-more-than-32-bytes
identity org jwt=login claim=org
defaults { upstream main }
type thing { ttl 60s; stale 5s }
route GET /a/{id} name=first { type thing; key a:{org}:{id}:{query}; tag shelf:{id}; query page }
route POST /a { invalidate a:* type:thing tag:x }
host other.example { route GET /b { scope public; ttl origin } }
"""


def test_a_node_without_trouble(larder, origin):
    proxy, plane = start_admin(larder, CONF, origin=origin.url)
    doc = plane.get("/health").json()
    assert doc["status"] == "HEALTHY" and doc["problems"] == []
    assert doc["since"].endswith("Z") and doc["since"].startswith("20")
    assert plane.get("/api/cache/health").json()["status"] == "HEALTHY"
    assert plane.get("/readyz", token=False).body == b"ok\n"
    is_problem(plane.get("/health", token=False), 401)


def test_a_backend_that_is_down(larder):
    port = free_port()
    proxy, plane = start_admin(larder, CONF.replace("fail_timeout=1s", "fail_timeout=60s"),
                               origin=f"http://127.0.0.1:{port}")
    assert proxy.get("/x").status == 502
    doc = plane.get("/health").json()
    assert doc["status"] == "DEGRADED", doc
    assert [(p["what"], p["detail"]) for p in doc["problems"]] == [
        ("upstream", "main: every server is down")]
    # /stats and /metrics say the same of it.
    assert plane.get("/stats").json()["upstreams"][0]["servers"][0]["state"] == "down"
    assert (f'larder_upstream_server_up{{upstream="main",server="http://127.0.0.1:{port}"}} 0\n'
            in plane.get("/metrics").body.decode())
    first = doc["problems"][0]["since"]
    time.sleep(1.1)
    assert plane.get("/health").json()["problems"][0]["since"] == first
    # It can still serve what it has: traffic should not be taken away.
    assert plane.get("/readyz", token=False).status == 200


def test_redis_that_goes_and_comes_back(larder, origin, redis):
    proxy, plane = start_admin(larder, f"redis {redis.url} prefix=x\n" + CONF, origin=origin.url)
    eventually(lambda: plane.get("/health").json()["status"] == "HEALTHY", 20)
    redis.stop()
    eventually(lambda: plane.get("/health").json()["status"] == "DEGRADED", 20)
    eventually(lambda: "redis" in [p["what"] for p in plane.get("/health").json()["problems"]], 20)
    assert plane.get("/readyz", token=False).status == 200


def test_starting_without_redis_warms_for_a_while(larder, origin):
    proxy, plane = start_admin(larder, f"redis redis://127.0.0.1:{free_port()} prefix=x\n" + CONF,
                               origin=origin.url)
    seen = plane.get("/health").json()["status"]
    if seen == "WARMING":
        ready = plane.get("/readyz", token=False)
        assert ready.status in (503, 200)
    eventually(lambda: plane.get("/health").json()["status"] == "DEGRADED", 20)
    assert plane.get("/readyz", token=False).status == 200


def test_a_node_that_stops_is_down(larder, origin):
    go = threading.Event()
    origin.route("/slow", [Wait(go), answer(200, b"finished")])
    proxy, plane = start_admin(larder, CONF, origin=origin.url)
    with proxy.raw() as c:
        c.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        origin.wait_requests(1, "/slow")
        proxy.signal(signal.SIGTERM)
        eventually(lambda: "stopping" in proxy.stderr(), 15)
        r = plane.get("/health")
        assert (r.status, r.json()["status"]) == (503, "DOWN")
        is_problem(plane.get("/readyz", token=False), 503)
        assert plane.get("/livez", token=False).status == 200
        go.set()
        assert c.read_response().body == b"finished"
    assert proxy.wait(30) == 0


def test_routes(larder, origin):
    proxy, plane = start_admin(larder, CONF, origin=origin.url)
    first, second, third = plane.get("/routes").json()["routes"]
    assert first == {
        "route": "first", "line": f"{proxy.conf_path}:11", "hosts": [], "methods": ["GET"],
        "path": "/a/{id}", "name": "first", "type": "thing", "key": "a:{org}:{id}:{query}",
        "scope": ["org"], "ttl_mode": "fallback", "ttl_ms": 60000, "stale_ms": 5000,
        "stale_if_error_ms": 0, "query": ["page"], "tags": ["shelf:{id}"], "invalidate": [],
        "upstream": "main", "cached": True}
    assert second["invalidate"] == ["a:*", "type:thing", "tag:x"]
    assert (second["cached"], second["key"], second["ttl_ms"]) == (False, None, None)
    assert third["hosts"] == ["other.example"] and third["scope"] == ["public"]
    assert third["ttl_mode"] == "origin"
    is_problem(plane.get("/routes", token=False), 401)


def test_config_shows_no_secret(larder, origin):
    secrets = {"S1": "the-secret-in-the-environment-0123456789", "PASSWORD": "pass-word"}
    conf = (f"admin 127.0.0.1:%ADMIN% token={TOKEN}\n"
            "redis redis://someone:${PASSWORD}@127.0.0.1:1/0 prefix=x\n"
            "debug_token the-debug-token-0123456789\n"
            "credential service value=\"Bearer the-service-token\"\n"
            "alert redis down url=http://127.0.0.1:1/the-hook secret=the-hook-secret-0123456789\n" +
            CONF.replace("another-secret-of-more-than-32-bytes", "${S1}"))
    port = free_port()
    proxy = larder(conf, env=secrets, origin=origin.url, admin=port)
    plane = Admin(port)
    eventually(plane.accepts, 15)
    text = plane.get("/config").json()["text"]
    for secret in (TOKEN, "a-secret-of-more", *secrets.values(), "someone", "the-debug-token",
                   "the-service-token", "the-hook"):
        assert secret not in text
    assert "redis redis://***@127.0.0.1:1/0 prefix=x" in text
    assert "secret=***" in text and "token=***" in text and "hash_key value=***" in text
    assert "key a:{org}:{id}" in text and "invalidate a:* type:thing tag:x" in text
    is_problem(plane.get("/config", token=False), 401)


def test_reload(larder, origin):
    proxy, plane = start_admin(larder, CONF, origin=origin.url)
    admin = f"admin 127.0.0.1:%ADMIN_PORT% token={TOKEN}\n"
    proxy.write_conf(admin + CONF + "route GET /new { scope public; ttl 1m }\n")
    r = plane.post("/reload")
    assert (r.status, r.json()) == (200, {"status": "reloaded"})
    assert proxy.get("/new").x_cache == "MISS"
    proxy.write_conf(admin + CONF + "rout GET /bad { }\n")
    detail = is_problem(plane.post("/reload"), 422)["detail"]
    assert "unknown directive `rout`" in detail and "larder.conf" in detail
    assert proxy.get("/new").x_cache == "HIT"
    assert "audit: 127.0.0.1 POST /reload 422 refused" in proxy.stderr()
    is_problem(plane.get("/reload"), 405)
    is_problem(plane.post("/reload", token=False), 401)
