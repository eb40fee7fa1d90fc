"""A thousand cold requests at once, on two workers: one goes to the origin, all are answered."""

import asyncio

import pytest

from lib.origin import LAST_CHUNK, answer, chunk
from lib.swarm import Gate, QuickOrigin, Swarm, get, raise_fd_limit

MANY = 1000
CONF = """
workers 2
log off
limits connections=5000
upstream main %ORIGIN% max_fails=0
defaults { timeout connect=10s first_byte=%FIRST%; retry %RETRY% }
route GET /a/{id} { scope public; ttl 60s; %MORE% }
"""


@pytest.fixture
def serve(larder):
    """Factory: serve(respond) -> (proxy, origin)."""
    origins = []

    def start(respond, more="", first="10s", retry=0):
        raise_fd_limit()
        origins.append(QuickOrigin(respond))
        proxy = larder(CONF, origin=origins[-1].url, more=more, first=first, retry=retry)
        return proxy, origins[-1]

    yield start
    for origin in origins:
        origin.stop()


def swarm_of(proxy, *headers, n=MANY, target="/a/1"):
    return Swarm(proxy.port, [get(target, *headers)] * n)


@pytest.mark.parametrize("chunked", [False, True])
def test_one_fetch_for_all(serve, chunked):
    gate = Gate()

    async def respond(seen, writer):
        await gate.passed()
        pieces = [b"%d " % seen.number, b"x" * 2000, b"y" * 3000]
        writer.write(answer(200, pieces, chunked=chunked))

    proxy, origin = serve(respond)
    with swarm_of(proxy) as swarm:
        swarm.send()
        swarm.taken()
        origin.wait(1)
        gate.open()
        got = swarm.read()
    assert len(origin.requests) == 1
    body = b"0 " + b"x" * 2000 + b"y" * 3000
    assert all(a.status == 200 and a.complete and a.body == body for a in got)
    assert sum(a.collapsed for a in got) == MANY - 1
    assert {a.x_cache for a in got} == {"MISS"}
    assert proxy.get("/a/1").x_cache == "HIT"


def test_the_body_streams_to_all(serve):
    """Followers get each piece when the origin has sent it, not when the answer is whole."""
    gates = [Gate(), Gate()]

    async def respond(seen, writer):
        await gates[0].passed()
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"first"))
        await gates[1].passed()
        writer.write(chunk(b"second") + LAST_CHUNK)

    proxy, origin = serve(respond)
    with swarm_of(proxy, n=100) as swarm:
        swarm.send()
        origin.wait(1)
        gates[0].open()
        for s in swarm.socks:
            head = b""
            while b"first" not in head:
                head += s.recv(65536)
            assert b"second" not in head
        gates[1].open()
        for s in swarm.socks:
            rest = b""
            while LAST_CHUNK not in rest:
                rest += s.recv(65536)
            assert rest == chunk(b"second") + LAST_CHUNK
    assert len(origin.requests) == 1


NOT_FOR_ALL = {
    "Set-Cookie": answer(200, b"%s", [("Set-Cookie", "sid=%s")], length=False),
    "private": answer(200, b"%s", [("Cache-Control", "private")], length=False),
    "no-store": answer(200, b"%s", [("Cache-Control", "no-store")], length=False),
    "Vary: *": answer(200, b"%s", [("Vary", "*")], length=False),
    "500": answer(500, b"%s", length=False),
}


