"""A name has at most 32 variants: clients choose the values, they must not fill the memory."""

from lib.cache import miss_then_hit

CONF = """
upstream main %ORIGIN%
workers 2
route GET /by    { scope public; key by; ttl origin }
route GET /page  { scope public; key page; ttl 5m }
route GET /other { scope public; key other; ttl 5m }
"""

BOUND = 32


def by_field(x):
    x.answer(200, "for " + (x.request.header("x-lang") or "nobody"), [
        ("Vary", "X-Lang"), ("Cache-Control", "max-age=300")])


def stored(proxy, path, values):
    """How many of the variants are hits; HEAD fills nothing."""
    n = 0
    with proxy.raw() as c:
        for value in values:
            r = c.request("HEAD", path, {"X-Lang": value})
            n += r.x_cache == "HIT"
    return n


def test_a_flood_of_values_pushes_out_itself(larder, origin):
    for path in ("/by", "/page", "/other"):
        origin.route(path, by_field)
    proxy = larder(CONF, origin=origin.url)
    in_use = ["en", "de", "fr"]
    miss_then_hit(proxy, "/other", {"X-Lang": "en"})
    for path in ("/by", "/page"):
        for lang in in_use:
            miss_then_hit(proxy, path, {"X-Lang": lang})
        flood = [f"flood-{i}" for i in range(300)]
        with proxy.raw() as c:
            for i, value in enumerate(flood):
                r = c.request("GET", path, {"X-Lang": value})
                assert (r.text, r.x_cache) == ("for " + value, "MISS")
                if i % 20 == 0:
                    r = c.request("GET", path, {"X-Lang": in_use[i % 3]})
                    assert (r.text, r.x_cache) == ("for " + in_use[i % 3], "HIT")
        assert stored(proxy, path, in_use) == 3
        kept = stored(proxy, path, flood)
        assert kept == BOUND - 3
        assert stored(proxy, path, flood[-kept:]) == kept  # the newest ones
    assert proxy.get("/other", {"X-Lang": "en"}).x_cache == "HIT"


def test_up_to_the_bound_all_are_kept(larder, origin):
    origin.route("/by", by_field)
    proxy = larder(CONF, origin=origin.url)
    values = [f"v{i}" for i in range(BOUND)]
    for value in values:
        proxy.get("/by", {"X-Lang": value})
    for _ in range(3):
        for value in values:
            r = proxy.get("/by", {"X-Lang": value})
            assert (r.text, r.x_cache) == ("for " + value, "HIT")
    assert origin.count("/by") <= BOUND + 1  # one more may be asked before Vary is known
