"""The query of a cached route: one canonical form for the name and for the backend."""

import pytest

from lib.cache import seen

CONF = """
upstream main %ORIGIN%
route GET /list/{id}  { scope public; key list:{id}:{query}; query page limit tag; ttl 60s }
route GET /drop/{id}  { scope public; key drop:{id}:{query}; ttl 60s
                        query page limit tag unlisted=drop }
route GET /every/{id} { scope public; key every:{id}:{query}; ttl 60s }
route GET /one/{id}   { scope public; key one:{id}:{query.page}; ttl 60s }
route GET /none/{id}  { scope public; key none:{id}; query unlisted=drop; ttl 60s }
"""


@pytest.fixture
def proxy(larder, origin):
    return larder(CONF, origin=origin.url)


def sent(origin):
    return origin.requests[-1].target


SAME = [
    ("page=1&limit=2", ["limit=2&page=1", "&limit=2&&page=1&", "p%61ge=1&limit=%32",
                        "utm_source=x&page=1&limit=2&utm_campaign=y&fbclid=z&gclid=1&msclkid=2"]),
    ("tag=a&tag=b", ["tag=a&tag=b&", "tag=%61&tag=b"]),
    ("", ["&", "&&", "utm_source=x", "fbclid=1&utm_medium=2"]),
    ("page=%C3%A9", ["page=%c3%a9"]),
]


@pytest.mark.parametrize("route", ["list", "drop", "every"])
@pytest.mark.parametrize("query,others", SAME, ids=[s[0] or "none" for s in SAME])
def test_same(proxy, origin, route, query, others):
    first = proxy.get(f"/{route}/1?{query}")
    assert first.x_cache == "MISS"
    for other in others:
        again = proxy.get(f"/{route}/1?{other}")
        assert again.x_cache == "HIT" and again.body == first.body, other
    assert origin.count() == 1


DIFFERENT = ["", "page=1", "page=2", "page=1&limit=1", "limit=1", "page", "page=", "page=%20",
             "page=+", "page=%2B", "page=1&page=2", "page=2&page=1", "tag=a&tag=b", "tag=b&tag=a",
             "tag=a,b", "tag=a%2Cb%2C", "tag=a%26tag%3Db", "page=%3D1", "page=1%26limit%3D1",
             "page=~a",
             "page=~e", "page=*", "page=%25", "tag=%00", "tag=%E9", "tag=%C3%A9"]


@pytest.mark.parametrize("route", ["list", "every"])
def test_different(proxy, origin, route):
    bodies, n = set(), 0
    for query in DIFFERENT:
        answer = proxy.get(f"/{route}/1?{query}" if query else f"/{route}/1")
        if answer.status == 400:
            continue
        n += 1
        assert answer.x_cache == "MISS", query
        bodies.add(answer.body)
    assert len(bodies) == n >= len(DIFFERENT) - 1
    assert origin.count() == n


def test_the_backend_gets_the_canonical_form(proxy, origin):
    for query, canonical in (("limit=2&page=1", "limit=2&page=1"),
                             ("page=1&limit=2", "limit=2&page=1"),
                             ("tag=b&page=1&tag=a", "page=1&tag=b&tag=a"),
                             ("utm_id=1&page=%31;x", "page=1%3Bx"),
                             ("page=a/b?c", "page=a%2Fb%3Fc"),
                             ("page", "page"), ("page=", "page="), ("page=a+b", "page=a+b"),
                             ("page=a%20b", "page=a%20b")):
        origin.clear()
        proxy.get(f"/list/{abs(hash(query))}?{query}")
        assert sent(origin).partition("?")[2] == canonical, query
    proxy.get("/list/x?utm_source=1")
    assert sent(origin) == "/list/x"


def test_unlisted_parameters_pass_unchanged(proxy, origin):
    for query in ("debug=1", "page=1&debug=1", "limit=2&page=1&debug=%7e&utm_source=x", "PAGE=1",
                  "page[]=1", "tag;page=1"):
        for _ in range(2):
            assert seen(proxy.get(f"/list/1?{query}")) == ("BYPASS", "query"), query
        assert sent(origin) == f"/list/1?{query}"
    assert proxy.get("/list/1").x_cache == "MISS"


def test_unlisted_parameters_are_dropped_where_the_route_says_so(proxy, origin):
    first = proxy.get("/drop/1?debug=1&page=1&x=2")
    assert first.x_cache == "MISS" and sent(origin) == "/drop/1?page=1"
    for same in ("page=1", "page=1&debug=2", "PAGE=7&page=1", "x&y&page=1"):
        assert proxy.get(f"/drop/1?{same}").body == first.body
    assert proxy.get("/none/1?a=1").x_cache == "MISS" and sent(origin) == "/none/1"
    assert proxy.get("/none/1?b=2").x_cache == "HIT"


def test_a_parameter_by_name(proxy, origin):
    assert proxy.get("/one/1?page=1").x_cache == "MISS" and sent(origin) == "/one/1?page=1"
    assert proxy.get("/one/1?page=1&utm_source=x").x_cache == "HIT"
    assert proxy.get("/one/1").x_cache == "MISS"
    assert proxy.get("/one/1?page").x_cache == "MISS"
    assert proxy.get("/one/1?page=").x_cache == "MISS"
    assert proxy.get("/one/1?page=1&page=2").x_cache == "MISS"
    assert proxy.get("/one/1?page=1&page=2").x_cache == "HIT"
    assert seen(proxy.get("/one/1?page=1&other=2")) == ("BYPASS", "query")


def test_too_many_parameters(proxy, origin):
    assert proxy.get("/every/1?" + "&".join(f"p{n}=1" for n in range(256))).status == 200
    answer = proxy.get("/every/1?" + "&".join(f"p{n}=1" for n in range(257)))
    assert answer.status == 400
    assert origin.count() == 1
