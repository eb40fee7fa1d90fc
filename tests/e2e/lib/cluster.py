"""A Redis cluster of three masters and three replicas, all real.

    cluster = Cluster(folder)
    cluster.url                          # for Larder's directive
    cluster.slot("{shop}:journal")       # a key's slot
    cluster.owner(slot)                  # the RedisServer that has it
    cluster.move(slot, other)            # key by key, as resharding does it
    cluster.promote(owner)               # CLUSTER FAILOVER of its replica
    cluster.crash(owner)                 # kill -9; returns when its replica has taken over
    cluster.repair()                     # who was killed comes back; all is in step

`cluster` is a fixture, one for all tests of a file: import it where it is used.
"""

import pytest

from .ports import free_port
from .redis import RedisError, RedisServer
from .wait import eventually

SLOTS = 16384
SLOW = 40  # seconds; for anything that usually takes less than three
OPTIONS = [("cluster-enabled", "yes"), ("cluster-config-file", "nodes.conf"),
           ("cluster-node-timeout", "1500"), ("cluster-replica-validity-factor", "0"),
           ("repl-diskless-sync-delay", "0"), ("repl-backlog-size", "4mb")]


class Cluster:
    def __init__(self, folder, masters=3):
        self.servers = []
        try:
            for n in range(2 * masters):
                bus = free_port()
                self.servers.append(RedisServer(folder, f"server{n}",
                                                options=OPTIONS + [("cluster-port", bus)]))
                self.servers[-1].bus = bus
            self._join(masters)
        except BaseException:
            self.stop()
            raise

    @property
    def url(self):
        return "redis-cluster://" + ",".join(f"127.0.0.1:{s.port}" for s in self.servers[1:4])

    def _join(self, masters):
        first = self.servers[0]
        for s in self.servers:
            s.id = s.call("CLUSTER", "MYID").decode()
        for s in self.servers[1:]:
            first.call("CLUSTER", "MEET", "127.0.0.1", s.port, s.bus)
        for n in range(masters):
            self.servers[n].call("CLUSTER", "ADDSLOTSRANGE", SLOTS * n // masters,
                                 SLOTS * (n + 1) // masters - 1)
        for replica, master in zip(self.servers[masters:], self.servers):
            eventually(lambda: self._knows(replica, master), SLOW, "the nodes have met")
            replica.call("CLUSTER", "REPLICATE", master.id)
        self.settle()

    @staticmethod
    def _knows(one, other):
        return other.id in one.call("CLUSTER", "NODES").decode()

    def settle(self):
        """All say that all is well, and every replica is in step."""
        def good(s):
            info = s.call("CLUSTER", "INFO").decode()
            nodes = s.call("CLUSTER", "NODES").decode()
            return (f"cluster_known_nodes:{len(self.servers)}" in info and
                    "cluster_state:ok" in info and "fail" not in nodes and
                    (s.info("role") == "master" or s.info("master_link_status") == "up"))
        eventually(lambda: all(good(s) for s in self.servers) and
                   sum(s.info("role") == "master" for s in self.servers) == 3, SLOW,
                   "the cluster is in step")

    def slot(self, key):
        return self._alive().call("CLUSTER", "KEYSLOT", key)

    def _alive(self):
        return next(s for s in self.servers if s.process.alive())

    def masters(self):
        return [s for s in self.servers if s.process.alive() and s.info("role") == "master"]

    def owner(self, slot):
        """Of the slot, as those alive see it; None while there is none."""
        for row in self._alive().call("CLUSTER", "SLOTS"):
            if row[0] <= slot <= row[1]:
                port = row[2][1]
                return next(s for s in self.servers if s.port == port)
        return None

    def replica_of(self, master):
        return next(s for s in self.servers if s.process.alive() and s.info("role") == "slave" and
                    s.info("master_port") == str(master.port))

    def move(self, slot, to):
        """From its owner to another master, a few keys at a time."""
        owner = self.owner(slot)
        to.call("CLUSTER", "SETSLOT", slot, "IMPORTING", owner.id)
        owner.call("CLUSTER", "SETSLOT", slot, "MIGRATING", to.id)
        while keys := owner.call("CLUSTER", "GETKEYSINSLOT", slot, 2):
            owner.call("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS", *keys)
        for s in [to, owner] + [m for m in self.masters() if m not in (to, owner)]:
            s.call("CLUSTER", "SETSLOT", slot, "NODE", to.id)

    def promote(self, owner):
        replica = self.replica_of(owner)

        def promoted():
            if replica.info("role") == "master":
                return True
            try:
                replica.call("CLUSTER", "FAILOVER")
            except RedisError:
                pass
            return False
        eventually(promoted, SLOW, "CLUSTER FAILOVER", interval=0.5)

    def crash(self, owner):
        replica = self.replica_of(owner)
        owner.kill()
        eventually(lambda: replica.info("role") == "master" and
                   "cluster_state:ok" in replica.call("CLUSTER", "INFO").decode(), SLOW,
                   "the replica has taken over")

    def repair(self):
        for s in self.servers:
            if not s.process.alive():
                s.start()
        self.settle()

    def stop(self):
        for s in self.servers:
            s.stop()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    whole = Cluster(tmp_path_factory.mktemp("cluster"))
    yield whole
    whole.stop()
