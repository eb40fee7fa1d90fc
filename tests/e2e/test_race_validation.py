"""An expired entry that a write has invalidated is not what the origin is asked about.

Last-Modified counts seconds: within one of them an origin answers 304 about bytes that a write
has just replaced. The write was told to Larder, so it must not ask.
"""

import threading

from lib.origin import Hang, Wait, answer
from lib.raw import encode_request
from lib.wait import eventually

DATE = "Tue, 02 Jan 2024 00:00:00 GMT"
CONF = """
upstream main %ORIGIN%
defaults { timeout first_byte=400ms; retry 0 }
route GET  /a { scope public; key a; ttl 60s }
route POST /a { invalidate a }
"""


def test_successor_of_a_failed_fetch(larder, origin):
    """It waited for a fetch begun before the write, and starts its own after it."""
    content = [b"old"]

    def serve(exchange):
        fields = {"Last-Modified": DATE, "Cache-Control": "max-age=0"}
        if exchange.request.header("if-modified-since") == DATE:
            exchange.run(answer(304, headers=fields))
        else:
            exchange.run(answer(200, content[0], fields))

    origin.route("/a", serve, method="GET")
    origin.route("/a", answer(204), method="POST")
    proxy = larder(CONF, origin=origin.url)
    assert proxy.get("/a").body == b"old"
    origin.script(Hang())
    with proxy.raw() as leader, proxy.raw() as follower:
        leader.send(encode_request("GET", "/a"))
        origin.wait_requests(2, "/a")
        assert origin.requests[-1].header("if-modified-since") == DATE
        follower.send(encode_request("GET", "/a"))
        assert follower.quiet(0.1)
        content[0] = b"new"
        assert proxy.post("/a").status == 204
        assert leader.read_response().status == 504
        follower.read_response()
    for _ in range(3):
        assert proxy.get("/a").body == b"new"
    eventually(lambda: origin.count("/a", "GET") >= 3)


def test_error_after_the_write(larder, origin):
    """The stale copy was to stand in for an error, but it is gone: the error itself is told."""
    conf = CONF.replace("ttl 60s", "ttl 60s; stale_if_error 60s")
    go = threading.Event()
    origin.route("/a", answer(204), method="POST")
    origin.script(answer(200, b"old", {"Cache-Control": "max-age=0"}),
                  [Wait(go), answer(503, b"the origin's own words")])
    proxy = larder(conf, origin=origin.url)
    assert proxy.get("/a").body == b"old"
    with proxy.raw() as c:
        c.send(encode_request("GET", "/a"))
        origin.wait_requests(2, "/a")
        assert proxy.post("/a").status == 204
        go.set()
        got = c.read_response()
    assert (got.status, got.body) == (503, b"the origin's own words")
