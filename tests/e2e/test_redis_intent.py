"""`intent=`: a write is announced before it is forwarded, so that the death of its node between the
backend's commit and the append is healed."""

import signal
import threading
import time

import pytest

from lib.cache import reason
from lib.figures import Figures
from lib.nodes import start_node
from lib.origin import Wait, answer
from lib.wait import eventually

DEADLINE = 2.0
CONF = """
workers 2
redis %REDIS% prefix=shop budget=%BUDGET% intent=%INTENT% %MORE%
upstream main %ORIGIN%
log off
%ADMIN%
defaults { timeout first_byte=%FIRST_BYTE% }
route GET  /a { scope public; key a; ttl 600s }
route GET  /b { scope public; key b; ttl 600s }
route POST,DELETE /a { invalidate a }
route POST /nothing { }
"""
NEW = answer(200, b"new")
RECORDS = b"gh1:agh1:a"  # of a write to /a: by its route, and of the same path


class World:
    """Nodes on one Redis, and a backend with one resource that its write changes."""

    def __init__(self, larder, redis, origin):
        self.larder, self.redis, self.origin = larder, redis, origin
        self.committed, self.go = threading.Event(), threading.Event()
        origin.route("/a", answer(200, b"old"), method="GET")
        origin.route("/b", answer(200, b"b"), method="GET")
        origin.route("/a", self.write, method="POST")

    def write(self, exchange):
        """Commits; the answer waits until it is let go."""
        self.origin.route("/a", NEW, method="GET")
        self.committed.set()
        exchange.run([Wait(self.go), answer(200, b"done")])

    def node(self, intent="on", short=True, **kw):
        """short: what is lost is healed after two seconds."""
        values = dict(origin=self.origin.url, intent=intent, admin="", budget="2s",
                      more="intent_deadline=2s" if short else "",
                      first_byte="1s" if short else "30s")
        return start_node(self.larder, self.redis, CONF, **{**values, **kw})

    def warm(self, *nodes):
        for node in nodes:
            for target in ("/a", "/b"):
                eventually(lambda: node.get(target).x_cache == "HIT", 15)

    def dies_in_between(self, node):
        """kill -9 when the backend has committed and nobody could be told. When that was."""
        writer = threading.Thread(target=self._lost, args=(node,))
        writer.start()
        assert self.committed.wait(15)
        node.kill()
        died = time.monotonic()
        writer.join(15)
        return died

    @staticmethod
    def _lost(node):
        try:
            node.post("/a", b"x")
        except (OSError, AssertionError, EOFError):
            pass

    def entries(self):
        """What is in the stream, without what says nothing: a list of dicts."""
        found = []
        for _, fields in self.redis.call("XRANGE", "{shop}:journal", "-", "+"):
            one = dict(zip(map(bytes.decode, fields[::2]), fields[1::2]))
            if one["r"] or one.keys() - {"s", "r", "m"}:
                found.append(one)
        return found


@pytest.fixture
def world(larder, redis, origin):
    made = World(larder, redis, origin)
    yield made
    made.go.set()


def heals(node, died):
    """Serves the old one until it heals, and never again."""
    eventually(lambda: node.get("/a").body == b"new", 20, "healed")
    healed = time.monotonic()
    assert healed - died > 0.5 * DEADLINE, "before its time"
    for _ in range(50):
        assert node.get("/a").body == b"new"
    assert "announced writes never ended" in node.stderr()
    assert node.get("/b").x_cache == "HIT"


# ---- a crash between the backend's commit and the append


def test_another_node_heals(world):
    a, b = world.node(), world.node()
    world.warm(a, b)
    died = world.dies_in_between(a)
    assert b.get("/a").body == b"old"
    heals(b, died)


def test_the_only_node_heals_when_it_is_back(world):
    a = world.node()
    world.warm(a)
    died = world.dies_in_between(a)
    a = world.node()
    assert a.get("/a").body == b"old" and a.get("/a").x_cache == "HIT"
    heals(a, died)


