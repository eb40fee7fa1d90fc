"""Which site a request is for, and what the origin is told of it."""

import pytest

CONF = """
workers 1
upstream main %ORIGIN%
defaults { upstream main }
route GET /hit { scope public; ttl 1m }
"""
HOSTS = "hosts api.example.com www.example.com\n" + CONF


def ask(proxy, lines):
    with proxy.raw() as c:
        c.send("\r\n".join((*lines, "", "")).encode("latin-1"))
        return c.read_response()


@pytest.mark.parametrize("target,host,path", [
    ("http://good.example/a?x=1", "good.example", "/a?x=1"),
    ("HTTP://GOOD.example:80/a", "good.example", "/a"),
    ("http://good.example", "good.example", "/"),
    ("http://good.example?x=1", "good.example", "/?x=1"),
    ("http://good.example:8080/a", "good.example:8080", "/a"),
    ("https://good.example/a", "good.example", "/a"),
])
def test_absolute_form(larder, origin, target, host, path):
    proxy = larder(CONF, origin=origin.url)
    assert ask(proxy, [f"GET {target} HTTP/1.1", f"Host: {host}"]).status == 200
    assert (origin.requests[0].target, origin.requests[0].header("host")) == (path, host)


@pytest.mark.parametrize("target,host", [
    ("http://evil.example/", "good.example"), ("http://good.example:81/", "good.example"),
    ("http://user@good.example/", "good.example"), ("http:///a", "good.example"),
    ("ftp://good.example/", "good.example"), ("http:good.example/", "good.example"),
    ("http://good.example/", ""), ("http://good.example@evil/", "good.example"),
])
def test_absolute_form_refused(larder, origin, target, host):
    proxy = larder(CONF, origin=origin.url)
    assert ask(proxy, [f"GET {target} HTTP/1.1", f"Host: {host}"]).status == 400
    assert origin.count() == 0


@pytest.mark.parametrize("host", [
    "a b", "a,b", "a/b", "user@a", "a:b", "a:", "a:0", "a:65536", "a:80:80", "[::1", "::1",
    "[::1]x", "a..b", ".", "-", "a\\b", "a?b", "a#b", "a%20b", "\xe4", "a\x00b", "<a>", "'a"])
def test_malformed(larder, origin, host):
    proxy = larder(CONF, origin=origin.url)
    r = ask(proxy, ["GET /a HTTP/1.1", f"Host: {host}"])
    if r.status == 200:  # unusual names that the grammar allows arrive as they are
        assert host in ("-", "'a", "a:") and origin.count() == 1
    else:
        assert r.status == 400 and origin.count() == 0


@pytest.mark.parametrize("lines", [
    ["GET /a HTTP/1.1"], ["GET /a HTTP/1.1", "Host: a", "Host: a"],
    ["GET /a HTTP/1.1", "Host: a", "Host: b"], ["GET /a HTTP/1.1", "Host:"],
    ["GET /a HTTP/1.0", "Host: a", "Host: b"], ["GET /a HTTP/1.1", "Host: a", " b"],
])
def test_exactly_one(larder, origin, lines):
    assert ask(larder(CONF, origin=origin.url), lines).status == 400
    assert origin.count() == 0


def test_strangers_get_421(larder, origin):
    proxy = larder(HOSTS, origin=origin.url)
    for host in ("other.example", "example.com", "xapi.example.com", "api.example.com.evil",
                 "127.0.0.1"):
        r = proxy.get("/hit", [("Host", host)])
        assert r.status == 421 and r.header("connection") == "close"
    assert origin.count() == 0


def test_aliases_are_one_site(larder, origin):
    proxy = larder(HOSTS, origin=origin.url)
    for i, host in enumerate(("api.example.com", "WWW.example.com", "www.example.com:8080",
                              "api.example.com.")):
        r = proxy.get("/hit", [("Host", host)])
        if r.status == 200:
            assert r.x_cache == ("HIT" if i else "MISS")
        else:
            assert (r.status, host[-1]) == (421, ".")
    assert origin.requests[0].header("host") == "api.example.com"
    proxy.get("/pass", [("Host", "www.example.com")])
    assert origin.requests[-1].header("host") == "www.example.com"


def test_without_hosts_each_name_is_a_site(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    for host in ("a.example", "b.example"):
        assert proxy.get("/hit", [("Host", host)]).x_cache == "MISS"
        assert proxy.get("/hit", [("Host", host.upper())]).x_cache == "HIT"
        assert origin.requests[-1].header("host") == host


def test_a_double_slash_is_a_path(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    r = ask(proxy, ["GET //admin.internal/x HTTP/1.1", "Host: good.example"])
    assert r.status in (200, 400)
    for request in origin.requests:
        assert request.header("host") == "good.example"
        assert request.target.startswith("/")


def test_options_for_the_server(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    assert ask(proxy, ["OPTIONS * HTTP/1.1", "Host: a"]).status == 200
    assert origin.requests[0].target == "*"
    assert ask(proxy, ["GET * HTTP/1.1", "Host: a"]).status == 400
    assert ask(proxy, ["CONNECT a:443 HTTP/1.1", "Host: a:443"]).status == 405
    assert ask(proxy, ["TRACE / HTTP/1.1", "Host: a"]).status == 405
    assert origin.count() == 1
