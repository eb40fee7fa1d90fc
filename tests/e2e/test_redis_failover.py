"""Sentinel failovers right after acknowledged invalidations, through complete proxies.

Redis replicates asynchronously: what the old master acknowledged may be lost. Two proxies, a
master, a replica and three sentinels, all real; clients read and write all the time, so that
every failover finds writes answered within the last milliseconds. Judged as in
test_redis_property.py: nothing older than an acknowledged write, on its own node ever, elsewhere
not after max_lag unless it is marked. No client sees an error.

More than 20 in `make test`; `make soak` sets SOAK_FAILOVERS.
"""

import os
import random
import time

import pytest

from lib.larder import Larder
from lib.ports import free_port
from lib.racer import Racer
from lib.sentinel import Sentinels
from lib.wait import eventually

FAILOVERS = int(os.environ.get("SOAK_FAILOVERS", 16))
SEED = int(os.environ.get("SOAK_SEED", 1))
MAX_LAG = 500
CONF = """
workers 2
log off
redis %REDIS% prefix=race budget=100ms max_lag=500ms
state_dir %STATE%
upstream main %ORIGIN% max_fails=0
route GET /r/{key} { scope public; key r:{key}; tag t:{key} all; ttl 60s }
route POST /r/{key}   { invalidate r:{key} }
route PUT /r/{key}    { invalidate tag:t:{key} }
route DELETE /r/{key} { invalidate r:{key} r:k? }
"""


@pytest.fixture
def group(tmp_path):
    one = Sentinels(tmp_path)
    yield one
    one.stop()


@pytest.fixture
def race(tmp_path, group):
    """Two nodes and the racer, which runs from here on."""
    origin, ports = free_port(), [free_port(), free_port()]
    racer = Racer(tmp_path, ports, origin, max_lag=MAX_LAG, delay=100, seed=SEED, writes=5,
                  clients=12, resources=60, pace=4000, confirm=50)
    nodes = []
    for n, port in enumerate(ports):
        state = tmp_path / f"state{n}"
        state.mkdir()
        nodes.append(Larder(tmp_path, CONF, name=f"node{n}", port=port, redis=group.url,
                            origin=f"http://127.0.0.1:{origin}", state=state))
    racer.start()
    yield racer
    racer.close()
    for node in nodes:
        node.finish()


def acknowledged(racer):
    """Invalidations that were acknowledged, not pending."""
    figures = racer.figures()
    return figures["writes"] - figures["pending"]


def run(group, race, how, times):
    """times × how(), each in the middle of acknowledged invalidations."""
    pick = random.Random(SEED)
    for n in range(times):
        so_far = acknowledged(race)
        eventually(lambda: acknowledged(race) >= so_far + 10, 30, "writes are acknowledged (again)")
        time.sleep(pick.uniform(0, 0.05))
        how()
        if race.figures()["violations"]:
            break
        group.repair()
    so_far = acknowledged(race)
    eventually(lambda: acknowledged(race) >= so_far + 10, 30, "writes are acknowledged again")
    figures = race.stop()
    what = f"seed {SEED}, {n + 1} failovers: {figures}"
    print(what)
    assert figures["violations"] == 0, what
    assert figures["errors"] == 0 and figures["lost"] == 0, what
    assert figures["cross"] > times, what
    eventually(lambda: race.behind() == 0, 30, f"every node shows the newest; {what}")


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
        replica = group.replica()
        replica.pause()
        time.sleep(0.2)
        group.master().kill()
        replica.resume()
        eventually(lambda: group.master() is replica and replica.info("role") == "master", 90,
                   "the replica is promoted")
    run(group, race, failover, max(1, FAILOVERS // 10))