@pytest.mark.parametrize("others", [True, False])
def test_without_an_intent_nobody_knows(world, others):
    """What the documentation says of `intent=off`: the old answer lives as long as it may."""
    a = world.node(intent="off")
    b = world.node(intent="off") if others else None
    world.warm(a, *filter(None, [b]))
    died = world.dies_in_between(a)
    b = b or world.node(intent="off")
    while time.monotonic() < died + DEADLINE + 0.5:
        assert b.get("/a").body == b"old"
        time.sleep(0.05)
    assert "announced" not in b.stderr()


def test_many_deaths(world):
    """Each one of several writes of the dead node is healed, by one entry of the stream each."""
    a, b = world.node(), world.node()
    world.warm(b)
    held = [threading.Thread(target=world._lost, args=(a,)) for _ in range(5)]
    for t in held:
        t.start()
    world.origin.wait_requests(5 + 2, None, 15)
    a.kill()
    for t in held:
        t.join(15)
    eventually(lambda: b.get("/a").body == b"new", 20)
    eventually(lambda: len([e for e in world.entries() if "c" in e]) == 5, 15)
    assert sum("i" in e for e in world.entries()) >= 5


# ---- entries of the stream


def shape(entry):
    return "".join(sorted(entry)), entry["r"]


def test_a_write_takes_two_entries(world):
    a = world.node(short=False)
    world.go.set()
    assert a.post("/a").body == b"done"
    first, second = world.entries()
    assert shape(first) == ("imrs", b"") and shape(second) == ("cmrs", RECORDS)
    mid, deadline, records = first["i"].split(b" ", 2)
    assert (deadline, records) == (b"40000", RECORDS)
    assert second["c"] == mid and mid.split(b":")[0] == second["m"].split(b":")[0]


def test_off_takes_one(world):
    a = world.node(intent="off")
    world.go.set()
    assert a.post("/a").body == b"done"
    assert [shape(e) for e in world.entries()] == [("mrs", RECORDS)]


def test_what_the_answer_adds_is_in_the_record(world):
    a = world.node()
    world.origin.route("/a", answer(201, b"", {"Location": "/b"}), method="POST")
    a.post("/a")
    first, second = world.entries()
    assert first["i"].endswith(b" " + RECORDS) and second["r"] == RECORDS + b"gh1:b"


def test_nothing_to_invalidate_nothing_to_announce(world):
    a = world.node()
    assert a.post("/nothing").status == 200
    assert a.request("OPTIONS", "/a").status == 200
    assert world.entries() == []


@pytest.mark.parametrize("status", [400, 404, 409])
def test_a_refused_write_ends_its_intent(world, status):
    a, b = world.node(), world.node()
    world.warm(a, b)
    world.origin.route("/a", answer(status, b"no"), method="POST")
    assert a.post("/a").status == status
    first, second = eventually(lambda: len(world.entries()) == 2 and world.entries(), 15)
    assert second["c"] == first["i"].split(b" ")[0] and second["r"] == b""
    for node in (a, b):
        assert node.get("/a").x_cache == "HIT"


def test_a_write_whose_answer_is_lost_ends_its_intent(world):
    a = world.node()
    world.warm(a)
    assert a.request("DELETE", "/nowhere").status == 200  # the origin's own answer
    world.origin.route("/a", lambda exchange: exchange.connection.reset(), method="DELETE")
    assert a.request("DELETE", "/a").status == 502
    eventually(lambda: len([e for e in world.entries() if "c" in e]) == 1, 15)
    assert a.get("/a").x_cache == "MISS"


