"""Readers of one fetch that differ: slow ones, old ones, HEAD, other identities, large bodies."""

import threading
import time

import pytest

from lib import flood
from lib.fast import Crew
from lib.origin import LAST_CHUNK, Gone, Wait, answer, chunk
from lib.raw import RawClient
from lib.swarm import Swarm, get, raise_fd_limit
from lib.tokens import bearer, make_jwt
from lib.wait import eventually

CONF = """
workers 2
log off
memory 256mb
limits write=20s
upstream main %ORIGIN%
defaults { max_object %MAX%; timeout first_byte=10s }
route GET /a/{id} { scope public; ttl 60s }
"""
MB = 1 << 20


def start(larder, origin, size=16):
    raise_fd_limit()
    return larder(CONF, origin=origin.url, max=f"{size}mb",
                  env={"ASAN_OPTIONS": "quarantine_size_mb=1:detect_leaks=1"})  # memory is looked at


def streams(total, chunked=True, go=None, rate=None, progress=None):
    """An origin's answer of so many bytes of lib.flood."""
    def respond(x):
        if go is not None:
            x.run(Wait(go))
        head = b"HTTP/1.1 200 OK\r\n"
        head += b"Transfer-Encoding: chunked\r\n\r\n" if chunked else (
            b"Content-Length: %d\r\n\r\n" % total)
        x.send(head)
        try:
            flood.send(x.connection.sock, total, chunked, rate, progress)
        except OSError as e:
            raise Gone(str(e)) from None
    return respond


def ask(proxy, target="/a/1", version="1.1", **kw):
    c = RawClient(proxy.port, timeout=30, **kw)
    c.send(get(target, version=version))
    return c


def take(c, total):
    """Reads an answer and checks its bytes."""
    r = c.read_response(timeout=30)
    assert r.status == 200
    meter = flood.Meter()
    meter.feed(r.body)
    assert meter.count == total
    return r


# ---- bodies larger than max_object


def test_outgrown(larder, origin):
    """Whoever came before that was known gets it all; nothing is kept, and memory stays small."""
    total, n, go = 12 * MB, 12, threading.Event()
    origin.route("/a/1", streams(total, go=go))
    proxy = start(larder, origin, 1)
    clients = [ask(proxy) for _ in range(n)]
    origin.wait_requests(1)
    before, peak = proxy.rss(), 0
    go.set()
    crew = Crew()
    for c in clients:
        crew.start(take, c, total)
    while crew.busy():
        peak = max(peak, proxy.rss())
        time.sleep(0.01)
    crew.join()
    assert origin.count("/a/1") == 1
    # Each connection may have 128 KB queued, the flight 1 MB and its backlog.
    assert peak - before < 16 * MB, (peak - before) / MB
    origin.route("/a/1", answer(200, b"small"))
    assert proxy.get("/a/1").x_cache == "MISS"


def test_too_large_from_the_start(larder, origin):
    """Content-Length says so: everybody goes alone, nobody waits."""
    total, go = 3 * MB, threading.Event()
    origin.route("/a/1", streams(total, chunked=False, go=go))
    proxy = start(larder, origin, 1)
    clients = [ask(proxy) for _ in range(5)]
    origin.wait_requests(1)
    go.set()
    for c in clients:
        take(c, total)
    assert origin.count("/a/1") == 5


@pytest.mark.parametrize("who", ["follower", "leader"])
def test_outgrown_while_somebody_is_slow(larder, origin, who):
    """He may hold up the others as long as memory is saved by it, but not for long."""
    total, go = 12 * MB, threading.Event()
    origin.route("/a/1", streams(total, go=go))
    proxy = start(larder, origin, 1)
    first = ask(proxy, rcvbuf=4096 if who == "leader" else None)
    origin.wait_requests(1)
    second = ask(proxy, rcvbuf=4096 if who == "follower" else None)
    slow, fast = (first, second) if who == "leader" else (second, first)
    third = ask(proxy)
    before = proxy.rss()
    started = time.monotonic()
    go.set()
    crew = Crew()
    for c in (fast, third):
        crew.start(take, c, total)
    crew.join(30)
    assert time.monotonic() - started < 15  # far from the 20 s that a write may take
    assert proxy.rss() - before < 12 * MB
    assert origin.count("/a/1") == 1
    # The slow one sees that his answer is cut; he cannot take it for whole.
    data = slow.read_all(timeout=30)
    assert not data.endswith(LAST_CHUNK) and len(data) < total


# ---- storable bodies


@pytest.mark.parametrize("who", ["follower", "leader"])
def test_a_slow_client_slows_nobody(larder, origin, who):
    """A fill runs at the origin's speed; the slow one gets all of it, in his own time."""
    total, go = 12 * MB, threading.Event()
    origin.route("/a/1", streams(total, go=go))
    proxy = start(larder, origin)
    first = ask(proxy, rcvbuf=4096 if who == "leader" else None)
    origin.wait_requests(1)
    second = ask(proxy, rcvbuf=4096 if who == "follower" else None)
    slow, fast = (first, second) if who == "leader" else (second, first)
    go.set()
    take(fast, total)
    eventually(lambda: proxy.get("/a/1").x_cache == "HIT", 10, "a stored answer")
    assert origin.count("/a/1") == 1
    slow.sock.setsockopt(1, 8, 1 << 20)  # SOL_SOCKET, SO_RCVBUF: faster from now on
    take(slow, total)


