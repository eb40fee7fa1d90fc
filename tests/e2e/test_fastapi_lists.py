"""FastAPI, system 3: lists by offset and by cursor; each combination of parameters is a key."""

from lib.cache import cache_status, miss_then_hit, seen
from lib.example import example


def start(larder, backend):
    app = backend("fastapi")
    return app, larder(example("fastapi"), env={"FASTAPI_URL": app.url})


def test_offset_pages_are_entries_of_their_own(larder, backend):
    app, proxy = start(larder, backend)
    for limit, offset in ((10, 0), (10, 10), (20, 0), (10, 90)):
        page = miss_then_hit(proxy, f"/api/pools?limit={limit}&offset={offset}").json()
        assert [p["id"] for p in page["items"]] == list(range(offset, offset + limit))
    assert app.count() == 4


def test_order_of_parameters_does_not_matter(larder, backend):
    app, proxy = start(larder, backend)
    first = proxy.get("/api/pools?limit=10&offset=30")
    for same in ("offset=30&limit=10", "limit=10&&offset=30", "offset=%330&limit=1%30",
                 "utm_source=mail&offset=30&fbclid=1&limit=10&gclid=2"):
        again = proxy.get(f"/api/pools?{same}")
        assert again.x_cache == "HIT" and again.body == first.body, same
    assert app.count() == 1


def test_cursor_walk_is_cached_page_by_page(larder, backend):
    app, proxy = start(larder, backend)

    def walk():
        ids, states, cursor = [], set(), ""
        while cursor is not None:
            answer = proxy.get(f"/api/trades?limit=30&cursor={cursor}")
            states.add(answer.x_cache)
            ids += [t["id"] for t in answer.json()["items"]]
            cursor = answer.json()["next"]
        return ids, states

    assert walk() == (list(range(100)), {"MISS"})
    assert walk() == (list(range(100)), {"HIT"})
    assert app.count("/api/trades") == 4


def test_lifetime_is_five_minutes_less_the_jitter(larder, backend):
    _, proxy = start(larder, backend)
    left = [cache_status(miss_then_hit(proxy, f"/api/pools?offset={n}"))["ttl"] for n in range(20)]
    assert 270 - 5 <= min(left) and max(left) <= 300
    assert len(set(left)) > 1, "every list expires at the same moment"


def test_invalid_parameters_are_answered_by_the_application_and_not_stored(larder, backend):
    app, proxy = start(larder, backend)
    for target, status in (("/api/pools?limit=1000", 422), ("/api/pools?offset=-1", 422),
                           ("/api/trades?cursor=nonsense", 400), ("/api/volume/doge-usd", 404)):
        before = app.count()
        for _ in range(2):
            answer = proxy.get(target)
            assert answer.status == status and answer.x_cache == "MISS"
        assert app.count() == before + 2


def test_unlisted_parameter_passes_unchanged(larder, backend):
    app, proxy = start(larder, backend)
    proxy.get("/api/pools?limit=5")
    for _ in range(2):
        assert seen(proxy.get("/api/pools?limit=5&verbose=1")) == ("BYPASS", "query")
    assert app.count() == 3
