"""`bypass if` and `store if`: what passes around the cache, what is not stored, and why."""

from lib.origin import LAST_CHUNK, answer, chunk

CONF = """
upstream main %ORIGIN%
defaults { upstream main; ttl 60s }
route GET /b/{id} {
    scope public; query nocache page
    bypass if header X-Preview; bypass if cookie session; bypass if query nocache=1
}
route GET /s/{id} {
    scope public; status 200 203 404
    store if status 200 203; store if header Content-Type ~ application/json
    store if size >= 10b size < 100b; store if not cookie beta
}
"""


def detail(r):
    return r.header("cache-status").rsplit("detail=", 1)[-1]


def test_bypass(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    assert proxy.get("/b/1").x_cache == "MISS"
    assert proxy.get("/b/1").x_cache == "HIT"
    for target, headers in [("/b/1", [("X-Preview", "1")]), ("/b/1", [("Cookie", "a=b; session=")]),
                            ("/b/1?nocache=1&page=2", [])]:
        r = proxy.get(target, headers)
        assert (r.x_cache, detail(r)) == ("BYPASS", "condition")
        assert "stored" not in r.header("cache-status")
    sent = origin.seen("/b/1")
    assert len(sent) == 4
    assert sent[2].header("cookie") == "a=b; session="  # unchanged: it is not shared
    assert sent[3].target == "/b/1?nocache=1&page=2"
    # A bypass neither stores nor replaces: the first answer is still there.
    r = proxy.get("/b/1")
    assert (r.x_cache, r.body) == ("HIT", b"serial 1 /b/1")
    assert proxy.get("/b/1?nocache=0").x_cache == "MISS"


def test_bypass_needs_no_identity(larder, origin):
    """The condition comes first: it costs no verification and leaks no reason."""
    proxy = larder("""
upstream main %ORIGIN%
identity user credential
route GET /u { key u:{user}; ttl 60s; bypass if header X-Preview }
""", origin=origin.url)
    assert detail(proxy.get("/u", [("X-Preview", "1")])) == "condition"
    assert detail(proxy.get("/u")) == "no-user"


def two(proxy, target, headers=()):
    first, second = proxy.get(target, headers), proxy.get(target, headers)
    assert first.body == second.body
    return second.x_cache, detail(second), first


def test_store(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    json = [("Content-Type", "application/json; charset=utf-8")]
    body = b'{"a": 12345}'
    origin.route("/s/good", answer(200, body, json))
    origin.route("/s/status", answer(404, body, json))
    origin.route("/s/type", answer(200, body, [("Content-Type", "text/html")]))
    origin.route("/s/small", answer(200, b"{}", json))
    origin.route("/s/large", answer(200, b"x" * 100, json))
    origin.route("/s/least", answer(200, b"x" * 10, json))
    origin.route("/s/most", answer(200, b"x" * 99, json))
    assert two(proxy, "/s/good")[0] == "HIT"
    assert two(proxy, "/s/least")[0] == "HIT"
    assert two(proxy, "/s/most")[0] == "HIT"
    for name in ("status", "type", "small", "large"):
        x_cache, _, first = two(proxy, f"/s/{name}")
        assert x_cache == "MISS", name
        assert detail(first) == "condition", name
        assert origin.count(f"/s/{name}") == 2
    # A request's own cookie decides whether its answer is stored, not whether it is served.
    assert proxy.get("/s/good", [("Cookie", "beta=1")]).x_cache == "HIT"
    origin.route("/s/beta", answer(200, body, json))
    assert detail(proxy.get("/s/beta", [("Cookie", "beta=1")])) == "condition"


def test_size_known_at_the_end(larder, origin):
    """Without Content-Length the bounds are found on the way: every byte arrives all the same."""
    proxy = larder(CONF, origin=origin.url)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    for name, pieces, stored in (("small", [b"12345", b"6789"], False),
                                 ("fits", [b"12345", b"67890"], True),
                                 ("large", [b"x" * 60, b"y" * 60], False)):
        origin.route(f"/s/{name}", [head, *[chunk(p) for p in pieces], LAST_CHUNK])
        for n in range(3):
            r = proxy.get(f"/s/{name}")
            assert r.body == b"".join(pieces)
            assert (r.x_cache == "HIT") == (stored and n > 0), (name, n)


def test_validated_answer_is_judged_again(larder, origin):
    """A 304 that makes a stored answer fail its conditions takes it out."""
    proxy = larder("""
upstream main %ORIGIN%
route GET /v { scope public; key v:{query}; ttl origin; store if header X-Env=a }
""", origin=origin.url)
    tag = ("ETag", '"1"')
    origin.route("/v", answer(200, b"one", [tag, ("X-Env", "a"), ("Cache-Control", "max-age=0")]))
    assert proxy.get("/v").body == b"one"
    origin.route("/v", answer(304, b"", [tag, ("Cache-Control", "max-age=60")]))
    assert proxy.get("/v").x_cache == "REVALIDATED"
    assert proxy.get("/v").x_cache == "HIT"
    origin.route("/v", answer(200, b"one", [tag, ("X-Env", "a"), ("Cache-Control", "max-age=0")]))
    assert proxy.get("/v?2").x_cache != "HIT"
    origin.route("/v", answer(304, b"", [tag, ("X-Env", "b"), ("Cache-Control", "max-age=60")]))
    assert proxy.get("/v?2").x_cache != "HIT"
    origin.route("/v", answer(200, b"two", [tag, ("X-Env", "a")]))
    assert proxy.get("/v?2").body == b"two"