def test_a_follower_leaves(larder, origin):
    """In the middle of a body; leader and others do not notice."""
    go = threading.Event()
    origin.route("/a/1", [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"one"),
                          Wait(go), chunk(b"two"), LAST_CHUNK])
    proxy = start(larder, origin)
    clients = [ask(proxy) for _ in range(10)]
    for c in clients:
        c.read_until(b"one\r\n")
    for c in clients[1::2]:
        c.reset()
    go.set()
    for c in clients[::2]:
        assert c.read_until(LAST_CHUNK) == chunk(b"two") + LAST_CHUNK
    assert proxy.get("/a/1").x_cache == "HIT"
    assert origin.count("/a/1") == 1


# ---- HTTP/1.0 and HEAD


def test_old_followers(larder, origin):
    """HTTP/1.0 knows no chunks: its answer ends with the connection."""
    go = threading.Event()
    origin.route("/a/1", [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"one"),
                          Wait(go), chunk(b"two"), LAST_CHUNK])
    proxy = start(larder, origin)
    leader = ask(proxy)
    leader.read_until(b"one\r\n")
    old = [ask(proxy, version="1.0") for _ in range(5)]
    for c in old:
        head = c.read_until(b"\r\n\r\n").lower()
        assert b"transfer-encoding" not in head and b"content-length" not in head
        assert b"connection: close" in head
        c.read_until(b"one")
    go.set()
    for c in old:
        assert c.read_all() == b"two"
    leader.read_until(LAST_CHUNK)
    assert origin.count("/a/1") == 1


@pytest.mark.parametrize("first", ["1.0", "1.1"])
def test_old_leader(larder, origin, first):
    """Who leads makes no difference to who follows."""
    go = threading.Event()
    origin.route("/a/1", [Wait(go), answer(200, [b"one", b"two"], chunked=True)])
    proxy = start(larder, origin)
    one = ask(proxy, version=first)
    origin.wait_requests(1)
    two = ask(proxy, version="1.1" if first == "1.0" else "1.0")
    with Swarm(proxy.port, [get("/a/1")]) as later:
        later.send()
        later.taken()
        go.set()
        assert {one.read_response().body, two.read_response().body, later.read()[0].body} == {
            b"onetwo"}
    assert origin.count("/a/1") == 1


def test_head_meanwhile(larder, origin):
    """HEAD asks for itself: it neither waits for the body nor disturbs it."""
    go = threading.Event()
    def respond(x):
        if x.request.method == "HEAD":
            x.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Who: head\r\n\r\n")
        else:
            x.run([b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none", Wait(go), b"two"])
    origin.route("/a/1", respond)
    proxy = start(larder, origin)
    with ask(proxy) as leader:
        leader.read_until(b"one")
        with proxy.raw() as c:
            r = c.request("HEAD", "/a/1")
            assert (r.status, r.body, r.header("content-length")) == (200, b"", "6")
            assert c.quiet(0.05)
        with ask(proxy) as follower:
            follower.read_until(b"one")
            go.set()
            assert leader.read_until(b"two") == follower.read_until(b"two") == b"two"
    assert (origin.count("/a/1", "GET"), origin.count("/a/1", "HEAD")) == (1, 1)
    r = proxy.request("HEAD", "/a/1")
    assert (r.x_cache, r.body, r.header("content-length")) == ("HIT", b"", "6")


# ---- identity


def test_identities_are_never_joined(larder, make_origin):
    """One fetch for each identity; those without one go alone, each for itself."""
    origin = make_origin()
    go = threading.Event()
    origin.route("/me", [Wait(go), lambda x: x.answer(
        200, (x.request.header("authorization") or x.request.header("x-me")).encode())])
    raise_fd_limit()
    proxy = larder("""
workers 2
log off
upstream main %ORIGIN%
jwt main alg=HS256 secret=a-test-secret-of-more-than-32-bytes!
identity user jwt=main claim=sub
route GET /me { ttl 60s; key me:{user} }
""", origin=origin.url)
    tokens = [dict(bearer(make_jwt(sub=f"user-{n}")))["Authorization"] for n in range(4)]
    expected = [tokens[n % 4] for n in range(200)] + [f"{n}" for n in range(20)]
    requests = [get("/me", f"Authorization: {t}") for t in expected[:200]]
    requests += [get("/me", f"X-Me: {t}") for t in expected[200:]]
    with Swarm(proxy.port, requests) as swarm:
        swarm.send()
        swarm.taken()
        origin.wait_requests(24)
        go.set()
        got = swarm.read()
    assert [a.body.decode() for a in got] == expected
    assert origin.count("/me") == 24
    assert {a.x_cache for a in got[:200]} == {"MISS"}
    assert {a.detail for a in got[200:]} == {"no-user"}


def test_a_bad_token_joins_nothing(larder, origin):
    """While a fetch is under way for somebody, a forged token of his goes alone."""
    go = threading.Event()
    origin.route("/me", [Wait(go), lambda x: x.answer(
        200, x.request.header("authorization").encode())])
    proxy = larder("""
workers 1
upstream main %ORIGIN%
jwt main alg=HS256 secret=a-test-secret-of-more-than-32-bytes!
identity user jwt=main claim=sub
route GET /me { ttl 60s; key me:{user} }
""", origin=origin.url)
    good = dict(bearer(make_jwt(sub="ann")))["Authorization"]
    bad = good[:-4] + "AAAA"
    with Swarm(proxy.port, [get("/me", f"Authorization: {t}") for t in (good, bad, good)]) as swarm:
        swarm.send()
        origin.wait_requests(2)
        go.set()
        got = swarm.read()
    assert [a.body.decode() for a in got] == [good, bad, good]
    assert [a.x_cache for a in got] == ["MISS", "BYPASS", "MISS"]
    assert origin.count("/me") == 2
