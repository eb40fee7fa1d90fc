"""`method_body on`: POST as a read, cached by its body."""

import threading

from lib.origin import Reset, Wait, answer, chunk
from lib.raw import encode_request
from lib.wait import eventually

CONF = """
workers 2
upstream main %ORIGIN%
defaults { upstream main }
route POST /search { method_body on; ttl 60s; scope public; key s:{query}:{body}; %MORE% }
route GET,POST /both { method_body on; ttl 60s; scope public }
"""
JSON = [("Content-Type", "application/json")]


def detail(r):
    return r.header("cache-status").rsplit("detail=", 1)[-1]


def start(larder, origin, more=""):
    origin.default = lambda x: x.answer(200, b"%s %d" % (x.request.body[:64], len(origin.requests)))
    return larder(CONF, origin=origin.url, more=more)


def test_same_body_hits(larder, origin):
    proxy = start(larder, origin)
    first = proxy.post("/search", b'{"q":"a"}', JSON)
    assert (first.x_cache, first.body) == ("MISS", b'{"q":"a"} 1')
    assert "stored" in first.header("cache-status")
    again = proxy.post("/search", b'{"q":"a"}', JSON)
    assert (again.x_cache, again.body) == ("HIT", first.body)
    # bytes count, not meaning
    for body in (b'{"q":"b"}', b'{"q": "a"}', b"", b'{"q":"a"}\n'):
        assert proxy.post("/search", body, JSON).x_cache == "MISS"
        assert proxy.post("/search", body, JSON).x_cache == "HIT"
    sent = origin.requests[0]
    assert sent.header("content-type") == "application/json"
    assert sent.all("content-length") == ["9"]
    assert sent.header("transfer-encoding") is None


def test_type_and_query_are_part_of_it(larder, origin):
    proxy = start(larder, origin)
    body = b'{"q":"a"}'
    assert proxy.post("/search", body, JSON).x_cache == "MISS"
    for value in ("Application/JSON", "application/json;charset=UTF-8"):
        assert proxy.post("/search", body, [("Content-Type", value)]).x_cache == "HIT"
    for headers in ([], [("Content-Type", "text/plain")], JSON + [("Content-Language", "de")],
                    [("Content-Type", "application/json; v=2")]):
        assert proxy.post("/search", body, headers).x_cache == "MISS", headers
        assert proxy.post("/search", body, headers).x_cache == "HIT", headers
    assert proxy.post("/search?x=1", body, JSON).x_cache == "MISS"


def test_nothing_else_colours_it(larder, origin):
    """Of the request only what the key holds goes upstream."""
    proxy = start(larder, origin)
    proxy.post("/search", b"{}", JSON + [
        ("Cookie", "a=b"), ("Authorization", "Bearer x"), ("Content-Location", "/x"),
        ("Content-Disposition", "inline"), ("If-None-Match", '"x"'), ("Range", "bytes=0-1"),
        ("Accept-Encoding", "br"), ("X-Anything", "1")])
    sent = {n.lower() for n, _ in origin.requests[0].headers}
    assert sent & {"cookie", "authorization", "content-location", "content-disposition",
                   "if-none-match", "range", "x-anything"} == set()
    assert origin.requests[0].header("accept-encoding") == "identity"


def test_framing_does_not_matter(larder, origin):
    """Chunked or not, in one piece or byte by byte: one body, one entry, sent with its length."""
    proxy = start(larder, origin)
    with proxy.raw() as c:
        c.send(b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
               b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b'{"q"') + chunk(b':"a"}')
               + b"0\r\nX-Trailer: 1\r\n\r\n")
        assert c.read_response("POST").x_cache == "MISS"
        for byte in encode_request("POST", "/search", JSON, b'{"q":"a"}', host="x"):
            c.send(bytes([byte]))
        assert c.read_response("POST").x_cache == "HIT"
    assert origin.requests[0].all("content-length") == ["9"]
    assert origin.requests[0].raw_body == b'{"q":"a"}'


