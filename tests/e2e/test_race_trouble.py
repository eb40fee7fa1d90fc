"""The race of test_race_writes.py with an origin that gives trouble, and clients that do."""

import itertools
import random
import threading

from lib.fast import FastClient
from lib.origin import Close, Reset, Sleep, answer
from lib.race import race
from lib.versions import Versions

CONF = """
workers 2
log off
upstream main %ORIGIN% max_fails=0
defaults { timeout first_byte=5s; retry 0 }
route GET /r/{key} { scope public; key r:{key}; ttl %TTL%; %MORE% }
route POST,PUT,DELETE /r/{key} { invalidate r:{key} }
"""


def start(larder, origin, ttl="60s", more=""):
    return Versions(origin), larder(CONF, origin=origin.url, ttl=ttl, more=more)


def sometimes(share, seed=3):
    pick, lock = random.Random(seed), threading.Lock()

    def decide():
        with lock:
            return pick.random() < share
    return decide


def test_writes_with_an_unknown_outcome(larder, origin):
    """Carried out, but the answer is lost, cut short or an error of a gateway in between."""
    versions, proxy = start(larder, origin)
    pick, lock = random.Random(4), threading.Lock()
    good = versions.answer

    def reply(request, body):
        if request.method == "GET":
            return good(request, body)
        with lock:
            return pick.choice((
                good(request, body), answer(502, b"bad"), answer(504, b"late"), Reset(), Close(),
                [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart", Close()],
                [b"HTTP/1.1 200 OK\r\nConte", Reset()]))

    versions.answer = reply

    number = itertools.count()

    def write(c, key, method):
        mine = str(next(number))
        try:
            c.request(method, f"/r/{key}", [("X-Write", mine)])
        except ConnectionError:
            c.close()
        # Whatever came of its answer: it was carried out before that.
        return versions.written[mine]

    counts = race(proxy, versions, methods=("POST",), write=write, writes=100)
    assert counts["HIT"] >= 300 and counts["MISS"] >= 100, counts


def test_answers_that_may_not_be_kept_now_and_then(larder, origin):
    versions, proxy = start(larder, origin)
    private, good = sometimes(0.3), versions.answer
    versions.answer = lambda request, body: (
        answer(200, body, {"Cache-Control": "no-store"})
        if request.method == "GET" and private() else good(request, body))
    counts = race(proxy, versions, writes=100)
    assert counts["HIT"] >= 300 and counts["MISS"] >= 200, counts


def test_variants(larder, origin):
    versions, proxy = start(larder, origin)
    versions.answer = lambda request, body: answer(200, body, {"Vary": "Accept-Language"})
    counts = race(proxy, versions, writes=100,
                  fields=lambda pick: [("Accept-Language", pick.choice(("de", "en", "fr")))])
    assert counts["HIT"] >= 300 and counts["MISS"] >= 100, counts


def test_confirmations(larder, origin):
    """Entries expire soon and are confirmed by their ETag for as long again."""
    versions, proxy = start(larder, origin, ttl="20ms")

    def reply(request, body):
        fields = {"ETag": f'"{body.decode().replace(" ", "-")}"'}
        if request.header("if-none-match") == fields["ETag"]:
            return answer(304, headers=fields)
        return answer(200, body, fields)

    versions.answer = reply
    counts = race(proxy, versions, writes=100)
    assert counts["REVALIDATED"] >= 50 and counts["MISS"] >= 50 and counts["HIT"] >= 200, counts


def test_an_origin_that_fails_reads(larder, origin):
    """A stale copy stands in for an error, but never one that a write has replaced."""
    versions, proxy = start(larder, origin, ttl="20ms", more="stale_if_error 60s")
    failing, good = sometimes(0.4), versions.answer
    versions.answer = lambda request, body: (
        answer(503, b"away") if request.method == "GET" and failing() else good(request, body))
    # 502: a write came between the decision for the stale copy and its use.
    counts = race(proxy, versions, writes=100, allowed=(200, 502, 503))
    assert counts["STALE"] >= 20 and counts["HIT"] >= 100, counts


def test_slow_bodies(larder, origin):
    """Heads come at once and bodies piece by piece: readers join in the middle of one."""
    versions, proxy = start(larder, origin)

    def reply(request, body):
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
        return [head + body[:1], Sleep(0.003), body[1:]]

    versions.answer = reply
    counts = race(proxy, versions, writes=100)
    assert counts["MISS collapsed"] >= 50 and counts["HIT"] >= 200, counts


def test_readers_that_leave(larder, origin):
    """Leaders go away in the middle of their fetch while others join it."""
    versions, proxy = start(larder, origin)
    stop = threading.Event()

    def flee(seed):
        pick = random.Random(seed)
        while not stop.is_set():
            c = FastClient(proxy.port)
            c.send(b"GET /r/k%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % pick.randrange(6))
            stop.wait(pick.random() * 0.004)
            c.close()

    threads = [threading.Thread(target=flee, args=(n,)) for n in range(3)]
    for t in threads:
        t.start()
    try:
        counts = race(proxy, versions, readers=5, writes=100)
    finally:
        stop.set()
        for t in threads:
            t.join(10)
    assert counts["HIT"] >= 200 and counts["MISS"] >= 50, counts
