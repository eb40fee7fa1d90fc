"""The harness itself, without Larder: the fake origin, the raw client, ports and tokens."""

import threading
import time

import h11
import jwt
import pytest

from lib.origin import (LAST_CHUNK, Close, Hang, HalfClose, Reset, Sleep, Wait, answer, chunk)
from lib.ports import free_port
from lib.raw import RawClient, Truncated, fetch
from lib.tokens import SECRET, KeyPair, make_jwt, tamper, unsigned_jwt
from lib.wait import eventually


def test_default_answer_is_new_each_time(origin):
    first, second = fetch(origin.port, "GET", "/a"), fetch(origin.port, "GET", "/a")
    assert first.status == second.status == 200
    assert first.body == b"serial 1 /a" and second.body == b"serial 2 /a"
    assert origin.count("/a") == 2 and origin.count("/b") == 0


def test_records_exact_bytes(origin):
    sent = b"POST /x?b=1&a=2 HTTP/1.1\r\nhOsT:  x \r\nContent-Length: 5\r\n\r\nhello"
    with RawClient(origin.port) as c:
        c.send(sent)
        assert c.read_response().status == 200
    request = origin.requests[0]
    assert request.raw == sent
    assert request.headers == [("hOsT", "x"), ("Content-Length", "5")]
    assert (request.method, request.path, request.body) == ("POST", "/x", b"hello")


def test_reads_chunked_request_body(origin):
    body = chunk(b"hello ") + b"3;x=y\r\nabc\r\n" + b"0\r\nT: 1\r\n\r\n"
    with RawClient(origin.port) as c:
        c.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        assert c.read_response().status == 200
        assert c.get("/again").status == 200
    assert origin.requests[0].body == b"hello abc"
    assert origin.requests[0].raw_body == body
    assert len(origin.connections) == 1


def test_expect_continue(origin):
    with RawClient(origin.port) as c:
        c.send(b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert c.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        c.send(b"ok")
        assert c.read_response().status == 200
    assert origin.requests[0].body == b"ok"


def test_script_goes_before_routes(origin):
    origin.route("/r", answer(200, b"route", {"ETag": '"1"'}))
    origin.script(answer(503), answer(200, [b"one", b"two"], chunked=True))
    with RawClient(origin.port) as c:
        assert c.get("/r").status == 503
        assert c.get("/r").body == b"onetwo"
        last = c.get("/r")
    assert last.body == b"route" and last.header("etag") == '"1"'
    assert last.raw.startswith(b"HTTP/1.1 200 Reason\r\nETag: ")


def test_pipelined_answers_are_read_one_by_one(origin):
    with RawClient(origin.port) as c:
        c.send(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\n\r\n")
        assert [c.read_response().body for _ in range(3)] == [
            b"serial 1 /1", b"serial 2 /2", b"serial 3 /3"]
        assert c.quiet()


@pytest.mark.parametrize("end", [Reset(), Close(), HalfClose()])
def test_answer_cut_short(origin, end):
    origin.script([b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b"12345", end])
    with RawClient(origin.port) as c:
        c.send(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(Truncated):
            c.read_response()


def test_waits_for_the_test_and_hangs(origin):
    go = threading.Event()
    origin.script([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk(b"first"),
                   Wait(go), chunk(b"second"), Sleep(0.01), LAST_CHUNK], Hang())
    with RawClient(origin.port) as c:
        c.send(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n")
        assert c.read_until(b"first\r\n").endswith(b"5\r\nfirst\r\n")
        assert c.quiet(0.05)
        go.set()
        assert c.read_until(LAST_CHUNK) == b"6\r\nsecond\r\n0\r\n\r\n"
        with pytest.raises(TimeoutError):
            c.read_response(timeout=0.1)
    assert eventually(lambda: not origin.connections[0].open)


def test_connection_close_and_reset_are_seen(origin):
    with RawClient(origin.port) as c:
        assert c.get("/", {"Connection": "close"}).status == 200
        assert c.closed(2)
    c = RawClient(origin.port)
    c.send(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n12")
    origin.wait_requests(2)
    c.reset()
    assert eventually(lambda: not origin.connections[1].open)
    assert not origin.requests[1].complete


def test_function_as_answer_and_upgrade(origin):
    def echo(exchange):
        exchange.send(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        exchange.send(exchange.connection.recv().upper())
        exchange.run(Close())

    origin.route("/ws", echo, method="GET")
    with RawClient(origin.port) as c:
        c.send(b"GET /ws HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        assert c.read_response(upgrade=True).status == 101
        c.send(b"ping")
        assert c.read_all() == b"PING"


def test_head_has_no_body_and_garbage_is_refused(origin):
    assert fetch(origin.port, "HEAD", "/").body == b""
    origin.script(b"this is not HTTP\r\n\r\n")
    with pytest.raises(h11.RemoteProtocolError):
        fetch(origin.port, "GET", "/")


def test_restart_on_the_same_port(make_origin):
    port = free_port()
    make_origin(port=port).stop()
    with pytest.raises(ConnectionRefusedError):
        RawClient(port)
    again = make_origin(port=port)
    assert fetch(again.port, "GET", "/").status == 200


def test_free_ports_differ():
    assert len({free_port() for _ in range(50)}) == 50


def test_eventually_gives_the_reason():
    with pytest.raises(AssertionError, match="never: not within 0.05 s; last value: 0"):
        eventually(lambda: 0, timeout=0.05, what="never")


def test_tokens():
    token = make_jwt({"sub": "u1"}, organizationId="org-1")
    claims = jwt.decode(token, SECRET, algorithms=["HS256"])
    assert claims["organizationId"] == "org-1" and claims["exp"] > time.time()
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(tamper(token, organizationId="org-2"), SECRET, algorithms=["HS256"])
    with pytest.raises(jwt.InvalidTokenError):
        jwt.decode(unsigned_jwt({"sub": "u1"}), SECRET, algorithms=["HS256"])
    with pytest.raises(jwt.ExpiredSignatureError):
        jwt.decode(make_jwt(expires_in=-5), SECRET, algorithms=["HS256"])
    for kind, alg in (("RSA", "RS256"), ("RSA", "PS256"), ("EC", "ES256"), ("Ed25519", "EdDSA")):
        pair = KeyPair(kind)
        assert jwt.decode(pair.sign({"sub": "x"}, alg), pair.pem, algorithms=[alg])["sub"] == "x"


def test_tls_origin(make_origin, tmp_path):
    from lib.certs import Authority
    ca = Authority(tmp_path)
    origin = make_origin(tls=ca.server_context("localhost", "127.0.0.1"))
    assert origin.url.startswith("https://")
    with RawClient(origin.port, tls=ca.client_context(), server_name="localhost") as c:
        assert c.get("/").status == 200
