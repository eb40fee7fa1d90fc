"""Leases when nodes die, Redis dies, fetches fail, answers are not for sharing, writes come."""

import itertools
import signal

import pytest

from lib.lease import crowd, gated, serve, start_all, waited_for  # noqa: F401 - fixtures
from lib.nodes import caught_up
from lib.origin import answer
from lib.swarm import Gate
from lib.wait import eventually

OK = answer(200, b"body")


def led_by_first(nodes, origin, redis, crowd, n=10, target="/a/1"):
    """(the first node's crowd, the others'): the first one fetches, the others wait for it."""
    first, others = crowd(nodes[:1], n, target), crowd(nodes[1:], n, target)
    first.send()
    origin.wait(1)
    others.send()
    waited_for(redis)
    return first, others


def all_ok(answers, body=b"body"):
    assert all(a.status == 200 and a.complete and a.body == body for a in answers), answers


# ---- nodes


def test_the_leading_node_is_killed(serve, redis, crowd):
    respond, gate = gated(OK)
    nodes, origin = serve(respond, 3, "lease_time=500ms")
    _, others = led_by_first(nodes, origin, redis, crowd)
    nodes[0].kill()
    origin.wait(2)
    gate.open()
    all_ok(others.read())
    assert len(origin.requests) == 2
    assert all(node.get("/a/1").x_cache == "HIT" for node in nodes[1:])


def test_a_node_that_was_frozen_stores_too_late(serve, redis, crowd):
    gates = [Gate(), Gate()]

    async def respond(seen, writer):
        await gates[seen.number].passed()
        writer.write(answer(200, (b"older", b"newer")[seen.number]))

    nodes, origin = serve(respond, 2, "lease_time=300ms")
    first, others = led_by_first(nodes, origin, redis, crowd)
    nodes[0].signal(signal.SIGSTOP)
    try:
        origin.wait(2)
        gates[1].open()
        all_ok(others.read(), b"newer")
        eventually(lambda: b"newer" in (redis.call("GET", "shop:a:1") or b""))
        evals = redis.commands()["eval"]
    finally:
        nodes[0].signal(signal.SIGCONT)
    gates[0].open()
    assert all(a.status == 200 and a.body in (b"older", b"newer") for a in first.read())
    eventually(lambda: redis.commands()["eval"] > evals, 5, "the late store has been refused")
    assert b"newer" in redis.call("GET", "shop:a:1")
    assert nodes[1].get("/a/1").body == b"newer"


def test_a_node_that_waits_is_drained(serve, redis, crowd):
    respond, gate = gated(OK)
    nodes, origin = serve(respond)
    first, others = led_by_first(nodes, origin, redis, crowd)
    nodes[1].signal(signal.SIGTERM)
    gate.open()
    all_ok(first.read() + others.read())
    assert nodes[1].wait() == 0
    assert len(origin.requests) == 1


def test_clients_that_wait_leave(serve, redis, crowd):
    respond, gate = gated(OK)
    nodes, origin = serve(respond)
    first, others = led_by_first(nodes, origin, redis, crowd)
    others.swarms[0].abort(range(9))
    gate.open()
    all_ok(first.read() + others.swarms[0].read([9]))
    assert len(origin.requests) == 1
    assert nodes[1].get("/a/1").x_cache == "HIT"


def test_all_clients_that_wait_leave_and_their_node_ends(serve, redis, crowd):
    respond, gate = gated(OK)
    nodes, origin = serve(respond)
    first, others = led_by_first(nodes, origin, redis, crowd)
    others.swarms[0].abort(range(10))
    eventually(lambda: nodes[1].clients() == 0)
    assert nodes[1].stop() == 0
    gate.open()
    all_ok(first.read())


# ---- Redis


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_redis_goes_in_the_middle(serve, redis, crowd, how):
    """Every node fetches for itself; no client notices."""
    respond, gate = gated(OK)
    nodes, origin = serve(respond)
    first, others = led_by_first(nodes, origin, redis, crowd)
    getattr(redis, how)()
    try:
        origin.wait(2)
        gate.open()
        all_ok(first.read() + others.read())
        assert len(origin.requests) == 2
        for node in nodes:
            assert node.get("/a/2").status == 200
    finally:
        redis.start() if how == "kill" else redis.resume()


