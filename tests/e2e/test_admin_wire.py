"""What comes to the admin address and is no good HTTP: each gets a JSON problem (RFC 9457), and the
connection ends where nobody can know any more where the next request begins."""

import json
import os
import socket
import time

import pytest

from lib.admin import TOKEN, Admin, is_problem
from lib.ports import free_port
from lib.raw import RawClient
from lib.wait import eventually

CONF = """
upstream main http://127.0.0.1:1
defaults { upstream main }
type thing { ttl 1m }
route GET /a { scope public; type thing }
"""
BODY_MAX = 256 * 1024
AUTH = f"Authorization: Bearer {TOKEN}\r\n".encode()
HOST = b"Host: localhost\r\n"
POST = b"POST /invalidate-pattern HTTP/1.1\r\n" + HOST + AUTH + b"Content-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def dials(tmp_path_factory):
    """Two planes: one on TCP, one on a Unix socket; how to get a connection to each."""
    from lib.larder import Larder
    folder = tmp_path_factory.mktemp("wire")
    port, path = free_port(), str(folder / "admin.sock")
    made = [Larder(folder, f"admin 127.0.0.1:{port} token={TOKEN}\n" + CONF),
            Larder(folder, f"admin unix:{path} token={TOKEN}\n" + CONF, name="unix")]
    eventually(Admin(port).accepts, 15, "the admin address is listened on")
    eventually(lambda: os.path.exists(path), 15, "the admin socket is there")
    yield {"tcp": lambda **kw: RawClient(port, **kw), "unix": lambda **kw: RawClient(0, unix=path, **kw)}
    for proxy in made:
        proxy.finish()


@pytest.fixture(params=["tcp", "unix"])
def dial(request, dials):
    return dials[request.param]


def get(*lines, version=b"1.1", target=b"/nowhere", method=b"GET", host=HOST):
    return (method + b" " + target + b" HTTP/" + version + b"\r\n" + host + AUTH
            + b"".join(line + b"\r\n" for line in lines) + b"\r\n")


