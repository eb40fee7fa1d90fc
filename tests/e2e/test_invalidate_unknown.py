"""Writes whose outcome nobody knows invalidate like successes (design section 4).

Once a byte of a write was sent upstream it may have been carried out, whatever became of its
answer and of the client that sent it.
"""

import threading

import pytest

from lib.origin import Close, Hang, ReadBody, Reset, Wait, answer
from lib.ports import free_port
from lib.raw import Truncated, encode_request
from lib.wait import eventually

CONF = """
upstream main %ORIGIN%
defaults { timeout first_byte=300ms idle=300ms; retry 1 }
route GET  /a { scope public; key a; ttl 60s }
route GET  /b { scope public; key b; ttl 60s }
route POST,PUT /a { invalidate a; timeout first_byte=300ms idle=300ms }
route POST /slow { invalidate a; timeout first_byte=20s }
"""


@pytest.fixture
def proxy(larder, origin):
    p = larder(CONF, origin=origin.url)
    for target in ("/a", "/b"):
        assert p.get(target).x_cache == "MISS"
        assert p.get(target).x_cache == "HIT"
    return p


def kept(proxy, target="/a"):
    """Is the entry still there? Asking fills it again."""
    return proxy.get(target).x_cache == "HIT"


OUTCOMES = {
    "no answer in time": (Hang(), 504),
    "closed": (Close(), 502),
    "reset": (Reset(), 502),
    "closed within the head": ([b"HTTP/1.1 200 OK\r\nContent-Le", Close()], 502),
    "no HTTP": (b"\x00\x01\x02\r\n\r\n", 502),
    "interim, then closed": ([b"HTTP/1.1 103 Early\r\n\r\n", Close()], 502),
    "bad framing": (answer(200, b"x", [("Content-Length", "1"), ("Content-Length", "2")]), 502),
    "its own 502": (answer(502, b"bad"), 502),
    "its own 504": (answer(504, b"late"), 504),
}


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_unknown_outcome_invalidates(proxy, origin, method, outcome):
    what, status = OUTCOMES[outcome]
    origin.route("/a", [ReadBody(), what], method=method, read_body=False)
    assert proxy.request(method, "/a", body=b"x" * 1000).status == status
    assert not kept(proxy) and kept(proxy, "/b")


@pytest.mark.parametrize("end", [Close(), Reset(), Hang()])
def test_answer_cut_short_invalidates(proxy, origin, end):
    origin.route("/a", [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", end], method="POST")
    with pytest.raises(Truncated):
        proxy.post("/a", b"x")
    assert not kept(proxy) and kept(proxy, "/b")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429, 500, 501, 503])
def test_refused_write_invalidates_nothing(proxy, origin, status):
    origin.route("/a", answer(status, b"no"), method="POST")
    assert proxy.post("/a", b"x").status == status
    assert kept(proxy)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 301, 302, 303, 307])
def test_successful_write_invalidates(proxy, origin, status):
    body = b"" if status == 204 else b"ok"
    origin.route("/a", answer(status, body, {"Location": "/elsewhere"}), method="POST")
    assert proxy.post("/a", b"x").status == status
    assert not kept(proxy) and kept(proxy, "/b")


def test_what_was_never_sent_invalidates_nothing(larder, make_origin):
    port = free_port()
    origin = make_origin(port=port)
    proxy = larder(CONF + "defaults { retry 0 }" if False else CONF, origin=origin.url)
    assert not kept(proxy) and kept(proxy)
    origin.stop()
    assert proxy.post("/a", b"x").status in (502, 503)
    assert kept(proxy)


@pytest.mark.parametrize("leave", ["close", "reset", "half_close"])
def test_client_leaves_after_the_write(proxy, origin, leave):
    """Its outcome counts although nobody waits for it."""
    go = threading.Event()
    origin.route("/slow", [Wait(go), answer(200, b"done")], method="POST")
    with proxy.raw() as c:
        c.send(encode_request("POST", "/slow", body=b"x" * 1000))
        write = origin.wait_requests(1, "/slow")[0]
        eventually(lambda: write.complete)
        getattr(c, leave)()
        assert kept(proxy)  # it is not known yet
        go.set()
        eventually(lambda: not kept(proxy))
        assert kept(proxy, "/b")


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("leave", ["close", "reset"])
def test_client_leaves_within_the_body(proxy, origin, leave, framing):
    head = {"length": b"Content-Length: 1000", "chunked": b"Transfer-Encoding: chunked"}[framing]
    part = {"length": b"x" * 100, "chunked": b"64\r\n" + b"x" * 100 + b"\r\n"}[framing]
    with proxy.raw() as c:
        c.send(b"POST /slow HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n%s" % (head, part))
        connection = eventually(lambda: next(
            (x for x in origin.connections if b"POST /slow" in x.received), None))
        eventually(lambda: b"x" * 100 in connection.received)
        getattr(c, leave)()
        eventually(lambda: not kept(proxy))
        assert kept(proxy, "/b")
        eventually(lambda: not connection.open)


def test_malformed_body_invalidates(proxy, origin):
    """What came before the malformed chunk is at the backend already."""
    with proxy.raw() as c:
        c.send(b"POST /slow HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
               b"3\r\nabc\r\n")
        eventually(lambda: any(b"abc" in x.received for x in origin.connections))
        c.send(b"zzz\r\n")
        assert c.read_response().status == 400
    eventually(lambda: not kept(proxy))


def test_a_leaving_clients_write_is_not_cut_off(proxy, origin):
    """The backend can finish its work: the connection stays open until it has answered."""
    go = threading.Event()
    origin.route("/slow", [Wait(go), answer(200, b"done")], method="POST")
    with proxy.raw() as c:
        c.send(encode_request("POST", "/slow", body=b"x"))
        write = origin.wait_requests(1, "/slow")[0]
    for _ in range(20):
        assert proxy.get("/b").status == 200
    assert write.connection.open
    go.set()
    eventually(lambda: not kept(proxy))
