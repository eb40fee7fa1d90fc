"""HTTP/1.0 clients: one request, or more where they ask for it; never chunks, never 1xx."""

import threading

import pytest

from lib.origin import Wait, answer, chunk, LAST_CHUNK

CONF = """
upstream main %ORIGIN%
defaults { upstream main }
route GET /hit { scope public; ttl 1m }
"""


@pytest.fixture
def proxy(larder, origin):
    for path in ("/hit", "/pass"):
        origin.route(path, answer(200, b"hello"))
    origin.route("/chunked", answer(200, [b"one", b"two"], chunked=True))
    return larder(CONF, origin=origin.url)


@pytest.mark.parametrize("path", ["/hit", "/hit", "/pass"])
def test_one_request(proxy, path):
    with proxy.raw() as c:
        r = c.request("GET", path, version="1.0")
        assert (r.status, r.body) == (200, b"hello")
        assert r.header("connection") == "close"
        assert c.closed()


@pytest.mark.parametrize("path", ["/hit", "/pass"])
def test_keep_alive(proxy, path):
    with proxy.raw() as c:
        for _ in range(3):
            r = c.request("GET", path, [("Connection", "keep-alive")], version="1.0")
            assert r.body == b"hello"
            assert r.header("connection") == "keep-alive"
        assert c.request("GET", path, version="1.0").body == b"hello"
        assert c.closed()


@pytest.mark.parametrize("fields", [[], [("Connection", "keep-alive")]])
def test_an_unknown_length_ends_with_the_connection(proxy, fields):
    with proxy.raw() as c:
        c.send(b"GET /chunked HTTP/1.0\r\nHost: x\r\n" +
               b"".join(f"{n}: {v}\r\n".encode() for n, v in fields) + b"\r\n")
        raw = c.read_all()
        head, body = raw.split(b"\r\n\r\n", 1)
        assert body == b"onetwo"
        assert b"chunked" not in head.lower() and b"connection: close" in head.lower()


def test_it_is_streamed_all_the_same(proxy, origin):
    go = threading.Event()
    origin.route("/stream", [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                             chunk(b"first"), Wait(go), chunk(b"second"), LAST_CHUNK])
    with proxy.raw() as c:
        c.send(b"GET /stream HTTP/1.0\r\nHost: x\r\n\r\n")
        c.read_until(b"first")
        go.set()
        assert c.read_all() == b"second"


def test_cut_short_it_is_not_a_clean_end(proxy, origin):
    origin.route("/cut", [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                          chunk(b"first"), lambda x: x.connection.reset()])
    with proxy.raw() as c:
        c.send(b"GET /cut HTTP/1.0\r\nHost: x\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            while c.sock.recv(1000):
                pass


def test_without_host(proxy, origin):
    with proxy.raw() as c:
        assert c.request("GET", "/pass", host=None, version="1.0").status == 200
    assert origin.requests[0].header("host") == f"127.0.0.1:{origin.port}"


def test_the_origin_is_asked_in_1_1(proxy, origin):
    with proxy.raw() as c:
        c.request("GET", "/pass", [("Connection", "keep-alive"), ("Keep-Alive", "timeout=5")],
                  version="1.0")
    r = origin.requests[0]
    assert r.version == "HTTP/1.1" and r.header("keep-alive") is None
    assert r.header("via").startswith("1.0 larder")


def test_post_and_head(proxy, origin):
    with proxy.raw() as c:
        keep = [("Connection", "keep-alive")]
        assert c.request("POST", "/up", keep, b"body", version="1.0").status == 200
        r = c.request("HEAD", "/pass", keep, version="1.0")
        assert r.header("content-length") == "5" and r.body == b""
        assert c.request("GET", "/pass", keep, version="1.0").body == b"hello"
    assert origin.seen("/up")[0].body == b"body"


def test_no_interim_answers(proxy, origin):
    origin.route("/hints", [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
                            answer(200, b"done")])
    with proxy.raw() as c:
        r = c.request("GET", "/hints", version="1.0")
        assert r.body == b"done" and r.interim == []


def test_expect_means_nothing(proxy, origin):
    with proxy.raw() as c:
        c.send(b"POST /up HTTP/1.0\r\nHost: x\r\nExpect: 100-continue\r\n"
               b"Content-Length: 4\r\n\r\n")
        assert c.quiet(0.2)
        c.send(b"body")
        r = c.read_response("POST")
        assert r.status == 200 and r.interim == []


def test_chunks_are_refused(proxy, origin):
    with proxy.raw() as c:
        c.send(b"POST /up HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n"
               b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        assert c.read_response("POST").status == 400
        assert c.closed()
    assert origin.count() == 0
