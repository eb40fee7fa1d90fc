"""Ranges with preconditions: If-Range by strong comparison, If-None-Match before the Range."""

import pytest

from lib.cache import miss_then_hit
from lib.origin import answer
from lib.ranges import body_of, part

CONF = """
upstream main %ORIGIN%
defaults { ttl 60s }
route GET /strong { scope public; key strong }
route GET /weak   { scope public; key weak }
route GET /zip    { scope public; key zip; compress 100 }
route GET /dated  { scope public; key dated }
"""

BODY = body_of(1000)
OLD = "Mon, 02 Jan 2023 03:04:05 GMT"
NOW = "Tue, 03 Jan 2023 03:04:05 GMT"


@pytest.fixture
def proxy(larder, origin):
    for path, headers in [("/strong", {"ETag": '"v1"'}), ("/weak", {"ETag": 'W/"v1"'}),
                          ("/zip", {"ETag": '"v1"', "Content-Type": "text/plain"}),
                          ("/dated", {"Last-Modified": OLD, "Date": NOW})]:
        origin.route(path, answer(200, BODY, headers))
    proxy = larder(CONF, origin=origin.url)
    for path in ("/strong", "/weak", "/zip", "/dated"):
        miss_then_hit(proxy, path)
    return proxy


@pytest.mark.parametrize("path,if_range,partial", [
    ("/strong", '"v1"', True), ("/strong", '"v2"', False), ("/strong", 'W/"v1"', False),
    ("/strong", "v1", False), ("/strong", OLD, False), ("/strong", '"v1", "v2"', False),
    ("/weak", 'W/"v1"', False), ("/weak", '"v1"', False),
    ("/zip", '"v1"', True), ("/zip", 'W/"v1"', False),
    ("/dated", OLD, True), ("/dated", NOW, False), ("/dated", '"v1"', False),
])
def test_if_range(proxy, path, if_range, partial):
    r = proxy.get(path, {"Range": "bytes=5-9", "If-Range": if_range})
    if partial:
        assert part(r) == (5, 9, 1000, BODY[5:10])
    else:
        assert (r.status, r.body) == (200, BODY)
    assert r.x_cache == "HIT"


def test_if_range_that_fails_hides_a_bad_range(proxy):
    r = proxy.get("/strong", {"Range": "bytes=5000-", "If-Range": '"v2"'})
    assert (r.status, r.body) == (200, BODY)
    r = proxy.get("/strong", {"Range": "bytes=5000-", "If-Range": '"v1"'})
    assert r.status == 416


def test_not_modified_comes_first(proxy):
    r = proxy.get("/strong", {"Range": "bytes=5-9", "If-None-Match": '"v1"'})
    assert (r.status, r.body, r.header("content-range")) == (304, b"", None)
    r = proxy.get("/strong", {"Range": "bytes=5-9", "If-None-Match": '"other"'})
    assert part(r) == (5, 9, 1000, BODY[5:10])
    r = proxy.get("/dated", {"Range": "bytes=5-9", "If-Modified-Since": OLD})
    assert r.status == 304


def test_if_range_without_range_says_nothing(proxy):
    r = proxy.get("/strong", {"If-Range": '"v2"'})
    assert (r.status, r.body) == (200, BODY)
