"""The admin plane while the workers have all that they can do: it answers, rightly and soon.

What is soon: the machine may be busy with other things, and then the plane is slower without any
load, too. So its latency is compared with that of the same calls just before.
"""

import json
import os
import subprocess
import time

import pytest

from lib.admin import TOKEN, start_admin
from lib.bench import Bench, BenchOrigin
from lib.fast import FastClient
from lib.larder import binary
from lib.wait import eventually

CONF = """
workers 2
log off
upstream main %ORIGIN%
defaults { upstream main; ttl 1h }
route GET /hit/{id}/16 { scope public; key hit:{id} }
route GET /miss/{id}/16 { scope public; key miss:{id} }
route GET /apart/{id}/16 { scope public; key apart:{id} }
"""
ROUNDS = 60
PAUSE = 0.02
ENOUGH = 50_000
TIMES, AT_LEAST = 10, 0.25  # seconds


class Caller:
    """Asks in turn on one connection, looks at each answer and takes its time."""

    def __init__(self, proxy, admin):
        self.proxy = proxy
        self.client = FastClient(admin.port)
        self.times = {}
        self.requests = 0

    def call(self, method, target, body=b""):
        fields = [("Authorization", f"Bearer {TOKEN}"), ("Content-Type", "application/json")]
        began = time.monotonic()
        got = self.client.request(method, target, fields if body else fields[:1], body)
        self.times.setdefault(target, []).append(time.monotonic() - began)
        assert got.status == 200, got
        return got.body

    def round(self, loaded):
        assert json.loads(self.call("GET", "/health"))["status"] == "HEALTHY"
        if loaded:
            eventually(self.more, 15, "the load goes on")
        else:
            self.more()
        assert b"\n# TYPE larder_" in b"\n" + self.call("GET", "/metrics")
        said = json.loads(self.call("POST", "/invalidate-pattern", b'{"pattern":"apart:*"}'))
        assert said["success"] is True and said["applied"]["here"] is True

    def more(self):
        """Have the workers answered more requests than when this was asked before?"""
        before, self.requests = self.requests, json.loads(
            self.call("GET", "/stats"))["total_requests"]
        return self.requests > before

    def cleared(self):
        """Is a name gone once its clearing was answered?"""
        with FastClient(self.proxy.port) as c:
            while c.get("/apart/1/16").x_cache != "HIT":
                pass
            self.call("POST", "/invalidate-pattern", b'{"pattern":"apart:*"}')
            return c.get("/apart/1/16").x_cache == "MISS"

    def take(self):
        """{target: (p50, p95)} since the last time."""
        taken, self.times = self.times, {}
        return {k: (sorted(v)[len(v) // 2], sorted(v)[int(len(v) * 0.95)])
                for k, v in taken.items()}


def compare(what, quiet, loaded):
    late = []
    for target, (p50, p95) in loaded.items():
        q50, q95 = quiet[target]
        line = (f"{what} {target}: p50 {q50 * 1000:.1f} -> {p50 * 1000:.1f} ms, "
                f"p95 {q95 * 1000:.1f} -> {p95 * 1000:.1f} ms")
        print(line)
        if p95 > max(TIMES * q95, AT_LEAST):
            late.append(line)
    assert not late


@pytest.fixture
def plane(larder):
    with BenchOrigin() as origin:
        proxy, admin = start_admin(larder, CONF, origin=origin.url)
        yield proxy, admin


def under_load(caller, quiet, path, **options):
    """The figures of the load, whose every answer was right."""
    with Bench(caller.proxy.port, path, connections=64, **options) as a, \
            Bench(caller.proxy.port, path, connections=64, **options) as b:
        eventually(caller.more, 15, "the load has begun")
        caller.take()
        for _ in range(ROUNDS):
            caller.round(loaded=True)
            time.sleep(PAUSE)  # so that it takes some time, and is not what keeps the machine busy
        loaded = caller.take()
        assert caller.cleared()
        assert a.runs() and b.runs()
        figures = [a.stop(), b.stop()]
    for f in figures:
        print(path, f["requests"], "requests in", round(f["wall_ns"] / 1e9, 1), "s,",
              f["server_cpu_ns"] / f["wall_ns"], "CPUs")
        assert f["errors"] == 0 and f["requests"] > 10 * ROUNDS, f
    compare(path, quiet, loaded)
    return figures


def list_all(proxy, caller, folder):
    """`larder keys` over all, and how often /livez was asked meanwhile."""
    asked = 0
    with open(folder / "keys.json", "w+", encoding="utf-8") as out:
        p = subprocess.Popen([binary(), "keys", "--limit", "all", "--json", "-c", proxy.conf_path],
                             stdout=out, stdin=subprocess.DEVNULL,
                             env={**os.environ, "LARDER_TOKEN": ""})
        while p.poll() is None:
            caller.call("GET", "/livez")
            asked += 1
        assert p.returncode == 0
        out.seek(0)
        return asked, out.read().count('"name":')


def test_the_plane_while_the_workers_are_saturated(plane, tmp_path):
    proxy, admin = plane
    caller = Caller(proxy, admin)
    for _ in range(ROUNDS):
        caller.round(loaded=False)
        caller.call("GET", "/livez")
    quiet = caller.take()
    with Bench(proxy.port, "/hit/{n}/16", count=100, connections=1) as warm:
        assert warm.wait()["errors"] == 0
    under_load(caller, quiet, "/hit/{n}/16", names=100, expect_header="X-Cache: HIT",
               cpu_pid=proxy.pid)
    missed = under_load(caller, quiet, "/miss/{n}/16", cpu_pid=proxy.pid)
    first = min(f["sent"] for f in missed)
    if first < ENOUGH:
        with Bench(proxy.port, "/miss/{n}/16", count=ENOUGH - first, first=first) as more:
            assert more.wait()["errors"] == 0
    caller.take()
    asked = 0
    while asked < ROUNDS:
        n, names = list_all(proxy, caller, tmp_path)
        assert names >= ENOUGH
        asked += n
    compare(f"a listing of {names} names,", quiet, caller.take())
