"""The fault matrix (hardening.md section 3), part 3: what Redis says. Every kind of error, storms of
redirects, answers of the wrong type, lengths of gigabytes, half a reply: each while clients read
and write through two nodes. All of them are misses or pending writes, never errors, and never
another request's bytes.
"""

import random
import time

import pytest

from lib.load import CONF, PATH, SLOWEST, Load, canary, recovers, serve, warm
from lib.nodes import start_nodes
from lib.redis import encode
from lib.scripted_redis import ScriptedRedis
from lib.wait import eventually

ERRORS = [
    "LOADING Redis is loading the dataset in memory",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "READONLY You can't write against a read only replica.",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "NOAUTH Authentication required.",
    "WRONGPASS invalid username-password pair or user is disabled.",
    "NOPERM this user has no permissions to run the 'get' command",
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist.",
    "NOREPLICAS Not enough good replicas to write.",
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
    "NOSCRIPT No matching script. Please use EVAL.",
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "EXECABORT Transaction discarded because of previous errors.",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "CLUSTERDOWN The cluster is down",
    "CROSSSLOT Keys in request don't hash to the same slot",
    "NOGOODSLAVE No suitable replica to promote",
    "INPROG Failover already in progress",
    "DENIED Redis is running in protected mode",
    "ERR max number of clients reached",
    "ERR unknown command",
    "EPOCHMOVED another epoch",
    "", "?" * 300,
]
REDIRECTS = ["MOVED 1234 127.0.0.1:%d", "ASK 1234 127.0.0.1:%d", "MOVED 99999 127.0.0.1:%d",
             "MOVED 1234 :%d", "MOVED 1234 ?:%d", "MOVED", "ASK 1 2 3 %d", "MOVED x 127.0.0.1:%d",
             "ASK 1234 127.0.0.1:99999", "MOVED 1234 [::1]:%d"]
# Well-formed replies that no command of Larder's expects.
WRONG = [b":1\r\n", b":-9223372036854775808\r\n", b"$-1\r\n", b"*-1\r\n", b"*0\r\n", b"+OK\r\n", b"+\r\n",
         b"$0\r\n\r\n", b"$5\r\nhello\r\n", b"*1\r\n:1\r\n", b"*2\r\n$-1\r\n*0\r\n",
         b"*1\r\n*2\r\n$1\r\nx\r\n*1\r\n*2\r\n$3\r\n0-1\r\n*1\r\n$1\r\ns\r\n",
         b"*4\r\n$16\r\n0123456789abcdef\r\n:1\r\n$3\r\n0-0\r\n:1\r\n"]
# Not even that. A connection that says such a thing is closed.
BROKEN = [b"$99999999999999999999\r\n", b"*2147483647\r\n", b"$536870912\r\nx", b"$-2\r\n", b"*-5\r\n",
          b":\r\n", b"?\r\n", b"\r\n", b"$3\r\nabcd\r\n", b"*1\r\n" * 60, b"\0", b"$5\r\nhel"]


@pytest.fixture
def fake(redis):
    one = ScriptedRedis(redis.port)
    yield one
    one.stop()


def storm(larder, redis, origin, fake, answers):
    """Every answer to a few commands, then all of them at random."""
    serve(origin)
    # Without a breaker that would hide them.
    conf = CONF.replace("budget=", "breaker_failures=1000 breaker_max=250ms budget=")
    nodes = start_nodes(larder, redis, 2, conf, via=fake, origin=origin.url)
    warm(nodes[0])
    before = max(node.rss() for node in nodes)
    pick = random.Random(7)
    with Load(nodes) as load:
        for answer in answers:
            so_far = fake.scripted
            fake.script = lambda args, answer=answer: answer
            eventually(lambda: fake.scripted >= so_far + 5, 20, f"{answer!r} is given")
        fake.script = lambda args: pick.choice(answers) if pick.random() < 0.5 else None
        time.sleep(0.6)
        fake.script = None
        recovers(nodes, redis)
    load.check(SLOWEST)
    assert nodes[0].sanitized or max(node.rss() for node in nodes) < before + 40_000_000
    for node in nodes:
        assert node.stderr().count("\n") < 300, "one line per change of state"


