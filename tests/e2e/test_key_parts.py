"""Keys made of header fields, cookies, paths and methods."""

import pytest

from lib.cache import miss_then_hit, seen

CONF = """
upstream main %ORIGIN%
route GET /field/{id}       { scope public; key field:{id}:{header.X-Region}; ttl 60s }
route GET /cookie/{id}      { scope public; key cookie:{id}:{cookie.lang}; ttl 60s }
route GET /secret/{id}      { scope public; key secret:{id}:{header.X-Api-Key}; ttl 60s }
route GET /two/{a}/{b}      { scope public; key two:{a}:{b}; ttl 60s }
route GET /tree/*           { scope public; key tree:{path}; ttl 60s }
route GET,HEAD /default/{x} { scope public; ttl 60s }
route GET /method/{x}       { scope public; key {method}:{x}; ttl 60s }
"""


@pytest.fixture
def proxy(larder, origin):
    return larder(CONF, origin=origin.url)


def different(proxy, requests):
    """Each of (target, fields) is an entry of its own."""
    bodies = {miss_then_hit(proxy, target, fields).body for target, fields in requests}
    assert len(bodies) == len(requests)


def test_header_field(proxy, origin):
    values = ["eu", "us", "", "EU", "eu,us", "eu, us", "eu:us", "~a", "~e", "*", "e%75", "e u",
              "\xe9"]
    different(proxy, [("/field/1", [])] + [("/field/1", [("X-Region", v)]) for v in values])
    # Two lines are one list.
    assert proxy.get("/field/1", [("X-Region", "eu"), ("x-region", "us")]).x_cache == "HIT"
    assert [r.header("x-region") for r in origin.requests][:4] == [None, "eu", "us", ""]


def test_header_field_does_not_leak_into_the_next_part(proxy):
    different(proxy, [("/field/1", [("X-Region", "2")]), ("/field/1:2", []), ("/field/1", [])])


def test_cookie(proxy, origin):
    def crumbs(text):
        return [("Cookie", text)]
    different(proxy, [("/cookie/1", f) for f in (
        [], crumbs("lang=de"), crumbs("lang=en"), crumbs("lang="), crumbs("lang=DE"))])
    same = proxy.get("/cookie/1", crumbs("a=b; lang=de; c=d"))
    assert same.x_cache == "HIT"
    assert proxy.get("/cookie/1", crumbs("xlang=en; lang=de")).body == same.body
    assert proxy.get("/cookie/1", crumbs("a=b") + crumbs("lang=de")).body == same.body


def test_a_cookie_sent_twice_is_neither(proxy, origin):
    """Backends differ in which one counts."""
    one = miss_then_hit(proxy, "/cookie/1", [("Cookie", "lang=de")])
    two = miss_then_hit(proxy, "/cookie/1", [("Cookie", "lang=en")])
    for crumbs in ("lang=de; lang=en", "lang=en; lang=de"):
        both = proxy.get("/cookie/1", [("Cookie", crumbs)])
        assert both.body not in (one.body, two.body), crumbs
    assert proxy.get("/cookie/1", [("Cookie", "lang=de")]).body == one.body
    assert proxy.get("/cookie/1", [("Cookie", "lang=en")]).body == two.body


def test_a_key_in_a_field_is_not_written_anywhere(proxy):
    different(proxy, [("/secret/1", [("X-Api-Key", k)]) for k in ("swordfish-1", "swordfish-2")])
    answer = proxy.get("/secret/1", [("X-Api-Key", "swordfish-1")])
    proxy.access_log(5)
    assert b"swordfish" not in answer.raw
    assert "swordfish" not in proxy.stdout() + proxy.stderr()


def test_path_parameters(proxy):
    different(proxy, [(f"/two/{a}/{b}", []) for a, b in (
        ("a", "b"), ("a:b", "c"), ("a", "b:c"), ("A", "b"), ("a%3A", "b"), ("a%20", "b"),
        ("~a", "b"), ("a", "~a"), ("*", "b"), ("a", "*"), ("a.", "b"), ("a_", "b"),
        ("%C3%A9", "b"), ("a%25", "b"), ("a%2541", "b"), ("a+b", "c"), ("a%23", "b"), ("a&b", "c"), ("a=b", "c"))])


@pytest.mark.parametrize("one,other", [
    ("/two/a/b", "/two/%61/b"), ("/two/a/b", "/two/./a/b"), ("/two/a/b", "/two/x/../a/b"),
    ("/two/a-b/c", "/two/a%2Db/c"), ("/two/%c3%a9/b", "/two/%C3%A9/b"),
    ("/tree/a/b", "/tree/%61/b"),
    ("/tree/a/b", "/tree/a/./b"), ("/two/a/b", "/two/a/b?utm_source=x"),
])
def test_one_canonical_path(proxy, origin, one, other):
    first = proxy.get(one)
    assert first.x_cache == "MISS"
    assert proxy.get(other).body == first.body
    assert origin.count() == 1
    # The backend is asked for the canonical form whichever came first.
    first_sent = origin.requests[0].target
    origin.clear()
    proxy.post("/two/a/b", b"x")
    assert first_sent.split("?")[0] == origin.requests[0].target or one != "/two/a/b"


@pytest.mark.parametrize("target", [
    "/two/a%2Fb/c", "/two/a%5Cb/c", "/two/a\\b/c", "/two/a%00/b", "/two/%zz/b", "/two/a%/b",
    "/../two/a/b", "/two/../../a/b", "/two/a#x/b"])
def test_paths_that_servers_read_differently(proxy, origin, target):
    answer = proxy.get(target)
    assert answer.status == 400 or answer.x_cache in ("BYPASS", "PASS"), answer
    assert not any(e.x_cache == "HIT" for e in [proxy.get(target)] if e.status == 200)


def test_semicolons_are_not_cached(proxy, origin):
    for _ in range(2):
        assert seen(proxy.get("/two/a;x=1/b")) == ("BYPASS", "semicolon")
    assert origin.requests[0].target == "/two/a;x=1/b"


def test_default_key(proxy, origin):
    different(proxy, [(t, []) for t in ("/default/1", "/default/2", "/default/1?a=1",
                                        "/default/1?a=2")])
    assert proxy.get("/default/1?utm_source=x").x_cache == "HIT"


def test_the_trees_paths_are_apart(proxy):
    different(proxy, [(t, []) for t in ("/tree/a/b", "/tree/a%20b", "/tree/a//b", "/tree/a/b/",
                                        "/tree/a:b", "/tree/", "/tree/~a", "/tree/A/b")])


def test_head_uses_the_entry_of_get(proxy, origin):
    first = proxy.get("/method/1")
    assert first.x_cache == "MISS"
    head = proxy.request("HEAD", "/method/1")
    assert head.x_cache == "HIT" and head.body == b""
    assert head.header("content-length") == str(len(first.body))
    assert origin.count() == 1
