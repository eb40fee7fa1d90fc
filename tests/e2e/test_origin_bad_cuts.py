"""An answer cut at every byte: before the end of its head 502, then a visible cut."""

import pytest

from lib.origin import Close, Reset, answer
from lib.raw import Truncated

CONF = """
workers 1
upstream main %ORIGIN%
defaults { upstream main; retry 0 }
route GET /hit/{n} { scope public; ttl 1m }
"""
FIELDS = [("Content-Type", "text/plain")]
ANSWERS = {
    "length": answer(200, b"hello world", FIELDS),
    "chunked": answer(200, [b"hello ", b"world"], FIELDS, chunked=True),
    "trailers": answer(200, [b"hello"], chunked=True)[:-2] + b"X-A: 1\r\n\r\n",
    "close": answer(200, b"hello world", FIELDS, length=False),
}


@pytest.mark.parametrize("end", [Close(), Reset()], ids=["FIN", "RST"])
@pytest.mark.parametrize("prefix", ["/hit", "/pass"])
@pytest.mark.parametrize("framing", ANSWERS)
def test_every_offset(larder, origin, framing, prefix, end):
    whole = ANSWERS[framing]
    head = whole.index(b"\r\n\r\n") + 4
    proxy = larder(CONF, origin=origin.url)
    for cut in range(len(whole)):
        path = f"{prefix}/{cut}"
        origin.route(path, [whole[:cut], end])
        where = f"cut at {cut} of {len(whole)}"
        try:
            r = proxy.get(path)
            got = r.status, r.body
        except Truncated as e:
            got = None
            assert cut >= head, f"{where}: {e.partial}"
        if cut < head:
            assert got[0] == 502, where
        elif framing == "close" and isinstance(end, Close):
            assert got == (200, whole[head:cut]), where  # nobody can tell
        else:
            assert got is None or got[0] == 502, where
        origin.route(path, answer(200, b"good"))
        assert proxy.get(path).body == b"good", f"{where}: stored"
    for c in origin.connections:
        assert c.received.count(b"\r\n\r\n") >= 1


@pytest.mark.parametrize("framing", ["length", "chunked", "trailers"])
@pytest.mark.parametrize("prefix", ["/hit", "/pass"])
def test_not_cut_it_is_whole(larder, origin, framing, prefix):
    """The same answers in pieces of every size, to the end: nothing is taken for a cut."""
    whole = ANSWERS[framing]
    proxy = larder(CONF, origin=origin.url)
    for size in range(1, len(whole) + 1, 3):
        pieces = [whole[i:i + size] for i in range(0, len(whole), size)]
        origin.route(f"{prefix}/{size}", pieces)
        r = proxy.get(f"{prefix}/{size}")
        assert r.status == 200 and r.body in (b"hello world", b"hello")
        assert r.header("x-a") is None and r.trailers == []
    assert len(origin.connections) == 1