def under(larder, redis, origin, fake, script):
    """One script for a second, while clients read and write."""
    serve(origin)
    nodes = start_nodes(larder, redis, 2, CONF, via=fake, origin=origin.url)
    warm(nodes[0])
    with Load(nodes) as load:
        fake.script = script
        time.sleep(1)
        fake.script = None
        recovers(nodes, redis)
    load.check(SLOWEST)


def error(text):
    return f"-{text}\r\n".encode()


def test_errors(larder, redis, origin, fake):
    storm(larder, redis, origin, fake, [error(e) for e in ERRORS])


def test_redirects(larder, redis, origin, fake):
    """Of a server that is no cluster, to itself and to nobody."""
    storm(larder, redis, origin, fake,
          [error(r % port if "%d" in r else r) for r in REDIRECTS for port in (fake.port, 1)])


def test_wrong_types(larder, redis, origin, fake):
    storm(larder, redis, origin, fake, WRONG)


def test_broken_replies(larder, redis, origin, fake):
    storm(larder, redis, origin, fake, BROKEN)


def test_another_keys_value(larder, redis, origin, fake):
    """Each GET is given the value that the GET before it asked for: an off-by-one client, or a
    server that mixes names up. The names in the entries tell."""
    last = {}

    def shifted(args):
        if args[0] != b"GET":
            return None
        value = last.get("value", b"$-1\r\n")
        body = redis.client().call(*args)
        last["value"] = b"$-1\r\n" if body is None else b"$%d\r\n%s\r\n" % (len(body), body)
        return value
    under(larder, redis, origin, fake, shifted)
    assert fake.scripted > 20


def test_more_answers_than_commands(larder, redis, origin, fake):
    """A second answer that nobody asked for must not become the next command's."""
    foreign = encode(("GET", "x"))

    def twice(args):
        if args[0] == b"GET":
            body = redis.client().call(*args)
            if body is not None:
                one = b"$%d\r\n%s\r\n" % (len(body), body)
                return one + one
        return None if args[0] != b"PING" else b"+PONG\r\n" + foreign
    under(larder, redis, origin, fake, twice)


@pytest.mark.parametrize("text", ["LOADING Redis is loading the dataset in memory",
                                  "NOAUTH Authentication required."])
def test_starting_meanwhile(larder, redis, origin, fake, text):
    """Redis cannot be used when the nodes start: they serve, and take it up by themselves."""
    serve(origin)
    fake.script = lambda args: error(text)
    nodes = [larder(CONF, redis=fake.url, origin=origin.url) for _ in range(2)]
    for node in nodes:
        for n in range(5):
            path = PATH.format(n)
            assert node.get(path).body == canary(path)
            assert node.post(path).header("cache-invalidation") == "pending"
    eventually(lambda: fake.scripted > 3, 10)
    fake.script = None
    recovers(nodes, redis)


def test_the_password_changes(larder, make_redis, origin):
    """Rotated on the server first: the nodes go on without it until their own is right again."""
    redis = make_redis(password="first")
    serve(origin)
    nodes = start_nodes(larder, redis, 2, CONF, origin=origin.url)
    warm(nodes[0])
    admin = redis.client()
    admin.call("PING")
    with Load(nodes) as load:
        admin.call("CONFIG", "SET", "requirepass", "second")
        admin.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        time.sleep(0.8)
        tried = int(redis_stat(admin, "total_connections_received"))
        time.sleep(0.5)
        # No tight loop of attempts.
        assert int(redis_stat(admin, "total_connections_received")) - tried < 60
        admin.call("CONFIG", "SET", "requirepass", "first")
        recovers(nodes, redis)
    load.check(SLOWEST)


def redis_stat(client, field):
    for line in client.call("INFO", "stats").decode().splitlines():
        if line.startswith(field + ":"):
            return line.partition(":")[2]
    raise AssertionError(field)
