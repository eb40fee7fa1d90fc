"""Ranges of what is not stored: asked for again at the origin, with the client's own Range."""

import threading

import pytest

from lib.cache import seen
from lib.origin import LAST_CHUNK, Wait, answer, chunk
from lib.ranges import body_of, part
from lib.raw import encode_request

CONF = """
upstream main %ORIGIN%
defaults { max_object 64kb }
route GET /data { scope public; key data; ttl 60s }
route GET /pass { }
route * /other { }
"""

BODY = body_of(200_000)


def ranges(headers=(), chunked=False, body=BODY):
    """An origin that knows single ranges."""
    def serve(x):
        value = x.request.header("range")
        if value is None:
            x.send(answer(200, body, headers, chunked=chunked))
            return
        a, b = map(int, value.split("=")[1].split("-"))
        x.send(answer(206, body[a:b + 1], {**dict(headers),
                                          "Content-Range": f"bytes {a}-{b}/{len(body)}"}))
    return serve


def asked(origin, path="/data"):
    return [r.header("range") for r in origin.seen(path)]


@pytest.mark.parametrize("headers,chunked,body", [
    ({}, False, BODY),                               # its length says that it is too large
    ({}, True, BODY),                                # that shows only on the way
    ({"Cache-Control": "no-store"}, False, BODY[:5000]),
    ({"Set-Cookie": "a=b"}, True, BODY[:5000]),
    ({"Vary": "*"}, False, BODY[:5000]),
], ids=["too-large", "outgrown", "no-store", "set-cookie", "vary"])
def test_what_cannot_be_stored_is_asked_for_again(larder, origin, headers, chunked, body):
    origin.route("/data", ranges(headers, chunked, body))
    proxy = larder(CONF, origin=origin.url)
    r = proxy.get("/data", {"Range": "bytes=1000-1999", "If-Range": '"v"'})
    assert part(r) == (1000, 1999, len(body), body[1000:2000])
    assert seen(r) == ("PASS", "range")
    assert asked(origin) == [None, "bytes=1000-1999"]
    assert origin.requests[1].header("if-range") == '"v"'
    # For a while it is known that the whole is of no use.
    r = proxy.get("/data", {"Range": "bytes=0-9"})
    assert part(r) == (0, 9, len(body), body[:10])
    assert seen(r) == ("PASS", "range")
    assert asked(origin) == [None, "bytes=1000-1999", "bytes=0-9"]
    whole = proxy.get("/data")
    assert (whole.status, whole.body) == (200, body)


def test_not_again_where_the_origin_has_no_ranges(larder, origin):
    origin.route("/data", answer(200, b"x" * 5000, {"Cache-Control": "no-store",
                                                  "Accept-Ranges": "none"}))
    proxy = larder(CONF, origin=origin.url)
    r = proxy.get("/data", {"Range": "bytes=0-9"})
    assert (r.status, len(r.body), r.header("accept-ranges")) == (200, 5000, "none")
    assert origin.count("/data") == 1


def test_not_again_for_an_error(larder, origin):
    origin.route("/data", answer(404, b"nothing"))
    proxy = larder(CONF, origin=origin.url)
    r = proxy.get("/data", {"Range": "bytes=0-9"})
    assert (r.status, r.body, r.x_cache) == (404, b"nothing", "MISS")
    assert origin.count("/data") == 1


def test_206_is_never_stored(larder, origin):
    origin.route("/data", answer(206, BODY[:10], {"Content-Range": "bytes 0-9/200000",
                                                 "Cache-Control": "max-age=60"}))
    proxy = larder(CONF, origin=origin.url)
    for _ in range(2):  # even unasked for
        r = proxy.get("/data")
        assert (r.status, r.body) == (206, BODY[:10])
        assert r.x_cache == "MISS"
    r = proxy.get("/data", {"Range": "bytes=0-9"})
    assert (r.status, r.x_cache) == (206, "PASS")
    assert origin.count("/data") == 3


def test_ranges_on_other_routes_go_through_unchanged(larder, origin):
    origin.route("/pass", ranges({"Accept-Ranges": "bytes", "ETag": '"o"'}))
    origin.route("/other", ranges())
    proxy = larder(CONF, origin=origin.url)
    for path in ("/pass", "/other"):
        r = proxy.get(path, {"Range": "bytes=5-9"})
        assert part(r) == (5, 9, 200_000, BODY[5:10])
        assert r.x_cache == "PASS"
    r = proxy.get("/pass", {"Range": "bytes=5-9"})
    assert (r.header("etag"), r.header("accept-ranges")) == ('"o"', "bytes")


def test_an_outgrown_body_with_several_readers(larder, origin):
    """Who leads cannot leave while others read: it gets the whole; who follows asks again."""
    go, end = threading.Event(), threading.Event()
    whole = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Wait(go),
             chunk(BODY[:50_000]), chunk(BODY[50_000:]), Wait(end), LAST_CHUNK]
    origin.route("/data", lambda x: x.run(whole) if x.request.header("range") is None
                 else ranges()(x))
    proxy = larder(CONF, origin=origin.url)
    wanted = ["bytes=10-19", None, "bytes=20-29", None]
    clients = [proxy.raw() for _ in wanted]
    for c, w in zip(clients, wanted):
        c.send(encode_request("GET", "/data", {"Range": w} if w else {}))
        origin.wait_requests(1, "/data")
    assert clients[2].quiet(0.2)
    go.set()
    assert part(clients[2].read_response()) == (20, 29, 200_000, BODY[20:30])
    end.set()
    for i in (0, 1, 3):
        r = clients[i].read_response()
        assert (r.status, r.body) == (200, BODY)
    assert asked(origin) == [None, "bytes=20-29"]
    for c in clients:
        c.close()


def test_followers_of_what_turns_out_too_large(larder, origin):
    go = threading.Event()
    whole = [Wait(go), answer(200, BODY)]
    origin.route("/data", lambda x: x.run(whole) if x.request.header("range") is None
                 else ranges()(x))
    proxy = larder(CONF, origin=origin.url)
    clients = [proxy.raw() for _ in range(4)]
    for i, c in enumerate(clients):
        c.send(encode_request("GET", "/data", {"Range": f"bytes={i}-{i + 9}"}))
        origin.wait_requests(1, "/data")
    assert clients[3].quiet(0.2)
    go.set()
    for i, c in enumerate(clients):
        assert part(c.read_response()) == (i, i + 9, 200_000, BODY[i:i + 10])
        c.close()
