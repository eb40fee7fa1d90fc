"""Bodies over `compress` are stored gzipped, once, and inflated for who does not take gzip."""

import gzip
import json
import time

import pytest

from lib.cache import miss_then_hit
from lib.example import example, signed_in
from lib.origin import answer

CONF = """
upstream main %ORIGIN%
defaults { compress 1kb }
route GET /a    { scope public; key a; ttl 60s }
route GET /off  { scope public; key off; ttl 60s; compress off }
route GET /etag { scope public; key etag; ttl 60s }
"""
TEXT = json.dumps([{"id": n, "name": f"Product {n}", "price": n * 7} for n in range(400)]).encode()
GZIP = [("Accept-Encoding", "gzip, deflate, br")]
PLAIN_TYPE = {"Content-Type": "application/json"}


def serve(origin, path, body=TEXT, **fields):
    headers = {**PLAIN_TYPE, **{k.replace("_", "-"): v for k, v in fields.items()}}
    origin.route(path, answer(200, body, headers))


def test_gzip_for_some_and_text_for_others(larder, origin):
    serve(origin, "/a")
    proxy = larder(CONF, origin=origin.url)
    assert proxy.get("/a").body == TEXT
    zipped = proxy.get("/a", GZIP)
    assert (zipped.x_cache, zipped.header("content-encoding")) == ("HIT", "gzip")
    assert gzip.decompress(zipped.body) == TEXT and len(zipped.body) < len(TEXT) / 4
    assert zipped.header("content-length") == str(len(zipped.body))
    plain = proxy.get("/a")
    assert plain.x_cache == "HIT" and plain.header("content-encoding") is None
    assert plain.body == TEXT and plain.header("content-length") == str(len(TEXT))
    for hit in (zipped, plain):
        assert "accept-encoding" in hit.header("vary").lower()
    assert origin.count() == 1
    assert origin.requests[0].header("accept-encoding") == "identity"


def test_it_is_compressed_once(larder, origin):
    """The same bytes for everybody, whatever they write in Accept-Encoding."""
    serve(origin, "/a")
    proxy = larder(CONF, origin=origin.url)
    proxy.get("/a", GZIP)
    bodies = {proxy.get("/a", [("Accept-Encoding", value)]).body for value in (
        "gzip", "GZIP", "gzip;q=0.5", "br, gzip", "*", "gzip;q=1, identity;q=0.5", "x-gzip")}
    assert len(bodies) == 1 and gzip.decompress(bodies.pop()) == TEXT
    for value in ("br", "deflate", "identity", "gzip;q=0", "*;q=0", "gzip;q=0, *", "",
                  "gzip;q=0.1, identity"):
        assert proxy.get("/a", [("Accept-Encoding", value)]).body == TEXT, value
    assert origin.count() == 1


def test_the_etag_of_the_gzipped_bytes_is_weak(larder, origin):
    serve(origin, "/etag", ETag='"v1"')
    proxy = larder(CONF, origin=origin.url)
    proxy.get("/etag")
    assert proxy.get("/etag").header("etag") == '"v1"'
    assert proxy.get("/etag", GZIP).header("etag") == 'W/"v1"'
    for fields in ([], GZIP):
        for etag in ('"v1"', 'W/"v1"', '"x", W/"v1"', "*"):
            answer_ = proxy.get("/etag", fields + [("If-None-Match", etag)])
            assert (answer_.status, answer_.body) == (304, b"")
            assert answer_.header("content-encoding") is None
        assert proxy.get("/etag", fields + [("If-None-Match", '"v2"')]).status == 200


def test_head_tells_the_same(larder, origin):
    serve(origin, "/a")
    proxy = larder(CONF, origin=origin.url)
    proxy.get("/a")
    for fields in ([], GZIP):
        full, head = proxy.get("/a", fields), proxy.request("HEAD", "/a", fields)
        for name in ("content-length", "content-encoding", "vary", "content-type", "x-cache"):
            assert head.header(name) == full.header(name), name
        assert head.body == b""


@pytest.mark.parametrize("kind,compressed", [
    ("application/json", True), ("application/json; charset=utf-8", True), ("text/html", True),
    ("TEXT/CSV", True), ("application/problem+json", True), ("image/svg+xml", True),
    ("application/javascript", True), ("image/png", False), ("application/zip", False),
    ("video/mp4", False), ("application/octet-stream", False), ("", False),
])
def test_only_what_can_be_compressed(larder, origin, kind, compressed):
    origin.route("/a", answer(200, TEXT, {"Content-Type": kind} if kind else {}))
    proxy = larder(CONF, origin=origin.url)
    proxy.get("/a", GZIP)
    hit = proxy.get("/a", GZIP)
    assert hit.x_cache == "HIT" and (hit.header("content-encoding") == "gzip") == compressed
    assert (gzip.decompress(hit.body) if compressed else hit.body) == TEXT


@pytest.mark.parametrize("fields", [{"Content-Encoding": "br"}, {"Content-Encoding": "gzip"},
                                    {"Cache-Control": "no-transform"},
                                    {"Cache-Control": "max-age=60, no-transform"}])
def test_what_may_not_be_touched(larder, origin, fields):
    origin.route("/a", answer(200, TEXT, {**PLAIN_TYPE, **fields}))
    proxy = larder(CONF, origin=origin.url)
    proxy.get("/a", GZIP)
    hit = proxy.get("/a", GZIP)
    assert hit.x_cache == "HIT" and hit.body == TEXT
    assert hit.header("content-encoding") == fields.get("Content-Encoding")


def test_small_bodies_and_other_routes_are_left_alone(larder, origin):
    serve(origin, "/a", b"x" * 1000)
    serve(origin, "/off")
    proxy = larder(CONF, origin=origin.url)
    for target, body in (("/a", b"x" * 1000), ("/off", TEXT)):
        proxy.get(target, GZIP)
        hit = proxy.get(target, GZIP)
        assert hit.x_cache == "HIT" and hit.header("content-encoding") is None and hit.body == body


def test_large_and_chunked(larder, origin):
    big = TEXT * 60
    origin.route("/a", answer(200, [big[:70000], big[70000:500000], big[500000:]], PLAIN_TYPE,
                              chunked=True))
    proxy = larder(CONF, origin=origin.url)
    assert proxy.get("/a").body == big
    assert gzip.decompress(proxy.get("/a", GZIP).body) == big
    assert proxy.get("/a").body == big


def test_on_the_real_flask_application(larder, backend):
    app = backend("flask")
    proxy = larder(example("flask"), env={"FLASK_URL": app.url})
    target = "/api/search?q=product"
    plain = miss_then_hit(proxy, target, signed_in())
    zipped = proxy.get(target, signed_in() + GZIP)
    assert zipped.header("content-encoding") == "gzip"
    assert gzip.decompress(zipped.body) == plain.body
    assert len(plain.body) > 1024
    small = miss_then_hit(proxy, "/api/dashboard", GZIP)
    assert small.header("content-encoding") is None


def test_a_hit_does_not_compress_again(larder, origin):
    """CPU of gzipped hits is that of plain bytes of their size, not of compressing."""
    serve(origin, "/a", TEXT * 50)
    proxy = larder(CONF + "log off\nworkers 1\n", origin=origin.url)
    proxy.get("/a", GZIP)
    begin = time.process_time()
    gzip.compress(TEXT * 50, 1)
    once = time.process_time() - begin
    before = proxy.cpu()
    with proxy.raw() as c:
        for _ in range(50):
            assert c.get("/a", GZIP).header("content-encoding") == "gzip"
    assert proxy.cpu() - before < 50 * once / 2
