"""Each number on the dashboard is that of /stats, /top and /log after a scripted run: with memory
alone, with Redis, with breakers open and the node uncertain. And what people do with the page."""

import pytest

from lib.dashboard import TOKEN, Site, is_live, only
from lib.origin import answer
from lib.ports import free_port
from lib.wait import eventually

CONF = """
workers 1
admin 127.0.0.1:%ADMIN% %TOKEN%
%REDIS%
upstream main %UP%
upstream dead http://127.0.0.1:%DEAD% max_fails=1
alert errors>0 for 1h url=http://127.0.0.1:%DEAD%/
identity org header=X-Org trusted=127.0.0.1
defaults { upstream main; retry 0 }
type product { ttl 1h; scope public }
route GET /api/products/{id} { type product; key products:{id}; cost 0.5 }
route GET /org               { key org:{org}; ttl 1h }
route GET /dead              { upstream dead; scope public; key dead; ttl 1h }
route POST /write            { invalidate products:9 }
"""
# What the page shows, cell by cell.
SHOWN = """
const texts = (all) => [...document.querySelectorAll(all)];
const facts = (box) => Object.fromEntries([...box.querySelectorAll('.facts div')].map(
    d => [d.children[0].textContent, d.children[1].textContent]));
const out = {tiers: {}, latency: {}};
for (const s of texts('[data-stat]')) out[s.dataset.stat] = s.textContent;
out.routes = texts('#routes tbody tr').map(r => [...r.children].map(c => c.textContent));
out.reasons = texts('#reasons li').map(r => [r.children[0].textContent, r.children[1].textContent]);
for (const t of texts('#tiers .tier')) {
    const dot = t.querySelector('.dot');
    out.tiers[t.querySelector('h3').firstChild.textContent] = {...facts(t), dot: dot && dot.textContent};
}
for (const r of texts('#latency .range')) {
    const top = r.querySelector('.top'), span = top.querySelector('span');
    out.latency[top.firstChild.textContent] = [span.textContent, ...[...r.querySelectorAll('dd')].map(d => d.textContent)];
}
out.parts = texts('#parts li').map(l => [l.querySelector('.name').textContent, l.querySelector('.dot').textContent,
    ...[...l.children].slice(1, -1).map(c => c.textContent)]);
out.keys = texts('#keys li').map(l => [l.querySelector('.name').textContent, l.querySelector('b').textContent]);
out.slow = texts('#slow li').map(l => [l.querySelector('.name').textContent, l.querySelector('b').textContent]);
out.log = texts('#log li').map(l => [l.querySelector('.chip').textContent, l.querySelector('.what').textContent,
    l.querySelector('.why').textContent]);
out.saved = document.getElementById('f-saved').textContent;
out.savedNote = document.getElementById('f-saved-note').textContent;
out.backend = document.getElementById('backend').textContent;
out.banner = document.getElementById('banner').textContent;
return out;
"""


def play(site, redis):
    """13 requests; returns their number."""
    get = site.proxy.get
    for target in ("/api/products/7", "/api/products/7", "/api/products/7", "/api/products/8",
                   "/api/products/8", "/elsewhere", "/org", "/dead"):
        get(target)
    get("/org", {"X-Org": "a"})
    get("/org", {"X-Org": "a"})
    site.proxy.post("/write", b"x")
    get("/api/products/9")
    get("/api/products/9")
    return 13


def start(larder, origin, redis=""):
    site = Site(larder, origin, conf=CONF, dead=free_port(), redis=redis)
    return site


def say(browser, kind, value):
    """A value as the page's own function writes it."""
    return browser.js(f"return {kind}(arguments[0])", value)


