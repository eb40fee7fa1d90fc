"""`route … { admin }`: clients of the data port that call /api/cache/* today go on calling it."""

import pytest

from lib.admin import TOKEN, start_admin
from lib.larder import run_cli

CONF = """
hosts api.test
upstream main %ORIGIN%
defaults { upstream main; ttl 1m }
type product { ttl 1h; scope public }
route GET /products/{id} { type product; key products:{id} }
route GET,POST,DELETE /api/cache/* { admin }
route GET,POST,DELETE /v1/cache/* { admin }
route GET /ops/health { admin }
"""
HOST = [("Host", "api.test")]
BEARER = HOST + [("Authorization", f"Bearer {TOKEN}")]
JSON = [("Content-Type", "application/json")]


@pytest.fixture
def proxy(larder, origin):
    return start_admin(larder, CONF, origin=origin.url)[0]


def test_the_flask_system(proxy, origin):
    for _ in range(2):
        proxy.get("/products/1", HOST)
    stats = proxy.get("/api/cache/stats", BEARER)
    assert stats.status == 200 and stats.json()["hits"] == 1
    assert stats.x_cache == "PASS"
    for path, body in (("/api/cache/invalidate/product", b""),
                       ("/api/cache/invalidate-pattern", b'{"pattern":"products:*"}'),
                       ("/api/cache/clear-all", b""),
                       ("/v1/cache/invalidate/product", b"")):
        assert proxy.get("/products/1", HOST).x_cache in ("HIT", "MISS")
        assert proxy.get("/products/1", HOST).x_cache == "HIT"
        r = proxy.request("POST", path, BEARER + (JSON if body else []), body)
        assert r.status == 200, r
        assert proxy.get("/products/1", HOST).x_cache == "MISS", path
    assert proxy.request("DELETE", "/api/cache/clear?pattern=products:*", BEARER).status == 200
    assert proxy.get("/v1/cache/health", BEARER).json()["status"] == "HEALTHY"
    assert origin.count("/api/cache/stats") == 0


@pytest.mark.parametrize("headers", [HOST, HOST + [("Authorization", "Bearer wrong")]])
def test_never_without_the_token(proxy, headers):
    for path in ("/api/cache/stats", "/api/cache/livez", "/api/cache/clear-all"):
        assert proxy.get(path, headers).status == 401
    assert proxy.request("POST", "/api/cache/clear-all", headers).status == 401


def test_nothing_beside_its_path(proxy, origin):
    origin.clear()
    assert proxy.get("/stats", BEARER).body.endswith(b"/stats")
    assert proxy.get("/ops/other", BEARER).body.endswith(b"/ops/other")
    assert proxy.get("/api/cache/nothing", BEARER).status == 404
    assert proxy.request("PUT", "/api/cache/stats", BEARER).status != 200


def test_the_audit_log_names_the_client(proxy):
    fields = BEARER + [("X-Larder-Admin-Route", "/elsewhere"), ("X-Forwarded-For", "9.9.9.9")]
    assert proxy.request("POST", "/api/cache/clear-all", fields).status == 200
    lines = [line for line in proxy.stderr().splitlines() if "clear-all" in line]
    assert len(lines) == 1 and "127.0.0.1 by a route" in lines[0], lines


def test_pages_of_other_sites(proxy):
    for fields in ([("Origin", "http://evil.test")], [("Sec-Fetch-Site", "cross-site")]):
        assert proxy.request("POST", "/api/cache/clear-all", BEARER + fields).status == 403
    own = BEARER + [("Origin", "http://api.test"), ("Sec-Fetch-Site", "same-origin")]
    assert proxy.request("POST", "/api/cache/clear-all", own).status == 200


@pytest.mark.parametrize("conf, says", [
    ("upstream m http://127.0.0.1:1\nroute GET /c/* { admin }\n", "need a token"),
    ("admin 127.0.0.1:9\nupstream m http://127.0.0.1:1\nroute GET /c/* { admin }\n", "need a token"),
    (f"admin 127.0.0.1:9 token={TOKEN}\nupstream m http://127.0.0.1:1\n"
     "route GET /c/* { admin; ttl 1m }\n", "takes no `ttl`"),
    (f"admin 127.0.0.1:9 token={TOKEN}\nupstream m http://127.0.0.1:1\n"
     "route GET /{tenant}/cache/* { admin }\n", "takes no path parameters"),
])
def test_check(tmp_path, conf, says):
    path = tmp_path / "x.conf"
    path.write_text(conf)
    result = run_cli("check", "-c", path)
    assert result.returncode != 0 and says in result.stdout + result.stderr
