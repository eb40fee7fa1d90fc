"""Sentinel failovers right after acknowledged invalidations, through complete proxies.

Redis replicates asynchronously: what the old master acknowledged may be lost. Two proxies, a
master, a replica and three sentinels, all real; clients read and write all the time, so that
every failover finds writes answered within the last milliseconds. Judged as in
test_redis_property.py: nothing older than an acknowledged write, on its own node ever, elsewhere
not after max_lag unless it is marked. No client sees an error.

21 in `make test`; `make soak` sets SOAK_FAILOVERS. Each test prints how many it has made.
"""

import os
import random
import time

import pytest

from lib.raced import SEED, RacedNodes
from lib.sentinel import Sentinels
from lib.wait import eventually

FAILOVERS = int(os.environ.get("SOAK_FAILOVERS", 16))


@pytest.fixture
def group(tmp_path):
    one = Sentinels(tmp_path)
    yield one
    one.stop()


@pytest.fixture
def race(tmp_path, group):
    one = RacedNodes(tmp_path, group.url, delay=100, clients=12, pace=4000)
    yield one
    one.close()


def run(group, race, how, times):
    """times × how(), each in the middle of acknowledged invalidations. A round in which the
    sentinels came to no end in time is made again: what counts is a failover that happened."""
    pick = random.Random(SEED)
    made, again = 0, []
    while made < times and not race.violations():
        race.acknowledged(10)
        time.sleep(pick.uniform(0, 0.05))
        try:
            how()
            made += 1
            group.repair()
        except AssertionError as e:
            again.append(str(e))
            assert len(again) <= 1 + times // 20, again
            group.repair()
    figures, text = race.verdict(f"{made} failovers made, {len(again)} rounds made again")
    assert made == times, text
    assert figures["cross"] > times, text


def test_promoted_by_command(group, race):
    """The old master goes on as one for those who still talk to it, until it is told."""
    def failover():
        old = group.failover()
        old.call("REPLICAOF", "127.0.0.1", group.master().port)
    run(group, race, failover, FAILOVERS)


def test_both_masters_for_a_while(group, race):
    """The same, but nobody tells the old master for seconds."""
    run(group, race, group.failover, FAILOVERS // 5)


def test_killed(group, race):
    """kill -9, and the replica may lack what was acknowledged last."""
    run(group, race, group.crash_master, max(1, FAILOVERS // 10))


def test_partitioned_replica(group, race):
    """The replica hangs while writes are answered, and is promoted without them."""
    def failover():
        master, replica = group.master(), group.replica()
        replica.pause()
        try:
            time.sleep(0.2)
            master.kill()
        finally:
            replica.resume()
        eventually(lambda: group.master() is replica and replica.info("role") == "master", 90,
                   "the replica is promoted")
    run(group, race, failover, max(1, FAILOVERS // 10))
