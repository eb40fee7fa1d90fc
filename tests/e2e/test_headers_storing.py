"""Which answers are kept: by status, Cache-Control, Set-Cookie, length and framing."""

import pytest

from lib.cache import cache_status, reason, seen
from lib.origin import Close, HalfClose, Hang, Reset, answer
from lib.raw import Truncated
from lib.tokens import SECRET, bearer, make_jwt

CONF = f"""
upstream main %ORIGIN%
defaults {{ timeout first_byte=2s idle=300ms }}
jwt      main alg=HS256 secret={SECRET}
identity user jwt=main claim=sub
route GET /a        {{ scope public; key a; ttl 60s }}
route GET /force    {{ scope public; key force; ttl 60s force }}
route GET /origin   {{ scope public; key origin; ttl origin }}
route GET /some     {{ scope public; key some; ttl 60s; status 200 404=30s 301 }}
route GET /none     {{ scope public; key none; ttl 60s; status 404=30s }}
route GET /cookie   {{ scope public; key cookie; ttl 60s; store set-cookie }}
route GET /mine     {{ key mine:{{user}}; ttl 60s; store private }}
route GET /theirs   {{ key theirs:{{user}}; ttl 60s }}
route GET /small    {{ scope public; key small; ttl 60s; max_object 1kb }}
"""


@pytest.fixture
def proxy(larder, origin):
    return larder(CONF, origin=origin.url)


def stored(proxy, target, fields=(), why=None):
    """Asks twice; was the first answer kept? If not, its reason must be `why`."""
    first = proxy.get(target, fields)
    assert first.x_cache == "MISS", first
    second = proxy.get(target, fields)
    if second.x_cache == "HIT":
        assert second.body == first.body and second.status == first.status
        assert why is None, first
        return second
    assert reason(first) == why, first
    assert "stored" not in cache_status(first)
    return None


@pytest.mark.parametrize("status", [
    200, 201, 202, 203, 204, 205, 206, 300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 410,
    418, 429, 451, 500, 501, 502, 503, 504, 599])
def test_statuses_without_a_list(proxy, origin, status):
    """Of a route with its own ttl only 200."""
    body = b"" if status in (204, 205) else b"x"
    headers = {"Cache-Control": "public, max-age=60"}
    if status == 206:
        headers["Content-Range"] = "bytes 0-0/9"
    origin.route("/a", answer(status, body, headers))
    why = None if status == 200 else "partial" if status == 206 else "status"
    assert (stored(proxy, "/a", why=why) is not None) == (status == 200)


@pytest.mark.parametrize("status,ttl", [(200, 60), (404, 30), (301, 60), (302, None),
                                        (500, None), (410, None)])
def test_statuses_of_the_list(proxy, origin, status, ttl):
    origin.route("/some", answer(status, b"x", {"Location": "/b"}))
    hit = stored(proxy, "/some", why=None if ttl else "status")
    if ttl:
        assert ttl - 5 <= cache_status(hit)["ttl"] <= ttl


def test_a_list_replaces_the_default(proxy, origin):
    origin.route("/none", answer(200, b"x"))
    assert stored(proxy, "/none", why="status") is None
    origin.route("/none", answer(404, b"x"))


@pytest.mark.parametrize("value,why", [
    ("no-store", "no-store"), ("private", "private"), ("NO-STORE", "no-store"),
    ("max-age=60, no-store", "no-store"), ("public, private", "private"),
    ("private=\"\"", "private"), ("no-store, no-cache, must-revalidate", "no-store"),
    ("max-age=60\r\nCache-Control: no-store", "no-store"),
    ("no-cache", "no-ttl"), ("max-age=0", "no-ttl"), ("s-maxage=0, max-age=60", "no-ttl"),
])
def test_what_the_origin_forbids(proxy, origin, value, why):
    head = f"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nCache-Control: {value}\r\n\r\n"
    origin.route("/a", [head.encode() + b"x"])
    assert stored(proxy, "/a", why=why) is None


@pytest.mark.parametrize("headers,ttl", [
    ({}, 60), ({"Cache-Control": "max-age=20"}, 20),
    ({"Cache-Control": "max-age=20, s-maxage=30"}, 30),
    ({"Cache-Control": "public"}, 60), ({"Cache-Control": "max-age=20", "Age": "5"}, 15),
    ({"Expires": "Thu, 01 Jan 2037 00:00:00 GMT"}, None), ({"Pragma": "no-cache"}, 60),
    ({"Cache-Control": "unknown, x=y"}, 60),
])
def test_lifetimes(proxy, origin, headers, ttl):
    origin.route("/a", answer(200, b"x", headers))
    hit = stored(proxy, "/a")
    if ttl is not None:
        assert ttl - 5 <= cache_status(hit)["ttl"] <= ttl
    # What browsers may do is the origin's word, not the route's.
    assert hit.header("cache-control") == headers.get("Cache-Control")


