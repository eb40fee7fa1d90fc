"""Faults of Redis, of the way to it and of the nodes, in an order that a seed decides.

Each fault has a beginning and an end; several may overlap. heal() ends them all.
"""

import random
import signal
import time

from .redis import RedisError


class Chaos:
    """`nodes`: lib.larder.Larder objects that reach Redis through `links` (lib.redis.FaultProxy).

    A node that is killed is replaced in `nodes` by its successor on the same port.
    """

    def __init__(self, seed, redis, links, nodes, restart, kinds):
        self.random = random.Random(seed)
        self.redis = redis
        self.links = links
        self.nodes = nodes
        self.restart = restart          # function(index) -> a new Larder, not waited for
        self.kinds = kinds
        self.log = []                   # what was done, for the message of a failure
        self._ends = []                 # (when, function)

    def run(self, enough):
        """Faults until enough() says so, in bursts with quiet times in between; then everything
        is healed. The faults and their order depend on the seed alone."""
        began = time.monotonic()
        while not enough():
            for _ in range(self.random.choice((1, 1, 2, 5))):
                kind = self.random.choice(self.kinds)
                self.log.append((round(time.monotonic() - began, 2), kind.__name__))
                kind(self)
                self._sleep(self.random.uniform(0, 0.2))
            self._sleep(self.random.uniform(0, 1.5))
        self.heal()

    def _sleep(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._end_due()
            time.sleep(0.01)

    def later(self, seconds, what):
        self._ends.append((time.monotonic() + seconds, what))

    def _end_due(self, all_of_them=False):
        now = time.monotonic()
        due = [e for e in self._ends if all_of_them or e[0] <= now]
        self._ends = [e for e in self._ends if e not in due]
        errors = []
        for _, what in sorted(due, key=lambda e: e[0]):
            try:
                what()
            except OSError as e:  # the others have to end all the same
                errors.append(e)
        if errors:
            raise errors[0]

    def heal(self):
        self._end_due(all_of_them=True)
        for link in self.links:
            link.heal()

    def tell_redis(self, *command):
        """Redis may be away or refuse: then nothing happens."""
        try:
            self.redis.client(timeout=1.0).call(*command)
        except (OSError, RedisError):
            pass


# ---- the way to Redis


def reset(c):
    c.random.choice(c.links).reset_all()


def hold(c):
    link = c.random.choice(c.links)
    link.hold()
    c.later(c.random.choice((0.03, 0.2, 0.7, 1.5)), link.release)


def hold_and_reset(c):
    """What was held is lost: a partition."""
    link = c.random.choice(c.links)
    link.hold()

    def end():
        link.reset_all()
        link.release()
    c.later(c.random.choice((0.3, 1.2)), end)


def refuse(c):
    link = c.random.choice(c.links)
    link.refuse()
    c.later(c.random.choice((0.1, 1.0)), link.accept)


def slow(c):
    link = c.random.choice(c.links)
    link.delay = c.random.choice((0.002, 0.02, 0.15))
    c.later(c.random.uniform(0.1, 1), lambda: setattr(link, "delay", 0.0))


def slices(c):
    link = c.random.choice(c.links)
    link.piece = c.random.choice((1, 7, 100))
    c.later(0.3, lambda: setattr(link, "piece", 0))


def cut(c):
    link = c.random.choice(c.links)
    link.cut_after = c.random.randrange(1, 20000)
    c.later(0.4, lambda: setattr(link, "cut_after", None))


# ---- Redis


def stop_redis(c):
    c.redis.process.signal(signal.SIGSTOP)
    c.later(c.random.choice((0.05, 0.4, 1.5)), lambda: c.redis.process.signal(signal.SIGCONT))


def restart_redis(c):
    """kill -9; it comes back empty."""
    c.redis.kill()
    c.later(c.random.choice((0.0, 0.6)), lambda: c.redis.process.alive() or c.redis.start(False))


def flush(c):
    c.tell_redis("FLUSHALL")


def lose_journal(c):
    c.tell_redis("DEL", "{race}:journal")


def lose_epoch(c):
    c.tell_redis("DEL", "{race}:epoch")


def trim_journal(c):
    c.tell_redis("XTRIM", "{race}:journal", "MAXLEN", c.random.choice((0, 1, 5)))


def damage_journal(c):
    c.tell_redis("HINCRBY", "{race}:epoch", "seq", c.random.choice((-3, -1, 1, 5)))


def foreign_journal(c):
    c.tell_redis("SET", "{race}:journal", "x")


def kill_clients(c):
    c.tell_redis("CLIENT", "KILL", "TYPE", "normal")


def no_memory(c):
    c.tell_redis("CONFIG", "SET", "maxmemory", "1")
    c.later(0.5, lambda: c.tell_redis("CONFIG", "SET", "maxmemory", "0"))


def read_only(c):
    c.tell_redis("REPLICAOF", "127.0.0.1", "1")
    c.later(0.4, lambda: c.tell_redis("REPLICAOF", "NO", "ONE"))


def sleep(c):
    try:
        client = c.redis.client(timeout=0.01)
        client.call("DEBUG", "SLEEP", c.random.choice((0.05, 0.3, 0.8)))
    except (OSError, RedisError):
        pass


def lose_entries(c):
    c.tell_redis("EVAL", "for _, k in ipairs(redis.call('KEYS', 'race:*')) do "
                 "redis.call('UNLINK', k) end", 0)


# ---- nodes


def stop_node(c):
    node = c.random.choice(c.nodes)
    node.signal(signal.SIGSTOP)
    c.later(c.random.choice((0.05, 0.6, 1.4)),
            lambda: node.alive() and node.signal(signal.SIGCONT))


def kill_node(c):
    at = c.random.randrange(len(c.nodes))
    if c.nodes[at].alive():
        c.nodes[at].kill()
        c.nodes[at] = c.restart(at)


def end_node(c):
    """SIGTERM: what is under way is told to the others, or kept in state_dir."""
    at = c.random.randrange(len(c.nodes))
    node = c.nodes[at]
    if node.alive():
        node.signal(signal.SIGCONT)
        node.stop()
        c.nodes[at] = c.restart(at)


def reload(c):
    """Of one that has said that it runs: before main() the kernel would end it."""
    node = c.random.choice(c.nodes)
    if node.alive() and node.running():
        node.signal(signal.SIGHUP)


LINK = [reset, hold, hold_and_reset, refuse, slow, slices, cut]
REDIS = [stop_redis, restart_redis, flush, lose_journal, lose_epoch, trim_journal, damage_journal,
         foreign_journal, kill_clients, no_memory, read_only, sleep, lose_entries]
NODE = [stop_node, kill_node, end_node, reload]
