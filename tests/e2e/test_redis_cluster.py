"""A Redis cluster of three masters and three replicas under complete proxies: slots move and masters
change while clients read and write, judged as in test_redis_property.py. No error, nothing stale,
and no command whose keys are in two slots.
"""

import os
import random
import time

import pytest

from lib.cluster import Cluster
from lib.larder import Larder
from lib.ports import free_port
from lib.racer import Racer
from lib.wait import eventually

ROUNDS = int(os.environ.get("SOAK_ROUNDS", 1))
SEED = int(os.environ.get("SOAK_SEED", 1))
MAX_LAG = 500
CONF = """
workers 2
log off
redis %REDIS% prefix=race budget=100ms max_lag=500ms
upstream main %ORIGIN% max_fails=0
route GET /r/{key} { scope public; key r:{key}; tag t:{key} all; ttl 60s }
route POST /r/{key}   { invalidate r:{key} }
route PUT /r/{key}    { invalidate tag:t:{key} }
route DELETE /r/{key} { invalidate r:{key} r:k? }
"""


@pytest.fixture
def cluster(tmp_path):
    one = Cluster(tmp_path)
    yield one
    one.stop()


@pytest.fixture
def nodes():
    started = []
    yield started
    for node in started:
        node.finish()


@pytest.fixture
def race(tmp_path, cluster, nodes):
    """Two nodes and the racer, which runs from here on."""
    origin, ports = free_port(), [free_port(), free_port()]
    racer = Racer(tmp_path, ports, origin, max_lag=MAX_LAG, delay=60, seed=SEED, writes=5,
                  clients=16, resources=60, pace=2000, confirm=50)
    for n, port in enumerate(ports):
        nodes.append(Larder(tmp_path, CONF, name=f"node{n}", port=port, redis=cluster.url,
                            origin=f"http://127.0.0.1:{origin}"))
    racer.start()
    acknowledged(racer, 20)
    yield racer
    racer.close()


def acknowledged(racer, n):
    """Waits for so many more invalidations that are acknowledged, not pending."""
    def count():
        figures = racer.figures()
        return figures["writes"] - figures["pending"]
    so_far = count()
    eventually(lambda: count() >= so_far + n, 30, "writes are acknowledged (again)")


def verdict(racer, cluster, what):
    acknowledged(racer, 20)
    figures = racer.stop()
    text = f"{what}, seed {SEED}: {figures}"
    print(text)
    assert figures["violations"] == 0, text
    assert figures["errors"] == 0 and figures["lost"] == 0, text
    assert figures["pairs"] > 300 and figures["cross"] > 0, text
    eventually(lambda: racer.behind() == 0, 30, f"every node shows the newest; {text}")
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
        acknowledged(race, 10)
    verdict(race, cluster, "the journal moves")


def test_the_journals_master_changes(cluster, race):
    """By order, and by kill -9 right after acknowledged invalidations."""
    slot = cluster.slot("{race}:journal")
    for n in range(ROUNDS):
        cluster.promote(cluster.owner(slot))
        cluster.settle()
        acknowledged(race, 10)
        cluster.crash(cluster.owner(slot))
        acknowledged(race, 10)
        cluster.repair()
    verdict(race, cluster, "the journal's master changes")
