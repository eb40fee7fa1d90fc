"""Vary: a variant for each meaning of the named fields, not for each spelling."""

import threading

import pytest

from lib.cache import reason, seen
from lib.origin import Wait, answer
from lib.raw import encode_request
from lib.tokens import SECRET, bearer, make_jwt

CONF = f"""
upstream main %ORIGIN%
jwt      main alg=HS256 secret={SECRET}
identity org jwt=main claim=organizationId
route GET  /a      {{ scope public; key a; ttl 60s }}
route GET  /mine   {{ key mine:{{org}}; ttl 60s }}
route GET  /cookie {{ scope public; key cookie:{{cookie.lang}}; ttl 60s }}
route GET  /origin {{ scope public; key origin; ttl origin }}
route POST /a      {{ invalidate a }}
"""


@pytest.fixture
def translator(origin):
    """An origin that speaks the first language asked for."""
    def speak(exchange):
        request = exchange.request
        vary = request.header("x-vary", "Accept-Language")
        language = request.header("accept-language", "none")
        exchange.run(answer(200, f"{language} {request.header('x-device', '-')}",
                            [("Vary", vary), ("Cache-Control", "max-age=60")]))
    origin.default = speak
    return origin


def spoken(language):
    return [("Accept-Language", language)]


def test_each_language_is_a_variant(larder, translator):
    proxy = larder(CONF, origin=translator.url)
    for language in ("de", "en", "fr"):
        assert proxy.get("/a", spoken(language)).body.startswith(language.encode())
    for language in ("de", "en", "fr"):
        hit = proxy.get("/a", spoken(language))
        assert hit.x_cache == "HIT" and hit.body == f"{language} -".encode()
        assert hit.header("vary") == "Accept-Language"
    absent = proxy.get("/a")
    assert absent.body == b"none -"


def test_the_first_client_gets_its_language_too(larder, translator):
    """What an answer varies on is known only when one has come."""
    proxy = larder(CONF, origin=translator.url)
    assert proxy.get("/a", spoken("de")).body == b"de -"
    assert proxy.get("/a", spoken("de")).x_cache == "HIT"
    assert proxy.get("/a", spoken("en")).body == b"en -"


@pytest.mark.parametrize("same", ["de,en;q=0.5", "de, en;q=0.5", "en;q=0.5,de", "DE,EN;q=0.5",
                                  "de;q=1.0,en;q=0.50"])
def test_spellings_share_a_variant(larder, translator, same):
    proxy = larder(CONF, origin=translator.url)
    proxy.get("/a", spoken("x"))
    first = proxy.get("/a", spoken("de,en;q=0.5"))
    again = proxy.get("/a", spoken(same))
    assert again.x_cache == "HIT" and again.body == first.body


def test_several_fields(larder, origin):
    origin.default = lambda x: x.run(answer(
        200, f"{x.request.header('accept-language')} {x.request.header('x-device')}",
        {"Vary": "X-Device, Accept-Language"}))
    proxy = larder(CONF, origin=origin.url)
    cases = [(l, d) for l in ("de", "en") for d in ("phone", "desk")]
    for round_ in range(2):
        for language, device in cases:
            got = proxy.get("/a", spoken(language) + [("X-Device", device)])
            assert got.body == f"{language} {device}".encode(), round_
    got = proxy.get("/a", spoken("de") + [("X-Device", "phone")])
    assert got.x_cache == "HIT"
    # A field that is not named stays with the client.
    proxy.get("/a", spoken("it") + [("X-Device", "tv"), ("X-Secret", "swordfish")])
    assert origin.requests[-1].header("x-secret") is None


def test_invalidation_reaches_every_variant(larder, translator):
    proxy = larder(CONF, origin=translator.url)
    for language in ("de", "en", "fr", "de", "en", "fr"):
        proxy.get("/a", spoken(language))
    translator.route("/a", answer(204), method="POST")
    assert proxy.post("/a").status == 204
    for language in ("de", "en", "fr"):
        assert proxy.get("/a", spoken(language)).x_cache == "MISS"


@pytest.mark.parametrize("vary", ["*", "Accept, *", "*, Accept", "Accept\r\nVary: *"])
def test_vary_star_is_never_stored(larder, origin, vary):
    head = f"HTTP/1.1 200 OK\r\nVary: {vary}\r\nContent-Length: 1\r\n\r\n"
    origin.route("/a", [head.encode() + b"x"])
    proxy = larder(CONF, origin=origin.url)
    assert seen(proxy.get("/a")) == ("MISS", "vary")
    assert proxy.get("/a").x_cache == "MISS"
    assert origin.count("/a") == 2


