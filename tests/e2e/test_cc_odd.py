"""Odd but legal answers, and what is left of illegal ones (RFC 9110, 9111; issue 3)."""

import pytest
from lib.follow import CONF, reused
from lib.origin import Close, answer

FRESH = {"Cache-Control": "max-age=60"}
WITH = CONF[:CONF.index("route")] + "route GET /* { scope public; ttl origin; %EXTRA% }\n"


@pytest.mark.parametrize("status", [200, 201, 203, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499,
                                    500, 502, 503, 504, 599, 999])
def test_any_status_goes_through_and_is_stored_if_fresh(larder, origin, status):
    proxy = larder(CONF, origin=origin.url)
    assert reused(proxy, origin, FRESH, status)
    assert not reused(proxy, origin, {"Cache-Control": "max-age=0"}, status, path="/stale")


def test_a_204_is_stored(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    assert reused(proxy, origin, FRESH, 204, b"")
    got = proxy.get("/r")
    assert got.header("content-length") is None and got.body == b""


@pytest.mark.parametrize("status, guessed", [
    (200, True), (203, True), (204, True), (300, True), (301, True), (308, True), (404, True),
    (405, True), (410, True), (414, True), (501, True), (201, False), (202, False), (302, False),
    (307, False), (403, False), (502, False), (503, False), (504, False), (599, False)])
def test_heuristics_are_for_the_statuses_that_allow_them(larder, origin, status, guessed):
    proxy = larder(CONF, origin=origin.url)
    old = {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
    body = b"" if status == 204 else b"x"
    assert reused(proxy, origin, old, status, body) == guessed
    assert reused(proxy, origin, {**old, "Cache-Control": "public"}, status, body, "/public")


def test_fields_that_connection_lists_are_dropped(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    origin.route("/r", answer(200, b"x", {**FRESH, "Connection": "a, B", "a": "1", "b": "2",
                                          "c": "3"}))
    for result in ("MISS", "HIT"):
        got = proxy.get("/r")
        assert got.x_cache == result
        assert [got.header(n) for n in "abc"] == [None, None, "3"]


@pytest.mark.parametrize("vary", [["*"], [", *"], ["", "*"], ["*, *"], ["X-Kind, *"], ["*, X-Kind"]])
def test_vary_star_is_found_wherever_it_stands(larder, origin, vary):
    proxy = larder(CONF, origin=origin.url)
    fields = list(FRESH.items()) + [("Vary", v) for v in vary]
    assert not reused(proxy, origin, fields)


@pytest.mark.parametrize("expires, fresh", [
    (["Fri, 01 Jan 2100 00:00:00 GMT"], True), (["0"], False), (["-1"], False),
    (["Thu, 01 Jan 1970 00:00:00 GMT"], False),
    (["0", "Fri, 01 Jan 2100 00:00:00 GMT"], False),
    (["Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"], False)])
def test_the_first_expires_counts(larder, origin, expires, fresh):
    proxy = larder(CONF, origin=origin.url)
    assert reused(proxy, origin, [("Expires", v) for v in expires]) == fresh


def test_an_etag_may_hold_bytes_beyond_ascii(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    tag = '"abc\xfcd"'
    origin.route("/r", answer(200, b"x", {**FRESH, "ETag": tag}))
    assert proxy.get("/r").all("etag") == [tag]
    got = proxy.get("/r", {"If-None-Match": tag})
    assert (got.status, got.all("etag")) == (304, [tag])
    assert proxy.get("/r", {"If-None-Match": '"abcd"'}).status == 200


def test_a_cookie_is_stored_only_where_the_route_says_so(larder, origin):
    fields = {**FRESH, "Set-Cookie": "a=b"}
    assert not reused(larder(CONF, origin=origin.url), origin, fields)
    origin.clear()
    proxy = larder(WITH, origin=origin.url, extra="store set-cookie")
    assert reused(proxy, origin, fields)
    assert proxy.get("/r").all("set-cookie") == ["a=b"]


SHORT = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\n" + b"0123456789"
CHUNKED = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n" \
          b"a\r\n0123456789\r\n0\r\n\r\n"


@pytest.mark.parametrize("extra, sent, stored", [
    ("heuristic off", SHORT, False), ("store surplus", SHORT, True),
    ("store surplus", CHUNKED, False)])
def test_more_bytes_than_said_are_never_the_next_answer(larder, origin, extra, sent, stored):
    proxy = larder(WITH, origin=origin.url, extra=extra)
    origin.route("/r", sent + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    for i in range(3):
        assert proxy.get("/r").body == b"0123456789"
        assert b"evil" not in proxy.get(f"/other{i}").body
    assert origin.count("/r") == (1 if stored else 3)


@pytest.mark.parametrize("method, again", [("GET", True), ("HEAD", True), ("PUT", True),
                                           ("DELETE", True), ("POST", False)])
def test_an_idempotent_request_survives_a_connection_that_was_closed(larder, origin, method, again):
    """The origin has closed the idle connection; the proxy notices only when it asks."""
    proxy = larder("workers 1\n" + CONF, origin=origin.url)  # and so one pool
    gone = []

    def close_once(exchange):
        if exchange.connection.number == 0 and len(gone) == 0:
            gone.append(exchange.request.method)
            exchange.run(Close())
        exchange.run(answer(200, b"" if method == "HEAD" else b"answered"))

    assert proxy.get("/warm").status == 200
    origin.route("/r", close_once, read_body=False)
    got = proxy.request(method, "/r")
    assert gone == [method], "the connection was not reused"
    assert got.status == (200 if again else 502)
    assert origin.count("/r") == (2 if again else 1)
