"""The real applications themselves, without Larder: they start, count, reset and check tokens."""

import pytest

from lib.tokens import bearer, make_jwt, tamper, unsigned_jwt


@pytest.mark.parametrize("name,path", [("flask", "/api/products?limit=2"),
                                       ("fastapi", "/api/pools?limit=2&offset=4"),
                                       ("express", "/api/pools?limit=2")])
def test_serial_and_count(backend, name, path):
    app = backend(name)
    first, second = app.get(path).json(), app.get(path).json()
    assert (first["serial"], second["serial"]) == (1, 2)
    assert len(first.get("products") or first.get("items") or first.get("pools")) == 2
    assert app.count() == 2 and app.count(path.split("?")[0]) == 2
    app.reset()
    assert app.count() == 0 and app.get(path).json()["serial"] == 1


@pytest.mark.parametrize("name", ["flask", "fastapi", "fastify", "express"])
def test_echo_reflects_the_request(backend, name):
    answer = backend(name).request("POST", "/echo/x?a=1&b=2", [
        ("X-One", "eins"), ("Cookie", "c=d"), ("Content-Type", "text/plain")], "hello").json()
    headers = {n.lower(): v for n, v in answer["headers"]}
    assert headers["x-one"] == "eins" and headers["cookie"] == "c=d"
    assert dict(answer["query"]) == {"a": "1", "b": "2"}
    assert answer["method"] == "POST" and answer["body"] == "hello"


def test_flask_product_life(backend):
    app = backend("flask")
    new = app.request("POST", "/api/products", [("Content-Type", "application/json")],
                      '{"name": "new"}')
    assert new.status == 201 and new.json()["product"]["id"] == 26
    assert app.get("/api/products/26").json()["product"]["name"] == "new"
    assert app.request("DELETE", "/api/products/26").status == 204
    assert app.get("/api/products/26").status == 404
    report = app.get("/api/report")
    assert app.get("/api/report", {"If-None-Match": report.header("etag")}).status == 304
    assert app.request("POST", "/upload", body=b"x" * 100000).json()["size"] == 100000
    assert app.get("/api/events").text.count("data: ") == 3


def test_flask_users_are_separate(backend):
    app = backend("flask")
    ann = bearer(make_jwt(sub="ann"))
    assert app.get("/api/users/ann", ann).json()["secret"] == "diary of ann"
    assert app.get("/api/users/bob", ann).status == 403
    assert app.get("/api/users/ann").status == 401


def test_fastapi_cursor_walks_to_the_end(backend):
    app = backend("fastapi")
    seen, cursor = [], ""
    while cursor is not None:
        page = app.get(f"/api/trades?limit=40&cursor={cursor}").json()
        seen += [t["id"] for t in page["items"]]
        cursor = page["next"]
    assert seen == list(range(100))
    before = app.get("/api/volume/btc-usd").json()["volume"]
    assert app.request("POST", "/api/trades", [("Content-Type", "application/json")],
                       '{"pair": "btc-usd", "amount": 7}').status == 201
    assert app.get("/api/volume/btc-usd").json()["volume"] == before + 7
    assert app.get("/api/trades?cursor=nonsense").status == 400


def test_fastify_tenants_are_separate(backend):
    app = backend("fastify")
    one, two = (bearer(make_jwt(sub="u", organizationId=o)) for o in ("org-1", "org-2"))
    first = app.get("/api/agents", one).json()
    assert {a["organizationId"] for a in first["items"]} == {"org-1"}
    agent = first["items"][0]["id"]
    assert app.get(f"/api/agents/{agent}", two).status == 404
    assert app.get(f"/api/agents/{agent}/stats", one).json()["calls"] == 42
    json = [("Content-Type", "application/json")]
    assert app.request("PUT", f"/api/agents/{agent}", one + json, '{"name": "renamed"}').status == 200
    assert app.get(f"/api/agents/{agent}", one).json()["agent"]["name"] == "renamed"
    assert app.request("POST", "/api/agents", two + json, '{"name": "n"}').status == 201
    assert app.request("DELETE", f"/api/agents/{agent}", one).status == 204
    assert app.get("/api/tools/definitions", two).json()["total"] == 8
    assert app.request("POST", "/api/tools/seed", two).json()["tools"] == 9
    assert app.get("/api/servers", one).json()["items"][0]["name"] == "org-1 server"
    assert app.get("/api/servers/s1/health", one).json()["healthy"] is True


def test_fastify_refuses_bad_tokens(backend):
    app = backend("fastify")
    good = make_jwt(sub="u", organizationId="org-1")
    for bad in (unsigned_jwt({"organizationId": "org-1"}), tamper(good, organizationId="org-2"),
                make_jwt(organizationId="org-1", expires_in=-5)):
        assert app.get("/api/agents", bearer(bad)).status == 401
    assert app.get("/api/agents").status == 401
    assert app.get("/api/agents", bearer(make_jwt(sub="u"))).status == 403


def test_express_analysis_takes_its_time(backend):
    app = backend("express", ANALYSIS_DELAY="0.2", FAIL_FIRST="1")
    assert app.get("/api/analysis").status == 503
    result = app.get("/api/analysis").json()
    assert result["fetched"] == 19895 and len(result["top"]) == 100
    assert app.get("/api/metadata").json()["lastMs"] >= 200
