"""Host: part of an entry's identity without `hosts`, aliases of one site with it."""

import pytest

from lib.cache import miss_then_hit, seen
from lib.origin import answer

ROUTES = """
upstream main %ORIGIN%
route GET  /a    { scope public; key a; ttl 60s }
route GET  /off  { ttl off }
route POST /a    { invalidate a }
"""
SITE = "hosts api.example.com www.example.com\n" + ROUTES
REFLECTED = ("host", "x-forwarded-host", "x-forwarded-port", "forwarded")


@pytest.fixture
def mirror(origin):
    """Answers with what a backend may make links of."""
    def reflect(exchange):
        request = exchange.request
        exchange.run(answer(200, "".join(f"{n}={request.header(n)}\n" for n in REFLECTED)))
    origin.default = reflect
    return origin


def get(proxy, host, target="/a"):
    return proxy.get(target, [("Host", host)])


def test_without_hosts_each_host_has_its_own(larder, mirror):
    proxy = larder(ROUTES, origin=mirror.url)
    bodies = {}
    for host in ("a.example", "b.example", "a.example.evil", "127.0.0.1", "[::1]"):
        assert get(proxy, host).x_cache == "MISS", host
        bodies[host] = get(proxy, host).body
        assert f"host={host}\n".encode() in bodies[host]
    assert len(set(bodies.values())) == 5
    for same in ("A.Example", "a.example:80"):
        hit = get(proxy, same)
        assert hit.x_cache == "HIT" and hit.body == bodies["a.example"]


@pytest.mark.parametrize("port", ["81", "8080", "1337", "65535"])
def test_without_hosts_a_port_is_part_of_it(larder, mirror, port):
    """Backends put it into links: who asks with another port must not get this one's answer."""
    proxy = larder(ROUTES, origin=mirror.url)
    assert get(proxy, f"a.example:{port}").x_cache == "MISS"
    assert mirror.requests[-1].header("host") == f"a.example:{port}"
    plain = get(proxy, "a.example")
    assert plain.x_cache == "MISS" and port.encode() not in plain.body
    assert get(proxy, f"a.example:{port}").x_cache == "HIT"


def test_aliases_share_entries_and_the_first_is_sent(larder, mirror):
    proxy = larder(SITE, origin=mirror.url)
    first = get(proxy, "www.example.com")
    assert first.x_cache == "MISS"
    assert mirror.requests[-1].header("host") == "api.example.com"
    for alias in ("www.example.com", "api.example.com", "WWW.example.com", "api.example.com:8080"):
        hit = get(proxy, alias)
        assert hit.x_cache == "HIT" and hit.body == first.body
    assert mirror.count("/a") == 1


@pytest.mark.parametrize("asked", ["www.example.com", "api.example.com:1337",
                                   "www.example.com:1337"])
def test_an_alias_or_port_colours_nothing(larder, mirror, asked):
    """Not by Host, and not by the fields that repeat it."""
    proxy = larder(SITE, origin=mirror.url)
    get(proxy, asked)
    hit = get(proxy, "api.example.com")
    assert hit.x_cache == "HIT"
    assert b"www" not in hit.body and b"1337" not in hit.body, hit.body


def test_what_is_not_cached_gets_the_clients_host(larder, mirror):
    proxy = larder(SITE, origin=mirror.url)
    for target in ("/off", "/no-route"):
        assert get(proxy, "www.example.com:8080", target).x_cache == "PASS"
        assert mirror.requests[-1].header("host") == "www.example.com:8080"
    assert proxy.request("POST", "/a", [("Host", "www.example.com")], b"x").status == 200
    assert mirror.requests[-1].header("host") == "www.example.com"
    assert get(proxy, "api.example.com").x_cache == "MISS"


@pytest.mark.parametrize("host", [
    "evil.example", "example.com", "api.example.com.evil.example", "evilapi.example.com",
    "127.0.0.1", "localhost", "xn--pi-gja.example.com", "api.example.com..",
])
def test_other_hosts_are_misdirected(larder, mirror, host):
    proxy = larder(SITE, origin=mirror.url)
    miss_then_hit(proxy, "/a", [("Host", "api.example.com")])
    for method in ("GET", "POST"):
        answer_ = proxy.request(method, "/a", [("Host", host)], b"x" if method == "POST" else b"")
        assert answer_.status in (400, 421), answer_
        assert answer_.header("content-type") == "application/problem+json"
        assert answer_.header("cache-control") == "no-store"
    assert mirror.count() == 1
    assert get(proxy, "api.example.com").x_cache == "HIT"


def test_most_other_hosts_are_421(larder, mirror):
    proxy = larder(SITE, origin=mirror.url)
    assert get(proxy, "evil.example").status == 421


def test_absolute_form_names_the_host(larder, mirror):
    proxy = larder(SITE, origin=mirror.url)
    with proxy.raw() as c:
        c.send(b"GET http://www.example.com/a HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
        assert seen(c.read_response()) == ("MISS", "miss")
        c.send(b"GET http://api.example.com/a HTTP/1.1\r\nHost: api.example.com\r\n\r\n")
        assert c.read_response().x_cache == "HIT"
        c.send(b"GET http://evil.example/a HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        assert c.read_response().status == 421
    with proxy.raw() as c:
        c.send(b"GET http://evil.example/a HTTP/1.1\r\nHost: api.example.com\r\n\r\n")
        assert c.read_response().status == 400


def test_sites_of_one_proxy_are_apart(larder, make_origin):
    one, two = make_origin(), make_origin()
    proxy = larder("""
host one.example www.one.example {
    upstream one %ONE%
    defaults { upstream one }
    route GET  /a { scope public; key a; ttl 60s }
    route POST /a { invalidate a }
}
host two.example {
    upstream two %TWO%
    defaults { upstream two }
    route GET  /a { scope public; key a; ttl 60s }
}
""", one=one.url, two=two.url)
    first = miss_then_hit(proxy, "/a", [("Host", "one.example")])
    second = miss_then_hit(proxy, "/a", [("Host", "two.example")])
    assert get(proxy, "www.one.example").body == first.body
    assert (one.count(), two.count()) == (1, 1)
    assert one.requests[0].header("host") == "one.example"
    assert get(proxy, "three.example").status == 421
    assert second.x_cache == "HIT"
