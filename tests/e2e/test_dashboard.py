"""The dashboard of the admin plane in a real browser."""

import urllib.request

import pytest

from lib.dashboard import TOKEN, Site, is_live, only
from lib.origin import answer
from lib.ports import free_port
from lib.wait import eventually


@pytest.fixture
def site(larder, origin):
    return Site(larder, origin)


def test_the_page_needs_no_token_and_shows_nothing(site):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(site.url, timeout=20) as response:
        page, fields = response.read().decode(), response.headers
    assert fields["Content-Type"] == "text/html; charset=utf-8"
    assert fields["Cache-Control"] == "no-store"
    assert fields["X-Content-Type-Options"] == "nosniff"
    policy = fields["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy and "connect-src 'self'" in policy
    assert TOKEN not in page and "products" not in page.split("<script>")[0].replace(
        'placeholder="products:list:*"', "")


def test_login_and_figures(site, chromium):
    site.traffic()
    site.settle(8)
    chromium.open(site.url)
    assert chromium.shown("#login") and not chromium.shown("#board")
    assert not chromium.shown("#open-clear")
    only(chromium, site.url)
    chromium.type("#token", "wrong-token-wrong")
    chromium.click("#login button")
    chromium.wait(lambda: chromium.shown("#login-error"), "a refusal")
    assert chromium.text("#login-error") == "This token was not accepted."
    refused = chromium.console()
    assert len(refused) == 1 and "401" in refused[0]["message"]
    chromium.type("#token", TOKEN)
    chromium.click("#login button")
    chromium.wait(lambda: is_live(chromium), "the board")
    stats = site.ask("stats")
    assert stats["total_requests"] == 8
    for name in ("total_requests", "errors"):
        assert chromium.text(f"[data-stat={name}]") == str(stats[name])
    assert chromium.text("[data-stat=hit_rate]") == f"{stats['hit_rate']:.1f}"
    rows = chromium.js("return [...document.querySelectorAll('#routes tbody tr')].map("
                       "r => [...r.children].map(c => c.textContent))")
    cells = {row[0]: row for row in rows}
    item = cells["GET /api/products/{id}product"]
    assert item[1:5] == ["66.7 %", "6", "4", "2"]
    assert cells["GET /api/productsproduct"][2:5] == ["1", "0", "1"]
    reasons = chromium.js("return [...document.querySelectorAll('#reasons li')].map("
                          "r => [r.children[0].textContent, r.children[1].textContent])")
    assert ["miss", "3"] in reasons and ["no-route", "1"] in reasons
    # Live: what happens now is seen without a reload, and drawn.
    site.proxy.get("/api/products/7")
    chromium.wait(lambda: chromium.text("[data-stat=total_requests]") == "9", "the next request")
    chromium.wait(lambda: chromium.js("return document.querySelectorAll('#chart path').length") == 7,
                  "the chart")
    only(chromium, site.url)
    # The token is kept by the tab, and forgotten when told so.
    chromium.driver.refresh()
    chromium.wait(lambda: is_live(chromium), "the board after a reload")
    chromium.click("#logout")
    assert chromium.shown("#login") and not chromium.shown("#board")
    assert chromium.js("return sessionStorage.getItem('larder-token')") is None


def test_what_was_asked_before_logging_out_is_not_shown(site, chromium):
    chromium.open(site.url, token=TOKEN)
    chromium.wait(lambda: is_live(chromium), "the board")
    # Answers wait at the gate until it is opened; those to the first question pass.
    chromium.js("""
        const real = window.fetch;
        window.held = 0;
        const gate = new Promise((open) => { window.openGate = open; });
        window.fetch = async (url, options) => {
          const answer = await real(url, options);
          if (url.includes('stats')) return answer;
          window.held += 1;
          await gate;
          return answer;
        };""")
    chromium.wait(lambda: chromium.js("return window.held") >= 3, "answers at the gate")
    chromium.click("#logout")
    chromium.type("#token", "half a tok")
    assert chromium.js("""
        const seen = [];
        new MutationObserver(() => seen.push(document.getElementById('login').hidden))
          .observe(document.getElementById('login'), { attributes: true });
        window.openGate();
        await new Promise((done) => setTimeout(done, 500));
        return seen;""") == []
    assert chromium.shown("#login") and not chromium.shown("#board")
    assert chromium.find("#token").get_property("value") == "half a tok"


def test_without_a_token(larder, origin, chromium):
    site = Site(larder, origin, token="")
    chromium.open(site.url)
    chromium.wait(lambda: is_live(chromium), "the board")
    assert not chromium.shown("#login") and not chromium.shown("#logout")
    assert "No request has come yet" in chromium.text("#routes-empty")
    assert chromium.shown("#routes-empty")
    only(chromium, site.url)


def clear(browser, kind, text, go=True):
    """Opens the dialog and fills it in, up to the question."""
    browser.click("#open-clear")
    browser.click(f"#clear input[value={kind}]")
    if text:
        browser.type("#clear-text", text)
    browser.click("#clear-go")
    browser.wait(lambda: browser.shown("#clear-ask"), "the question")


def cleared(browser):
    browser.wait(lambda: browser.shown("#clear-result"), "the result")
    assert browser.text("#clear-result").startswith("Cleared.")


def test_clear(site, chromium):
    def cache(target):
        return site.proxy.get(target).header("x-cache")

    site.traffic()
    chromium.open(site.url, token=TOKEN)
    chromium.wait(lambda: is_live(chromium), "the board")
    clear(chromium, "pattern", "products:item:*")
    assert "products:item:*" in chromium.text("#clear-ask")
    assert cache("/api/products/7") == "HIT"  # nothing happens before the answer
    chromium.click("#clear-cancel")
    assert chromium.shown("#clear-text")
    chromium.click("#clear-cancel")
    assert not chromium.shown("#clear") and cache("/api/products/7") == "HIT"
    clear(chromium, "pattern", "products:item:*")
    chromium.click("#clear-go")
    cleared(chromium)
    assert "Journal position" in chromium.text("#clear-result")
    assert cache("/api/products/7") == "MISS" and cache("/api/products?page=1") == "HIT"
    chromium.click("#clear-cancel")
    clear(chromium, "type", "product")
    chromium.click("#clear-go")
    cleared(chromium)
    assert cache("/api/products?page=1") == "MISS"
    chromium.click("#clear-cancel")
    # What Larder refuses is said.
    clear(chromium, "type", "unknown")
    chromium.click("#clear-go")
    chromium.wait(lambda: chromium.shown("#clear-result"), "the refusal")
    assert "Refused: no route has the type" in chromium.text("#clear-result")
    assert "404" in chromium.console()[0]["message"]
    chromium.click("#clear-cancel")
    assert cache("/api/products/8") == "MISS" and cache("/api/products/8") == "HIT"
    clear(chromium, "all", "")
    chromium.click("#clear-go")
    cleared(chromium)
    assert cache("/api/products/8") == "MISS"
    only(chromium, site.url)


def test_hostile_names(site, chromium):
    evil = "<img src=x onerror=window.pwned=1>'\"><svg onload=window.pwned=1>"
    quoted = "".join(f"%{b:02x}" for b in evil.encode())
    for _ in range(2):
        assert site.proxy.get(f"/api/products/{quoted}?page={quoted}",
                              headers=[("User-Agent", evil)]).status == 200
        assert site.proxy.get(f"/api/products?page={quoted}").status == 200
        assert site.proxy.get(f"/quick?{quoted}={quoted}").status == 200
        assert site.proxy.get(f"/none/{quoted}").status == 200
    site.settle(8)
    chromium.open(site.url, token=TOKEN)
    # The server's own words may hold anything as well.
    chromium.js("""
        const real = window.fetch;
        window.fetch = async (...a) => {
            const r = await real(...a), json = await r.json(), evil = arguments[0];
            for (const x of json.routes || []) { x.route = evil; x.type = evil; x.site = evil; }
            if (json.reasons) json.reasons[evil] = window.grows = (window.grows || 0) + 7;
            if (json.version) json.version = evil;
            for (const u of json.upstreams || []) { u.upstream = evil; u.servers[0].address = evil; }
            if (Array.isArray(json.keys)) for (const k of json.keys) k.name = evil;
            for (const q of json.requests || []) { q.path = evil; q.reason = evil; q.cache = evil; }
            if (json.problems) json.problems = [{what: evil, detail: evil, since: evil}];
            return new Response(JSON.stringify(json), {status: r.status});
        };
        document.getElementById('board').hidden = true;
    """, evil)
    chromium.wait(lambda: evil in chromium.text("#routes") and evil in chromium.text("#reasons")
                  and evil in chromium.text("#parts"), "the names")
    assert chromium.js("return window.pwned") is None
    assert chromium.js("return document.querySelectorAll('main img, main script, header img, main svg[onload]').length") == 0
    only(chromium, site.url)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_phone(site, chromium, dark):
    site.traffic()
    chromium.open(site.url, width=390, height=800, dark=dark, token=TOKEN)
    chromium.wait(lambda: is_live(chromium), "the board")
    assert chromium.js("return document.documentElement.scrollWidth") <= 390
    wide = chromium.js("""return [...document.querySelectorAll('body *')].filter(e => {
        const r = e.getBoundingClientRect();
        return r.width > 0 && r.right > 391 && !e.closest('svg') && getComputedStyle(e).position !== 'absolute';
    }).map(e => e.outerHTML.slice(0, 80))""")
    assert wide == []
    color = chromium.js("return getComputedStyle(document.body).backgroundColor")
    level = sum(int(c) for c in color[4:-1].split(","))
    assert level < 120 if dark else level > 600
    # The switch turns it round, for good.
    chromium.click("#theme")
    other = chromium.js("return getComputedStyle(document.body).backgroundColor")
    assert other != color
    chromium.driver.refresh()
    chromium.wait(lambda: is_live(chromium), "the board")
    assert chromium.js("return getComputedStyle(document.body).backgroundColor") == other
    chromium.js("localStorage.clear()")
    # The dialog fits as well.
    chromium.click("#open-clear")
    assert chromium.js("return document.documentElement.scrollWidth") <= 390
    only(chromium, site.url)


def test_labels(site, chromium):
    """Every control has a name, every heading comes in order, focus can be seen."""
    chromium.open(site.url, token=TOKEN)
    chromium.wait(lambda: is_live(chromium), "the board")
    nameless = chromium.js("""return [...document.querySelectorAll('button, input, select')].filter(e =>
        !(e.getAttribute('aria-label') || e.textContent.trim() || (e.labels && e.labels.length)))
        .map(e => e.outerHTML)""")
    assert nameless == []
    assert chromium.js("return document.documentElement.lang") == "en"
    assert chromium.js("return [...document.querySelectorAll('svg')].filter(s => "
                       "!s.getAttribute('aria-hidden') && !s.getAttribute('aria-label')).length") == 0
    chromium.js("document.getElementById('open-clear').focus({focusVisible: true})")
    assert chromium.js("return getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_hidden_and_disconnected(larder, origin, chromium):
    site = Site(larder, origin)
    chromium.open(site.url, token=TOKEN)
    chromium.wait(lambda: is_live(chromium), "the board")
    # A tab that nobody sees asks nothing.
    chromium.js("""Object.defineProperty(document, 'hidden', {get: () => window.asleep, configurable: true});
        window.asleep = true; document.dispatchEvent(new Event('visibilitychange'));""")
    count = "return performance.getEntriesByType('resource').length"
    def quiet():
        before = chromium.js(count)
        chromium.js("window.mark = performance.now()")
        eventually(lambda: chromium.js("return performance.now() - window.mark > 2600"), 20)
        return chromium.js(count) == before
    chromium.wait(quiet, "a quiet tab")
    site.proxy.get("/api/products/1")
    chromium.js("window.asleep = false; document.dispatchEvent(new Event('visibilitychange'));")
    chromium.wait(lambda: chromium.text("[data-stat=total_requests]") == "1", "the next figures")
    # Larder goes: it is said, and the figures look old; it comes back: so do they.
    site.proxy.stop()
    chromium.wait(lambda: chromium.text("#link").startswith("Disconnected since"), "the news")
    assert chromium.js("return document.getElementById('board').classList.contains('old')")
    Site(larder, origin, admin=site.admin)
    chromium.wait(lambda: is_live(chromium), "the connection")
    assert chromium.text("[data-stat=total_requests]") == "0"
    chromium.console()  # the refused connections


def test_refresh(larder, origin, chromium):
    origin.default = answer(200, b"report")
    admin = free_port()
    larder("""
admin 127.0.0.1:%ADMIN%
hosts localhost
upstream main %UP%
route GET /report { upstream main; ttl 1h; scope public; refresh 1h }
""", admin=admin, up=origin.url)
    origin.wait_requests(1, "/report", timeout=20)  # at the start
    chromium.open(f"http://127.0.0.1:{admin}/")
    chromium.wait(lambda: chromium.shown("#open-refresh"), "the button")
    chromium.click("#open-refresh")
    assert "GET /report" in chromium.text("#refresh-route")
    assert "every 1\u202fh" in chromium.text("#refresh-about")
    chromium.click("#refresh-go")
    chromium.wait(lambda: chromium.shown("#refresh-ask"), "the question")
    assert origin.count("/report") == 1  # nothing happens before the answer
    chromium.click("#refresh-go")
    chromium.wait(lambda: chromium.shown("#refresh-result"), "the result")
    assert chromium.text("#refresh-result").startswith("Started.")
    origin.wait_requests(2, "/report", timeout=20)
    only(chromium, f"http://127.0.0.1:{admin}/")
