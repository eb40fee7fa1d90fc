"""The request vectors of tests/vectors/, sent byte for byte through the proxy to the fake origin.

What each `expected` means here:
  R400             4xx, 501 or 505, the connection is closed, the origin saw not one byte. A body
                   that turns out malformed while it is streamed: never a complete request.
  OK, OKn          that many answers, and as many requests at the origin, in canonical form: the
                   bytes that two parsers (the fake origin's and h11) read in the same way.
  R400-or-drained  refused, or answered once; what follows the answer is never the body's text.
  R417-or-400      as R400, with one of these.
  no-tunnel        what follows is a request of its own or refused; never passed on as it is.
The unit test of the same name runs them through the parser alone, by every prefix.
"""

import os
import re

import h11
import pytest

from lib.larder import REPO
from lib.raw import Truncated
from lib.wait import eventually

CONF = """
upstream main %ORIGIN%
workers 1
route GET /cached { key c; scope public; ttl 60s }
"""

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|.)")
FIELD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[ ][^\x00-\x08\x0a-\x1f\x7f]*")
HOP_BY_HOP = {"keep-alive", "proxy-connection", "te", "trailer", "upgrade", "http2-settings",
              "proxy-authorization", "expect"}


class Vector:
    def __init__(self, line):
        self.id, self.group, self.expected, text = line.split("\t")
        known = {"r": "\r", "n": "\n", "t": "\t", "\\": "\\"}
        self.bytes = ESCAPE.sub(
            lambda m: chr(int(m[1][1:], 16)) if m[1][0] == "x" else known[m[1]],
            text).encode("latin-1")
        self.method = "HEAD" if self.bytes.startswith(b"HEAD ") else "GET"
        # A good head, and a body that breaks: the head may be at the origin before it does.
        self.streamed = self.group == "chunk" and self.expected == "R400"


def load():
    vectors = []
    for name in ("requests.tsv", "own.tsv"):
        with open(os.path.join(REPO, "tests", "vectors", name), encoding="ascii") as f:
            vectors += [Vector(line.rstrip("\n")) for line in f
                        if not line.startswith(("#", "id\t"))]
    return vectors


VECTORS = load()
GROUPS = sorted({v.group for v in VECTORS})


def test_every_class_is_there():
    assert len(VECTORS) > 400
    assert {v.expected for v in VECTORS} == {"R400", "OK", "OK2", "OK3", "R400-or-drained",
                                             "R417-or-400", "no-tunnel"}


# ---- sending


def send_whole(client, data):
    client.send(data)


def send_bytewise(client, data):
    for i in range(len(data)):
        client.send(data[i:i + 1])


class Run:
    """One vector on a connection of its own, and what it did to the origin."""

    def __init__(self, proxy, origin, vector, send):
        self.origin = origin
        self.vector = vector
        self.requests_before = origin.count()
        self.bytes_before = self._bytes()
        self.client = proxy.raw(timeout=5)
        try:
            send(self.client, vector.bytes)
        except OSError:
            pass  # refused and closed before we were done; the answer is read all the same

    def _bytes(self):
        return sum(len(c.received) for c in self.origin.connections)

    def answer(self):
        return self.client.read_response(self.vector.method)

    def new_bytes(self):
        return self._bytes() - self.bytes_before

    def new_requests(self):
        return self.origin.seen()[self.requests_before:]


# ---- judging


def assert_refused(run, statuses=None):
    answer = run.answer()
    allowed = statuses or [*range(400, 500), 501, 505]
    assert answer.status in allowed, f"answered {answer.status}"
    assert (answer.header("connection") or "").lower() == "close", "no Connection: close"
    assert run.client.closed(), "the connection stays open"
    if not run.vector.streamed:
        assert run.new_bytes() == 0, "the origin saw something"


