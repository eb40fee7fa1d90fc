"""A write invalidates its own URI (RFC 9111 4.4), not everything that a wildcard route serves."""

from lib.origin import answer

CONF = """
upstream main %ORIGIN%
defaults { upstream main }
route GET /things/* { scope public; ttl 60s }
"""


def stored(proxy, origin, *targets):
    """Each target is stored: the second reading is a HIT."""
    for target in targets:
        origin.route(target.partition("?")[0], answer(200, b"x"))
        proxy.get(target)
        assert proxy.get(target).x_cache == "HIT", target


def test_a_write_below_a_wildcard_leaves_its_neighbours(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    stored(proxy, origin, "/things/a", "/things/a?page=2", "/things/ab", "/things/a/b", "/things/")
    proxy.post("/things/a", b"new")
    assert proxy.get("/things/a").x_cache == "MISS"
    assert proxy.get("/things/a?page=2").x_cache == "MISS"
    for neighbour in ("/things/ab", "/things/a/b", "/things/"):
        assert proxy.get(neighbour).x_cache == "HIT", neighbour


def test_a_trailing_slash_makes_no_difference(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    origin.route("/things/a", answer(200, b"x"))
    stored(proxy, origin, "/things/a", "/things/a/", "/things/b/")
    proxy.post("/things/a", b"new")
    assert proxy.get("/things/a/").x_cache == "MISS"
    stored(proxy, origin, "/things/a", "/things/a/")
    proxy.post("/things/a/", b"new")
    assert proxy.get("/things/a").x_cache == "MISS"
    assert proxy.get("/things/a/").x_cache == "MISS"
    assert proxy.get("/things/b/").x_cache == "HIT"


def test_location_and_content_location_are_resolved_alike(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    stored(proxy, origin, "/things/new", "/things/list", "/things/other")
    origin.route("/things/create", answer(201, b"x", {"Location": "/things/new",
                                                     "Content-Location": "/things/list"}))
    proxy.post("/things/create", b"new")
    assert proxy.get("/things/new").x_cache == "MISS"
    assert proxy.get("/things/list").x_cache == "MISS"
    assert proxy.get("/things/other").x_cache == "HIT"
