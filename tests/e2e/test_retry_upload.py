"""A request with a body that is sent again is the same request again, to the byte."""

import threading

import pytest

from lib.origin import Gone

CONF = """
upstream main %ORIGIN%
route PUT,POST /up { timeout first_byte=5s idle=5s; retry 3 }
"""
FIRST, SECOND = b"first piece ", b"second piece"


def framed(method, framing):
    head = f"{method} /up HTTP/1.1\r\nHost: x\r\n"
    if framing == "length":
        n = len(FIRST + SECOND)
        return f"{head}Content-Length: {n}\r\n\r\n".encode(), FIRST, SECOND
    parts = [b"%x\r\n%b\r\n" % (len(p), p) for p in (FIRST, SECOND)]
    return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode(), parts[0], parts[1] + b"0\r\n\r\n"


@pytest.fixture
def torn(origin):
    """An origin that resets the first exchange once it has the first piece."""
    got = threading.Event()

    def tear(x):
        while FIRST not in x.connection._buffer:
            x.connection._buffer += x.connection.recv()
        x.connection.reset()
        got.set()
        raise Gone("reset")
    origin.script(tear, read_body=False)
    origin.torn = got
    return origin


def send(c, torn, method, framing, last):
    head, first, rest = framed(method, framing)
    c.send(head + first)
    assert torn.torn.wait(5)
    if last == "waits":
        eventual = torn.wait_requests(2)
        assert eventual
    c.send(rest)
    return c.read_response()


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("last", ["at once", "waits"])
def test_the_rest_comes_while_the_retry_is_prepared(larder, torn, framing, last):
    with larder(CONF, origin=torn.url).raw(timeout=5) as c:
        assert send(c, torn, "PUT", framing, last).status == 200
    again = torn.requests[1]
    assert again.body == FIRST + SECOND
    assert again.raw_head == torn.requests[0].raw_head
    assert len(torn.connections) == 2 and torn.connections[1].received == again.raw


def test_several_times(larder, make_origin):
    """The second piece comes at another moment each time."""
    proxy = None
    for delay in (0, 0.005, 0.01, 0.02, 0.03, 0.05):
        origin = make_origin()
        got = threading.Event()

        def tear(x):
            while FIRST not in x.connection._buffer:
                x.connection._buffer += x.connection.recv()
            x.connection.reset()
            got.set()
            raise Gone("reset")
        origin.script(tear, tear, read_body=False)
        if proxy is None:
            proxy = larder(CONF, origin=origin.url)
        else:
            proxy.reload(CONF, wait="reload done", origin=origin.url)
        with proxy.raw(timeout=5) as c:
            head, first, rest = framed("PUT", "chunked")
            c.send(head + first)
            assert got.wait(5)
            threading.Event().wait(delay)  # the moment is what is tested
            c.send(rest)
            assert c.read_response().status == 200
        assert origin.requests[-1].body == FIRST + SECOND


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_post_is_never_sent_twice(larder, torn, framing):
    with larder(CONF, origin=torn.url).raw(timeout=5) as c:
        assert send(c, torn, "POST", framing, "at once").status == 502
    assert torn.count() == 1


def test_a_body_too_long_to_keep_is_not_sent_twice(larder, origin):
    def tear(x):
        x.connection.read_exactly(200_000)
        x.connection.reset()
        raise Gone("reset")
    origin.script(tear, read_body=False)
    with larder(CONF, origin=origin.url).raw(timeout=5) as c:
        c.send(b"PUT /up HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n" + b"x" * 250_000)
        assert c.read_response().status == 502
    assert origin.count() == 1
