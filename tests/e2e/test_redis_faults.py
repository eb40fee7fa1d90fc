"""The fault matrix (hardening.md section 3): whatever Redis does, no client sees an error.

Each fault comes while clients read and write through two nodes. Every answer must be right to
the byte, come within the budget (with a margin for a busy machine), and the tier must be in use
again soon after the fault is over.
"""

import itertools
import os
import time

import pytest

from lib.load import Load, canary, serve, warm
from lib.nodes import start_nodes
from lib.redis import RedisError
from lib.wait import eventually

CONF = """
workers 2
redis %REDIS% prefix=shop budget=100ms max_lag=500ms
memory 1mb
log off
upstream main %ORIGIN% max_fails=0
route GET /a/{id}  { scope public; key a:{id}; ttl 60s }
route POST /a/{id} { invalidate a:{id} }
"""
BUDGET = 0.1
# A read asks Redis once and a write waits for its record once; the rest is the machine's.
SLOWEST = BUDGET + 0.9
BACK = 6.0  # several times the longest pause between two attempts to connect, 2 s
numbers = itertools.count(1000)


@pytest.fixture
def canaries(origin):
    serve(origin)
    return origin


def in_use(node, redis):
    """A new name gets into Redis, and a write's record into the stream, without `pending`."""
    path = f"/a/{next(numbers)}"
    assert node.get(path).body == canary(path)
    posted = node.post(path)
    assert posted.status == 200
    if posted.header("cache-invalidation") is not None:
        return False
    path = f"/a/{next(numbers)}"
    node.get(path)
    return eventually(lambda: redis.call("EXISTS", f"shop:a:{path[3:]}"), 0.5)


def recovers(nodes, redis, within=BACK):
    for node in nodes:
        eventually(lambda: in_use(node, redis), within, f"{node.process.name} uses Redis again")


def tell(redis, *command):
    """Redis may be unable to answer."""
    try:
        return redis.client().call(*command)
    except (OSError, RedisError):
        return None


# ---- the server

def restart_empty(redis):
    redis.kill()
    time.sleep(0.5)
    redis.start()


def pause(redis):
    redis.pause()
    time.sleep(2)
    redis.resume()


def short_pauses(redis):
    for _ in range(6):
        redis.pause()
        time.sleep(0.15)
        redis.resume()
        time.sleep(0.15)


def sleep(redis):
    tell(redis, "DEBUG", "SLEEP", "1.5")


def busy(redis):
    """A script that does not end: BUSY for everybody else."""
    redis.call("CONFIG", "SET", "busy-reply-threshold", "50")
    client = redis.client(timeout=0.1)
    with pytest.raises(OSError):
        client.call("EVAL", "while true do end", 0)
    time.sleep(1)
    eventually(lambda: tell(redis, "SCRIPT", "KILL") == b"OK", 5)


def flushall(redis):
    for _ in range(5):
        redis.call("FLUSHALL")
        time.sleep(0.2)


def lose_journal(redis):
    for _ in range(5):
        redis.call("DEL", "{shop}:journal")
        time.sleep(0.2)


def lose_epoch(redis):
    for _ in range(5):
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
    time.sleep(1.5)
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
    time.sleep(1.5)
    redis.call("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")


def password(redis):
    """A password is set that nobody told Larder; later it is taken away again."""
    redis.call("CONFIG", "SET", "requirepass", "secret")
    redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    time.sleep(1.5)
    redis.call("CONFIG", "SET", "requirepass", "")


def no_permission(redis):
    """The user may not write any more, nor run scripts."""
    redis.call("ACL", "SETUSER", "default", "-set", "-eval")
    time.sleep(1.5)
    redis.call("ACL", "SETUSER", "default", "+@all")


def too_many_clients(redis):
    admin = redis.client()
    admin.call("PING")
    redis.call("CONFIG", "SET", "maxclients", "1")
    admin.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    time.sleep(1.5)
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
    time.sleep(1.5)
    redis.call("CONFIG", "SET", "maxmemory", "256mb")
    redis.call("CONFIG", "SET", "maxmemory-policy", "noeviction")


SERVER = [restart_empty, pause, short_pauses, sleep, busy, flushall, lose_journal, lose_epoch,
          foreign_journal, read_only, out_of_memory, misconf, password, no_permission,
          too_many_clients, kill_connections, tiny_output_buffers, eviction]


@pytest.mark.parametrize("fault", SERVER, ids=lambda f: f.__name__)
def test_of_the_server(larder, redis, canaries, fault):
    nodes = start_nodes(larder, redis, 2, CONF, origin=canaries.url)
    warm(nodes[0])
    with Load(nodes) as load:
        fault(redis)
        if not redis.process.alive():
            redis.start()
        recovers(nodes, redis)
    load.check(SLOWEST)
    assert all(node.alive() for node in nodes)


# ---- the way to it

def cut_anywhere(faults):
    """RST after each number of bytes."""
    for after in list(range(0, 60)) + list(range(60, 4096, 97)):
        faults.cut_after = after
        time.sleep(0.01)
        faults.reset_all()
    faults.cut_after = None


def black_hole(faults):
    faults.hold()
    time.sleep(2)
    faults.release()


def short_holes(faults):
    """Late replies: each must be thrown away with its connection."""
    for _ in range(8):
        faults.hold()
        time.sleep(0.14)
        faults.release()
        time.sleep(0.1)


def refused(faults):
    faults.refuse()
    time.sleep(1.5)
    faults.accept()


def slow(faults):
    faults.delay = 0.3
    time.sleep(2)
    faults.delay = 0


def one_byte_at_a_time(faults):
    faults.piece = 1
    time.sleep(1)
    faults.piece = 0


def garbage(faults):
    """Bytes that are no reply at all, in the middle of replies."""
    for junk in (b"\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"$-5\r\n", b"*99999999999\r\n", b"\0" * 64,
                 b":12x\r\n", b"$999999999999\r\n", b"*-2\r\n", b"!\r\n", b"+" + b"x" * 70000,
                 b"*1\r\n" * 50):
        faults.rewrite = lambda data, junk=junk: data[:len(data) // 2] + junk + data[len(data) // 2:]
        time.sleep(0.15)
    faults.rewrite = None


def endless_string(faults):
    """A length of 512 MB, and bytes that never end."""
    faults.rewrite = lambda data: b"$536870912\r\n" + data * 50
    time.sleep(1)
    faults.rewrite = None


WAY = [cut_anywhere, black_hole, short_holes, refused, slow, one_byte_at_a_time, garbage,
       endless_string]


@pytest.mark.parametrize("fault", WAY, ids=lambda f: f.__name__)
def test_of_the_way(larder, redis, faults, canaries, fault):
    nodes = start_nodes(larder, redis, 2, CONF, via=faults, origin=canaries.url)
    warm(nodes[0])
    before = max(node.rss() for node in nodes)
    with Load(nodes) as load:
        fault(faults)
        faults.heal()
        recovers(nodes, redis)
    load.check(SLOWEST)
    assert max(node.rss() for node in nodes) < before + 40_000_000
    assert redis.commands()["get"] > 200
