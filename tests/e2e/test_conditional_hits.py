"""Conditional requests are answered from the entry; fills never carry a client's validators."""

import pytest

from lib.cache import cache_status, seen
from lib.example import example
from lib.origin import answer

OLD, MODIFIED, NEW = ("Mon, 01 Jan 2024 00:00:00 GMT", "Tue, 02 Jan 2024 00:00:00 GMT",
                      "Wed, 03 Jan 2024 00:00:00 GMT")
CONF = """
upstream main %ORIGIN%
route GET /a    { scope public; key a; ttl 60s; status 200 404 }
route GET /gone { scope public; key gone; ttl 60s; status 200 404 }
route GET /off  { ttl off }
"""
BOTH = {"ETag": '"v1"', "Last-Modified": MODIFIED, "Content-Type": "text/plain",
        "Cache-Control": "max-age=60", "X-Custom": "yes", "Content-Language": "en",
        "Content-Location": "/a.txt", "Vary": "X-Nothing"}


@pytest.fixture
def proxy(larder, origin):
    origin.route("/a", answer(200, b"hello", BOTH))
    p = larder(CONF, origin=origin.url)
    assert p.get("/a").x_cache == "MISS"
    return p


@pytest.mark.parametrize("fields", [
    {"If-None-Match": '"v1"'}, {"If-None-Match": 'W/"v1"'}, {"If-None-Match": '"x", "v1"'},
    {"If-None-Match": "*"}, {"If-None-Match": '"x" , W/"v1"'},
    {"If-Modified-Since": MODIFIED}, {"If-Modified-Since": NEW},
    {"If-None-Match": '"v1"', "If-Modified-Since": OLD},
])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_not_modified(proxy, origin, method, fields):
    for _ in range(2):
        got = proxy.request(method, "/a", fields)
        assert (got.status, got.body, got.x_cache) == (304, b"", "HIT")
    for name in ("etag", "cache-control", "content-location", "vary", "date", "x-custom"):
        assert got.header(name) is not None, name
    assert got.header("etag") == '"v1"'
    for name in ("content-type", "content-length", "content-language", "transfer-encoding"):
        assert got.header(name) is None, name
    assert cache_status(got)["hit"] is True and got.header("age") is not None
    assert origin.count() == 1


@pytest.mark.parametrize("fields", [
    {}, {"If-None-Match": '"v2"'}, {"If-None-Match": '"V1"'}, {"If-None-Match": '"v1x"'},
    {"If-Modified-Since": OLD}, {"If-Modified-Since": "yesterday"}, {"If-Modified-Since": ""},
    {"If-None-Match": '"v2"', "If-Modified-Since": NEW},
])
def test_modified(proxy, origin, fields):
    got = proxy.get("/a", fields)
    assert (got.status, got.body, got.x_cache) == (200, b"hello", "HIT")
    assert origin.count() == 1


def test_connection_goes_on_after_a_304(proxy):
    with proxy.raw() as c:
        for _ in range(3):
            assert c.get("/a", {"If-None-Match": '"v1"'}).status == 304
            assert c.get("/a").body == b"hello"
            assert c.request("HEAD", "/a").status == 200
        c.send(b"GET /a HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: *\r\n\r\n" * 3)
        assert [c.read_response().status for _ in range(3)] == [304] * 3


@pytest.mark.parametrize("fields", [
    {"If-None-Match": '"mine"'}, {"If-Modified-Since": NEW}, {"If-Match": '"mine"'},
    {"If-Unmodified-Since": OLD}, {"Range": "bytes=0-1"},
    {"If-Range": '"mine"', "Range": "bytes=0-1"},
])
def test_a_fill_fetches_the_whole_answer(larder, origin, fields):
    """An origin that answers 304, 206 or 412 must not make an entry of that."""
    def serve(exchange):
        request = exchange.request
        asked = [n for n in ("if-none-match", "if-modified-since", "if-match",
                             "if-unmodified-since", "if-range", "range") if request.header(n)]
        exchange.run(answer(500 if asked else 200, b"hello", {"ETag": '"v1"'}))
    origin.default = serve
    proxy = larder(CONF, origin=origin.url)
    first = proxy.get("/a", fields)
    assert (first.status, first.body) in ((200, b"hello"), (206, b"he"))
    assert first.status == 200 or fields.keys() == {"Range"}
    assert proxy.get("/a").x_cache == "HIT" and proxy.get("/a").body == b"hello"
    assert origin.count() == 1


def test_what_is_not_cached_passes_validators_on(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    origin.route("/off", answer(304, headers={"ETag": '"v1"'}))
    got = proxy.get("/off", {"If-None-Match": '"v1"', "Range": "bytes=0-1"})
    assert got.status == 304 and got.x_cache == "PASS"
    assert origin.requests[0].header("if-none-match") == '"v1"'
    assert origin.requests[0].header("range") == "bytes=0-1"


def test_other_statuses_are_not_conditional(larder, origin):
    origin.route("/gone", answer(404, b"gone", {"ETag": '"v1"', "Last-Modified": MODIFIED}))
    proxy = larder(CONF, origin=origin.url)
    assert proxy.get("/gone").x_cache == "MISS"
    got = proxy.get("/gone", {"If-None-Match": '"v1"'})
    assert (got.status, got.body, got.x_cache) == (404, b"gone", "HIT")


def test_without_validators(larder, origin):
    origin.route("/a", answer(200, b"hello"))
    proxy = larder(CONF, origin=origin.url)
    proxy.get("/a")
    assert proxy.get("/a", {"If-None-Match": '"v1"'}).status == 200
    assert proxy.get("/a", {"If-None-Match": "*"}).status == 304  # there is a representation


def test_head_from_the_entry(proxy, origin):
    got, full = proxy.request("HEAD", "/a"), proxy.get("/a")
    assert got.body == b"" and got.x_cache == "HIT"
    assert [h for h in got.headers if h[0] != "date"] == [h for h in full.headers if h[0] != "date"]
    assert origin.count() == 1


def test_head_without_an_entry_is_forwarded_and_not_stored(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    for _ in range(2):
        got = proxy.request("HEAD", "/a")
        assert got.status == 200 and got.x_cache == "MISS" and got.body == b""
    assert [r.method for r in origin.requests] == ["HEAD", "HEAD"]
    assert proxy.get("/a").x_cache == "MISS"


def test_real_flask_report(larder, backend):
    """Flask makes the ETag; Larder answers the conditional requests."""
    app = backend("flask")
    conf = example("flask", "route GET /api/report { scope public; key report; ttl 60s }")
    proxy = larder(conf, env={"FLASK_URL": app.url})
    first = proxy.get("/api/report")
    assert first.x_cache == "MISS" and len(first.body) > 1000
    etag, date = first.header("etag"), first.header("last-modified")
    assert etag and date
    for fields in ({"If-None-Match": etag}, {"If-Modified-Since": date}):
        assert proxy.get("/api/report", fields).status == 304
    assert proxy.get("/api/report", {"If-None-Match": '"other"'}).body == first.body
    assert app.count("/api/report") == 1


def test_reasons_are_there(proxy):
    assert seen(proxy.get("/a", {"If-None-Match": '"v1"'})) == ("HIT", None)
