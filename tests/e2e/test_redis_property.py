"""The property that all of the journal is for, under faults (hardening.md 4.7).

A read through a node never shows less than a write that was answered through the same node
before; nor, unless it is marked as uncertain, less than any write that was answered (without
`pending`) more than max_lag before. Whatever happens to Redis, to the way to it and to the
nodes. When all is well again, every node shows the newest version of everything.

A pair is a read that had to show an answered write. The short form, in `make test`, judges more
than 100,000 of them; `make soak` sets SOAK_PAIRS for the long one. A failure names its seed and
the history of the resource: SOAK_SEED=N repeats the same requests and faults.
"""

import os
import random
import time

import pytest

from lib import chaos
from lib.larder import Larder
from lib.ports import free_port
from lib.racer import Racer, selftest
from lib.redis import FaultProxy
from lib.wait import eventually

PAIRS = int(os.environ.get("SOAK_PAIRS", 17000))  # of each world
SEED = int(os.environ.get("SOAK_SEED", 1))
AT_LEAST = 3.0                                     # seconds with faults
AT_MOST = 60 + PAIRS / 300                         # seconds, on a very slow machine
MAX_LAG = 500
CONF = """
workers 2
log off
redis %REDIS% prefix=%PREFIX% budget=%BUDGET%ms max_lag=%LAG%ms %INTENT%
state_dir %STATE%
upstream main %ORIGIN% max_fails=0
%TIMEOUTS%
route GET /r/{key} { scope public; key r:{key}; tag t:{key} all; %MORE% }
route POST /r/{key}   { invalidate r:{key} }
route PUT /r/{key}    { invalidate tag:t:{key} }
route DELETE /r/{key} { invalidate r:{key} r:k? }
"""
# name: (nodes, kinds of faults, more of the route)
WORLDS = {
    "links": (2, chaos.LINK, "ttl 60s"),
    "redis": (2, chaos.REDIS, "ttl 60s"),
    "nodes": (2, chaos.NODE, "ttl 60s"),
    "alone": (1, chaos.LINK + chaos.REDIS, "ttl 60s"),
    "everything": (3, chaos.LINK + chaos.REDIS + chaos.NODE, "ttl 60s"),
    "stale": (2, chaos.LINK + chaos.REDIS, "ttl 50ms; stale 60s"),
}


@pytest.fixture
def world(tmp_path, redis):
    """Starts the nodes of a world, each with a link of its own, and ends them."""
    started, links, racers = [], [], []

    def start(name, n, more, prefix=lambda at: "race", **options):
        pick = random.Random(f"{SEED} {name}")
        origin = free_port()
        links.extend(FaultProxy(redis.port) for _ in range(n))
        ports = [free_port() for _ in range(n)]
        announced = options.get("announced", 0)
        values = dict(intent="intent=on intent_deadline=2s" if announced else "",
                      timeouts="defaults { timeout first_byte=1s }" if announced else "",
                      origin=f"http://127.0.0.1:{origin}", more=more, lag=MAX_LAG,
                      budget=pick.choice((20, 100)))

        def node(at):
            state = tmp_path / f"state{at}"
            state.mkdir(exist_ok=True)
            started.append(Larder(tmp_path, CONF, name=f"node{at}", port=ports[at], wait=False,
                                  redis=links[at].url, prefix=prefix(at), state=state, **values))
            return started[-1]

        racers.append(Racer(tmp_path, ports, origin, max_lag=MAX_LAG, seed=SEED,
                            **{**dict(delay=300, writes=pick.choice((3, 6, 12)), clients=32,
                                      confirm=pick.choice((0, 100)),
                                      resources=pick.choice((60, 200)),
                                      pace=pick.choice((0, 500))), **options}))
        nodes = [node(at) for at in range(n)]
        for one in nodes:
            eventually(one.accepts, 20)
        return nodes, racers[0], node

    yield start, links
    for node in started:
        if node.alive():
            node.signal(18)  # SIGCONT
        node.finish()
    for racer in racers:
        racer.close()
    for link in links:
        link.stop()


@pytest.mark.parametrize("name", WORLDS)
def test_no_read_is_older_than_it_may_be(world, redis, name):
    start, links = world
    n, kinds, more = WORLDS[name]
    nodes, racer, restart = start(name, n, more)
    faults = chaos.Chaos(f"{SEED} {name}", redis, links, nodes, restart, kinds)
    racer.start()
    began = time.monotonic()

    def enough():
        so_far, passed = racer.figures(), time.monotonic() - began
        return so_far["violations"] or passed > AT_MOST or (
            so_far["pairs"] >= PAIRS and passed > AT_LEAST)

    try:
        faults.run(enough)
    finally:
        faults.heal()
        figures = racer.stop()
    what = f"world {name}, seed {SEED}: {figures}\nfaults: {faults.log}"
    print(what)
    assert figures["violations"] == 0, what
    assert figures["errors"] == 0, what
    if not set(kinds) & {chaos.kill_node, chaos.end_node}:
        assert figures["lost"] == 0, what
    assert figures["pairs"] >= PAIRS, what
    assert figures["hits"] + figures["stales"] > figures["reads"] / 20, what
    # Once more all is well: nothing that waited in an outbox was forgotten.
    eventually(lambda: racer.behind() == 0, 30, f"every node shows the newest; {what}")


def test_what_dies_with_its_nodes_is_healed(world):
    """Nodes that announce are killed in the middle of writes, all at once, so that nobody writes
    after that. When they are back they show what the backend committed, and not what Redis has."""
    start, _ = world
    nodes, racer, restart = start("announced", 2, "ttl 60s", announced=1, writes=30, delay=800,
                                  resources=100, clients=96, pace=500)
    for turn in range(2):
        before = racer.figures()
        racer.start()
        eventually(lambda: racer.figures()["writes"] > before["writes"] + 300, 30)
        for node in nodes:
            node.kill()
        figures = racer.stop()
        what = f"seed {SEED}, turn {turn}: {figures}"
        assert figures["violations"] == 0 and figures["errors"] == 0, what
        assert figures["lost"] > before["lost"], what
        nodes[:] = [restart(at) for at in range(2)]
        for node in nodes:
            eventually(node.accepts, 20)
        eventually(lambda: racer.behind() == 0, 30, f"every node shows the newest; {what}")


# ---- the test of the test


def test_the_judge_judges():
    done = selftest()
    assert done.returncode == 0, done.stdout + done.stderr


def found(racer, least=1):
    racer.start()
    try:
        eventually(lambda: racer.figures()["violations"] >= least, 30, "a violation is found")
    finally:
        figures = racer.stop()
    text = figures["first"][0]
    assert f"seed {SEED}: node" in text and "history: [" in text, text
    return figures, text


def test_a_write_that_the_proxy_never_sees_is_found(world):
    """A mistake is planted: one write in ten passes by the proxy, as if it forgot to record it."""
    start, _ = world
    _, racer, _ = start("planted", 1, "ttl 60s", planted=10)
    _, text = found(racer)
    assert "written and answered through this node before" in text


def test_a_node_that_hears_nothing_is_found(world):
    """Two nodes that do not share a prefix: each knows its own writes only."""
    start, _ = world
    _, racer, _ = start("apart", 2, "ttl 60s", prefix=lambda at: f"race{at}")
    _, text = found(racer)
    assert "answered more than max_lag before" in text
