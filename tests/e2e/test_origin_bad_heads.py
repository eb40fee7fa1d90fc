"""Malformed heads of origins: 502, nothing stored, the connection never used again."""

import pytest

from lib.origin import Close

CONF = """
workers 1
limits header_bytes=8kb header_line=2kb header_count=30
upstream main %ORIGIN%
defaults { upstream main; retry 0; timeout first_byte=2s idle=2s }
route GET /hit/{n} { scope public; ttl 1m }
"""
OK = b"HTTP/1.1 200 OK\r\n"
END = b"Content-Length: 5\r\n\r\nhello"
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"


def field(line, rest=END):
    return OK + line + b"\r\n" + rest


STATUS_LINES = [
    b"", b"garbage", b"HTTP/1.1", b"HTTP/1.1 ", b"HTTP/1.1 20", b"HTTP/1.1 20x OK",
    b"HTTP/1.1 2000 OK", b"HTTP/1.1  200 OK", b"HTTP/1.1\t200 OK", b"HTTP/1.1 099 OK",
    b"HTTP/1.1 -20 OK", b"HTTP/2.0 200 OK", b"HTTP/1.2 200 OK", b"HTTP/0.9 200 OK",
    b"http/1.1 200 OK", b"HTTP/1.1 200 O\x00K", b"HTTP/1.1 200 O\x01K", b"ICY 200 OK",
    b" HTTP/1.1 200 OK", b"HTTP/1.1 200 OK\rX", b"HTTP/11 200 OK", b"HTTP/1.1200 OK",
]
LENGTHS = [b"", b" ", b"x", b"+5", b"-5", b"-0", b"0x5", b"5_0", b"1e1", b"5 5", b"5,5", b"5, 5",
           b"5;q=1", b"\"5\"", b"5.0", b"99999999999999999999", b"9223372036854775808", b"\x0b5"]
CODINGS = [b"", b"gzip", b"gzip, chunked", b"chunked, gzip", b"chunked, chunked", b"identity",
           b",chunked", b"chunked,", b"chunked;q=1", b"\"chunked\"", b"xchunked", b"\x0bchunked"]

BAD = {f"status line {line!r}": line + b"\r\n" + END for line in STATUS_LINES}
BAD |= {f"Content-Length {v!r}": field(b"Content-Length: " + v, b"\r\nhello") for v in LENGTHS}
BAD |= {f"Transfer-Encoding {v!r}": field(b"Transfer-Encoding: " + v, b"\r\n" + CHUNKS)
        for v in CODINGS}
BAD |= {
    "two lengths, the same": field(b"Content-Length: 5"),
    "two lengths": field(b"Content-Length: 6"),
    "length and chunks": field(b"Transfer-Encoding: chunked"),
    "chunks and length": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    "two codings": field(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                         b"\r\n" + CHUNKS),
    "chunks in 1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    "fold": field(b"X-A: 1\r\n 2"),
    "fold of the first": field(b" X-A: 1"),
    "fold in the length": field(b"Content-Length:\r\n 5", b"\r\nhello"),
    "space before the colon": field(b"X-A : 1"),
    "space before the colon of the length": OK + b"Content-Length : 5\r\n\r\nhello",
    "no name": field(b": 1"),
    "no colon": field(b"X-A"),
    "space in a name": field(b"X A: 1"),
    "NUL in a name": field(b"X\0A: 1"),
    "NUL in a value": field(b"X-A: 1\x002"),
    "control byte in a value": field(b"X-A: 1\x082"),
    "8-bit name": field(b"X-\xe4: 1"),
    "bare LF in the status line": b"HTTP/1.1 200 OK\n" + END,
    "bare LF in a field": field(b"X-A: 1\nX-B: 2"),
    "bare LF at the end": OK + b"Content-Length: 5\r\n\nhello",
    "bare CR in a value": field(b"X-A: 1\rX-B: 2"),
    "CR CR LF": field(b"X-A: 1\r"),
    "one field too long": field(b"X-A: " + b"a" * 2100),
    "a head too long": field(b"\r\n".join(b"X-%d: " % i + b"a" * 900 for i in range(10))),
    "too many fields": field(b"\r\n".join(b"X-%d: 1" % i for i in range(40))),
    "101 without asking": b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\n"
                          b"Upgrade: websocket\r\n\r\n",
    "an empty line first": b"\r\n" + OK + END,
    "only an end": [b"", Close()],
    "half a head": [OK + b"Content-Le", Close()],
    "no empty line": [OK + b"Content-Length: 5\r\n", Close()],
    "an endless status line": b"H" * 20000,
    "an endless head": OK + b"X-A: 1\r\n" * 2000,
}


