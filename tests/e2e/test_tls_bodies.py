"""Big bodies and ends of connections over TLS in front."""

import socket
import ssl
import threading

import pytest

from lib import flood
from lib.certs import Authority
from lib.origin import Reset, Wait, answer
from lib.raw import RawClient, Truncated
from lib.wait import eventually

CONF = """
listen 127.0.0.1:%PORT% tls
workers 1
memory 1gb
tls %CERT% %KEY%
upstream main %ORIGIN%
defaults { upstream main; max_body off; max_object 32mb; timeout idle=20s }
limits body=2s write=2s
route GET /hit { scope public; ttl 1m }
"""
LARGE = 60_000_000


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def proxy(larder, origin, authority):
    cert, key = authority.issue("localhost")
    origin.route("/down", lambda x: flood.give(x, LARGE))
    origin.route("/chunked", lambda x: flood.give(x, LARGE, chunked=True))
    origin.route("/hit", lambda x: flood.give(x, 20_000_000))
    origin.route("/up", lambda x: x.answer(200, b"%d" % flood.take_request_body(x)),
                 read_body=False)
    proxy = larder(CONF, origin=origin.url, cert=cert, key=key)
    proxy.ctx = authority.client_context()
    return proxy


def get(c, path):
    c.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return c.read_until(b"\r\n\r\n")


def test_down(proxy):
    with proxy.raw(tls=proxy.ctx) as c:
        get(c, "/warm")
        assert c.read_until(b"/warm")
        base = proxy.rss()
        get(c, "/down")
        assert flood.receive(c.sock, LARGE, c._pending) == LARGE
        c._pending = b""
        get(c, "/chunked")
        assert flood.receive_chunked(c.sock, c._pending) == LARGE
        c._pending = b""
        assert proxy.sanitized or proxy.rss() - base < 12_000_000
        assert c.get("/again").status == 200


def test_up(proxy):
    with proxy.raw(tls=proxy.ctx) as c:
        assert c.get("/warm").status == 200
        base = proxy.rss()
        for framing in (f"Content-Length: {LARGE}", "Transfer-Encoding: chunked"):
            c.send(f"POST /up HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode())
            flood.send(c.sock, LARGE, "chunked" in framing)
            assert c.read_response("POST").body == b"%d" % LARGE
        assert proxy.sanitized or proxy.rss() - base < 12_000_000


@pytest.mark.parametrize("path", ["/hit", "/hit", "/down"])
def test_a_slow_reader(proxy, path):
    total = 20_000_000 if path == "/hit" else LARGE
    with proxy.raw(tls=proxy.ctx, rcvbuf=16384) as c:
        get(c, path)
        assert flood.receive(c.sock, total, c._pending, 40_000_000) == total


def test_a_reader_that_stops(proxy):
    with proxy.raw(tls=proxy.ctx, rcvbuf=4096) as c:
        get(c, "/hit")
        assert proxy.clients() == 1
        eventually(lambda: proxy.clients() == 0, 8)


def test_pipelining(proxy):
    with proxy.raw(tls=proxy.ctx) as c:
        c.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % i for i in range(200)))
        for i in range(200):
            assert c.read_response().body == b"serial %d /%d" % (i + 1, i)


def test_an_upload_in_one_record_with_its_head(proxy, origin):
    """OpenSSL holds the rest of a record that poll() cannot see."""
    for n in (1, 1000, 16000, 16384 * 3):
        with proxy.raw(tls=proxy.ctx) as c:
            c.send(b"POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % n +
                   flood.piece(0, n))
            assert c.read_response("POST").body == b"%d" % n


def raw_socket(c):
    """The socket below TLS, so that it can end without close_notify."""
    return socket.socket(fileno=c.sock.detach())


@pytest.mark.parametrize("request_bytes", [
    b"", b"GET /a HTTP/1.1\r\nHo", b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n123"])
def test_the_client_ends_without_close_notify(proxy, origin, request_bytes):
    c = proxy.raw(tls=proxy.ctx)
    if request_bytes:
        c.send(request_bytes)
    assert proxy.clients() == 1
    raw_socket(c).close()
    eventually(lambda: proxy.clients() == 0)
    with proxy.raw(tls=proxy.ctx) as c:
        assert c.get("/after").status == 200


def test_close_notify_is_a_half_close(proxy, origin, authority):
    """What was asked before it is answered."""
    go = threading.Event()
    origin.route("/slow", [Wait(go), answer(200, b"late")])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = proxy.ctx.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with RawClient(proxy.port) as c:
        def step(what):
            while True:
                try:
                    result = what()
                    c.send(outgoing.read())
                    return result
                except ssl.SSLWantReadError:
                    c.send(outgoing.read())
                    data = c.read_some()
                    incoming.write(data) if data else incoming.write_eof()
        step(tls.do_handshake)
        step(lambda: tls.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"))
        origin.wait_requests(1, "/slow")
        try:
            tls.unwrap()
        except ssl.SSLError:
            pass
        c.send(outgoing.read())
        threading.Event().wait(0.2)  # it has arrived and changed nothing
        go.set()
        data = b""
        while not data.endswith(b"late"):
            data += step(lambda: tls.read(1000))
        assert data.startswith(b"HTTP/1.1 200 ")


def test_a_cut_answer_is_no_clean_end(proxy, origin):
    origin.route("/cut", [b"HTTP/1.1 200 OK\r\n\r\nhalf of it", Reset()])
    with proxy.raw(tls=proxy.ctx) as c:
        with pytest.raises(Truncated):
            c.get("/cut")
    with proxy.raw(tls=proxy.ctx) as c:  # HTTP/1.0: only close_notify tells the end
        c.send(b"GET /cut HTTP/1.0\r\nHost: x\r\n\r\n")
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            while c.sock.recv(1000):
                pass


def test_a_whole_answer_is_one(proxy, origin):
    origin.route("/whole", [b"HTTP/1.1 200 OK\r\n\r\nall of it", lambda x: x.connection.close()])
    with proxy.raw(tls=proxy.ctx) as c:
        c.send(b"GET /whole HTTP/1.0\r\nHost: x\r\n\r\n")
        c.read_until(b"all of it")
        assert c.sock.recv(10) == b""  # close_notify
