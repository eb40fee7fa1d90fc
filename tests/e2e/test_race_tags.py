"""A fetch under way when its tag is invalidated is not joined by who asks after the write.

What tags an answer of the backend's own carries is not known before its head has come.
"""

import threading

import pytest

from lib.cache import cache_status
from lib.origin import Wait, answer
from lib.raw import encode_request

CONF = """
upstream main %ORIGIN%
route GET  /tagged-by-route  { scope public; key one; ttl 60s; tag shelf }
route GET  /tagged-by-origin { scope public; key two; ttl 60s }
route GET  /other            { scope public; key three; ttl 60s; tag other }
route POST /write            { invalidate tag:shelf }
route POST /answer-says      { }
"""


@pytest.mark.parametrize("target", ["/tagged-by-route", "/tagged-by-origin"])
@pytest.mark.parametrize("write", ["/write", "/answer-says"])
def test_reader_after_the_write_gets_the_new_answer(larder, origin, target, write):
    go = threading.Event()
    tag = {"Surrogate-Key": "shelf"} if target == "/tagged-by-origin" else {}
    origin.script([Wait(go), answer(200, b"old", tag)])
    origin.route("/write", answer(204))
    origin.route("/answer-says", answer(204, headers={"Cache-Group-Invalidation": '"shelf"'}))
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as early, proxy.raw() as late:
        early.send(encode_request("GET", target))
        origin.wait_requests(1, target)
        assert proxy.post(write).status == 204
        origin.route(target, answer(200, b"new", tag))
        late.send(encode_request("GET", target))
        # Either it fetches at once, or it waits for the fetch that is under way: give it that.
        joined = not late.quiet(0.3)
        go.set()
        assert early.read_response().body == b"old"
        assert late.read_response().body == b"new", f"answered before the old one: {joined}"
    assert proxy.get(target).body == b"new"
    assert origin.count(target) == 2


def test_a_fetch_of_something_else_is_still_shared(larder, origin):
    go = threading.Event()
    origin.script([Wait(go), answer(200, b"shared")])
    origin.route("/write", answer(204))
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as early, proxy.raw() as late:
        early.send(encode_request("GET", "/tagged-by-route"))
        origin.wait_requests(1, "/tagged-by-route")
        late.send(encode_request("GET", "/tagged-by-route"))
        assert late.quiet(0.2)
        go.set()
        assert early.read_response().body == late.read_response().body == b"shared"
    assert origin.count("/tagged-by-route") == 1
    assert "stored" in cache_status(proxy.get("/other"))
