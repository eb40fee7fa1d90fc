"""Nodes that share a Redis, an origin behind a gate, and crowds that ask several nodes at once.

    respond, gate = gated(answer(200, b"body"))
    nodes, origin = serve(respond, 2)
    many = crowd(nodes, 100, "/a/1")
    many.send(); origin.wait(1); waited_for(redis); gate.open()
    answers = many.read()

serve and crowd are fixtures: import them where they are used.
"""

import pytest

from .figures import Figures
from .nodes import acquainted, start_node
from .swarm import Gate, QuickOrigin, Swarm, get, raise_fd_limit
from .wait import eventually

CONF = """
%ADMIN%
workers 2
log off
redis %REDIS% prefix=shop budget=%BUDGET% %OPTIONS%
limits connections=5000
upstream main %ORIGIN% max_fails=0
defaults { timeout connect=10s first_byte=20s; retry 0 }
route GET /a/{id} { scope public; key a:{id}; ttl 60s; tag t:{id} }
route GET /short/{id} { scope public; key short:{id}; ttl 1s; stale 60s }
route GET /own/{id} { scope public; ttl origin }
route POST /a/{id} { invalidate a:{id} }
"""


def start_all(larder, redis, ways, **values):
    """A node for each of these ways to Redis (a lib.redis.FaultProxy or None) and their figures;
    they know each other."""
    figures = [Figures() for _ in ways]
    nodes = [start_node(larder, redis, CONF, via=via, admin=f.conf, **values)
             for f, via in zip(figures, ways)]
    acquainted(figures)
    return nodes, figures


class Crowd:
    """The same requests (one for each target), n times, to each of the nodes."""

    def __init__(self, nodes, n, targets, *headers):
        targets = [targets] if isinstance(targets, str) else targets
        self.swarms = [Swarm(node.port, [get(t, *headers) for t in targets] * n)
                       for node in nodes]

    def send(self):
        for swarm in self.swarms:
            swarm.send()
        for swarm in self.swarms:
            swarm.taken()

    def read(self, numbers=None):
        """All answers (of these nodes), in one list."""
        chosen = self.swarms if numbers is None else [self.swarms[n] for n in numbers]
        return [a for swarm in chosen for a in swarm.read()]

    def close(self):
        for swarm in self.swarms:
            swarm.__exit__()


def waited_for(redis, n=1):
    """Waits until so many leases are held and somebody waits for each; their names."""
    def marked():
        names = redis.leases()
        values = redis.call("MGET", *names) if len(names) == n else []
        return names if values and all((v or b"").endswith(b"w") for v in values) else None
    return eventually(marked, 15, f"{n} leases that are waited for", interval=0.02)


@pytest.fixture
def serve(larder, redis):
    """Factory: serve(respond, nodes=2) -> (nodes, origin); serve.figures are the nodes' own."""
    origins = []

    def start(respond, nodes=2, options=""):
        raise_fd_limit()
        origins.append(QuickOrigin(respond))
        started, start.figures = start_all(larder, redis, [None] * nodes, origin=origins[-1].url,
                                           budget="5s", options=options)
        return started, origins[-1]

    yield start
    for origin in origins:
        origin.stop()


@pytest.fixture
def crowd():
    crowds = []

    def make(*args):
        crowds.append(Crowd(*args))
        return crowds[-1]

    yield make
    for c in crowds:
        c.close()


def gated(*answers):
    """(respond, gate): the n-th request gets the n-th of these answers (the last one again)."""
    gate = Gate()

    async def respond(seen, writer):
        await gate.passed()
        writer.write(answers[min(seen.number, len(answers) - 1)])

    return respond, gate
