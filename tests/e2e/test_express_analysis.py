"""Express, system 1: a paid computation of seconds, done once however many want it."""

import threading
import time

from lib.cache import cache_status, seen
from lib.example import example
from lib.raw import encode_request

SLOW = 1.0  # seconds for one computation here; 8 to 12 in the original


def start(larder, backend, **env):
    app = backend("express", ANALYSIS_DELAY=str(SLOW), **env)
    return app, larder(example("express"), env={"EXPRESS_URL": app.url})


def at_once(n, ask):
    """Calls ask() in n threads that start together; the results."""
    barrier, results = threading.Barrier(n), []

    def run():
        barrier.wait()
        results.append(ask())

    threads = [threading.Thread(target=run) for _ in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    assert len(results) == n
    return results


def test_many_readers_one_computation(larder, backend):
    app, proxy = start(larder, backend)
    answers = at_once(40, lambda: proxy.get("/api/analysis"))
    assert {a.status for a in answers} == {200}
    assert len({a.body for a in answers}) == 1
    assert app.count("/api/analysis") == 1
    metadata = proxy.get("/api/metadata").json()
    assert (metadata["analyses"], metadata["peak"]) == (1, 1)
    assert sum("collapsed" in cache_status(a) for a in answers) == 39


def test_reads_after_it_take_milliseconds(larder, backend):
    app, proxy = start(larder, backend)
    proxy.get("/api/analysis")
    with proxy.raw() as c:
        times = []
        for _ in range(50):
            begin = time.monotonic()
            assert c.get("/api/analysis").x_cache == "HIT"
            times.append(time.monotonic() - begin)
    assert sorted(times)[25] < 0.05
    assert app.count("/api/analysis") == 1


def test_leaving_readers_do_not_stop_the_computation(larder, backend):
    app, proxy = start(larder, backend)
    with proxy.raw() as c:
        c.send(encode_request("GET", "/api/analysis"))
        c.quiet(0.1)
    answer = proxy.get("/api/analysis")
    assert answer.status == 200 and "collapsed" in cache_status(answer)
    assert app.count("/api/analysis") == 1


def test_a_failed_computation_is_not_stored_and_tried_again(larder, backend):
    app, proxy = start(larder, backend, FAIL_FIRST="1")
    assert proxy.get("/api/analysis").status == 503
    answer = proxy.get("/api/analysis")
    assert answer.status == 200 and answer.x_cache == "MISS"
    assert proxy.get("/api/analysis").json() == answer.json()


def test_refresh_by_hand_replaces_the_answer(larder, backend):
    app, proxy = start(larder, backend)
    first = proxy.get("/api/analysis").json()["serial"]
    pools = proxy.get("/api/pools").json()["serial"]
    assert proxy.post("/api/refresh").status == 200
    assert proxy.get("/api/analysis").json()["serial"] > first
    assert proxy.get("/api/pools").json()["serial"] > pools


def test_fields_are_set_and_removed(larder, backend):
    app, proxy = start(larder, backend)
    assert app.get("/api/pools").header("x-powered-by") == "Express"
    for _ in range(2):
        answer = proxy.get("/api/pools")
        assert answer.header("x-powered-by") is None
        assert answer.header("x-content-type-options") == "nosniff"
    assert seen(proxy.get("/api/metadata"))[0] == "PASS"
    assert proxy.get("/api/metadata").header("x-powered-by") is None