def test_force_beats_the_origins_lifetime_but_not_no_store(proxy, origin):
    origin.route("/force", answer(200, b"x", {"Cache-Control": "no-cache, max-age=0"}))
    assert 55 <= cache_status(stored(proxy, "/force"))["ttl"] <= 60
    origin.route("/a", answer(200, b"x", {"Cache-Control": "no-store"}))
    assert stored(proxy, "/a", why="no-store") is None


@pytest.mark.parametrize("headers,keeps", [
    ({}, False), ({"Cache-Control": "max-age=60"}, True), ({"Cache-Control": "public"}, False),
    ({"Last-Modified": "Tue, 02 Jan 2024 00:00:00 GMT"}, False),
])
def test_origin_alone(proxy, origin, headers, keeps):
    origin.route("/origin", answer(200, b"x", headers))
    first, second = proxy.get("/origin"), proxy.get("/origin")
    assert first.x_cache == "MISS" and (second.x_cache == "HIT") == keeps


def test_set_cookie(proxy, origin):
    one = {"Set-Cookie": "sid=1; Path=/"}
    origin.route("/a", answer(200, b"x", one))
    assert stored(proxy, "/a", why="set-cookie") is None
    origin.route("/cookie", answer(200, b"x", one))
    assert stored(proxy, "/cookie").header("set-cookie") == one["Set-Cookie"]


def test_private_only_where_the_key_holds_an_identity_and_the_route_says_so(proxy, origin):
    ann = bearer(make_jwt(sub="ann"))
    for target, why in (("/a", "private"), ("/theirs", "private"), ("/mine", None)):
        origin.route(target, answer(200, b"x", {"Cache-Control": "private, max-age=60"}))
        assert (stored(proxy, target, ann, why) is None) == (why is not None)
    assert seen(proxy.get("/mine")) == ("BYPASS", "no-user")


@pytest.mark.parametrize("end", [Close(), Reset(), Hang()])
def test_a_truncated_body_is_not_stored(proxy, origin, end):
    part = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n"
    for cut in (part, chunked):
        origin.script([cut, end])
        with pytest.raises(Truncated):
            proxy.get("/a")
        origin.script(answer(200, b"whole"))
        got = proxy.get("/a")
        assert got.x_cache == "MISS" and got.body == b"whole"
        origin.route("/a", answer(200, b"other"))
        assert proxy.get("/a").body == b"whole"
        proxy.post("/a", b"")


def test_a_body_that_ends_with_the_connection_is_not_stored(proxy, origin):
    origin.route("/a", [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", Close()])
    assert stored(proxy, "/a", why="no-length") is None
    origin.route("/a", [b"HTTP/1.0 200 OK\r\n\r\nhello", HalfClose()])
    assert stored(proxy, "/a", why="no-length") is None


def test_too_large(proxy, origin):
    origin.route("/small", answer(200, b"x" * 1024))
    assert stored(proxy, "/small").body == b"x" * 1024
    for body, chunked in ((b"x" * 1025, False), ([b"x" * 600, b"x" * 600], True)):
        proxy.post("/small", b"")
        origin.route("/small", answer(200, body, chunked=chunked))
        first, second = proxy.get("/small"), proxy.get("/small")
        assert len(first.body) == len(second.body) == (1200 if chunked else 1025)
        assert "HIT" not in (first.x_cache, second.x_cache)


def test_event_streams_are_not_stored(proxy, origin):
    for kind in ("text/event-stream", "text/event-stream; charset=utf-8", "Text/Event-Stream;x=y"):
        origin.route("/a", answer(200, b"data: 1\n\n", {"Content-Type": kind}))
        first = proxy.get("/a")
        assert first.x_cache == "MISS" and reason(first) in ("stream", "hit-for-miss")
        assert proxy.get("/a").x_cache == "MISS"


def test_unstorable_answers_do_not_queue(proxy, origin):
    """After one of them nobody waits for another's."""
    origin.route("/a", answer(200, b"x", {"Cache-Control": "no-store"}))
    assert seen(proxy.get("/a")) == ("MISS", "no-store")
    for _ in range(3):
        assert proxy.get("/a").x_cache == "MISS"
    assert origin.count("/a") == 4