def test_a_client_that_leaves(world):
    """The write has been handed over: it is waited for, and ends its intent."""
    a = world.node(short=False)
    world.warm(a)
    with a.raw() as c:
        c.send(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert world.committed.wait(15)
    world.go.set()
    eventually(lambda: [shape(e)[0] for e in world.entries()] == ["imrs", "cmrs"], 15)
    eventually(lambda: a.get("/a").body == b"new", 15)


def test_a_slow_write_is_not_healed(world):
    """Its body takes longer than the deadline, while its node lives."""
    a, b = world.node(), world.node()
    world.warm(a, b)
    with a.raw() as c:
        c.send(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nx")
        began = time.monotonic()
        eventually(lambda: time.monotonic() - began > 1.3 * DEADLINE, 15)
        assert b.get("/a").x_cache == "HIT"
        world.go.set()
        c.send(b"xxx")
        assert c.read_response().status == 200
    mids = {e["i"].split(b" ")[0] for e in world.entries() if "i" in e}
    assert len(mids) == 1 and len(world.entries()) >= 4
    assert "announced" not in a.stderr() + b.stderr()


def test_sigterm_finishes_what_is_under_way(world):
    a, b = world.node(short=False), world.node(short=False)
    world.warm(a, b)
    got = []
    writer = threading.Thread(target=lambda: got.append(a.post("/a", b"x")))
    writer.start()
    assert world.committed.wait(15)
    a.signal(signal.SIGTERM)
    world.go.set()
    writer.join(15)
    assert got[0].body == b"done" and a.wait() == 0
    eventually(lambda: b.get("/a").body == b"new", 15)
    assert [shape(e)[0] for e in world.entries()] == ["imrs", "cmrs"]


# ---- Redis away


@pytest.mark.parametrize("stop", ["kill", "pause"])
def test_strict_refuses(world, stop):
    a = world.node(intent="strict", budget="100ms")
    world.warm(a)
    before = world.origin.count("/a")
    getattr(world.redis, stop)()
    got = a.post("/a", b"x")
    assert (got.status, reason(got), got.header("retry-after")) == (503, "unannounced", "1")
    assert got.header("content-type") == "application/problem+json"
    assert world.origin.count("/a") == before
    assert a.post("/nothing").status == 200
    if stop == "pause":
        world.redis.resume()
        world.go.set()
        eventually(lambda: a.post("/a", b"x").body == b"done", 20, "taken again")


def test_on_forwards_all_the_same(world):
    a = world.node(budget="100ms")
    world.warm(a)
    world.redis.kill()
    world.go.set()
    got = a.post("/a", b"x")
    assert (got.body, got.header("cache-invalidation")) == (b"done", "pending")
    assert a.get("/a").body == b"new"


def test_strict_on_a_connection_that_goes_on(world):
    """A body that was not read is no next request."""
    a = world.node(intent="strict", budget="100ms")
    world.redis.kill()
    with a.raw() as c:
        c.send(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert c.read_response().status == 503
        c.send(b"GET /b HTTP/1.1\r\nHost: x\r\n\r\n")
        assert c.read_response().body == b"b"
        c.send(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
        refused = c.read_response()
        assert refused.status == 503 and refused.header("connection") == "close"


def test_a_reload_changes_it(world):
    a = world.node(intent="off", budget="100ms")
    world.warm(a)
    a.reload(CONF.replace("%INTENT%", "strict"), wait="reload done")
    world.redis.kill()
    world.go.set()
    assert a.post("/a", b"x").status == 503
    a.reload(CONF.replace("%INTENT%", "on"), wait="reload done")
    assert a.post("/a", b"x").body == b"done"


# ---- figures


def test_figures(world):
    figures = Figures()
    a = world.node()
    b = world.node(admin=figures.conf)
    world.warm(a, b)

    def journal():
        return figures.json("/stats")["journal"]

    assert (journal()["intents"], journal()["healed"], journal()["unannounced"]) == (0, 0, 0)
    world.dies_in_between(a)
    eventually(lambda: journal()["intents"] == 1, 15)
    eventually(lambda: (journal()["intents"], journal()["healed"]) == (0, 1), 20)
    world.redis.kill()
    world.go.set()
    b.post("/a", b"x")
    eventually(lambda: journal()["unannounced"] == 1, 15)
    samples = figures.get("/metrics").body.decode()
    for line in ("larder_journal_intents 0", "larder_journal_intents_healed_total 1",
                 "larder_journal_unannounced_total 1"):
        assert "\n" + line + "\n" in samples, line
