"""Expired entries are confirmed by the origin with their own validators (RFC 9111 section 4.3)."""

import pytest

from lib.cache import cache_status, seen
from lib.origin import answer
from lib.wait import eventually

CONF = """
upstream main %ORIGIN%
route GET  /a { scope public; key a; ttl 60s }
route POST /a { invalidate a }
"""
# The route's 60 s count only where the origin gives no lifetime.
SHORT = {"Cache-Control": "max-age=1", "X-Version": "1"}
DATE = "Tue, 02 Jan 2024 00:00:00 GMT"


def expired(proxy):
    """Waits until the entry of /a is not fresh any more; the first answer that says so."""
    return eventually(lambda: (a := proxy.get("/a")).x_cache != "HIT" and a, 5)


class Origin:
    """Answers 304 when asked with a validator that fits, and counts both."""

    def __init__(self, origin, **validators):
        self.body, self.validators, self.full, self.confirmed = b"hello" * 300, validators, 0, 0
        self.extra = {}
        origin.route("/a", self.serve, method="GET")

    def serve(self, exchange):
        request = exchange.request
        etag, date = self.validators.get("ETag"), self.validators.get("Last_Modified")
        fits = (request.header("if-none-match") == etag if etag
                else date and request.header("if-modified-since") == date)
        own = {n.replace("_", "-"): v for n, v in self.validators.items()}
        headers = {**SHORT, **own, **self.extra}
        if fits:
            self.confirmed += 1
            exchange.run(answer(304, headers=headers))
        else:
            self.full += 1
            exchange.run(answer(200, self.body, headers))


@pytest.mark.parametrize("validators", [
    {"ETag": '"v1"'}, {"Last_Modified": DATE}, {"ETag": 'W/"v1"'},
    {"ETag": '"v1"', "Last_Modified": DATE}])
def test_confirmed_by_the_origin(larder, origin, validators):
    source = Origin(origin, **validators)
    proxy = larder(CONF, origin=origin.url)
    first = proxy.get("/a")
    source.extra = {"X-Version": "2"}

    def confirmed():
        again = expired(proxy)
        assert seen(again) == ("REVALIDATED", "revalidated") and again.status == 200
        assert again.body == first.body and again.header("x-version") == "2"
        assert cache_status(again)["fwd"] == "stale"
        before, hit = source.confirmed, proxy.get("/a")
        return hit if source.confirmed == before else None  # a second later it is stale again

    hit = eventually(confirmed, 15)
    assert hit.x_cache == "HIT" and hit.header("x-version") == "2" and int(hit.header("age")) <= 1
    assert source.full == 1


def test_changed_at_the_origin(larder, origin):
    source = Origin(origin, ETag='"v1"')
    proxy = larder(CONF, origin=origin.url)
    proxy.get("/a")
    source.validators, source.body = {"ETag": '"v2"'}, b"new"
    again = expired(proxy)
    assert again.body == b"new" and again.x_cache == "MISS"
    assert proxy.get("/a").body == b"new"
    assert (source.full, source.confirmed) == (2, 0)


def test_the_clients_validator_is_compared_with_the_confirmed_entry(larder, origin):
    Origin(origin, ETag='"v1"')
    proxy = larder(CONF, origin=origin.url)
    proxy.get("/a")
    same = {"If-None-Match": '"v1"'}
    got = eventually(lambda: (a := proxy.get("/a", same)).x_cache != "HIT" and a, 5)
    assert (got.status, got.body, got.x_cache) == (304, b"", "REVALIDATED")
    assert proxy.get("/a", {"If-None-Match": '"old"'}).status == 200
    assert all(r.header("if-none-match") in (None, '"v1"') for r in origin.requests)


def test_a_304_about_something_else_is_not_believed(larder, origin):
    """Its ETag is not the stored one: the whole answer is fetched."""
    origin.script(answer(200, b"one", {**SHORT, "ETag": '"v1"'}),
                  answer(304, headers={**SHORT, "ETag": '"v9"'}),
                  answer(200, b"two", {**SHORT, "ETag": '"v9"'}))
    proxy = larder(CONF, origin=origin.url)
    proxy.get("/a")
    assert expired(proxy).body == b"two"
    assert [r.header("if-none-match") for r in origin.requests] == [None, '"v1"', None]


