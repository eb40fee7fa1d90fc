"""Each limit has its status, as problem+json that names the request."""

import json
import re
import threading

import pytest

from lib.origin import Hang, Wait
from lib.ports import free_port
from lib.raw import encode_request
from lib.wait import eventually

CONF = """
limits header_bytes=4kb header_line=1kb header_count=20 target_length=200b head=1s body=1s
limits query_params=5
upstream main %ORIGIN%
upstream dead http://127.0.0.1:%DEAD%
upstream ill %ORIGIN% health=/health health_interval=100ms
defaults { upstream main; retry 0; max_body 1kb; timeout first_byte=1s }
route GET /dead { upstream dead }
route GET /ill { upstream ill }
route POST /big { max_body off }
route GET /cached { scope public; ttl 1m }
"""


@pytest.fixture
def proxy(larder, origin):
    origin.route("/hang", Hang())
    origin.route("/bad", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")
    origin.route("/health", b"HTTP/1.1 500 Ill\r\nContent-Length: 0\r\n\r\n")
    return larder(CONF, origin=origin.url, dead=free_port())


def get(path, *fields):
    return encode_request("GET", path, fields)


CASES = {
    "head too slow": (408, b"GET / HT"),
    "body too slow": (408, b"POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n123"),
    "length over max_body": (413, encode_request("POST", "/up", body=b"x" * 1025)),
    "chunks over max_body": (413, encode_request(
        "POST", "/up", [("Transfer-Encoding", "chunked")], b"401\r\n" + b"x" * 1025 + b"\r\n")),
    "target": (414, get("/" + "t" * 200)),
    "target that does not end": (414, b"GET /" + b"t" * 300),
    "one field": (431, get("/", ("X-A", "a" * 1024))),
    "field that does not end": (431, b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 1100),
    "number of fields": (431, get("/", *[(f"X-{i}", "a") for i in range(20)])),
    "all fields": (431, get("/", *[(f"X-{i}", "a" * 900) for i in range(5)])),
    "no connection": (502, get("/dead")),
    "bad answer": (502, get("/bad")),
    "no answer": (504, get("/hang")),
    "parameters": (400, get("/cached?" + "&".join(f"p{i}=1" for i in range(6)))),
    "malformed": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "method": (405, encode_request("TRACE", "/")),
    "expectation": (417, get("/", ("Expect", "the best"))),
    "coding": (501, b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
    "version": (505, b"GET / HTTP/1.2\r\nHost: x\r\n\r\n"),
}


def is_problem(r, status):
    assert r.status == status
    assert r.header("content-type") == "application/problem+json"
    assert r.header("cache-control") == "no-store"
    assert r.header("date")
    problem = json.loads(r.body)
    assert problem["status"] == status and problem["title"] and problem["type"] == "about:blank"
    assert re.fullmatch(r"urn:request:[0-9a-f]{16}", problem["instance"])
    assert r.header("x-cache") is None
    return problem["instance"].rsplit(":", 1)[1]


@pytest.mark.parametrize("case", CASES)
def test_status(proxy, origin, case):
    status, request = CASES[case]
    with proxy.raw() as c:
        c.send(request)
        r = c.read_response()
        request_id = is_problem(r, status)
        for secret in (str(origin.port), "127.0.0.1", "Content-Length", "fetch"):
            assert secret not in r.text
        if status >= 500 and status < 505 and status != 501:
            assert c.get("/after").status == 200  # the client did nothing wrong
        else:
            assert r.header("connection") == "close" and c.closed(3)
    log = proxy.access_log(1)[0]
    assert (log["id"], log["status"]) == (request_id, status)


def test_within_the_limits(proxy):
    fields = [(f"X-{i}", "a" * 100) for i in range(18)]
    with proxy.raw() as c:
        assert c.get("/" + "t" * 190, fields).status == 200
        assert c.get("/", [("X-A", "a" * 1000)]).status == 200
        assert c.request("POST", "/up", body=b"x" * 1024).status == 200
        chunks = b"200\r\n" + b"x" * 512 + b"\r\n"
        assert c.request("POST", "/up", [("Transfer-Encoding", "chunked")],
                         chunks * 2 + b"0\r\n\r\n").status == 200
        assert c.request("POST", "/big", body=b"x" * 100_000).status == 200


def test_nobody_to_ask(proxy):
    eventually(lambda: proxy.get("/ill").status == 503)
    r = proxy.get("/ill")
    is_problem(r, 503)
    assert r.header("retry-after") == "1"


def test_too_many_connections(larder, origin):
    proxy = larder("limits connections=1\n" + CONF, origin=origin.url, dead=free_port())
    eventually(lambda: proxy.clients() == 0)
    with proxy.raw() as first:
        assert first.get("/a").status == 200
        with proxy.raw() as c:
            r = c.get("/a")
            is_problem(r, 503)
            assert r.header("retry-after") == "1" and r.header("connection") == "close"
            other = json.loads(r.body)["instance"]
        with proxy.raw() as c:
            assert json.loads(c.get("/a").body)["instance"] != other


def test_head_has_no_body(proxy):
    with proxy.raw() as c:
        r = c.request("HEAD", "/dead")
        assert (r.status, r.body) == (502, b"") and int(r.header("content-length")) > 0
        assert c.get("/after").status == 200


def test_timeout_of_the_whole(larder, origin):
    go = threading.Event()
    origin.route("/long", [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123", Wait(go)])
    origin.route("/silent", Wait(go))
    proxy = larder("upstream main %ORIGIN%\ndefaults { upstream main; timeout total=1s }",
                   origin=origin.url)
    is_problem(proxy.get("/silent"), 504)
    with proxy.raw() as c:
        c.send(get("/long"))
        assert c.read_all(3).endswith(b"\r\n\r\n123")