# name: (bytes, status)
LOST = {
    "garbage": (b"\x00\x01\x02\x03\r\n\r\n", 400),
    "garbage without an end": (b"\xff\xfe\xfd", 400),
    "a TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "one word": (b"GET\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /livez\r\n\r\n", 400),
    "three spaces": (b"GET  /livez HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a space in the target": (b"GET /li vez HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "no target": (b"GET HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "lower-case protocol": (b"GET /livez http/1.1\r\n" + HOST + b"\r\n", 400),
    "HTTP/3.0": (get(version=b"3.0"), 505),
    "HTTP/2.0": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/1.2": (get(version=b"1.2"), 505),
    "HTTP/9.9": (get(version=b"9.9"), 505),
    "an unknown method": (get(method=b"FETCH"), 501),
    "a method in lower case": (get(method=b"get"), 501),
    "a long method": (get(method=b"A" * 300), 501),
    "CONNECT": (b"CONNECT localhost:80 HTTP/1.1\r\n" + HOST + AUTH + b"\r\n", 501),
    "a long target": (get(target=b"/" + b"a" * 9000), 414),
    "a target without an end": (b"GET /" + b"a" * 60000, 414),
    "a long field": (get(b"X: " + b"a" * 20000), 431),
    "a field without an end": (b"GET / HTTP/1.1\r\nX: " + b"a" * 60000, 431),
    "many fields": (get(*[b"X: 1"] * 200), 431),
    "a large head": (get(*[b"X: " + b"a" * 7000] * 8), 431),
    "a bare LF": (b"GET /livez HTTP/1.1\n" + HOST + b"\r\n", 400),
    "a bare CR": (get(b"X: a\rb"), 400),
    "a NUL in a value": (get(b"X: a\x00b"), 400),
    "a NUL in the target": (get(target=b"/a\x00"), 400),
    "a folded line": (get(b"X: a", b" b"), 400),
    "a space before the colon": (get(b"X : a"), 400),
    "a field without a name": (get(b": a"), 400),
    "a line without a colon": (get(b"hello"), 400),
    "no Host": (get(host=b""), 400),
    "two Hosts": (get(host=HOST + HOST), 400),
    "an underscore for a dash": (get(b"Content_Length: 5"), 400),
    "two tokens": (get(AUTH[:-2]), 400),
    "length and chunked": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "two lengths": (POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400),
    "a list of lengths": (POST + b"Content-Length: 2, 2\r\n\r\n{}", 400),
    "a signed length": (POST + b"Content-Length: +2\r\n\r\n{}", 400),
    "a negative length": (POST + b"Content-Length: -2\r\n\r\n{}", 400),
    "a hex length": (POST + b"Content-Length: 0x2\r\n\r\n{}", 400),
    "a huge length": (POST + b"Content-Length: 99999999999999999999999\r\n\r\n{}", 400),
    "another coding": (POST + b"Transfer-Encoding: gzip\r\n\r\n", 501),
    "two codings": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "chunked in HTTP/1.0": (CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n", 400),
    "a bad chunk size": (CHUNKED + b"zz\r\n", 400),
    "a chunk size with 0x": (CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n", 400),
    "a chunk that is longer than it says": (CHUNKED + b"1\r\n{}\r\n0\r\n\r\n", 400),
    "a chunk line with a bare LF": (CHUNKED + b"2\n{}\r\n0\r\n\r\n", 400),
    "another expectation": (POST + b"Content-Length: 2\r\nExpect: a-miracle\r\n\r\n", 417),
    "a length that is too much": (POST + b"Content-Length: %d\r\n\r\n" % (BODY_MAX + 1), 413),
    "the same, expecting": (POST + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % (1 << 30), 413),
}


@pytest.mark.parametrize("case", LOST)
def test_framing_is_lost(dial, case):
    data, status = LOST[case]
    with dial() as c:
        c.send(data)
        r = c.read_response()
        assert is_problem(r, status)["title"] != "Error"
        assert r.header("connection") == "close"
        assert r.interim == []
        assert c.closed()


# What is framed well but refused leaves the connection for the next request.
KEPT = {
    "TRACE": (get(method=b"TRACE", target=b"/livez"), 405),
    "a method that others have": (get(method=b"PROPFIND", target=b"/livez"), 405),
    "PATCH": (get(method=b"PATCH", target=b"/livez"), 405),
    "OPTIONS": (get(method=b"OPTIONS", target=b"/livez"), 405),
    "OPTIONS *": (get(method=b"OPTIONS", target=b"*"), 400),
    "an absolute target": (get(target=b"http://localhost/livez"), 400),
    "an unknown path": (get(), 404),
    "a body where there is none": (POST.replace(b"/invalidate-pattern", b"/nowhere")
                                   + b"Content-Length: 2\r\n\r\n{}", 404),
    "a body that the row does not take": (POST + b"Content-Length: 5000\r\n\r\n" + b"x" * 5000, 413),
    "the same in chunks": (CHUNKED + b"1388\r\n" + b"x" * 5000 + b"\r\n0\r\n\r\n", 413),
    "no JSON": (CHUNKED + b"2\r\n{x\r\n0\r\n\r\n", 400),
    "an empty line before": (b"\r\n" + get(), 404),
    "one tab for the space": (get(b"X:\ta"), 404),
}


@pytest.mark.parametrize("case", KEPT)
def test_framing_is_kept(dial, case):
    data, status = KEPT[case]
    with dial() as c:
        c.send(data)
        r = c.read_response()
        is_problem(r, status)
        assert r.header("connection") != "close"
        if status == 405:
            assert r.header("allow") == "GET, HEAD"
        assert c.get("/livez").body == b"ok\n"


def test_a_body_in_pieces(dial):
    """Chunks with extensions and trailers, a byte at a time."""
    data = CHUNKED + b'6;a="b;c"\r\n{"patt\r\nC\r\nern":"a:*" }\r\n0\r\nX: y\r\n\r\n'
    with dial() as c:
        for at in range(len(data)):
            c.send(data[at:at + 1])
        assert c.read_response().json()["cleared"] == "a:*"
        assert c.get("/livez").status == 200


def test_a_body_that_is_too_large_in_chunks(dial):
    """Refused as soon as it is too much; the sender reads the answer although it is not done."""
    with dial() as c:
        c.send(CHUNKED)
        chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
        try:
            for _ in range(64):
                c.send(chunk)
        except OSError:
            pass
        r = c.read_response()
        is_problem(r, 413)
        assert r.header("connection") == "close"


def test_a_body_that_is_too_large_at_once(dial):
    for size in (BODY_MAX + 1, 4 << 20):
        with dial() as c:
            try:
                c.send(POST + b"Content-Length: %d\r\n\r\n" % size + b"x" * size)
            except OSError:
                pass
            r = c.read_response()
            is_problem(r, 413)
            assert r.header("connection") == "close"


def test_the_largest_body_that_is_read(dial):
    with dial() as c:
        c.send(POST + b"Content-Length: %d\r\n\r\n" % BODY_MAX + b"x" * BODY_MAX)
        is_problem(c.read_response(), 413)  # of the row
        assert c.get("/livez").status == 200


def test_expect_continue(dial):
    body = b'{"pattern":"a:*"}'
    with dial() as c:
        c.send(POST + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(body))
        assert c.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        c.send(body)
        r = c.read_response()
        assert (r.status, r.json()["cleared"], r.interim) == (200, "a:*", [])
        # Who does not wait is not told to go on.
        c.send(POST + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(body) + body)
        r = c.read_response()
        assert (r.status, r.interim) == (200, [])


def test_pipelined_requests_are_answered_in_order(dial):
    with dial() as c:
        many = [get(target=b"/livez"), get(), POST + b"Content-Length: 2\r\n\r\n{}", get(target=b"/livez"),
                get(method=b"HEAD", target=b"/livez"), CHUNKED + b"0\r\n\r\n", get(target=b"/livez")]
        c.send(b"".join(many * 5) + b"BAD\r\n\r\n" + get(target=b"/livez"))
        for _ in range(5):
            assert [c.read_response(m).status for m in ("GET", "GET", "POST", "GET", "HEAD", "POST", "GET")] \
                == [200, 404, 400, 200, 200, 400, 200]
        r = c.read_response()
        is_problem(r, 400)
        assert r.header("connection") == "close"
        assert c.closed()


def test_much_that_is_pipelined(dial):
    """More than the plane keeps: it stops reading until it has answered."""
    one = get(b"X: " + b"a" * 4000, target=b"/livez")
    n = 500
    with dial(timeout=30) as c:
        c.sock.setblocking(False)
        left, got = memoryview(one * n), 0
        end = time.monotonic() + 30
        data = b""
        while got < n and time.monotonic() < end:
            try:
                left = left[c.sock.send(left):] if left else left
            except BlockingIOError:
                pass
            try:
                data += c.sock.recv(65536)
            except BlockingIOError:
                time.sleep(0.001)
            got += data.count(b"ok\n")
            data = data[data.rfind(b"ok\n") + 3:] if b"ok\n" in data else data
        assert got == n


def test_a_request_in_small_pieces(dial):
    with dial() as c:
        for byte in get(target=b"/livez"):
            c.send(bytes([byte]))
        assert c.read_response().body == b"ok\n"


def test_head_of_everything(dial):
    with dial() as c:
        for target in ("/livez", "/nowhere", "/stats"):
            r = c.request("HEAD", target, [("Authorization", f"Bearer {TOKEN}")])
            assert r.body == b"" and int(r.header("content-length")) > 0, target
        assert c.get("/livez").body == b"ok\n"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_connections_end_when_asked(dial, version):
    with dial() as c:
        c.send(f"GET /livez HTTP/{version}\r\nHost: localhost\r\n".encode()
               + (b"Connection: close\r\n" if version == "1.1" else b"") + b"\r\n")
        assert c.read_response().body == b"ok\n"
        assert c.closed()


def test_a_client_that_is_done_with_sending(dial):
    for data, status in ((get(target=b"/livez"), 200), (get(target=b"/stats"), 200), (b"BAD\r\n\r\n", 400)):
        with dial() as c:
            c.send(data)
            c.half_close()
            assert c.read_response().status == status


def test_what_is_cut_short_is_not_answered(dial):
    for data in (b"GET /livez HT", POST + b"Content-Length: 9\r\n\r\n{}", CHUNKED + b"5\r\n{"):
        with dial() as c:
            c.send(data)
            c.half_close()
            assert c.closed()


def test_a_problem_is_what_the_rfc_says(dial):
    with dial() as c:
        c.send(b"BAD\r\n\r\n")
        r = c.read_response()
    problem = json.loads(r.raw.split(b"\r\n\r\n", 1)[1])
    assert set(problem) == {"type", "title", "status", "detail"}
    assert (problem["type"], problem["title"], problem["status"]) == ("about:blank", "Bad Request", 400)
    assert b"<" not in r.raw


def test_resets_leave_nothing_behind(dial):
    for data in (b"", b"GET /li", b"BAD\r\n\r\n", get(target=b"/stats"), CHUNKED + b"5\r\n{"):
        for _ in range(5):
            c = dial()
            c.send(data)
            if c.sock.family == socket.AF_INET:
                c.reset()
            else:
                c.close()
    with dial() as c:
        assert c.get("/livez").status == 200