def test_pipelined(larder, origin):
    proxy = start(larder, origin)
    one = encode_request("POST", "/search", JSON, b'{"q":"a"}')
    two = encode_request("POST", "/search", JSON, b'{"q":"b"}')
    with proxy.raw() as c:
        c.send(one + two + one + encode_request("GET", "/both"))
        got = [c.read_response("POST") for _ in range(4)]
    assert [r.x_cache for r in got] == ["MISS", "MISS", "HIT", "MISS"]
    assert got[0].body == got[2].body == b'{"q":"a"} 1'


def test_expect_continue(larder, origin):
    """The body is wanted before anything else, so its sender is told at once."""
    proxy = start(larder, origin)
    with proxy.raw() as c:
        c.send(b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
               b"Expect: 100-continue\r\n\r\n")
        assert c.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        assert origin.requests == []
        c.send(b"{}")
        r = c.read_response("POST")
        assert (r.status, r.interim) == (200, [])
    assert origin.requests[0].header("expect") is None


def test_too_large_is_streamed(larder, origin):
    """What was read goes first, the rest follows, and nothing is kept."""
    proxy = start(larder, origin, "max_key_body 1kb")
    origin.default = lambda x: x.answer(200, b"%d" % len(x.request.body))
    body = bytes(i % 251 for i in range(300_000))
    head = "POST /search HTTP/1.1\r\nHost: x\r\n"
    for framed in ((head + "Transfer-Encoding: chunked\r\n\r\n").encode() + chunk(body[:700])
                   + chunk(body[700:900]) + chunk(body[900:]) + b"0\r\n\r\n",
                   (head + f"Content-Length: {len(body)}\r\n\r\n").encode() + body):
        origin.clear()
        with proxy.raw() as c:
            for n in range(2):
                c.send(framed)
                r = c.read_response("POST")
                assert (r.x_cache, detail(r), r.body) == ("BYPASS", "body", b"300000"), n
            assert c.request("GET", "/both").status == 200
        assert [q.body == body for q in origin.requests[:2]] == [True, True]
    # Just as large as allowed, and one byte more, each way.
    for n in (1024, 1025):
        for whole in (encode_request("POST", "/search", (), b"x" * n),
                      head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"x" * n)
                      + b"0\r\n\r\n"):
            with proxy.raw() as c:
                c.send(whole)
                r = c.read_response("POST")
            assert (r.x_cache == "BYPASS") == (n > 1024)
            assert r.body == b"%d" % n


