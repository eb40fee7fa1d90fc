"""An origin may answer while it is still being sent the request: both bodies go on."""

import socket
import threading

import pytest

from lib import flood
from lib.origin import LAST_CHUNK, Gone, chunk

CONF = """
workers 1
upstream main %ORIGIN%
route POST /echo { max_body off; timeout idle=3s }
"""
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def echo(x):
    """Sends each chunk of the request back as it comes, as `req.pipe(res)` does."""
    x.send(HEAD)
    c = x.connection
    while True:
        size = int(c.read_until(b"\r\n"), 16)
        data = c.read_exactly(size + 2)[:-2]
        if size == 0:
            x.send(LAST_CHUNK)
            x.request.complete = True
            return
        x.send(chunk(data))


def test_question_and_answer(larder, origin):
    origin.route("/echo", echo, read_body=False)
    with larder(CONF, origin=origin.url).raw() as c:
        c.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for word in (b"one", b"two", b"three"):
            c.send(chunk(word))
            c.read_until(chunk(word))
        c.send(LAST_CHUNK)
        c.read_until(LAST_CHUNK)
        assert c.closed()  # its end was not known when the head was sent


@pytest.mark.parametrize("rate", [None, 20_000_000])
def test_much_both_ways(larder, origin, rate):
    total = 30_000_000

    def mirror(x):
        """Takes the body with one thread while another sends one of the same size. The last
        byte comes when everything was taken: an answer that is complete ends the exchange."""
        x.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        t = threading.Thread(target=flood.send, args=(x.connection.sock, total - 1))
        t.start()
        assert flood.take_request_body(x) == total
        t.join()
        x.send(flood.piece(total - 1, 1))
    origin.route("/echo", mirror, read_body=False)
    proxy = larder(CONF, origin=origin.url)
    base = proxy.rss()
    with proxy.raw() as c:
        c.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % total)
        sender = threading.Thread(target=flood.send, args=(c.sock, total))
        sender.start()
        head = c.read_until(b"\r\n\r\n")
        assert b" 200 " in head
        assert flood.receive(c.sock, total, c._pending, rate) == total
        sender.join(10)
        assert not sender.is_alive()
    assert proxy.sanitized or proxy.rss() - base < 8_000_000


def test_an_origin_that_stops_taking_the_body_may_answer_on(larder, origin):
    def answer_only(x):
        x.send(HEAD)
        for i in range(5):
            x.send(chunk(b"part %d" % i))
            threading.Event().wait(0.05)
        x.send(LAST_CHUNK)
        x.connection.sock.shutdown(socket.SHUT_RDWR)
        raise Gone("done")
    origin.route("/echo", answer_only, read_body=False)
    with larder(CONF, origin=origin.url).raw() as c:
        c.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
        sender = threading.Thread(target=send_until_refused, args=(c.sock,))
        sender.start()
        r = c.read_response("POST")
        assert r.status == 200 and r.body.endswith(b"part 4")
        assert r.header("connection") == "close"
        sender.join(5)
        assert not sender.is_alive()


def send_until_refused(sock):
    try:
        for _ in range(1000):
            sock.sendall(b"x" * 100_000)
    except OSError:
        pass
