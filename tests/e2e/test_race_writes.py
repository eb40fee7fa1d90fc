"""Thousands of reads racing writes: no read that starts after a write's answer sees less.

Design section 6: a fetch that was under way when the write was answered is neither served
afterwards, nor stored, nor joined by a reader who comes later.
"""

import pytest

from lib.race import race
from lib.versions import Versions

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
