"""Web cache deception: a page of one's own, asked for under a name that looks public.

Routes are anchored and nothing is cached because of its extension; and a public route's backend
never learns who asks.
"""

import pytest

from lib.origin import answer
from lib.tokens import bearer, make_jwt

ROUTES = """
upstream main %ORIGIN%
route GET /static/*      { scope public; ttl 60s }
route GET /assets/{file} { scope public; ttl 60s }
route GET /robots.txt    { scope public; ttl 60s }
route GET /account       { ttl off }
route GET /me            { scope public; ttl 60s }
"""
BY_ORIGIN = """
upstream main %ORIGIN%
route GET /* { scope public; ttl origin }
"""
DELIMITERS = ["", "/", ";", "%2f", "%2F", "%3b", "%3f", "%23", "%0a", "%00", "%09", "%20", "!", "$",
              "%5c", "..;/", "/..%2f", "//", "%2e%2e/"]
SUFFIXES = [f"{d}{tail}" for d in DELIMITERS for tail in ("x.css", ".js", "static/x.css")]
TARGETS = [f"/account{s}" for s in SUFFIXES] + [
    "/static/../account", "/static/..%2faccount", "/static/%2e%2e/account", "/static/..;/account",
    "/static//../account", "/static/x/../../account", "/assets/..%2faccount",
    "/assets/..%5caccount", "/robots.txt/../account", "/robots.txt%2f..%2faccount",
    "/account?x=.css", "/account?/static/x.css", "/account#/static/x.css", "//account",
    "/./account", "/ACCOUNT", "/account/", "/account/.", "/me"]
SESSION = [("Cookie", "sid=victim")] + bearer(make_jwt(sub="victim"))


@pytest.fixture
def shop(origin):
    """A careless backend: whatever looks like the account is it, and it sends no Cache-Control."""
    def serve(exchange):
        request = exchange.request
        whole = request.target.lower()
        who = "victim" if request.header("cookie") or request.header("authorization") else "nobody"
        exchange.run(answer(200, f"{whole} secret of {who}", {"Content-Type": "text/html"}))
    origin.default = serve
    return origin


@pytest.mark.parametrize("conf", ["routes", "by origin"])
def test_a_strangers_request_never_shows_it(larder, shop, conf):
    proxy = larder(ROUTES if conf == "routes" else BY_ORIGIN, origin=shop.url)
    shown = 0
    for target in TARGETS:
        mine = proxy.get(target, SESSION)
        assert mine.status in (200, 400), (target, mine)
        shown += b"secret of victim" in mine.body
        for _ in range(2):
            theirs = proxy.get(target)
            assert b"victim" not in theirs.body, (target, theirs)
    assert shown > 10  # the backend did give it away where it was asked


def test_where_the_origin_calls_it_public_it_is(larder, origin):
    """`ttl origin` believes `public, max-age`; with a cookie set or a token it does not."""
    proxy = larder(BY_ORIGIN, origin=origin.url)
    origin.route("/x.css", answer(200, b"secret", {"Cache-Control": "max-age=60"}))
    assert proxy.get("/x.css", bearer("t")).body == b"secret"
    origin.route("/x.css", answer(200, b"public"))
    assert proxy.get("/x.css").body == b"public"
    origin.route("/y.css", answer(200, b"secret", {"Cache-Control": "max-age=60",
                                                   "Set-Cookie": "s=1"}))
    assert proxy.get("/y.css").body == b"secret"
    origin.route("/y.css", answer(200, b"public"))
    assert proxy.get("/y.css").body == b"public"