def compare(site, browser, n):
    """Waits until the page shows what /stats says, and compares all of it."""
    browser.wait(lambda: browser.text("[data-stat=total_requests]") == str(n), "the last request")
    before = site.ask("stats")
    shown = browser.js(SHOWN)
    assert shown["hit_rate"] == f"{before['hit_rate']:.1f}" and shown["errors"] == str(before["errors"])
    rows = [[r["route"] + (r["type"] or ""),
             f"{r['hit_rate']:.1f} %" if r["hits"] + r["misses"] else "not cached",
             str(r["total_requests"]), *(str(r[k]) for k in ("hits", "misses", "stale", "bypass", "errors")),
             *(say(browser, "time", r["latency_ms"][k]["p99"]) if r["latency_ms"][k]["count"] else "–"
               for k in ("hit", "miss"))]
            for r in before["routes"]]
    assert sorted(shown["routes"]) == sorted(rows)
    for title, h in (("From the cache", before["latency_ms"]["hit"]), ("Misses", before["latency_ms"]["miss"]),
                     ("Upstream alone", before["upstream_ms"])):
        assert shown["latency"][title] == [f"{h['count']} measured", *(
            say(browser, "time", h[q]) for q in ("p50", "p90", "p99", "max"))], title
    l1 = before["tiers"]["l1"]
    assert shown["tiers"]["Memory"] == {
        "used": say(browser, "bytes", l1["bytes"]), "of": say(browser, "bytes", l1["capacity"]),
        "entries": str(l1["entries"]), "evicted": str(l1["evictions"]), "dot": None}
    assert shown["parts"] == [
        [f"{u['upstream']} {s['address']}", s["state"],
         f"{s['requests']} request{'s' * (s['requests'] != 1)}" + (f", {s['failures']} failed" * (s["failures"] > 0))]
        for u in before["upstreams"] for s in u["servers"]] + [
        [f"{b['name']} breaker", b["state"]] for b in before["breakers"]]
    top = site.ask("top?n=10")
    assert shown["keys"] == [[k["name"], str(k["hits"])] for k in top["keys"][:8]]
    assert shown["slow"] == [[s["name"], say(browser, "time", s["ms"])] for s in top["slow"][:5]]
    log = [r for r in site.ask("log?n=100")["requests"] if r["cache"] != "HIT"]
    assert sorted(shown["log"]) == sorted(
        [r["cache"] if r["cache"] not in ("-", None) else "OWN", f"{r['method']} {r['path']}",
         (f"{r['status']} " if r["status"] >= 500 else "") + (r["reason"] if r["reason"] not in ("-", None) else "")]
        for r in log)
    assert shown["saved"] == f"{before['saved']['money']:.2f}"
    assert shown["savedNote"].startswith(f"{before['saved']['requests']} upstream requests, ")
    journal = shown["tiers"]["Invalidation journal"]
    assert (journal["patterns"], journal["shapes"], journal["waiting"]) == tuple(
        str(before["journal"][k]) for k in ("patterns", "shapes", "outbox"))
    return before, shown


def test_memory_alone(larder, origin, chromium):
    site = start(larder, origin)
    n = play(site, None)
    site.settle(n)
    chromium.open(site.url, token=TOKEN)
    chromium.wait(lambda: is_live(chromium), "the board")
    stats, shown = compare(site, chromium, n)
    assert dict(shown["reasons"]) == {k: str(v) for k, v in stats["reasons"].items()}
    assert (stats["hits"], stats["misses"], stats["bypass"], stats["pass"], stats["errors"]) == (5, 4, 1, 2, 1)
    assert shown["backend"] == "memory only" and "Redis" not in shown["tiers"]
    assert shown["tiers"]["Invalidation journal"]["lag"] == "–"
    assert ["dead http://127.0.0.1:%s" % site.proxy.values["dead"], "down", "1 request, 1 failed"] in shown["parts"]
    # What is wrong, and the alert, for those who have no receiver of webhooks.
    chromium.wait(lambda: "alert errors>0 for 1h: 1 error since" in chromium.text("#banner"), "the alert")
    assert "upstream: dead: every server is down" in chromium.text("#banner")
    only(chromium, site.url)


