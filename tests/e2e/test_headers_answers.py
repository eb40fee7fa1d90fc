"""What Larder adds to answers, leaves alone and takes away."""

import re

import pytest

from lib.cache import cache_status, seen
from lib.origin import answer
from lib.ports import free_port
from lib.wait import eventually

CONF = """
upstream main %ORIGIN%
route GET  /a     { scope public; key a; ttl 60s }
route GET  /keyed { scope public; key keyed:{query.q}; query q; ttl 60s }
route GET  /set   { scope public; key set; ttl 60s; header set X-Frame-Options DENY
                    header add X-Extra "a b"; header remove Server }
route GET  /off   { header set X-Frame-Options DENY; header remove Server }
route POST /a     { invalidate a }
"""


@pytest.fixture
def proxy(larder, origin):
    return larder(CONF, origin=origin.url)


def test_hit_and_miss_differ_in_the_computed_fields_only(proxy, origin):
    fields = {"Content-Type": "application/json; charset=utf-8", "X-Request-Cost": "7",
              "Server": "test", "Link": "</b>; rel=next", "Cache-Control": "max-age=60",
              "Access-Control-Allow-Origin": "*"}
    origin.route("/a", answer(200, b'{"a": 1}', fields))
    miss, hit = proxy.get("/a"), proxy.get("/a")

    def rest(response):
        return sorted(h for h in response.headers if h[0] not in ("x-cache", "cache-status", "age"))
    assert rest(miss) == rest(hit)
    for name, value in fields.items():
        assert hit.header(name) == value
    assert hit.body == miss.body and hit.raw.startswith(b"HTTP/1.1 200 Reason\r\n")


@pytest.mark.parametrize("how,x_cache,pattern", [
    ("miss", "MISS", r"larder; fwd=uri-miss(; stored)?(; ttl=\d+)?; detail=miss"),
    ("hit", "HIT", r"larder; hit; ttl=\d+"),
    ("query", "BYPASS", r"larder; fwd=bypass; detail=query"),
    ("route without a ttl", "PASS", r"larder; fwd=bypass; detail=not-cached"),
    ("no route", "PASS", r"larder; fwd=bypass; detail=no-route"),
    ("write", "PASS", r"larder; fwd=method; detail=not-cached"),
    ("write without a route", "PASS", r"larder; fwd=method; detail=no-route"),
    ("no-store", "MISS", r"larder; fwd=uri-miss; detail=no-store"),
])
def test_cache_status(proxy, origin, how, x_cache, pattern):
    got = {
        "miss": lambda: proxy.get("/a"),
        "hit": lambda: (proxy.get("/a"), proxy.get("/a"))[1],
        "query": lambda: proxy.get("/keyed?x=1"),
        "route without a ttl": lambda: proxy.get("/off"),
        "no route": lambda: proxy.get("/nothing"),
        "write": lambda: proxy.post("/a", b"x"),
        "write without a route": lambda: proxy.post("/nothing", b"x"),
        "no-store": lambda: (origin.script(answer(200, b"x", {"Cache-Control": "no-store"})),
                             proxy.get("/a"))[1],
    }[how]()
    assert got.status == 200 and got.x_cache == x_cache
    assert re.fullmatch(pattern, got.header("cache-status")), got.header("cache-status")
    assert (got.header("age") is not None) == (x_cache == "HIT" or "ttl" in cache_status(got))


def test_the_key_is_not_shown(proxy):
    for fields in ([], [("Cache-Status-Debug", "1")], [("X-Larder-Debug", "1")]):
        assert b"key=" not in proxy.get("/keyed?q=secret", fields).raw


def test_age_and_ttl_move_on(proxy, origin):
    proxy.get("/a")
    hit = eventually(lambda: (h := proxy.get("/a")).header("age") == "1" and h, 5)
    assert 58 <= cache_status(hit)["ttl"] <= 59


def test_age_of_an_upstream_cache_is_continued(proxy, origin):
    origin.route("/a", answer(200, b"x", {"Age": "30", "Cache-Control": "max-age=100"}))
    proxy.get("/a")
    hit = proxy.get("/a")
    assert len(hit.all("age")) == 1 and 30 <= int(hit.header("age")) <= 32
    assert 67 <= cache_status(hit)["ttl"] <= 70


