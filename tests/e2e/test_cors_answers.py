"""`cors`: the fields are computed for each answer, whatever it is and wherever it comes from."""

import gzip

import pytest

from lib.cache import miss_then_hit, seen
from lib.larder import run_cli
from lib.origin import Reset, answer
from lib.ranges import part

APP = "https://app.example.com"
OTHER = "https://evil.test"

CONF = """
upstream main %ORIGIN%
cors https://app.example.com https://*.example.org credentials=on expose=X-Total,Link
defaults { ttl 60s }
type off { cors off; scope public }
route GET  /data { scope public; key data; etag on }
route GET  /zip  { scope public; key zip; compress 100 }
route GET  /by   { scope public; key by; ttl origin }
route GET  /any  { scope public; key any; cors * }
route GET  /off  { type off; key off }
route GET  /old  { scope public; key old; ttl 0s; stale 1h; stale_if_error 1h }
route POST /data { max_body 10 }
route GET  /pass { ttl off }
"""

BODY = b"answer " * 100
BACKENDS = [("Access-Control-Allow-Origin", "https://other.test"),
            ("Access-Control-Allow-Credentials", "yes"), ("access-control-expose-headers", "*"),
            ("Access-Control-Max-Age", "5"), ("Vary", "Origin"), ("X-Total", "7"),
            ("Content-Type", "text/plain")]


def fields(r):
    """The answer's CORS fields; none stands twice."""
    names = [n for n, _ in r.headers if n.startswith("access-control-")]
    assert len(names) == len(set(names)), r
    return {n[len("access-control-"):]: v for n, v in r.headers
            if n.startswith("access-control-")}


def varies(r):
    return "origin" in (r.header("vary") or "").lower()


FULL = {"allow-origin": APP, "allow-credentials": "true", "expose-headers": "X-Total, Link"}


def check(r, origin=APP):
    assert fields(r) == ({**FULL, "allow-origin": origin} if origin else {}), r
    assert varies(r)


@pytest.fixture
def proxy(larder, origin):
    origin.default = lambda x: x.answer(200, BODY, BACKENDS)
    return larder(CONF, origin=origin.url)


@pytest.mark.parametrize("path", ["/data", "/zip", "/by"])
def test_an_entry_serves_every_origin(proxy, origin, path):
    origin.route(path, answer(200, BODY, BACKENDS + [("Cache-Control", "max-age=60")]))
    for i, (asks, gets) in enumerate([
            (APP, APP), (OTHER, None), ("https://a.example.org", "https://a.example.org"),
            ("https://a.b.example.org", "https://a.b.example.org"), (None, None),
            ("null", None), ("https://example.org", None), (APP + ".evil.test", None),
            ("http://app.example.com", None), (APP, APP)]):
        r = proxy.get(path, {"Origin": asks} if asks else {})
        assert (r.status, r.body, r.x_cache) == (200, BODY, "HIT" if i else "MISS")
        assert r.header("x-total") == "7"
        check(r, gets)
    assert origin.count(path) == 1
    assert origin.requests[0].header("origin") is None


def test_everybody(proxy, origin):
    for headers in ({}, {"Origin": OTHER}, {"Origin": APP}):
        r = proxy.get("/any", headers)
        assert fields(r) == {"allow-origin": "*"}
        assert not varies(r)
    assert origin.count("/any") == 1


def test_where_it_is_off_the_backend_decides(proxy, origin):
    origin.route("/off", answer(200, BODY, [("Access-Control-Allow-Origin", "x")]))
    for _ in range(2):
        assert fields(proxy.get("/off", {"Origin": APP})) == {"allow-origin": "x"}


def test_every_kind_of_hit(proxy):
    miss_then_hit(proxy, "/data")
    with_origin = {"Origin": APP}
    check(proxy.request("HEAD", "/data", with_origin))
    tag = proxy.get("/data").header("etag")
    r = proxy.get("/data", {**with_origin, "If-None-Match": tag})
    assert r.status == 304
    check(r)
    r = proxy.get("/data", {**with_origin, "Range": "bytes=0-9"})
    assert part(r)[3] == BODY[:10]
    check(r)
    r = proxy.get("/data", {**with_origin, "Range": "bytes=0-1,5-6"})
    assert r.status == 206
    check(r)
    r = proxy.get("/data", {**with_origin, "Range": "bytes=5000-"})
    assert r.status == 416
    check(r)
    miss_then_hit(proxy, "/zip")
    r = proxy.get("/zip", {**with_origin, "Accept-Encoding": "gzip"})
    assert gzip.decompress(r.body) == BODY
    check(r)
    assert "Accept-Encoding" in r.header("vary")


