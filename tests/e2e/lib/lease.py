"""Nodes that share a Redis, an origin behind a gate, and crowds that ask several nodes at once.

    crowd = Crowd(nodes, 100, "/a/1")
    crowd.send(); origin.wait(1); waited_for(redis); gate.open()
    answers = crowd.read()
"""

from .swarm import Swarm, get
from .wait import eventually

CONF = """
workers 2
log off
redis %REDIS% prefix=shop budget=5s %OPTIONS%
limits connections=5000
upstream main %ORIGIN% max_fails=0
defaults { timeout connect=10s first_byte=20s; retry 0 }
route GET /a/{id} { scope public; key a:{id}; ttl 60s; tag t:{id} }
route GET /short/{id} { scope public; key short:{id}; ttl 1s; stale 60s }
route GET /own/{id} { scope public; ttl origin }
route POST /a/{id} { invalidate a:{id} }
"""


class Crowd:
    """The same request, many times, to each of the nodes."""

    def __init__(self, nodes, n, target, *headers):
        self.swarms = [Swarm(node.port, [get(target, *headers)] * n) for node in nodes]

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
        values = {k: redis.call("GET", k) or b"" for k in redis.leases()}
        names = [k for k, v in values.items() if v.endswith(b"w")]
        return names if len(names) == n == len(values) else None
    return eventually(marked, 15, f"{n} leases that are waited for")