def assert_canonical(request):
    """Canonical bytes, read by h11 as the fake origin reads them."""
    assert request.complete
    raw = request.raw_head
    assert raw.endswith(b"\r\n\r\n") and b"\0" not in raw
    line, *fields = raw[:-4].split(b"\r\n")
    assert re.fullmatch(rb"[A-Z-]+ [!-~]+ HTTP/1\.1", line), line
    for field in fields:
        assert FIELD.fullmatch(field), field
    names = [n.lower() for n, _ in request.headers]
    assert names.count("host") == 1
    assert names.count("content-length") + names.count("transfer-encoding") <= 1
    assert not HOP_BY_HOP & set(names), names
    assert request.header("transfer-encoding") in (None, "chunked")
    length = request.header("content-length")
    assert length is None or length == str(len(request.body))

    server = h11.Connection(h11.SERVER)
    server.receive_data(request.raw)
    head = server.next_event()
    assert isinstance(head, h11.Request)
    assert head.method.decode() == request.method
    assert head.target.decode() == request.target
    assert [(n.decode("latin-1"), v.decode("latin-1")) for n, v in head.headers.raw_items()] \
        == request.headers
    body = b""
    while isinstance(event := server.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert not event.headers, "trailers were passed on"
    assert body == request.body
    assert server.trailing_data[0] == b""


def meant(data):
    """(method, body) of the requests in the client's bytes, as h11 reads them; it is laxer."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(data.removeprefix(b"\r\n"))
    head, body = server.next_event(), b""
    while isinstance(event := server.next_event(), h11.Data):
        body += event.data
    return head.method.decode(), body


def judge_ok(run, n):
    for _ in range(n):
        assert run.answer().status == 200
    requests = run.new_requests()
    assert len(requests) == n, requests
    for request in requests:
        eventually(lambda r=request: r.complete, 5, "the request's body at the origin")
        assert_canonical(request)
    if n == 1:
        assert (requests[0].method, requests[0].body) == meant(run.vector.bytes)
    assert run.new_bytes() == sum(len(r.raw) for r in requests), "more than the requests"


def judge_drained(run):
    answer = run.answer()
    if answer.status >= 400:
        assert answer.status < 500 or answer.status in (501, 505)
        assert run.client.closed(), "refused, but the connection stays open"
        assert run.new_bytes() == 0
        return
    try:
        again = run.client.get("/probe", host="a")
        assert again.status == 200 and b"/probe" in again.body, "another answer than the probe's"
    except (Truncated, OSError):
        pass  # closed after the answer: as good
    assert "/smuggled" not in [r.target for r in run.new_requests()]


def judge_no_tunnel(run):
    seen = []
    try:
        while True:
            seen.append(run.answer().status)
            if len(seen) == 2:
                break
    except (Truncated, TimeoutError, OSError):
        pass
    assert seen and 101 not in seen, f"answers {seen}"
    assert not any(SMUGGLED in c.received for c in run.origin.connections), "passed on raw"
    for request in run.new_requests():
        assert_canonical(request)


def judge(run):
    expected = run.vector.expected
    if expected == "R400":
        assert_refused(run)
    elif expected == "R417-or-400":
        assert_refused(run, (400, 417))
    elif expected == "R400-or-drained":
        judge_drained(run)
    elif expected == "no-tunnel":
        judge_no_tunnel(run)
    else:
        judge_ok(run, int(expected[2:] or "1"))


def run_all(proxy, origin, vectors, send):
    failures = []
    for vector in vectors:
        run = Run(proxy, origin, vector, send)
        try:
            with run.client:
                judge(run)
        except (AssertionError, Truncated, OSError, h11.RemoteProtocolError) as e:
            failures.append(f"{vector.id} ({vector.group}, {vector.expected}): "
                            f"{type(e).__name__}: {e}\n    {vector.bytes[:300]!r}")
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("group", GROUPS)
def test_whole(larder, origin, group):
    proxy = larder(CONF, origin=origin.url)
    proxy.get("/cached", [("Host", "a")])  # so that these vectors meet a hit
    vectors = [v for v in VECTORS if v.group == group and not v.streamed]
    assert vectors
    run_all(proxy, origin, vectors, send_whole)


@pytest.mark.parametrize("part", range(4))
def test_byte_by_byte(larder, origin, part):
    sample = [v for v in VECTORS if len(v.bytes) < 600 and not v.streamed][::3]
    assert len(sample) > 100
    proxy = larder(CONF, origin=origin.url)
    proxy.get("/cached", [("Host", "a")])
    run_all(proxy, origin, sample[part::4], send_bytewise)


@pytest.mark.parametrize("send", [send_whole, send_bytewise])
def test_broken_bodies(larder, origin, send):
    vectors = [v for v in VECTORS if v.streamed]
    assert len(vectors) > 60
    run_all(larder(CONF, origin=origin.url), origin, vectors, send)
    eventually(lambda: not any(c.open for c in origin.connections), 5,
               "every connection given up")
    assert not any(r.complete for r in origin.seen()), "a complete request at the origin"
    assert {r.target for r in origin.seen()} <= {"/p"}