def test_redis_goes_before_the_leader_is_done_and_comes_back(serve, redis, crowd):
    respond, gate = gated(OK)
    nodes, origin = serve(respond)
    first, others = led_by_first(nodes, origin, redis, crowd)
    redis.restart()
    gate.open()
    all_ok(first.read() + others.read())

    def shared_again():
        n = len(origin.requests)
        name = f"/a/again{n}"
        assert nodes[0].get(name).status == nodes[1].get(name).status == 200
        return len(origin.requests) == n + 1
    eventually(shared_again, 20)


def test_leases_that_nobody_may_take(serve, redis, crowd):
    """EVAL refused (an ACL): like no leases at all."""
    respond, gate = gated(OK)
    nodes, origin = serve(respond)
    redis.call("ACL", "SETUSER", "default", "-getrange", "-append")
    many = crowd(nodes, 10, "/a/1")
    many.send()
    origin.wait(2)
    gate.open()
    all_ok(many.read())


# ---- holders that are cut off


@pytest.fixture
def cut_off(larder, redis, faults):
    """Factory: (two nodes, the way of the first one to Redis, their figures). A lease that is
    lost would last longer than anybody here waits."""
    def start(origin, budget):
        nodes, figures = start_all(larder, redis, [faults, None], origin=origin.url, budget=budget,
                                   options="lease_time=60s")
        return nodes, faults, figures
    return start


def leases(figures):
    return figures.json("/stats")["redis"]["leases"]


def test_a_holder_that_is_cut_off_is_not_waited_for(serve, cut_off, redis, crowd):
    """Nor for what it may give back one day: a silence as long as the budget is enough."""
    respond, gate = gated(OK)
    _, origin = serve(respond, 0)
    nodes, link, figures = cut_off(origin, "500ms")
    first, others = led_by_first(nodes, origin, redis, crowd)
    link.refuse()
    origin.wait(2)
    gate.open()
    all_ok(first.read() + others.read())
    assert leases(figures[1])["silent"] == 1 and leases(figures[1])["expired"] == 0


def test_a_slow_origin_is_waited_for_beyond_the_budget(serve, cut_off, redis, crowd):
    """Its fetch gives signs of life. One that the machine kept from it is a fetch more."""
    respond, gate = gated(OK)
    _, origin = serve(respond, 0)
    nodes, _, figures = cut_off(origin, "500ms")
    first, others = led_by_first(nodes, origin, redis, crowd)
    eventually(lambda: redis.call("XLEN", "{shop}:wake") > 12, 15, "signs of life for 2 s")
    silent = leases(figures[1])["silent"]
    gate.open()
    all_ok(first.read() + others.read())
    assert len(origin.requests) == 1 + silent and silent <= 1


def test_what_was_given_back_on_a_lost_connection_is_given_back_again(serve, cut_off, redis, crowd):
    gates = [Gate(), Gate()]

    async def respond(seen, writer):
        await gates[min(seen.number, 1)].passed()
        writer.write(OK)

    _, origin = serve(respond, 0)
    nodes, link, figures = cut_off(origin, "30s")
    first, others = led_by_first(nodes, origin, redis, crowd)
    link.refuse()
    gates[0].open()
    all_ok(first.read())
    eventually(lambda: leases(figures[0])["repeated"] == 1, 15)
    link.accept()
    origin.wait(2)    # told that the entry did not get into Redis
    gates[1].open()
    all_ok(others.read())
    assert leases(figures[1])["silent"] == leases(figures[1])["expired"] == 0
    assert figures[0].metrics().sum("larder_leases_total", event="repeated") == 1
    eventually(lambda: not redis.leases())


# ---- fetches


def test_the_fetch_fails(serve, redis, crowd):
    """One client hears of it, one of all others asks again."""
    gate = Gate()

    async def respond(seen, writer):
        await gate.passed()
        if seen.number == 0:
            raise ConnectionError
        writer.write(OK)

    nodes, origin = serve(respond, 3)
    first, others = led_by_first(nodes, origin, redis, crowd)
    gate.open()
    all_ok(others.read())
    got = first.read()
    assert sorted(a.status for a in got) == [200] * 9 + [502]
    assert len(origin.requests) == 2


UNSHARED = {
    "500": answer(500, b"sorry"),
    "set-cookie": answer(200, b"mine", {"Set-Cookie": "a=b"}),
    "private": answer(200, b"mine", {"Cache-Control": "private"}),
    "no-store": answer(200, b"mine", {"Cache-Control": "no-store"}),
}