@pytest.mark.parametrize("field", ["no-store", "private"])
def test_a_304_that_forbids_to_store(larder, origin, field):
    source = Origin(origin, ETag='"v1"')
    proxy = larder(CONF, origin=origin.url)
    first = proxy.get("/a")
    source.extra = {"Cache-Control": field}
    assert expired(proxy).body == first.body
    source.validators = {"ETag": '"v2"'}
    source.body = b"new"
    assert proxy.get("/a").body == b"new"


def test_what_was_invalidated_is_not_confirmed(larder, origin):
    """A write came between: the old bytes are not asked about, they are fetched anew.

    Last-Modified is no proof within the second in which something changed.
    """
    source = Origin(origin, Last_Modified=DATE)
    origin.route("/a", answer(204), method="POST")
    proxy = larder(CONF, origin=origin.url)
    proxy.get("/a")
    source.body = b"new"
    assert proxy.post("/a").status == 204
    assert proxy.get("/a").body == b"new"
    assert source.confirmed == 0


def test_unsolicited_304(larder, origin):
    """To a request without validators it is an error, and nothing to keep."""
    origin.route("/a", answer(304, headers={"ETag": '"v1"'}))
    proxy = larder(CONF, origin=origin.url)
    first = proxy.get("/a")
    assert first.x_cache != "HIT" and b"hello" not in first.body
    origin.route("/a", answer(200, b"hello"))
    assert proxy.get("/a").body == b"hello"


def test_no_cache_is_confirmed_each_time(larder, origin):
    """`Cache-Control: no-cache` with an ETag: stored, and asked about before every use."""
    source = Origin(origin, ETag='"v1"')
    source.extra = {"Cache-Control": "no-cache"}
    proxy = larder(CONF, origin=origin.url)
    assert "stored" in cache_status(proxy.get("/a"))
    for n in range(1, 5):
        again = proxy.get("/a")
        assert again.x_cache == "REVALIDATED" and again.body == source.body
        assert (source.full, source.confirmed) == (1, n)
    source.validators, source.body = {"ETag": '"v2"'}, b"new"
    assert proxy.get("/a").body == b"new"


def test_the_age_of_what_was_confirmed_begins_anew(larder, origin):
    """An Age and a Date that came with the old answer do not count any more."""
    origin.script(
        answer(200, b"hello", {"Cache-Control": "max-age=101", "Age": "100", "ETag": '"v1"'}),
        answer(304, headers={"Cache-Control": "max-age=101", "ETag": '"v1"'}))
    proxy = larder(CONF, origin=origin.url)
    proxy.get("/a")
    again = expired(proxy)
    assert again.x_cache == "REVALIDATED" and again.all("age") == ["0"]
    hit = proxy.get("/a")
    assert hit.x_cache == "HIT" and len(hit.all("age")) == 1 and int(hit.header("age")) <= 1
    assert cache_status(hit)["ttl"] >= 99


def test_a_304_does_not_bring_back_what_the_route_removes(larder, origin):
    conf = CONF.replace("ttl 60s }", "ttl 60s; header remove Server\n"
                                     "header set X-Frame-Options DENY }")
    fields = {"ETag": '"v1"', "Cache-Control": "max-age=1", "Server": "secret/1.0",
              "X-Frame-Options": "ALLOW"}
    origin.route("/a", lambda x: x.run(
        answer(304 if x.request.header("if-none-match") else 200,
               b"" if x.request.header("if-none-match") else b"hello", fields)), method="GET")
    proxy = larder(conf, origin=origin.url)
    proxy.get("/a")
    for got in (expired(proxy), proxy.get("/a")):
        assert got.header("server") is None and got.all("x-frame-options") == ["DENY"]


def test_a_304_that_forbids_a_field(larder, origin):
    source = Origin(origin, ETag='"v1"')
    source.extra = {"X-Mine": "swordfish"}
    proxy = larder(CONF, origin=origin.url)
    proxy.get("/a")
    source.extra = {"X-Mine": "swordfish", "Cache-Control": 'max-age=1, private="X-Mine"'}
    assert expired(proxy).status == 200
    hit = proxy.get("/a")
    assert b"swordfish" not in hit.raw and hit.body == source.body