def test_with_redis_and_without_it(larder, origin, redis, chromium):
    line = f"redis {redis.url} prefix=board"
    site = start(larder, origin, line)
    # A second node, without which nothing would be uncertain.
    larder("upstream main %UP%\ndefaults { upstream main }\n" + line, up=origin.url, name="second")
    eventually(lambda: site.ask("stats")["journal"]["nodes"] == 2 and site.ask("stats")["redis_connected"], 30)
    n = play(site, redis)
    site.settle(n)
    eventually(lambda: site.ask("stats")["tiers"]["l2"]["stores"] == 4, 20)
    chromium.open(site.url, token=TOKEN)
    chromium.wait(lambda: is_live(chromium), "the board")
    stats, shown = compare(site, chromium, n)
    l2 = stats["tiers"]["l2"]
    assert shown["backend"] == "memory and Redis" and l2["misses"] == 5
    tier = shown["tiers"]["Redis"]
    assert (tier["dot"], tier["hits"], tier["misses"], tier["errors"]) == (
        "connected", str(l2["hits"]), str(l2["misses"]), "0")
    assert tier["memory"] != "–"
    assert shown["tiers"]["Invalidation journal"]["dot"] == "current"
    assert {b["state"] for b in stats["breakers"]} == {"closed"} and stats["breakers"]
    # Redis goes: breakers open, the node is uncertain.
    redis.stop()
    chromium.wait(lambda: chromium.js(SHOWN)["tiers"]["Invalidation journal"]["dot"] == "uncertain",
                  "the uncertainty", timeout=60)
    chromium.wait(lambda: any(p[0] == "redis-data breaker" and p[1] == "open"
                              for p in chromium.js(SHOWN)["parts"]), "an open breaker", timeout=60)
    assert "it is not certain that every invalidation" in chromium.text("#banner")
    assert chromium.text("#health") == "Degraded"
    assert site.ask("stats")["journal"]["uncertain"] is True
    assert chromium.js(SHOWN)["tiers"]["Redis"]["dot"] == site.ask("stats")["redis"]["state"]
    redis.start()
    chromium.wait(lambda: chromium.js(SHOWN)["tiers"]["Invalidation journal"]["dot"] == "current",
                  "certainty", timeout=60)
    only(chromium, site.url)


MANY = "\n".join(f"route GET /part-{i}/{{id}} {{ scope public; ttl 1h }}" for i in range(60))
LONG = "/organisations/{organisation_id}/departments/{department_id}/reports/quarterly/{report_id}/attachments"


@pytest.fixture
def many(larder, origin):
    """61 routes with requests, one with a long name."""
    site = Site(larder, origin, conf="admin 127.0.0.1:%ADMIN% %TOKEN%\nupstream main %UP%\n"
                "defaults { upstream main }\n" + MANY +
                f"\nroute GET {LONG} {{ scope public; ttl 1h }}\n")
    for i in range(60):
        site.proxy.get(f"/part-{i}/1")
    for _ in range(3):
        site.proxy.get("/organisations/1234567890/departments/1234567890/reports/quarterly/1234567890/attachments")
    site.settle(63)
    return site


def names(browser):
    return browser.js("return [...document.querySelectorAll('#routes tbody td:first-child .mono')].map(e => e.textContent)")


@pytest.mark.parametrize("width", [1280, 390])
def test_many_routes(many, chromium, width):
    chromium.open(many.url, width=width, token=TOKEN)
    chromium.wait(lambda: is_live(chromium), "the board")
    chromium.wait(lambda: len(names(chromium)) == 12, "the first routes")
    assert names(chromium)[0] == f"GET {LONG}"  # in full
    assert chromium.js("const e = document.querySelector('#routes td .mono').getBoundingClientRect(), "
                       "t = document.querySelector('#routes td').getBoundingClientRect();"
                       "return e.right <= t.right + 1")
    assert chromium.js("return document.documentElement.scrollWidth") <= width
    chromium.click("#routes-more")
    chromium.wait(lambda: len(names(chromium)) == 61, "all routes")
    assert chromium.find("#routes-more").get_attribute("aria-expanded") == "true"
    chromium.type("#routes-filter", "PART-5")
    chromium.wait(lambda: len(names(chromium)) == 11, "the routes of that name")
    chromium.type("#routes-filter", "nothing like it")
    chromium.wait(lambda: chromium.shown("#routes-empty"), "a word about it")
    if width > 680:
        chromium.type("#routes-filter", " ")
        by_ratio = "#routes th:nth-child(2)"
        for order, first in (("descending", f"GET {LONG}"), ("ascending", None)):
            chromium.click(f"{by_ratio} button")
            assert chromium.find(by_ratio).get_attribute("aria-sort") == order
            assert (names(chromium)[0] == first) == (first is not None)
    only(chromium, many.url)


