"""Active health checks: who is asked, when a server leaves and comes back."""

import re

import pytest

from lib.certs import Authority
from lib.origin import Close, FakeOrigin, Hang, Reset, answer
from lib.ports import free_port
from lib.wait import eventually

CONF = """
upstream main %ONE% %TWO% health=/healthz health_interval=100ms max_fails=0
defaults { upstream main }
"""
BAD = {
    "status-500": answer(500),
    "status-404": answer(404),
    "silence": [Hang()],
    "closed": [Close()],
    "reset": [Reset()],
    "garbage": b"hello\r\n\r\n",
    "half-head": [b"HTTP/1.1 200 OK\r\nContent-", Hang()],
}


@pytest.fixture
def pair(make_origin):
    one, two = make_origin(), make_origin()
    for o in (one, two):
        o.route("/healthz", answer(200, b"ok"))
    return one, two


def start(larder, pair, conf=CONF):
    return larder(conf, one=pair[0].url, two=pair[1].url)


def served_by(proxy, pair, n=6):
    """How many of n requests each origin gets."""
    before = [o.count("/x") for o in pair]
    for _ in range(n):
        assert proxy.get("/x").status == 200
    return tuple(o.count("/x") - b for o, b in zip(pair, before))


def test_healthy_servers_share(larder, pair):
    proxy = start(larder, pair)
    assert served_by(proxy, pair) == (3, 3)
    for o in pair:
        o.wait_requests(3, "/healthz")
    assert served_by(proxy, pair) == (3, 3)
    assert "unhealthy" not in proxy.stderr()


def test_what_a_check_sends(larder, pair):
    start(larder, pair)
    r = pair[0].wait_requests(2, "/healthz")[0]
    assert (r.method, r.target, r.version) == ("GET", "/healthz", "HTTP/1.1")
    assert r.header("host") == f"127.0.0.1:{pair[0].port}"
    assert r.header("connection") == "close"
    eventually(lambda: not any(c.open for c in pair[0].connections[:1]))


@pytest.mark.parametrize("how", BAD)
def test_an_unhealthy_server_gets_nothing_until_it_is_back(larder, pair, how):
    proxy = start(larder, pair)
    pair[0].wait_requests(1, "/healthz")
    pair[0].route("/healthz", BAD[how])
    eventually(lambda: "is unhealthy" in proxy.stderr())
    assert served_by(proxy, pair) == (0, 6)
    pair[0].route("/healthz", answer(302, headers={"Location": "/"}))
    eventually(lambda: "is healthy again" in proxy.stderr())
    assert served_by(proxy, pair) == (3, 3)
    log = proxy.stderr()
    assert len(re.findall("unhealthy", log)) == len(re.findall("healthy again", log)) == 1
    assert pair[0].url in log and pair[1].url not in log


def test_one_failure_is_forgiven(larder, pair):
    proxy = start(larder, pair)
    for _ in range(3):
        seen = pair[0].count("/healthz")
        pair[0].script(answer(500))
        pair[0].wait_requests(seen + 3, "/healthz")
    assert "unhealthy" not in proxy.stderr()


def test_a_server_that_is_not_there_from_the_start(larder, origin):
    port = free_port()
    origin.route("/healthz", answer(200, b"ok"))
    proxy = larder(CONF, one=f"http://127.0.0.1:{port}", two=origin.url)
    eventually(lambda: "no connection" in proxy.stderr())
    assert proxy.get("/x").status == 200
    late = FakeOrigin(port=port).start()
    try:
        eventually(lambda: "healthy again" in proxy.stderr())
        eventually(lambda: proxy.get("/x").status == 200 and late.count("/x"))
    finally:
        late.stop()


def test_nobody_healthy_is_503_and_recovers(larder, pair):
    proxy = start(larder, pair)
    for o in pair:
        o.route("/healthz", answer(500))
    eventually(lambda: len(re.findall("unhealthy", proxy.stderr())) == 2)
    r = proxy.get("/x")
    assert r.status == 503 and r.header("content-type") == "application/problem+json"
    pair[1].route("/healthz", answer(200))
    eventually(lambda: proxy.get("/x").status == 200)
    assert served_by(proxy, pair) == (0, 6)


def test_checks_end_with_their_configuration(larder, pair):
    proxy = start(larder, pair)
    pair[0].wait_requests(2, "/healthz")
    proxy.reload("upstream main %TWO%\ndefaults { upstream main }\n", wait="reload done")
    asked = pair[0].count("/healthz"), pair[1].count("/healthz")
    assert proxy.get("/x").status == 200
    # One answer may still have been on its way.
    with pytest.raises(AssertionError):
        eventually(lambda: pair[0].count("/healthz") > asked[0] + 1, 0.6)
    assert pair[1].count("/healthz") <= asked[1] + 1


def test_a_verdict_survives_a_reload(larder, pair):
    proxy = start(larder, pair)
    pair[0].route("/healthz", answer(500))
    eventually(lambda: "is unhealthy" in proxy.stderr())
    slow = CONF.replace("100ms", "60s")
    for _ in range(2):
        proxy.reload(slow + "route GET /a { scope public; ttl 1m }\n", wait="reload done")
        assert served_by(proxy, pair) == (0, 6)
    proxy.reload(CONF.replace("health=/healthz health_interval=100ms ", ""), wait="reload done")
    assert served_by(proxy, pair) == (3, 3)


def test_checks_do_not_count_as_requests(larder, pair):
    """A check's failure marks nothing passively, a check's success clears no passive mark."""
    proxy = start(larder, pair, CONF.replace("max_fails=0", "max_fails=2 fail_timeout=60s"))
    pair[0].route("/x", [Reset()])
    for _ in range(8):
        proxy.request("POST", "/x")
    assert "is failing" in proxy.stderr()
    seen = pair[0].count("/healthz")
    pair[0].wait_requests(seen + 3, "/healthz")
    pair[0].route("/x", answer(200))
    assert served_by(proxy, pair) == (0, 6)


def test_checks_over_tls(larder, make_origin, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    authority = Authority(tmp_path)
    good = make_origin(tls=authority.server_context("127.0.0.1"))
    bad = make_origin(tls=Authority(other, "Somebody else").server_context("127.0.0.1"))
    proxy = larder("upstream main %ONE% %TWO% health=/ health_interval=100ms tls_ca=%CA_FILE%\n"
                   "defaults { upstream main }\n",
                   one=good.url, two=bad.url, ca_file=authority.ca_file)
    eventually(lambda: f"{bad.url} is unhealthy" in proxy.stderr())
    assert proxy.get("/x").status == 200
    assert f"{good.url} is unhealthy" not in proxy.stderr()