@pytest.mark.parametrize("case", UNSHARED)
def test_answers_that_are_not_for_sharing(serve, redis, crowd, case):
    """Everybody on every node goes to the origin, in parallel, and gets an answer of his own."""
    gate, rest = Gate(), Gate()

    async def respond(seen, writer):
        await (rest if seen.number else gate).passed()
        mark = b"HTTP/1.1 " + UNSHARED[case].partition(b"HTTP/1.1 ")[2]
        writer.write(mark.replace(b"\r\n", b"\r\nX-Number: %d\r\n" % seen.number, 1))

    nodes, origin = serve(respond, 3)
    first, others = led_by_first(nodes, origin, redis, crowd, 5)
    gate.open()
    origin.wait(15)
    rest.open()
    got = first.read() + others.read()
    assert {a.status for a in got} == {int(UNSHARED[case].split()[1])}
    assert len({a.headers["x-number"] for a in got}) == 15
    eventually(lambda: not redis.leases())
    assert redis.entries("shop") == []


# Head and first part of the body, the rest of it, the body: not for Redis, for one reason or another.
CHUNK = b"30d40\r\n" + b"x" * 200000 + b"\r\n"
NOT_IN_REDIS = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n", b"x" * 200000,
               b"x" * 200000),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNK,
               CHUNK + b"0\r\n\r\n", b"x" * 400000),
    "soon over": (b"HTTP/1.1 200 OK\r\nCache-Control: max-age=1\r\nContent-Length: 4\r\n\r\n",
                  b"body", b"body"),
}


@pytest.mark.parametrize("case", NOT_IN_REDIS)
def test_what_does_not_get_into_redis(serve, redis, crowd, case):
    """Each node fetches, the others not later than the first one can know."""
    head, rest_of_body, body = NOT_IN_REDIS[case]
    gate, rest = Gate(), Gate()

    async def respond(seen, writer):
        await gate.passed()
        writer.write(head)
        await rest.passed()
        writer.write(rest_of_body)

    nodes, origin = serve(respond, 2, "max_object_redis=100kb")
    first, others = led_by_first(nodes, origin, redis, crowd, target="/a/1")
    gate.open()
    origin.wait(2)
    rest.open()
    all_ok(first.read() + others.read(), body)
    # What is over within a second may be over before it has come: then nobody shares it.
    assert len(origin.requests) == 2 or case == "soon over"


# ---- writes


@pytest.mark.parametrize("writer", [0, 1])
def test_an_invalidation_while_a_lease_is_held(serve, redis, crowd, writer):
    """Who asks a node that knows of the write waits for no fetch from before it."""
    old, new = Gate(), Gate()

    async def respond(seen, stream):
        if seen.method == "POST":
            stream.write(answer(200, b"written"))
            return
        number = sum(r.method == "GET" for r in origin.requests[:seen.number])
        await (old if number == 0 else new).passed()
        stream.write(answer(200, b"old" if number == 0 else b"new"))

    nodes, origin = serve(respond)
    first, others = led_by_first(nodes, origin, redis, crowd)
    assert nodes[writer].post("/a/1").body == b"written"
    caught_up(serve.figures)
    later = crowd(nodes[writer:] + nodes[:writer], 10, "/a/1")
    later.send()
    eventually(lambda: sum(r.method == "GET" for r in origin.requests) == 2, 15)
    new.open()
    all_ok(later.read([0]), b"new")
    old.open()
    got = first.read() + others.read()
    assert all(a.status == 200 and a.body in (b"old", b"new") for a in got)
    all_ok(later.read([1]), b"new")
    eventually(lambda: not redis.leases())
    assert all(node.get("/a/1").body == b"new" for node in nodes)
    assert b"new" in redis.call("GET", "shop:a:1")


def test_redis_is_full(serve, redis, crowd):
    """No leases and nothing stored; said once, not with every command that happens to work."""
    respond, gate = gated(OK)
    gate.open()
    nodes, origin = serve(respond)
    redis.call("CONFIG", "SET", "maxmemory", "1")

    def ask(n):
        many = crowd(nodes, 3, f"/a/{n}")
        many.send()
        all_ok(many.read())

    def said():
        return [node.stderr().count("takes no writes") for node in nodes]
    asked = itertools.count()
    # What was on its way when it became full may still be answered well.
    eventually(lambda: ask(next(asked)) or all(said()), 15)
    ask(next(asked))
    before = said()
    for _ in range(10):
        ask(next(asked))
    assert not redis.leases()
    assert said() == before and max(before) <= 2
    redis.call("CONFIG", "SET", "maxmemory", "0")
    eventually(lambda: all(node.stderr().count("takes writes again") == node_said
                           for node, node_said in zip(nodes, before)), 15)  # with no traffic, too
