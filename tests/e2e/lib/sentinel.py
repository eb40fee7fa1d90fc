"""A master, its replica and three sentinels, all real.

    group = Sentinels(folder)
    group.url                  # for Larder's directive
    group.failover()           # SENTINEL FAILOVER; returns when all agree about the new master
    group.crash_master()       # kill -9; returns when there is a new master
    group.repair()             # who was killed comes back and is a replica in step
"""

import os
import shutil
import time

from .ports import free_port
from .process import Process, wait_ready
from .redis import RedisClient, RedisError, RedisServer
from .wait import eventually

NAME = "larder"
# A sentinel asks now and then only; for tests, all the time (milliseconds). After four times
# PUBLISH-PERIOD the others undo a promotion that they have not heard of.
PERIODS = {"INFO-PERIOD": 100, "PING-PERIOD": 50, "ASK-PERIOD": 100, "PUBLISH-PERIOD": 500,
           "ELECTION-TIMEOUT": 2000, "MIN-LINK-RECONNECT-PERIOD": 200}
OPTIONS = [("repl-diskless-sync-delay", "0"), ("repl-ping-replica-period", "1"),
           ("repl-timeout", "5"), ("repl-backlog-size", "4mb")]
SLOW = 90  # seconds; for anything that usually takes less than two


class Sentinel:
    """One redis-server --sentinel."""

    def __init__(self, folder, number, master_port, down_after):
        self.folder = os.path.join(str(folder), f"sentinel{number}")
        os.makedirs(self.folder, exist_ok=True)
        self.port = free_port()
        conf = os.path.join(self.folder, "sentinel.conf")
        with open(conf, "w", encoding="utf-8") as f:
            f.write(f"port {self.port}\nbind 127.0.0.1\ndir {self.folder}\n"
                    f"sentinel monitor {NAME} 127.0.0.1 {master_port} 2\n"
                    f"sentinel down-after-milliseconds {NAME} {down_after}\n"
                    f"sentinel failover-timeout {NAME} 1800\n")
        program = shutil.which("redis-server") or "/usr/bin/redis-server"
        self.process = Process([program, conf, "--sentinel"], self.folder, f"sentinel{number}")
        self._client = RedisClient(port=self.port)
        wait_ready(self.process, lambda: self.call("PING") == b"PONG", 20)
        for what, ms in PERIODS.items():
            self.call("SENTINEL", "DEBUG", what, ms)

    def call(self, *args):
        return self._client.call(*args)

    def master(self):
        """The port of the master that it knows."""
        got = self.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
        return int(got[1]) if got else None

    def settled(self, others):
        """Knows a replica in good order and the other sentinels, and nothing is under way."""
        fields = self.call("SENTINEL", "MASTER", NAME)
        about = dict(zip(fields[::2], fields[1::2]))
        replicas = [dict(zip(r[::2], r[1::2])) for r in self.call("SENTINEL", "REPLICAS", NAME)]
        return (about[b"flags"] == b"master" and int(about[b"num-other-sentinels"]) == others and
                any(r[b"flags"] == b"slave" and r[b"master-link-status"] == b"ok"
                    for r in replicas))

    def stop(self):
        self._client.close()
        if self.process.alive():
            self.process.popen.kill()
        self.process.popen.wait()


class Sentinels:
    def __init__(self, folder, down_after=700):
        self.servers = []
        self.sentinels = []
        try:
            first = RedisServer(folder, "server0", options=OPTIONS)
            self.servers.append(first)
            self.servers.append(RedisServer(folder, "server1", options=OPTIONS))
            self.servers[1].call("REPLICAOF", "127.0.0.1", first.port)
            for n in range(3):
                self.sentinels.append(Sentinel(folder, n, first.port, down_after))
            self.settle()
        except BaseException:
            self.stop()
            raise

    @property
    def url(self):
        hosts = ",".join(f"127.0.0.1:{s.port}" for s in self.sentinels)
        return f"redis-sentinel://{hosts}/{NAME}"

    def master(self):
        """The RedisServer that all sentinels call master; None while they disagree."""
        ports = {s.master() for s in self.sentinels}
        port = ports.pop() if len(ports) == 1 else None
        return next((s for s in self.servers if s.port == port), None)

    def replica(self):
        master = self.master()
        return next(s for s in self.servers if s is not master)

    def call(self, *args):
        """To the master."""
        return self.master().call(*args)

    def settle(self):
        """Waits until everybody knows everybody and the replica is in step."""
        eventually(lambda: self.master() is not None and
                   all(s.settled(len(self.sentinels) - 1) for s in self.sentinels) and
                   self._in_step(), SLOW, "the sentinels agree, the replica is in step")

    def _in_step(self):
        replica = self.replica()
        return (replica.info("role") == "slave" and replica.info("master_link_status") == "up" and
                self.master().info("role") == "master" and
                self.master().info("connected_slaves") == "1")

    def _moved(self, old):
        eventually(lambda: self.master() not in (None, old) and
                   self.master().info("role") == "master", SLOW, "there is a new master")

    def failover(self):
        """Returns the old master, which has not been told yet."""
        old = self.master()

        asked = [0.0]

        def moved():
            if self.master() not in (None, old) and self.master().info("role") == "master":
                return True
            if time.monotonic() - asked[0] > 4:  # or it was given up
                try:
                    self.sentinels[0].call("SENTINEL", "FAILOVER", NAME)
                    asked[0] = time.monotonic()
                except RedisError:  # NOGOODSLAVE, INPROG
                    pass
            return False
        eventually(moved, SLOW, "SENTINEL FAILOVER")
        return old

    def crash_master(self):
        old = self.master()
        old.kill()
        self._moved(old)

    def repair(self):
        for server in self.servers:
            if not server.process.alive():
                server.start()
        self.settle()

    def stop(self):
        for one in self.sentinels + self.servers:
            one.stop()
