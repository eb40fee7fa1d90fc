"""Bodies that break after the answer has begun: the client sees that it is cut short."""

import threading

import pytest

from lib.origin import Close, Hang, Reset, Wait, answer
from lib.raw import Truncated

CONF = """
workers 1
upstream main %ORIGIN%
defaults { upstream main; retry 0; timeout first_byte=2s idle=500ms }
route GET /hit/{n} { scope public; ttl 1m }
"""
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SOME = b"3\r\nabc\r\n"  # so that the head is out before the fault
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"

SIZES = [b"", b"x", b"g", b"0x5", b"+5", b"-5", b"5_", b" 5", b"5 ", b"\t5", b"5\t", b"5.", b"\"5\"",
         b"FFFFFFFFFFFFFFFF", b"8000000000000000", b"10000000000000005", b"00000000000000005",
         b"5\x00", b"5;\x00", b"5;a\nb", b"5;" + b"e" * 300, b"5\rX", b"5;a=\"b", b";ext"]
TRAILERS = [b"X-A\r\n", b" X-A: 1\r\n", b": 1\r\n", b"X A: 1\r\n", b"X-A: \x00\r\n", b"X-A: 1\n",
            b"X-A: 1\rX\r\n", b"X-A: " + b"a" * 9000 + b"\r\n", b"X-A : 1\r\n", b"\n"]

# What comes at first, until the client has seen it, and what comes then.
CHUNKS = HEAD + SOME
BAD = {f"chunk size {size!r:.30}": (CHUNKS, size + b"\r\nhello\r\n0\r\n\r\n") for size in SIZES}
BAD |= {f"trailer {t!r:.20}": (CHUNKS, b"0\r\n" + t + b"\r\n") for t in TRAILERS}
BAD |= {
    "bytes after a chunk": (CHUNKS, b"5\r\nhelloXX0\r\n\r\n"),
    "LF after a chunk": (CHUNKS, b"5\r\nhello\n0\r\n\r\n"),
    "CR after a chunk": (CHUNKS, b"5\r\nhello\r0\r\n\r\n"),
    "LF after a size": (CHUNKS, b"5\nhello\r\n0\r\n\r\n"),
    "chunk longer than said": (CHUNKS, b"5\r\nhello!\r\n0\r\n\r\n"),
    "LF at the end": (CHUNKS, b"0\r\n\n"),
    "CR and no LF at the end": (CHUNKS, b"0\r\n\rX"),
    "another answer in the chunks": (CHUNKS, answer(200, b"poison")),
    "many extensions": (CHUNKS, b"1;%s\r\nx\r\n" % (b"e" * 200) * 30 + b"0\r\n\r\n"),
    "end in a size": (CHUNKS, b"5", Close()),
    "end in an extension": (CHUNKS, b"5;a", Close()),
    "end in a chunk": (CHUNKS, b"5\r\nhel", Close()),
    "end after a chunk": (CHUNKS, Close()),
    "end before the last line": (CHUNKS, b"0\r\n", Close()),
    "end in a trailer": (CHUNKS, b"0\r\nX-A", Close()),
    "reset in a chunk": (CHUNKS, b"5\r\nhel", Reset()),
    "reset between chunks": (CHUNKS, Reset()),
    "end within the length": (LENGTH, b"12345", Close()),
    "end one byte early": (LENGTH, b"123456789", Close()),
    "end before the first byte": (LENGTH, Close()),
    "reset within the length": (LENGTH, b"12345", Reset()),
    "reset before the first byte": (LENGTH, Reset()),
    "reset without length": (b"HTTP/1.1 200 OK\r\n\r\n12345", Reset()),
    "silence within the length": (LENGTH, b"12345", Hang()),
    "silence between chunks": (CHUNKS, Hang()),
    "silence without length": (b"HTTP/1.1 200 OK\r\n\r\n12345", Hang()),
}


def test_there_are_enough():
    assert len(BAD) >= 60


class Check:
    """Asks for a bad answer and what comes after it; notes what is wrong."""

    def __init__(self, proxy, origin, name, path, seen):
        self.proxy, self.origin, self.name, self.path, self.seen = proxy, origin, name, path, seen
        self.problems = []
        first, *rest = BAD[name]
        go = threading.Event()
        origin.route(path, [first, Wait(go) if seen else [], *rest])
        with proxy.raw(timeout=3) as c:
            c.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            if seen:
                start = c.read_until(b"\r\n\r\n")
                c._pending = start + c._pending
            go.set()
            self.cut_short(c)
        self.clean()

    def wrong(self, text):
        self.problems.append(f"{self.name}: {text}")

    def cut_short(self, c):
        try:
            r = c.read_response()
        except Truncated as e:
            if b"poison" in e.partial:
                self.wrong("poison")
            return
        # Where all of it came at once, there may have been nothing sent to the client yet.
        if self.seen or r.status != 502:
            self.wrong(f"not seen to be cut short: {r}")

    def clean(self):
        bad = self.origin.seen(self.path)[0]
        if not self.proxy.get("/after").body.startswith(b"serial "):
            self.wrong("the next answer is not clean")
        if not bad.connection.received.endswith(bad.raw):
            self.wrong("its connection was used again")
        self.origin.route(self.path, answer(200, b"good"))
        if self.proxy.get(self.path, [("Host", "x")]).body != b"good":
            self.wrong("something was stored")


@pytest.mark.parametrize("seen", [True, False], ids=["head seen", "all at once"])
@pytest.mark.parametrize("prefix", ["/hit", "/pass"])
def test_each(larder, origin, prefix, seen):
    proxy = larder(CONF, origin=origin.url)
    problems = []
    for i, name in enumerate(BAD):
        problems += Check(proxy, origin, name, f"{prefix}/{i}", seen).problems
    assert not problems, "\n".join(problems)


def test_all_who_share_a_fill_see_it(larder, origin):
    go = threading.Event()

    def half(x):
        x.send(LENGTH + b"12345")
        assert go.wait(5)
        x.connection.reset()
    origin.route("/hit/1", half)
    proxy = larder(CONF, origin=origin.url)
    clients = [proxy.raw() for _ in range(5)]
    for c in clients:
        c.send(b"GET /hit/1 HTTP/1.1\r\nHost: x\r\n\r\n")
    for c in clients:
        c.read_until(b"12345")
    go.set()
    for c in clients:
        with pytest.raises(ConnectionResetError):
            while c.sock.recv(100):
                pass
        c.close()
    assert origin.count("/hit/1") == 1
