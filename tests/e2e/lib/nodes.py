"""Several proxies on one Redis: starting them, and waiting for what they know."""

import re
import time

from .wait import eventually


def start_node(larder, redis, conf, prefix="shop", via=None, **values):
    """A proxy (`workers 2`) whose connections to Redis (`via` a FaultProxy) are all there, and
    that is registered."""
    before, others = connections(redis), registered(redis, prefix)
    values.setdefault("redis", (via or redis).url)
    node = larder(conf, **values)
    # Two of each worker (one if it knows no leases) and two of the journal.
    wanted = 4 if "lease=off" in conf + values.get("options", "") else 6
    eventually(lambda: len(connections(redis) - before) >= wanted and
               registered(redis, prefix) - others, 10, f"{node.process.name} is connected")
    return node


def start_nodes(larder, redis, n, conf, **values):
    return [start_node(larder, redis, conf, **values) for _ in range(n)]


def acquainted(figures):
    """Waits until each of these nodes (their lib.figures.Figures) knows whether it is alone: then it
    takes no leases."""
    alone = len(figures) == 1
    eventually(lambda: all(f.json("/stats")["journal"]["alone"] == alone for f in figures), 15,
               "the nodes know each other")


def caught_up(figures):
    """Waits until each of these nodes has applied all that the others have."""
    def place(f):
        journal = f.json("/stats")["journal"]
        return journal["epoch"], journal["position"]
    eventually(lambda: len({place(f) for f in figures}) == 1, 15, "the nodes know the same")


def registered(redis, prefix="shop"):
    """Ids of the nodes that are alive."""
    return set(redis.call("ZRANGE", f"{{{prefix}}}:nodes", 0, -1))


def connections(redis):
    """Ids of the connections of Larder's that Redis has."""
    return {line.split()[0] for line in redis.call("CLIENT", "LIST").splitlines()
            if b" name=larder " in line}


def times_down(node):
    return len(re.findall(r"journal: not following Redis", node.stderr()))


def times_up(node):
    return len(re.findall(r"journal: following Redis", node.stderr()))


def delay_until(node, target, body, within, headers=()):
    """Polls until the node answers with this body; seconds that took."""
    began = time.monotonic()
    eventually(lambda: node.get(target, headers).body == body, within,
               f"{body!r} on {node.process.name}", interval=0.001)
    return time.monotonic() - began
