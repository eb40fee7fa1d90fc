"""A Redis cluster of three masters and three replicas under complete proxies: slots move and masters
change while clients read and write, judged as in test_redis_property.py. No error, nothing stale,
and no command whose keys are in two slots.
"""

import os
import random
import time

import pytest

from lib.cluster import Cluster
from lib.raced import SEED, RacedNodes

ROUNDS = int(os.environ.get("SOAK_ROUNDS", 1))


@pytest.fixture
def cluster(tmp_path):
    one = Cluster(tmp_path)
    yield one
    one.stop()


@pytest.fixture
def race(tmp_path, cluster):
    one = RacedNodes(tmp_path, cluster.url, delay=60, clients=16, pace=2000)
    one.acknowledged(20)
    yield one
    one.close()


def verdict(race, cluster, what):
    race.acknowledged(10)
    figures, text = race.verdict(what)
    assert figures["pairs"] > 300 and figures["cross"] > 0, text
    for s in cluster.servers:
        if s.process.alive():
            assert b"CROSSSLOT" not in s.call("INFO", "errorstats"), s.name


def entries(cluster):
    """Slots of some of what is read."""
    return [cluster.slot(f"race:r:k{n}") for n in range(0, 60, 4)]


def test_entries_move(cluster, race):
    """Resharding of the slots that entries are in: every one, to and fro."""
    pick = random.Random(SEED)
    for _ in range(4 * ROUNDS):
        for slot in entries(cluster):
            others = [m for m in cluster.masters() if m is not cluster.owner(slot)]
            cluster.move(slot, pick.choice(others))
            time.sleep(0.02)
    verdict(race, cluster, "entries move")


def test_the_journal_moves(cluster, race):
    """Its slot goes round: another master is another epoch, and nobody waits for that."""
    slot = cluster.slot("{race}:journal")
    for n in range(3 * ROUNDS):
        others = [m for m in cluster.masters() if m is not cluster.owner(slot)]
        cluster.move(slot, others[n % len(others)])
        race.acknowledged(10)
    verdict(race, cluster, "the journal moves")


def test_the_journals_master_changes(cluster, race):
    """By order, and by kill -9 right after acknowledged invalidations."""
    slot = cluster.slot("{race}:journal")
    for n in range(ROUNDS):
        cluster.promote(cluster.owner(slot))
        cluster.settle()
        race.acknowledged(10)
        cluster.crash(cluster.owner(slot))
        race.acknowledged(10)
        cluster.repair()
    verdict(race, cluster, "the journal's master changes")
