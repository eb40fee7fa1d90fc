"""A POST's answer that names its own URI serves later GETs (RFC 9110 9.3.3)."""

import threading

import pytest
from lib import follow
from lib.origin import Close, Wait, answer
from lib.raw import Truncated

# With one worker the answer is stored before the next request is looked at.
CONF = "workers 1\n" + follow.CONF
OWN = {"Cache-Control": "max-age=60", "Content-Location": "/r"}


def kept(proxy, origin, headers, status=200, target="/r", request=()):
    """Is the answer to a POST with these fields given to the next GET?"""
    origin.route("/r", answer(status, b"posted", headers), method="POST")
    origin.route("/r", answer(200, b"fetched"), method="GET")
    got = proxy.post(target, b"12345", request)
    assert (got.status, got.body) == (status, b"posted"), got
    got = proxy.get(target)
    assert got.body in (b"posted", b"fetched"), got
    assert got.x_cache == ("HIT" if got.body == b"posted" else "MISS"), got
    return got.body == b"posted"


@pytest.mark.parametrize("location", ["/r", "http://localhost/r", "http://LOCALHOST:80/r",
                                      "/./%72"])
def test_it_serves_gets(larder, origin, location):
    proxy = larder(CONF, origin=origin.url)
    headers = {**OWN, "Content-Location": location, "X-A": "1", "Set-Cookie2": "x"}
    assert kept(proxy, origin, headers)
    got = proxy.request("HEAD", "/r")
    assert got.x_cache == "HIT" and got.header("x-a") == "1" and got.header("age") is not None


def test_it_replaces_what_was_stored(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    origin.route("/r", answer(200, b"old", {"Cache-Control": "max-age=60"}))
    proxy.get("/r")
    assert proxy.get("/r").body == b"old"
    assert kept(proxy, origin, OWN)


@pytest.mark.parametrize("headers", [
    {"Cache-Control": "max-age=60"},                                    # of what, it does not say
    {"Content-Location": "/r"},                                         # no explicit freshness
    {"Content-Location": "/r", "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"},
    {**OWN, "Content-Location": "/other"}, {**OWN, "Content-Location": "/r?x=1"},
    {**OWN, "Content-Location": "http://elsewhere/r"}, {**OWN, "Content-Location": "r"},
    {**OWN, "Content-Location": "https://localhost/r"},
    {**OWN, "Cache-Control": "max-age=60, no-store"},
    {**OWN, "Cache-Control": "max-age=60, private"}, {**OWN, "Set-Cookie": "a=b"},
    {**OWN, "Vary": "Accept"}, {**OWN, "Content-Encoding": "br"}])
def test_it_does_not_unless_it_says_so(larder, origin, headers):
    proxy = larder(CONF, origin=origin.url)
    assert not kept(proxy, origin, headers)


@pytest.mark.parametrize("status", [201, 202, 404, 500])
def test_only_a_200_does(larder, origin, status):
    proxy = larder(CONF, origin=origin.url)
    assert not kept(proxy, origin, OWN, status)


def test_an_authorized_one_needs_the_origins_word(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    ann = {"Authorization": "Bearer ann"}
    assert not kept(proxy, origin, OWN, request=ann)
    assert kept(proxy, origin, {**OWN, "Cache-Control": "public, max-age=60"}, request=ann)


def test_unkeyed_parameters_do_not_colour_it(larder, origin):
    """The POST shows the origin a parameter that the name leaves out."""
    proxy = larder(CONF, origin=origin.url)
    headers = {**OWN, "Content-Location": "/r?utm_source=evil"}
    assert not kept(proxy, origin, headers, target="/r?utm_source=evil")
    assert proxy.get("/r").body == b"fetched"


@pytest.mark.parametrize("route", ["scope public; ttl 60s", "scope public; ttl origin; max_object 3",
                                   "scope public; ttl origin; store if size < 3"])
def test_routes_that_do_not_take_it(larder, origin, route):
    conf = CONF[:CONF.index("route")] + f"route GET /* {{ {route} }}\n"
    assert not kept(larder(conf, origin=origin.url), origin, OWN)


def test_another_write_meanwhile_forbids_it(larder, origin):
    """The POST may have been carried out before the write that was answered first."""
    proxy = larder(CONF, origin=origin.url)
    go = threading.Event()
    origin.route("/r", [Wait(go), answer(200, b"posted", OWN)], method="POST")
    origin.route("/r", answer(200, b"ok"), method="PUT")
    origin.route("/r", answer(200, b"fetched"), method="GET")
    poster = threading.Thread(target=lambda: proxy.post("/r", b"12345"))
    poster.start()
    origin.wait_requests(1)
    proxy.request("PUT", "/r", body=b"x")
    go.set()
    poster.join(10)
    assert proxy.get("/r").body == b"fetched"


def test_a_write_after_it_invalidates_it(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    assert kept(proxy, origin, OWN)
    origin.route("/r", answer(200, b"ok"), method="PUT")
    proxy.request("PUT", "/r", body=b"x")
    assert proxy.get("/r").body == b"fetched"


def test_one_that_says_too_much_is_not_kept(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    origin.route("/r", answer(200, b"posted", OWN) + b"more", method="POST")
    origin.route("/r", answer(200, b"fetched"), method="GET")
    proxy.post("/r", b"12345")
    assert proxy.get("/r").body == b"fetched"


def test_a_truncated_one_is_not_kept(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Location: /r\r\n" \
           b"Content-Length: 10\r\n\r\nhalf"
    origin.route("/r", [head, Close()], method="POST")
    origin.route("/r", answer(200, b"fetched"), method="GET")
    with pytest.raises(Truncated):
        proxy.post("/r", b"12345")
    assert proxy.get("/r").body == b"fetched"
