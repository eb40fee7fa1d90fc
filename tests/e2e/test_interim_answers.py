"""1xx answers: 102 and 103 go on to the client, 100 does not, none of it is ever stored."""

import threading

import pytest

from lib.origin import Close, Wait, answer

CONF = """
workers 1
upstream main %ORIGIN%
defaults { upstream main }
route GET /hit { scope public; ttl 1m }
"""
HINTS = (b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x-hop\r\n"
         b"X-Hop: 1\r\nKeep-Alive: 5\r\n\r\n")
PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize("path", ["/pass", "/hit"])
def test_forwarded_in_order(larder, origin, path):
    origin.route(path, [PROCESSING + CONTINUE + HINTS, HINTS, answer(200, b"final")])
    with larder(CONF, origin=origin.url).raw() as c:
        r = c.get(path)
        assert r.body == b"final"
        assert [s for s, _ in r.interim] == [102, 103, 103]
        fields = dict(r.interim[1][1])
        assert fields["link"] == "</a.css>; rel=preload"
        assert not {"x-hop", "keep-alive", "connection"} & set(fields)
        assert c.get("/next").status == 200


def test_before_the_final_answer_is_there(larder, origin):
    go = threading.Event()
    origin.route("/pass", [HINTS, Wait(go), answer(200, b"final")])
    with larder(CONF, origin=origin.url).raw() as c:
        c.send(b"GET /pass HTTP/1.1\r\nHost: x\r\n\r\n")
        assert c.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 103 ")
        go.set()
        assert c.read_response().body == b"final"


def test_never_stored(larder, origin):
    origin.route("/hit", [HINTS, answer(200, b"final")])
    proxy = larder(CONF, origin=origin.url)
    assert proxy.get("/hit").x_cache == "MISS"
    r = proxy.get("/hit")
    assert (r.x_cache, r.interim, r.body) == ("HIT", [], b"final")


def test_in_one_segment_with_the_answer_byte_by_byte(larder, origin):
    whole = HINTS + answer(200, b"final")
    origin.route("/pass", [whole[i:i + 1] for i in range(len(whole))])
    with larder(CONF, origin=origin.url).raw() as c:
        r = c.get("/pass")
        assert r.body == b"final" and [s for s, _ in r.interim] == [103]


@pytest.mark.parametrize("one", [CONTINUE, PROCESSING, HINTS])
def test_ten_are_enough(larder, origin, one):
    origin.route("/ten", [one * 10, answer(200, b"final")])
    origin.route("/eleven", [one * 11, answer(200, b"final")])
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as c:
        assert c.get("/ten").body == b"final"
        r = c.get("/eleven")
        assert r.status == 502 and r.json()["status"] == 502
        assert c.get("/after").body == b"serial 1 /after"
    assert len(origin.connections) == 2


@pytest.mark.parametrize("interim", [
    b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 102 Processing\r\nTransfer-Encoding: chunked\r\n\r\n",
])
def test_they_have_no_body(larder, origin, interim):
    origin.route("/pass", [interim, answer(200, b"final")])
    with larder(CONF, origin=origin.url).raw() as c:
        r = c.get("/pass")
        assert r.body == b"final"
        assert {"content-length", "transfer-encoding"}.isdisjoint(dict(r.interim[0][1]))


def test_101_without_asking(larder, origin):
    origin.route("/pass", [b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
                           b"Upgrade: websocket\r\n\r\nraw bytes"])
    with larder(CONF, origin=origin.url).raw() as c:
        assert c.get("/pass").status == 502
        assert c.get("/after").body == b"serial 1 /after"


def test_only_interim_then_the_end(larder, origin):
    origin.route("/pass", [HINTS, Close()])
    with larder(CONF, origin=origin.url).raw() as c:
        r = c.get("/pass")
        assert r.status == 502 and [s for s, _ in r.interim] == [103]
        assert c.get("/after").status == 200


def test_followers_of_a_fill_get_the_answer_only(larder, origin):
    go = threading.Event()
    origin.route("/hit", [HINTS, Wait(go), answer(200, b"final")])
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as leader, proxy.raw() as follower:
        leader.send(b"GET /hit HTTP/1.1\r\nHost: x\r\n\r\n")
        leader.read_until(b"\r\n\r\n")
        follower.send(b"GET /hit HTTP/1.1\r\nHost: x\r\n\r\n")
        assert follower.quiet(0.2)
        go.set()
        assert leader.read_response().body == follower.read_response().body == b"final"
    assert origin.count("/hit") == 1


def test_a_client_that_left_does_not_matter(larder, origin):
    go = threading.Event()
    origin.route("/hit", [Wait(go), HINTS * 5, answer(200, b"final")])
    proxy = larder(CONF, origin=origin.url)
    with proxy.raw() as c:
        c.send(b"GET /hit HTTP/1.1\r\nHost: x\r\n\r\n")
        origin.wait_requests(1)
        c.reset()
    go.set()
    r = proxy.get("/hit", [("Host", "x")])
    assert r.body == b"final"
    assert origin.count() == 1
