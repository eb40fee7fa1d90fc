"""Identities from cookies and from whole credentials."""

from lib.cache import miss_then_hit, seen
from lib.tokens import SECRET, make_jwt

CONF = f"""
upstream main %ORIGIN%
jwt      session alg=HS256 secret={SECRET} from=cookie:session
identity user   jwt=session claim=sub
identity token  credential
identity cart   credential cookie=cart
route GET /user  {{ key user:{{user}}; ttl 60s }}
route GET /token {{ key token:{{token}}; ttl 60s }}
route GET /cart  {{ key cart:{{cart}}; ttl 60s }}
"""


def cookie(**values):
    return [("Cookie", "; ".join(f"{n}={v}" for n, v in values.items()))]


def test_token_in_a_cookie(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    ann, bob = make_jwt(sub="ann"), make_jwt(sub="bob")
    one = miss_then_hit(proxy, "/user", cookie(session=ann, theme="dark"))
    assert proxy.get("/user", cookie(theme="light", session=ann)).body == one.body
    assert miss_then_hit(proxy, "/user", cookie(session=bob)).body != one.body
    # Of the cookies the backend sees the one that names the user.
    told = [r.all("cookie") for r in origin.seen("/user")]
    assert told == [[f"session={ann}"], [f"session={bob}"]]
    assert seen(proxy.get("/user", cookie(theme="dark"))) == ("BYPASS", "no-user")
    assert seen(proxy.get("/user", cookie(session=ann + "x"))) == ("BYPASS", "bad-identity")
    assert seen(proxy.get("/user", [("Authorization", f"Bearer {ann}")])) == ("BYPASS", "no-user")


def test_two_session_cookies_are_nobodys(larder, origin):
    """Backends differ in which one they take."""
    proxy = larder(CONF, origin=origin.url)
    ann, bob = make_jwt(sub="ann"), make_jwt(sub="bob")
    good = miss_then_hit(proxy, "/user", cookie(session=ann))
    for fields in ([("Cookie", f"session={ann}; session={bob}")],
                   [("Cookie", f"session={bob}; session={ann}")],
                   [("Cookie", f"session={ann}"), ("Cookie", f"session={bob}")]):
        answer = proxy.get("/user", fields)
        assert seen(answer) == ("BYPASS", "bad-identity") and answer.body != good.body


def test_each_credential_has_a_copy(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    values = ["Bearer a", "Bearer b", "bearer a", "Basic YTpi", "Bearer a "[:-1] + "a", "a"]
    bodies = [miss_then_hit(proxy, "/token", [("Authorization", v)]).body for v in values]
    assert len(set(bodies)) == len(values)
    assert [r.header("authorization") for r in origin.seen("/token")] == values
    assert seen(proxy.get("/token")) == ("BYPASS", "no-token")
    assert seen(proxy.get("/token", [("Authorization", "")])) == ("BYPASS", "no-token")


def test_each_cookie_has_a_copy(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    bodies = [miss_then_hit(proxy, "/cart", cookie(cart=v)).body for v in ("1", "2", "10")]
    assert len(set(bodies)) == 3
    assert seen(proxy.get("/cart", cookie(other="1"))) == ("BYPASS", "no-cart")
    assert seen(proxy.get("/cart", [("Cookie", "cart=1; cart=2")])) == ("BYPASS", "bad-identity")
