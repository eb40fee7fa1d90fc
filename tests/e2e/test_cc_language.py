"""Answers in several languages (RFC 9110 12.5.4, RFC 9111 4.1)."""

import pytest
from lib.follow import CONF
from lib.origin import answer


def serve(origin, extra=(), **kw):
    """An origin that has one text in each of de, en, fr, and prefers them in that order."""
    def negotiate(exchange):
        wanted = exchange.request.header("accept-language", "").lower()
        ranges = [r.split(";q=") for r in wanted.replace(" ", "").split(",") if r]
        weights = {r[0]: float(r[1]) if len(r) > 1 else 1 for r in ranges}
        best = max(("de", "en", "fr"), key=lambda tag: weights.get(tag, 0))
        fields = {"Cache-Control": "max-age=60", "Vary": "Accept-Language",
                  "Content-Language": best, **dict(extra), **kw}
        exchange.answer(200, best.encode(), fields)
    origin.route("/r", negotiate)


def asked(proxy, value):
    """(body, X-Cache) for this Accept-Language."""
    got = proxy.get("/r", {"Accept-Language": value})
    return got.body, got.x_cache


@pytest.mark.parametrize("again", ["en, de", "de, en", "EN, De", " en ,   de", "en,de", "en;q=1, de"])
def test_lists_that_mean_the_same_share_a_variant(larder, origin, again):
    proxy = larder(CONF, origin=origin.url)
    serve(origin)
    assert asked(proxy, "en, de") == (b"de", "MISS")
    assert asked(proxy, again) == (b"de", "HIT")


@pytest.mark.parametrize("value", ["de", "fr;q=0.5, de;q=1.0", "DE, *;q=0.1"])
def test_a_language_preferred_to_all_others_finds_its_variant(larder, origin, value):
    proxy = larder(CONF, origin=origin.url)
    serve(origin)
    assert asked(proxy, "en, de") == (b"de", "MISS")
    assert asked(proxy, value) == (b"de", "HIT")
    assert origin.count("/r") == 1


@pytest.mark.parametrize("value, expected", [
    ("fr, de;q=0.9", b"fr"), ("en", b"en"), ("de-AT", b"de"), ("fr, de", b"de"), ("*", b"de"),
    ("de;q=0", b"de"), ("nonsense;;", b"de")])
def test_others_ask_the_origin(larder, origin, value, expected):
    proxy = larder(CONF, origin=origin.url)
    serve(origin)
    asked(proxy, "en, de")
    assert asked(proxy, value) == (expected, "MISS")


@pytest.mark.parametrize("fields", [
    {"Vary": "Accept-Language, X-Kind"}, {"Content-Language": "de, en"}, {"Content-Language": ""},
    {"Cache-Control": "max-age=60", "Age": "61", "ETag": '"1"'}, {"Cache-Control": "no-cache", "ETag": '"1"'}])
def test_only_what_is_fresh_and_of_one_language_is_taken(larder, origin, fields):
    proxy = larder(CONF, origin=origin.url)
    serve(origin, fields.items())
    asked(proxy, "en, de")
    assert asked(proxy, "de")[1] == "MISS"


def test_an_invalidated_one_is_not_taken(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    serve(origin)
    asked(proxy, "en, de")
    origin.route("/r", answer(200, b"ok"), method="PUT")
    proxy.request("PUT", "/r", body=b"x")
    assert asked(proxy, "de") == (b"de", "MISS")
