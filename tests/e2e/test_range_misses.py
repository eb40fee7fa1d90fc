"""A Range that misses: the whole is fetched once, the client gets its part of it."""

import threading

import pytest

from lib.cache import reason, seen
from lib.origin import LAST_CHUNK, Close, Wait, answer, chunk
from lib.ranges import body_of, part, parts
from lib.raw import Truncated, encode_request
from lib.wait import eventually

CONF = """
upstream main %ORIGIN%
route GET /data { scope public; key data; ttl 60s }
route GET /by   { ttl origin; scope public; key by }
"""

BODY = body_of(100_000)


def is_stored(proxy, path):
    def stored():
        r = proxy.request("HEAD", path)
        return r.x_cache == "HIT"
    return stored


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("value,a,b", [
    ("bytes=0-9", 0, 9), ("bytes=50000-50009", 50000, 50009), ("bytes=-10", 99990, 99999),
    ("bytes=0-", 0, 99999)])
def test_part_of_a_miss(larder, origin, chunked, value, a, b):
    origin.route("/data", answer(200, BODY, {"ETag": '"v1"'}, chunked=chunked))
    proxy = larder(CONF, origin=origin.url)
    r = proxy.get("/data", {"Range": value, "If-Range": '"v1"'})
    assert part(r) == (a, b, 100_000, BODY[a:b + 1])
    assert seen(r) == ("MISS", "miss")
    assert r.header("etag") == '"v1"'
    sent = origin.requests[0]
    assert (sent.header("range"), sent.header("if-range")) == (None, None)
    eventually(is_stored(proxy, "/data"), 5, "stored")
    r = proxy.get("/data")
    assert (r.status, r.body, r.x_cache) == (200, BODY, "HIT")
    assert origin.count("/data", "GET") == 1


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_several_parts_of_a_miss(larder, origin, chunked):
    origin.route("/data", answer(200, BODY, chunked=chunked))
    proxy = larder(CONF, origin=origin.url)
    r = proxy.get("/data", {"Range": "bytes=0-9,50000-50009"})
    assert [p[1:] for p in parts(r)] == [(0, 9, 100_000, BODY[:10]),
                                        (50000, 50009, 100_000, BODY[50000:50010])]
    assert origin.count("/data", "GET") == 1


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_outside_of_a_miss(larder, origin, chunked):
    origin.route("/data", answer(200, BODY, chunked=chunked))
    proxy = larder(CONF, origin=origin.url)
    r = proxy.get("/data", {"Range": "bytes=100000-"})
    assert (r.status, r.header("content-range"), reason(r)) == (416, "bytes */100000", "range")
    eventually(is_stored(proxy, "/data"), 5, "stored")
    assert origin.count("/data", "GET") == 1


def test_a_part_is_sent_while_the_rest_is_under_way(larder, origin):
    go = threading.Event()
    origin.route("/data", [b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", BODY[:50_000],
                           Wait(go), BODY[50_000:]])
    proxy = larder(CONF, origin=origin.url)
    r = proxy.get("/data", {"Range": "bytes=40000-49999"})
    assert part(r) == (40000, 49999, 100_000, BODY[40000:50000])
    with proxy.raw() as c:
        c.send(encode_request("GET", "/data", {"Range": "bytes=49990-50009"}))
        c.read_until(BODY[49990:50000])
        go.set()
        c.read_until(BODY[50000:50010])
    eventually(is_stored(proxy, "/data"), 5, "stored though its leader has left")
    assert proxy.get("/data").body == BODY
    assert origin.count("/data", "GET") == 1


def test_followers_have_ranges_of_their_own(larder, origin):
    go = threading.Event()
    origin.route("/data", [Wait(go), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                           chunk(BODY[:60_000]), chunk(BODY[60_000:]), LAST_CHUNK])
    proxy = larder(CONF, origin=origin.url)
    wanted = [None, (0, 9), (59_990, 60_010), (99_999, 99_999), None]
    clients = [proxy.raw() for _ in wanted]
    for c, w in zip(clients, wanted):
        c.send(encode_request("GET", "/data", {"Range": "bytes=%d-%d" % w} if w else {}))
        origin.wait_requests(1, "/data")
    go.set()
    for c, w in zip(clients, wanted):
        r = c.read_response()
        if w is None:
            assert (r.status, r.body) == (200, BODY)
        else:
            assert part(r) == (*w, 100_000, BODY[w[0]:w[1] + 1])
        c.close()
    assert origin.count("/data", "GET") == 1


def test_preconditions_of_a_miss_come_first(larder, origin):
    origin.route("/data", answer(200, BODY, {"ETag": '"v1"'}))
    proxy = larder(CONF, origin=origin.url)
    r = proxy.get("/data", {"Range": "bytes=0-9", "If-None-Match": '"v1"'})
    assert r.status == 304


def test_a_truncated_body_shows(larder, origin):
    origin.route("/data", [b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", BODY[:30_000],
                           Close()])
    proxy = larder(CONF, origin=origin.url)
    with pytest.raises(Truncated):
        proxy.get("/data", {"Range": "bytes=20000-39999"})
    origin.route("/data", answer(200, BODY))
    r = proxy.get("/data", {"Range": "bytes=20000-39999"})
    assert part(r)[3] == BODY[20000:40000]


def test_part_of_a_revalidated_answer(larder, origin):
    origin.route("/by", lambda x: x.answer(
        *((304, b"") if x.request.header("if-none-match") == '"v1"' else (200, BODY)),
        headers={"ETag": '"v1"', "Cache-Control": "max-age=0"}))
    proxy = larder(CONF, origin=origin.url)
    proxy.get("/by")
    r = proxy.get("/by", {"Range": "bytes=0-9"})
    assert part(r) == (0, 9, 100_000, BODY[:10])
    assert r.x_cache == "REVALIDATED"
    assert r.all("accept-ranges") == ["bytes"]
    assert origin.requests[1].header("range") is None
