"""The fault matrix (hardening.md section 3), part 1: Redis itself. No client ever sees an error.

Each fault comes while clients read and write through two nodes. Every answer must be right to
the byte and come within the budget, with a margin for a busy machine, and the tier must be in
use again soon after the fault is over.
"""

import os
import time

import pytest

from lib.load import CONF, FAULT, SLOWEST, Load, recovers, serve, warm
from lib.nodes import start_nodes
from lib.redis import RedisError
from lib.wait import eventually


def tell(redis, *command):
    """Redis may be unable to answer."""
    try:
        return redis.client().call(*command)
    except (OSError, RedisError):
        return None


def restart_empty(redis):
    redis.kill()
    time.sleep(0.5)
    redis.start()


def pause(redis):
    redis.pause()
    time.sleep(FAULT)
    redis.resume()


def short_pauses(redis):
    for _ in range(4):
        redis.pause()
        time.sleep(0.15)
        redis.resume()
        time.sleep(0.15)


def sleep(redis):
    tell(redis, "DEBUG", "SLEEP", "2")


def busy(redis):
    """A script that does not end: BUSY for everybody else."""
    redis.call("CONFIG", "SET", "busy-reply-threshold", "50")
    client = redis.client(timeout=0.1)
    with pytest.raises(OSError):
        client.call("EVAL", "while true do end", 0)
    time.sleep(1)
    eventually(lambda: tell(redis, "SCRIPT", "KILL") == b"OK", 5)


def flushall(redis):
    for _ in range(3):
        redis.call("FLUSHALL")
        time.sleep(0.2)


def lose_journal(redis):
    for _ in range(3):
        redis.call("DEL", "{shop}:journal")
        time.sleep(0.2)


def lose_epoch(redis):
    for _ in range(3):
        redis.call("DEL", "{shop}:epoch")
        time.sleep(0.2)


def foreign_journal(redis):
    """Somebody has put other things under our names."""
    redis.call("SET", "{shop}:journal", "not a stream")
    redis.call("DEL", "{shop}:nodes")
    redis.call("SET", "{shop}:nodes", "x")
    time.sleep(1)
    redis.call("DEL", "{shop}:journal", "{shop}:nodes")


def read_only(redis):
    redis.call("REPLICAOF", "127.0.0.1", "1")
    time.sleep(1)
    redis.call("REPLICAOF", "NO", "ONE")


def out_of_memory(redis):
    redis.call("CONFIG", "SET", "maxmemory", "1mb")
    time.sleep(0.8)
    redis.call("CONFIG", "SET", "maxmemory", "256mb")


def misconf(redis):
    """The disk is full: writes are refused, reads go on."""
    redis.call("CONFIG", "SET", "save", "3600 1")
    # A background save into a folder that is not there any more fails.
    os.mkdir(os.path.join(redis.folder, "gone"))
    redis.call("CONFIG", "SET", "dir", os.path.join(redis.folder, "gone"))
    os.rmdir(os.path.join(redis.folder, "gone"))
    redis.call("BGSAVE")
    eventually(lambda: redis.info("rdb_last_bgsave_status") == "err", 5)
    time.sleep(0.8)
    redis.call("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")


def password(redis):
    """A password is set that nobody told Larder; later it is taken away again."""
    redis.call("CONFIG", "SET", "requirepass", "secret")
    redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    time.sleep(0.8)
    redis.call("CONFIG", "SET", "requirepass", "")


def no_permission(redis):
    """The user may not write any more, nor run scripts."""
    redis.call("ACL", "SETUSER", "default", "-set", "-eval")
    time.sleep(0.8)
    redis.call("ACL", "SETUSER", "default", "+@all")


def too_many_clients(redis):
    admin = redis.client()
    admin.call("PING")
    redis.call("CONFIG", "SET", "maxclients", "1")
    admin.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    time.sleep(0.8)
    admin.call("CONFIG", "SET", "maxclients", "1000")


def kill_connections(redis):
    for _ in range(20):
        redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        time.sleep(0.05)


def tiny_output_buffers(redis):
    redis.call("CONFIG", "SET", "client-output-buffer-limit", "normal 1 1 1")
    time.sleep(1)
    redis.call("CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 0")


def eviction(redis):
    """A policy that evicts whatever is there, the journal included."""
    redis.call("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
    redis.call("CONFIG", "SET", "maxmemory", "1mb")
    time.sleep(0.8)
    redis.call("CONFIG", "SET", "maxmemory", "256mb")
    redis.call("CONFIG", "SET", "maxmemory-policy", "noeviction")


SERVER = [restart_empty, pause, short_pauses, sleep, busy, flushall, lose_journal, lose_epoch,
          foreign_journal, read_only, out_of_memory, misconf, password, no_permission,
          too_many_clients, kill_connections, tiny_output_buffers, eviction]


@pytest.mark.parametrize("fault", SERVER, ids=lambda f: f.__name__)
def test_of_the_server(larder, redis, origin, fault):
    serve(origin)
    nodes = start_nodes(larder, redis, 2, CONF, origin=origin.url)
    warm(nodes[0])
    with Load(nodes) as load:
        fault(redis)
        if not redis.process.alive():
            redis.start()
        recovers(nodes, redis)
    load.check(SLOWEST)
    assert all(node.alive() for node in nodes)
