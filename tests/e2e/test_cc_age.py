"""Age in and out (RFC 9111 4.2.3, 5.1)."""

import threading

import pytest
from lib.follow import CONF, reused
from lib.origin import LAST_CHUNK, Sleep, Wait, answer, chunk

FRESH = [("Cache-Control", "max-age=3600")]


@pytest.mark.parametrize("value", ["abc", "-7200", "7200.0", "7200;foo=bar", "+7200", ""])
def test_a_malformed_age_is_ignored(larder, origin, value):
    proxy = larder(CONF, origin=origin.url)
    assert reused(proxy, origin, FRESH + [("Age", value)])


@pytest.mark.parametrize("lines, fresh", [
    (["7200, 0"], False), (["0, 7200"], True), (["7200", "0"], False), (["0", "7200"], True),
    (["0", "0"], True), (["0, 0"], True), (["100", "100"], True)])
def test_the_first_of_several_ages_counts(larder, origin, lines, fresh):
    proxy = larder(CONF, origin=origin.url)
    assert reused(proxy, origin, FRESH + [("Age", v) for v in lines]) == fresh


@pytest.mark.parametrize("age", ["2147483647", "2147483648", "2147483649", "9" * 30])
def test_an_age_beyond_31_bits_is_old(larder, origin, age):
    proxy = larder(CONF, origin=origin.url)
    assert not reused(proxy, origin, FRESH + [("Age", age)])


@pytest.mark.parametrize("lifetime", ["2147483647", "2147483648", "99999999999"])
def test_a_lifetime_beyond_31_bits_is_long(larder, origin, lifetime):
    proxy = larder(CONF, origin=origin.url)
    assert reused(proxy, origin, [("Cache-Control", f"max-age={lifetime}")])


def test_a_hit_has_one_age_of_our_own(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    origin.route("/r", answer(200, b"x", FRESH + [("Age", "30"), ("Age", "0")]))
    for result in ("MISS", "HIT"):
        got = proxy.get("/r")
        assert got.x_cache == result
        assert len(got.all("age")) == 1 and 30 <= int(got.header("age")) < 60, got


def test_a_streamed_answer_has_one_age(larder, origin):
    go = threading.Event()
    origin.script([b"HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nAge: 30\r\n"
                   b"Transfer-Encoding: chunked\r\n\r\n", chunk(b"one"), Wait(go), chunk(b"two"),
                   LAST_CHUNK])
    with larder(CONF, origin=origin.url).raw() as c:
        c.send(b"GET /r HTTP/1.1\r\nHost: x\r\n\r\n")
        head = c.read_until(b"one").lower()
        go.set()
        c.read_until(LAST_CHUNK)
    assert head.count(b"\r\nage: 30\r\n") == 1 and head.count(b"\r\nage:") == 1


def test_what_is_not_stored_keeps_the_origins_age(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    origin.route("/r", answer(200, b"x", {"Cache-Control": "no-store", "Age": "30"}))
    assert proxy.get("/r").all("age") == ["30"]


def test_age_counts_from_the_head(larder, origin):
    """A body that takes long to come is that old when it is there."""
    proxy = larder(CONF, origin=origin.url)
    origin.script([b"HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: 4\r\n\r\nab",
                   Sleep(1.1), b"cd"])
    assert proxy.get("/r").body == b"abcd"
    got = proxy.get("/r")
    assert got.x_cache == "HIT" and int(got.header("age")) >= 1