@pytest.mark.parametrize("case", NOT_FOR_ALL)
def test_an_answer_for_one_is_given_to_one(serve, case):
    """Everybody else asks for himself, and all of them at once: no queue, nobody's answer twice."""
    head, _, body = NOT_FOR_ALL[case].partition(b"\r\n\r\n")
    gates = [Gate(), Gate()]

    async def respond(seen, writer):
        me = seen.headers.get("x-me", "leader").encode()
        await gates[seen.number > 0].passed()
        text = body.replace(b"%s", me)
        writer.write(head.replace(b"%s", me)
                     + b"\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))

    proxy, origin = serve(respond)
    with Swarm(proxy.port, [get("/a/1", f"X-Me: {n}") for n in range(MANY)]) as swarm:
        swarm.send()
        swarm.taken()
        origin.wait(1)
        gates[0].open()
        origin.wait(MANY, 20)  # nobody waits for anybody
        gates[1].open()
        got = swarm.read()
    assert len(origin.requests) == MANY
    assert all(a.complete and a.status == (500 if case == "500" else 200) for a in got)
    assert {a.x_cache for a in got} == {"MISS"}
    # The first one's fetch was a fill, which shows nothing of its client; all others were their own.
    others = [a.body == b"%d" % n for n, a in enumerate(got)]
    assert sum(others) == MANY - 1
    assert got[others.index(False)].body == b"leader"
    if case == "Set-Cookie":
        assert all(a.headers["set-cookie"] == f"sid={a.body.decode()}" for a in got)
    assert "stored" not in "".join(a.headers["cache-status"] for a in got)


def test_the_mark_stays_for_a_while(serve):
    """For some seconds after such an answer nobody waits for another one's."""
    gate = Gate()

    async def respond(seen, writer):
        if seen.number > 0:
            await gate.passed()
        writer.write(answer(200, b"x", [("Set-Cookie", "a=b")]))

    proxy, origin = serve(respond)
    assert proxy.get("/a/1").status == 200
    with swarm_of(proxy, n=50) as swarm:
        swarm.send()
        origin.wait(51)
        gate.open()
        assert {a.detail for a in swarm.read()} == {"set-cookie"}


@pytest.mark.parametrize("retry", [0, 1])
def test_variants(serve, retry):
    """One fetch for each variant, and one by which the first learnt that there are any."""
    langs = ["de", "en", "fr", "it"]
    gate = Gate()

    async def respond(seen, writer):
        await gate.passed()
        lang = seen.headers.get("accept-language", "none").encode()
        writer.write(answer(200, lang, [("Vary", "Accept-Language")]))

    proxy, origin = serve(respond, retry=retry)
    requests = [get("/a/1", f"Accept-Language: {langs[n % 4]}") for n in range(MANY)]
    with Swarm(proxy.port, requests) as swarm:
        swarm.send()
        swarm.taken()
        origin.wait(1)
        gate.open()
        got = swarm.read()
    assert all(a.status == 200 and a.complete for a in got)
    assert [a.body.decode() for a in got] == [langs[n % 4] for n in range(MANY)]
    seen = [r.headers.get("accept-language", "none") for r in origin.requests]
    assert sorted(seen) in (sorted(langs), sorted(langs + ["none"])), seen


def test_the_origin_hangs(serve):
    """Leader and one successor, each for its deadline; then everybody has an error."""
    async def respond(seen, writer):
        await asyncio.sleep(60)

    proxy, origin = serve(respond, first="1500ms")
    with swarm_of(proxy) as swarm:
        swarm.send()
        swarm.taken()
        got = swarm.read()
    assert len(origin.requests) == 2
    assert {a.status for a in got} == {504}
    assert {a.detail for a in got} == {"timeout"}
    assert all(a.complete for a in got)


def test_the_leader_hangs(serve):
    async def respond(seen, writer):
        if seen.number == 0:
            await asyncio.sleep(60)
        writer.write(answer(200, b"%d" % seen.number))

    proxy, origin = serve(respond, first="1500ms")
    with swarm_of(proxy) as swarm:
        swarm.send()
        swarm.taken()
        got = swarm.read()
    assert len(origin.requests) == 2
    assert sorted(a.status for a in got) == [200] * (MANY - 1) + [504]
    assert {a.body for a in got if a.status == 200} == {b"1"}


def test_the_leaders_client_leaves(serve):
    gate = Gate()

    async def respond(seen, writer):
        await gate.passed()
        writer.write(answer(200, b"%d" % seen.number))

    proxy, origin = serve(respond)
    with swarm_of(proxy) as swarm:
        swarm.send([0])
        origin.wait(1)
        swarm.send(range(1, MANY))
        swarm.abort([0])
        gate.open()
        got = swarm.read(range(1, MANY))
    assert len(origin.requests) == 1
    assert all(a.status == 200 and a.complete and a.body == b"0" for a in got)


def test_the_leaders_client_leaves_an_answer_for_one(serve):
    """What came of it is nobody's: each of the others asks for himself."""
    gate = Gate()

    async def respond(seen, writer):
        await gate.passed()
        me = seen.headers.get("x-me", "leader").encode()
        writer.write(answer(200, me, [("Set-Cookie", f"sid={me.decode()}")]))

    proxy, origin = serve(respond)
    with Swarm(proxy.port, [get("/a/1", f"X-Me: {n}") for n in range(100)]) as swarm:
        swarm.send([0])
        origin.wait(1)
        swarm.send(range(1, 100))
        swarm.taken()
        swarm.abort([0])
        gate.open()
        got = swarm.read(range(1, 100))
    assert [a.body for a in got] == [b"%d" % n for n in range(1, 100)]
    assert len(origin.requests) == 100


def test_a_leader_without_a_client_fails(serve):
    """Nobody is there to get its error; one of those who wait takes its place."""
    gate = Gate()

    async def respond(seen, writer):
        await gate.passed()
        if seen.number == 0:
            raise ConnectionError
        writer.write(answer(200, b"%d" % seen.number))

    proxy, origin = serve(respond)
    with swarm_of(proxy, n=100) as swarm:
        swarm.send([0])
        origin.wait(1)
        swarm.send(range(1, 100))
        swarm.taken()
        swarm.abort([0])
        gate.open()
        got = swarm.read(range(1, 100))
    assert len(origin.requests) == 2
    assert all(a.status == 200 and a.complete and a.body == b"1" for a in got)


def test_everybody_leaves(serve):
    """What was asked for is stored all the same."""
    gate = Gate()

    async def respond(seen, writer):
        await gate.passed()
        writer.write(answer(200, b"%d" % seen.number))

    proxy, origin = serve(respond)
    with swarm_of(proxy, n=50) as swarm:
        swarm.send()
        origin.wait(1)
        swarm.abort(range(50))
    gate.open()
    for _ in range(100):
        r = proxy.get("/a/1")
        assert r.body == b"0"
        if r.x_cache == "HIT":
            break
    assert r.x_cache == "HIT"
    assert len(origin.requests) == 1


@pytest.mark.parametrize("retry", [0, 1])
def test_reset_before_the_head(serve, retry):
    """Repeated within the fetch where `retry` allows, else by one successor."""
    gate = Gate()

    async def respond(seen, writer):
        await gate.passed()
        if seen.number == 0:
            raise ConnectionError
        writer.write(answer(200, b"%d" % seen.number))

    proxy, origin = serve(respond, retry=retry)
    with swarm_of(proxy) as swarm:
        swarm.send()
        origin.wait(1)
        gate.open()
        got = swarm.read()
    assert len(origin.requests) == 2
    assert sorted(a.status for a in got) == [200] * (MANY - 1) + [200 if retry else 502]
    assert {a.body for a in got if a.status == 200} == {b"1"}


@pytest.mark.parametrize("chunked", [False, True])
def test_reset_in_the_body(serve, chunked):
    """Nobody takes the part for the whole, and nothing of it is kept."""
    gate = Gate()
    head = b"HTTP/1.1 200 OK\r\n" + (b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"part")
                                     if chunked else b"Content-Length: 100\r\n\r\npart")

    async def respond(seen, writer):
        if seen.number > 0:
            writer.write(answer(200, b"whole"))
            return
        writer.write(head)
        await writer.drain()
        await gate.passed()
        raise ConnectionError

    proxy, origin = serve(respond)
    with swarm_of(proxy) as swarm:
        swarm.send()
        for s in swarm.socks:
            seen = b""
            while b"part" not in seen:
                seen += s.recv(65536)
        assert len(origin.requests) == 1
        gate.open()
        for s in swarm.socks:
            s.settimeout(10)
            try:
                assert s.recv(65536) == b""
            except ConnectionResetError:
                pass
    r = proxy.get("/a/1")
    assert (r.x_cache, r.body) == ("MISS", b"whole")
