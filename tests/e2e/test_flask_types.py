"""Flask, system 5: five types of answers, each with its lifetime, kept for whom it is for."""

import time

import pytest

from lib.cache import cache_status, miss_then_hit
from lib.example import example, signed_in

TYPES = [
    ("dashboard", "/api/dashboard", 300),
    ("search", "/api/search?q=product&page=1", 3600),
    ("user", "/api/users/ann", 1800),
    ("product list", "/api/products?page=2&limit=5", 7200),
    ("product", "/api/products/7", 7200),
    ("analytics", "/api/analytics", 600),
]


@pytest.mark.parametrize("target,ttl", [t[1:] for t in TYPES], ids=[t[0] for t in TYPES])
def test_each_type_is_stored_for_its_time(larder, backend, target, ttl):
    app = backend("flask")
    proxy = larder(example("flask"), env={"FLASK_URL": app.url})
    hit = miss_then_hit(proxy, target, signed_in())
    assert app.count() == 1
    status = cache_status(hit)
    assert status["hit"] is True and ttl - 5 <= status["ttl"] <= ttl
    assert 0 <= int(hit.header("age")) <= 5


def test_every_answer_has_x_cache(larder, backend):
    app = backend("flask")
    proxy = larder(example("flask"), env={"FLASK_URL": app.url})
    for target in ("/api/dashboard", "/api/nothing", "/api/products/9999", "/api/users/ann",
                   "/echo/x", "/api/events"):
        for _ in range(2):
            answer = proxy.get(target)
            assert answer.x_cache in ("HIT", "MISS", "BYPASS", "PASS"), (target, answer)
            cache_status(answer)
    assert proxy.post("/echo/x", b"x").x_cache == "PASS"


def test_errors_are_never_stored(larder, backend):
    app = backend("flask")
    proxy = larder(example("flask"), env={"FLASK_URL": app.url})
    refused = [("/api/products/9999", 404), ("/api/users/bob", 403)]
    for target, status in refused:
        serials = []
        for _ in range(3):
            answer = proxy.get(target, signed_in("ann"))
            assert answer.status == status and answer.x_cache == "MISS"
            assert cache_status(answer)["detail"] in ("status", "hit-for-miss")
            assert "stored" not in cache_status(answer)
            serials.append(answer.json()["serial"])
        assert serials == sorted(set(serials))
        assert app.count(target) == 3


def test_hits_are_fast(larder, backend):
    # 0.3 s in the backend; the best of 30 hits shows what the proxy takes on a busy machine too
    app = backend("flask", DELAY="0.3")
    proxy = larder(example("flask"), env={"FLASK_URL": app.url})
    begin = time.monotonic()
    assert proxy.get("/api/dashboard").x_cache == "MISS"
    assert time.monotonic() - begin >= 0.3
    with proxy.raw() as c:
        times = []
        for _ in range(30):
            begin = time.monotonic()
            assert c.get("/api/dashboard").x_cache == "HIT"
            times.append(time.monotonic() - begin)
    assert min(times) < 0.01
    assert app.count("/api/dashboard") == 1