def test_body_must_come_whole(larder, origin):
    proxy = start(larder, origin, "max_body 2kb")
    with proxy.raw() as c:
        c.send(b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
        c.half_close()
        assert c.read_all() == b""
    with proxy.raw() as c:
        c.send(b"POST /search HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        assert c.read_response("POST").status == 400
    with proxy.raw() as c:
        c.send(b"POST /search HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
               + chunk(b"x" * 3000))
        assert c.read_response("POST").status == 413
    assert origin.requests == []
    assert proxy.post("/search", b"x").status == 200


def test_slow_body_times_out(larder, origin):
    proxy = larder("limits body=300ms\n" + CONF, origin=origin.url, more="")
    with proxy.raw() as c:
        c.send(b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
        assert c.read_response("POST").status == 408
    assert origin.requests == []


def test_methods_are_kept_apart(larder, origin):
    proxy = start(larder, origin)
    assert proxy.post("/both", b"").x_cache == "MISS"
    assert proxy.get("/both").x_cache == "MISS"
    assert proxy.post("/both", b"").x_cache == "HIT"
    assert proxy.get("/both").x_cache == "HIT"
    assert proxy.request("HEAD", "/both").x_cache == "HIT"


def test_other_methods_are_not_reads(larder, origin):
    """What asks to be taken for another method is a write."""
    proxy = start(larder, origin)
    for _ in range(2):
        for target, headers, body in (
                ("/search", [("X-HTTP-Method-Override", "PUT")], b"x"),
                ("/search", [("X-HTTP-Method", "DELETE")], b"x"),
                ("/search?_method=PUT", [], b"x"),
                ("/search", [("Content-Type", "application/x-www-form-urlencoded")],
                 b"a=1&_method=DELETE")):
            r = proxy.post(target, body, headers)
            assert (r.x_cache, detail(r)) == ("BYPASS", "method"), (target, headers)
    assert origin.requests[0].header("x-http-method-override") == "PUT"


def test_preconditions_are_not_for_post(larder, origin):
    proxy = start(larder, origin)
    origin.route("/search", answer(200, b"0123456789", {"ETag": '"1"'}))
    assert proxy.post("/search", b"x").x_cache == "MISS"
    r = proxy.post("/search", b"x", [("If-None-Match", '"1"'), ("Range", "bytes=0-1")])
    assert (r.status, r.x_cache, r.body) == (200, "HIT", b"0123456789")


def test_stale_is_fetched_anew(larder, origin):
    """No validators go with a POST: the answer would be 412."""
    proxy = start(larder, origin, "stale 60s")
    serial = iter(range(100))
    origin.route("/search", lambda x: x.answer(200, b"%d %s" % (next(serial), x.request.body), [
        ("ETag", '"1"'), ("Cache-Control", "max-age=0")]))
    assert proxy.post("/search", b"x").body == b"0 x"
    r = proxy.post("/search", b"x")
    assert (r.x_cache, r.body) == ("STALE", b"0 x")
    eventually(lambda: origin.count("/search") == 2, 5, "a refresh")
    assert origin.requests[1].body == b"x"
    assert origin.requests[1].header("if-none-match") is None
    eventually(lambda: proxy.post("/search", b"x").body != b"0 x", 5, "the new answer")


def test_many_at_once(larder, origin):
    """One fetch for one body; followers need not wait for their bodies to go anywhere."""
    proxy = start(larder, origin)
    go = threading.Event()
    origin.route("/search", [Wait(go), answer(200, b"found")])
    clients = [proxy.raw() for _ in range(20)]
    for c in clients:
        c.send(encode_request("POST", "/search", JSON, b'{"q":"a"}'))
    other = proxy.raw()
    other.send(encode_request("POST", "/search", JSON, b'{"q":"b"}'))
    origin.wait_requests(2)
    go.set()
    got = [c.read_response("POST") for c in clients]
    assert {r.body for r in got} == {b"found"}
    assert other.read_response("POST").status == 200
    assert len(origin.requests) == 2
    for c in clients + [other]:
        c.close()


def test_not_storable_is_asked_by_each(larder, origin):
    """Followers of an answer that may not be shared send their own body."""
    proxy = start(larder, origin)
    go = threading.Event()
    origin.route("/search", [Wait(go), lambda x: x.answer(
        200, x.request.body + x.request.header("cookie", "").encode(), [("Set-Cookie", "a=b")])])
    clients = [proxy.raw() for _ in range(5)]
    for n, c in enumerate(clients):
        c.send(encode_request("POST", "/search", [("Cookie", f"n={n}")], b"body "))
    origin.wait_requests(1)
    go.set()
    got = sorted(c.read_response("POST").body for c in clients)
    assert got.count(b"body ") == 1  # the leader's, which showed no cookie
    assert len(set(got)) == 5
    for c in clients:
        c.close()


def test_a_read_may_be_repeated(larder, origin):
    """A backend that drops the connection costs a POST that only reads no more than a GET."""
    proxy = start(larder, origin, "retry 1")
    origin.script([answer(200, b"one")], [Reset()], [answer(200, b"two")])
    assert proxy.post("/search", b"1").body == b"one"
    assert proxy.post("/search", b"2").body == b"two"
    assert [r.body for r in origin.requests] == [b"1", b"2", b"2"]


def test_a_get_with_a_body_is_not_cached(larder, origin):
    proxy = start(larder, origin)
    assert proxy.get("/both").x_cache == "MISS"
    r = proxy.request("GET", "/both", (), b"x")
    assert (r.x_cache, detail(r), r.body) == ("BYPASS", "body", b"x 2")
