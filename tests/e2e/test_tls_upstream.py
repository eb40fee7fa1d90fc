"""TLS to origins: verified unless the configuration says otherwise."""

import socket
import ssl

import pytest

from lib import flood
from lib.certs import Authority
from lib.origin import Hang, answer
from lib.raw import Truncated
from lib.wait import eventually

CONF = """
workers 1
upstream main %ORIGIN% %OPTIONS%
defaults { upstream main; max_body off; retry 0; timeout connect=1s idle=5s }
route GET /hit { scope public; ttl 1m }
"""


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def start(larder, make_origin, authority):
    """start(certificate's names, options) -> (proxy, origin)"""
    def begin(*names, options="tls_ca=%s", days=1, url=None, ctx=None):
        ctx = ctx or authority.server_context(*names, days=days)
        origin = make_origin(tls=ctx)
        options = options % authority.ca_file if "%s" in options else options
        return larder(CONF, origin=url or origin.url, options=options), origin
    return begin


def refused(proxy, why):
    r = proxy.get("/a")
    assert r.status == 502 and r.json()["status"] == 502
    assert "127.0.0.1" not in r.text and "certif" not in r.text
    log = proxy.stderr()
    assert "TLS handshake with" in log and why in log, log


def test_verified(start):
    proxy, origin = start("127.0.0.1")
    with proxy.raw() as c:
        for i in range(5):
            assert c.get(f"/{i}").status == 200
    assert [proxy.get("/hit").x_cache for _ in range(2)] == ["MISS", "HIT"]
    assert len(origin.connections) == 1


def test_by_name(start, make_origin):
    proxy, origin = start("localhost", url=None)
    refused(proxy, "IP address mismatch")
    other, _ = start("localhost", options="tls_ca=%s tls_name=localhost")
    assert other.get("/a").status == 200


def test_sni_is_sent(start, authority):
    names = []
    ctx = authority.server_context("api.example")
    ctx.sni_callback = lambda sock, name, context: names.append(name)
    proxy, _ = start("api.example", options="tls_ca=%s tls_name=api.example", ctx=ctx)
    assert proxy.get("/a").status == 200
    assert names == ["api.example"]


def test_an_unknown_authority(start):
    refused(start("127.0.0.1", options="")[0], "certificate")


def test_another_authority(start, tmp_path):
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "Another")
    refused(start("127.0.0.1", options=f"tls_ca={other.ca_file}")[0], "certificate")


def test_an_expired_certificate(start):
    refused(start("127.0.0.1", days=-1)[0], "expired")


def test_the_wrong_name(start):
    refused(start("other.example")[0], "mismatch")


def test_verification_off(start):
    assert start("other.example", options="tls_verify=off")[0].get("/a").status == 200


def test_off_is_said_in_a_warning(start):
    assert "tls_verify" in start("other.example", options="tls_verify=off")[0].stderr()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_are_refused(start, authority):
    ctx = authority.server_context("127.0.0.1")
    ctx.minimum_version = ssl.TLSVersion.TLSv1
    ctx.maximum_version = ssl.TLSVersion.TLSv1_1
    ctx.set_ciphers("ALL:@SECLEVEL=0")
    refused(start("127.0.0.1", ctx=ctx)[0], "")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_big_bodies(start, authority, version):
    total = 30_000_000
    ctx = authority.server_context("127.0.0.1")
    ctx.minimum_version = ctx.maximum_version = version
    proxy, origin = start("127.0.0.1", ctx=ctx)
    origin.route("/down", lambda x: flood.give(x, total))
    origin.route("/up", lambda x: x.answer(200, b"%d" % flood.take_request_body(x)),
                 read_body=False)
    with proxy.raw() as c:
        assert c.get("/warm").status == 200
        base = proxy.rss()
        for _ in range(2):
            c.send(b"GET /down HTTP/1.1\r\nHost: x\r\n\r\n")
            c.read_until(b"\r\n\r\n")
            assert flood.receive(c.sock, total, c._pending) == total
            c._pending = b""
            c.send(b"POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % total)
            flood.send(c.sock, total)
            assert c.read_response("POST").body == b"%d" % total
        assert proxy.sanitized or proxy.rss() - base < 12_000_000
    assert len(origin.connections) == 1


@pytest.mark.parametrize("path", ["/hit", "/pass"])
def test_an_end_without_close_notify_is_a_cut(start, path):
    """Without a length nobody else could tell (hardening C12)."""
    proxy, origin = start("127.0.0.1")

    def cut(x):
        x.send(b"HTTP/1.1 200 OK\r\n\r\nhalf of it")
        raw = socket.socket(fileno=x.connection.sock.detach())
        raw.close()
    origin.route(path, cut)
    with proxy.raw() as c:
        with pytest.raises(Truncated):
            c.get(path)
    origin.route(path, answer(200, b"good"))
    assert proxy.get(path).body == b"good"


def test_a_clean_end_is_one(start):
    proxy, origin = start("127.0.0.1")

    def end(x):
        x.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        x.connection.sock.unwrap()
    origin.route("/pass", end)
    with proxy.raw() as c:
        assert c.get("/pass").body == b"all of it"


def test_a_handshake_that_never_ends(larder, make_origin):
    origin = make_origin()  # speaks no TLS, and waits for a request that is none
    origin.default = Hang()
    proxy = larder(CONF, origin=origin.url.replace("http:", "https:"), options="")
    r = proxy.get("/a")
    assert r.status == 504
    eventually(lambda: not origin.connections or not origin.connections[0].open)


def test_an_origin_that_speaks_no_tls(larder, make_origin):
    origin = make_origin()
    origin.default = b"HTTP/1.1 400 Bad\r\n\r\n"

    def talk_first():
        return larder(CONF, origin=origin.url.replace("http:", "https:"), options="")
    assert talk_first().get("/a").status in (502, 504)


def test_certificates_do_not_matter_for_plain_http(larder, origin):
    proxy = larder(CONF, origin=origin.url, options="")
    assert proxy.get("/a").status == 200
