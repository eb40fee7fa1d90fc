"""Serving stale: RFC 5861's windows, and what forbids it (RFC 9111 4.2.4)."""

import threading

import pytest
from lib.follow import CONF
from lib.origin import Close, Wait, answer
from lib.wait import eventually


def stored(proxy, origin, control, age=61, **fields):
    """An answer with this Cache-Control and Age is stored."""
    origin.script(answer(200, b"old", {"Cache-Control": control, "Age": str(age), "ETag": '"1"',
                                       **fields}))
    assert proxy.get("/r").body == b"old"


def test_while_revalidate_serves_at_once_and_asks_once(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    stored(proxy, origin, "max-age=60, stale-while-revalidate=3600")
    go = threading.Event()
    origin.route("/r", [Wait(go), answer(200, b"new", {"Cache-Control": "max-age=60"})])
    for _ in range(5):
        got = proxy.get("/r")
        assert (got.body, got.x_cache) == (b"old", "STALE")
    origin.wait_requests(2)
    go.set()
    eventually(lambda: proxy.get("/r").body == b"new")
    assert origin.count("/r") == 2
    assert origin.seen("/r")[1].header("if-none-match") == '"1"'


@pytest.mark.parametrize("age, served", [(60, True), (90, True), (120, False), (500, False)])
def test_the_window_has_an_end(larder, origin, age, served):
    proxy = larder(CONF, origin=origin.url)
    stored(proxy, origin, "max-age=60, stale-while-revalidate=60", age)
    origin.route("/r", answer(200, b"new", {"Cache-Control": "no-cache", "ETag": '"2"'}))
    assert (proxy.get("/r").x_cache == "STALE") == served


def test_a_refresh_that_forbids_reuse_ends_it(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    stored(proxy, origin, "max-age=60, stale-while-revalidate=3600")
    origin.route("/r", answer(200, b"new", {"Cache-Control": "no-store"}))
    assert proxy.get("/r").x_cache == "STALE"
    eventually(lambda: proxy.get("/r").body == b"new")
    assert proxy.get("/r").body == b"new"


@pytest.mark.parametrize("control", [
    "must-revalidate, stale-while-revalidate=3600", "proxy-revalidate, stale-while-revalidate=3600",
    "s-maxage=60, stale-while-revalidate=3600", "no-cache, stale-while-revalidate=3600"])
def test_while_revalidate_gives_way(larder, origin, control):
    proxy = larder(CONF, origin=origin.url)
    stored(proxy, origin, "max-age=60, " + control)
    origin.route("/r", answer(200, b"new", {"Cache-Control": "max-age=60"}))
    assert proxy.get("/r").body == b"new"


FAILURES = {"close": Close(), "500": answer(500, b"e"), "502": answer(502, b"e"),
            "503": answer(503, b"e"), "504": answer(504, b"e")}


@pytest.mark.parametrize("failure", FAILURES)
def test_if_error_serves_when_the_origin_fails(larder, origin, failure):
    proxy = larder(CONF, origin=origin.url)
    stored(proxy, origin, "max-age=60, stale-if-error=3600")
    origin.route("/r", FAILURES[failure])
    got = proxy.get("/r")
    assert (got.status, got.body, got.x_cache) == (200, b"old", "STALE")
    assert got.header("warning") is None  # obsolete (RFC 9111 5.5)


@pytest.mark.parametrize("control", ["must-revalidate", "proxy-revalidate", "s-maxage=60", "no-cache"])
@pytest.mark.parametrize("failure", FAILURES)
def test_if_error_gives_way(larder, origin, control, failure):
    proxy = larder(CONF, origin=origin.url)
    stored(proxy, origin, f"max-age=60, stale-if-error=3600, {control}")
    origin.route("/r", FAILURES[failure])
    got = proxy.get("/r")
    assert got.status in (500, 502, 503, 504) and got.body != b"old"


def test_other_errors_are_the_answer(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    stored(proxy, origin, "max-age=60, stale-if-error=3600")
    origin.route("/r", answer(404, b"gone"))
    assert proxy.get("/r").status == 404


def test_without_a_window_an_error_is_an_error(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    stored(proxy, origin, "max-age=60")
    origin.route("/r", answer(503, b"e"))
    assert proxy.get("/r").status == 503
