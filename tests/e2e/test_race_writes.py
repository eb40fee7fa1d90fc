"""Thousands of reads racing writes: no read that starts after a write's answer sees less.

Design section 6: a fetch that was under way when the write was answered is neither served
afterwards, nor stored, nor joined by a reader who comes later.
"""

import collections
import random

import pytest

from lib.fast import Crew, FastClient
from lib.versions import Versions, version_of

KEYS = [f"k{n}" for n in range(6)]
CONF = """
workers 2
log off
upstream main %ORIGIN%
route GET /r/{key} { scope public; key %KEY%; ttl %TTL%; %MORE% }
%WRITE%
"""
NAMED = "route POST,PUT,DELETE /r/{key} { invalidate r:{key} }"
CASES = {
    "exact name": ("r:{key}", "60s", "", NAMED),
    "glob": ("r:{key}:{query}", "60s", "query page",
             "route POST,PUT,DELETE /r/{key} { invalidate r:{key}:* }"),
    "all keys": ("r:{key}", "60s", "", "route POST,PUT,DELETE /r/{key} { invalidate r:* }"),
    "tag": ("r:{key}", "60s", "tag t:{key}",
            "route POST,PUT,DELETE /r/{key} { invalidate tag:t:{key} }"),
    "everything": ("r:{key}", "60s", "", "route POST,PUT,DELETE /r/{key} { invalidate all }"),
    "no write route": ("r:{key}", "60s", "", ""),
    "stale while it is renewed": ("r:{key}", "50ms", "stale 60s", NAMED),
}


def race(proxy, versions, readers=8, writers=2, writes=150):
    """Readers read for as long as each writer makes its writes; counts by what answers said."""
    reading, writing, counts = Crew(), Crew(), collections.Counter()

    def read(number):
        pick, mine = random.Random(number), collections.Counter()
        with FastClient(proxy.port) as c:
            while not reading.stopping.is_set():
                key = pick.choice(KEYS)
                floor = versions.floor(key)
                got = c.get(f"/r/{key}")
                assert got.status == 200, got
                version = version_of(got.body, key)
                assert version >= floor, f"{key}: {version} after {floor} was answered: {got}"
                mine[got.x_cache + (" collapsed" if got.collapsed else "")] += 1
        counts.update(mine)

    def write(number):
        pick = random.Random(1000 + number)
        with FastClient(proxy.port) as c:
            for _ in range(writes):
                if reading.stopping.is_set():
                    return
                key = pick.choice(KEYS)
                got = c.request(pick.choice(("POST", "PUT", "DELETE")), f"/r/{key}")
                assert got.status == 200, got
                versions.answered(key, version_of(got.body, key))
                reading.stopping.wait(pick.random() * 0.006)

    for n in range(readers):
        reading.start(read, n)
    for n in range(writers):
        writing.start(write, n)
    try:
        writing.join()
    finally:
        reading.stop()
    return counts


@pytest.mark.parametrize("case", CASES)
def test_no_stale_read(larder, origin, case):
    key, ttl, more, write = CASES[case]
    versions = Versions(origin)
    proxy = larder(CONF, origin=origin.url, key=key, ttl=ttl, more=more, write=write)
    counts = race(proxy, versions)
    # The race must have been one: every way to an answer was taken.
    assert sum(counts.values()) >= 2000, counts
    assert counts["HIT"] + counts["STALE"] >= 500, counts
    assert counts["MISS"] >= 100, counts
    assert counts["MISS collapsed"] >= 20, counts
