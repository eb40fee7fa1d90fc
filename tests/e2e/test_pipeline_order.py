"""Pipelined requests are answered one by one, in their order."""

import threading
import time

from lib.origin import Wait, answer

CONF = """
workers 1
upstream main %ORIGIN%
defaults { upstream main }
route GET /hit/{n} { scope public; ttl 1m }
"""


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def body_of(path):
    return b"body of " + path.encode()


def serve(origin, paths):
    for path in paths:
        origin.route(path, answer(200, body_of(path)))


def test_a_hundred_of_all_kinds(larder, origin):
    paths = [(f"/hit/{i % 7}" if i % 3 else f"/pass/{i}") for i in range(100)]
    serve(origin, set(paths))
    with larder(CONF, origin=origin.url).raw() as c:
        c.send(b"".join(get(p) for p in paths))
        answers = [c.read_response() for _ in paths]
        assert [r.body for r in answers] == [body_of(p) for p in paths]
        assert {r.x_cache for r in answers} == {"HIT", "MISS", "PASS"}
        assert c.quiet(0.1)


def test_bodies_between_them(larder, origin):
    with larder(CONF, origin=origin.url).raw() as c:
        c.send(b"".join(
            b"POST /a%d HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nGET " % i +
            b"POST /b%d HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"4\r\nGET \r\n0\r\nX-Trailer: 1\r\n\r\n" % i + get(f"/c{i}") for i in range(10)))
        for i in range(10):
            for name in "abc":
                assert c.read_response().body.endswith(b"/%s%d" % (name.encode(), i))
    assert [r.body for r in origin.seen("/a3") + origin.seen("/b3")] == [b"GET ", b"GET "]


def test_a_malformed_one_in_between(larder, origin):
    serve(origin, ["/hit/1", "/pass/1"])
    with larder(CONF, origin=origin.url).raw() as c:
        c.send(get("/hit/1") + get("/pass/1") + b"GET /x HTTP/1.1\r\nHost : x\r\n\r\n" +
               get("/pass/2"))
        assert c.read_response().body == body_of("/hit/1")
        assert c.read_response().body == body_of("/pass/1")
        r = c.read_response()
        assert r.status == 400 and r.header("connection") == "close"
        assert c.closed()
    assert origin.count("/pass/2") == 0


def test_a_refused_body_in_between(larder, origin):
    serve(origin, ["/pass/1"])
    with larder(CONF, origin=origin.url).raw() as c:
        c.send(get("/pass/1") +
               b"POST /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
               b"4\r\nabcdXX0\r\n\r\n" + get("/pass/2"))
        assert c.read_response().status == 200
        assert c.read_response("POST").status == 400
        assert c.closed()
    assert origin.count("/pass/2") == 0


def test_the_fast_waits_for_the_slow(larder, origin):
    go = threading.Event()
    serve(origin, ["/hit/1"])
    origin.route("/slow", [Wait(go), answer(200, b"slow")])
    proxy = larder(CONF, origin=origin.url)
    assert proxy.get("/hit/1", [("Host", "x")]).x_cache == "MISS"
    with proxy.raw() as c:
        c.send(get("/slow") + get("/hit/1"))
        assert c.quiet(0.2)
        go.set()
        assert c.read_response().body == b"slow"
        assert c.read_response().x_cache == "HIT"


def test_one_request_at_a_time_reaches_the_origin(larder, origin):
    go = threading.Event()
    origin.route("/slow", [Wait(go), answer(200, b"slow")])
    with larder(CONF, origin=origin.url).raw() as c:
        c.send(get("/slow") + get("/next"))
        origin.wait_requests(1)
        assert c.quiet(0.2)
        assert origin.count() == 1
        go.set()
        c.read_response()
        assert c.read_response().status == 200


def test_only_so_much_is_read_ahead(larder, origin):
    """While one is answered, the rest waits in the kernel: memory and CPU stay where they are."""
    go = threading.Event()
    origin.route("/slow", [Wait(go), answer(200, b"slow")])
    proxy = larder(CONF, origin=origin.url)
    proxy.get("/warm")
    rss, cpu, start = proxy.rss(), proxy.cpu(), time.monotonic()
    with proxy.raw() as c:
        c.sock.setblocking(False)
        data, sent = get("/slow") + get("/hit/1") * 400_000, 0
        while time.monotonic() - start < 1.2:
            try:
                sent += c.sock.send(data[sent:sent + 65536])
            except BlockingIOError:
                time.sleep(0.05)
        assert sent < 8_000_000  # two socket buffers and our own
        assert proxy.sanitized or proxy.rss() - rss < 1_000_000
        assert proxy.cpu() - cpu < 0.05 * (time.monotonic() - start) + 0.05
        go.set()
        assert c.read_response().body == b"slow"
        for _ in range(100):
            assert c.read_response().status == 200


def test_keep_alive_ends_when_asked(larder, origin):
    with larder(CONF, origin=origin.url).raw() as c:
        for i in range(5):
            r = c.get(f"/p{i}")
            assert r.status == 200 and r.header("connection") is None
        r = c.get("/last", [("Connection", "close")])
        assert r.status == 200 and r.header("connection") == "close"
        assert c.closed()


def test_nothing_behind_close_is_looked_at(larder, origin):
    with larder(CONF, origin=origin.url).raw() as c:
        c.send(b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + get("/b"))
        assert c.read_response().status == 200
        assert c.closed()
    assert origin.count("/b") == 0