def test_what_an_upstream_cache_said_of_itself(proxy, origin):
    """Its X-Cache is not ours; its Cache-Status is a member before ours (RFC 9211)."""
    origin.route("/a", answer(200, b"x", {"X-Cache": "HIT from elsewhere",
                                          "Cache-Status": "cdn; hit"}))
    miss, hit = proxy.get("/a"), proxy.get("/a")
    assert (miss.all("x-cache"), hit.all("x-cache")) == (["MISS"], ["HIT"])
    for got in (miss, hit):
        members = [m.strip().split(";")[0] for m in got.header("cache-status").split(",")]
        assert members[-1] == "larder" and members in (["larder"], ["cdn", "larder"])


@pytest.mark.parametrize("fields", [
    [("Connection", "X-Secret, close"), ("X-Secret", "swordfish")],
    [("Keep-Alive", "timeout=swordfish")], [("Proxy-Authenticate", "swordfish")],
    [("Upgrade", "swordfish")], [("Trailer", "X-Swordfish")], [("Proxy-Connection", "swordfish")],
    [("TE", "swordfish")],
])
def test_hop_by_hop_fields_are_neither_sent_nor_stored(proxy, origin, fields):
    origin.route("/a", answer(200, b"x", fields))
    for _ in range(2):
        got = proxy.get("/a")
        assert got.status == 200 and b"swordfish" not in got.raw.lower()
    assert got.x_cache == "HIT"


def test_date_is_added_once(proxy, origin):
    for _ in range(2):
        assert len(proxy.get("/a").all("date")) == 1
    given = "Tue, 02 Jan 2024 00:00:00 GMT"
    origin.route("/off", answer(200, b"x", {"Date": given}))
    assert proxy.get("/off").all("date") == [given]


def test_fields_of_the_route(proxy, origin):
    origin.route("/set", answer(200, b"x", {"Server": "secret/1.0", "X-Frame-Options": "ALLOW"}))
    origin.route("/off", answer(200, b"x", {"Server": "secret/1.0"}))
    for target in ("/set", "/set", "/off"):
        got = proxy.get(target)
        assert got.all("x-frame-options") == ["DENY"] and got.header("server") is None
    assert proxy.get("/set").all("x-extra") == ["a b"]


def test_location_at_the_upstream_becomes_relative(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    for value, wanted in ((f"{origin.url}/b?c=d", "/b?c=d"), (origin.url, "/"),
                          ("/relative", "/relative"), ("https://elsewhere.example/x", None),
                          (f"{origin.url}.evil.example/x", None),
                          (f"{origin.url}@evil.example/x", None)):
        origin.route("/off", answer(302, b"", {"Location": value}))
        assert proxy.get("/off").header("location") == (wanted or value)


def test_own_errors(larder, make_origin):
    port = free_port()
    proxy = larder(CONF, origin=f"http://127.0.0.1:{port}")
    for target in ("/a", "/off", "/nothing"):
        got = proxy.get(target)
        assert got.status == 502 and got.header("content-type") == "application/problem+json"
        assert got.header("cache-control") == "no-store"
        problem = got.json()
        assert problem["status"] == 502 and problem["instance"].startswith("urn:request:")
        assert not any(inner in got.text for inner in (str(port), "127.0.0.1", "onnect"))
        assert cache_status(got)["detail"] == "connect"
    make_origin(port=port)
    assert seen(proxy.get("/a"))[0] == "MISS"
    assert proxy.get("/a").x_cache == "HIT"


@pytest.mark.parametrize("method,target,status", [
    ("GET", "/a%00", 400), ("TRACE", "/a", 405), ("FROB", "/a", 501), ("GET", "/../../a", 400),
])
def test_refused_requests_say_so_in_the_same_form(proxy, origin, method, target, status):
    got = proxy.request(method, target)
    assert got.status in (status, 405, 400), got
    assert got.header("content-type") == "application/problem+json"
    assert got.json()["status"] == got.status and "instance" in got.json()
    assert origin.count() == 0


def test_the_log_says_the_same(proxy, origin):
    answers = [proxy.get("/a"), proxy.get("/a"), proxy.get("/keyed?x=1"), proxy.get("/off"),
               proxy.post("/a", b"x")]
    lines = proxy.access_log(len(answers))
    told = sorted((line["cache"], line["reason"], line["status"]) for line in lines)
    assert told == sorted((a.x_cache, cache_status(a).get("detail", "-"), a.status)
                          for a in answers)
