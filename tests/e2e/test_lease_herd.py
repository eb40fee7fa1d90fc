"""Cold requests on several nodes at once: one node asks the origin, the others get what it stores."""

import pytest

from lib.lease import crowd, gated, serve, waited_for  # noqa: F401 - fixtures
from lib.origin import answer
from lib.swarm import Gate
from lib.wait import eventually


@pytest.mark.parametrize("n", [2, 3])
def test_one_fetch_for_all_nodes(serve, redis, crowd, n):
    respond, gate = gated(answer(200, b"x" * 3000))
    nodes, origin = serve(respond, n)
    many = crowd(nodes, 100, "/a/1")
    many.send()
    origin.wait(1)
    waited_for(redis)
    gate.open()
    got = many.read()
    assert len(origin.requests) == 1
    assert all(a.status == 200 and a.complete and a.body == b"x" * 3000 for a in got)
    assert sum(a.collapsed for a in got) == n * 100 - 1
    eventually(lambda: not redis.leases())
    assert all(node.get("/a/1").x_cache == "HIT" for node in nodes)
    assert -1 not in {redis.call("PTTL", k) for k in redis.keys() if k.endswith("wake")}


def test_many_names_at_once(serve, redis, crowd):
    respond, gate = gated(answer(200, b"body"))
    nodes, origin = serve(respond)
    targets = sorted(f"/a/{n}" for n in range(40))
    many = crowd(nodes, 2, targets)
    many.send()
    origin.wait(40)
    waited_for(redis, 40)
    gate.open()
    assert all(a.status == 200 and a.body == b"body" for a in many.read())
    assert sorted(r.target for r in origin.requests) == targets


def test_off(serve, redis, crowd):
    respond, gate = gated(answer(200, b"body"))
    nodes, origin = serve(respond, options="lease=off")
    many = crowd(nodes, 10, "/a/1")
    many.send()
    origin.wait(2)
    assert not redis.leases()
    gate.open()
    assert all(a.status == 200 for a in many.read())
    assert len(origin.requests) == 2


def test_a_node_that_is_alone_takes_none(serve, redis):
    gate = Gate()
    held = []

    async def respond(seen, writer):
        held.extend(redis.client().call("KEYS", "*lease*"))
        writer.write(answer(200, b"body"))

    (node,), _ = serve(respond, nodes=1)
    gate.open()
    assert node.get("/a/1").x_cache == "MISS"
    assert held == []


def test_a_slow_fetch_keeps_its_lease(serve, redis, crowd):
    """Renewed for as long as the origin takes."""
    respond, gate = gated(answer(200, b"body"))
    nodes, origin = serve(respond, options="lease_time=1s")
    many = crowd(nodes, 5, "/a/1")
    many.send()
    (name,) = waited_for(redis)
    value = redis.call("GET", name)
    evals = redis.commands()["eval"]
    eventually(lambda: redis.commands()["eval"] >= evals + 4, 15, "it is renewed")
    assert redis.call("GET", name) == value
    gate.open()
    assert all(a.status == 200 for a in many.read())
    assert len(origin.requests) == 1


def test_variants(serve, redis, crowd):
    """What varies is shared too, each variant fetched once."""
    gate = Gate()

    async def respond(seen, writer):
        await gate.passed()
        language = seen.headers.get("accept-language", "")
        writer.write(answer(200, language.encode(), {"Vary": "Accept-Language",
                                                     "Cache-Control": "max-age=60"}))

    nodes, origin = serve(respond)
    many = crowd(nodes, 10, "/own/1", "Accept-Language: de")
    many.send()
    origin.wait(1)
    waited_for(redis)
    gate.open()
    assert all(a.status == 200 and a.body == b"de" for a in many.read())
    assert len(origin.requests) == 1
    for node in nodes:
        got = node.get("/own/1", [("Accept-Language", "fr")])
        assert got.body == b"fr"
    assert len(origin.requests) == 2


def test_refresh_in_the_background(serve, redis, crowd):
    """Served stale by both nodes; one of them asks."""
    gate = Gate()

    async def respond(seen, writer):
        if seen.number > 0:
            await gate.passed()
        writer.write(answer(200, b"%d" % seen.number))

    nodes, origin = serve(respond)
    for node in nodes:
        eventually(lambda: node.get("/short/1").x_cache == "HIT", 5)
    assert len(origin.requests) == 1
    for node in nodes:
        eventually(lambda: node.get("/short/1").x_cache == "STALE", 10)
    origin.wait(2)
    waited_for(redis)
    gate.open()
    for node in nodes:
        eventually(lambda: node.get("/short/1").body == b"1", 10)
    assert len(origin.requests) == 2
