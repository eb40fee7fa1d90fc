"""Clients that ask all the time and look at every byte, for tests in which something breaks.

    with Load([a, b]) as load:
        …                     # faults
    load.check(slowest=0.5)   # every answer was right, and none took longer
"""

import itertools
import random
import time

from .fast import Crew, FastClient
from .wait import eventually

NAMES = 800  # with 4 KB each: more than `memory 1mb` holds
PATH = "/a/{}"


def canary(path):
    """The body that lib.load.serve() gives for a path: nobody else's."""
    return (f"{path};" * (200 + sum(path.encode()) * 97 % 600)).encode()


def serve(origin):
    """Makes a FakeOrigin answer with canaries."""
    origin.default = lambda x: x.answer(200, canary(x.request.path))


def warm(node, names=NAMES, path=PATH):
    """Asks for every name once."""
    with FastClient(node.port) as c:
        for n in range(names):
            assert c.get(path.format(n)).body == canary(path.format(n))


class Load:
    """Each client has a connection to each node and asks for one of many names, now and then
    writing one. `latencies` are (seconds, method, path)."""

    def __init__(self, nodes, clients=4, names=NAMES, writes=0.05, path=PATH, seed=1):
        self._nodes, self._clients, self._names = nodes, clients, names
        self._writes, self._path, self._seed = writes, path, seed
        self._crew = Crew()
        self.latencies = []
        self.pending = 0

    def __enter__(self):
        for n in range(self._clients):
            self._crew.start(self._ask, n)
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self._crew.stop()
        else:
            self._crew.stopping.set()

    def _ask(self, number):
        pick = random.Random(self._seed * 100 + number)
        connections = [FastClient(node.port) for node in self._nodes]
        try:
            while not self._crew.stopping.is_set():
                path = self._path.format(pick.randrange(self._names))
                method = "POST" if pick.random() < self._writes else "GET"
                self._one(pick.choice(connections), method, path)
        finally:
            for c in connections:
                c.close()

    def _one(self, c, method, path):
        began = time.monotonic()
        got = c.request(method, path)
        self.latencies.append((time.monotonic() - began, method, path))
        assert got.status == 200, (method, path, got)
        assert got.body == canary(path), (method, path, got)
        if b"\r\nCache-Invalidation: pending" in got.head:
            self.pending += 1

    def check(self, slowest, least=50):
        assert len(self.latencies) >= least, len(self.latencies)
        worst = max(self.latencies)
        assert worst[0] < slowest, worst


# ---- nodes on one Redis, under such a load

CONF = """
workers 2
redis %REDIS% prefix=shop budget=100ms max_lag=500ms
memory 1mb
log off
upstream main %ORIGIN% max_fails=0
route GET /a/{id}  { scope public; key a:{id}; ttl 60s }
route POST /a/{id} { invalidate a:{id} }
"""
# A read asks Redis once and may wait for a lease whose holder was cut off, within its budget; a write
# waits for its record once; the rest is the machine's. Less than the faults last, and than a lease
# that nobody gives back: nobody waits for either.
SLOWEST = 1.6
FAULT = 2.0
BACK = 20.0  # usually some hundred milliseconds; the longest pause between two attempts is 2 s
_numbers = itertools.count(1000)


def in_use(node, redis):
    """A new name gets into Redis, and a write's record into the stream, without `pending`."""
    path = PATH.format(next(_numbers))
    assert node.get(path).body == canary(path)
    posted = node.post(path)
    assert posted.status == 200
    if posted.header("cache-invalidation") is not None:
        return False
    path = PATH.format(next(_numbers))
    node.get(path)
    return eventually(lambda: redis.call("EXISTS", f"shop:a:{path[3:]}"), 0.5)


def recovers(nodes, redis):
    for node in nodes:
        eventually(lambda: in_use(node, redis), BACK, f"{node.process.name} uses Redis again")
