"""Writes without a route of their own invalidate what is cached under their path.

Letter case and a trailing slash are ignored, because backends ignore them; and the places that
the answer names (RFC 9111 section 4.4) count like the path itself.
"""

import pytest

from lib.example import JSON, example
from lib.origin import answer

ITEMS = {"list": "/api/products?limit=3", "item": "/api/products/7", "other": "/api/products/8",
         "dashboard": "/api/dashboard", "by path": "/files/a/b", "by path too": "/files/a/c",
         "organization": "/api/orgs/o1/users/u1", "neighbour": "/api/orgs/o1/users/u2"}
CONF = """
upstream main %ORIGIN%
route GET /api/products              { scope public; key products:list:{query}; ttl 60s }
route GET /api/products/{id}         { scope public; key products:item:{id}:{header.X-Lang}; ttl 60s }
route GET /api/dashboard             { scope public; ttl 60s }
route GET /files/*                   { scope public; key files:{path}; ttl 60s }
route GET /api/orgs/{o}/users/{u}    { scope public; key users:{o}:{u}; ttl 60s }
"""


@pytest.fixture
def proxy(larder, origin):
    p = larder(CONF, origin=origin.url)
    assert gone(p) == set(ITEMS)
    assert gone(p) == set()
    return p


def gone(proxy):
    """Names of what is not a hit any more. Asking fills it again."""
    return {name for name, target in ITEMS.items() if proxy.get(target).x_cache != "HIT"}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("target,cleared", [
    ("/api/products", {"list"}),
    ("/api/products/", {"list"}),
    ("/API/products/", {"list"}),
    ("/API/PRODUCTS", {"list"}),
    ("/api/products?x=1", {"list"}),
    ("/api/products/7", {"item"}),
    ("/api/products/7/", {"item"}),
    ("/Api/Products/7", {"item"}),
    ("/api/%70roducts/%37", {"item"}),
    ("/api/./products/../products/7", {"item"}),
    ("/api/products/*", set()),
    ("/api/products/%2A", set()),
    ("/api/products/7/reviews", set()),
    ("/api/dashboard/", {"dashboard"}),
    ("/files/a/b", {"by path"}),
    ("/FILES/a/b/", {"by path"}),
    ("/files/A/B/", {"by path"}),
    ("/files/a/x", set()),
    ("/files/a", set()),
    ("/api/orgs/o1/users/u1", {"organization"}),
    ("/api/nothing", set()),
])
def test_write_without_a_route(proxy, method, target, cleared):
    assert proxy.request(method, target, body=b"x").status == 200
    assert gone(proxy) == cleared


def test_get_and_head_invalidate_nothing(proxy):
    for method in ("GET", "HEAD", "OPTIONS"):
        proxy.request(method, "/api/products/")
    assert gone(proxy) == set()


@pytest.mark.parametrize("field", ["Location", "Content-Location"])
@pytest.mark.parametrize("value,cleared", [
    ("/api/products/8", {"other"}),
    ("http://localhost/api/products/8", {"other"}),
    ("/API/Products/8/", {"other"}),
    ("/api/products/8#top", {"other"}),
    ("/api/products?page=2", {"list"}),
    ("http:// not a reference", set()),
])
def test_places_that_the_answer_names(proxy, origin, field, value, cleared):
    origin.route("/api/orders", answer(201, b"ok", {field: value}), method="POST")
    assert proxy.post("/api/orders", b"x").status == 201
    assert gone(proxy) == cleared


@pytest.mark.parametrize("field", ["Location", "Content-Location"])
@pytest.mark.parametrize("host,ours", [
    ("api.example.com", True), ("API.example.com", True), ("www.example.com", True),
    ("api.example.com:80", True), ("evil.example", False), ("api.example.com.evil.example", False),
    ("user@api.example.com", False),
])
def test_places_at_another_host_do_not_count(larder, origin, field, host, ours):
    proxy = larder("hosts api.example.com www.example.com\n" + CONF, origin=origin.url)
    here = {"Host": "api.example.com"}
    proxy.get("/api/products/8", here)
    where = {field: f"http://{host}/api/products/8"}
    origin.route("/api/orders", answer(201, b"ok", where), method="POST")
    assert proxy.request("POST", "/api/orders", here, b"x").status == 201
    assert proxy.get("/api/products/8", here).x_cache == ("MISS" if ours else "HIT")


def test_of_a_refused_write_they_do_not_count(proxy, origin):
    origin.route("/api/orders", answer(400, b"no", {"Location": "/api/products/8"}), method="POST")
    assert proxy.post("/api/orders", b"x").status == 400
    assert gone(proxy) == set()


def test_flask_redirects_a_trailing_slash(larder, backend):
    """`POST /API/products/` on a real application: whatever it answers, lists are right."""
    app = backend("flask")
    proxy = larder(example("flask"), env={"FLASK_URL": app.url})
    listed = "/api/products?limit=50"
    assert proxy.get(listed).json()["total"] == 25
    for target in ("/api/products/", "/API/products/", "/api//products"):
        proxy.post(target, b'{"name": "x"}', JSON)
        assert proxy.get(listed).json()["total"] == app.get(listed).json()["total"]
