"""Interim answers are passed on and never stored (RFC 9110 15.2)."""

import threading

import pytest
from lib.follow import CONF
from lib.origin import Wait, answer
from lib.raw import encode_request

FRESH = {"Cache-Control": "max-age=60"}
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nX-Hint: 1\r\n\r\n"
PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"


@pytest.mark.parametrize("interim, status", [(PROCESSING, 102), (EARLY, 103)])
def test_they_are_passed_on_and_the_final_answer_is_stored(larder, origin, interim, status):
    proxy = larder(CONF, origin=origin.url)
    origin.script(interim + answer(200, b"x", FRESH))
    got = proxy.get("/r")
    assert [status for status, _ in got.interim] == [status]
    assert (got.status, got.body, got.header("x-hint")) == (200, b"x", None)
    got = proxy.get("/r")
    assert (got.x_cache, got.body, got.interim, got.header("x-hint")) == ("HIT", b"x", [], None)


def test_their_fields_are_passed_on(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    origin.script(EARLY + answer(200, b"x", FRESH))
    headers = dict(proxy.get("/r").interim[0][1])
    assert headers["link"] == "</a.css>; rel=preload" and headers["x-hint"] == "1"


def test_they_are_passed_on_before_the_answer_comes(larder, origin):
    go = threading.Event()
    origin.script([EARLY, Wait(go), answer(200, b"x", FRESH)])
    with larder(CONF, origin=origin.url).raw() as c:
        c.send(encode_request("GET", "/r"))
        assert c.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 103 ")
        go.set()
        assert b" 200 " in c.read_until(b"\r\n")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_what_is_not_cached_has_them_too(larder, origin, method):
    proxy = larder(CONF, origin=origin.url)
    origin.script(EARLY + PROCESSING + answer(200, b"", {"Cache-Control": "no-store"}))
    got = proxy.request(method, "/r")
    assert [status for status, _ in got.interim] == [103, 102] and got.status == 200


def test_an_old_client_gets_none(larder, origin):
    """HTTP/1.0 has no interim answers (RFC 9110 15.2)."""
    proxy = larder(CONF, origin=origin.url)
    origin.script(EARLY + answer(200, b"x", FRESH))
    with proxy.raw() as c:
        c.send(encode_request("GET", "/r", version="1.0"))
        assert c.read_until(b"\r\n").startswith(b"HTTP/1.1 200 ")


def test_those_of_a_validation_are_passed_on_and_change_nothing(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    origin.script(answer(200, b"x", {**FRESH, "Age": "61", "ETag": '"1"'}),
                  EARLY + answer(304, b"", {**FRESH, "ETag": '"1"'}))
    proxy.get("/r")
    got = proxy.get("/r")
    assert (got.status, got.x_cache) == (200, "REVALIDATED")
    assert [status for status, _ in got.interim] == [103]
    assert got.header("x-hint") is None and proxy.get("/r").header("x-hint") is None


@pytest.mark.parametrize("n, status", [(10, 200), (11, 502)])
def test_a_storm_of_them_is_an_error(larder, origin, n, status):
    proxy = larder(CONF, origin=origin.url)
    origin.route("/r", PROCESSING * n + answer(200, b"x", FRESH))
    assert proxy.get("/r").status == status
