"""Writes and reads of one connection, and writes whose clients do not wait."""

import random
import threading

from lib.fast import Crew, FastClient
from lib.origin import Sleep, answer
from lib.raw import encode_request
from lib.versions import Versions, version_of
from lib.wait import eventually

CONF = """
workers 2
log off
upstream main %ORIGIN%
route GET  /r/{key} { scope public; key r:{key}; ttl 60s }
route POST /r/{key} { invalidate r:{key} }
"""


def test_a_read_pipelined_behind_the_write(larder, origin):
    """It is begun when the write was answered, however early it came."""
    versions = Versions(origin, delay=0.003)
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as c:
        for n in range(1, 200):
            c.send(b"".join(encode_request(m, "/r/a") for m in ("GET", "POST", "GET")))
            answers = [c.read_response() for _ in range(3)]
            seen = [version_of(a.body, "a") for a in answers]
            assert seen[1] == n and seen[2] == n and seen[0] in (n - 1, n), seen
            versions.answered("a", n)


def test_writers_that_do_not_wait(larder, origin):
    """They leave as soon as their request is out; when it is over, nothing old is left."""
    versions = Versions(origin)
    proxy = larder(CONF, origin=origin.url)
    keys, crew, done = [f"k{n}" for n in range(5)], Crew(), threading.Event()

    def flee(seed):
        pick = random.Random(seed)
        for _ in range(80):
            c = FastClient(proxy.port)
            body = b"x" * pick.randrange(1, 3000)
            c.send(encode_request("POST", f"/r/{pick.choice(keys)}", body=body))
            crew.stopping.wait(pick.random() * 0.004)
            c.close()

    def read(seed):
        pick = random.Random(seed)
        with FastClient(proxy.port) as c:
            while not done.is_set():
                assert c.get(f"/r/{pick.choice(keys)}").status == 200

    readers = Crew()
    for n in range(3):
        crew.start(flee, n)
    for n in range(4):
        readers.start(read, n)
    try:
        crew.join()
    finally:
        done.set()
        readers.join()
    for key in keys:
        eventually(lambda: version_of(proxy.get(f"/r/{key}").body, key) == versions.newest(key), 5,
                   f"the last version of {key}")
    assert sum(map(versions.newest, keys)) > 100


def test_a_write_that_is_slow_to_be_answered(larder, origin):
    """Between commit and answer both versions are right; after the answer only the new one is."""
    versions = Versions(origin, delay=0)
    slow = versions.answer
    versions.answer = lambda request, body: (
        [Sleep(0.2), answer(200, body)] if request.method == "POST" else slow(request, body))
    proxy = larder(CONF, origin=origin.url)
    assert version_of(proxy.get("/r/a").body, "a") == 0
    with proxy.raw() as writer:
        writer.send(encode_request("POST", "/r/a"))
        origin.wait_requests(2)
        early = {version_of(proxy.get("/r/a").body, "a") for _ in range(50)}
        assert early <= {0, 1}
        assert writer.read_response().status == 200
        assert version_of(proxy.get("/r/a").body, "a") == 1