def test_there_are_enough():
    assert len(BAD) >= 60


@pytest.mark.parametrize("prefix", ["/hit", "/pass"])
def test_each(larder, origin, prefix):
    proxy = larder(CONF, origin=origin.url)
    problems = []
    for i, (name, bad) in enumerate(BAD.items()):
        path = f"{prefix}/{i}"
        # Whoever believes it would find this behind it, and answer the next request with it.
        steps = (bad if isinstance(bad, list) else [bad]) + [b"HTTP/1.1 200 OK\r\n"
                                                             b"Content-Length: 6\r\n\r\npoison"]
        origin.route(path, steps)
        connections = len(origin.connections)
        with proxy.raw(timeout=3) as c:
            r = c.get(path)
            if r.status != 502 or r.json()["status"] != 502:
                problems.append(f"{name}: {r}")
            if r.header("connection") is not None:
                problems.append(f"{name}: the client is sent away: {r}")
            elif c.get(f"/after/{i}").body != b"serial %d /after/%d" % (i + 1, i):
                problems.append(f"{name}: the next answer is not clean")
        if len(origin.connections) != connections + origin.count(path) and i:
            problems.append(f"{name}: {len(origin.connections) - connections} connections")
        # A connection that ends before a byte of the answer may have ended before the request.
        if origin.count(path) != (2 if name == "only an end" else 1):
            problems.append(f"{name}: asked {origin.count(path)} times")
        origin.route(path, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
        if proxy.get(path).body != b"good":
            problems.append(f"{name}: something was stored")
    assert not problems, "\n".join(problems)


def test_it_is_logged_without_a_flood(larder, origin):
    origin.route("/pass", field(b"Content-Length: 6"))
    proxy = larder(CONF, origin=origin.url)
    for _ in range(50):
        assert proxy.get("/pass").status == 502
    lines = [line for line in proxy.stderr().splitlines() if "bad answer" in line]
    assert 1 <= len(lines) <= 5 and origin.url in lines[0]
    log = proxy.access_log(50)
    assert {(r["status"], r["reason"]) for r in log} == {(502, "bad-answer")}


def test_odd_but_fine(larder, origin):
    """What is unusual and clear is passed on."""
    fine = {
        "no reason": b"HTTP/1.1 200 \r\n" + END,
        "no space either": b"HTTP/1.1 200\r\n" + END,
        "8-bit reason": b"HTTP/1.1 200 Gr\xfc\xdfe\r\n" + END,
        "unknown status": b"HTTP/1.1 299 Strange\r\n" + END,
        "empty value": field(b"X-A:"),
        "tabs": field(b"X-A:\t1\t"),
        "leading zeros": field(b"Content-Length: 0005", b"\r\nhello"),
        "names in capitals": OK + b"CONTENT-LENGTH: 5\r\n\r\nhello",
        "coding in capitals": field(b"Transfer-Encoding: CHUNKED", b"\r\n" + CHUNKS),
        "repeated fields": field(b"X-A: 1\r\nX-A: 2"),
    }
    proxy = larder(CONF, origin=origin.url)
    for i, (name, good) in enumerate(fine.items()):
        origin.route(f"/pass/{i}", good)
        r = proxy.get(f"/pass/{i}")
        assert r.status in (200, 299) and r.body == b"hello", name
    assert len(origin.connections) == 1