def test_by_keyboard(larder, origin, chromium):
    """Focus survives the rounds; dialogs are opened, answered and left with keys."""
    from selenium.webdriver.common.keys import Keys
    site = start(larder, origin)
    site.settle(play(site, None))
    chromium.open(site.url, token=TOKEN)
    chromium.wait(lambda: is_live(chromium) and chromium.shown("#keys li button"), "the keys")
    chromium.js("document.querySelector('#keys li button').focus(); window.was = document.activeElement;"
                "window.label = was.getAttribute('aria-label')")
    site.proxy.get("/api/products/8")
    chromium.wait(lambda: not chromium.js("return window.was.isConnected"), "the next round")
    assert chromium.js("return document.activeElement.getAttribute('aria-label') === window.label")
    # Text that somebody marks stays, so that it can be copied.
    chromium.js("""window.name0 = document.querySelector('#keys li .name');
        getSelection().selectAllChildren(name0);""")
    done = chromium.text("[data-stat=total_requests]")
    site.proxy.get("/api/products/8")
    chromium.wait(lambda: chromium.text("[data-stat=total_requests]") != done, "the next round")
    assert chromium.js("return name0.isConnected && getSelection().toString() === name0.textContent")
    chromium.js("getSelection().removeAllRanges(); document.querySelector('#keys li button').focus()")
    keys = lambda *k: chromium.driver.switch_to.active_element.send_keys(*k)  # noqa: E731
    keys(Keys.ENTER)
    chromium.wait(lambda: chromium.shown("#clear-text"), "the dialog")
    assert chromium.find("#clear-text").get_attribute("value").startswith("products:")
    chromium.js("document.getElementById('clear-text').focus()")
    keys(Keys.ENTER)
    chromium.wait(lambda: chromium.shown("#clear-ask"), "the question")
    assert chromium.js("return document.activeElement.id") == "clear-cancel"  # not the dangerous one
    keys(Keys.ESCAPE)
    chromium.wait(lambda: not chromium.shown("#clear"), "the end of the dialog")
    chromium.js("document.getElementById('chart').focus()")
    chromium.wait(lambda: chromium.js("return chart.points.length > 2"), "the chart")
    keys(Keys.ARROW_LEFT)
    assert chromium.shown("#tip")
    only(chromium, site.url)


CONTRAST = """
const parse = (c) => { const m = c.match(/[\\d.]+/g).map(Number);
    return c.startsWith('color(') ? [...m.slice(0, 3).map(v => v * 255), m[3] ?? 1] : [m[0], m[1], m[2], m[3] ?? 1]; };
const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
const behind = (e) => { let c = [0, 0, 0, 0];
    for (; e; e = e.parentElement) {
        const b = parse(getComputedStyle(e).backgroundColor);
        c = c[3] === 0 ? b : c[3] === 1 ? c : over(c, b);
    }
    return c; };
const light = (c) => { const [r, g, b] = c.map(v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
    return .2126 * r + .7152 * g + .0722 * b; };
const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + .05) / (y + .05); };
const bad = [];
for (const e of document.querySelectorAll('body *')) {
    if (!e.checkVisibility() || e.closest('svg') || ![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    const s = getComputedStyle(e), back = behind(e), size = parseFloat(s.fontSize);
    const need = size >= 24 || (size >= 18.66 && s.fontWeight >= 700) ? 3 : 4.5;
    const r = ratio(over(parse(s.color), back), back);
    if (r < need) bad.push([e.id || e.className, e.textContent.trim().slice(0, 30), r.toFixed(2)]);
}
for (const e of document.querySelectorAll('#legend .swatch, .dot, .pill')) {
    const c = e.matches('.swatch') ? getComputedStyle(e).backgroundColor : getComputedStyle(e, '::before').backgroundColor;
    const r = ratio(parse(c), behind(e.parentElement));
    if (r < 3) bad.push([e.className, e.parentElement.textContent, r.toFixed(2)]);
}
return bad;
"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_contrast(larder, origin, chromium, dark):
    """WCAG 2 AA: text 4.5 (large 3) to one, marks that carry a meaning 3 to one."""
    site = start(larder, origin)
    site.settle(play(site, None))
    chromium.open(site.url, dark=dark)
    assert chromium.js(CONTRAST) == []
    chromium.type("#token", TOKEN)
    chromium.click("#login button")
    chromium.wait(lambda: is_live(chromium) and chromium.shown("#banner") and chromium.shown("#log li"), "the board")
    chromium.wait(lambda: "alert" in chromium.text("#banner"), "the alert")
    assert chromium.js(CONTRAST) == []
    chromium.click("#open-clear")
    assert chromium.js(CONTRAST) == []
    chromium.click("#clear input[value=all]")
    chromium.click("#clear-go")
    chromium.wait(lambda: chromium.shown("#clear-ask"), "the question")
    assert chromium.js(CONTRAST) == []
    chromium.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
        {"name": "prefers-reduced-motion", "value": "reduce"}]})
    assert chromium.js("""return [...document.querySelectorAll('*')].filter(e => {
        const s = getComputedStyle(e);
        return s.animationName !== 'none' || s.transitionDuration.split(',').some(d => parseFloat(d) > 0);
    }).length""") == 0