@pytest.mark.parametrize("route,vary,fields,stored", [
    ("/a", "Cookie", [("Cookie", "lang=de")], False),
    ("/a", "Authorization", [], False),
    ("/cookie", "Cookie", [("Cookie", "lang=de")], True),
    ("/mine", "Authorization", bearer(make_jwt(organizationId="o")), True),
    ("/mine", "Cookie", bearer(make_jwt(organizationId="o")), False),
])
def test_vary_on_credentials_only_where_they_are_keyed(larder, origin, route, vary, fields, stored):
    origin.route(route, answer(200, b"x", {"Vary": vary}))
    proxy = larder(CONF, origin=origin.url)
    first = proxy.get(route, fields)
    assert first.x_cache == "MISS" and (reason(first) == "vary") == (not stored)
    assert proxy.get(route, fields).x_cache == ("HIT" if stored else "MISS")


@pytest.mark.parametrize("value,variant", [
    ("gzip", "gzip"), ("gzip, deflate, br", "gzip"), ("gzip;q=1.0, identity;q=0.5", "gzip"),
    ("*", "gzip"), ("br", "identity"), ("deflate", "identity"), ("gzip;q=0", "identity"),
    ("identity", "identity"), ("", "identity"), (None, "identity"),
])
def test_accept_encoding_has_two_meanings(larder, origin, value, variant):
    """With `ttl origin` the origin compresses; browsers spell one wish in a hundred ways."""
    def serve(exchange):
        coding = exchange.request.header("accept-encoding")
        exchange.run(answer(200, f"as {coding}", {"Vary": "Accept-Encoding",
                                                  "Cache-Control": "max-age=60"}))
    origin.default = serve
    proxy = larder(CONF, origin=origin.url)
    proxy.get("/origin", [("Accept-Encoding", "gzip")])
    proxy.get("/origin", [("Accept-Encoding", "identity")])
    hit = proxy.get("/origin", [("Accept-Encoding", value)] if value is not None else [])
    assert hit.x_cache == "HIT" and hit.body == f"as {variant}".encode()
    assert origin.count() == 2


def test_readers_of_another_language_do_not_get_the_one_under_way(larder, translator):
    go = threading.Event()
    translator.script([Wait(go), answer(200, b"de -", {"Vary": "Accept-Language"})])
    proxy = larder(CONF, origin=translator.url)
    clients = [(proxy.raw(), language) for language in ("de", "en", "de", "fr")]
    for c, language in clients:
        c.send(encode_request("GET", "/a", spoken(language)))
        translator.wait_requests(1)
    go.set()
    for c, language in clients:
        assert c.read_response().body == f"{language} -".encode()
        c.close()


def test_the_origin_changes_what_it_varies_on(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    origin.route("/a", answer(200, b"by language", {"Vary": "Accept-Language"}))
    proxy.get("/a", spoken("de"))
    assert proxy.get("/a", spoken("de")).x_cache == "HIT"
    origin.route("/a", answer(200, b"for all"))
    assert proxy.get("/a", spoken("en")).body == b"for all"
    assert proxy.get("/a", spoken("fr")).body in (b"for all", b"by language")
    origin.route("/a", answer(200, b"by device", {"Vary": "X-Device"}))
    origin.route("/a", answer(204), method="POST")
    proxy.post("/a")
    assert proxy.get("/a", [("X-Device", "phone")]).body == b"by device"


@pytest.mark.parametrize("spelled", ["Accept-Language", "accept-language",
                                     "ACCEPT-LANGUAGE, Accept-Encoding"])
def test_an_origin_that_cannot_decide_colours_nothing(larder, origin, spelled):
    """It speaks the client's language and says so only now and then."""
    count = iter(range(100))

    def speak(exchange):
        language = exchange.request.header("accept-language", "none")
        vary = [("Vary", spelled)] if next(count) % 2 == 0 else []
        exchange.run(answer(200, language, vary))

    origin.default = speak
    proxy = larder(CONF, origin=origin.url)
    for language in ("de", "en", "fr", "de", "en", "fr"):
        got = proxy.get("/a", spoken(language))
        assert got.body in (language.encode(), b"none"), got
    assert origin.count() <= 18