def test_every_kind_of_pass(proxy, origin):
    for target in ("/pass", "/no/such/route"):
        r = proxy.get(target, {"Origin": APP})
        assert (r.status, r.x_cache) == (200, "PASS")
        check(r)
        check(proxy.get(target, {"Origin": OTHER}), None)
    assert proxy.get("/pass", {"Origin": APP}).header("x-total") == "7"
    r = proxy.post("/data", b"x", {"Origin": APP})
    assert r.status == 200
    check(r)
    r = proxy.request("OPTIONS", "/pass", {"Origin": APP})  # no preflight
    assert r.status == 200
    check(r)
    assert all(r.header("origin") in (APP, OTHER) for r in origin.requests)


def test_every_kind_of_error(proxy, origin):
    origin.route("/pass", Reset())
    r = proxy.get("/pass", {"Origin": APP})
    assert (r.status, seen(r)[1] if r.x_cache else "reset") == (502, "reset")
    check(r)
    origin.route("/data", Reset())
    r = proxy.get("/data", {"Origin": APP})
    assert r.status == 502
    check(r)
    origin.route("/data", answer(500, b"oops", BACKENDS))
    r = proxy.get("/data", {"Origin": APP})
    assert r.status == 500
    check(r)
    r = proxy.post("/data", b"x" * 11, {"Origin": APP})
    assert r.status == 413
    check(r)
    check(proxy.post("/data", b"x" * 11, {"Origin": OTHER}), None)


def test_stale_answers(proxy, origin):
    proxy.get("/old")
    origin.route("/old", Reset())
    for asks, gets in ((APP, APP), (OTHER, None)):
        r = proxy.get("/old", {"Origin": asks})
        assert (r.status, r.x_cache) == (200, "STALE")
        check(r, gets)


def test_what_a_304_says_is_dropped_too(proxy, origin):
    headers = BACKENDS + [("Cache-Control", "max-age=0"), ("ETag", '"v"')]
    origin.route("/by", lambda x: x.answer(
        *((304, b"") if x.request.header("if-none-match") else (200, BODY)), headers=headers))
    proxy.get("/by")
    for _ in range(2):
        r = proxy.get("/by", {"Origin": APP})
        assert r.x_cache == "REVALIDATED"
        check(r)


def test_a_repeated_origin_gets_nothing(proxy):
    check(proxy.get("/data", [("Origin", APP), ("Origin", APP)]), None)
    check(proxy.get("/data", {"Origin": f"{APP}, {APP}"}), None)
    check(proxy.get("/data", {"Origin": ""}), None)


def test_other_variants_remain(larder, origin):
    origin.route("/by", lambda x: x.answer(200, x.request.header("x-lang", "-"), [
        ("Vary", "Origin, X-Lang"), ("Cache-Control", "max-age=60")]))
    proxy = larder(CONF, origin=origin.url)
    for i in range(2):
        for lang in ("en", "de"):
            r = proxy.get("/by", {"X-Lang": lang, "Origin": f"https://o{i}.example.org"})
            assert (r.text, r.x_cache) == (lang, "HIT" if i else "MISS")
            check(r, f"https://o{i}.example.org")


def test_entries_of_the_other_kind_are_not_used(larder, origin):
    """After a reload the stored fields would be the backend's, or would lack them."""
    origin.route("/data", answer(200, BODY, [("Access-Control-Allow-Origin", "backend")]))
    conf = "upstream main %ORIGIN%\nroute GET /data { ttl 60s; scope public; key data; %CORS% }\n"
    proxy = larder(conf, origin=origin.url, cors="")
    miss_then_hit(proxy, "/data")
    proxy.reload(cors="cors https://app.example.com", conf=conf)
    r = proxy.get("/data", {"Origin": APP})
    assert (fields(r), r.x_cache) == ({"allow-origin": APP}, "MISS")
    miss_then = proxy.get("/data", {"Origin": APP})
    assert miss_then.x_cache == "HIT"
    proxy.reload(cors="", conf=conf)
    r = proxy.get("/data", {"Origin": APP})
    assert (fields(r), r.x_cache) == ({"allow-origin": "backend"}, "MISS")


def test_check_refuses_what_would_open_the_users_sessions(tmp_path):
    conf = tmp_path / "p.conf"
    conf.write_text("upstream a http://127.0.0.1:1\nroute GET /x { cors * credentials=on }\n")
    r = run_cli("check", "-c", conf)
    assert r.returncode != 0
    assert "`*` cannot be combined with credentials=on" in r.stdout + r.stderr
