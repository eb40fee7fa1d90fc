"""Fields of one connection never reach the next, in either direction, nor the cache."""

import pytest

from lib.origin import answer

CONF = """
workers 1
upstream main %ORIGIN%
defaults { upstream main }
route GET /hit { scope public; ttl 1m; forward_headers +X-Listed }
"""
HOP = [("Keep-Alive", "timeout=5"), ("Proxy-Connection", "keep-alive"), ("TE", "trailers, gzip"),
       ("Trailer", "X-Sum"), ("Upgrade", "h2c"), ("Proxy-Authorization", "Basic eDp5"),
       ("Proxy-Authenticate", "Basic"), ("Proxy-Authentication-Info", "x"),
       ("HTTP2-Settings", "AAMAAABkAAQ")]
NAMES = [n.lower() for n, _ in HOP] + ["connection", "x-listed", "x-other"]


def none_of(names, headers):
    assert not set(names) & {n.lower() for n, _ in headers}


@pytest.mark.parametrize("path", ["/hit", "/pass"])
def test_of_requests(larder, origin, path):
    proxy = larder(CONF, origin=origin.url)
    assert proxy.get(path, HOP + [("Connection", "keep-alive, X-Listed ,,x-other"),
                                  ("X-Listed", "1"), ("X-Other", "1"), ("Accept", "a/b")]
                     ).status == 200
    none_of(NAMES, origin.requests[0].headers)
    assert origin.requests[0].header("accept") == "a/b"


@pytest.mark.parametrize("connection", [
    ["Connection: x-listed", "Connection: x-other"], ["Connection: X-LISTED,\tX-Other"],
    ["CONNECTION: , , x-listed , x-other, close"],
])
def test_listed_in_every_way(larder, origin, connection):
    with larder(CONF, origin=origin.url).raw() as c:
        c.send("\r\n".join(("GET /pass HTTP/1.1", "Host: x", "X-Listed: 1", *connection,
                            "X-Other: 1", "X-Listed: 2", "", "")).encode())
        assert c.read_response().status == 200
    none_of(NAMES, origin.requests[0].headers)


@pytest.mark.parametrize("name", [
    "Host", "Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding",
    "Authorization", "Cookie", "Cache-Control", "Expect", "Forwarded", "X-Forwarded-For",
    "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "If-None-Match", "Range"])
def test_what_may_not_be_listed(larder, origin, name):
    with larder(CONF, origin=origin.url).raw() as c:
        r = c.get("/pass", [("Connection", f"close, {name.lower()}"), ("Cookie", "s=1")])
        assert r.status == 400 and c.closed()
    assert origin.count() == 0


def test_identity_fields_may_not_be_taken_away(larder, origin):
    conf = "identity org header=X-Org trusted=127.0.0.0/8\n" + CONF + \
        "route GET /mine { ttl 1m; key mine:{org} }\n"
    proxy = larder(conf, origin=origin.url)
    r = proxy.get("/mine", [("X-Org", "a"), ("Connection", "X-Org")])
    assert r.x_cache in (None, "BYPASS")
    assert proxy.get("/mine", [("X-Org", "a")]).x_cache == "MISS"


def test_too_many_options(larder, origin):
    with larder(CONF, origin=origin.url).raw() as c:
        assert c.get("/pass", [("Connection", ",".join(f"x{i}" for i in range(200)))]
                     ).status == 400


@pytest.mark.parametrize("path", ["/hit", "/pass"])
def test_of_answers(larder, origin, path):
    fields = HOP + [("Connection", "close, X-Listed"), ("Connection", "X-Other"),
                    ("X-Listed", "1"), ("X-Other", "1"), ("X-Kept", "1")]
    origin.route(path, answer(200, b"hello", fields))
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as c:
        for _ in range(2):
            r = c.get(path)
            none_of(NAMES, r.headers)
            assert r.header("x-kept") == "1" and r.body == b"hello"
    assert origin.count() == (1 if path == "/hit" else 2)
    assert len(origin.connections) == origin.count()


def test_trailers_are_dropped_both_ways(larder, origin):
    origin.route("/pass", answer(200, [b"hello"], chunked=True)[:-2] +
                 b"Content-Length: 99\r\nAuthorization: x\r\nX-Sum: 1\r\n\r\n")
    with larder(CONF, origin=origin.url).raw() as c:
        c.send(b"POST /pass HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
               b"Trailer: X-Sum\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 1\r\nHost: evil\r\n"
               b"Content-Length: 99\r\n\r\n")
        r = c.read_response("POST")
        assert (r.body, r.trailers) == (b"hello", [])
        assert r.header("x-sum") is None and r.header("authorization") is None
        assert c.get("/next").status == 200
    sent = origin.requests[0]
    assert sent.body == b"body" and sent.raw_body.endswith(b"0\r\n\r\n")
    none_of(["trailer", "x-sum"], sent.headers)


def test_head_and_204_and_304_have_no_body(larder, origin):
    origin.route("/204", b"HTTP/1.1 204 No Content\r\n\r\n")
    origin.route("/304", b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nContent-Length: 5\r\n\r\n')
    origin.route("/pass", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", method="HEAD")
    origin.route("/chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                 method="HEAD")
    with larder(CONF, origin=origin.url).raw() as c:
        r = c.get("/204")
        assert r.status == 204 and r.header("content-length") is None
        r = c.get("/304", [("If-None-Match", '"1"')])
        assert (r.status, r.body, r.header("etag")) == (304, b"", '"1"')
        r = c.request("HEAD", "/pass")
        assert (r.status, r.body, r.header("content-length")) == (200, b"", "5")
        r = c.request("HEAD", "/chunked")
        assert (r.status, r.body) == (200, b"")
        assert c.get("/end").status == 200
    assert len(origin.connections) == 1
