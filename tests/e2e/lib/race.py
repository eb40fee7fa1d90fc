"""Readers and writers at once, checked against lib.versions; used by the test_race_*.py files."""

import collections
import random

from .fast import Crew, FastClient
from .versions import version_of

KEYS = [f"k{n}" for n in range(6)]


def race(proxy, versions, readers=8, writers=2, writes=150, fields=None, allowed=(200,),
         methods=("POST", "PUT", "DELETE"), write=None):
    """Readers read for as long as each writer makes its writes; counts by what answers said.

    `fields(pick)` gives a read's header fields, `allowed` its statuses (others than 200 are
    not checked for a version). `write(client, key, method)` makes a write and returns the version
    that reads from then on must show; the default is a write that succeeds.
    """
    reading, writing, counts = Crew(), Crew(), collections.Counter()

    def read(number):
        pick, mine = random.Random(number), collections.Counter()
        with FastClient(proxy.port) as c:
            while not reading.stopping.is_set():
                key = pick.choice(KEYS)
                floor = versions.floor(key)
                got = c.get(f"/r/{key}", fields(pick) if fields else ())
                assert got.status in allowed, got
                if got.status == 200:
                    version = version_of(got.body, key)
                    assert version >= floor, f"{key}: {version} after {floor} was answered: {got}"
                # A problem that Larder made itself (an allowed 502) has no X-Cache.
                mine[(got.x_cache or "own") + (" collapsed" if got.collapsed else "")] += 1
        counts.update(mine)

    def default_write(c, key, method):
        got = c.request(method, f"/r/{key}")
        assert got.status == 200, got
        return version_of(got.body, key)

    def write_on(number):
        pick = random.Random(1000 + number)
        with FastClient(proxy.port) as c:
            for _ in range(writes):
                if reading.stopping.is_set():
                    return
                key = pick.choice(KEYS)
                versions.answered(key, (write or default_write)(c, key, pick.choice(methods)))
                reading.stopping.wait(pick.random() * 0.006)

    for n in range(readers):
        reading.start(read, n)
    for n in range(writers):
        writing.start(write_on, n)
    try:
        writing.join()
    finally:
        reading.stop()
    return counts
