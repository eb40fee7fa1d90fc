"""The dashboard behind `route … { admin }` on the data port, and how it deals with tokens."""

import pytest

from lib.admin import TOKEN, is_problem, start_admin, with_admin
from lib.dashboard import is_live, only
from lib.origin import answer
from lib.wait import eventually

CONF = """
upstream main %ORIGIN%
defaults { upstream main }
route GET /item/{n} { scope public; key item:{n}; ttl 1h }
route GET,POST,DELETE /ops/* { admin }
"""


@pytest.fixture
def proxy(larder, origin):
    origin.default = answer(200, b"body")
    return start_admin(larder, CONF, origin=origin.url)[0]


def test_only_the_page_is_open(proxy):
    page = proxy.get("/ops/")
    assert page.status == 200 and page.header("content-type") == "text/html; charset=utf-8"
    policy = page.header("content-security-policy")
    assert "frame-ancestors 'none'" in policy and "connect-src 'self'" in policy
    assert page.header("x-frame-options") == "DENY"
    assert page.header("cache-control") == "no-store" and page.x_cache == "PASS"
    assert page.header("access-control-allow-origin") is None
    assert TOKEN.encode() not in page.body and b'data-token="needed"' in page.body
    assert proxy.request("HEAD", "/ops/").status == 200
    for path in ("livez", "readyz", "health", "stats", "metrics", "log", "config", "routes",
                 "api/cache/stats", "nothing"):
        is_problem(proxy.get(f"/ops/{path}"), 401)
    for path in ("clear-all", "invalidate/x", "refresh", "reload"):
        is_problem(proxy.request("POST", f"/ops/{path}"), 401)
    is_problem(proxy.request("POST", "/ops/"), 401)
    is_problem(proxy.request("DELETE", "/ops/cache?all=yes"), 401)
    is_problem(proxy.get("/ops/?pattern=x"), 400)


def test_behind_a_prefix(proxy, chromium):
    url = f"http://127.0.0.1:{proxy.port}/ops/"
    for _ in range(3):
        assert proxy.get("/item/1").status == 200
    chromium.open(url)
    assert chromium.shown("#login") and not chromium.shown("#board")
    # A wrong token: one request, one message, and then nothing until there is another one.
    chromium.type("#token", "wrong-token-wrong")
    chromium.click("#login button")
    chromium.wait(lambda: chromium.shown("#login-error"), "a refusal")
    assert "not accepted" in chromium.text("#login-error")
    asked = len(chromium.requests())
    chromium.js("window.mark = performance.now()")
    eventually(lambda: chromium.js("return performance.now() - window.mark > 2600"), 20)
    assert len(chromium.requests()) == asked
    assert len([m for m in chromium.console() if "401" in m["message"]]) == 1
    chromium.type("#token", TOKEN)
    chromium.click("#login button")
    chromium.wait(lambda: is_live(chromium), "the board")
    only(chromium, url)
    assert all(TOKEN not in u for u in chromium.requests())
    # Its own requests come through the data port now; they are not shown to who looks at others'.
    proxy.get("/unknown")
    chromium.wait(lambda: "/unknown" in chromium.text("#log"), "the request in the log")
    chromium.click("#log-all")
    assert "/item/1" in chromium.text("#log") and "/ops/" not in chromium.text("#log")
    # Buttons work through the route as well: Origin and Host are those of the data port.
    assert proxy.get("/item/1").x_cache == "HIT"
    chromium.click("#open-clear")
    chromium.click("#clear input[value=all]")
    chromium.click("#clear-go")
    chromium.wait(lambda: chromium.shown("#clear-ask"), "the question")
    chromium.click("#clear-go")
    chromium.wait(lambda: chromium.shown("#clear-result"), "the result")
    assert chromium.text("#clear-result").startswith("Cleared.")
    assert proxy.get("/item/1").x_cache == "MISS"
    only(chromium, url)


def test_a_token_in_the_fragment(proxy, chromium):
    url = f"http://127.0.0.1:{proxy.port}/ops/"
    chromium.open(f"{url}#token={TOKEN}")
    chromium.wait(lambda: is_live(chromium), "the board")
    assert chromium.js("return location.href") == url
    assert all(TOKEN not in u for u in chromium.requests()[1:])
    history = chromium.driver.execute_cdp_cmd("Page.getNavigationHistory", {})["entries"]
    assert [e["url"] for e in history if TOKEN in e["url"]] == []
    chromium.driver.refresh()  # the tab keeps it
    chromium.wait(lambda: is_live(chromium), "the board")
    only(chromium, url)


def test_the_token_changes_under_way(proxy, chromium):
    url = f"http://127.0.0.1:{proxy.port}/ops/"
    chromium.open(url, token=TOKEN)
    chromium.wait(lambda: is_live(chromium), "the board")
    other = TOKEN[::-1]
    proxy.reload(with_admin(CONF)[0].replace(TOKEN, other), wait="reload done")
    chromium.wait(lambda: chromium.shown("#login-error"), "the question for the new token")
    assert "no longer accepted" in chromium.text("#login-error")
    assert not chromium.shown("#board")
    assert len([m for m in chromium.console() if "401" in m["message"]]) == 1
    chromium.type("#token", other)
    chromium.click("#login button")
    chromium.wait(lambda: is_live(chromium), "the board")
    only(chromium, url)


def test_other_sites_get_nothing(proxy, chromium, make_origin):
    """A page of another origin can neither frame the dashboard nor read or change anything,
    not even with the token."""
    target = f"http://127.0.0.1:{proxy.port}/ops/"
    evil = make_origin()
    evil.default = answer(200, f"""<!doctype html><title>evil</title><link rel=icon href=data:,>
<iframe id=f src="{target}"></iframe><script>
const seen = window.seen = {{}};
const put = (name, promise) => promise.then(r => seen[name] = 'open ' + r.status, () => seen[name] = 'refused');
put('page', fetch('{target}'));
put('stats', fetch('{target}stats', {{headers: {{Authorization: 'Bearer {TOKEN}'}}}}));
put('clear', fetch('{target}clear-all', {{method: 'POST', headers: {{Authorization: 'Bearer {TOKEN}'}}}}));
put('plain', fetch('{target}clear-all', {{method: 'POST', mode: 'no-cors'}}).then(() => {{ throw 0; }}));
</script>""".encode(), {"Content-Type": "text/html"})
    assert proxy.get("/item/1").x_cache == "MISS"
    chromium.open(evil.url + "/")
    seen = chromium.wait(lambda: len(chromium.js("return window.seen")) == 4 and
                         chromium.js("return window.seen"), "the attempts")
    assert seen == {"page": "refused", "stats": "refused", "clear": "refused", "plain": "refused"}
    chromium.wait(lambda: any("frame" in m["message"].lower() for m in chromium.console()),
                  "the refusal of the frame")
    assert proxy.get("/item/1").x_cache == "HIT"


@pytest.mark.parametrize("trusted", [True, False])
def test_where_tls_ends_in_front(larder, origin, trusted):
    """The page's origin is https then; who says so must be trusted."""
    conf = ("trusted_proxies 127.0.0.1\n" if trusted else "") + CONF
    proxy = start_admin(larder, conf, origin=origin.url)[0]
    fields = [("Host", "api.test"), ("Authorization", f"Bearer {TOKEN}"), ("X-Forwarded-Proto", "https"),
              ("Origin", "https://api.test"), ("Sec-Fetch-Site", "same-origin")]
    assert proxy.request("POST", "/ops/clear-all", fields).status == (200 if trusted else 403)
