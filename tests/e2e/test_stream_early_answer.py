"""An origin that answers before it has read the body: the client gets that answer."""

import threading

import pytest

from lib.origin import Close, Hang, answer

CONF = """
upstream main %ORIGIN%
route POST /up { max_body off; timeout idle=5s first_byte=5s }
"""


def send_much(c, n=40_000_000):
    """Sends a body and stops when the peer has had enough; like curl, it does not care."""
    def run():
        try:
            for _ in range(n // 100_000):
                c.sock.sendall(b"x" * 100_000)
        except OSError:
            pass
    t = threading.Thread(target=run)
    t.start()
    return t


@pytest.mark.parametrize("then", [Close(), Hang()])
@pytest.mark.parametrize("framing", ["Content-Length: 40000000", "Transfer-Encoding: chunked"])
def test_refusal(larder, origin, then, framing):
    origin.route("/up", [answer(413, b"too much", [("X-From", "origin")]), then],
                 read_body=False)
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as c:
        c.send(f"POST /up HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode())
        sender = None if "chunked" in framing else send_much(c)
        r = c.read_response("POST")
        assert (r.status, r.body, r.header("x-from")) == (413, b"too much", "origin")
        assert r.header("connection") == "close"
        assert c.closed(3)
        if sender:
            sender.join(5)
            assert not sender.is_alive()
    assert proxy.get("/other").status == 200
    assert len(origin.connections) == 2  # the unfinished one was not used again


def test_the_answer_is_readable_for_a_moment(larder, origin):
    """The client reads only after it has tried to send everything."""
    origin.route("/up", [answer(403, b"no"), Hang()], read_body=False)
    with larder(CONF, origin=origin.url).raw() as c:
        c.send(b"POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 40000000\r\n\r\n")
        send_much(c).join(5)
        assert c.read_response("POST").status == 403


def test_our_own_refusal_is_readable_too(larder, origin):
    with larder("upstream main %ORIGIN%\nroute POST /up { max_body 1mb }",
                origin=origin.url).raw() as c:
        c.send(b"POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 40000000\r\n\r\n")
        send_much(c).join(5)
        r = c.read_response("POST")
        assert r.status == 413 and r.header("connection") == "close"
    assert origin.count() == 0
