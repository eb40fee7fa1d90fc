"""A write that was sent twice: the first sending counts, whatever the second one is told."""

import pytest

from lib.origin import Close, Hang, ReadBody, Reset, answer

CONF = """
upstream main %ORIGIN% max_fails=0
defaults { retry 2; timeout first_byte=300ms }
route GET /a { scope public; key a; ttl 60s }
route PUT,DELETE,POST /a { invalidate a }
"""


@pytest.mark.parametrize("warm", [False, True], ids=["new connection", "kept connection"])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("first", [Close(), Reset()])
@pytest.mark.parametrize("second", [404, 409, 410, 412, 500])
def test_the_second_is_refused_because_of_the_first(larder, origin, warm, method, first, second):
    proxy = larder(CONF, origin=origin.url)
    assert proxy.get("/a").x_cache == "MISS" and proxy.get("/a").x_cache == "HIT"
    if warm:
        assert proxy.get("/warm").status == 200
    origin.script([ReadBody(), first], answer(second, b"it is gone"), read_body=False)
    got = proxy.request(method, "/a", body=b"x")
    assert origin.count("/a", method) == 2 and got.status == second
    assert proxy.get("/a").x_cache == "MISS"


def test_two_servers(larder, make_origin):
    """The first one carried it out and died; the other one refuses."""
    one, two = make_origin(), make_origin()
    proxy = larder(CONF.replace("%ORIGIN%", f"{one.url} {two.url}"), origin="")
    proxy.get("/a")
    assert proxy.get("/a").x_cache == "HIT"
    for origin in (one, two):
        origin.route("/a", lambda x: x.run(
            [Reset()] if one.count("/a", "DELETE") + two.count("/a", "DELETE") == 1
            else answer(404, b"gone")), method="DELETE")
    assert proxy.request("DELETE", "/a").status == 404
    assert proxy.get("/a").x_cache == "MISS"


def test_a_refusal_at_once_is_one(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    proxy.get("/a")
    origin.route("/a", answer(404, b"no"), method="DELETE")
    assert proxy.request("DELETE", "/a").status == 404
    assert proxy.get("/a").x_cache == "HIT"


def test_a_post_is_not_sent_twice(larder, origin):
    proxy = larder(CONF, origin=origin.url)
    proxy.get("/a")
    for end in (Close(), Reset(), Hang()):
        proxy.get("/warm")
        origin.clear()
        origin.script([ReadBody(), end], read_body=False)
        assert proxy.post("/a", b"x").status in (502, 504)
        assert origin.count("/a", "POST") == 1
        assert proxy.get("/a").x_cache == "MISS"
