"""HEAD and GET are coherent (RFC 9110 9.3.2, RFC 9111 4.3.5)."""

import pytest
from lib.follow import CONF
from lib.origin import answer

DATE = "Thu, 02 Jan 2020 00:00:00 GMT"
STALE = {"Cache-Control": "max-age=60", "Age": "61", "ETag": '"1"', "X-A": "1"}
FRESH = {"Cache-Control": "max-age=60", "ETag": '"1"', "X-A": "2"}


def after_head(proxy, origin, head, first=None, headers=()):
    """A stored stale GET, then a HEAD that the origin answers with these fields, then a GET."""
    origin.script(answer(200, b"12345", first or STALE))
    assert proxy.get("/r").body == b"12345"
    origin.script(answer(200, b"", head, length=False))
    got = proxy.request("HEAD", "/r", headers)
    assert got.status == 200 and got.header("x-a") == "2", got
    origin.script(answer(200, b"again", {"Cache-Control": "max-age=60"}))
    return proxy.get("/r")


def test_a_fresh_get_answers_head(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    origin.route("/r", answer(200, b"12345", FRESH))
    proxy.get("/r")
    got = proxy.request("HEAD", "/r")
    assert (got.x_cache, got.body, got.header("content-length")) == ("HIT", b"", "5")
    assert origin.count("/r") == 1


def test_a_head_stores_nothing_itself(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    origin.route("/r", answer(200, b"12345", FRESH), method="GET")
    origin.route("/r", answer(200, b"", {**FRESH, "Content-Length": "5"}), method="HEAD")
    for _ in range(2):
        assert proxy.request("HEAD", "/r").x_cache == "MISS"
    assert proxy.get("/r").x_cache == "MISS"


@pytest.mark.parametrize("head", [
    {**FRESH, "Content-Length": "5"}, FRESH, {**FRESH, "ETag": 'W/"1"', "Content-Length": "5"}])
def test_a_head_freshens_what_it_describes(larder, origin, head):
    proxy = larder(CONF, origin=origin.url)
    got = after_head(proxy, origin, head)
    assert (got.x_cache, got.body) == ("HIT", b"12345")
    assert got.all("x-a") == ["2"] and got.all("etag") == ['"1"'] and int(got.header("age")) < 60


@pytest.mark.parametrize("head", [
    {**FRESH, "ETag": '"2"'}, {**FRESH, "Content-Length": "6"},
    {**FRESH, "Cache-Control": "no-store"}, {**FRESH, "Last-Modified": DATE}])
def test_a_head_of_something_else_ends_it(larder, origin, head):
    proxy = larder(CONF, origin=origin.url)
    got = after_head(proxy, origin, head)
    assert (got.x_cache, got.body) == ("MISS", b"again")
    assert origin.seen("/r")[-1].header("if-none-match") is None


def test_without_a_validator_nothing_is_concluded(larder, origin):
    """The body may have changed: a HEAD that says nothing of it does not make it fresh."""
    proxy = larder(CONF, origin=origin.url)
    head = {"Cache-Control": "max-age=60", "X-A": "2"}
    got = after_head(proxy, origin, head)
    assert got.body == b"again"
    assert origin.seen("/r")[-1].header("if-none-match") == '"1"'


def test_one_clients_fields_do_not_colour_the_entry(larder, origin):
    """A HEAD goes out as a fill does: what the name does not hold is not shown."""
    conf = CONF[:CONF.index("route")] + "route GET /* { scope public; ttl 60s }\n"
    proxy = larder(conf, origin=origin.url)
    origin.route("/r", answer(200, b"", FRESH), method="HEAD")
    fields = {"Cookie": "a=b", "Authorization": "Bearer ann", "X-Anything": "1"}
    proxy.request("HEAD", "/r?utm_source=x", fields)
    seen = origin.seen("/r")[-1]
    assert seen.target == "/r"
    for name in fields:
        assert seen.header(name) is None


def test_a_conditional_head_is_the_clients_own(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    origin.script(answer(200, b"12345", STALE))
    proxy.get("/r")
    origin.script(answer(304, b"", {"ETag": '"1"'}))
    got = proxy.request("HEAD", "/r", {"If-None-Match": '"1"'})
    assert got.status == 304
    origin.script(answer(304, b"", FRESH))
    assert proxy.get("/r").x_cache == "REVALIDATED"
