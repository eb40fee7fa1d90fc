"""`settle`: the invalidation is repeated later, for backends that commit after they answered."""

import time

import pytest

from lib.origin import Close, answer
from lib.wait import eventually

CONF = """
upstream main %ORIGIN%
route GET  /a name=things { scope public; key a; ttl 60s }
route GET  /b       { scope public; key b; ttl 60s }
route POST /late    { invalidate a; settle 500ms }
route POST /never   { invalidate a }
route POST /clock   { invalidate b; settle 400ms }
route POST /tag     { invalidate tag:x route:things; settle 300ms }
route PUT  /a       { settle 300ms; invalidate b }
"""


@pytest.fixture
def proxy(larder, origin):
    origin.route("/a", answer(200, b"old"), method="GET")
    origin.route("/b", answer(200, b"b"))
    p = larder(CONF, origin=origin.url)
    assert p.get("/a").body == b"old" and p.get("/b").body == b"b"
    return p


def write(proxy, origin, method="POST", target="/late"):
    """The write is answered, then somebody reads, then the backend commits."""
    proxy.request(method, target, body=b"x")
    begin = time.monotonic()
    assert proxy.get("/a").body == b"old"
    assert proxy.get("/a").x_cache == "HIT"
    origin.route("/a", answer(200, b"new"), method="GET")
    return begin


def test_what_was_read_too_early_goes_later(proxy, origin):
    begin = write(proxy, origin)
    proxy.get("/b")
    eventually(lambda: proxy.get("/a").body == b"new", 5)
    assert time.monotonic() - begin >= 0.45
    assert proxy.get("/b").x_cache == "HIT"
    # It is repeated once.
    assert not any(proxy.get("/a").x_cache == "MISS" for _ in range(20))


def test_without_it_the_old_answer_stays(proxy, origin):
    """/b is the clock here: when its repetition was seen, another one would have been too."""
    write(proxy, origin, target="/never")
    proxy.post("/clock", b"x")
    assert proxy.get("/b").body == b"b"
    origin.route("/b", answer(200, b"later"))
    eventually(lambda: proxy.get("/b").body == b"later", 5)
    assert proxy.get("/a").body == b"old"


def test_every_kind_is_repeated(proxy, origin):
    write(proxy, origin, target="/tag")
    eventually(lambda: proxy.get("/a").body == b"new", 5)


def test_the_writes_own_path_is_repeated_too(proxy, origin):
    origin.route("/a", answer(204), method="PUT")
    write(proxy, origin, method="PUT", target="/a")
    eventually(lambda: proxy.get("/a").body == b"new", 5)


def test_after_an_unknown_outcome(proxy, origin):
    origin.route("/late", Close(), method="POST")
    write(proxy, origin)
    eventually(lambda: proxy.get("/a").body == b"new", 5)


def test_stopping_does_not_wait_for_it(larder, origin):
    conf = CONF.replace("500ms", "1h")
    proxy = larder(conf, origin=origin.url)
    for _ in range(50):
        proxy.post("/late", b"x")
    begin = time.monotonic()
    assert proxy.stop() == 0
    assert time.monotonic() - begin < 5


def test_a_reload_keeps_it(proxy, origin):
    write(proxy, origin)
    proxy.reload(CONF, wait="reload done")
    eventually(lambda: proxy.get("/a").body == b"new", 5)
