"""What a 304 does to the stored response (RFC 9111 3.2, 4.3.3, 4.3.4)."""

import threading
import time
from email.utils import formatdate

import pytest
from lib.follow import CONF
from lib.origin import Wait, answer

NOW = time.time()
DATE_1, DATE_2 = formatdate(NOW - 200, usegmt=True), formatdate(NOW - 100, usegmt=True)
LATER = formatdate(NOW + 5000, usegmt=True)
STALE = {"Cache-Control": "max-age=60", "Age": "61", "ETag": '"1"'}
CONFIRMED = {"Cache-Control": "max-age=60", "ETag": '"1"'}
ROUTE = "route GET /* { scope public; ttl origin; %EXTRA% }\n"
CONF_WITH = CONF[:CONF.index("route")] + ROUTE


def revalidated(proxy, origin, first, second, headers=()):
    """The answer after a stored 200 with the fields `first` was confirmed with `second`."""
    origin.script(answer(200, b"stored", first), answer(304, b"", second))
    assert proxy.get("/r", headers).body == b"stored"
    got = proxy.get("/r", headers)
    assert (got.status, got.body, got.x_cache) == (200, b"stored", "REVALIDATED"), got
    return got


def test_fields_are_updated_and_stay_so(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    first = {**STALE, "Content-Type": "text/plain", "X-A": "1", "X-B": "1"}
    second = {**CONFIRMED, "Content-Type": "text/html", "X-B": "2", "X-C": "2"}
    for got in (revalidated(proxy, origin, first, second), proxy.get("/r")):
        assert got.header("content-type") == "text/html"
        assert [got.all(n) for n in ("x-a", "x-b", "x-c")] == [["1"], ["2"], ["2"]], got
    assert got.x_cache == "HIT"


def test_what_describes_the_stored_body_is_not_updated(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    second = {**CONFIRMED, "Content-Encoding": "gzip", "Content-Range": "bytes 0-1/9",
              "Content-Length": "999"}
    got = revalidated(proxy, origin, STALE, second)
    assert got.header("content-encoding") is None
    assert got.header("content-range") is None
    assert got.header("content-length") == "6"
    assert proxy.get("/r").x_cache == "HIT"


def test_date_and_expires_are_updated(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    first = {"Date": DATE_1, "Expires": DATE_1, "ETag": '"1"'}
    second = {"Date": DATE_2, "Expires": LATER, "ETag": '"1"'}
    got = revalidated(proxy, origin, first, second)
    assert got.all("date") == [DATE_2]
    assert got.all("expires") == [LATER]
    assert proxy.get("/r").x_cache == "HIT"


@pytest.mark.parametrize("date", [{}, {"Date": "yesterday"}])
def test_a_304_without_a_date_is_of_now(larder, origin, date):
    """Its freshness does not count from the stored Date (RFC 9110 6.6.1)."""
    proxy = larder(CONF, origin=origin.url)
    got = revalidated(proxy, origin, {**STALE, "Date": DATE_1}, {**CONFIRMED, **date})
    assert len(got.all("date")) == 1 and got.header("date") not in (DATE_1, "yesterday")
    assert int(got.header("age")) < 60
    assert proxy.get("/r").x_cache == "HIT"


def test_the_age_of_a_304_counts(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    got = revalidated(proxy, origin, STALE, {**CONFIRMED, "Age": "61"})
    assert got.all("age") == ["61"]
    origin.script(answer(304, b"", {**CONFIRMED, "Age": "10"}))
    assert proxy.get("/r").all("age") == ["10"]
    assert proxy.get("/r").x_cache == "HIT"


def test_what_must_always_be_asked_for_is_kept(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    fields = {"Cache-Control": "no-cache", "ETag": '"1"'}
    revalidated(proxy, origin, fields, fields)
    origin.script(answer(304, b"", fields))
    assert proxy.get("/r").x_cache == "REVALIDATED"
    assert [r.header("if-none-match") for r in origin.seen("/r")] == [None, '"1"', '"1"']


def test_listed_and_connection_fields_do_not_enter(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    second = {**CONFIRMED, "Cache-Control": 'max-age=60, no-cache="X-User"', "X-User": "ann",
              "Connection": "X-Hop", "X-Hop": "1", "Set-Cookie": "a=b"}
    got = revalidated(proxy, origin, {**STALE, "X-User": "old"}, second)
    for name in ("x-user", "x-hop", "set-cookie"):
        assert got.header(name) is None, got
    assert proxy.get("/r").x_cache == "HIT"


def test_set_cookie_is_updated_where_the_route_stores_it(larder, origin):
    proxy = larder(CONF_WITH, origin=origin.url, extra="store set-cookie")
    got = revalidated(proxy, origin, {**STALE, "Set-Cookie": "a=1"},
                      {**CONFIRMED, "Set-Cookie": "a=2"})
    assert got.all("set-cookie") == ["a=2"]
    assert proxy.get("/r").all("set-cookie") == ["a=2"]


def test_the_routes_header_directives_hold_for_a_304_too(larder, origin):
    extra = 'header remove X-Secret; header set X-Site here; header add X-More "ours"'
    proxy = larder(CONF_WITH, origin=origin.url, extra=extra)
    fields = {"X-Secret": "1", "X-Site": "there", "X-More": "theirs"}
    got = revalidated(proxy, origin, {**STALE, **fields}, {**CONFIRMED, **fields})
    for got in (got, proxy.get("/r")):
        assert got.header("x-secret") is None
        assert got.all("x-site") == ["here"]
        assert sorted(got.all("x-more")) == ["ours", "theirs"]
    origin.clear()
    origin.script(answer(200, b"stored", {**STALE, **fields}), answer(304, b"", CONFIRMED))
    proxy.get("/r?quiet")
    assert sorted(proxy.get("/r?quiet").all("x-more")) == ["ours", "theirs"]


@pytest.mark.parametrize("second", [
    {"ETag": '"2"'}, {"Last-Modified": DATE_2}, {"ETag": '"1"', "Vary": "X-Kind"}])
def test_a_304_of_something_else_makes_the_whole_be_fetched(larder, origin, second):
    proxy = larder(CONF, origin=origin.url)
    origin.script(answer(200, b"old", {**STALE, "Last-Modified": DATE_1}),
                  answer(304, b"", second), answer(200, b"new", CONFIRMED))
    assert proxy.get("/r").body == b"old"
    assert proxy.get("/r").body == b"new"
    assert proxy.get("/r").x_cache == "HIT"
    last = origin.seen("/r")[-1]
    assert last.header("if-none-match") is None and last.header("if-modified-since") is None


@pytest.mark.parametrize("control", ["no-store", "private"])
def test_after_a_304_that_forbids_it_nothing_is_stored(larder, origin, control):
    """Who asked gets the confirmed response; who waited for it goes to the origin itself."""
    proxy = larder(CONF, origin=origin.url)
    go = threading.Event()
    origin.script(answer(200, b"old", STALE))
    proxy.get("/r")
    origin.script([Wait(go), answer(304, b"", {"Cache-Control": control, "ETag": '"1"'})])
    origin.route("/r", answer(200, b"own", {"Cache-Control": control}))
    got = []
    readers = [threading.Thread(target=lambda: got.append(proxy.get("/r"))) for _ in range(3)]
    readers[0].start()
    origin.wait_requests(2)
    for reader in readers[1:]:
        reader.start()
    go.set()
    for reader in readers:
        reader.join(10)
    assert [r.body for r in got].count(b"old") == 1
    assert [r.body for r in got].count(b"own") == 2
    assert proxy.get("/r").body == b"own"


def test_tags_of_a_304_count(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    revalidated(proxy, origin, {**STALE, "Cache-Groups": '"a"'},
                {**CONFIRMED, "Cache-Groups": '"b"'})
    assert proxy.get("/r").x_cache == "HIT"
    origin.route("/w", answer(200, b"", {"Cache-Group-Invalidation": '"b"'}))
    proxy.post("/w", b"x")
    origin.script(answer(200, b"new", CONFIRMED))
    assert proxy.get("/r").body == b"new"
