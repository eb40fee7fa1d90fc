"""Heads as large as the configuration allows, and not a byte more."""

CONF = """
limits header_bytes=200kb header_line=90kb header_count=200 target_length=70kb
upstream main %ORIGIN%
"""


def test_a_head_beyond_what_is_buffered_otherwise(larder, origin):
    fields = [("X-A", "a" * 80_000), ("X-B", "b" * 80_000)]
    with larder(CONF, origin=origin.url).raw(timeout=3) as c:
        assert c.get("/" + "p" * 30_000, fields).status == 200
        assert c.get("/b", fields).status == 200
    assert len(origin.requests[0].header("x-a")) == 80_000


def test_piece_by_piece(larder, origin):
    data = b"GET /c HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 80_000 + b"\r\nX-B: " + b"b" * 80_000
    with larder(CONF, origin=origin.url).raw(timeout=3) as c:
        for at in range(0, len(data), 10_000):
            c.send(data[at:at + 10_000])
        c.send(b"\r\n\r\n")
        assert c.read_response().status == 200


def test_too_large(larder, origin):
    fields = [(f"X-{i}", "a" * 50_000) for i in range(5)]
    with larder(CONF, origin=origin.url).raw(timeout=3) as c:
        assert c.get("/d", fields).status == 431
        assert c.closed()
    assert origin.count() == 0
