"""`etag on`: a validator of Larder's own for answers that have none."""

import gzip
import re

import pytest

from lib.cache import miss_then_hit
from lib.origin import answer
from lib.ranges import part
from lib.wait import eventually

CONF = """
upstream main %ORIGIN%
defaults { etag on; ttl 60s }
route GET /data { scope public; key data; status 200 404 }
route GET /zip  { scope public; key zip; compress 100 }
route GET /off  { scope public; key off; etag off }
route GET /by   { scope public; key by; ttl origin }
route GET /pass { ttl off }
"""

BODY = b"some text that repeats itself, " * 100


def etag(proxy, path):
    miss_then_hit(proxy, path)
    r = proxy.get(path)
    assert len(r.all("etag")) == 1, r
    return r.header("etag")


def test_made_from_the_body(larder, origin):
    origin.route("/data", answer(200, BODY))
    first = etag(larder(CONF, origin=origin.url), "/data")
    assert re.fullmatch('"[0-9a-f]{32}"', first)
    assert etag(larder(CONF, origin=origin.url), "/data") == first  # of every node, for good
    origin.route("/data", answer(200, BODY + b"."))
    assert etag(larder(CONF, origin=origin.url), "/data") != first


@pytest.mark.parametrize("headers", [{"ETag": '"own"'}, {"ETag": 'W/"own"'}, {"ETag": "unquoted"}])
def test_the_origins_counts(larder, origin, headers):
    origin.route("/data", answer(200, BODY, headers))
    assert etag(larder(CONF, origin=origin.url), "/data") == headers["ETag"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_if_none_match(larder, origin, method):
    origin.route("/data", answer(200, BODY, {"Cache-Control": "no-transform"}))
    proxy = larder(CONF, origin=origin.url)
    tag = etag(proxy, "/data")
    for value in (tag, "W/" + tag, f'"x", {tag}', "*"):
        r = proxy.request(method, "/data", {"If-None-Match": value})
        assert (r.status, r.body, r.header("etag"), r.x_cache) == (304, b"", tag, "HIT")
    r = proxy.request(method, "/data", {"If-None-Match": '"0123456789abcdef0123456789abcdef"'})
    assert r.status == 200
    assert origin.count() == 1


def test_gzipped_bytes_have_a_weak_one(larder, origin):
    origin.route("/zip", answer(200, BODY, {"Content-Type": "text/plain"}))
    proxy = larder(CONF, origin=origin.url)
    tag = etag(proxy, "/zip")
    assert tag.startswith('"')
    r = proxy.get("/zip", {"Accept-Encoding": "gzip"})
    assert (r.header("etag"), gzip.decompress(r.body)) == ("W/" + tag, BODY)
    r = proxy.get("/zip", {"Accept-Encoding": "gzip", "If-None-Match": "W/" + tag})
    assert r.status == 304


def test_not_for_others(larder, origin):
    for path in ("/data", "/off", "/pass"):
        origin.route(path, answer(404 if path == "/data" else 200, BODY))
    proxy = larder(CONF, origin=origin.url)
    for path in ("/data", "/off", "/pass"):
        for _ in range(2):
            assert proxy.get(path).header("etag") is None


def test_the_origin_is_never_asked_about_it(larder, origin):
    """It could only say that it does not know it, or, worse, happen to know it."""
    origin.route("/by", answer(200, BODY, {"Cache-Control": "max-age=0",
                                          "Last-Modified": "Mon, 02 Jan 2023 03:04:05 GMT"}))
    proxy = larder(CONF, origin=origin.url)
    proxy.get("/by")
    eventually(lambda: proxy.get("/by").header("etag"), 5, "an own ETag")
    assert origin.count() >= 2
    for r in origin.requests:
        assert r.header("if-none-match") is None
    assert origin.requests[-1].header("if-modified-since") == "Mon, 02 Jan 2023 03:04:05 GMT"


def test_kept_when_the_date_is_confirmed(larder, origin):
    headers = {"Cache-Control": "max-age=0", "Last-Modified": "Mon, 02 Jan 2023 03:04:05 GMT"}
    origin.route("/by", lambda x: x.answer(
        *((304, b"") if x.request.header("if-modified-since") else (200, BODY)), headers=headers))
    proxy = larder(CONF, origin=origin.url)
    proxy.get("/by")
    tags = set()
    for _ in range(3):
        r = proxy.get("/by")
        assert (r.status, r.x_cache, r.body) == (200, "REVALIDATED", BODY)
        tags.add(r.header("etag"))
    assert len(tags) == 1 and None not in tags
    r = proxy.get("/by", {"If-None-Match": tags.pop()})
    assert (r.status, r.x_cache) == (304, "REVALIDATED")
    for seen in origin.requests:
        assert seen.header("if-none-match") is None


def test_a_304_about_another_etag_confirms_nothing(larder, origin):
    headers = {"Cache-Control": "max-age=0", "Last-Modified": "Mon, 02 Jan 2023 03:04:05 GMT"}
    origin.route("/by", lambda x: x.answer(304, headers={**headers, "ETag": '"late"'})
                 if x.request.header("if-modified-since") else
                 x.answer(200, b"new" if origin.count() > 1 else BODY, headers))
    proxy = larder(CONF, origin=origin.url)
    assert proxy.get("/by").body == BODY
    assert proxy.get("/by").body == b"new"


def test_if_range_of_a_miss_waits_for_it(larder, origin):
    origin.route("/data", answer(200, BODY))
    proxy = larder(CONF, origin=origin.url)
    proxy.get("/data")
    etag = proxy.get("/data").header("etag")
    proxy2 = larder(CONF, origin=origin.url)
    r = proxy2.get("/data", {"Range": "bytes=0-9", "If-Range": etag})
    assert part(r) == (0, 9, len(BODY), BODY[:10])
