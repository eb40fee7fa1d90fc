"""CORS preflights: answered by Larder, with the rules of the route that they ask for."""

import pytest

from lib.origin import answer
from lib.raw import encode_request

APP = "https://app.example.com"

CONF = """
upstream main %ORIGIN%
log -
route GET    /items      { ttl 60s; scope public; cors https://app.example.com credentials=on }
route POST   /items      { cors https://app.example.com methods=POST,PUT headers=X-A,X-B max_age=1h }
route DELETE /items      { }
route GET    /open       { cors * methods=* headers=* max_age=0s }
route *      /all/*      { cors https://app.example.com }
route OPTIONS /own       { }
"""


def ask(proxy, path, method, origin=APP, headers=None, **more):
    fields = {"Origin": origin, "Access-Control-Request-Method": method}
    if headers:
        fields["Access-Control-Request-Headers"] = headers
    return proxy.request("OPTIONS", path, {k: v for k, v in {**fields, **more}.items() if v})


def fields(r):
    return {n[len("access-control-"):]: v for n, v in r.headers
            if n.startswith("access-control-")}


@pytest.fixture
def proxy(larder, origin):
    origin.default = lambda x: x.answer(200, b"backend", {"Access-Control-Allow-Origin": "b"})
    return larder(CONF, origin=origin.url)


def test_what_is_asked_for_is_allowed(proxy, origin):
    r = ask(proxy, "/items", "GET", headers="content-type,x-own")
    assert (r.status, r.body, r.header("content-length")) == (204, b"", None)
    assert fields(r) == {"allow-origin": APP, "allow-credentials": "true", "allow-methods": "GET",
                         "allow-headers": "content-type,x-own", "max-age": "600"}
    vary = r.header("vary").lower()
    assert all(n in vary for n in ("origin", "access-control-request-method",
                                   "access-control-request-headers"))
    assert r.header("cache-status") == "larder; detail=preflight"
    assert "allow-headers" not in fields(ask(proxy, "/items", "GET"))
    assert origin.count() == 0
    assert [line["reason"] for line in proxy.access_log(2)] == ["preflight"] * 2


def test_what_was_configured_is_allowed(proxy, origin):
    r = ask(proxy, "/items", "POST", headers="x-other")
    assert fields(r) == {"allow-origin": APP, "allow-methods": "POST, PUT",
                         "allow-headers": "X-A, X-B", "max-age": "3600"}
    r = ask(proxy, "/open", "GET", origin="null", headers="x-other")
    assert fields(r) == {"allow-origin": "*", "allow-methods": "*", "allow-headers": "*",
                         "max-age": "0"}
    assert origin.count() == 0


def test_others_are_allowed_nothing(proxy, origin):
    r = ask(proxy, "/items", "GET", origin="https://evil.test", headers="x-own")
    assert (r.status, fields(r), r.header("vary")) == (204, {}, "Origin")
    assert origin.count() == 0


@pytest.mark.parametrize("path,method", [("/items", "DELETE"), ("/items", "PATCH"),
                                         ("/nowhere", "GET"), ("/own", "GET")])
def test_without_cors_the_backend_answers(proxy, origin, path, method):
    r = ask(proxy, path, method)
    assert (r.status, r.body, fields(r)) == (200, b"backend", {"allow-origin": "b"})
    assert origin.requests[0].header("access-control-request-method") == method


def test_a_route_for_all_methods(proxy, origin):
    for method in ("GET", "DELETE", "PROPFIND"):
        assert fields(ask(proxy, "/all/x", method))["allow-methods"] == method
    r = proxy.request("OPTIONS", "/all/x", {"Origin": APP})
    assert (r.status, r.body, fields(r)) == (200, b"backend", {"allow-origin": APP})
    assert origin.count() == 1


def test_nothing_odd_is_sent_back(proxy, origin):
    for odd in ("x\x80y", "a;b", 'a"b', "x" * 3000):
        assert "allow-headers" not in fields(ask(proxy, "/items", "GET", headers=odd))
    for odd in ("G ET", "GET;", "GET\x80"):
        r = ask(proxy, "/all/x", odd)
        assert "allow-methods" not in fields(r) or fields(r)["allow-methods"] == odd.strip()
        assert odd == "G ET" or "allow-methods" not in fields(r)


def test_half_a_preflight_is_none(proxy, origin):
    for more in ({"Origin": None}, {"Access-Control-Request-Method": None}):
        r = ask(proxy, "/all/x", "GET", **more)
        assert (r.status, r.body) == (200, b"backend")
    r = proxy.request("OPTIONS", "*", {"Origin": APP, "Access-Control-Request-Method": "GET"})
    assert r.body == b"backend"
    assert origin.count() == 3


def test_the_connection_goes_on(proxy):
    with proxy.raw() as c:
        for _ in range(3):
            c.send(encode_request("OPTIONS", "/items", {
                "Origin": APP, "Access-Control-Request-Method": "GET"}))
            assert c.read_response("OPTIONS").status == 204
        c.send(encode_request("GET", "/open", {"Origin": APP}))
        assert c.read_response().body == b"backend"


def test_a_body_is_not_taken_for_a_request(proxy, origin):
    with proxy.raw() as c:
        inner = encode_request("GET", "/inner")
        c.send(encode_request("OPTIONS", "/items", {
            "Origin": APP, "Access-Control-Request-Method": "GET",
            "Content-Length": str(len(inner))}, inner))
        assert c.read_response("OPTIONS").status == 204
        c.read_all()
    assert origin.count() == 0


def test_top_level(larder, origin):
    proxy = larder("cors https://app.example.com\nupstream main %ORIGIN%\n", origin=origin.url)
    assert fields(ask(proxy, "/anything", "PUT"))["allow-methods"] == "PUT"
    assert origin.count() == 0
